//! Rules for what the web brought: tags, entities, addresses, @names and #tags.

use super::characters::is_letter;
use super::rules::{Form, Scan};

impl Scan<'_> {
    /// Tags like `<br />`, and dashes and ampersands written as entities.
    pub(super) fn markup(&mut self) {
        let at = self.at;
        match self.get(at) {
            Some('<') => {
                if let Some(end) = self.tag_end() {
                    self.offer_plain(end);
                }
            }
            Some('&') => {
                let entities = [
                    ("&mdash;", Form::As("--")),
                    ("&ndash;", Form::As("--")),
                    ("&md;", Form::As("--")),
                    ("&amp;", Form::As("&")),
                    ("&lt;", Form::As("<")),
                    ("&gt;", Form::As(">")),
                    ("&quot;", Form::As("''")),
                    ("&apos;", Form::As("'")),
                    ("&nbsp;", Form::Nothing),
                ];
                let code = self.run(at + 2, |c| c.is_ascii_digit());
                if self.is(at + 1, |c| c == '#') && code > at + 2 && self.is(code, |c| c == ';') {
                    self.offer_plain(code + 1);
                }
                for (entity, form) in entities {
                    if let Some(end) = self.literal(at, entity, |_| false) {
                        self.offer(end, end, form);
                    }
                }
            }
            Some('–' | '—' | '―' | '\u{96}' | '\u{97}') => self.offer(at + 1, at + 1, Form::As("--")),
            _ => {}
        }
    }

    /// The end of a tag: a name, and attributes with or without values.
    pub(super) fn tag_end(&self) -> Option<usize> {
        let name = |at: usize| {
            let end = self.run(at, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-'));
            self.is(at, |c| c.is_ascii_alphabetic()).then_some(end)
        };
        let spaces = |at: usize| self.run(at, |c| c == ' ');
        let mut end = name(self.at + 1 + usize::from(self.is(self.at + 1, |c| c == '/')))?;
        while spaces(end) > end
            && let Some(attribute) = name(spaces(end))
        {
            end = attribute;
            let equals = spaces(end);
            if self.is(equals, |c| c == '=') {
                let value = spaces(equals + 1);
                end = match self.get(value) {
                    Some(quote @ ('"' | '\'')) => self.run(value + 1, |c| c != quote && c != '\n') + 1,
                    _ => name(value)?,
                };
            }
        }
        end = spaces(end);
        end += usize::from(self.is(end, |c| c == '/'));
        self.is(end, |c| c == '>').then_some(end + 1)
    }

    /// Web and mail addresses, @names and #tags.
    pub(super) fn addresses(&mut self) {
        let at = self.at;
        let before_host = ["http://", "https://"].into_iter().find_map(|scheme| self.literal(at, scheme, |_| false));
        if let Some(host) = before_host {
            let end = self
                .run(host, |c| !matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{C}' | '"' | '<' | '>' | '|' | '(' | ')'));
            let last = |c: char| !matches!(c, '.' | '!' | '?' | '{' | '}' | ',' | '-');
            if let Some(end) = (host + 2..=end).rev().find(|&end| self.is(end - 1, last)) {
                self.offer_plain(end);
            }
        }
        self.web_host();
        self.mail();
        let name = match self.get(at) {
            Some('@') if self.is(at + 1, |c| c.is_ascii_alphabetic() || c == '_') => {
                self.run(at + 1, |c| c.is_ascii_alphanumeric() || c == '_')
            }
            Some('#') => self.run(at + 1, is_letter),
            _ => at,
        };
        if name > at + 1 {
            self.offer_plain(name);
        }
    }

    /// www.foo.uk, foo.com and the path after it.
    pub(super) fn web_host(&mut self) {
        let never = |c: char| {
            matches!(
                c,
                ' ' | '\t'
                    | '\n'
                    | '\r'
                    | '\u{C}'
                    | '"'
                    | '<'
                    | '>'
                    | '|'
                    | '.'
                    | '!'
                    | '?'
                    | '('
                    | ')'
                    | '{'
                    | '}'
                    | ','
            )
        };
        let rare = |c: char| matches!(c, '`' | '\'' | ','..='_' | '$');
        let www = self.starts(self.at, "www.");
        let mut end = self.at;
        let mut host = None;
        loop {
            let stop = self.run(end, |c| !never(c) && (www || !rare(c)));
            let domain: String = self.text[end..stop].iter().collect::<String>().to_ascii_lowercase();
            let parts = end > self.at + if www { 4 } else { 0 };
            let ascii = domain.len() >= 2 && domain.chars().all(|c| c.is_ascii_alphabetic());
            if parts && (["com", "net", "org", "edu"].contains(&&*domain) || (www && ascii && domain.len() <= 4)) {
                host = Some(stop);
            }
            if stop == end || self.get(stop) != Some('.') {
                break;
            }
            end = stop + 1;
        }
        let Some(host) = host else { return };
        self.offer_plain(host);
        if self.is(host, |c| c == '/') {
            let path = self
                .run(host, |c| !matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{C}' | '"' | '<' | '>' | '|' | '(' | ')'));
            let last = |c: char| !matches!(c, '.' | '!' | '?' | '{' | '}' | ',' | '-');
            if let Some(end) = (host + 3..=path).rev().find(|&end| self.is(end - 1, last)) {
                self.offer_plain(end);
            }
        }
    }

    pub(super) fn mail(&mut self) {
        let inside = |c: char| {
            !matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{C}' | '"' | '<' | '>' | '|' | '(' | ')' | '\u{A0}' | '{' | '}')
        };
        if !self.is(self.at, |c| c.is_ascii_alphanumeric()) {
            return;
        }
        let end = self.run(self.at, inside);
        let Some(sign) = (self.at + 1..end).rev().find(|&i| self.is(i, |c| c == '@')) else { return };
        let ends = |c: char| !matches!(c, '.' | ',' | ';' | ':' | '[' | ']');
        if let Some(end) = (sign + 2..=end).rev().find(|&end| self.is(end - 1, ends))
            && self.is(sign + 1, |c| c != '.')
        {
            self.offer_plain(end);
        }
    }
}
