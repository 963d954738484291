//! The rules: what token begins at a position. Each rule proposes one; the proposal that reaches farthest, context included, wins,
//! and among equals the rule tried first.

use super::characters::{is_plain_letter, is_space};
use super::look_ahead::Found;
use super::scan::{Form, Scan, Token};

/// The token that begins at `at`, which must lie inside `text`; `found` goes from one token of a text to the next.
pub(super) fn token_at(text: &[char], at: usize, found: &mut Found) -> Token {
    let mut scan = Scan::new(text, at, found);
    scan.spaces();
    scan.cut_words();
    scan.markup();
    scan.words();
    if scan.has_apostrophe() {
        scan.apostrophe_words();
    }
    scan.addresses();
    scan.contraction_endings();
    scan.numbers();
    scan.slashed();
    scan.currency();
    scan.abbreviations();
    scan.files();
    scan.smileys();
    scan.hyphenated();
    scan.capitals_with_ampersand();
    scan.quotes();
    scan.marks();
    scan.token()
}

impl Scan<'_> {
    /// Spaces go together, so that an address which may begin with a wide one does not begin inside them.
    fn spaces(&mut self) {
        let end = self.run(self.at, is_space);
        if end > self.at {
            self.offer(end, end, Form::Nothing);
        }
    }

    /// Whether what rules with an apostrophe need is here: one at once, or after letters.
    fn has_apostrophe(&self) -> bool {
        let letters = self.run(self.at, is_plain_letter);
        self.inner_apostrophe(letters).is_some()
    }
}
