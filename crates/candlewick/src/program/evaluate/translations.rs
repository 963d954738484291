//! How good translations are.

use super::super::arguments::{EvaluateArguments, SearchArguments};
use super::super::output::{note, say};
use super::super::{Failure, device, train};
use super::parse_split;
use candlewick::generation::GenerationConfig;
use candlewick::tasks::translation::{DataConfig, Evaluation, Pairs, Translator, TranslatorEnsemble, evaluate};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Translates a split and scores it as sacreBLEU does.
///
/// # Errors
/// When a model or the sentences cannot be read.
pub fn run(arguments: &EvaluateArguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let EvaluateArguments { model, set, encoding, quiet, out, .. } = arguments;
    let split = parse_split(&set.split)?;
    let (device, device_name) = device::open(&arguments.device)?;
    let open = |folder: &PathBuf| Translator::from_pretrained(folder, &device);
    let ensemble = TranslatorEnsemble::new(model.iter().map(open).collect::<Result<_, _>>()?)?;
    let languages = ensemble.first().config();
    let usual = DataConfig::new(&languages.source, &languages.target);
    let config = DataConfig {
        encoding: encoding.clone().unwrap_or(usual.encoding.clone()),
        dev_share: set.dev_share.unwrap_or(usual.dev_share),
        max_share: set.max_share,
        ..usual
    };
    let pairs = Pairs::load(&set.data, &config)?;
    if !quiet {
        pairs.notes.iter().for_each(|line| note!("{line}"));
    }
    let part = pairs.split(split).map_err(|error| Failure::from(error).of(&set.data))?;
    let generation = settings(&arguments.search, ensemble.first().generation())?;
    let bar = train::counter(part.len() as u64, "translating", *quiet);
    let translate = |texts: &[&str]| ensemble.translate(texts, &generation);
    let found = evaluate(part, translate, &mut |done, _| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    out.as_ref().map_or(Ok(()), |folder| write(folder, &found))?;
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.json {
        let mut object = serde_json::to_value(&found.scores)?;
        object["signatures"] = found.signatures.to_vec().into();
        object["pairs"] = part.len().into();
        object["split"] = split.to_string().into();
        object["seconds"] = seconds.into();
        return say!("{object}");
    }
    for ((name, value), signature) in found.scores.iter().zip(&found.signatures) {
        say!("{name:<5} {value:.2}  {signature}")?;
    }
    say!("{} pairs of the {split} split on {device_name} in {seconds:.0} s", part.len())
}

/// Writes the translations, a line each, in the order of the pairs.
fn write(folder: &Path, found: &Evaluation) -> Result<(), Failure> {
    let path = folder.join("translations.txt");
    let text: String = found.translations.iter().map(|told| told.text.replace('\n', " ") + "\n").collect();
    let done = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text));
    done.map_err(|error| Failure::from(error).of(&path))
}

fn settings(arguments: &SearchArguments, own: &GenerationConfig) -> Result<GenerationConfig, Failure> {
    let generation = GenerationConfig {
        num_beams: arguments.beam.unwrap_or(own.num_beams),
        length_penalty: arguments.length_penalty.unwrap_or(own.length_penalty),
        max_new_tokens: arguments.max_words.unwrap_or(own.max_new_tokens),
        ..own.clone()
    };
    generation.validate().map_err(Failure::usage)?;
    Ok(generation)
}
