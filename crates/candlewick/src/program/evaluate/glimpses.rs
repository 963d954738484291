//! How often a recurrent attention model is right.

use super::super::arguments::EvaluateArguments;
use super::super::output::note;
use super::super::{Failure, device, train};
use super::{of_model_or_data, parse_split, tell};
use candlewick::data::image_classes;
use candlewick::data::placed::PlacedPictures;
use candlewick::tasks::glimpses::{DataConfig, RecurrentAttentionModel, evaluate};
use std::time::Instant;

/// Tells how often a model is right on the pictures of a split, placed as those that it was trained on.
///
/// # Errors
/// When model or pictures cannot be read.
pub fn run(arguments: &EvaluateArguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let EvaluateArguments { model, set, quiet, samples, .. } = arguments;
    let split = parse_split(&set.split)?;
    let (device, device_name) = device::open(&arguments.device)?;
    let model = RecurrentAttentionModel::from_pretrained(&model[0], &device)?;
    let usual = DataConfig::default();
    let pictures = image_classes::load(&set.data, set.dev_share.unwrap_or(usual.dev_share))?;
    if !quiet {
        pictures.notes.iter().for_each(|line| note!("{line}"));
    }
    let known: Vec<&String> = model.config().id2label.values().collect();
    if !known.iter().copied().eq(&pictures.classes) {
        let (found, known) = (pictures.classes.len(), known.len());
        let fault = format!("has other classes ({found}) than the model knows ({known})");
        return Err(Failure::Work(fault).of(&set.data));
    }
    let examples = pictures.split(split);
    let (examples, skipped) = examples.readable(set.max_share)?;
    if !quiet {
        skipped.iter().for_each(|line| note!("{line}"));
    }
    let part = PlacedPictures::new(examples, model.config().placing.clone(), split);
    let part = part.map_err(|error| Failure::from(error).of(&set.data))?;
    let bar = train::counter(part.len() as u64, "looking", *quiet);
    let told = &mut |done, _| bar.set_position(done as u64);
    let scores = evaluate(&model, &part, (samples.unwrap_or(1), 0), told);
    let scores = scores.map_err(|error| of_model_or_data(error, (&arguments.model[0], &set.data)))?;
    bar.finish_and_clear();
    tell(arguments, (&scores, ""), (part.len(), "pictures"), (split, &device_name, begun))
}
