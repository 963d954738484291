//! What is told while data are read and prepared.

use std::borrow::Cow;

/// A line for people, or how far it has come.
#[derive(Clone, Debug)]
pub enum Note {
    /// A line about the data: how much there is, or what was skipped.
    Line(String),
    /// A line about items that were left out, which is told even to who wants no other.
    Skipped(String),
    /// Something that takes long.
    Progress {
        /// What is being made, such as `annotations`.
        what: Cow<'static, str>,
        /// Pictures done.
        done: usize,
        /// Pictures to do.
        total: usize,
    },
}

impl Note {
    /// How many pictures of how many are done.
    pub fn progress(what: impl Into<Cow<'static, str>>, done: usize, total: usize) -> Self {
        Self::Progress { what: what.into(), done, total }
    }
}
