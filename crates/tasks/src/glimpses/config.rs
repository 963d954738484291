//! What a recurrent attention model is made of: a recipe's `[model]` and the model folder's `config.json`.

use candlewick_data::placed::Placing;
use candlewick_recurrent::Settings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where the first look goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FirstLook {
    /// Anywhere in the picture, uniformly drawn.
    #[default]
    Drawn,
    /// The middle of the picture.
    Centre,
}

/// The network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GlimpseNetworkConfig {
    /// How many looks there are for each label.
    pub looks: usize,
    /// s, the side of the patch that each scale of a look gives, in pixels.
    pub patch: usize,
    /// k, how many scales a look has: scale j sees s·2ʲ pixels a side, reduced to s.
    pub scales: usize,
    /// The size of what was seen, before it joins where.
    pub what_size: usize,
    /// The size of where it was seen, before it joins what.
    pub where_size: usize,
    /// The size of what and where together, g.
    pub glimpse_size: usize,
    /// The cell of the core, as [`candlewick_recurrent::sequence_layers`] lists them.
    pub cell: String,
    /// H, the size of the hidden state.
    pub hidden_size: usize,
    /// What else can be chosen about the cell; by default the plain network has ReLU, as the paper's.
    pub settings: Option<Settings>,
    /// The size of the hidden layer before a location.
    pub location_size: usize,
    /// σ, the standard deviation of locations while it learns, where the picture reaches from −1 to 1.
    pub std: f64,
    /// Where the first look goes.
    pub first: FirstLook,
}

impl Default for GlimpseNetworkConfig {
    fn default() -> Self {
        Self {
            looks: 6,
            patch: 8,
            scales: 1,
            what_size: 128,
            where_size: 128,
            glimpse_size: 256,
            cell: "rnn".into(),
            hidden_size: 256,
            settings: None,
            location_size: 128,
            std: 0.1,
            first: FirstLook::default(),
        }
    }
}

impl GlimpseNetworkConfig {
    /// The cell's settings, with the plain network's ReLU.
    pub(super) fn cell_settings(&self) -> Settings {
        match (&self.settings, self.cell.as_str()) {
            (Some(settings), _) => settings.clone(),
            (None, "rnn") => Settings::default().with("nonlinearity", "relu"),
            (None, _) => Settings::default(),
        }
    }

    /// The side of the largest scale, in pixels; nothing where there are more scales than any picture has.
    pub(super) fn widest(&self) -> Option<usize> {
        1usize.checked_shl(self.scales.saturating_sub(1) as u32)?.checked_mul(self.patch)
    }
}

/// The content of a model's `config.json`; keys that it does not know are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecurrentAttentionConfig {
    /// Always `recurrent-attention`, so that a folder of another model is told apart.
    pub model_type: String,
    /// The network.
    pub network: GlimpseNetworkConfig,
    /// Height and width of the pictures, in pixels.
    pub size: (u32, u32),
    /// How the pictures of a set were placed to become these.
    pub placing: Placing,
    /// The classes' names by number.
    pub id2label: BTreeMap<usize, String>,
}

/// The name of this model in `config.json`.
pub(super) const MODEL_TYPE: &str = "recurrent-attention";

impl RecurrentAttentionConfig {
    /// A model of pictures of this height and width, placed so, that tells these classes apart.
    pub fn new(network: GlimpseNetworkConfig, size: (u32, u32), placing: Placing, classes: Vec<String>) -> Self {
        let id2label = classes.into_iter().enumerate().collect();
        Self { model_type: MODEL_TYPE.into(), network, size, placing, id2label }
    }

    /// How many looks there are in all.
    pub fn looks(&self) -> usize {
        self.checked_looks().unwrap_or(usize::MAX)
    }

    pub(super) fn checked_looks(&self) -> Option<usize> {
        self.network.looks.checked_mul(self.placing.pictures)
    }
}
