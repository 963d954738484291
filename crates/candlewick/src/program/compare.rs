//! `candlewick compare`: several captioners, one table, one page.

use super::arguments::CompareArguments;
use super::output::{note, say};
use super::{Failure, caption, device, evaluate, hub, recipe, search, train};
use anyhow::Context;
use candlewick::candle::Device;
use candlewick::captioning::{
    self, CaptionDataset, CaptionPictures, Captioner, CaptioningRecipe, Evaluation, GenerationConfig, comparison_table,
    write_comparison,
};
use candlewick::data::captions::CaptionSet;
use candlewick::training::{self, Inputs, Recipe as _, Record};
use std::path::{Path, PathBuf};
use std::time::Instant;
use toml::Table;

/// Where recipes are trained.
const RUNS: &str = "runs";

/// A captioner that is compared.
struct Entry<'a> {
    /// The recipe or the folder that the command line names.
    given: &'a Path,
    name: String,
    /// Where its model lies, or will lie once it is trained.
    folder: PathBuf,
    recipe: Option<Box<CaptioningRecipe>>,
    /// The whole recipe as its run's folder keeps it.
    record: Record,
    /// Whether it starts from the run of a recipe before it, which is still to be made.
    follows: bool,
}

impl Entry<'_> {
    fn trains_into(&self, folder: &Path) -> bool {
        let same = |a: &Path, b: &Path| std::path::absolute(a).ok() == std::path::absolute(b).ok();
        self.recipe.is_some() && same(&self.folder, folder)
    }
}

/// Checks all captioners, trains those that are recipes, in the order given, evaluates all, and prints the table.
///
/// # Errors
/// When a recipe, a model or the data cannot be read, or the files cannot be written.
pub fn run(arguments: &CompareArguments) -> Result<(), Failure> {
    let (device, device_name) = device::open(&arguments.device)?;
    let weights = hub::encoder_weights(arguments.encoder_weights.as_deref())?;
    let weights = weights.as_deref();
    let entries = entries(arguments, weights, &device_name)?;
    let split = evaluate::parse_split(&arguments.set.split)?;
    let images = evaluate::images(&arguments.set, arguments.quiet)?;
    check(&entries, &images, arguments, weights, &device)?;
    let (mut compared, mut told, mut shown) = (Vec::new(), Vec::new(), None);
    for entry in &entries {
        if let Some(recipe) = &entry.recipe {
            trained(recipe, entry, arguments.quiet, &device).map_err(|failure| failure.of(entry.given))?;
        }
        let begun = Instant::now();
        let captioner = opened(&entry.folder, weights, arguments.search.mirrored, &device)?;
        // What cannot be read was told when it was checked.
        let set = evaluate::read(&images, &arguments.set, &*captioner, true)?;
        let generation = search::settings(&*captioner, &arguments.search, None)?;
        let evaluation = evaluated(&*captioner, &set, &generation, entry, arguments)?;
        let (count, seconds) = (set.pictures.len(), begun.elapsed().as_secs_f64());
        let training_seconds = training_seconds(&entry.folder);
        let mut object = evaluate::json(&evaluation, count, generation.num_beams, split, seconds)?;
        object["name"] = entry.name.as_str().into();
        object["model"] = entry.folder.display().to_string().into();
        object["training_seconds"] = training_seconds.into();
        told.push(object);
        compared.push(evaluation.comparison_row(&entry.name, &set, training_seconds));
        shown = Some(set);
    }
    let Some(set) = shown else { return Ok(()) };
    let page = write_comparison(&arguments.out, &set, &compared, arguments.shown)?;
    if arguments.json {
        say!("{}", serde_json::json!({ "captioners": told, "page": page.display().to_string() }))?;
    } else {
        say!("{}{}", comparison_table(&compared), page.display())?;
    }
    Ok(())
}

/// The captioners that the command line names, with their recipes read.
fn entries<'a>(
    arguments: &'a CompareArguments,
    weights: Option<&Path>,
    device: &str,
) -> Result<Vec<Entry<'a>>, Failure> {
    let is_recipe = |path: &Path| path.extension().is_some_and(|end| end == "toml");
    if !arguments.set_recipes.is_empty() && !arguments.captioners.iter().any(|path| is_recipe(path)) {
        return Err(Failure::usage("--set: none of these is a recipe whose settings could be changed"));
    }
    let mut entries: Vec<Entry> = Vec::new();
    for given in &arguments.captioners {
        let recipe = is_recipe(given).then(|| recipe(given, arguments, (weights, device))).transpose();
        let (recipe, record) = recipe.map_err(|failure| failure.of(given))?.unzip();
        let folder = recipe.as_ref().map_or(given.clone(), |recipe| Path::new(RUNS).join(&recipe.name));
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        if let Some(other) = entries.iter().find(|other| other.name == name) {
            let (given, other) = (given.display(), other.given.display());
            let fault = format!("{other} and {given} would both be called {name}; give them different names");
            return Err(Failure::usage(fault));
        }
        entries.push(Entry { given, name, folder, recipe, record: record.unwrap_or_default(), follows: false });
    }
    for at in 0..entries.len() {
        let (before, rest) = entries.split_at_mut(at);
        if let Some((entry, later)) = rest.split_first_mut() {
            entry.follows = follows(before, entry, later)?;
        }
    }
    Ok(entries)
}

/// Finds out whether a table is a captioning recipe; gives the run's name.
fn check_recipe(table: &Table) -> Result<String, String> {
    match recipe::task(table) {
        CaptioningRecipe::TASK => recipe::name::<CaptioningRecipe>(table),
        _ => Err("not a captioning recipe; captioners are compared with captioners".into()),
    }
}

