//! How often answers to questions about pictures are right.

use super::super::arguments::EvaluateArguments;
use super::super::output::{note, say};
use super::super::{Failure, device, hub, train};
use super::parse_split;
use candlewick::data::Split;
use candlewick::data::questions::{LoadOptions, load};
use candlewick::encoders::Preprocessing;
use candlewick::metrics::wups::WordNet;
use candlewick::tasks::vqa::{Evaluation, VqaDataset, VqaModel, evaluate};
use std::time::Instant;

/// Tells how often a model is right on the questions of a split.
///
/// # Errors
/// When model, questions or photos cannot be read.
pub fn run(arguments: &EvaluateArguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let EvaluateArguments { model, set, quiet, wordnet, .. } = arguments;
    let split = parse_split(&set.split)?;
    let (device, device_name) = device::open(&arguments.device)?;
    let weights = hub::encoder_weights(arguments.encoder_weights.as_deref())?;
    let model = VqaModel::open(&model[0], weights.as_deref(), &device)?;
    let wordnet = wordnet.as_deref().map(WordNet::open).transpose()?;
    let questions = read(arguments, &model, split)?;
    let bar = train::counter(questions.questions.len() as u64, "answering", *quiet);
    let found = evaluate(&model, questions.into(), wordnet.as_ref(), &mut |done, _| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.json {
        let mut object = as_json(&found)?;
        object["split"] = split.to_string().into();
        object["seconds"] = seconds.into();
        return say!("{object}");
    }
    found.kind_lines().iter().try_for_each(|line| say!("{line}"))?;
    for (name, value) in found.scores.iter() {
        say!("{name:<19} {value:.4}")?;
    }
    say!("{} questions of the {split} split on {device_name} in {seconds:.0} s", found.questions)
}

/// The questions of a split about photos that can be read.
fn read(arguments: &EvaluateArguments, model: &VqaModel, split: Split) -> Result<VqaDataset, Failure> {
    let EvaluateArguments { set, quiet, images, .. } = arguments;
    let usual = LoadOptions::default();
    let options = LoadOptions {
        images: images.clone(),
        dev_share: set.dev_share.unwrap_or(usual.dev_share),
        max_share: set.max_share,
        need_files: model.encoder().is_some(),
    };
    let all = load(&set.data, &options)?;
    let preprocessing =
        model.encoder().map_or_else(Preprocessing::unresized, |encoder| encoder.preprocessing().clone());
    let questions = VqaDataset::photos(all.parts.of(split), preprocessing);
    let (questions, broken) = match model.encoder() {
        Some(_) => questions.readable(set.max_share)?,
        None => (questions, None),
    };
    if !quiet {
        all.skipped.report().into_iter().chain(broken).for_each(|line| note!("{line}"));
    }
    if questions.questions.is_empty() {
        let data = set.data.display();
        return Err(Failure::Work(format!("{data}: the {split} split has no questions; choose another with --split")));
    }
    Ok(questions)
}

fn as_json(found: &Evaluation) -> Result<serde_json::Value, Failure> {
    let mut object = serde_json::to_value(&found.scores)?;
    object["questions"] = found.questions.into();
    for kind in &found.by_kind {
        let mut own = serde_json::to_value(&kind.scores)?;
        own["questions"] = kind.questions.into();
        object["by_kind"][&kind.kind] = own;
    }
    Ok(object)
}
