//! Rules for words with hyphens, slashes, ampersands and periods in them.

use super::abbreviations::{ABBREVIATIONS, BEFORE_NAMES, BEFORE_NUMBERS, CAPITALISED, SENTENCE_STARTS};
use super::characters::{is_digit, is_hyphen, is_inner_apostrophe, is_letter_or_digit, is_newline, is_space};
use super::rules::{Form, Scan};

/// The letters of the longest abbreviation.
const LONGEST: usize = 7;

impl Scan<'_> {
    /// and/or, w/o, a/b/c: two or three words, each of which may have two hyphens.
    pub(super) fn slashed(&mut self) {
        let part = |at: usize| {
            let mut end = self.run(at, |c| c.is_ascii_alphanumeric());
            if end == at {
                return None;
            }
            for _ in 0..2 {
                let next = self.run(end + 1, |c| c.is_ascii_alphabetic());
                if self.is(end, |c| c == '-') && next > end + 1 {
                    end = next;
                }
            }
            Some(end)
        };
        let Some(mut end) = part(self.at) else { return };
        let mut parts = 1;
        while parts < 3
            && self.is(end, |c| c == '/')
            && let Some(next) = part(end + 1)
        {
            end = next;
            parts += 1;
        }
        if parts > 1 {
            self.offer_plain(end);
        }
    }

    /// Words with hyphens stay whole; so do those with numbers, as 1,000-foot, and with acronyms, as U.S.-based.
    pub(super) fn hyphenated(&mut self) {
        let at = self.at;
        if self.is(at, |c| c.is_ascii_alphanumeric()) {
            let first = self.run(at, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | ',' | '\u{AD}'));
            let mut end = first;
            while self.is(end, |c| c == '-')
                && let Some(next) = self.after_hyphen(end + 1)
            {
                end = next;
            }
            if end > first {
                self.offer_plain(end);
                self.with_period(end);
            }
        }
        if let Some(mut end) = self.thing_part(at) {
            while self.is(end, is_hyphen)
                && let Some(next) = self.thing_part(end + 1)
            {
                end = next;
            }
            self.offer_plain(end);
            self.with_period(end);
        }
    }

    pub(super) fn after_hyphen(&self, at: usize) -> Option<usize> {
        let mut acronym = at;
        while self.is(acronym, |c| c.is_ascii_alphabetic()) && self.is(acronym + 1, |c| c == '.') {
            acronym += 2;
        }
        if acronym >= at + 4 {
            return Some(acronym);
        }
        let end = self.run(at, |c| c.is_ascii_alphanumeric() || c == '\u{AD}');
        (end > at).then_some(end)
    }

    /// Letters and digits, with o', d' or l' before them.
    pub(super) fn thing_part(&self, at: usize) -> Option<usize> {
        if self.is(at, |c| matches!(c, 'd' | 'D' | 'o' | 'O' | 'l' | 'L')) && self.is(at + 1, is_inner_apostrophe) {
            let end = self.run(at + 2, is_letter_or_digit);
            if end >= at + 4 {
                return Some(end);
            }
        }
        let end = self.run(at, is_letter_or_digit);
        (end > at).then_some(end)
    }

    /// AT&T, A+B and C++: capitals only.
    pub(super) fn capitals_with_ampersand(&mut self) {
        let mut end = self.run(self.at, |c| c.is_ascii_uppercase());
        if end == self.at {
            return;
        }
        if self.get(self.at) == Some('C') && self.starts(self.at + 1, "++") {
            self.offer_plain(self.at + 3);
        }
        let mut joined = false;
        loop {
            let entity = self.literal(end, "&amp;", |_| false);
            let sign = self.is(end, |c| matches!(c, '+' | '&')).then_some(end + 1);
            let Some(start) = entity.or(sign) else { break };
            let next = self.run(start, |c| c.is_ascii_uppercase());
            if next == start {
                break;
            }
            end = next;
            joined = true;
        }
        if joined {
            self.offer_plain(end);
        }
    }

    /// Single letters, U.S. and the abbreviations that keep their period.
    pub(super) fn abbreviations(&mut self) {
        let at = self.at;
        if !self.is(at, |c| c.is_ascii_alphabetic()) {
            return;
        }
        let mut acronym = at + 1;
        while self.is(acronym, |c| c == '.') && self.is(acronym + 1, |c| c.is_ascii_alphabetic()) {
            acronym += 2;
        }
        // Every prefix of an acronym is one: in "a.bc" only "a." is left.
        while acronym > at + 1 && !self.is(acronym, |c| c == '.') {
            acronym -= 2;
        }
        if self.is(acronym, |c| c == '.') {
            let single = acronym == at + 1;
            if single && let Some(reach) = self.sentence_start(acronym + 1) {
                self.offer(acronym, reach, Form::Plain);
            }
            self.offer_plain(acronym + 1);
        }
        let end = self.run(at, |c| c.is_ascii_alphabetic() || c == '.');
        for end in at..end.min(at + LONGEST + 1) {
            if !self.is(end, |c| c == '.') {
                continue;
            }
            let word: String = self.text[at..end].iter().collect();
            let lower = word.to_ascii_lowercase();
            if BEFORE_NAMES.contains(&lower.as_str()) {
                self.offer_plain(end + 1);
            }
            if ABBREVIATIONS.contains(&lower.as_str()) || CAPITALISED.contains(&word.as_str()) {
                // Looking two characters ahead, these beat a word of one letter that follows without a space.
                self.offer(end + 1, self.text.len().min(end + 3), Form::Plain);
            }
            let number = self.run(end + 1, is_space);
            if BEFORE_NUMBERS.contains(&lower.as_str()) && self.is(number, is_digit) {
                self.offer(end + 1, number + 1, Form::Plain);
            }
        }
    }

    /// The end of a word that begins a sentence, after spaces at `at`.
    pub(super) fn sentence_start(&self, at: usize) -> Option<usize> {
        let start = self.run(at, |c| is_space(c) || is_newline(c));
        if start == at {
            return None;
        }
        SENTENCE_STARTS.iter().find_map(|word| {
            let end = start + word.len();
            let found = self.text.get(start..end)?.iter().copied().eq(word.chars());
            (found && self.is(end, |c| is_space(c) || is_newline(c))).then_some(end + 1)
        })
    }
}
