//! XMP sidecars: RDF beside a picture that photo programs and galleries read (ISO 16684-1).
//!
//! The caption stands as `dc:description` and as IPTC's alternative text, which screen readers are given
//! (`Iptc4xmpCore:AltTextAccessibility`, IPTC Photo Metadata Standard 2021.1). All else of a sidecar that is there stays byte for byte.

use super::splice::splice;
use quick_xml::NsReader;
use quick_xml::escape::escape;
use quick_xml::events::Event;
use quick_xml::name::{Namespace, ResolveResult};
use std::ops::Range;

const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";

/// A property that holds the caption.
struct Property {
    prefix: &'static str,
    namespace: &'static str,
    name: &'static str,
}

const PROPERTIES: [Property; 2] = [
    Property { prefix: "dc", namespace: "http://purl.org/dc/elements/1.1/", name: "description" },
    Property {
        prefix: "Iptc4xmpCore",
        namespace: "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
        name: "AltTextAccessibility",
    },
];

/// A sidecar as it is.
pub struct Sidecar {
    text: String,
    /// Where the end tag of the RDF begins.
    end: usize,
    /// What the RDF says it is about.
    about: String,
    /// Where each of [`PROPERTIES`] stands, and whether it says anything.
    found: [Vec<(Range<usize>, bool)>; 2],
}

impl Sidecar {
    /// A sidecar without any property.
    pub fn new() -> Self {
        let head = format!(
            "<?xpacket begin=\"\u{feff}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n<x:xmpmeta xmlns:x=\"adobe:ns:meta/\" x:xmptk=\"Candlewick {}\">\n <rdf:RDF xmlns:rdf=\"{RDF}\">\n",
            env!("CARGO_PKG_VERSION")
        );
        let end = head.len() + 1;
        let text = format!("{head} </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end=\"w\"?>\n");
        Self { text, end, about: String::new(), found: [Vec::new(), Vec::new()] }
    }

