//! What a language model learned, as what a classifier begins with (Dai and Le 2015, "Semi-supervised sequence learning").

use super::classifier::SequenceClassifier;
use crate::language_model::{InputKind, LanguageModel, NetworkConfig};
use crate::{Error, Result};
use candlewick_parameters::SafetensorsFile;
use candlewick_recurrent::SequenceEncoderConfig;
use std::path::Path;

/// Under which the classifier has what reads its sequences.
const ENCODER: &str = "encoder.";

/// Refuses a language model of another network than this one's.
pub(super) fn check(model: &LanguageModel, network: &SequenceEncoderConfig) -> Result<()> {
    let NetworkConfig { input, embedding_size, cell, hidden_size, .. } = &model.config().network;
    let differs = |key: &str, own: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
        Err(Error::Setting(format!("model.{key} is {own}, and the language model's {found}; make them equal")))
    };
    match () {
        () if *input != InputKind::Embedding => {
            Err(Error::Setting("start: the language model has no table of vectors; train one with embeddings".into()))
        }
        () if *cell != network.cell => differs("cell", &network.cell, cell),
        () if *hidden_size != network.hidden_size => differs("hidden_size", &network.hidden_size, hidden_size),
        () if *embedding_size != network.embedding_size => {
            differs("embedding_size", &network.embedding_size, embedding_size)
        }
        () => Ok(()),
    }
}

impl SequenceClassifier {
    /// Takes the vectors of words and the weights of the layer that reads forwards from a language model in `folder`; what that does not have,
    /// such as the layer that reads backwards, begins as it is.
    ///
    /// # Errors
    /// When the language model has a parameter that the classifier does not have, or one of another shape; the line names it.
    pub(super) fn start_from(&self, model: &LanguageModel, folder: &Path) -> Result<()> {
        let learned = model.weights().into_iter().filter(|(name, _)| !name.starts_with("fc."));
        let mut tensors: Vec<_> = learned.collect();
        for (name, tensor) in self.parameters.tensors() {
            let short = name.strip_prefix(ENCODER).filter(|short| !tensors.iter().any(|(known, _)| known == short));
            tensors.extend(short.map(|short| (short.to_owned(), tensor)));
        }
        Ok(self.parameters.assign(&SafetensorsFile::from_tensors(folder, &tensors)?, ENCODER)?)
    }
}
