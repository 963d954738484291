//! Recipes: a TOML file, changed by `--set`.

use super::Failure;
use super::embedded::{EmbeddedRecipe, RECIPES};
use super::output::escaped;
use candlewick::data::text::read_utf8;
use candlewick::parameters::nearest;
use candlewick::training::Recipe;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Component, Path};
use toml::{Table, Value};

/// Finds out whether a table is a recipe of its task; gives the run's name.
pub type Check = fn(&Table) -> Result<String, String>;

/// The word that says which task a recipe is of.
pub fn task(table: &Table) -> &str {
    table.get("task").and_then(Value::as_str).unwrap_or("captioning")
}

/// The name of the run of a recipe of type R.
///
/// # Errors
/// With the key where the table is no such recipe.
pub fn name<R: Recipe>(table: &Table) -> Result<String, String> {
    numbers(table)?;
    Ok(whole::<R>(table.clone())?.name().to_owned())
}

/// A recipe of type R with every setting, those that it leaves out by their defaults.
///
/// # Errors
/// With the key where the table is no such recipe.
pub fn full<R: Recipe>(table: Table) -> Result<String, String> {
    toml::to_string(&whole::<R>(table)?).map_err(|error| one_line(&error.to_string()))
}

/// Refuses what TOML takes for numbers and no setting can be: NaN and the infinities.
fn numbers(table: &Table) -> Result<(), String> {
    fn walk(key: &str, value: &Value) -> Result<(), String> {
        match value {
            Value::Float(number) if !number.is_finite() => Err(format!("{key} is {number}; wanted a finite number")),
            Value::Array(values) => values.iter().try_for_each(|value| walk(key, value)),
            Value::Table(table) => table.iter().try_for_each(|(name, value)| walk(&format!("{key}.{name}"), value)),
            _ => Ok(()),
        }
    }
    table.iter().try_for_each(|(name, value)| walk(name, value))
}

/// Refuses a run's name that would lead out of the folder of runs, or be no name of a folder.
fn is_folder(name: &str) -> Result<(), String> {
    let plain = Path::new(name).components().eq([Component::Normal(name.as_ref())]);
    match plain && name.len() <= 200 && !name.contains(['/', '\\']) && !name.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(format!("name is {name:?}; wanted the plain name of a folder, which is made in runs/")),
    }
}

/// Reads all of a table: what is wrong is told with its key, and a key that nothing reads is wrong, also where the files of models may
/// have others.
///
/// # Errors
/// With the key of what is wrong.
pub fn whole<T: DeserializeOwned + Serialize>(table: Table) -> Result<T, String> {
    let mut unread = None;
    let mut note = |path: serde_ignored::Path| unread = unread.take().or_else(|| Some(path.to_string()));
    let found = serde_path_to_error::deserialize(serde_ignored::Deserializer::new(Value::Table(table), &mut note));
    let read = found.map_err(|error| {
        let (path, fault) = (error.path().to_string(), one_line(error.inner().message()));
        let fault = with_nearest(&fault);
        if path == "." { fault } else { format!("{path}: {fault}") }
    })?;
    match unread {
        None => Ok(read),
        Some(key) => Err(format!("{key}: no such setting{}", beside(&read, &key))),
    }
}

/// A fault in which serde lists all that it knows: only the nearest, where one is near.
fn with_nearest(fault: &str) -> String {
    let unknown = fault.starts_with("unknown field") || fault.starts_with("unknown variant");
    let words: Vec<&str> = fault.split('`').skip(1).step_by(2).collect();
    match (words.split_first(), fault.split_once(", expected")) {
        (Some((given, known)), Some((said, _))) if unknown => match nearest(given, known) {
            none if none.is_empty() => fault.to_owned(),
            nearest => format!("{said}{nearest}"),
        },
        _ => fault.to_owned(),
    }
}

/// The nearest of the settings that stand beside this key in a recipe.
fn beside<T: Serialize>(recipe: &T, key: &str) -> String {
    let parts: Vec<&str> = key.split('.').filter(|part| *part != "?").collect();
    let Some((given, above)) = parts.split_last() else { return String::new() };
    let whole = Value::try_from(recipe).ok();
    let table = above.iter().try_fold(whole.as_ref(), |value, part| Some(value?.get(part))).flatten();
    let known: Vec<&str> =
        table.and_then(Value::as_table).into_iter().flat_map(Table::keys).map(String::as_str).collect();
    nearest(given, &known)
}

