//! `candlewick caption --html`: alternative texts for the images of a page that have none.

use super::super::output::{note, say, shown};
use super::super::{Failure, whole_file};
use super::inputs::Input;
use super::pipeline::{Bar, Pipeline};
use super::splice::splice;
use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Fills the empty or missing `alt` of each local image of a page, and touches nothing else of it.
///
/// # Errors
/// When the page cannot be read or written, or an image failed.
pub fn run(page: &Path, pipeline: &Pipeline) -> Result<super::pipeline::Tally, Failure> {
    let text = read(page)?;
    let folder = page.parent().unwrap_or(Path::new(""));
    let images = images(&text);
    let (mut places, mut remote): (BTreeMap<PathBuf, Vec<&Image>>, usize) = (BTreeMap::new(), 0);
    for image in images.iter().filter(|image| image.is_bare) {
        match local(&image.source) {
            Some(path) => places.entry(folder.join(path)).or_default().push(image),
            None => remote += 1,
        }
    }
    if remote > 0 {
        note!("{}: {remote} images without alt are not beside the page and were left as they are", shown(page));
    }
    let inputs: Vec<Input> = places.keys().cloned().map(Input::file).collect();
    let mut edits = Vec::new();
    let done = pipeline.run(inputs, &Bar::new(places.len(), true), &mut |input, captions| {
        let Some(caption) = captions.first() else { return Ok(()) };
        for image in places.get(&input.path).into_iter().flatten() {
            edits.push((image.place.clone(), format!("{}alt=\"{}\"", image.before, attribute(&caption.text))));
        }
        say!("{}: {}", shown(&input.path), caption.text)
    });
    // What was captioned is kept, whatever ended the rest.
    if !edits.is_empty() {
        if read(page)? != text {
            return Err(Failure::Work(format!(
                "{}: was changed meanwhile and is left as it is; call again",
                shown(page)
            )));
        }
        whole_file::write(page, splice(&text, edits).as_bytes())?;
    }
    done
}

/// The page as it is, its byte order mark and line ends too.
fn read(page: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(page).map_err(|error| Failure::from(error).of(page))?;
    String::from_utf8(bytes).map_err(|_| Failure::Work(format!("{}: is not UTF-8; save it as UTF-8", shown(page))))
}

/// An image of a page.
#[derive(Debug, Default, PartialEq)]
struct Image {
    source: String,
    /// Whether it has no alternative text.
    is_bare: bool,
    /// Where the text goes: the attribute that is there, or the place behind the tag's name.
    place: Range<usize>,
    /// What stands before the attribute.
    before: &'static str,
}

/// An `img` tag under way.
#[derive(Default)]
struct Tag {
    name_end: usize,
    attribute: Vec<u8>,
    attribute_at: Range<usize>,
    source: Option<String>,
    alt: Option<(Range<usize>, bool)>,
}

/// The images of a page, in order.
///
/// The tokenizer tells nothing of a value that is empty, so that its place is looked for in the page.
fn images(text: &str) -> Vec<Image> {
    let (mut tag, mut found): (Option<Tag>, Vec<Image>) = (None, Vec::new());
    let bytes = text.as_bytes();
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, span: Span<usize>| -> Option<Infallible> {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                tag = (name == b"img").then(|| Tag { name_end: span.start + "<img".len(), ..Tag::default() });
            }
            CallbackEvent::AttributeName { name } => {
                if let Some(tag) = &mut tag {
                    tag.attribute = name.to_vec();
                    tag.attribute_at = span.start..span.end;
                    if name == b"alt" && tag.alt.is_none() {
                        tag.alt = Some((span.start..span.end, true));
                    }
                }
            }
            CallbackEvent::AttributeValue { value } => {
                if let Some(tag) = &mut tag {
                    tag.value(value, span.start..span.end, bytes);
                }
            }
            CallbackEvent::CloseStartTag { .. } => found.extend(tag.take().and_then(|tag| tag.image(bytes))),
            _ => {}
        }
        None
    });
    // Scripts, styles and the like hold no tags.
    emitter.naively_switch_states(true);
    // It cannot fail: the text is in memory and the callback gives no error.
    let _ = Tokenizer::new_with_emitter(text, emitter).finish();
    found
}

