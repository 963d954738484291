//! `candlewick evaluate`: decodes a split and scores it.

mod coco_zip;
pub mod drawings;
pub mod glimpses;
pub mod questions;
pub mod sequences;
pub mod translations;

use super::arguments::{EvaluateArguments, SetArguments};
use super::output::{note, say};
use super::{Failure, caption, device, hub, search};
use candlewick::captioning::{Caption, CaptionDataset, CaptionPictures, Evaluation, caption_all, evaluate};
use candlewick::data::captions::{self, CaptionSet, LoadOptions, Split};
use candlewick::data::image_classes;
use candlewick::data::text::{Corpus, read_text};
use candlewick::metrics::caption::coco::Overall;
use candlewick::tasks::classification::{self, Classifier};
use candlewick::tasks::language_model::LanguageModel;
use candlewick::training::Scores;
use coco_zip::Submission;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Tells how often a classifier is right on the pictures of a split.
///
/// # Errors
/// When model or pictures cannot be read.
pub fn classifier(arguments: &EvaluateArguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let EvaluateArguments { model, set, .. } = arguments;
    let split = parse_split(&set.split)?;
    let (device, device_name) = device::open(&arguments.device)?;
    let classifier = Classifier::from_pretrained(&model[0], &device)?;
    let pictures = image_classes::load(&set.data, classification::DataConfig::default().dev_share)?;
    let examples = pictures.split(split);
    if examples.is_empty() {
        return Err(Failure::Work(format!("{}: the {split} split has no pictures", set.data.display())));
    }
    let found = classification::evaluate(&classifier, &pictures.classes, examples, set.max_share)?;
    if !arguments.quiet {
        found.skipped.iter().for_each(|line| note!("{line}"));
    }
    tell(arguments, (&found.scores, ""), (found.pictures, "pictures"), (split, &device_name, begun))
}

/// Scores a language model on a text, read once in one stream; of a file the last tenth, of a folder its part.
///
/// # Errors
/// When model or text cannot be read.
pub fn language_model(arguments: &EvaluateArguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let EvaluateArguments { model, set, .. } = arguments;
    let (device, device_name) = device::open(&arguments.device)?;
    let model = LanguageModel::from_pretrained(&model[0], &device)?;
    let text = part(set, arguments.encoding.as_deref().unwrap_or("utf-8"))?;
    // A closed vocabulary has no such token, and refuses the text.
    if model.tokenizer().unknown().is_some()
        && let Some(unknown) = model.tokenizer().first_unknown(&text)
    {
        note!("{unknown:?}, and what else the model did not learn, counts as its token for what is unknown");
    }
    let score = model.score(&text)?;
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.json {
        return say!(
            "{}",
            serde_json::json!({
                "nats_per_character": score.nats_per_character(),
                "bits_per_character": score.bits_per_character(),
                "perplexity": score.perplexity(),
                "characters": score.characters,
                "tokens": score.tokens,
                "seconds": seconds,
            })
        );
    }
    say!("nats_per_character {:.4}", score.nats_per_character())?;
    say!("bits_per_character {:.4}", score.bits_per_character())?;
    say!("perplexity         {:.2}", score.perplexity())?;
    say!("{} characters, {} tokens on {device_name} in {seconds:.0} s", score.characters, score.tokens)
}

/// Tells the scores of a split, with their unit where they have one, and how many items they are of.
fn tell(
    arguments: &EvaluateArguments,
    (scores, unit): (&Scores, &str),
    (count, items): (usize, &str),
    (split, device_name, begun): (Split, &str, Instant),
) -> Result<(), Failure> {
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.json {
        let mut object = serde_json::to_value(scores)?;
        object[items] = count.into();
        object["split"] = split.to_string().into();
        object["seconds"] = seconds.into();
        return say!("{object}");
    }
    let width = scores.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    scores.iter().try_for_each(|(name, value)| say!("{name:<width$} {value:.4}{unit}"))?;
    say!("{count} {items} of the {split} split on {device_name} in {seconds:.0} s")
}

/// A fault with the name of the model where its numbers are broken, and otherwise of the data.
fn of_model_or_data(error: candlewick::training::Error, (model, data): (&Path, &Path)) -> Failure {
    let of = if matches!(error, candlewick::training::Error::NotNumbers(_)) { model } else { data };
    Failure::from(error).of(of)
}

/// The text of a split: a file that is named is its own last tenth as dev, the rest as train, and the whole as test.
fn part(set: &SetArguments, encoding: &str) -> Result<String, Failure> {
    let (split, path) = (parse_split(&set.split)?, &set.data);
    if split == Split::Test && path.is_file() {
        return Ok(read_text(path, encoding)?);
    }
    let corpus = Corpus::open(path, encoding, set.dev_share.unwrap_or(0.1))?;
    match split {
        Split::Train => Ok(corpus.train.whole()?),
        Split::Dev => Ok(corpus.dev.whole()?),
        Split::Test => Err(Failure::usage("--split test: name the file of the test part with --data")),
    }
}

