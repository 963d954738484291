//! What can go wrong when something is drawn.

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A fault in one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A plot that cannot be drawn.
    #[error("cannot be drawn: {0}")]
    Plot(String),
}
