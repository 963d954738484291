//! Rules for quotes, brackets, dashes, smileys and other marks.

use super::characters::{is_newline, is_quote, is_space, is_symbol};
use super::scan::{Form, Scan};

impl Scan<'_> {
    pub(super) fn smileys(&mut self) {
        let at = self.at;
        let eye = |c: char| matches!(c, '^' | 'x' | '=' | '~' | '<' | '>' | '-' | '\'');
        // A slip of the original's: for an eye of the second kind it has all that comes before <.
        if self.is(at, |c| eye(c) && !matches!(c, '-' | '\'')) && self.starts(at + 1, ".[^x=") {
            if self.found.below <= at + 6 {
                self.found.below = self.run(at + 6, |c| c != '<');
            }
            let end = self.found.below;
            if self.starts(end, "<>]") {
                self.offer_plain(end + 3);
            }
        }
        let lined = self.is(at, eye) && self.is(at + 1, |c| c == '_') && self.is(at + 2, eye);
        if lined {
            self.offer_plain(at + 3);
        }
        if self.is(at, |c| c == '(') && self.is(at + 1, eye) {
            let second = match self.get(at + 2) {
                Some('_' | '.') if self.is(at + 3, eye) => at + 3,
                Some('-') if self.is(at + 3, |c| eye(c) && c != '-' || c == '`') => at + 3,
                _ => at + 2,
            };
            if (second > at + 2 || self.is(second, eye)) && self.is(second + 1, |c| c == ')') {
                self.offer_plain(second + 2);
            }
        }
        let eyes = at + usize::from(self.is(at, |c| matches!(c, '<' | '>')));
        if !self.is(eyes, |c| matches!(c, ':' | ';' | '=')) {
            return;
        }
        let mouth = eyes + 1 + usize::from(self.is(eyes + 1, |c| matches!(c, '-' | 'o' | '*' | '\'')));
        let smiles =
            |c: char| matches!(c, '(' | ')' | '{' | '|' | '[' | ']' | '\\' | 'D' | 'P' | 'd' | 'p' | 'O' | '@');
        if self.is(mouth, smiles) && self.is(mouth + 1, |c| !c.is_ascii_alphanumeric()) {
            self.offer(mouth + 1, mouth + 2, Form::Plain);
        }
    }

    pub(super) fn quotes(&mut self) {
        let at = self.at;
        if self.is(at, |c| c == '"') {
            let form = if self.is(at + 1, |c| c.is_ascii_alphanumeric() || c == '$') { "``" } else { "''" };
            self.offer(at + 1, at + 1, Form::As(form));
        }
        if let Some(year) = self.apostrophe(at)
            && self.is(year, |c| c.is_ascii_digit())
            && self.is(year + 1, |c| c.is_ascii_digit())
            && self.is(year + 2, |c| is_space(c) || is_newline(c))
        {
            self.offer(year + 2, year + 3, Form::Plain);
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
        let run = |scan: &Self| scan.run(at, |c| c == first);
        match first {
            '(' => self.offer(at + 1, at + 1, Form::As("-lrb-")),
            ')' => self.offer(at + 1, at + 1, Form::As("-rrb-")),
            '[' => self.offer(at + 1, at + 1, Form::As("-lsb-")),
            ']' => self.offer(at + 1, at + 1, Form::As("-rsb-")),
            '{' => self.offer(at + 1, at + 1, Form::As("-lcb-")),
            '}' => self.offer(at + 1, at + 1, Form::As("-rcb-")),
            '<' | '>' => self.offer_plain(at + 1 + usize::from(self.is(at + 1, |c| c == first))),
            '-' => {
                let run = run(self);
                self.offer(run, run, if matches!(run - at, 3 | 4) { Form::As("--") } else { Form::Plain });
            }
            '@' | '#' | '_' | '*' => self.offer_plain(run(self)),
            '\\' if self.is(at + 1, |c| c == '*') => {
                let mut end = at + 2;
                while end < at + 6 && self.is(end, |c| c == '\\') && self.is(end + 1, |c| c == '*') {
                    end += 2;
                }
                self.offer_plain(end);
            }
            '?' | '!' => self.offer_plain(self.run(at, |c| matches!(c, '?' | '!'))),
            '…' => self.offer(at + 1, at + 1, Form::As("...")),
            '.' => {
                self.offer_plain(at + 1);
                let dots = (at..at + 5).take_while(|&i| self.is(i, |c| c == '.')).count();
                let gap = |c: char| matches!(c, ' ' | '\u{A0}');
                let spaced = (1..5).take_while(|i| self.is(at + 2 * i - 1, gap) && self.is(at + 2 * i, |c| c == '.'));
                let end = at + dots.max(1 + 2 * spaced.count());
                if end > at + 2 && (dots > 2 || end > at + 3) {
                    self.offer(end, end, Form::As("..."));
                }
            }
            c if is_symbol(c) => self.offer_plain(at + 1),
            _ => {}
        }
    }
}
