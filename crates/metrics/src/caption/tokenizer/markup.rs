//! Rules for markup: tags and entities.

use super::scan::{Form, Scan};

/// Entities that are written as something else.
const ENTITIES: [(&str, Form); 7] = [
    ("&mdash;", Form::As("--")),
    ("&ndash;", Form::As("--")),
    ("&md;", Form::As("--")),
    ("&amp;", Form::As("&")),
    ("&lt;", Form::As("<")),
    ("&gt;", Form::As(">")),
    ("&nbsp;", Form::Nothing),
];

/// Entities of newswire that are tokens as they stand.
const SYMBOLS: [&str; 9] = ["&ht;", "&tl;", "&ur;", "&lr;", "&qc;", "&ql;", "&qr;", "&odq;", "&cdq;"];

impl Scan<'_> {
    /// Tags like `<br />`, and dashes and ampersands written as entities.
    pub(super) fn markup(&mut self) {
        let at = self.at;
        match self.get(at) {
            Some('<') => {
                if let Some(end) = self.tag_end(at) {
                    self.offer_raw(end);
                }
            }
            Some('&') => {
                let code = self.run(at + 2, |c| c.is_ascii_digit());
                if self.is(at + 1, |c| c == '#') && code > at + 2 && self.is(code, |c| c == ';') {
                    self.offer_raw(code + 1);
                }
                if let Some(end) = SYMBOLS.into_iter().find_map(|symbol| self.literal(at, symbol)) {
                    self.offer_raw(end);
                }
                // The other two are known in lower case only.
                for (entity, written) in [("&quot;", "''"), ("&apos;", "'")] {
                    if let Some(end) = self.literal(at, entity) {
                        let lower = self.text[at..end].iter().copied().eq(entity.chars());
                        self.offer(end, end, if lower { Form::As(written) } else { Form::Raw });
                    }
                }
                for (entity, form) in ENTITIES {
                    if let Some(end) = self.literal(at, entity) {
                        self.offer(end, end, form);
                    }
                }
            }
            Some('–' | '—' | '―' | '\u{96}' | '\u{97}') => self.offer(at + 1, at + 1, Form::As("--")),
            _ => {}
        }
    }

    /// The end of a tag that begins at `at`: a name, and attributes with or without values; or a declaration.
    pub(super) fn tag_end(&mut self, at: usize) -> Option<usize> {
        let name = |at: usize| {
            let end = self.run(at, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.' | '-'));
            self.is(at, |c| c.is_ascii_alphabetic()).then_some(end)
        };
        let spaces = |at: usize| self.run(at, |c| c == ' ');
        if self.is(at + 1, |c| matches!(c, '!' | '?')) {
            return self.declaration_end(at + 2);
        }
        let mut end = name(at + 1 + usize::from(self.is(at + 1, |c| c == '/')))?;
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
        end = spaces(end + usize::from(self.is(end, |c| c == '/')));
        self.is(end, |c| c == '>').then_some(end + 1)
    }

    /// The end of what stands between <! or <? and >, on one line.
    fn declaration_end(&mut self, at: usize) -> Option<usize> {
        if !self.is(at, |c| c.is_ascii_alphabetic() || c == '-') {
            return None;
        }
        if self.found.declaration <= at {
            self.found.declaration = self.run(at, |c| !matches!(c, '>' | '\r' | '\n'));
        }
        let end = self.found.declaration;
        self.is(end, |c| c == '>').then_some(end + 1)
    }
}
