//! `candlewick train`: from a recipe to a model.

use super::arguments::TrainArguments;
use super::output::{note, say};
use super::recipe::{self, Recipe};
use super::{Failure, device, hub};
use candlewick::candle::Device;
use candlewick::captioning::{self, Captioner, CaptioningTask, DataConfig, Note, Pictures, write_attention};
use candlewick::tasks::classification;
use candlewick::training::{Bar, FitConfig, Report, Scores, Task, fit};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Pictures whose captions are printed and whose attention is drawn at the end.
const SHOWN: usize = 3;

/// Trains, then shows what was learned.
///
/// # Errors
/// A wrong call where a setting is unknown; otherwise one line that names the file and the fault.
pub fn run(arguments: &TrainArguments) -> Result<(), Failure> {
    let recipe = recipe::read(arguments.recipe.as_deref(), &arguments.set)?;
    let (device, device_name) = device::open(&arguments.device)?;
    let name = recipe.name();
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(name));
    if !arguments.quiet {
        note!("training {name} on {device_name} into {}", out.display());
    }
    match recipe {
        Recipe::Captioning(recipe) => captioner(*recipe, arguments, &out, &device),
        Recipe::Classification(recipe) => classifier(*recipe, arguments, &out, &device),
    }
}

/// Trains a captioner and captions pictures that it never saw.
fn captioner(
    mut recipe: captioning::Recipe,
    arguments: &TrainArguments,
    out: &Path,
    device: &Device,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let TrainArguments { data, encoder_weights, start, regions, .. } = arguments;
    take(&mut recipe, (data.as_deref(), encoder_weights.as_deref(), start.as_deref(), regions.as_deref()))?;
    let mut task = prepared(&recipe, out, device, arguments.quiet)?;
    let report = trained(&mut task, &recipe.training, out, arguments.quiet)?;
    let captioner = Captioner::open(&report.best, recipe.encoder.pretrained.as_deref(), device)?;
    let shown = show(&task, &captioner, out)?;
    let scores = final_scores(&task, &captioner)?;
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.json {
        say!("{}", json(&scores, &report, seconds)?)?;
        return Ok(());
    }
    for example in shown {
        say!("it says:   {}", example.caption)?;
        say!("it is:     {}", example.reference)?;
        say!("it looked: {}\n", example.sheet.display())?;
    }
    print(&scores, &report, out, seconds)?;
    say!("{:<11} {}", "attention", out.join("attention").display())?;
    Ok(())
}

/// Trains a classifier and tells how often it is right on the test part, or where there is none on the dev part.
fn classifier(
    mut recipe: classification::Recipe,
    arguments: &TrainArguments,
    out: &Path,
    device: &Device,
) -> Result<(), Failure> {
    let begun = Instant::now();
    if arguments.start.is_some() {
        return Err(Failure::usage("--start: a classifier starts from --encoder-weights"));
    }
    if arguments.regions.is_some() {
        return Err(Failure::usage("--regions: a classifier looks at pictures; leave the file of regions out"));
    }
    recipe.data.path = arguments.data.clone().or(recipe.data.path);
    let weights = arguments.encoder_weights.as_deref().or(recipe.network.pretrained.as_deref());
    recipe.network.pretrained = hub::encoder_weights(weights)?;
    let (mut task, set) = classification::prepare(&recipe, device)?;
    for line in set.notes.iter().cloned().chain(task.skipped()) {
        note!("{line}");
    }
    if !arguments.quiet {
        let (train, dev, test, classes) = (set.train.len(), set.dev.len(), set.test.len(), set.classes.len());
        note!("{train} pictures to train on, {dev} to validate on, {test} to test on, {classes} classes");
    }
    let report = trained(&mut task, &recipe.training, out, arguments.quiet)?;
    task.load(&report.best)?;
    let (part, examples) = if set.test.is_empty() { ("dev", &set.dev) } else { ("test", &set.test) };
    let scores = task.scores(examples)?;
    let seconds = begun.elapsed().as_secs_f64();
    if arguments.json {
        let mut object = json(&scores, &report, seconds)?;
        object["split"] = part.into();
        say!("{object}")?;
        return Ok(());
    }
    say!("on {} pictures of the {part} split:", examples.len())?;
    print(&scores, &report, out, seconds)?;
    Ok(())
}

