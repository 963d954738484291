//! What is told while data are read and prepared.

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
        what: &'static str,
        /// Items done.
        done: usize,
        /// Items to do.
        total: usize,
    },
}
