//! The tasks that the program knows: one row each, for training, evaluation and whatever opens a model's folder.

use super::arguments::{ClassifyArguments, EvaluateArguments, ExportArguments, RecipeArguments, TrainArguments};
use super::embedded::{EmbeddedRecipe, RECIPES};
use super::output::say;
use super::recipe::{self, Check};
use super::{Failure, classify, evaluate, export, schema, search, train};
use candlewick::captioning::{Captioner, CaptioningRecipe};
use candlewick::tasks::classification::{ClassificationRecipe, Classifier};
use candlewick::tasks::draw::{Draw, DrawRecipe};
use candlewick::tasks::glimpses::{GlimpseRecipe, RecurrentAttentionModel};
use candlewick::tasks::language_model::{LanguageModel, LanguageModelRecipe};
use candlewick::tasks::sequence_classification::{SequenceClassificationRecipe, SequenceClassifier};
use candlewick::tasks::translation::{TranslationRecipe, Translator};
use candlewick::tasks::vqa::{VqaModel, VqaRecipe};
use candlewick::training::model_folder::model_type;
use candlewick::training::{ModelFolder, Recipe};
use std::path::{Path, PathBuf};
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
    pub read: Check,
    /// A recipe with every setting written out.
    pub full: fn(Table) -> Result<String, String>,
    /// The JSON schema of its recipes.
    pub schema: fn() -> serde_json::Value,
    /// Trains a recipe.
    pub train: fn(Table, &TrainArguments) -> Result<(), Failure>,
    /// Scores a model on a split.
    pub evaluate: fn(&EvaluateArguments) -> Result<(), Failure>,
    /// The options of `evaluate` that it has a use for, beside those that all tasks have.
    pub takes: &'static [&'static str],
    /// Writes a model as one folder.
    pub export: fn(&ExportArguments) -> Result<(), Failure>,
}

/// All of them.
pub const TASKS: [TaskRow; 8] = [
    row::<CaptioningRecipe, Captioner>(["a captioner", "candlewick caption"], evaluate::captioner).taking(&[
        "--encoder-weights",
        "--regions",
        "--out",
        "--coco-zip",
        "--dev-share",
        SEVERAL,
        SEARCH,
    ]),
    row::<ClassificationRecipe, Classifier>(["a classifier", "candlewick classify"], evaluate::classifier),
    row::<LanguageModelRecipe, LanguageModel>(["a language model", "candlewick sample"], evaluate::language_model)
        .taking(&["--encoding", "--dev-share"]),
    row::<SequenceClassificationRecipe, SequenceClassifier>(
        ["a classifier of sequences", "candlewick classify"],
        evaluate::sequences::run,
    )
    .taking(&["--encoding", "--dev-share"]),
    row::<TranslationRecipe, Translator>(["a translator", "candlewick translate"], evaluate::translations::run)
        .taking(&["--encoding", "--dev-share", "--out", SEVERAL, "--beam", "--length-penalty", "--max-words"]),
    row::<VqaRecipe, VqaModel>(["a model that answers questions", "candlewick answer"], evaluate::questions::run)
        .taking(&["--encoder-weights", "--images", "--wordnet", "--dev-share"]),
    row::<GlimpseRecipe, RecurrentAttentionModel>(
        ["a recurrent attention model", "candlewick glimpse"],
        evaluate::glimpses::run,
    )
    .taking(&["--dev-share", "--samples"]),
    row::<DrawRecipe, Draw>(["a network that draws", "candlewick draw"], evaluate::drawings::run)
        .taking(&["--dev-share", "--samples"]),
];

/// Stands for several models that tell as one, and for all options of a search for words.
const SEVERAL: &str = "several --model";
const SEARCH: &str = "search";

impl TaskRow {
    const fn taking(self, takes: &'static [&'static str]) -> Self {
        Self { takes, ..self }
    }
}

const fn row<R: Recipe, M: ModelFolder>(
    model: [&'static str; 2],
    evaluate: fn(&EvaluateArguments) -> Result<(), Failure>,
) -> TaskRow {
    TaskRow {
        task: R::TASK,
        model_type: M::MODEL_TYPE,
        model,
        read: recipe::name::<R>,
        full: recipe::full::<R>,
        schema: schema::of::<R>,
        train: train::train::<R>,
        evaluate,
        takes: &[],
        export: export::run::<M>,
    }
}

/// Finds out whether a table is a recipe of a task that there is; gives the run's name.
///
/// # Errors
/// With the key of what is wrong.
pub fn check(table: &Table) -> Result<String, String> {
    (of_recipe(table)?.read)(table)
}

fn of_recipe(table: &Table) -> Result<&'static TaskRow, String> {
    let task = recipe::task(table);
    let known = || TASKS.map(|row| row.task).join(", ");
    TASKS.iter().find(|row| row.task == task).ok_or_else(|| format!("task is {task}; there are {}", known()))
}

