//! Coloured text: characters or words behind which their values stand as colours, for a page or a terminal.

use crate::colour_scale::Shade;
use crate::embedding::escaped;
use crate::page::LIGHT;
use crate::{ColourScale, Error, Result};
use std::fmt::Write as _;

/// A piece of text and its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coloured<'a> {
    /// The text, with the spaces and line ends that it has.
    pub text: &'a str,
    /// Its value; what is no number has no colour.
    pub value: f32,
}

/// Pieces of text, one behind the other, in the colours of their values.
///
/// ```
/// use candlewick_pages::{Coloured, ColouredText, ColourScale};
///
/// let pieces = Coloured::words(&["a", "gem", "!"], &[0.04, 0.9, 0.06])?;
/// let text = ColouredText { scale: ColourScale::Weight { largest: 0.9 }, pieces: &pieces };
/// assert!(text.html().contains("a <span class=\"w10\">gem</span> "));
/// # Ok::<(), candlewick_pages::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ColouredText<'a> {
    /// What the colours say.
    pub scale: ColourScale,
    /// The pieces.
    pub pieces: &'a [Coloured<'a>],
}

impl<'a> Coloured<'a> {
    /// Each character of a text with its value.
    ///
    /// # Errors
    /// When there are more or fewer values than characters.
    pub fn characters(text: &'a str, values: &[f32]) -> Result<Vec<Self>> {
        Error::count("values", values.len(), "characters", text.chars().count())?;
        let characters = text.char_indices().map(|(start, letter)| &text[start..start + letter.len_utf8()]);
        Ok(characters.zip(values).map(|(text, value)| Self { text, value: *value }).collect())
    }

    /// Words with their weights, and a space between them.
    ///
    /// # Errors
    /// When there are more or fewer weights than words.
    pub fn words(words: &[&'a str], weights: &[f32]) -> Result<Vec<Self>> {
        Error::count("weights", weights.len(), "words", words.len())?;
        let pieces = words
            .iter()
            .zip(weights)
            .flat_map(|(text, value)| [Self { text: " ", value: 0.0 }, Self { text, value: *value }]);
        Ok(pieces.skip(1).collect())
    }
}

/// Neighbours of one shade.
struct Run {
    text: String,
    shade: Shade,
}

impl ColouredText<'_> {
    fn runs(&self) -> impl Iterator<Item = Run> {
        let shade = |piece: &Coloured<'_>| self.scale.shade(piece.value);
        let runs = self.pieces.chunk_by(move |a, b| shade(a) == shade(b));
        runs.map(move |run| Run { text: run.iter().map(|piece| piece.text).collect(), shade: shade(&run[0]) })
    }

    /// As HTML for a [`crate::Page`]; neighbours of one shade are one element.
    pub fn html(&self) -> String {
        // HTML drops a line end that comes first.
        let mut html = "<pre class=\"coloured\" lang=\"\">\n".to_owned();
        for Run { text, shade } in self.runs() {
            let text = escaped(&text).replace('\r', "&#13;").replace('\0', "\u{fffd}");
            // Writing to a string cannot fail.
            let _ = match shade.class() {
                Some(class) => write!(html, "<span class=\"{class}\">{text}</span>"),
                None => write!(html, "{text}"),
            };
        }
        html + "</pre>\n"
    }

    /// For a terminal of 24-bit colours, dark letters on light colours; line ends have none.
    pub fn ansi(&self) -> String {
        // What steers the terminal is not of the text.
        let harmless = |letter: char| if letter.is_control() && letter != '\t' { '\u{fffd}' } else { letter };
        let [r, g, b] = LIGHT.ink;
        let mut ansi = String::new();
        for Run { text, shade } in self.runs() {
            for part in text.split_inclusive('\n') {
                let (line, end) = part.strip_suffix('\n').map_or((part, ""), |line| (line, "\n"));
                let line: String = line.chars().map(harmless).collect();
                let _ = match shade.mixed(&LIGHT) {
                    Some([red, green, blue]) if !line.is_empty() => {
                        write!(ansi, "\x1b[38;2;{r};{g};{b};48;2;{red};{green};{blue}m{line}\x1b[0m{end}")
                    }
                    _ => write!(ansi, "{line}{end}"),
                };
            }
        }
        ansi
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn html(scale: ColourScale, pieces: &[Coloured<'_>]) -> String {
        let html = ColouredText { scale, pieces }.html();
        html.strip_prefix("<pre class=\"coloured\" lang=\"\">\n").unwrap().strip_suffix("</pre>\n").unwrap().to_owned()
    }

    #[test]
    fn neighbours_of_one_shade_are_one_element_and_all_letters_stay() {
        let text = "\na  <&\r\nü\t\0한";
        let values = [0.0, 1.0, 0.99, 1.0, 1.0, -0.5, -0.5, f32::NAN, 0.01, -0.0, 0.0, 0.04];
        let pieces = Coloured::characters(text, &values).unwrap();
        assert_eq!(
            html(ColourScale::Signed, &pieces),
            "\n<span class=\"p10\">a  &lt;</span><span class=\"n5\">&amp;&#13;</span>\nü\t\u{fffd}한"
        );
        assert_eq!(html(ColourScale::Signed, &[]), "");
    }

    #[test]
    fn words_are_coloured_by_their_weight_and_spaces_are_not() {
        let pieces = Coloured::words(&["not", "a", "gem"], &[0.5, 0.0, 0.25]).unwrap();
        assert_eq!(
            html(ColourScale::Weight { largest: 0.5 }, &pieces),
            "<span class=\"w10\">not</span> a <span class=\"w5\">gem</span>"
        );
        assert!(Coloured::words(&[], &[]).unwrap().is_empty());
    }

    #[test]
    fn as_many_values_as_letters_are_wanted() {
        let fault = Coloured::characters("äöü", &[0.0; 6]).unwrap_err().to_string();
        assert_eq!(fault, "values: 6 for 3 characters; give one for each");
        let fault = Coloured::words(&["a"], &[]).unwrap_err().to_string();
        assert_eq!(fault, "weights: 0 for 1 words; give one for each");
    }

    #[test]
    fn a_terminal_is_coloured_within_lines_and_not_steered_by_the_text() {
        let pieces = Coloured::characters("a\n\nb\x1b[1m", &[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]).unwrap();
        let ansi = ColouredText { scale: ColourScale::Signed, pieces: &pieces }.ansi();
        let red = "\x1b[38;2;34;34;34;48;2;244;127;98m";
        assert_eq!(ansi, format!("{red}a\x1b[0m\n\n{red}b\x1b[0m\u{fffd}[1m"));
    }
}
