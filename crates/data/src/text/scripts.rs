//! Scripts that are written without spaces between words.

use std::borrow::Cow;
use unicode_segmentation::UnicodeSegmentation as _;

/// Whether words of this character's script stand side by side: Chinese, Japanese, Thai, Lao, Khmer and Burmese.
pub fn is_written_without_spaces(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x31F0..=0x31FF
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

/// The text with spaces about each character (grapheme) of such a script, so that what counts words counts these (as
/// sacreBLEU's tokenizer for Chinese does); other texts stay as they are.
pub fn spaced(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_written_without_spaces) {
        return Cow::Borrowed(text);
    }
    let mut spaced = String::with_capacity(2 * text.len());
    let mut before = false;
    for character in text.graphemes(true) {
        let apart = character.chars().any(is_written_without_spaces);
        if (before || apart) && !spaced.ends_with(' ') && !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.push_str(character);
        before = apart;
    }
    Cow::Owned(spaced)
}

#[cfg(test)]
mod tests {
    use super::spaced;

    #[test]
    fn characters_stand_apart_where_words_do_not() {
        assert_eq!(spaced("A dog's ball, über-cool."), "A dog's ball, über-cool.");
        assert_eq!(spaced("一只dog跑"), "一 只 dog 跑");
        assert_eq!(spaced("หญ้า"), "ห ญ้ า");
        assert_eq!(spaced("犬が走る。"), "犬 が 走 る 。");
        assert_eq!(spaced("개가 달린다"), "개가 달린다");
    }
}
