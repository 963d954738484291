//! Recipes: a TOML file, changed by `--set`.

use super::{Failure, embedded};
use anyhow::Context;
use candlewick::captioning;
use candlewick::tasks::classification;
use std::path::Path;
use toml::{Table, Value};

/// A recipe of any task.
pub enum Recipe {
    /// Looking at pictures and telling what is on them.
    Captioning(Box<captioning::Recipe>),
    /// Telling which of a list of things a picture shows.
    Classification(Box<classification::Recipe>),
}

impl Recipe {
    /// The recipe of the task that the table names.
    fn of(table: Table) -> Result<Self, toml::de::Error> {
        use serde::de::Error as _;
        let task = table.get("task").and_then(Value::as_str).unwrap_or("captioning").to_owned();
        match task.as_str() {
            "captioning" => Ok(Self::Captioning(Value::Table(table).try_into()?)),
            "classification" => Ok(Self::Classification(Value::Table(table).try_into()?)),
            _ => Err(toml::de::Error::custom(format!("task is {task}; there are captioning and classification"))),
        }
    }
}

/// Reads a recipe, or the built-in one, and changes the settings that `--set` names.
///
/// # Errors
/// A wrong call where `--set` names what the recipe does not know; otherwise one line that names the file.
pub fn read(path: Option<&Path>, changes: &[String]) -> Result<Recipe, Failure> {
    let (name, text) = match path {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
            (path.display().to_string(), text)
        }
        None => ("the built-in recipe".to_owned(), embedded::RECIPE.to_owned()),
    };
    let table: Table = text.parse().map_err(|error| Failure::Work(fault(&name, &error)))?;
    let table = based(table, path)?;
    Recipe::of(table.clone()).map_err(|error| Failure::Work(fault(&name, &error)))?;
    let mut changed = table;
    for change in changes {
        let Some((key, value)) = change.split_once('=') else {
            return Err(Failure::usage(format!("--set {change}: wants KEY=VALUE, for instance training.epochs=3")));
        };
        set(&mut changed, key.trim(), parse(value.trim()))
            .map_err(|error| Failure::usage(format!("--set {change}: {error}")))?;
        // Each change is tried by itself, so that the message can name it.
        Recipe::of(changed.clone()).map_err(|error| Failure::usage(fault(&format!("--set {change}"), &error)))?;
    }
    Ok(Recipe::of(changed)?)
}

/// The recipe on top of the one that its `base` names, a file beside it.
fn based(mut table: Table, path: Option<&Path>) -> Result<Table, Failure> {
    let Some(base) = table.remove("base") else { return Ok(table) };
    let Some(base) = base.as_str() else {
        return Err(Failure::Work(format!("base is {base}; wanted the name of a recipe beside this one")));
    };
    let beside = path.and_then(Path::parent).unwrap_or(Path::new("")).join(base);
    let text = std::fs::read_to_string(&beside).with_context(|| format!("{}", beside.display()))?;
    let mut below: Table = text.parse().map_err(|error| Failure::Work(fault(&beside.display().to_string(), &error)))?;
    if below.contains_key("base") {
        let fault = "has a base itself; name the recipe at the bottom";
        return Err(Failure::Work(format!("{}: {fault}", beside.display())));
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
fn parse(value: &str) -> Value {
    format!("value = {value}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(value.to_owned()))
}

fn set(table: &mut Table, key: &str, value: Value) -> Result<(), String> {
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

/// What TOML says, as one line: the last line of its message names the key and what would be right.
fn fault(name: &str, error: &toml::de::Error) -> String {
    let message: Vec<&str> = error.message().lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    format!("{name}: {}", message.join("; "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_recipe_lies_on_its_base_table_by_table() {
        let mut below: Table = "a = 1\n[loss]\nx = 1\ny = 2\n[decoder]\ngate = true".parse().unwrap();
        let above: Table = "a = 3\n[loss]\ny = 4\n[decoder]\nkind = 'show_tell'".parse().unwrap();
        overlay(&mut below, above);
        let wanted: Table = "a = 3\n[loss]\nx = 1\ny = 4\n[decoder]\nkind = 'show_tell'".parse().unwrap();
        assert_eq!(below, wanted);
    }
}
