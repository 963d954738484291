//! What a model that answers questions is made of: the model folder's `config.json`.

use candlewick_recurrent::SequenceEncoderConfig;
use candlewick_vision::EncoderConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How question and picture come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Join {
    /// The question attends to the picture's positions, several times over (Yang et al. 2016).
    #[default]
    Attention,
    /// The question's vector beside the mean annotation.
    Concatenate,
    /// The product of both, value by value (Antol et al. 2015).
    Product,
    /// The picture is not seen: what language alone tells.
    None,
}

/// What can be chosen about the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VqaNetworkConfig {
    /// What reads the question.
    pub question: SequenceEncoderConfig,
    /// How question and picture come together.
    pub join: Join,
    /// K, how often the question attends to the picture; of other joins it is not looked at.
    pub hops: usize,
    /// A, the units of attention; of other joins it is not looked at.
    pub attention_size: usize,
    /// The size of what is known of question and picture before the answer.
    pub hidden_size: usize,
    /// The probability of dropout on that.
    pub dropout: f64,
    /// The probability with which a channel of a picture's annotations is left out at all positions.
    pub picture_dropout: f64,
    /// Whether choices are read and scored with picture and question, so that they may be other than known answers (Jabri et al. 2016).
    pub read_choices: bool,
}

impl Default for VqaNetworkConfig {
    fn default() -> Self {
        let question =
            SequenceEncoderConfig { embedding_size: 300, hidden_size: 512, ..SequenceEncoderConfig::default() };
        Self {
            question,
            join: Join::Attention,
            hops: 2,
            attention_size: 512,
            hidden_size: 512,
            dropout: 0.5,
            picture_dropout: 0.0,
            read_choices: false,
        }
    }
}

impl VqaNetworkConfig {
    /// Whether the network looks at pictures.
    pub fn sees(&self) -> bool {
        self.join != Join::None
    }
}

/// The content of a model's `config.json`; keys that it does not know are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VqaConfig {
    /// Always `visual-question-answering`, so that a folder of another model is told apart.
    pub model_type: String,
    /// The encoder; nothing where no picture is seen.
    #[serde(default)]
    pub encoder: Option<EncoderConfig>,
    /// The network.
    pub network: VqaNetworkConfig,
    /// C, the size of an annotation; 0 where no picture is seen.
    pub annotation_size: usize,
    /// V, the number of words.
    pub vocab_size: usize,
    /// The known answers by number.
    pub id2label: BTreeMap<usize, String>,
}
