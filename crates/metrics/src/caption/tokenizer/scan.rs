//! A position of a caption, what rules ask of the characters there, and the longest token that one has proposed.

use super::characters::{fold, is_apostrophe};
use super::look_ahead::Found;

/// How a token's characters are written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are, without soft hyphens.
    Plain,
    /// As they are, each space as a no-break space.
    Joined,
    /// The same, and brackets stay brackets.
    Raw,
    /// As something else.
    As(&'static str),
    /// With closing quotes in the treebank's form.
    Closing,
    /// Not at all.
    Nothing,
}

/// A token from the position asked for up to `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) end: usize,
    pub(super) form: Form,
}

/// The caption, and the best token found so far for the position `at`.
pub(super) struct Scan<'a> {
    pub(super) text: &'a [char],
    pub(super) at: usize,
    pub(super) found: &'a mut Found,
    token: Token,
    reach: usize,
}

impl<'a> Scan<'a> {
    /// Before any rule: one character, which is not written out.
    pub(super) fn new(text: &'a [char], at: usize, found: &'a mut Found) -> Self {
        Self { text, at, found, token: Token { end: at + 1, form: Form::Nothing }, reach: at }
    }

    pub(super) fn token(&self) -> Token {
        self.token
    }

    pub(super) fn offer(&mut self, end: usize, reach: usize, form: Form) {
        if reach > self.reach {
            self.reach = reach;
            self.token = Token { end, form };
        }
    }

    pub(super) fn offer_plain(&mut self, end: usize) {
        if end > self.at {
            self.offer(end, end, Form::Plain);
        }
    }

    pub(super) fn offer_raw(&mut self, end: usize) {
        self.offer(end, end, Form::Raw);
    }

    pub(super) fn get(&self, at: usize) -> Option<char> {
        self.text.get(at).copied()
    }

    pub(super) fn is(&self, at: usize, class: impl Fn(char) -> bool) -> bool {
        self.get(at).is_some_and(class)
    }

    /// Where the run of characters of a class that begins at `at` ends.
    pub(super) fn run(&self, at: usize, class: impl Fn(char) -> bool) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        at + rest.iter().position(|&c| !class(c)).unwrap_or(rest.len())
    }

    /// The end of `word`, which is ASCII in lower case, at `at`, without regard to case.
    pub(super) fn literal(&self, at: usize, word: &str) -> Option<usize> {
        let found = self.text.get(at..at + word.len())?;
        let fits = |(&c, wanted): (&char, u8)| c == char::from(wanted) || fold(c) == char::from(wanted);
        found.iter().zip(word.bytes()).all(fits).then_some(at + word.len())
    }

    /// [`literal`](Self::literal), where an apostrophe of `word` is any whose end `apostrophe` tells.
    pub(super) fn literal_with(
        &self,
        at: usize,
        word: &str,
        apostrophe: impl Fn(&Self, usize) -> Option<usize>,
    ) -> Option<usize> {
        word.bytes().map(char::from).try_fold(at, |end, wanted| match wanted {
            '\'' => apostrophe(self, end),
            _ => self.is(end, |c| c == wanted || fold(c) == wanted).then_some(end + 1),
        })
    }

    pub(super) fn starts(&self, at: usize, word: &str) -> bool {
        self.literal(at, word).is_some()
    }

    /// The end of an apostrophe, which may be written as an entity.
    pub(super) fn apostrophe(&self, at: usize) -> Option<usize> {
        match self.get(at)? {
            '&' => self.literal(at, "&apos;"),
            c => is_apostrophe(c).then_some(at + 1),
        }
    }

    /// The end of an apostrophe inside a word, for which people also write opening quotes.
    pub(super) fn inner_apostrophe(&self, at: usize) -> Option<usize> {
        let quote = self.is(at, |c| matches!(c, '`' | '\u{91}' | '‘' | '‛'));
        if quote { Some(at + 1) } else { self.apostrophe(at) }
    }
}
