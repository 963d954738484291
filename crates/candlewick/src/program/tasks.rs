//! The tasks that the program knows: one row each, for training, evaluation and whatever opens a model's folder.

use super::arguments::{EvaluateArguments, TrainArguments};
use super::{Failure, evaluate, recipe, train};
use candlewick::captioning::{Captioner, CaptioningRecipe};
use candlewick::tasks::classification::{ClassificationRecipe, Classifier};
use candlewick::training::model_folder::model_type;
use candlewick::training::{ModelFolder, Recipe};
use std::path::Path;
use toml::Table;

/// A task.
pub struct TaskRow {
    /// The word in a recipe's `task`.
    pub task: &'static str,
    /// The word in the `model_type` of its models.
    pub model_type: &'static str,
    /// What its models are called, and the command that uses them.
    pub model: [&'static str; 2],
    /// Finds out whether a table is a recipe of this task; gives the run's name.
    pub read: fn(Table) -> Result<String, String>,
    /// Trains a recipe.
    pub train: fn(Table, &TrainArguments) -> Result<(), Failure>,
    /// Scores a model on a split.
    pub evaluate: fn(&EvaluateArguments) -> Result<(), Failure>,
}

/// All of them.
pub const TASKS: [TaskRow; 2] = [
    row::<CaptioningRecipe, Captioner>(["a captioner", "candlewick caption"], evaluate::captioner),
    row::<ClassificationRecipe, Classifier>(["a classifier", "candlewick classify"], evaluate::classifier),
];

const fn row<R: Recipe, M: ModelFolder>(
    model: [&'static str; 2],
    evaluate: fn(&EvaluateArguments) -> Result<(), Failure>,
) -> TaskRow {
    TaskRow {
        task: R::TASK,
        model_type: M::MODEL_TYPE,
        model,
        read: recipe::name::<R>,
        train: train::train::<R>,
        evaluate,
    }
}

/// The task of this word in a recipe.
pub fn of_recipe(task: &str) -> Option<&'static TaskRow> {
    TASKS.iter().find(|row| row.task == task)
}

/// The task whose model lies in a folder, or in a run's; none where that cannot be told.
pub fn of_model(folder: &Path) -> Option<&'static TaskRow> {
    let found = model_type(folder).ok()?;
    TASKS.iter().find(|row| row.model_type == found)
}

/// Refuses the folder of another task's model.
///
/// # Errors
/// One line that says what it is and which command uses it.
pub fn wants(task: &str, folder: &Path) -> Result<(), Failure> {
    match of_model(folder) {
        Some(row) if row.task != task => {
            let [model, command] = row.model;
            Err(Failure::Work(format!("{}: is {model}'s folder; {command} uses it", folder.display())))
        }
        _ => Ok(()),
    }
}
