//! Rules for quotes, brackets, dashes, smileys and other marks.

use super::characters::{is_apostrophe, is_newline, is_quote, is_space, is_symbol};
use super::rules::{Form, Scan};

impl Scan<'_> {
    pub(super) fn smileys(&mut self) {
        let at = self.at;
        let eye = |c: char| matches!(c, '^' | 'x' | '=' | '~' | '<' | '>' | '-' | '\'');
        let lined = self.is(at, eye) && self.is(at + 1, |c| c == '_') && self.is(at + 2, eye);
        if lined {
            self.offer_plain(at + 3);
        }
        let second = at + 2 + usize::from(self.is(at + 2, |c| matches!(c, '_' | '.')));
        if self.is(at, |c| c == '(')
            && self.is(at + 1, eye)
            && self.is(second, eye)
            && self.is(second + 1, |c| c == ')')
        {
            self.offer_plain(second + 2);
        }
        let eyes = at + usize::from(self.is(at, |c| matches!(c, '<' | '>')));
        if !self.is(eyes, |c| matches!(c, ':' | ';' | '=')) {
            return;
        }
        let mouth = eyes + 1 + usize::from(self.is(eyes + 1, |c| matches!(c, '-' | 'o' | '*' | '\'')));
        let smiles =
            |c: char| matches!(c, '(' | ')' | '{' | '|' | '[' | ']' | '\\' | 'D' | 'P' | 'd' | 'p' | 'O' | '3');
        if self.is(mouth, smiles) && self.is(mouth + 1, |c| !c.is_ascii_alphabetic()) {
            self.offer(mouth + 1, mouth + 2, Form::Plain);
        }
    }

    pub(super) fn quotes(&mut self) {
        let at = self.at;
        if self.is(at, |c| c == '"') {
            let form = if self.is(at + 1, |c| c.is_ascii_alphanumeric() || c == '$') { "``" } else { "''" };
            self.offer(at + 1, at + 1, Form::As(form));
        }
        let digits = self.is(at + 1, |c| c.is_ascii_digit()) && self.is(at + 2, |c| c.is_ascii_digit());
        if self.is(at, is_apostrophe) && digits && self.is(at + 3, |c| is_space(c) || is_newline(c)) {
            self.offer(at + 3, at + 4, Form::Plain);
        }
        if self.is(at, |c| c == '\'')
            && self.is(at + 1, |c| c.is_ascii_alphabetic())
            && self.is(at + 2, |c| !matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{A0}'))
        {
            self.offer(at + 1, at + 3, Form::As("`"));
        }
        if let Some(end) = self.ending(at) {
            self.offer(end, end, Form::Closing);
        }
        if self.is(at, |c| c == '\'') && self.is(at + 1, |c| c == '\'') {
            self.offer(at + 2, at + 2, Form::As("''"));
        }
        if self.is(at, is_quote) {
            let end = if self.is(at + 1, |c| is_quote(c) && c != '\'') && self.get(at) != Some('\'') {
                at + 2
            } else {
                at + 1
            };
            self.offer(end, end, Form::Closing);
        }
    }

    /// Brackets, dashes, dots and other marks.
    pub(super) fn marks(&mut self) {
        let at = self.at;
        let Some(first) = self.get(at) else { return };
        let run = self.run(at, |c| c == first);
        match first {
            '(' => self.offer(at + 1, at + 1, Form::As("-lrb-")),
            ')' => self.offer(at + 1, at + 1, Form::As("-rrb-")),
            '[' => self.offer(at + 1, at + 1, Form::As("-lsb-")),
            ']' => self.offer(at + 1, at + 1, Form::As("-rsb-")),
            '{' => self.offer(at + 1, at + 1, Form::As("-lcb-")),
            '}' => self.offer(at + 1, at + 1, Form::As("-rcb-")),
            '<' | '>' => self.offer_plain(at + usize::from(run > at + 1) + 1),
            '-' => self.offer(run, run, if matches!(run - at, 3 | 4) { Form::As("--") } else { Form::Plain }),
            '@' | '#' | '_' | '*' => self.offer_plain(run),
            '?' | '!' => self.offer_plain(self.run(at, |c| matches!(c, '?' | '!'))),
            '…' => self.offer(at + 1, at + 1, Form::As("...")),
            '.' if run > at + 2 => self.offer(run, run, Form::As("...")),
            c if is_symbol(c) => self.offer_plain(at + 1),
            _ => {}
        }
    }
}
