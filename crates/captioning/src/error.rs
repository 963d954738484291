//! What can go wrong when pictures are captioned.

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A fault in one line: the file or the item, what is wrong with it, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A model folder, a recipe or a request that cannot be used as it is.
    #[error("{0}")]
    Config(String),
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A fault of the data.
    #[error(transparent)]
    Data(#[from] candlewick_data::Error),
    /// A fault of training.
    #[error(transparent)]
    Training(#[from] candlewick_training::Error),
    /// A fault of scoring.
    #[error(transparent)]
    Metrics(#[from] candlewick_metrics::coco::Error),
    /// A fault of drawing.
    #[error(transparent)]
    Pages(#[from] candlewick_pages::Error),
    /// A fault of a tensor operation.
    #[error("{}", .0.to_string().lines().next().unwrap_or_default())]
    Candle(#[from] candle_core::Error),
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
