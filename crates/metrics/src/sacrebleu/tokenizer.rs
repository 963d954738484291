//! How sacreBLEU makes tokens of a text: NIST's mteval-v13a and its international form of v14, characters, or words between spaces.

use serde::{Deserialize, Serialize};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

/// How a text is made into the tokens that BLEU counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Tokenizer {
    /// mteval-v13a's, which people mean by BLEU: ASCII marks apart, but for full stops and commas between digits.
    #[default]
    #[serde(rename = "13a")]
    Mteval13a,
    /// mteval-v14's with international tokenization: marks and symbols of all scripts apart.
    #[serde(rename = "intl")]
    International,
    /// Each character but spaces.
    #[serde(rename = "char")]
    Character,
    /// Words between spaces, for texts that are tokenised already.
    #[serde(rename = "none")]
    Space,
}

impl Tokenizer {
    /// Its name in a signature: `13a`, `intl`, `char` or `none`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mteval13a => "13a",
            Self::International => "intl",
            Self::Character => "char",
            Self::Space => "none",
        }
    }

    /// The tokenizer of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Mteval13a, Self::International, Self::Character, Self::Space].into_iter().find(|one| one.name() == name)
    }

    /// The tokens of a text.
    pub fn tokenize(self, text: &str) -> Vec<String> {
        let text = text.trim_end_matches(is_space);
        match self {
            Self::Mteval13a => owned(&mteval_13a(text)),
            Self::International => owned(&international(text)),
            Self::Character => text.chars().filter(|&letter| !is_space(letter)).map(String::from).collect(),
            Self::Space => owned(text),
        }
    }
}

fn owned(text: &str) -> Vec<String> {
    words(text).map(str::to_owned).collect()
}

/// What lies between spaces.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// Python's idea of a space: Unicode's, and the four separators of ASCII.
pub(super) fn is_space(letter: char) -> bool {
    letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter)
}

/// What stands for a character in SGML, in the order in which it is resolved.
const ENTITIES: [(&str, &str); 4] = [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")];

fn mteval_13a(text: &str) -> String {
    let mut text = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (entity, letter) in ENTITIES {
        text = text.replace(entity, letter);
    }
    let text = each_apart(&format!(" {text} "), |letter| letter.is_ascii_punctuation() && !"',-.".contains(letter));
    let digit = |letter: char| letter.is_ascii_digit();
    let stop = |letter: char| matches!(letter, '.' | ',');
    let text = pairs_apart(&text, |letter| !digit(letter), stop, Apart::After);
    let text = pairs_apart(&text, stop, |letter| !digit(letter), Apart::Before);
    pairs_apart(&text, digit, |letter| letter == '-', Apart::After)
}

fn international(text: &str) -> String {
    let number = |letter: char| letter.general_category_group() == GeneralCategoryGroup::Number;
    let mark = |letter: char| letter.general_category_group() == GeneralCategoryGroup::Punctuation;
    let text = pairs_apart(text, |letter| !number(letter), mark, Apart::After);
    let text = pairs_apart(&text, mark, |letter| !number(letter), Apart::Before);
    each_apart(&text, |letter| letter.general_category_group() == GeneralCategoryGroup::Symbol)
}

/// Puts spaces around these characters.
fn each_apart(text: &str, is: impl Fn(char) -> bool) -> String {
    let mut apart = String::with_capacity(2 * text.len());
    for letter in text.chars() {
        match is(letter) {
            true => apart.extend([' ', letter, ' ']),
            false => apart.push(letter),
        }
    }
    apart
}

/// Which of two characters gets a space on its other side, too.
#[derive(Clone, Copy)]
enum Apart {
    Before,
    After,
}

/// Puts a space between a character of the first and one of the second kind and one before or after them; pairs do not overlap.
fn pairs_apart(text: &str, first: impl Fn(char) -> bool, second: impl Fn(char) -> bool, side: Apart) -> String {
    let mut apart = String::with_capacity(2 * text.len());
    let mut letters = text.chars().peekable();
    while let Some(one) = letters.next() {
        match letters.next_if(|&next| first(one) && second(next)) {
            None => apart.push(one),
            Some(next) => match side {
                Apart::Before => apart.extend([' ', one, ' ', next]),
                Apart::After => apart.extend([one, ' ', next, ' ']),
            },
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(tokenizer: Tokenizer, text: &str) -> String {
        tokenizer.tokenize(text).join(" ")
    }

    #[test]
    fn marks_are_apart_but_within_numbers() {
        let text = "a.b 3.4 3.a a.3 -3-4 5--6 \"x\" &quot;y&lt; ... 1..2 in 1999. don't x_y {z}[q]~^`\\ @/ $5 a-\nb c\nd<skipped>\n";
        let wanted = "a . b 3.4 3 . a a . 3 -3 - 4 5 - -6 \" x \" \" y < . . . 1 . . 2 in 1999 . don't \
                      x _ y { z } [ q ] ~ ^ ` \\ @ / $ 5 ab c d";
        assert_eq!(told(Tokenizer::Mteval13a, text), wanted);
        let wanted = "a . b 3.4 3 . a a . 3 - 3-4 5 - - 6 \" x \" & quot ; y & lt ; . . . 1 . . 2 in 1999 . don ' t \
                      x _ y { z } [ q ] ~ ^ ` \\ @ / $ 5 a - b c d < skipped >";
        assert_eq!(told(Tokenizer::International, text), wanted);
    }

    #[test]
    fn marks_of_other_scripts_are_apart_internationally() {
        let text = "..a 12, £5 x² «a» 3€ ¿qué? 50% in 1999. a--b 3--4 !?! 5!6 _ +";
        let plain = ". . a 12 , £5 x² «a» 3€ ¿qué ? 50 % in 1999 . a--b 3 - -4 ! ? ! 5 ! 6 _ +";
        let international = ". . a 12 , £ 5 x² « a » 3 € ¿ qué ? 50 % in 1999 . a - - b 3 - - 4 ! ? ! 5!6 _ +";
        assert_eq!(told(Tokenizer::Mteval13a, text), plain);
        assert_eq!(told(Tokenizer::International, text), international);
        // A mark at the end stays with a number before it.
        assert_eq!(told(Tokenizer::International, "in 1999."), "in 1999.");
    }

    #[test]
    fn characters_and_words_are_as_they_are() {
        assert_eq!(told(Tokenizer::Character, "나는 ab.\u{a0}"), "나 는 a b .");
        assert_eq!(told(Tokenizer::Space, "  it's  a\u{3000}b.\u{1f}c "), "it's a b. c");
        for name in ["13a", "intl", "char", "none"] {
            assert_eq!(Tokenizer::parse(name).map(Tokenizer::name), Some(name));
        }
        assert_eq!(Tokenizer::parse("zh"), None);
    }
}