/// Trains a recipe of any task.
///
/// # Errors
/// A wrong call where a setting is unknown; otherwise one line that names the file and the fault.
pub fn train(arguments: &TrainArguments) -> Result<(), Failure> {
    let table = recipe::read(arguments.recipe.as_deref(), &arguments.set, check)?;
    let row = of_recipe(&table).map_err(Failure::Work)?;
    // A classifier of sequences begins with what a language model learned, every other task with a model of its own.
    let starts_from = match row.task == SequenceClassificationRecipe::TASK {
        true => LanguageModelRecipe::TASK,
        false => row.task,
    };
    wants(starts_from, arguments.start.iter().map(PathBuf::as_path))?;
    (row.train)(table, arguments)
}

/// Prints a recipe: as it is written, or on its base with every setting.
///
/// # Errors
/// When there is no such recipe.
pub fn show_recipe(arguments: &RecipeArguments) -> Result<(), Failure> {
    if !(arguments.full || arguments.schema)
        && let Some(recipe) = EmbeddedRecipe::find(&arguments.recipe)
    {
        return say!("{}", recipe.text.trim_end());
    }
    let table = recipe::read(Some(Path::new(&arguments.recipe)), &arguments.set, check)?;
    let row = of_recipe(&table).map_err(Failure::Work)?;
    if arguments.schema {
        return say!("{}", serde_json::to_string_pretty(&(row.schema)())?);
    }
    say!("{}", (row.full)(table).map_err(Failure::Work)?.trim_end())
}

/// Lists the recipes that the program carries, a line each.
///
/// # Errors
/// Where standard output takes no more.
pub fn list_recipes() -> Result<(), Failure> {
    RECIPES.iter().try_for_each(|recipe| say!("{:<19} {}", recipe.name, recipe.summary()))
}

/// Evaluates a model of any task; what is none of ours is told by the captioner's way of opening it.
///
/// # Errors
/// When the model or the data cannot be read, or the files cannot be written.
pub fn evaluate(arguments: &EvaluateArguments) -> Result<(), Failure> {
    let row = arguments.model.first().and_then(|folder| of_model(folder)).unwrap_or(&TASKS[0]);
    wants(row.task, arguments.model.iter().map(PathBuf::as_path))?;
    refuse_unused(row, arguments)?;
    (row.evaluate)(arguments)
}

/// Refuses the options that are given and that the task has no use for.
fn refuse_unused(row: &TaskRow, arguments: &EvaluateArguments) -> Result<(), Failure> {
    let EvaluateArguments { model, set, encoder_weights, encoding, out, coco_zip, images, wordnet, .. } = arguments;
    let given = [
        ("--encoder-weights", encoder_weights.is_some()),
        ("--regions", set.regions.is_some()),
        ("--dev-share", set.dev_share.is_some()),
        ("--out", out.is_some()),
        ("--coco-zip", coco_zip.is_some()),
        ("--encoding", encoding.is_some()),
        ("--images", images.is_some()),
        ("--wordnet", wordnet.is_some()),
        ("--samples", arguments.samples.is_some()),
        (SEVERAL, model.len() > 1),
    ];
    let mut given = given.into_iter().filter(|(_, given)| *given).map(|(option, _)| option);
    let mut searched = search::given(&arguments.search).into_iter().filter(|_| !row.takes.contains(&SEARCH));
    let unused = |option: &&str| !row.takes.contains(option);
    match given.find(|option| unused(option)).or_else(|| searched.find(|option| unused(option))) {
        Some(option) => Err(Failure::usage(format!("{option}: {} has no use for it; leave it out", row.model[0]))),
        None => Ok(()),
    }
}

/// Classifies pictures, texts or other sequences, whichever the model was trained on.
///
/// # Errors
/// When the model cannot be opened or is of another task, or what is given is not what it takes.
pub fn classify(arguments: &ClassifyArguments) -> Result<(), Failure> {
    let folder = Path::new(&arguments.model);
    match of_model(folder).is_some_and(|row| row.task == SequenceClassificationRecipe::TASK) {
        true => classify::texts::run(arguments),
        false => wants(ClassificationRecipe::TASK, std::iter::once(folder)).and_then(|()| classify::run(arguments)),
    }
}

/// Exports a model of any task.
///
/// # Errors
/// When the model cannot be read, or the folder cannot be written.
pub fn export(arguments: &ExportArguments) -> Result<(), Failure> {
    let found = model_type(&arguments.run)?;
    let Some(row) = TASKS.iter().find(|row| row.model_type == found) else {
        let known = TASKS.map(|row| row.model_type).join(" and ");
        return Err(Failure::Work(format!("{}: model_type is {found}; there are {known}", arguments.run.display())));
    };
    (row.export)(arguments)
}

/// The task whose model lies in a folder, or in a run's; none where that cannot be told.
fn of_model(folder: &Path) -> Option<&'static TaskRow> {
    let found = model_type(folder).ok()?;
    TASKS.iter().find(|row| row.model_type == found)
}

/// Refuses folders of another task's models.
///
/// # Errors
/// One line that says what it is and which command uses it.
pub fn wants<'a>(task: &str, mut folders: impl Iterator<Item = &'a Path>) -> Result<(), Failure> {
    let other = |folder: &'a Path| of_model(folder).filter(|row| row.task != task).map(|row| (folder, row.model));
    match folders.find_map(other) {
        Some((folder, [model, command])) => {
            Err(Failure::Work(format!("{}: is {model}'s folder; {command} uses it", folder.display())))
        }
        None => Ok(()),
    }
}
