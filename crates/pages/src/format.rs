//! How a drawing is written, by the ending of its file.

use crate::{Error, Result};
use std::path::Path;

/// How a drawing is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DrawingFormat {
    /// Lines and letters, sharp at every size.
    Svg,
    /// Pixels, two for each of the drawing across and down; the letters need no font of the machine.
    Png,
}

impl DrawingFormat {
    /// The format that a file's ending names, `.svg` or `.png`.
    ///
    /// # Errors
    /// When it has another ending.
    pub fn of(path: &Path) -> Result<Self> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        match ending.as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => Err(Error::Ending(path.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_ending_names_a_format_or_is_refused() {
        let of = |name: &str| DrawingFormat::of(Path::new(name)).map_err(|fault| fault.to_string());
        assert_eq!(of("a/b.c.SVG"), Ok(DrawingFormat::Svg));
        assert_eq!(of("x.png"), Ok(DrawingFormat::Png));
        for other in ["plot", "plot.jpg", "png", ".png", "a.svg/b"] {
            let fault = of(other).unwrap_err();
            assert!(
                fault.starts_with(other) && fault.contains(".svg or .png") && fault.lines().count() == 1,
                "{fault}"
            );
        }
    }
}
