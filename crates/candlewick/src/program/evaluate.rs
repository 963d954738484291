//! `candlewick evaluate`: decodes a split and scores it.

use super::arguments::{EvaluateArguments, SetArguments};
use super::output::{note, say};
use super::{Failure, caption, device, hub, search};
use candlewick::captioning::{Describe, Evaluation, Set, evaluate};
use candlewick::data::captions::{self, CaptionSet, LoadOptions, Split};
use candlewick::metrics::coco::Overall;
use std::path::PathBuf;
use std::time::Instant;

/// Evaluates a model on a split.
///
/// # Errors
/// When the model or the data cannot be read, or the files cannot be written.
pub fn run(arguments: &EvaluateArguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let split = parse_split(&arguments.set.split)?;
    let (device, device_name) = device::open(&arguments.device)?;
    let weights = hub::encoder_weights(arguments.encoder_weights.as_deref())?;
    let captioner = &*caption::open(&arguments.model, weights.as_deref(), arguments.search.mirrored, &device)?;
    let generation = search::settings(captioner, &arguments.search, None)?;
    let images = images(&arguments.set, arguments.quiet)?;
    let set = read(&images, &arguments.set, captioner, arguments.quiet)?;
    let folder = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("runs/evaluation").join(format!("{split}-beam{}", generation.num_beams)));
    let bar = super::train::counter(set.pictures.len() as u64, "captioning", arguments.quiet);
    let found = evaluate(captioner, &set, &generation, &folder, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.json {
        say!("{}", json(&found, set.pictures.len(), generation.num_beams, split, seconds)?)?;
    } else {
        print(&found, set.pictures.len(), &device_name, seconds)?;
    }
    Ok(())
}

/// The split of this name.
///
/// # Errors
/// A wrong call where there is none.
pub fn parse_split(name: &str) -> Result<Split, Failure> {
    let fault = || Failure::usage(format!("split {name}: no such split; there are train, dev and test"));
    Split::parse(name).ok_or_else(fault)
}

/// The photos and captions that the command line names.
///
/// # Errors
/// When they cannot be read, or the split has none.
pub fn images(arguments: &SetArguments, quiet: bool) -> Result<CaptionSet, Failure> {
    let SetArguments { data, split, max_share, .. } = arguments;
    let all = captions::load(data, &LoadOptions { max_share: *max_share, ..LoadOptions::default() })?;
    if !quiet {
        all.faults.report().into_iter().for_each(|line| note!("{line}"));
    }
    let split = parse_split(split)?;
    if all.split(split).next().is_none() {
        return Err(no_photos(arguments));
    }
    Ok(all)
}

fn no_photos(SetArguments { data, split, .. }: &SetArguments) -> Failure {
    let data = data.display();
    Failure::Work(format!("{data}: the {split} split has no photos; choose another with --split"))
}

/// The photos of a split that can be read.
///
/// # Errors
/// When too large a share of them cannot be read, or none can.
pub fn read(all: &CaptionSet, arguments: &SetArguments, captioner: &dyn Describe, quiet: bool) -> Result<Set, Failure> {
    let SetArguments { split, max_share, regions, .. } = arguments;
    let (split, max_share) = (parse_split(split)?, *max_share);
    let set = Set::photos(all.split(split), captioner.preprocessing().clone());
    let (set, skipped) = match caption::regions(captioner, regions.as_deref())? {
        Some(regions) => set.seen_in(&regions, max_share)?,
        None => set.readable(max_share)?,
    };
    if !quiet {
        skipped.into_iter().for_each(|line| note!("{line}"));
    }
    if set.pictures.is_empty() {
        return Err(no_photos(arguments));
    }
    Ok(set)
}

fn rows(overall: &Overall) -> [(&'static str, f64); 7] {
    [
        ("Bleu_1", overall.bleu_1),
        ("Bleu_2", overall.bleu_2),
        ("Bleu_3", overall.bleu_3),
        ("Bleu_4", overall.bleu_4),
        ("METEOR", overall.meteor),
        ("ROUGE_L", overall.rouge_l),
        ("CIDEr", overall.cider),
    ]
}

fn print(found: &Evaluation, pictures: usize, device: &str, seconds: f64) -> Result<(), Failure> {
    for (name, value) in rows(&found.scores.overall) {
        say!("{name:<8} {value:.4}")?;
    }
    say!("distinct {:.4}", found.distinct)?;
    if let Some(moves) = found.moves {
        say!("moves    {moves:.4} of neighbouring words have their attention's peak at different positions")?;
    }
    say!("METEOR has the exact and stem matchers only; {pictures} pictures on {device} in {seconds:.0} s")?;
    say!("{} and {}", found.results_file.display(), found.scores_file.display())
}

/// What came out, for machines.
///
/// # Errors
/// When the scores are no JSON.
pub fn json(
    found: &Evaluation,
    pictures: usize,
    beams: usize,
    split: Split,
    seconds: f64,
) -> Result<serde_json::Value, Failure> {
    let mut object = serde_json::to_value(&found.scores.overall)?;
    if let Some(object) = object.as_object_mut() {
        object.extend([
            ("distinct".to_owned(), found.distinct.into()),
            ("moves".to_owned(), found.moves.into()),
            ("pictures".to_owned(), pictures.into()),
            ("split".to_owned(), split.to_string().into()),
            ("num_beams".to_owned(), beams.into()),
            ("seconds".to_owned(), seconds.into()),
            ("results".to_owned(), found.results_file.display().to_string().into()),
            ("scores".to_owned(), found.scores_file.display().to_string().into()),
        ]);
    }
    Ok(object)
}
