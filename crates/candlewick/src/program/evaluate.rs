//! `candlewick evaluate`: decodes a split and scores it.

use super::arguments::EvaluateArguments;
use super::{Failure, caption, device};
use candlewick::captioning::{Evaluation, Set, evaluate};
use candlewick::data::captions::{self, LoadOptions, Split};
use candlewick::metrics::coco::Overall;
use std::path::PathBuf;
use std::time::Instant;

/// Evaluates a model on a split.
///
/// # Errors
/// When the model or the data cannot be read, or the files cannot be written.
pub fn run(arguments: &EvaluateArguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let split = Split::parse(&arguments.split).ok_or_else(|| {
        Failure::usage(format!("split {}: no such split; there are train, dev and test", arguments.split))
    })?;
    let (device, device_name) = device::open(&arguments.device)?;
    let captioner = &*caption::open(&arguments.model, arguments.encoder_weights.as_deref(), &device)?;
    let generation = caption::search(captioner.generation(), &arguments.search)?;
    let options = LoadOptions { max_share: arguments.max_share, ..LoadOptions::default() };
    let all = captions::load(&arguments.data, &options)?;
    if !arguments.quiet {
        all.faults.report().iter().for_each(|line| eprintln!("{line}"));
    }
    let set = Set::photos(all.split(split), captioner.preprocessing().clone());
    let (set, skipped) = set.readable(arguments.max_share)?;
    if let (Some(line), false) = (skipped, arguments.quiet) {
        eprintln!("{line}");
    }
    if set.pictures.is_empty() {
        let data = arguments.data.display();
        return Err(Failure::Work(format!("{data}: the {split} split has no photos; choose another with --split")));
    }
    let folder = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("runs/evaluation").join(format!("{split}-beam{}", generation.num_beams)));
    let bar = super::train::counter(set.pictures.len() as u64, "captioning", arguments.quiet);
    let found = evaluate(captioner, &set, &generation, &folder, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.json {
        println!("{}", json(&found, set.pictures.len(), generation.num_beams, split, seconds)?);
    } else {
        print(&found, set.pictures.len(), &device_name, seconds);
    }
    Ok(())
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

fn print(found: &Evaluation, pictures: usize, device: &str, seconds: f64) {
    for (name, value) in rows(&found.scores.overall) {
        println!("{name:<8} {value:.4}");
    }
    println!("distinct {:.4}", found.distinct);
    println!("METEOR has the exact and stem matchers only; {pictures} pictures on {device} in {seconds:.0} s");
    println!("{} and {}", found.results_file.display(), found.scores_file.display());
}

fn json(
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
