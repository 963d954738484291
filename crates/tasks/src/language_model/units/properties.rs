//! What can be said of each character of a text, as a unit may have learned it.
//!
//! A unit's value after a character is known from the characters up to it. What begins at a mark is therefore told from the character after
//! the mark on, and is no longer told at the mark that ends it.

use super::reading::{Reading, Region};
use crate::{Error, Result};
use regex::{Regex, RegexBuilder};

/// How many characters before a line's end are near it.
pub const NEAR: usize = 10;

/// Columns from one tab stop to the next.
const TAB: usize = 8;

/// What holds of each character of a text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Marking {
    /// Yes or no.
    Yes(Vec<bool>),
    /// A number, of which only the order counts.
    Number(Vec<f32>),
}

impl Marking {
    /// The value of each character: a number, or 1 for yes and 0 for no.
    pub fn values(&self) -> Vec<f32> {
        match self {
            Self::Yes(marks) => marks.iter().map(|&mark| f32::from(u8::from(mark))).collect(),
            Self::Number(values) => values.clone(),
        }
    }
}

/// Something that can be said of each character of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Its name.
    pub name: String,
    /// What it says of a character.
    pub about: String,
    /// Of which characters it holds.
    pub marking: Marking,
}

/// A rule by which a text is marked.
struct Rule {
    name: &'static str,
    about: &'static str,
    mark: fn(&Reading) -> Marking,
}

const fn rule(name: &'static str, about: &'static str, mark: fn(&Reading) -> Marking) -> Rule {
    Rule { name, about, mark }
}

const RULES: [Rule; 11] = [
    rule("quotes", "between two straight quotation marks; a blank line ends it", quotes),
    rule("comment", "between /* and */, or from // to the line's end", |text| region(text, Region::Comment)),
    rule("string", "between the marks of a string of C; a line's end ends it", |text| region(text, Region::String)),
    rule("if", "between the parentheses of an if of C", condition),
    rule(
        "indentation",
        "columns before the line's first letter, a tab to the next eighth; a blank line has those of the line before",
        indentation,
    ),
    rule("braces", "braces that are open; one that is closed at a line's beginning closes all", braces),
    rule("position", "characters since the line's beginning", position),
    rule("line end", "one of the last ten characters before a line's end", line_end),
    rule("word", "a letter, a digit or an underscore", |text| letters(text, is_word)),
    rule(
        "capital line",
        "a line in capitals, or one after a blank line that begins with one and ends with a colon",
        capital,
    ),
    rule("math", "between $ and $, or $$ and $$; a blank line ends it", math),
];

/// The names of [`properties`].
pub fn property_names() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.name).collect()
}

/// What is asked of any text: quotes, comments, strings and conditions of C, indentation, braces, lines, words, speakers and formulas.
pub fn properties(text: &str) -> Vec<Property> {
    let reading = Reading::of(text);
    let told = |rule: &Rule| {
        let (name, about) = (rule.name.to_owned(), rule.about.to_owned());
        Property { name, about, marking: (rule.mark)(&reading) }
    };
    RULES.iter().map(told).collect()
}

/// A property of one's own: a name and a regular expression.
#[derive(Clone, Debug)]
pub struct Pattern {
    name: String,
    regex: Regex,
}

impl Pattern {
    /// A regular expression in which `^` and `$` are the ends of a line.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(name: &str, regex: &str) -> Result<Self> {
        let built = RegexBuilder::new(regex).multi_line(true).build();
        let regex = built.map_err(|error| {
            // The last of several lines says what is wrong.
            let fault = error.to_string();
            let fault = fault.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Error::Setting(format!("{name}={regex}: is no regular expression: {fault}"))
        })?;
        Ok(Self { name: name.to_owned(), regex })
    }

    /// The name of its property.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The property that holds of the characters of each match.
    pub fn property(&self, text: &str) -> Property {
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let mut marks = vec![false; starts.len()];
        for found in self.regex.find_iter(text) {
            let character = |byte: usize| starts.partition_point(|&start| start < byte);
            marks[character(found.start())..character(found.end())].fill(true);
        }
        let about = format!("in a match of {}", self.regex.as_str());
        Property { name: self.name.clone(), about, marking: Marking::Yes(marks) }
    }
}

