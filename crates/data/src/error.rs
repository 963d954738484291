//! What can go wrong between a file and a batch.

use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A fault in one line: the file or the item, what is wrong with it, and where it helps what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write a file.
    #[error("{}: {source}", shown(path))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A caption file or split list that does not say what its format asks for.
    #[error("{}: {fault}", shown(path))]
    Captions {
        /// The file or folder.
        path: PathBuf,
        /// The fault, with its line where there is one, and what to do.
        fault: String,
    },
    /// A text file that is not UTF-8.
    #[error("{}: {fault}", shown(path))]
    Text {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        fault: String,
    },
    /// A set of labelled pictures that is not as its format asks.
    #[error("{}: {fault}", shown(path))]
    Labelled {
        /// The file or folder.
        path: PathBuf,
        /// The fault.
        fault: String,
    },
    /// A picture that cannot be decoded, or is over the limits.
    #[error("{}: {fault}", escaped(name))]
    Picture {
        /// The file, or the name that the caller gave to the bytes.
        name: String,
        /// The fault.
        fault: String,
    },
    /// A tokenizer that cannot be trained, loaded or used.
    #[error("{}: {fault}", escaped(name))]
    Tokenizer {
        /// The file, or `tokenizer`.
        name: String,
        /// The fault.
        fault: String,
    },
    /// A feature cache that cannot be used as it is.
    #[error("feature cache {}: {fault}", shown(path))]
    Cache {
        /// The file of the cache.
        path: PathBuf,
        /// The fault and what to do.
        fault: String,
    },
    /// A file of regions that is not as its format asks.
    #[error("{}{}: {fault}", shown(path), if *line > 0 { format!(", line {line}") } else { String::new() })]
    Regions {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 where it is the whole file.
        line: usize,
        /// The fault and what to do.
        fault: String,
    },
    /// A file of sentences, pairs, numbers, questions, sounds or clips that is not as its format asks.
    #[error("{}{}: {fault}", shown(path), if *line > 0 { format!(", line {line}") } else { String::new() })]
    Items {
        /// The file or folder.
        path: PathBuf,
        /// The line, from 1; 0 where it is the whole file.
        line: usize,
        /// The fault and what to do.
        fault: String,
    },
    /// A setting that cannot be used as it is.
    #[error("{0}")]
    Setting(String),
    /// More items were broken than the user allows.
    #[error("{0}")]
    TooManyBroken(String),
    /// A worker's function panicked on one job.
    #[error("job {job}: the worker panicked: {message}")]
    Panic {
        /// The job's place in the order, from 0.
        job: usize,
        /// What the panic said.
        message: String,
    },
    /// Candle could not make a tensor.
    #[error("{}", one_line(&.0.to_string()))]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// A setting that cannot be used: which, and what is wanted.
    pub fn setting(fault: impl Into<String>) -> Self {
        Self::Setting(fault.into())
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn captions(path: &Path, fault: impl Into<String>) -> Self {
        Self::Captions { path: path.to_path_buf(), fault: one_line(&fault.into()) }
    }

    pub(crate) fn text(path: &Path, fault: impl Into<String>) -> Self {
        Self::Text { path: path.to_path_buf(), fault: fault.into() }
    }

    pub(crate) fn labelled(path: &Path, fault: impl Into<String>) -> Self {
        Self::Labelled { path: path.to_path_buf(), fault: one_line(&fault.into()) }
    }

    pub(crate) fn items(path: &Path, line: usize, fault: impl Into<String>) -> Self {
        Self::Items { path: path.to_path_buf(), line, fault: one_line(&fault.into()) }
    }

    pub(crate) fn cache(path: &Path, fault: impl Into<String>) -> Self {
        Self::Cache { path: path.to_path_buf(), fault: one_line(&fault.into()) }
    }

    pub(crate) fn tokenizer(name: impl ToString, fault: impl ToString) -> Self {
        Self::Tokenizer { name: name.to_string(), fault: one_line(&fault.to_string()) }
    }
}

/// The path in one line: a name may hold a line end, which is written as `\n`.
pub fn shown(path: &Path) -> String {
    escaped(&path.display().to_string())
}

/// The text with its control characters written as Rust writes them.
pub fn escaped(text: &str) -> String {
    let letter = |letter: char| match letter.is_control() {
        true => letter.escape_default().collect(),
        false => letter.to_string(),
    };
    text.chars().map(letter).collect()
}

/// The text with every run of whitespace, line ends included, as one space: a message is one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
