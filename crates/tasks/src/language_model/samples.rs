//! `samples.md`: what the model writes as training goes on.

use crate::{Error, Result};
use std::path::Path;

/// The file in a run's folder.
pub(super) const SAMPLES: &str = "samples.md";

/// Puts the sample of an epoch, counted from 0, at the end; those of later epochs, which a resumed run writes anew, go.
///
/// # Errors
/// When the file cannot be read or written.
pub(super) fn add(path: &Path, epoch: usize, about: &str, text: &str) -> Result<()> {
    let before = match path.exists() {
        true => std::fs::read_to_string(path).map_err(Error::file(path, "cannot be read"))?,
        false => "# What the model writes as training goes on\n".to_owned(),
    };
    let number = |section: &str| section.split([' ', ',', ':']).next()?.parse::<usize>().ok();
    let mut sections = before.split(HEADING);
    let mut whole = sections.next().unwrap_or_default().to_owned();
    for section in sections.filter(|section| number(section).is_some_and(|found| found < epoch + 1)) {
        whole += &format!("{HEADING}{section}");
    }
    let indented: String = text.lines().map(|line| format!("    {line}\n")).collect();
    whole += &format!("{HEADING}{}, {about}\n\n{indented}", epoch + 1);
    std::fs::write(path, whole).map_err(Error::file(path, "cannot be written"))
}

const HEADING: &str = "\n## After epoch ";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_resumed_run_takes_the_place_of_what_it_wrote_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SAMPLES);
        for (epoch, text) in [(0, "aa\nb"), (1, "old"), (2, "older"), (1, "new")] {
            add(&path, epoch, "2.1 nats", text).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("## After epoch 1, 2.1 nats\n\n    aa\n    b\n"), "{text}");
        assert!(text.ends_with("## After epoch 2, 2.1 nats\n\n    new\n") && !text.contains("old"), "{text}");
    }
}