fn letters(text: &Reading, holds: impl Fn(char) -> bool) -> Marking {
    Marking::Yes(text.letters.iter().map(|&letter| holds(letter)).collect())
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn region(text: &Reading, wanted: Region) -> Marking {
    Marking::Yes(text.regions.iter().map(|&region| region == wanted).collect())
}

fn quotes(text: &Reading) -> Marking {
    let mut open = false;
    let inside = |(&letter, &blank): (&char, &bool)| {
        let mark = letter == '"';
        open = (open != mark) && !blank;
        open && !mark
    };
    Marking::Yes(text.letters.iter().zip(&text.blank).map(inside).collect())
}

fn math(text: &Reading) -> Marking {
    let (mut open, mut escaped, mut doubled) = (false, false, false);
    // Whether it was opened by one $, which closes it too.
    let mut single = false;
    let inside = |(at, &letter): (usize, &char)| {
        let mark = letter == '$' && !escaped;
        escaped = letter == '\\' && !escaped;
        // Of $$ the second is a part of the first.
        let first = mark && !doubled;
        doubled = first && !single && text.letters.get(at + 1) == Some(&'$');
        open = (open != first) && !text.blank[at];
        single = open && if first { !doubled } else { single };
        open && !mark
    };
    Marking::Yes(text.letters.iter().enumerate().map(inside).collect())
}

/// Where an `if` of C begins that has a parenthesis behind it, the place after that.
fn opened(text: &Reading, at: usize) -> Option<usize> {
    let word = |at: usize| text.code(at).is_some_and(is_word);
    let is_if = text.code(at) == Some('i') && text.code(at + 1) == Some('f');
    if !is_if || word(at + 2) || (at > 0 && word(at - 1)) {
        return None;
    }
    let space = |&at: &usize| text.code(at).is_some_and(char::is_whitespace);
    let behind = (at + 2..).find(|at| !space(at))?;
    (text.code(behind) == Some('(')).then_some(behind + 1)
}

fn condition(text: &Reading) -> Marking {
    let mut marks = vec![false; text.letters.len()];
    let mut at = 0;
    while at < marks.len() {
        let Some(start) = opened(text, at) else {
            at += 1;
            continue;
        };
        let mut depth = 1;
        at = start;
        while at < marks.len() && !text.blank[at] {
            match text.code(at) {
                Some('(') => depth += 1,
                Some(')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            marks[at] = true;
            at += 1;
        }
    }
    Marking::Yes(marks)
}

fn indentation(text: &Reading) -> Marking {
    let (mut columns, mut begun, mut known) = (0, false, 0);
    let before = |&letter: &char| {
        match letter {
            '\n' => (columns, begun) = (0, false),
            '\t' if !begun => columns = (columns / TAB + 1) * TAB,
            ' ' if !begun => columns += 1,
            _ => begun = true,
        }
        // A line's end and blank lines have what the line before has.
        if letter != '\n' {
            known = columns;
        }
        known as f32
    };
    Marking::Number(text.letters.iter().map(before).collect())
}

fn braces(text: &Reading) -> Marking {
    let (mut depth, mut opening) = (0usize, false);
    let (mut before, mut escaped) = ('\n', false);
    let open = |at: usize| {
        depth += usize::from(std::mem::take(&mut opening));
        let letter = text.code(at).filter(|_| !escaped);
        match letter {
            // Where a preprocessor's branches open more than they close, it ends with the function.
            Some('}') => depth = if before == '\n' { 0 } else { depth.saturating_sub(1) },
            Some('{') => opening = true,
            _ => {}
        }
        escaped = letter == Some('\\');
        before = text.letters[at];
        depth as f32
    };
    Marking::Number((0..text.letters.len()).map(open).collect())
}

fn position(text: &Reading) -> Marking {
    let mut read = 0;
    let place = |&letter: &char| {
        read = if letter == '\n' { 0 } else { read + 1 };
        read as f32
    };
    Marking::Number(text.letters.iter().map(place).collect())
}

fn line_end(text: &Reading) -> Marking {
    let mut marks = vec![false; text.letters.len()];
    for (end, _) in text.letters.iter().enumerate().filter(|&(_, &letter)| letter == '\n') {
        let near = (0..end).rev().take(NEAR).take_while(|&at| text.letters[at] != '\n');
        near.for_each(|at| marks[at] = true);
    }
    Marking::Yes(marks)
}

fn capital(text: &Reading) -> Marking {
    let mut marks = Vec::with_capacity(text.letters.len());
    let mut after_blank = true;
    for line in text.lines() {
        let shown = |letter: &&char| letter.is_alphabetic();
        let capitals = line.iter().filter(shown).count() > 1 && !line.iter().any(|letter| letter.is_lowercase());
        let ends = line.iter().rev().find(|letter| !letter.is_whitespace());
        let speaker = after_blank && line.first().is_some_and(|letter| letter.is_uppercase()) && ends == Some(&':');
        marks.extend(vec![capitals || speaker; line.len()]);
        marks.push(false);
        after_blank = line.iter().all(|letter| letter.is_whitespace());
    }
    marks.truncate(text.letters.len());
    Marking::Yes(marks)
}

#[cfg(test)]
mod tests;