/// Where a recipe comes from.
enum Source<'a> {
    File(&'a Path),
    Embedded(&'static EmbeddedRecipe),
}

impl<'a> Source<'a> {
    /// A file, or a built-in recipe by its name; without either that of generated scenes.
    fn of(given: Option<&'a Path>) -> Result<Self, Failure> {
        let Some(path) = given else { return Ok(Self::Embedded(&RECIPES[0])) };
        // A folder of the name is likely its data.
        match path.to_str().and_then(EmbeddedRecipe::find).filter(|_| !path.is_file()) {
            Some(recipe) => Ok(Self::Embedded(recipe)),
            None if path.extension().is_some() || path.exists() || path.components().count() > 1 => {
                Ok(Self::File(path))
            }
            None => {
                let name = path.to_string_lossy();
                let names: Vec<&str> = RECIPES.iter().map(|recipe| recipe.name).collect();
                let nearest = nearest(&name, &names);
                Err(Failure::usage(format!(
                    "recipe {}: no such file, and no built-in recipe is called so{nearest}; candlewick recipes lists them",
                    escaped(&name)
                )))
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Embedded(recipe) => format!("the built-in recipe {}", recipe.name),
        }
    }

    fn text(&self) -> Result<String, Failure> {
        match self {
            Self::File(path) => Ok(read_utf8(path)?),
            Self::Embedded(recipe) => Ok(recipe.text.to_owned()),
        }
    }

    /// The name and the text of the recipe that `base` names.
    fn base(&self, file: &str) -> Result<(String, String), Failure> {
        match self {
            Self::File(path) => {
                let beside = path.parent().unwrap_or(Path::new("")).join(file);
                Ok((beside.display().to_string(), read_utf8(&beside)?))
            }
            Self::Embedded(recipe) => match recipe.beside(file) {
                Some(base) => Ok((base.name.to_owned(), base.text.to_owned())),
                None => Err(Failure::Work(format!("{}: its base {file} is not in the program", recipe.name))),
            },
        }
    }
}

/// Reads a recipe from a file or by its built-in name, and changes the settings that `--set` names.
///
/// # Errors
/// A wrong call where `--set` names what the recipe does not know; otherwise one line that names the file.
pub fn read(path: Option<&Path>, changes: &[String], check: Check) -> Result<Table, Failure> {
    let source = Source::of(path)?;
    let name = source.name();
    let table = based(parsed(&name, &source.text()?)?, &source)?;
    check(&table).map_err(|fault| Failure::Work(format!("{name}: {fault}")))?;
    let mut changed = table;
    for change in changes {
        let told = escaped(change);
        let Some((key, value)) = change.split_once('=') else {
            return Err(Failure::usage(format!("--set {told}: wants KEY=VALUE, for instance training.epochs=3")));
        };
        parse(value.trim())
            .and_then(|value| set(&mut changed, key.trim(), value))
            .map_err(|error| Failure::usage(format!("--set {told}: {error}")))?;
        // Each change is tried by itself, so that the message can name it.
        check(&changed).map_err(|fault| Failure::usage(format!("--set {told}: {fault}")))?;
    }
    let run = check(&changed).map_err(Failure::Work)?;
    is_folder(&run).map_err(|fault| Failure::Work(format!("{name}: {fault}")))?;
    Ok(changed)
}

/// The recipe on top of the one that its `base` names, a file beside it.
fn based(mut table: Table, source: &Source) -> Result<Table, Failure> {
    let Some(base) = table.remove("base") else { return Ok(table) };
    let Some(base) = base.as_str() else {
        let fault = format!("{}: base is {base}; wanted the name of a recipe beside this one", source.name());
        return Err(Failure::Work(fault));
    };
    let (name, text) = source.base(base)?;
    let mut below = parsed(&name, &text)?;
    if below.contains_key("base") {
        return Err(Failure::Work(format!("{name}: has a base itself; name the recipe at the bottom")));
    }
    overlay(&mut below, table);
    Ok(below)
}

/// Puts settings over others, table by table; a table of another `kind` replaces the one below.
fn overlay(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if !above.contains_key("kind") => overlay(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// TOML's own reading of a value; what is none is a text.
///
/// # Errors
/// Where it holds another setting beside.
fn parse(value: &str) -> Result<Value, String> {
    let Ok(mut table) = format!("value = {value}").parse::<Table>() else { return Ok(Value::String(value.to_owned())) };
    let found = table.remove("value").unwrap_or_else(|| Value::String(value.to_owned()));
    match table.keys().next() {
        Some(other) => Err(format!("sets {other} as well; give each setting a --set of its own")),
        None => Ok(found),
    }
}

/// More parts than the key of any setting has.
const DEEPEST: usize = 16;

fn set(table: &mut Table, key: &str, value: Value) -> Result<(), String> {
    if key.split('.').count() > DEEPEST {
        return Err("no setting lies so deep".into());
    }
    match key.split_once('.') {
        None if key.is_empty() => Err("the key is empty".into()),
        None => {
            table.insert(key.to_owned(), value);
            Ok(())
        }
        Some((first, rest)) => match table.entry(first).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => set(inner, rest, value),
            _ => Err(format!("{first} is a value and has no settings in it")),
        },
    }
}

/// The table that a file's text is.
fn parsed(name: &str, text: &str) -> Result<Table, Failure> {
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Failure::Work(format!("{name}: line {line}: {}", one_line(error.message())))
    })
}

/// The lines of a message as one.
fn one_line(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use candlewick::captioning::CaptioningRecipe;

    fn fault(text: &str) -> String {
        name::<CaptioningRecipe>(&text.parse().unwrap()).unwrap_err()
    }

    #[test]
    fn a_wrong_setting_is_told_with_its_key_wherever_it_stands() {
        let kind = "task = 'captioning'\nname = 'a'\ndata = { kind = 'scenes', train = 1, dev = 1 }\n";
        for (setting, wanted) in [
            ("training = { epochs = 'many' }", "training.epochs: "),
            ("training = { epoch = 3 }", "training.epoch: unknown field `epoch`; did you mean epochs?"),
            ("training = { pace = 3 }", "training.pace: unknown field `pace`, expected one of `epochs`"),
            ("training = { resume = 'nevr' }", "training.resume: unknown variant `nevr`; did you mean never?"),
            ("decoder = { hiden_size = 3 }", "decoder: unknown field `hiden_size`; did you mean hidden_size?"),
            ("generation = { num_beam = 5 }", "generation.num_beam: no such setting; did you mean num_beams?"),
            ("generation = { pace = 5 }", "generation.pace: no such setting"),
            (
                "preprocessing = { do_resize = true, size = { shortest_edge = 9 }, do_normalize = false, crop = 3 }",
                "preprocessing.crop: no such setting",
            ),
        ] {
            let training = if setting.starts_with("training") { "" } else { "\ntraining = { epochs = 1 }" };
            let found = fault(&format!("{kind}{setting}{training}"));
            assert!(found.starts_with(wanted) && !found.contains('\n'), "{found}");
        }
    }

    #[test]
    fn numbers_that_are_none_are_told_with_their_key() {
        let kind = "task = 'captioning'\nname = 'a'\ntraining = { epochs = 1 }\n";
        for (setting, key) in [
            ("data = { kind = 'photos', max_share = nan }", "data.max_share is NaN"),
            (
                "preprocessing = { image_std = [inf, 1.0, 1.0], image_mean = [0.0, 0.0, 0.0], do_resize = false }",
                "preprocessing.image_std is inf",
            ),
        ] {
            let data =
                if setting.starts_with("data") { "" } else { "\ndata = { kind = 'scenes', train = 1, dev = 1 }" };
            let found = fault(&format!("{kind}{setting}{data}"));
            assert!(found.starts_with(key), "{found}");
        }
    }

    #[test]
    fn a_set_is_one_setting_and_a_name_is_one_folder() {
        assert!(parse("1\ntraining.seed=2").unwrap_err().contains("sets training as well"));
        assert_eq!(parse("3").unwrap(), Value::Integer(3));
        assert!(set(&mut Table::new(), &"a.".repeat(50_000), Value::Integer(1)).is_err());
        for name in ["../x", "a/b", "..", ".", "", "/tmp/x", "a\nb", "a\\b"] {
            assert!(is_folder(name).is_err(), "{name:?}");
        }
        is_folder("flickr8k-2").unwrap();
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        let Err(Failure::Work(found)) = parsed("a.toml", "a = 1\nb = = 2") else { panic!("accepted") };
        assert!(found.starts_with("a.toml: line 2: "), "{found}");
    }

    #[test]
    fn a_recipe_lies_on_its_base_table_by_table() {
        let mut below: Table = "a = 1\n[loss]\nx = 1\ny = 2\n[decoder]\ngate = true".parse().unwrap();
        let above: Table = "a = 3\n[loss]\ny = 4\n[decoder]\nkind = 'show_tell'".parse().unwrap();
        overlay(&mut below, above);
        let wanted: Table = "a = 3\n[loss]\nx = 1\ny = 4\n[decoder]\nkind = 'show_tell'".parse().unwrap();
        assert_eq!(below, wanted);
    }
}