/// Puts the files that the command line names into the recipe.
pub fn take(
    recipe: &mut captioning::Recipe,
    (data, encoder_weights, start, seen): (Option<&Path>, Option<&Path>, Option<&Path>, Option<&Path>),
) -> Result<(), Failure> {
    recipe.encoder.pretrained = hub::encoder_weights(encoder_weights.or(recipe.encoder.pretrained.as_deref()))?;
    if let Some(folder) = start {
        recipe.start = Some(folder.to_owned());
    }
    match (&mut recipe.data, data) {
        (DataConfig::Photos { path, .. }, Some(data)) => *path = Some(data.to_owned()),
        (DataConfig::Scenes { .. }, Some(_)) => {
            let fault = "--data: the recipe trains on generated scenes and reads no data; name a recipe of photos such as models/flickr8k/train.toml";
            return Err(Failure::usage(fault));
        }
        _ => {}
    }
    match (&mut recipe.data, seen) {
        (DataConfig::Photos { regions, .. }, Some(seen)) => *regions = Some(seen.to_owned()),
        (DataConfig::Scenes { .. }, Some(_)) => {
            return Err(Failure::usage("--regions: the recipe trains on generated scenes, whose regions no file has"));
        }
        _ => {}
    }
    Ok(())
}

/// Reads data and weights, with a bar while annotations are computed.
///
/// # Errors
/// As [`captioning::prepare`] says.
pub fn prepared(
    recipe: &captioning::Recipe,
    out: &Path,
    device: &Device,
    quiet: bool,
) -> Result<CaptioningTask, Failure> {
    let mut bar: Option<ProgressBar> = None;
    let mut note = |note: Note| match note {
        Note::Line(line) if !quiet => note!("{line}"),
        Note::Line(_) => {}
        Note::Features { done, total } => {
            let shown = bar.get_or_insert_with(|| counter(total as u64, "annotations", quiet));
            shown.set_position(done as u64);
            if done == total {
                // Another view may come, with a bar of its own.
                shown.finish_and_clear();
                bar = None;
            }
        }
    };
    Ok(captioning::prepare(recipe, out, device, &mut note)?)
}

/// Trains with a bar.
///
/// # Errors
/// As [`fit`] says.
pub fn trained(task: &mut impl Task, config: &FitConfig, out: &Path, quiet: bool) -> Result<Report, Failure> {
    let mut bar = Bar::new(quiet);
    Ok(fit(task, config, out, &mut bar)?)
}

/// A progress bar that counts to `total`, hidden where `quiet` or where standard error is no terminal.
pub fn counter(total: u64, what: &'static str, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta} left");
    ProgressBar::with_draw_target(Some(total), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

/// A caption of the finished model: what people say, what it says, and where its attention is drawn.
struct Shown {
    reference: String,
    caption: String,
    sheet: PathBuf,
}

/// Captions the first pictures of the dev set and draws where the network looked.
fn show(task: &CaptioningTask, captioner: &Captioner, out: &Path) -> Result<Vec<Shown>, Failure> {
    let dev = task.dev();
    let mut shown = Vec::new();
    let captions = captioning::decode(captioner, dev, Some(SHOWN), SHOWN, captioner.generation(), &mut |_| ())?;
    for (row, mut caption) in captions.into_iter().enumerate() {
        let photo = match dev.pictures.photo(row) {
            Ok(photo) => photo,
            Err(fault) => {
                note!("{fault}");
                continue;
            }
        };
        if let Pictures::Regions(regions) = &dev.pictures {
            caption = regions.placed(row, caption)?;
        }
        let name = Path::new(&dev.names[row].to_string())
            .file_stem()
            .map(PathBuf::from)
            .unwrap_or_else(|| row.to_string().into());
        let seen = match &dev.pictures {
            Pictures::Regions(_) => photo,
            _ => captioner.preprocessing().original(&photo)?,
        };
        let sheet = write_attention(&out.join("attention").join(name), &seen, &caption)?;
        let reference = dev.references[row].first().cloned().unwrap_or_default();
        shown.push(Shown { reference, caption: caption.text, sheet });
    }
    Ok(shown)
}

/// The scores of the best checkpoint on the whole dev set.
fn final_scores(task: &CaptioningTask, captioner: &Captioner) -> Result<Scores, Failure> {
    let captions =
        candlewick::captioning::decode(captioner, task.dev(), None, 64, captioner.generation(), &mut |_| ())?;
    Ok(task.dev().scores(&captions)?)
}

fn print(scores: &Scores, report: &Report, out: &Path, seconds: f64) -> Result<(), Failure> {
    for (name, value) in scores.iter() {
        say!("{name:<11} {value:.4}")?;
    }
    say!("{:<11} {seconds:.0} s", "time")?;
    say!("{:<11} {}", "model", report.best.display())?;
    say!("{:<11} {}", "curves", out.join("curves.svg").display())
}

fn json(scores: &Scores, report: &Report, seconds: f64) -> Result<serde_json::Value, Failure> {
    let mut object = serde_json::to_value(scores)?;
    if let Some(object) = object.as_object_mut() {
        object.insert("seconds".into(), seconds.into());
        object.insert("model".into(), report.best.display().to_string().into());
    }
    Ok(object)
}
