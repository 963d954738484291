//! What was found ahead of a word is kept for the words after it: many that hold no address look like the beginning of one, so that
//! looking ahead from each would take time that grows with the square of a line.

/// What was found ahead: a run of characters in which an address ends, whichever character of the run before `mark` it begins with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// The end of the run.
    pub(super) end: usize,
    /// The last character that makes an address of what stands before it; 0 for none.
    pub(super) mark: usize,
    /// The end of that address.
    pub(super) address: usize,
}

/// What was found ahead by each rule that looks far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) mail: Ahead,
    pub(super) host: Ahead,
    pub(super) www: Ahead,
    pub(super) file: Ahead,
    /// The last period with something at once after it, and the last @; there is no address after them.
    pub(super) point: usize,
    pub(super) sign: usize,
    /// The end of a run without the end of a tag.
    pub(super) declaration: usize,
    /// The end of a run without <.
    pub(super) below: usize,
    /// The end of a run of letters and digits with periods and commas.
    pub(super) with_points: usize,
}

impl Found {
    /// What is known before the first token.
    pub(super) fn before(text: &[char]) -> Self {
        let point = text.windows(2).rposition(|pair| pair[0] == '.' && !matches!(pair[1], ' ' | '\n'));
        let sign = text.iter().rposition(|&c| c == '@');
        Self { point: point.unwrap_or(0), sign: sign.unwrap_or(0), ..Self::default() }
    }
}
