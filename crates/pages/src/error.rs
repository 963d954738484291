//! What can go wrong when something is drawn.

use std::path::PathBuf;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A fault in one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that this crate has not written stands where a drawing would be.
    #[error("{}: is not of this program, and attention would be drawn over it; choose another folder", .0.display())]
    Foreign(PathBuf),
    /// A drawing whose file's ending names no format that there is.
    #[error("{}: a drawing is written as .svg or .png; choose one of these endings", .0.display())]
    Ending(PathBuf),
    /// A picture that cannot be written as PNG or JPEG.
    #[error("a picture cannot be written: {0}")]
    Picture(#[from] image::ImageError),
    /// More or fewer of something than what they belong to.
    #[error("{what}: {found} for {wanted} {of}; give one for each")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// What they belong to.
        of: &'static str,
        /// How many of those there are.
        wanted: usize,
    },
    /// Nothing where there should be something.
    #[error("there is no {0} to show; give at least one")]
    Empty(&'static str),
    /// A value that is no number.
    #[error("{unit}: its value after character {character} is no number")]
    NoNumber {
        /// The unit that has it.
        unit: String,
        /// The character, from 0.
        character: usize,
    },
    /// More words than can be read.
    #[error("{found} words a side cannot be read; draw {most} at most, such as the most frequent")]
    Words {
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// A frame that is not as large as the first.
    #[error("frame {frame} is {} × {}, the first one {} × {}; give all one size", found.0, found.1, wanted.0, wanted.1)]
    FrameSize {
        /// Its number, from 0.
        frame: usize,
        /// Its width and height.
        found: (u32, u32),
        /// Those of the first.
        wanted: (u32, u32),
    },
    /// A property's best unit that is none.
    #[error("{property}: its best unit is {best} of {units}; number them from 0")]
    BestUnit {
        /// The property's name.
        property: String,
        /// The unit's number.
        best: usize,
        /// How many units there are.
        units: usize,
    },
    /// More units than a page holds.
    #[error("the names and scores of {units} units are more than the {megabytes} MB of a page; show fewer units")]
    Large {
        /// How many units there are.
        units: usize,
        /// The largest page.
        megabytes: usize,
    },
    /// A plot that cannot be drawn.
    #[error("cannot be drawn: {0}")]
    Plot(String),
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// That there is one of `what` for each `of`.
    ///
    /// # Errors
    /// When there is not.
    pub(crate) fn count(what: &'static str, found: usize, of: &'static str, wanted: usize) -> Result<()> {
        if found == wanted { Ok(()) } else { Err(Self::Count { what, found, of, wanted }) }
    }
}
