//! Rules for words and their contractions.

use super::abbreviations::{CUT, WHOLE, WITH_APOSTROPHE, WITH_STRAIGHT_APOSTROPHE};
use super::characters::{is_apostrophe, is_inner_apostrophe, is_letter, is_letter_or_digit};
use super::rules::{Form, Scan};

impl Scan<'_> {
    pub(super) fn cut_words(&mut self) {
        for word in WHOLE {
            if let Some(end) = self.literal(self.at, word, |_| false) {
                self.offer_plain(end);
            }
        }
        for (word, cut) in CUT {
            if let Some(end) = self.literal(self.at, word, is_apostrophe) {
                self.offer(self.at + cut, end, Form::Plain);
            }
        }
    }

    /// The end of a word: letters and digits from a letter on, also past a period, ! or ? that a letter follows at once.
    pub(super) fn word_end(&self, at: usize) -> Option<usize> {
        if !self.is(at, is_letter) {
            return None;
        }
        let mut end = self.run(at, is_letter_or_digit);
        while self.is(end, |c| matches!(c, '.' | '!' | '?')) && self.is(end + 1, is_letter) {
            end = self.run(end + 1, is_letter_or_digit);
        }
        Some(end)
    }

    pub(super) fn words(&mut self) {
        let at = self.at;
        let Some(end) = self.word_end(at) else { return };
        if let Some(ending) = self.ending(end) {
            self.offer(end, ending, Form::Plain);
        }
        // The part before n't; it must not end in n itself.
        let letters = self.run(at, |c| c.is_ascii_alphabetic() || c == '\u{AD}');
        if letters >= at + 2
            && self.is(letters - 1, |c| c.eq_ignore_ascii_case(&'n'))
            && self.is(letters - 2, |c| !c.eq_ignore_ascii_case(&'n'))
            && self.is(letters, is_inner_apostrophe)
            && self.is(letters + 1, |c| c.eq_ignore_ascii_case(&'t'))
        {
            self.offer(letters - 1, letters + 2, Form::Plain);
        }
        self.offer_plain(end);
        self.with_period(end);
    }

    /// A period before a comma, a semicolon or a colon belongs to the word.
    pub(super) fn with_period(&mut self, end: usize) {
        if self.is(end, |c| c == '.') && self.is(end + 1, |c| matches!(c, ',' | ';' | ':' | '、')) {
            self.offer(end + 1, end + 2, Form::Plain);
        }
    }

    /// The end of 's, 'm, 'd, 're, 've or 'll at `at`.
    pub(super) fn ending(&self, at: usize) -> Option<usize> {
        if !self.is(at, is_apostrophe) {
            return None;
        }
        let two = ["re", "ve", "ll"].into_iter().any(|word| self.starts(at + 1, word));
        let one = self.is(at + 1, |c| matches!(c.to_ascii_lowercase(), 'm' | 's' | 'd'));
        if two { Some(at + 3) } else { one.then_some(at + 2) }
    }

    pub(super) fn apostrophe_words(&mut self) {
        let at = self.at;
        for word in WITH_APOSTROPHE {
            if let Some(end) = self.literal(at, word, is_apostrophe) {
                self.offer_plain(end);
            }
        }
        for word in WITH_STRAIGHT_APOSTROPHE {
            if let Some(end) = self.literal(at, word, |c| c == '\'') {
                self.offer_plain(end);
            }
        }
        // T'ai, N'Sync: one letter, mostly a capital, and two more.
        let first = self.is(at, |c| matches!(c, 'A'..='H' | 'J'..='X' | 'Z' | 'n'));
        if first && self.is(at + 1, is_inner_apostrophe) {
            let end = self.run(at + 2, char::is_alphabetic);
            if end >= at + 4 {
                self.offer_plain(end);
            }
        }
        // ma'am, Shi'ite: a vowel before and a vowel or a capital after.
        let end = self.run(at, char::is_alphabetic);
        if end >= at + 2
            && self.is(end - 1, |c| matches!(c.to_ascii_lowercase(), 'a' | 'e' | 'i' | 'o' | 'u' | 'y'))
            && self.is(end, is_inner_apostrophe)
            && self.is(end + 1, |c| matches!(c, 'a' | 'e' | 'i' | 'o' | 'u' | 'A'..='Z'))
        {
            self.offer_plain(self.run(end + 1, char::is_alphabetic));
        }
        if let Some(end) = self.literal(at, "y'", is_apostrophe)
            && self.is(end, char::is_alphabetic)
        {
            self.offer(end, end + 1, Form::Plain);
        }
    }

    /// 's and n't by themselves, cut off a word before.
    pub(super) fn contraction_endings(&mut self) {
        let at = self.at;
        if let Some(end) = self.ending(at)
            && self.is(end, |c| !c.is_ascii_alphabetic())
        {
            self.offer(end, end + 1, Form::Closing);
        }
        if let Some(end) = self.literal(at, "n't", is_inner_apostrophe) {
            self.offer(end, end, Form::Closing);
        }
    }
}