impl Tag {
    fn value(&mut self, value: &[u8], at: Range<usize>, page: &[u8]) {
        match self.attribute.as_slice() {
            b"src" if self.source.is_none() => self.source = Some(String::from_utf8_lossy(value).into_owned()),
            b"alt" => {
                let quoted = at.start > 0 && matches!(page.get(at.start - 1), Some(b'"' | b'\''));
                let end = at.end + usize::from(quoted);
                let own = self.attribute_at.clone();
                if let Some((place, blank)) = &mut self.alt
                    && place.start == own.start
                {
                    *place = own.start..end;
                    *blank = value.iter().all(u8::is_ascii_whitespace);
                }
            }
            _ => {}
        }
    }

    fn image(self, page: &[u8]) -> Option<Image> {
        let (place, is_bare, before) = match self.alt {
            Some((place, blank)) => (place.start..value_end(page, place.end), blank, ""),
            None => (self.name_end..self.name_end, true, " "),
        };
        Some(Image { source: self.source?, is_bare, place, before })
    }
}

/// Where an attribute ends of which no value was told, from the end of its name or value on: behind the quotes of an empty one.
fn value_end(page: &[u8], from: usize) -> usize {
    let after = |at: usize| at + page.iter().skip(at).take_while(|byte| byte.is_ascii_whitespace()).count();
    let equals = after(from);
    if page.get(equals) != Some(&b'=') {
        return from;
    }
    let quote = after(equals + 1);
    match (page.get(quote), page.get(quote + 1)) {
        (Some(b'"'), Some(b'"')) | (Some(b'\''), Some(b'\'')) => quote + 2,
        _ => equals + 1,
    }
}

/// The path of an image beside the page; nothing for one that is elsewhere, or in the page itself.
fn local(source: &str) -> Option<PathBuf> {
    let source = source.trim();
    let plain = source.split(['?', '#']).next().unwrap_or_default();
    let scheme = plain.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme =
        |word: &str| word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let path = match scheme {
        Some("file") => plain.strip_prefix("file://")?,
        Some(scheme) if is_scheme(scheme) => return None,
        _ if plain.starts_with("//") || plain.is_empty() => return None,
        // The root of a site is taken to be the page's folder.
        _ => plain.trim_start_matches('/'),
    };
    Some(PathBuf::from(unescaped(path)))
}

/// The text with `%20` and its kin as the bytes that they stand for.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A text inside an attribute's double quotes.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn filled(page: &str) -> String {
        let images = images(page);
        let bare = images.iter().filter(|image| image.is_bare);
        splice(page, bare.map(|image| (image.place.clone(), format!("{}alt=\"X\"", image.before))).collect())
    }

    #[test]
    fn only_empty_and_missing_texts_are_filled() {
        for (page, wanted) in [
            ("<p><img src=a.png></p>", "<p><img alt=\"X\" src=a.png></p>"),
            ("<IMG\n SRC='a.png'\n/>", "<IMG alt=\"X\"\n SRC='a.png'\n/>"),
            ("<img src=\"a.png\" alt=\"\" width=3>", "<img src=\"a.png\" alt=\"X\" width=3>"),
            ("<img alt  =  ' ' src=a.png>", "<img alt=\"X\" src=a.png>"),
            ("<img alt src=a.png>", "<img alt=\"X\" src=a.png>"),
            ("<img src=a.png alt=>", "<img src=a.png alt=\"X\">"),
            ("<img alt = '' src=a.png/>", "<img alt=\"X\" src=a.png/>"),
            ("<img src=a.png alt>", "<img src=a.png alt=\"X\">"),
            ("<img src=a.png alt=mine>", "<img src=a.png alt=mine>"),
            ("<img src=a.png alt='' alt='mine'>", "<img src=a.png alt=\"X\" alt='mine'>"),
            ("<!-- <img src=a.png> --><script>'<img src=b.png>'</script>", ""),
            ("<img data-src=a.png>", ""),
            ("ä<img title='<img src=x>' src='ü.png'>\r\n", "ä<img alt=\"X\" title='<img src=x>' src='ü.png'>\r\n"),
        ] {
            assert_eq!(filled(page), if wanted.is_empty() { page } else { wanted });
        }
    }

    #[test]
    fn images_beside_the_page_are_told_from_others() {
        for (source, wanted) in [
            ("a%20b.png?v=3#x", Some("a b.png")),
            ("/img/a.png", Some("img/a.png")),
            ("file:///x/a.png", Some("/x/a.png")),
            ("C:/a.png", Some("C:/a.png")),
            ("https://a.org/a.png", None),
            ("//a.org/a.png", None),
            ("data:image/png;base64,AA", None),
            ("", None),
        ] {
            assert_eq!(local(source), wanted.map(PathBuf::from), "{source}");
        }
        assert_eq!(attribute("a \"b\" & <c>"), "a &quot;b&quot; &amp; &lt;c&gt;");
    }
}