/// Reads a recipe that this comparison can train.
fn recipe(
    path: &Path,
    arguments: &CompareArguments,
    (weights, device): (Option<&Path>, &str),
) -> Result<(Box<CaptioningRecipe>, Record), Failure> {
    let table = recipe::read(Some(path), &arguments.set_recipes, check_recipe)?;
    let inputs = Inputs {
        data: Some(arguments.set.data.clone()),
        encoder_weights: arguments.encoder_weights.clone(),
        start: None,
        regions: arguments.set.regions.clone(),
    };
    let told = train::as_given::<CaptioningRecipe>(table.clone(), &inputs)?;
    let mut recipe = train::read::<CaptioningRecipe>(table)?;
    train::apply(&mut recipe, &Inputs { encoder_weights: weights.map(Path::to_owned), ..inputs })?;
    recipe.training.check().map_err(|error| error.under("training"))?;
    if recipe.self_critical.is_some() && recipe.start.is_none() {
        let fault = "self_critical wants a captioner that learned from people's captions; name its run in the recipe, for instance start = \"runs/flickr8k\"";
        return Err(Failure::Work(fault.into()));
    }
    Ok((Box::new(recipe), train::record(told, device.to_owned())))
}

/// Whether a recipe before this one makes the run that it starts from.
fn follows(before: &[Entry], entry: &Entry, later: &[Entry]) -> Result<bool, Failure> {
    let Some(start) = entry.recipe.as_ref().and_then(|recipe| recipe.start.as_deref()) else { return Ok(false) };
    if before.iter().any(|earlier| earlier.trains_into(start)) {
        return Ok(true);
    }
    if start.is_dir() {
        return Ok(false);
    }
    let what = match later.iter().find(|later| later.trains_into(start)) {
        Some(later) => format!("{}, which makes it, comes later; name it first", later.given.display()),
        None => "no such run; train it first, or name the recipe that makes it before this one".into(),
    };
    Err(Failure::Work(format!("{}: start is {}: {what}", entry.given.display(), start.display())))
}

/// Opens every model and prepares every recipe, so that what is wrong is found before anything is trained; a recipe that starts from a run
/// which is still to be made has to wait for it.
fn check(
    entries: &[Entry],
    images: &CaptionSet,
    arguments: &CompareArguments,
    weights: Option<&Path>,
    device: &Device,
) -> Result<(), Failure> {
    // Models take no time, and the annotations of a recipe's photos some.
    let (models, recipes): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.recipe.is_none());
    let (mut wanted, mut read) = (!recipes.is_empty(), false);
    for entry in models.into_iter().chain(recipes).filter(|entry| !entry.follows) {
        let mut checked = || -> Result<(), Failure> {
            let captioner = match &entry.recipe {
                Some(recipe) => {
                    let task = train::prepared(&**recipe, &entry.folder, device, arguments.quiet)?;
                    training::check(&task, &recipe.training, &entry.folder)?;
                    task.into_captioner()
                }
                None => Captioner::open(&entry.folder, weights, device)?,
            };
            wanted |= captioner.config().encoder.weights.is_some();
            let captioner = caption::together(vec![captioner], arguments.search.mirrored)?;
            search::settings(&*captioner, &arguments.search, None)?;
            caption::regions(&*captioner, arguments.set.regions.as_deref())?;
            // The photos are the same for all.
            if !std::mem::replace(&mut read, true) {
                evaluate::read(images, &arguments.set, &*captioner, arguments.quiet)?;
            }
            Ok(())
        };
        checked().map_err(|failure| failure.of(entry.given))?;
    }
    match weights {
        Some(weights) if !wanted => Err(caption::unwanted(weights, "name the model or the recipe that they belong to")),
        _ => Ok(std::fs::create_dir_all(&arguments.out).with_context(|| format!("{}", arguments.out.display()))?),
    }
}

/// Captions a set with a bar, into a folder of the captioner's name.
fn evaluated(
    captioner: &dyn CaptionPictures,
    set: &CaptionDataset,
    generation: &GenerationConfig,
    entry: &Entry,
    arguments: &CompareArguments,
) -> Result<Evaluation, Failure> {
    let bar = train::counter(set.pictures.len() as u64, "captioning", arguments.quiet);
    let progress = &mut |done| bar.set_position(done as u64);
    let evaluation = captioning::evaluate(captioner, set, generation, &arguments.out.join(&entry.name), progress)?;
    bar.finish_and_clear();
    Ok(evaluation)
}

/// A captioner that may want the encoder's weights or not.
fn opened(
    folder: &Path,
    weights: Option<&Path>,
    mirrored: bool,
    device: &Device,
) -> Result<Box<dyn CaptionPictures>, Failure> {
    caption::together(vec![Captioner::open(folder, weights, device)?], mirrored)
}

/// Trains a recipe into its folder, or goes on there; a run that has come to its end is taken as it is.
fn trained(recipe: &CaptioningRecipe, entry: &Entry, quiet: bool, device: &Device) -> Result<(), Failure> {
    if !quiet {
        note!("training {} into {}", entry.name, entry.folder.display());
    }
    // What was told when it was checked is not told again.
    let mut task = train::prepared(recipe, &entry.folder, device, quiet || !entry.follows)?;
    train::trained(&mut task, &recipe.training, &entry.folder, &entry.record, quiet)?;
    Ok(())
}

/// How long a run took, by the last line of its log.
fn training_seconds(folder: &Path) -> Option<f64> {
    let log = std::fs::read_to_string(folder.join("log.jsonl")).ok()?;
    let last: serde_json::Value = serde_json::from_str(log.lines().last()?).ok()?;
    last.get("seconds")?.as_f64()
}
