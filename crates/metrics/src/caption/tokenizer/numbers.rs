//! Rules for numbers: decimals, times, dates, fractions, telephone numbers and money.

use super::characters::{is_digit, is_space};
use super::scan::{Form, Scan};

impl Scan<'_> {
    pub(super) fn numbers(&mut self) {
        let at = self.at;
        let sign = usize::from(self.is(at, |c| matches!(c, '-' | '+')));
        if let Some(end) = self.number_end(at + sign) {
            self.offer_plain(end);
        }
        if let Some(end) = self.date_end() {
            self.offer_plain(end);
        }
        if let Some(end) = self.fraction_end(at) {
            self.offer_plain(end);
        }
        // 5-1/2, and 5 1/2, which is cut at the space again when it is written out.
        let whole = self.run(at, is_digit);
        if whole > at
            && whole <= at + 4
            && self.is(whole, |c| matches!(c, '-' | ' ' | '\u{A0}'))
            && let Some(end) = self.fraction_end(whole + 1)
        {
            self.offer(end, end, Form::Joined);
        }
        if let Some(end) = self.telephone_end() {
            self.offer(end, end, Form::Joined);
        }
        match self.get(at) {
            Some('¼') => self.offer(at + 1, at + 1, Form::As("1/4")),
            Some('½') => self.offer(at + 1, at + 1, Form::As("1/2")),
            Some('¾') => self.offer(at + 1, at + 1, Form::As("3/4")),
            Some('⅓') => self.offer(at + 1, at + 1, Form::As("1/3")),
            Some('⅔') => self.offer(at + 1, at + 1, Form::As("2/3")),
            Some('⅕'..='⅞') => self.offer_plain(at + 1),
            _ => {}
        }
        let raised = |c: char| matches!(c, '¹' | '²' | '³' | '⁰' | '⁴'..='⁹');
        let start = at + usize::from(self.is(at, |c| matches!(c, '⁺' | '⁻' | '₊' | '₋')));
        let end = self.run(start, raised).max(self.run(start, |c| matches!(c, '₀'..='₉')));
        if end > start {
            self.offer_plain(end);
        }
    }

    pub(super) fn number_end(&self, at: usize) -> Option<usize> {
        let mut end = self.run(at, is_digit);
        let separates = |c: char| matches!(c, '.' | ',' | ':' | '\u{66B}' | '\u{66C}' | '\u{AD}');
        while self.is(end, separates) && self.is(end + 1, is_digit) {
            end = self.run(end + 1, is_digit);
        }
        (end > at).then_some(end)
    }

    /// Groups of digits as in (555) 123-4567, 020 7946 0018 and 555.123.4567.
    pub(super) fn telephone_end(&self) -> Option<usize> {
        let gap = |c: char| matches!(c, '-' | ' ' | '\u{A0}');
        let group = |at: usize, least: usize, most: usize| {
            let end = self.run(at, |c| c.is_ascii_digit());
            (end >= at + least).then_some(end.min(at + most))
        };
        let before =
            |at, separates: fn(char) -> bool| group(at, 2, 4).filter(|&end| self.is(end, separates)).map(|end| end + 1);
        let dotted = |at| {
            let last = group(before(at, |c| c == '.')?, 3, 4).filter(|&end| self.is(end, |c| c == '.'))?;
            group(last + 1, 3, 5)
        };
        // The last two groups, of which the first has three or four digits and the gap may be missing.
        let last_two = |at: usize| {
            let split = |length| {
                let first = group(at, length, length)?;
                group(first + usize::from(self.is(first, gap)), 3, 5)
            };
            split(3).max(split(4))
        };
        if self.is(self.at, |c| c == '(') {
            let close = group(self.at + 1, 2, 3).filter(|&end| self.is(end, |c| c == ')'))?;
            let next = close + 1;
            return last_two(next).max(self.is(next, is_space).then(|| last_two(next + 1)).flatten());
        }
        let start = self.at + (0..2).take_while(|i| self.is(self.at + i, |c| c == '+')).count();
        let gap = |c: char| matches!(c, '-' | ' ' | '\u{A0}');
        let area = before(start, gap);
        let local = area.and_then(|at| before(at, gap));
        let dotted_area = before(start, |c| c == '.');
        [area.and_then(last_two), local.and_then(last_two), dotted(self.at), dotted_area.and_then(dotted)]
            .into_iter()
            .flatten()
            .max()
    }

    pub(super) fn date_end(&self) -> Option<usize> {
        let mut at = self.at;
        for _ in 0..2 {
            let end = self.run(at, is_digit);
            if end == at || end > at + 2 || !self.is(end, |c| matches!(c, '-' | '/')) {
                return None;
            }
            at = end + 1;
        }
        let end = self.run(at, is_digit).min(at + 4);
        (end >= at + 2).then_some(end)
    }

    pub(super) fn fraction_end(&self, at: usize) -> Option<usize> {
        let slash = self.run(at, is_digit);
        if slash == at || slash > at + 4 {
            return None;
        }
        let below = if self.is(slash, |c| c == '⁄') { slash + 1 } else { self.slash(slash)? };
        let end = self.run(below, is_digit).min(below + 4);
        (end > below).then_some(end)
    }

    pub(super) fn currency(&mut self) {
        let at = self.at;
        let letters = self.run(at, |c| c.is_ascii_uppercase());
        if self.is(letters, |c| c == '$') {
            self.offer_plain(letters + 1);
        }
        match self.get(at) {
            Some('¢') => self.offer(at + 1, at + 1, Form::As("cents")),
            Some('£') => self.offer(at + 1, at + 1, Form::As("#")),
            Some('€' | '¤' | '₠' | '\u{80}') => self.offer(at + 1, at + 1, Form::As("$")),
            Some('¥' | '₤' | '\u{E3F}' | '￠' | '￡' | '￥' | '￦') => self.offer_plain(at + 1),
            _ => {}
        }
    }
}
