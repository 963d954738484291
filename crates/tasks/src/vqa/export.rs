//! A model as one folder, with all its weights in one file.

use super::config::{Join, VqaConfig, VqaNetworkConfig};
use super::model::{MODEL_TYPE, VqaModel};
use crate::Result;
use candle_core::Device;
use candlewick_training::{About, Export, ModelFolder, write_weights};
use std::path::Path;

impl ModelFolder for VqaModel {
    const MODEL_TYPE: &'static str = MODEL_TYPE;

    fn from_folder(folder: &Path, device: &Device) -> Result<Self> {
        Self::of_folder(folder, None, device)
    }

    fn export(folder: &Path, into: &Path, how: &Export) -> Result<About> {
        let model = Self::of_folder(folder, how.encoder_weights.as_deref(), &Device::Cpu)?;
        let (mut config, mut tensors) = (model.config.clone(), model.parameters.tensors());
        if let Some(encoder) = &mut config.encoder
            && let Some(weights) = encoder.weights.take()
        {
            tensors.extend(encoder.own_weights(weights.open(folder, how.encoder_weights.as_deref())?)?);
        }
        model.save_settings(into, &config)?;
        write_weights(into, tensors, how.dtype)?;
        Ok(about(&config))
    }
}

/// What a card says of a model.
fn about(config: &VqaConfig) -> About {
    let VqaNetworkConfig { question, join, hops, .. } = &config.network;
    let (cell, hidden, answers) = (&question.cell, question.hidden_size, config.id2label.len());
    let network = config.encoder.as_ref().map_or("no encoder", |encoder| encoder.network.as_str());
    let sees = match join {
        Join::Attention if *hops == 1 => format!("attends once to the annotations of {network}"),
        Join::Attention => format!("attends {hops} times to the annotations of {network}"),
        Join::Concatenate => format!("stands beside the mean annotation of {network}"),
        Join::Product => format!("is multiplied with the mean annotation of {network}"),
        Join::None => "sees no picture".into(),
    };
    About {
        kind: "A model that answers questions about pictures",
        made_of: format!("The question, read by {cell} with {hidden} hidden units, {sees}; there are {answers} answers."),
        limits: "It gives one of the answers that it learned, whatever is asked. What it says may be wrong, and its probabilities are no \
                 measure of that on pictures unlike those that it learned from."
            .into(),
        pipeline_tag: "visual-question-answering",
        tags: vec!["visual-question-answering".into(), cell.clone(), network.replace(' ', "-"), "candle".into()],
        commands: vec!["candlewick answer photo.jpg 'what is the man riding?' --model MODEL"],
        code: "let model = VqaModel::from_pretrained(\"MODEL\".as_ref(), &Device::Cpu)?;\n\
               let told = model.answer(&[Ask { picture: &photo, question: \"what is the man riding?\", choices: &[] }])?;",
    }
}
