//! `candlewick compare`: several captioners, one table, one page.

use super::arguments::CompareArguments;
use super::recipe::{self, Recipe};
use super::{Failure, caption, device, evaluate, train};
use candlewick::candle::Device;
use candlewick::captioning::{self, Compared, comparison_table, write_comparison};
use std::path::{Path, PathBuf};

/// Trains the captioners that are recipes, evaluates all, and prints the table.
///
/// # Errors
/// When a recipe, a model or the data cannot be read, or the files cannot be written.
pub fn run(arguments: &CompareArguments) -> Result<(), Failure> {
    let (device, _) = device::open(&arguments.device)?;
    let encoder_weights = arguments.encoder_weights.as_deref();
    if !arguments.set_recipes.is_empty() && !arguments.captioners.iter().any(|path| is_recipe(path)) {
        return Err(Failure::usage("--set: none of these is a recipe whose settings could be changed"));
    }
    let mut compared: Vec<Compared> = Vec::new();
    let mut shown = None;
    for path in &arguments.captioners {
        let folder = if is_recipe(path) { &trained(path, arguments, &device)? } else { path };
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        if compared.iter().any(|other| other.name == name) {
            let fault = format!(
                "{}: another captioner is called {name} too; give their folders different names",
                folder.display()
            );
            return Err(Failure::usage(fault));
        }
        let captioner =
            caption::open(std::slice::from_ref(folder), encoder_weights, arguments.search.mirrored, &device)?;
        let generation = caption::search(&*captioner, &arguments.search)?;
        let quiet = arguments.quiet || !compared.is_empty();
        let set = evaluate::read(&arguments.set, &*captioner, quiet)?;
        let bar = train::counter(set.pictures.len() as u64, "captioning", arguments.quiet);
        let out = arguments.out.join(&name);
        let progress = &mut |done| bar.set_position(done as u64);
        let evaluation = captioning::evaluate(&*captioner, &set, &generation, &out, progress)?;
        bar.finish_and_clear();
        compared.push(Compared { name, evaluation, training_seconds: training_seconds(folder) });
        shown = Some(set);
    }
    print!("{}", comparison_table(&compared));
    if let Some(set) = shown {
        println!("{}", write_comparison(&arguments.out, &set, &compared, arguments.shown)?.display());
    }
    Ok(())
}

fn is_recipe(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "toml")
}

/// Trains a recipe into `runs/NAME`, or goes on there; a run that has come to its end is taken as it is.
fn trained(path: &Path, arguments: &CompareArguments, device: &Device) -> Result<PathBuf, Failure> {
    let Recipe::Captioning(mut recipe) = recipe::read(Some(path), &arguments.set_recipes)? else {
        let fault = "not a captioning recipe; captioners are compared with captioners";
        return Err(Failure::Work(format!("{}: {fault}", path.display())));
    };
    let regions = arguments.set.regions.as_deref();
    train::take(&mut recipe, (Some(&arguments.set.data), arguments.encoder_weights.as_deref(), None, regions))?;
    let out = PathBuf::from("runs").join(&recipe.name);
    if !arguments.quiet {
        eprintln!("training {} into {}", recipe.name, out.display());
    }
    let mut task = train::prepared(&recipe, &out, device, arguments.quiet)?;
    train::trained(&mut task, &recipe.training, &out, arguments.quiet)?;
    Ok(out)
}

/// How long a run took, by the last line of its log.
fn training_seconds(folder: &Path) -> Option<f64> {
    let log = std::fs::read_to_string(folder.join("log.jsonl")).ok()?;
    let last: serde_json::Value = serde_json::from_str(log.lines().last()?).ok()?;
    last.get("seconds")?.as_f64()
}
