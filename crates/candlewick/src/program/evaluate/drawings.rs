//! How well a network that draws tells pictures.

use super::super::arguments::EvaluateArguments;
use super::super::output::note;
use super::super::{Failure, device, train};
use super::{of_model_or_data, parse_split, tell};
use candlewick::data::image_classes;
use candlewick::tasks::draw::{DataConfig, Draw, Pictures, evaluate};
use std::time::Instant;

/// Tells the bound of −log p of the pictures of a split.
///
/// # Errors
/// When model or pictures cannot be read.
pub fn run(arguments: &EvaluateArguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let EvaluateArguments { model, set, quiet, samples, .. } = arguments;
    let split = parse_split(&set.split)?;
    let (device, device_name) = device::open(&arguments.device)?;
    let model = Draw::from_pretrained(&model[0], &device)?;
    let pictures = image_classes::load(&set.data, set.dev_share.unwrap_or(DataConfig::default().dev_share))?;
    if !quiet {
        pictures.notes.iter().for_each(|line| note!("{line}"));
    }
    let examples = pictures.split(split);
    let (examples, skipped) = examples.readable(set.max_share)?;
    if !quiet {
        skipped.iter().for_each(|line| note!("{line}"));
    }
    if examples.is_empty() {
        return Err(Failure::Work(format!("{}: the {split} split has no pictures", set.data.display())));
    }
    let part = Pictures::of(&examples, model.config().network.likelihood)?;
    let bar = train::counter(part.len() as u64, "drawing", *quiet);
    let told = &mut |done, _| bar.set_position(done as u64);
    let scores = evaluate(&model, &part, (samples.unwrap_or(1), 0), told);
    let scores = scores.map_err(|error| of_model_or_data(error, (&arguments.model[0], &set.data)))?;
    bar.finish_and_clear();
    tell(arguments, (&scores, " nats"), (part.len(), "pictures"), (split, &device_name, begun))
}
