//! Rules for words and their contractions.

use super::abbreviations::{CUT, WHOLE, WITH_APOSTROPHE, WITH_STRAIGHT_APOSTROPHE};
use super::characters::{is_letter, is_letter_or_digit, is_plain_letter};
use super::scan::{Form, Scan};

impl Scan<'_> {
    pub(super) fn cut_words(&mut self) {
        for word in WHOLE {
            if let Some(end) = self.literal(self.at, word) {
                self.offer_plain(end);
            }
        }
        for (word, cut) in CUT {
            if let Some(end) = self.literal(self.at, word) {
                self.offer(self.at + cut, end, Form::Plain);
            }
        }
    }

    /// The end of a letter, which may be an entity such as &eacute;.
    pub(super) fn letter(&self, at: usize) -> Option<usize> {
        if !self.is(at, |c| c == '&') {
            return self.is(at, is_letter).then_some(at + 1);
        }
        let accents = ["acute;", "grave;", "uml;"];
        let vowel = self.is(at + 1, |c| matches!(c.to_ascii_lowercase(), 'a' | 'e' | 'i' | 'o' | 'u'));
        vowel.then(|| accents.into_iter().find_map(|accent| self.literal(at + 2, accent))).flatten()
    }

    /// Where letters and digits from `at` on end.
    pub(super) fn letters_and_digits(&self, at: usize) -> usize {
        let mut end = self.run(at, is_letter_or_digit);
        while self.is(end, |c| c == '&')
            && let Some(next) = self.letter(end)
        {
            end = self.run(next, is_letter_or_digit);
        }
        end
    }

    /// The end of a word: letters and digits from a letter on, also past a period, ! or ? that a letter follows at once.
    fn word_end(&self, at: usize) -> Option<usize> {
        let mut end = self.letters_and_digits(self.letter(at)?);
        while self.is(end, |c| matches!(c, '.' | '!' | '?'))
            && let Some(next) = self.letter(end + 1)
        {
            end = self.letters_and_digits(next);
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
        let part = (at..letters.saturating_sub(1)).rev().find(|&i| self.text[i] != '\u{AD}');
        if self.is(letters.saturating_sub(1), |c| c.eq_ignore_ascii_case(&'n'))
            && part.is_some_and(|last| !self.text[last].eq_ignore_ascii_case(&'n'))
            && let Some(after) = self.inner_apostrophe(letters)
            && self.is(after, |c| c.eq_ignore_ascii_case(&'t'))
        {
            self.offer(letters - 1, after + 1, Form::Plain);
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
        let letters = self.apostrophe(at)?;
        let two = ["re", "ve", "ll"].into_iter().any(|word| self.starts(letters, word));
        let one = self.is(letters, |c| matches!(c.to_ascii_lowercase(), 'm' | 's' | 'd'));
        if two { Some(letters + 2) } else { one.then_some(letters + 1) }
    }

    pub(super) fn apostrophe_words(&mut self) {
        let at = self.at;
        for word in WITH_APOSTROPHE {
            if let Some(end) = self.literal_with(at, word, Self::apostrophe) {
                self.offer_plain(end);
            }
        }
        for word in WITH_STRAIGHT_APOSTROPHE {
            if let Some(end) = self.literal(at, word) {
                self.offer_plain(end);
            }
        }
        if let Some(end) = self.literal_with(at, "o'o", Self::inner_apostrophe) {
            self.offer_plain(end);
        }
        // T'ai, N'Sync: one letter, mostly a capital, and two more.
        let first = self.is(at, |c| matches!(c, 'A'..='H' | 'J'..='X' | 'Z' | 'n'));
        if first && let Some(start) = self.inner_apostrophe(at + 1) {
            let end = self.run(start, is_plain_letter);
            if end >= start + 2 {
                self.offer_plain(end);
            }
        }
        // ma'am, Shi'ite: a vowel before and a vowel or a capital after.
        let end = self.run(at, is_plain_letter);
        if end >= at + 2
            && self.is(end - 1, |c| matches!(c.to_ascii_lowercase(), 'a' | 'e' | 'i' | 'o' | 'u' | 'y'))
            && let Some(start) = self.inner_apostrophe(end)
            && self.is(start, |c| matches!(c, 'a' | 'e' | 'i' | 'o' | 'u' | 'A'..='Z'))
        {
            self.offer_plain(self.run(start, is_plain_letter));
        }
        if let Some(end) = self.literal_with(at, "y'", Self::apostrophe)
            && self.is(end, is_plain_letter)
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
        if let Some(end) = self.literal_with(at, "n't", Self::inner_apostrophe) {
            self.offer(end, end, Form::Closing);
        }
    }
}