/// Captions a split and scores the captions.
///
/// # Errors
/// When the model or the data cannot be read, or the files cannot be written.
pub fn captioner(arguments: &EvaluateArguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let split = parse_split(&arguments.set.split)?;
    arguments.coco_zip.as_deref().map_or(Ok(()), coco_zip::check_name)?;
    let (device, device_name) = device::open(&arguments.device)?;
    let weights = hub::encoder_weights(arguments.encoder_weights.as_deref())?;
    let captioner = &*caption::open(&arguments.model, weights.as_deref(), arguments.search.mirrored, &device)?;
    let generation = search::settings(captioner, &arguments.search, None)?;
    let images = load(&arguments.set, arguments.quiet, arguments.coco_zip.is_none())?;
    let set = read(&images, &arguments.set, captioner, arguments.quiet)?;
    let submission = arguments.coco_zip.as_ref().map(|name| Submission::new(name, set.pictures.paths())).transpose()?;
    let folder = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("runs/evaluation").join(format!("{split}-beam{}", generation.num_beams)));
    let bar = super::train::counter(set.pictures.len() as u64, "captioning", arguments.quiet);
    let progress = &mut |done| bar.set_position(done as u64);
    let pictures = set.pictures.len();
    if let Some(submission) = submission.as_ref().filter(|_| set.references.iter().all(Vec::is_empty)) {
        return hand_in(submission, &folder, arguments.json, || {
            let captions = caption_all(captioner, &set, &generation, progress)?;
            bar.finish_and_clear();
            Ok(captions)
        });
    }
    let found = evaluate(captioner, &set, &generation, &folder, progress)?;
    bar.finish_and_clear();
    let zip = submission.map(|submission| submission.write(&folder, &texts(&found.captions))).transpose()?;
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.json {
        let mut object = json(&found, pictures, generation.num_beams, split, seconds)?;
        if let Some(zip) = zip {
            object["coco_zip"] = zip.display().to_string().into();
        }
        return say!("{object}");
    }
    print(&found, pictures, &device_name, seconds)?;
    zip.map_or(Ok(()), |zip| say!("{} for COCO's server", zip.display()))
}

fn texts(captions: &[Caption]) -> Vec<&str> {
    captions.iter().map(|caption| caption.text.as_str()).collect()
}

/// Writes captions of pictures of which nobody has told, and which therefore cannot be scored here.
fn hand_in(
    submission: &Submission,
    folder: &Path,
    json: bool,
    caption: impl FnOnce() -> Result<Vec<Caption>, Failure>,
) -> Result<(), Failure> {
    // Before hours of decoding, not after.
    std::fs::create_dir_all(folder).map_err(|error| Failure::from(error).of(folder))?;
    let captions = caption()?;
    let (zip, pictures) = (submission.write(folder, &texts(&captions))?.display().to_string(), captions.len());
    match json {
        true => say!("{}", serde_json::json!({ "pictures": pictures, "coco_zip": zip })),
        false => say!("{pictures} pictures without captions of people, in {zip}"),
    }
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
    load(arguments, quiet, true)
}

fn load(arguments: &SetArguments, quiet: bool, need_captions: bool) -> Result<CaptionSet, Failure> {
    let SetArguments { data, split, dev_share, max_share, .. } = arguments;
    let mut options = LoadOptions { max_share: *max_share, need_captions, ..LoadOptions::default() };
    options.dev_share = dev_share.unwrap_or(options.dev_share);
    let all = captions::load(data, &options)?;
    if !quiet {
        all.left_out().into_iter().for_each(|line| note!("{line}"));
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
pub fn read(
    all: &CaptionSet,
    arguments: &SetArguments,
    captioner: &dyn CaptionPictures,
    quiet: bool,
) -> Result<CaptionDataset, Failure> {
    let SetArguments { split, max_share, regions, .. } = arguments;
    let (split, max_share) = (parse_split(split)?, *max_share);
    let set = CaptionDataset::photos(all.split(split), captioner.preprocessing().clone());
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
        (overall.meteor.name(), overall.meteor.value()),
        ("ROUGE_L", overall.rouge_l),
        ("CIDEr", overall.cider),
    ]
}

/// A line for each score.
///
/// # Errors
/// Where standard output takes no more.
pub fn print_scores(overall: &Overall) -> Result<(), Failure> {
    rows(overall).iter().try_for_each(|(name, value)| say!("{name:<17} {value:.4}"))
}

fn print(found: &Evaluation, pictures: usize, device: &str, seconds: f64) -> Result<(), Failure> {
    print_scores(&found.scores.overall)?;
    say!("distinct          {:.4}", found.distinct)?;
    if let Some(moves) = found.moves {
        say!("moves             {moves:.4} of neighbouring words have their attention's peak at different positions")?;
    }
    say!("{pictures} pictures on {device} in {seconds:.0} s")?;
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
