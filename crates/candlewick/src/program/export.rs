//! `candlewick export`: from a run to a folder to give away.

use super::arguments::ExportArguments;
use super::output::say;
use super::{Failure, hub};
use candlewick::data::text::read_utf8;
use candlewick::training::{Export, MODEL_FILE, ModelFolder, RECIPE_FILE, export};
use std::path::Path;
use toml::{Table, Value};

/// What the recipe is called beside a model.
const RECIPE: &str = "train.toml";

/// Exports a model of type M.
///
/// # Errors
/// One line that names the file and the fault; then nothing was written.
pub fn run<M: ModelFolder>(arguments: &ExportArguments) -> Result<(), Failure> {
    let recipe = recipe(&arguments.run)?;
    let how = Export {
        dtype: arguments.dtype,
        encoder_weights: hub::encoder_weights(arguments.encoder_weights.as_deref())?,
        files: recipe.map(|text| (RECIPE.to_owned(), text)).into_iter().collect(),
    };
    export::<M>(&arguments.run, &arguments.out, &how)?;
    let bytes = std::fs::metadata(arguments.out.join(MODEL_FILE))?.len();
    let (out, dtype) = (arguments.out.display(), how.dtype.as_str());
    if arguments.json {
        return say!("{}", serde_json::json!({ "model": out.to_string(), "dtype": dtype, "bytes": bytes }));
    }
    say!("{out}: {:.1} MB of weights in {dtype}, with a card in README.md", bytes as f64 / 1e6)
}

/// The recipe of the run that a folder is, or is a checkpoint of, without the paths of the machine that it was trained on.
fn recipe(folder: &Path) -> Result<Option<String>, Failure> {
    // What a checkpoint has beside its model tells it from a folder of another kind that lies beside somebody's recipe.
    let run = if folder.join("trainer.json").is_file() { folder.parent() } else { Some(folder) };
    let Some(path) = run.map(|run| run.join(RECIPE_FILE)).filter(|path| path.is_file()) else { return Ok(None) };
    let mut table: Table = read_utf8(&path)?.parse().map_err(|error: toml::de::Error| {
        let fault = error.message().lines().next().unwrap_or_default().to_owned();
        Failure::Work(format!("{}: {fault}", path.display()))
    })?;
    table.iter_mut().for_each(|(_, value)| without_folders(value));
    Ok(Some(toml::to_string(&table)?))
}

/// Leaves the last part of every absolute path.
fn without_folders(value: &mut Value) {
    match value {
        Value::String(text) if Path::new(text.as_str()).is_absolute() => {
            if let Some(name) = Path::new(text.as_str()).file_name() {
                *text = name.to_string_lossy().into_owned();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(without_folders),
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| without_folders(value)),
        _ => {}
    }
}
