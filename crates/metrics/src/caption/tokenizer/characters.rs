//! The classes of characters the tokenizer's rules speak of.

use super::tables::{DIGITS, LETTERS, MARKS, SYMBOLS};

/// Whether a table of ranges in order has `c`.
fn has(table: &[(char, char)], c: char) -> bool {
    let after = table.partition_point(|&(_, last)| last < c);
    table.get(after).is_some_and(|&(first, _)| first <= c)
}

/// A letter, or a mark or soft hyphen that may stand inside a word.
pub(super) fn is_letter(c: char) -> bool {
    is_plain_letter(c) || !c.is_ascii() && (c == '\u{AD}' || has(&MARKS, c))
}

/// A letter without the marks.
pub(super) fn is_plain_letter(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphabetic() } else { has(&LETTERS, c) }
}

/// A letter in lower case where a rule names it: ASCII, and what differs from it in case only.
pub(super) fn fold(c: char) -> char {
    match c {
        'ſ' => 's',
        '\u{212A}' => 'k',
        'İ' | 'ı' => 'i',
        _ => c.to_ascii_lowercase(),
    }
}

/// A decimal digit, of any script that had its own when the original was made.
pub(super) fn is_digit(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_digit() } else { has(&DIGITS, c) }
}

pub(super) fn is_letter_or_digit(c: char) -> bool {
    is_letter(c) || is_digit(c)
}

pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{A0}' | '\u{2000}'..='\u{200A}' | '\u{3000}')
}

pub(super) fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// An apostrophe, straight or curly (U+0092 is the curly one of Windows-1252, misread).
pub(super) fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{92}' | '’')
}

pub(super) fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '_' | '\u{58A}' | '‐' | '‑')
}

/// A quotation mark other than the straight double one.
pub(super) fn is_quote(c: char) -> bool {
    is_apostrophe(c) || matches!(c, '`' | '‘'..='‟' | '\u{91}'..='\u{94}' | '‹' | '›' | '«' | '»')
}

/// A symbol that is a token of its own; what is in no class here is left out of the tokens.
pub(super) fn is_symbol(c: char) -> bool {
    match c {
        '+' | '%' | '&' | '~' | '^' | '|' | '\\' | '=' | '/' | ',' | ';' | ':' | '.' => true,
        _ => !c.is_ascii() && has(&SYMBOLS, c),
    }
}
