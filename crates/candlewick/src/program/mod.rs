//! The program: arguments in, one of its commands, and an exit code out.

mod answer;
mod arguments;
mod bounds;
mod caption;
mod classify;
mod compare;
mod convert;
mod device;
mod draw;
mod embedded;
mod evaluate;
mod export;
mod film;
mod glimpse;
mod gradient_flow;
mod hub;
mod manual;
mod networks;
mod output;
mod recipe;
mod sample;
mod schema;
mod score;
mod search;
mod signals;
mod tasks;
mod train;
mod translate;
mod units;
mod version;
mod whole_file;

use arguments::{Arguments, Command};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser as _};
use output::note;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why a command ended early: the message is one line.
#[derive(Debug)]
pub enum Failure {
    /// The call was wrong: exit code 2.
    Usage(String),
    /// The work could not be done: exit code 1.
    Work(String),
    /// All was said already: exit code 1.
    AlreadyReported,
    /// A signal ended the work, and that was said: this exit code.
    Interrupted(u8),
    /// Standard output takes no more: where nobody reads it nothing is wrong, otherwise the line says what is.
    Closed(Option<String>),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        // Of candle's errors a backtrace follows the first line, where one is asked for.
        let causes = error.chain().map(|cause| cause.to_string().lines().next().unwrap_or_default().to_owned());
        // Some errors tell their cause in their own message.
        let told = causes.reduce(|told, cause| if told.contains(&cause) { told } else { format!("{told}: {cause}") });
        Failure::Work(told.unwrap_or_default())
    }
}

impl Failure {
    /// A wrong call.
    pub fn usage(message: impl Display) -> Self {
        Failure::Usage(message.to_string())
    }

    /// The failure with the file's name, where the message does not tell it already.
    pub fn of(self, path: &Path) -> Self {
        let (raw, shown) = (path.display().to_string(), output::shown(path));
        let named = |message: String| match message.contains(&raw) {
            true => message.replace(&raw, &shown),
            false => format!("{shown}: {message}"),
        };
        match self {
            Failure::Usage(message) => Failure::Usage(named(message)),
            Failure::Work(message) => Failure::Work(named(message)),
            other => other,
        }
    }

    /// Says what is wrong with one of several files, so that the others are done all the same.
    ///
    /// # Errors
    /// Where standard output takes no more, which ends them all.
    pub fn passed_over(self, path: &Path) -> Result<(), Self> {
        match self.of(path) {
            Failure::Closed(why) => return Err(Failure::Closed(why)),
            Failure::Usage(message) | Failure::Work(message) => note!("candlewick: {message}"),
            Failure::Interrupted(code) => return Err(Failure::Interrupted(code)),
            Failure::AlreadyReported => {}
        }
        Ok(())
    }
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return explain(&error),
    };
    let done = match arguments.command {
        Command::Train(arguments) => tasks::train(&arguments),
        Command::Recipes => tasks::list_recipes(),
        Command::Recipe(arguments) => tasks::show_recipe(&arguments),
        Command::Caption(arguments) => {
            let folders = arguments.model.iter().map(PathBuf::as_path);
            tasks::wants("captioning", folders).and_then(|()| caption::run(&arguments))
        }
        Command::Evaluate(arguments) => tasks::evaluate(&arguments),
        Command::Score(arguments) => score::run(&arguments),
        Command::Compare(arguments) => {
            let folders = arguments.captioners.iter().map(PathBuf::as_path);
            tasks::wants("captioning", folders).and_then(|()| compare::run(&arguments))
        }
        Command::Classify(arguments) => tasks::classify(&arguments),
        Command::Answer(arguments) => {
            let folder = arguments.model.iter().map(PathBuf::as_path);
            tasks::wants("vqa", folder).and_then(|()| answer::run(&arguments))
        }
        Command::Glimpse(arguments) => {
            let folder = std::iter::once(arguments.model.as_path());
            tasks::wants("glimpses", folder).and_then(|()| glimpse::run(&arguments))
        }
        Command::Draw(arguments) => {
            let folder = arguments.model.iter().map(PathBuf::as_path);
            tasks::wants("draw", folder).and_then(|()| draw::run(&arguments))
        }
        Command::Export(arguments) => tasks::export(&arguments),
        Command::Sample(arguments) => {
            let folder = arguments.model.iter().map(PathBuf::as_path);
            tasks::wants("language_model", folder).and_then(|()| sample::run(&arguments))
        }
        Command::Units(arguments) => {
            let folder = std::iter::once(arguments.model.as_path());
            tasks::wants("language_model", folder).and_then(|()| units::run(&arguments))
        }
        Command::Translate(arguments) => {
            let folders = arguments.model.iter().map(PathBuf::as_path);
            tasks::wants("translation", folders).and_then(|()| translate::run(&arguments))
        }
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Networks(arguments) => networks::run(&arguments),
        Command::GradientFlow(arguments) => gradient_flow::run(&arguments),
        Command::Completions(arguments) => manual::completions(&arguments),
        Command::Man(arguments) => manual::pages(&arguments),
    };
    match done.and_then(|()| output::flush()) {
        Ok(()) | Err(Failure::Closed(None)) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => complain(&message, 2),
        Err(Failure::Work(message) | Failure::Closed(Some(message))) => complain(&message, 1),
        Err(Failure::AlreadyReported) => ExitCode::from(1),
        Err(Failure::Interrupted(code)) => ExitCode::from(code),
    }
}

fn complain(message: &str, code: u8) -> ExitCode {
    // A message of several lines comes from a library; its first says what happened.
    let line = message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("failed");
    note!("candlewick: {line}");
    ExitCode::from(code)
}

/// Help goes to standard output as it is; a wrong argument becomes one line.
fn explain(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Nothing is left to do if standard output is gone.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = error.print();
        return ExitCode::from(2);
    }
    let text = error.to_string();
    let said = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let told = |line: &&str| !["Usage:", "For more", "tip:"].iter().any(|start| line.starts_with(start));
    let line = said.take_while(told).collect::<Vec<_>>().join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    complain(&format!("{line}{} ({})", meant(error), help_page()), 2)
}

/// What may have been meant by a word that is none of ours.
fn meant(error: &clap::Error) -> String {
    let kinds = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    match kinds.iter().find_map(|&kind| error.get(kind)) {
        Some(ContextValue::String(word)) => format!("; did you mean {word}?"),
        // The likeliest comes last.
        Some(ContextValue::Strings(words)) => match words.last() {
            Some(word) => format!("; did you mean {word}?"),
            None => String::new(),
        },
        _ => String::new(),
    }
}

/// The help of the command that was called, or of the program where it has no such command.
fn help_page() -> String {
    let command = Arguments::command();
    let called = std::env::args().nth(1).filter(|word| command.find_subcommand(word).is_some());
    called.map_or("candlewick --help".into(), |word| format!("candlewick {word} --help"))
}
