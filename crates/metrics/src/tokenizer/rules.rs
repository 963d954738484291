//! The rules: what token begins at a position. Each rule proposes one; the proposal that reaches farthest, context included, wins,
//! and among equals the rule tried first.

/// How a token's characters are written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Plain,
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
    token: Token,
    reach: usize,
}

/// The token that begins at `at`, which must lie inside `text`.
pub(super) fn token_at(text: &[char], at: usize) -> Token {
    let mut scan = Scan { text, at, token: Token { end: at + 1, form: Form::Nothing }, reach: at };
    scan.cut_words();
    scan.markup();
    scan.words();
    scan.apostrophe_words();
    scan.addresses();
    scan.contraction_endings();
    scan.numbers();
    scan.slashed();
    scan.currency();
    scan.abbreviations();
    scan.smileys();
    scan.hyphenated();
    scan.capitals_with_ampersand();
    scan.quotes();
    scan.marks();
    scan.token
}

impl Scan<'_> {
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

    /// The end of `word` at `at`, without regard to case; an apostrophe in it is any that `apostrophe` accepts.
    pub(super) fn literal(&self, at: usize, word: &str, apostrophe: impl Fn(char) -> bool) -> Option<usize> {
        let mut end = at;
        for wanted in word.chars() {
            let found = self.get(end)?;
            let fits = if wanted == '\'' { apostrophe(found) } else { wanted == found.to_ascii_lowercase() };
            if !fits {
                return None;
            }
            end += 1;
        }
        Some(end)
    }

    pub(super) fn starts(&self, at: usize, word: &str) -> bool {
        self.literal(at, word, |c| c == '\'').is_some()
    }
}