    /// Reads a sidecar.
    ///
    /// # Errors
    /// What is wrong with it, where it is no XML or has no RDF.
    pub fn parse(text: String) -> Result<Self, String> {
        let (mut end, mut about) = (None, None);
        let mut found = [Vec::new(), Vec::new()];
        let mut open: Option<(usize, usize, usize, bool)> = None;
        let mut reader = NsReader::from_str(&text);
        let mut depth = 0;
        loop {
            let at = reader.buffer_position() as usize;
            let (namespace, event) =
                reader.read_resolved_event().map_err(|error| format!("is no XML ({error}); repair or remove it"))?;
            match &event {
                Event::Start(tag) | Event::Empty(tag) => {
                    let empty = matches!(event, Event::Empty(_));
                    let is = |space: &str, name: &str| is_of(&namespace, space) && tag.local_name().as_ref() == name;
                    if about.is_none() && is(RDF, "Description") {
                        about = Some(about_of(tag));
                    }
                    let property = PROPERTIES.iter().position(|property| is(property.namespace, property.name));
                    if let (Some(property), None) = (property, open) {
                        match empty {
                            true => found[property].push((at..reader.buffer_position() as usize, false)),
                            false => open = Some((property, at, depth, false)),
                        }
                    }
                    depth += usize::from(!empty);
                }
                Event::End(tag) => {
                    depth = depth.saturating_sub(1);
                    if is_of(&namespace, RDF) && tag.local_name().as_ref() == "RDF" {
                        end = Some(at);
                    }
                    if let Some((property, from, level, says)) = open
                        && level == depth
                    {
                        found[property].push((from..reader.buffer_position() as usize, says));
                        open = None;
                    }
                }
                Event::Text(words) if !words.trim().is_empty() => {
                    if let Some((.., says)) = &mut open {
                        *says = true;
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let end = end.ok_or("is no XMP, for it has no rdf:RDF; repair or remove it")?;
        Ok(Self { text, end, about: about.unwrap_or_default(), found })
    }

    /// Whether it has a description already.
    pub fn is_captioned(&self) -> bool {
        self.found[0].iter().any(|(_, says)| *says)
    }

    /// The sidecar with the caption: in place of one that is there where `overwrite`, otherwise only in properties that say nothing.
    pub fn with_caption(&self, caption: &str, overwrite: bool) -> String {
        let wanted = |at: &usize| overwrite || self.found[*at].iter().all(|(_, says)| !says);
        let properties: Vec<usize> = (0..PROPERTIES.len()).filter(wanted).collect();
        let caption: String = caption.chars().filter(|letter| !letter.is_control()).collect();
        let caption = escape(&caption);
        let mut added = format!(" <rdf:Description rdf:about=\"{}\"", escape(&self.about));
        for property in properties.iter().map(|&at| &PROPERTIES[at]) {
            added += &format!("\n    xmlns:{}=\"{}\"", property.prefix, property.namespace);
        }
        added += ">\n";
        for Property { prefix, name, .. } in properties.iter().map(|&at| &PROPERTIES[at]) {
            added += &format!(
                "   <{prefix}:{name}>\n    <rdf:Alt>\n     <rdf:li xml:lang=\"x-default\">{caption}</rdf:li>\n    </rdf:Alt>\n   </{prefix}:{name}>\n"
            );
        }
        added += "  </rdf:Description>\n ";
        let mut edits = vec![(self.end..self.end, added)];
        edits
            .extend(properties.iter().flat_map(|&at| &self.found[at]).map(|(range, _)| (range.clone(), String::new())));
        splice(&self.text, edits)
    }
}

fn is_of(found: &ResolveResult, space: &str) -> bool {
    matches!(found, ResolveResult::Bound(Namespace(name)) if *name == space)
}

/// What a description is about: its `rdf:about`, empty for the picture beside the sidecar.
fn about_of(tag: &quick_xml::events::BytesStart) -> String {
    let about = tag.attributes().flatten().find(|attribute| attribute.key.local_name().as_ref() == "about");
    about
        .and_then(|about| Some(about.normalized_value(quick_xml::XmlVersion::Implicit1_0).ok()?.into_owned()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const OWN: &str = "<x:xmpmeta xmlns:x='adobe:ns:meta/'><r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\n\
        <r:Description r:about='uuid:1' xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmp:Rating='5'>\
        <!-- mine --><d:description xmlns:d='http://purl.org/dc/elements/1.1/'>DESCRIPTION</d:description>\
        </r:Description></r:RDF></x:xmpmeta>";

    #[test]
    fn a_new_sidecar_is_read_again() {
        let text = Sidecar::new().with_caption("a <dog> & \u{7}\"cat\"", false);
        assert!(text.contains("<rdf:li xml:lang=\"x-default\">a &lt;dog&gt; &amp; &quot;cat&quot;</rdf:li>"), "{text}");
        assert!(Sidecar::parse(text).unwrap().is_captioned());
        assert!(!Sidecar::new().is_captioned());
    }

    #[test]
    fn what_else_is_in_a_sidecar_stays() {
        let alt = "<r:Alt><r:li xml:lang='x-default'>mine</r:li></r:Alt>";
        let captioned = Sidecar::parse(OWN.replace("DESCRIPTION", alt)).unwrap();
        assert!(captioned.is_captioned());
        let anew = captioned.with_caption("a dog", true);
        assert!(!anew.contains("mine</r:li>") && anew.contains("a dog") && anew.contains("<!-- mine -->"), "{anew}");
        assert!(anew.contains("xmp:Rating='5'") && anew.contains("about=\"uuid:1\""), "{anew}");
        assert!(Sidecar::parse(anew).unwrap().is_captioned());
        let blank = Sidecar::parse(OWN.replace("DESCRIPTION", "\n")).unwrap();
        assert!(!blank.is_captioned() && blank.with_caption("a dog", false).contains("a dog"));
        // Only the alternative text is missing.
        let more = captioned.with_caption("a dog", false);
        assert!(more.contains("mine</r:li>") && more.matches("a dog").count() == 1, "{more}");
    }

    #[test]
    fn what_is_no_xmp_is_refused() {
        for text in ["", "<a>", "<a/>", "no", "<rdf:RDF></rdf:RDF>"] {
            assert!(Sidecar::parse(text.into()).is_err(), "{text}");
        }
    }
}
