//! Rules for addresses: of the web, of mail, of files, @names and #tags.

use super::abbreviations::FILE_TYPES;
use super::characters::{is_newline, is_space};
use super::look_ahead::{Ahead, Found};
use super::scan::{Form, Scan};

/// What never stands in an address.
fn outside(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{C}' | '"' | '<' | '>' | '|' | '(' | ')')
}

/// What may end the path of an address.
fn ends_path(c: char) -> bool {
    !matches!(c, '.' | '!' | '?' | '{' | '}' | ',' | '-')
}

fn in_www(c: char) -> bool {
    !outside(c) && !matches!(c, '.' | '!' | '?' | '{' | '}' | ',')
}

fn in_host(c: char) -> bool {
    in_www(c) && !matches!(c, '`' | '\'' | ','..='_' | '$')
}

fn in_mail(c: char) -> bool {
    !outside(c) && !matches!(c, '\u{A0}' | '{' | '}')
}

impl Scan<'_> {
    pub(super) fn addresses(&mut self) {
        let scheme = ["http://", "https://"].into_iter().find_map(|scheme| self.literal(self.at, scheme));
        if let Some(end) = scheme.and_then(|host| self.path_end(host)) {
            self.offer_raw(end);
        }
        self.hosts();
        self.mail();
        self.names();
    }

    /// The end of two UTF-16 units or more from `at` on of which the last may end a path.
    fn path_end(&self, at: usize) -> Option<usize> {
        let end = self.run(at, |c| !outside(c));
        let least = if self.is(at, |c| c > '\u{FFFF}') { 1 } else { 2 };
        (at + least..=end).rev().find(|&end| self.is(end - 1, ends_path))
    }

    /// What `look` finds from here on, or found for a word before in the same run.
    fn ahead(&mut self, kept: fn(&mut Found) -> &mut Ahead, look: fn(&Self, usize) -> Ahead) -> Option<usize> {
        let at = self.at;
        if kept(self.found).end <= at {
            *kept(self.found) = look(self, at);
        }
        let ahead = *kept(self.found);
        (ahead.mark > at).then_some(ahead.address)
    }

    /// www.foo.uk, foo.com and the path after it.
    fn hosts(&mut self) {
        if self.at >= self.found.point {
            return;
        }
        if self.is(self.at, in_host)
            && let Some(end) = self.ahead(|found| &mut found.host, Self::host)
        {
            self.offer_raw(end);
        }
        if self.starts(self.at, "www.")
            && let Some(end) = self.ahead(|found| &mut found.www, Self::www)
        {
            self.offer_raw(end);
        }
    }

    fn host(&self, at: usize) -> Ahead {
        let known = |at| ["com", "net", "org", "edu"].into_iter().find_map(|domain| self.literal(at, domain));
        self.parts(at, in_host, known)
    }

    fn www(&self, at: usize) -> Ahead {
        let country = |at| {
            let end = self.run(at, |c| c.is_ascii_alphabetic());
            (end >= at + 2).then_some(end.min(at + 4))
        };
        let ahead = self.parts(at + 4, in_www, country);
        // Another address may begin in this one at the next www. only, and what ends it ends this one.
        Ahead { mark: ahead.mark.saturating_sub(4), ..ahead }
    }

    /// Parts of characters of a class, with a period between two, of which the last to begin with a `domain` ends the address, but for a path.
    fn parts(&self, at: usize, class: fn(char) -> bool, domain: impl Fn(usize) -> Option<usize>) -> Ahead {
        let mut ahead = Ahead { end: self.run(at, class), ..Ahead::default() };
        let mut with_path = false;
        while ahead.end > at && self.is(ahead.end, |c| c == '.') {
            if let Some(host) = domain(ahead.end + 1) {
                let path = self.is(host, |c| c == '/').then(|| self.path_end(host + 1)).flatten();
                if path.is_some() || !with_path {
                    with_path = path.is_some();
                    ahead = Ahead { mark: ahead.end, address: path.unwrap_or(host), ..ahead };
                }
            }
            let next = self.run(ahead.end + 1, class);
            if next == ahead.end + 1 {
                break;
            }
            ahead.end = next;
        }
        ahead
    }

    /// me@foo.com, with < and > about it or not.
    fn mail(&mut self) {
        if self.at >= self.found.sign {
            return;
        }
        let start = match self.get(self.at) {
            Some('<') => self.at + 1,
            Some('&') => self.literal(self.at, "&lt;").unwrap_or(self.at),
            _ => self.at,
        };
        if !self.is(start, |c| c.is_ascii_alphanumeric()) {
            return;
        }
        let at = std::mem::replace(&mut self.at, start);
        let address = self.ahead(|found| &mut found.mail, Self::mail_ahead);
        self.at = at;
        if let Some(end) = address {
            let bracket = self.is(end, |c| c == '>').then_some(end + 1);
            self.offer_raw(bracket.or_else(|| self.literal(end, "&gt;")).unwrap_or(end));
        }
    }

    fn mail_ahead(&self, at: usize) -> Ahead {
        let end = self.run(at, in_mail);
        let fits = |i: &usize| self.is(*i, |c| c == '@') && *i + 1 < end && self.is(*i + 1, |c| c != '.');
        let Some(sign) = (at..end).rev().find(fits) else { return Ahead { end, ..Ahead::default() } };
        let mut address = self.run(sign + 1, |c| in_mail(c) && c != '.');
        while self.is(address, |c| c == '.') && self.is(address + 1, |c| in_mail(c) && c != '.') {
            address = self.run(address + 1, |c| in_mail(c) && c != '.');
        }
        Ahead { end, mark: sign, address }
    }

    /// @names and #tags.
    fn names(&mut self) {
        let at = self.at;
        let name = match self.get(at) {
            Some('@') if self.is(at + 1, |c| c.is_ascii_alphabetic() || c == '_') => {
                self.run(at + 1, |c| c.is_ascii_alphanumeric() || c == '_')
            }
            Some('#') => {
                let mut end = at + 1;
                while let Some(next) = self.letter(end) {
                    end = next;
                }
                end
            }
            _ => at,
        };
        if name > at + 1 {
            self.offer_raw(name);
        }
    }

    /// Names of files: parts of letters and digits between periods, of which the last is a known type and ends the word.
    pub(super) fn files(&mut self) {
        if self.at < self.found.point
            && self.letters_and_digits(self.at) > self.at
            && let Some(end) = self.ahead(|found| &mut found.file, Self::file)
        {
            self.offer(end, end + 1, Form::Raw);
        }
    }

    fn file(&self, at: usize) -> Ahead {
        let mut ahead = Ahead { end: self.letters_and_digits(at), ..Ahead::default() };
        while self.is(ahead.end, |c| c == '.') {
            let next = self.letters_and_digits(ahead.end + 1);
            if next == ahead.end + 1 {
                break;
            }
            let known = || FILE_TYPES.iter().any(|word| self.literal(ahead.end + 1, word) == Some(next));
            let ended = |c: char| is_space(c) || is_newline(c) || matches!(c, '.' | '?' | '!' | ',');
            if self.is(next, ended) && known() {
                ahead = Ahead { mark: ahead.end, address: next, ..ahead };
            }
            ahead.end = next;
        }
        ahead
    }
}
