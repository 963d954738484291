//! Rules for words with hyphens, slashes, ampersands and periods in them.

use super::abbreviations::{
    ABBREVIATIONS, BEFORE_NAMES, BEFORE_NUMBERS, CASED, CASED_BEFORE_NAMES, COUNTRIES, SENTENCE_STARTS,
};
use super::characters::{fold, is_digit, is_hyphen, is_newline, is_plain_letter, is_space};
use super::scan::{Form, Scan};

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
            && let Some(slash) = self.slash(end)
            && let Some(next) = part(slash)
        {
            end = next;
            parts += 1;
        }
        if parts > 1 {
            self.offer_plain(end);
        }
    }

    /// The end of a slash, which a backslash may escape.
    pub(super) fn slash(&self, at: usize) -> Option<usize> {
        let slash = at + usize::from(self.is(at, |c| c == '\\'));
        self.is(slash, |c| c == '/').then_some(slash + 1)
    }

    /// Words with hyphens stay whole; so do those with numbers, as 1,000-foot, and with acronyms, as U.S.-based.
    pub(super) fn hyphenated(&mut self) {
        let at = self.at;
        if self.is(at, |c| c.is_ascii_alphanumeric()) {
            if self.found.with_points <= at {
                self.found.with_points =
                    self.run(at, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | ',' | '\u{AD}'));
            }
            let first = self.found.with_points;
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
        let countries = COUNTRIES.into_iter().filter_map(|word| self.literal(at, word));
        let countries = countries.filter(|&end| self.is(end, |c| c == '.')).map(|end| end + 1).max();
        if acronym >= at + 4 || countries.is_some() {
            return countries.max(Some(acronym));
        }
        let end = self.run(at, |c| c.is_ascii_alphanumeric() || c == '\u{AD}');
        (end > at).then_some(end)
    }

    /// Letters and digits, with o', d' or l' before them.
    pub(super) fn thing_part(&self, at: usize) -> Option<usize> {
        let inside = |c| is_plain_letter(c) || is_digit(c);
        if self.is(at, |c| matches!(c, 'd' | 'D' | 'o' | 'O' | 'l' | 'L'))
            && let Some(start) = self.inner_apostrophe(at + 1)
        {
            let end = self.run(start, inside);
            if end >= start + 2 {
                return Some(end);
            }
        }
        let end = self.run(at, inside);
        (end > at).then_some(end)
    }

    /// AT&T, A+B and C++: capitals only.
    pub(super) fn capitals_with_ampersand(&mut self) {
        for word in ["c++", "c#", "f#"] {
            if let Some(end) = self.literal(self.at, word) {
                self.offer_plain(end);
            }
        }
        let mut end = self.run(self.at, |c| c.is_ascii_uppercase());
        if end == self.at {
            return;
        }
        let mut joined = false;
        loop {
            let capitals = |start: usize| Some(self.run(start, |c| c.is_ascii_uppercase())).filter(|&end| end > start);
            let entity = self.literal(end, "&amp;").and_then(capitals);
            let sign = self.is(end, |c| matches!(c, '+' | '&')).then_some(end + 1).and_then(capitals);
            let Some(next) = entity.or(sign) else { break };
            end = next;
            joined = true;
        }
        if joined {
            self.offer_plain(end);
            self.with_period(end);
        }
    }

    /// Single letters, U.S. and the abbreviations that keep their period.
    pub(super) fn abbreviations(&mut self) {
        let at = self.at;
        if !self.is(at, |c| fold(c).is_ascii_alphabetic()) {
            return;
        }
        self.acronyms();
        let inside = |&end: &usize| self.is(end, |c| fold(c).is_ascii_alphabetic() || c == '.');
        let ends = (at..=at + LONGEST).take_while(inside);
        for end in ends.filter(|&end| self.is(end, |c| c == '.')).collect::<Vec<_>>() {
            self.abbreviation(end);
        }
    }

    /// Single letters and U.S. with their periods, and the acronyms of two countries, which may leave out the last.
    fn acronyms(&mut self) {
        let at = self.at;
        let mut acronym = at;
        while self.is(acronym, |c| c.is_ascii_alphabetic()) && self.is(acronym + 1, |c| c == '.') {
            acronym += 2;
        }
        if acronym > at {
            let single = acronym == at + 2;
            if single && let Some(reach) = self.sentence_start(acronym) {
                self.offer(acronym - 1, reach, Form::Plain);
            }
            self.offer_plain(acronym);
        }
        for word in COUNTRIES {
            if let Some(end) = self.literal(at, word) {
                if self.is(end, |c| is_space(c) || is_newline(c)) {
                    self.offer(end, end + 1, Form::Plain);
                }
                if self.is(end, |c| c == '.') {
                    self.offer_plain(end + 1);
                }
            }
        }
    }

    /// The rules of an abbreviation whose period is at `end`.
    fn abbreviation(&mut self, end: usize) {
        let letters = &self.text[self.at..end];
        let word: String = letters.iter().map(|&c| fold(c)).collect();
        let cased = |list: &[(&str, usize)]| {
            let fits = |c: char, wanted: &str, at: usize| wanted.chars().nth(at) == Some(c);
            list.iter().any(|&(wanted, at)| {
                wanted.eq_ignore_ascii_case(&word) && letters.get(at).is_some_and(|&c| fits(c, wanted, at))
            })
        };
        if BEFORE_NAMES.contains(&word.as_str()) || cased(&CASED_BEFORE_NAMES) {
            self.offer_plain(end + 1);
        }
        if ABBREVIATIONS.contains(&word.as_str()) || cased(&CASED) {
            // Looking two characters ahead, these beat a word of one letter that follows without a space.
            self.offer(end + 1, self.text.len().min(end + 3), Form::Plain);
        }
        let number = self.run(end + 1, |c| is_space(c) || is_newline(c));
        if BEFORE_NUMBERS.contains(&word.as_str()) && self.is(number, is_digit) {
            self.offer(end + 1, number + 1, Form::Plain);
        }
    }

    /// The end of a word that begins a sentence, after spaces at `at`.
    fn sentence_start(&mut self, at: usize) -> Option<usize> {
        let start = self.run(at, |c| is_space(c) || is_newline(c));
        if start == at {
            return None;
        }
        let end = match self.get(start)? {
            '<' => self.tag_end(start)?,
            capital => SENTENCE_STARTS.iter().find_map(|word| {
                let rest = word.strip_prefix(capital)?.to_ascii_lowercase();
                self.literal(start + 1, &rest).filter(|&end| self.is(end, |c| is_space(c) || is_newline(c)))
            })?,
        };
        self.is(end, |c| is_space(c) || is_newline(c)).then_some(end + 1)
    }
}
