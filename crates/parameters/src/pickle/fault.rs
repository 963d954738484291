//! What can be wrong with a checkpoint, without its name.

/// A result whose error is what is damaged.
pub type Read<T> = std::result::Result<T, String>;

pub const CUT_SHORT: &str = "it is cut short";
pub const DAMAGED: &str = "its pickle is damaged";

pub enum Fault {
    /// It is damaged so.
    Damaged(String),
    /// It is another thing than a state dict; the message says what to do.
    Other(String),
}

impl From<String> for Fault {
    fn from(fault: String) -> Self {
        Self::Damaged(fault)
    }
}
