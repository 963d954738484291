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
