//! How often a classifier of sequences is right.

use super::super::arguments::EvaluateArguments;
use super::super::output::note;
use super::super::{Failure, device, train};
use super::{parse_split, tell};
use candlewick::tasks::sequence_classification::{DataConfig, LabelledSequences, SequenceClassifier, evaluate};
use indicatif::ProgressBar;
use std::time::Instant;

/// Tells how often a classifier is right on the sequences of a split.
///
/// # Errors
/// When model or sequences cannot be read.
pub fn run(arguments: &EvaluateArguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let EvaluateArguments { model, set, encoding, quiet, .. } = arguments;
    let split = parse_split(&set.split)?;
    let (device, device_name) = device::open(&arguments.device)?;
    let classifier = SequenceClassifier::from_pretrained(&model[0], &device)?;
    let usual = classifier.data_config();
    let config = DataConfig {
        encoding: encoding.clone().unwrap_or_else(|| usual.encoding.clone()),
        dev_share: set.dev_share.unwrap_or(usual.dev_share),
        max_share: set.max_share,
        ..usual
    };
    // Those that are drawn have no files: --data moving.
    let drawn = config.drawn_as().filter(|name| set.data.as_os_str() == *name && !set.data.exists());
    let sequences = match drawn.and_then(|_| LabelledSequences::drawn(&config)) {
        Some(drawn) => drawn,
        None => {
            let mut bar = None;
            let read = LabelledSequences::load_told(&set.data, &config, &mut |done, total| {
                let bar = bar.get_or_insert_with(|| train::counter(total as u64, "files read", *quiet));
                bar.set_position(done as u64);
            });
            bar.iter().for_each(ProgressBar::finish_and_clear);
            read?
        }
    };
    if !quiet {
        sequences.notes.iter().for_each(|line| note!("{line}"));
    }
    let count = sequences.split(split).map_err(|error| Failure::from(error).of(&set.data))?.len();
    let bar = train::counter(count as u64, "classifying", *quiet);
    let scores = evaluate(&classifier, &sequences, split, &mut |done, _| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    tell(arguments, (&scores, ""), (count, "sequences"), (split, &device_name, begun))
}
