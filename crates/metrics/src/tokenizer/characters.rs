//! The classes of characters the tokenizer's rules speak of.

/// A letter, or a mark or soft hyphen that may stand inside a word.
pub(super) fn is_letter(c: char) -> bool {
    // Roman numerals and letters in circles are symbols.
    let symbol = matches!(c, '\u{2160}'..='\u{2188}' | '\u{24B6}'..='\u{24E9}');
    c.is_alphabetic() && !symbol
        || matches!(c, '\u{AD}' | '\u{2C2}'..='\u{2C5}' | '\u{2D2}'..='\u{2DF}' | '\u{2E5}'..='\u{2FF}' | '\u{300}'..='\u{36F}' | '\u{483}'..='\u{487}')
}

/// A decimal digit: ASCII's, or one of the common scripts that have their own.
pub(super) fn is_digit(c: char) -> bool {
    matches!(c, '0'..='9' | '\u{660}'..='\u{669}' | '\u{6F0}'..='\u{6F9}' | '\u{7C0}'..='\u{7C9}' | '\u{966}'..='\u{96F}' | '０'..='９')
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

/// An apostrophe, or an opening quote that stands for one inside a word.
pub(super) fn is_inner_apostrophe(c: char) -> bool {
    is_apostrophe(c) || matches!(c, '`' | '\u{91}' | '‘' | '‛')
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
    matches!(c,
        '+' | '%' | '&' | '~' | '^' | '|' | '\\' | '=' | '/' | ',' | ';' | ':' | '.' | '¡' | '¿' | '‰' | '‱' | '、' | '。'
        | '¦'..='©' | '¬' | '®' | '¯' | '°'..='´' | '¶'..='¹' | '×' | '÷'
        | '\u{37E}' | '\u{387}' | '\u{589}' | '\u{5BE}' | '\u{5C0}' | '\u{5C3}' | '\u{5C6}' | '\u{5F3}' | '\u{5F4}'
        | '\u{60C}' | '\u{61B}' | '\u{61E}' | '\u{61F}' | '\u{66A}' | '\u{66D}' | '\u{6D4}' | '\u{964}' | '\u{965}' | '\u{E4F}'
        | '‖' | '‗' | '†'..='‣' | '′'..='‸' | '※' | '‾'..='⁂' | '⁄' | '⁺'..='⁾' | '₊'..='₎' | '\u{2100}'..='\u{214F}' | '\u{2190}'..='\u{2BFF}' | '〒' | '・' | '\u{FF01}'..='\u{FF0F}' | '\u{FF1A}'..='\u{FF20}' | '\u{FF3B}'..='\u{FF40}'
        | '\u{FF5B}'..='\u{FF65}')
}
