//! A text as what finds properties in it reads it: its characters, and which of them are code.

/// What a character is to a reader of C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Region {
    /// Everything else, and text that is no C.
    Code,
    /// A quotation mark of a string, `/*`, `//`, or the slash that ends a comment.
    Mark,
    /// Between the marks of a comment.
    Comment,
    /// Between the marks of a string.
    String,
    /// A character literal, its marks too.
    Character,
}

/// A text in its characters.
pub(super) struct Reading {
    pub letters: Vec<char>,
    /// What each is to a reader of C.
    pub regions: Vec<Region>,
    /// Whether each is the end of a blank line, at which everything that was left open ends.
    pub blank: Vec<bool>,
}

impl Reading {
    pub fn of(text: &str) -> Self {
        let letters: Vec<char> = text.chars().collect();
        let (regions, blank) = (regions(&letters), blank(&letters));
        Self { letters, regions, blank }
    }

    /// The character at a place, where it is code.
    pub fn code(&self, at: usize) -> Option<char> {
        let code = self.regions.get(at) == Some(&Region::Code);
        self.letters.get(at).copied().filter(|_| code)
    }

    /// The lines, without their ends.
    pub fn lines(&self) -> impl Iterator<Item = &[char]> {
        self.letters.split(|&letter| letter == '\n')
    }
}

/// Whether each character is the end of a line that has nothing but spaces.
fn blank(letters: &[char]) -> Vec<bool> {
    let mut empty = true;
    let ends = |&letter: &char| {
        let end = letter == '\n';
        let blank = end && empty;
        empty = end || (empty && letter.is_whitespace());
        blank
    };
    letters.iter().map(ends).collect()
}

fn regions(letters: &[char]) -> Vec<Region> {
    let mut regions = Vec::with_capacity(letters.len());
    while regions.len() < letters.len() {
        let at = regions.len();
        // An address has its slashes behind a colon.
        let address = at > 0 && letters[at - 1] == ':';
        match &letters[at..] {
            ['/', '*', rest @ ..] => {
                let inside = rest.windows(2).position(|pair| pair == ['*', '/']);
                regions.extend([Region::Mark; 2]);
                regions.extend(vec![Region::Comment; inside.map_or(rest.len(), |inside| inside + 1)]);
                regions.extend(inside.map(|_| Region::Mark));
            }
            ['/', '/', rest @ ..] if !address => {
                let inside = rest.iter().position(|&letter| letter == '\n').unwrap_or(rest.len());
                regions.extend([Region::Mark; 2]);
                regions.extend(vec![Region::Comment; inside]);
            }
            ['"', rest @ ..] => {
                let inside = string(rest);
                regions.push(Region::Mark);
                regions.extend(vec![Region::String; inside]);
                regions.extend(rest.get(inside).filter(|&&letter| letter == '"').map(|_| Region::Mark));
            }
            ['\'', rest @ ..] => regions.extend(vec![Region::Character; literal(rest).unwrap_or(0)]),
            _ => {}
        }
        if regions.len() == at {
            regions.push(Region::Code);
        }
    }
    regions
}

/// How many characters a string has before its closing mark, or before the line's end where it has none.
fn string(letters: &[char]) -> usize {
    let mut escaped = false;
    let ends = |&letter: &char| {
        let ends = !escaped && matches!(letter, '"' | '\n');
        escaped = !escaped && letter == '\\';
        ends
    };
    letters.iter().position(ends).unwrap_or(letters.len())
}

/// How long the character literal is whose opening mark stands before these; none where it is an apostrophe.
fn literal(letters: &[char]) -> Option<usize> {
    /// An escape of three octal digits is the longest.
    const LONGEST: usize = 4;
    let inside = match letters {
        ['\\', _, rest @ ..] => 2 + rest.iter().take(LONGEST - 1).position(|&letter| letter == '\'')?,
        [letter, '\'', ..] if !matches!(letter, '\'' | '\n') => 1,
        _ => return None,
    };
    Some(inside + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with a letter for each region in its place.
    fn shown(text: &str) -> String {
        let letter = |(&letter, region): (&char, &Region)| match region {
            Region::Code => letter,
            Region::Mark => '|',
            Region::Comment => 'c',
            Region::String => 's',
            Region::Character => '\'',
        };
        let reading = Reading::of(text);
        assert_eq!(reading.letters.len(), reading.regions.len());
        reading.letters.iter().zip(&reading.regions).map(letter).collect()
    }

    #[test]
    fn comments_strings_and_character_literals_are_told_apart() {
        for (text, wanted) in [
            ("a /* b \" */ c", "a ||cccccc| c"),
            ("a // \"b\"\nc", "a ||cccc\nc"),
            ("x = \"a\\\"/*\\\\\"; y", "x = |sssssss|; y"),
            ("c = '\"'; d = '\\''; e = '\\377';", "c = '''; d = ''''; e = '''''';"),
            ("don't say \"that's\" all", "don't say |ssssss| all"),
            ("\"open\nnext", "|ssss\nnext"),
            ("\"on\\\non\" x", "|ssssss| x"),
            ("http://a.b {", "http://a.b {"),
            ("/*/ x */y", "||ccccc|y"),
            ("/* never", "||cccccc"),
            ("'", "'"),
            ("", ""),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
    }

    #[test]
    fn blank_lines_end_in_a_mark_of_their_own() {
        let places = |text: &str| -> Vec<usize> {
            let blank = Reading::of(text).blank;
            (0..blank.len()).filter(|&at| blank[at]).collect()
        };
        assert_eq!(places("a\n\nb\n \t\r\nc\n"), [2, 8]);
        assert_eq!(places("\na"), [0]);
    }
}
