//! This crate's error: one line that names the file or the parameter, the fault and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// What a training can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An operation on tensors failed, or a weights file does not fit.
    #[error("{}", one_line(&.0.to_string()))]
    Candle(#[source] candle_core::Error),
    /// An operation failed, with what was being done.
    #[error("{what}: {error}")]
    During {
        /// What was being done.
        what: String,
        /// What went wrong.
        #[source]
        error: Box<Error>,
    },
    /// A file or folder cannot be read or written.
    #[error("{path}: {doing}: {error}", path = path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// What could not be done with it.
        doing: &'static str,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A file of a run is cut short or not what it should be.
    #[error("{path}: {fault}", path = path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        fault: String,
    },
    /// A setting of a recipe or a request that cannot be used as it is.
    #[error("{0}")]
    Setting(String),
    /// There is nothing to train or to validate on.
    #[error("{0}")]
    NoData(String),
    /// A network's answers hold NaN or an infinity.
    #[error("{0}")]
    NotNumbers(String),
    /// A model folder, or a file of it, that is not what is wanted.
    #[error("{path}: {fault}", path = path.display())]
    Model {
        /// The folder or file.
        path: PathBuf,
        /// What it is instead, and what to do.
        fault: String,
    },
    /// A flag of the command line that the task has no use for.
    #[error("{flag}: {fault}")]
    Flag {
        /// The flag, such as `--regions`.
        flag: &'static str,
        /// Why, and what to do.
        fault: String,
    },
    /// A fault of the data.
    #[error(transparent)]
    Data(#[from] candlewick_data::Error),
    /// A fault of drawing.
    #[error(transparent)]
    Pages(#[from] candlewick_pages::Error),
    /// The run that lies in the folder has another configuration.
    #[error(
        "{path}: holds a run of another configuration ({difference}); choose another folder, or set resume = \"never\" after removing it",
        path = path.display()
    )]
    OtherRun {
        /// The run's folder.
        path: PathBuf,
        /// Which settings differ.
        difference: String,
    },
    /// The loss, the gradient or a weight became NaN or infinite.
    #[error("step {step}: the {what} is {value}; {advice}")]
    NotFinite {
        /// The step in which it happened, counted from 1.
        step: usize,
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What stays of the run, and what to do.
        advice: String,
    },
    /// The task's own failure.
    #[error("{0}")]
    Task(String),
}

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of a task's own.
    pub fn task(error: impl std::fmt::Display) -> Self {
        Error::Task(one_line(&error.to_string()))
    }

    /// A model folder, or a file of it, that is not what is wanted.
    pub fn model(path: impl Into<PathBuf>, fault: impl Into<String>) -> Self {
        Error::Model { path: path.into(), fault: fault.into() }
    }

    /// This error with what was being done before it.
    pub fn during(self, what: impl Into<String>) -> Self {
        Error::During { what: what.into(), error: Box::new(self) }
    }

    /// This error, with the table of a recipe in which the setting lies that it names: `epochs is …` becomes `training.epochs is …`.
    pub fn under(self, table: &str) -> Self {
        match self {
            Error::Setting(fault) if !fault.starts_with(&format!("{table}.")) => {
                Error::Setting(format!("{table}.{fault}"))
            }
            other => other,
        }
    }

    /// An error of the system's on a file.
    pub fn file(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Error::File { path: path.to_path_buf(), doing, error }
    }

    /// A file that is not what it should be.
    pub(crate) fn corrupt(path: &Path, fault: impl Into<String>) -> Self {
        Error::Corrupt { path: path.to_path_buf(), fault: fault.into() }
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        // A backtrace, where the user asked for one, follows on further lines.
        let message = one_line(&error.to_string());
        // Operations have no type of error for it: a search says so in words.
        if message.contains("NaN") { Error::NotNumbers(message) } else { Error::Candle(error) }
    }
}

fn one_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim_end().to_owned()
}
