//! The header of a safetensors file: a length, a JSON object of all tensors, then their bytes without a gap.
//!
//! The safetensors crate refuses a file for one tensor of a type that it does not know; here the type is kept as it is written.

use crate::content::Content;
use crate::dtype::{self, Kind};
use crate::text::shown;
use candle_core::Shape;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::collections::{HashMap, hash_map};
use std::fmt;
use std::ops::Range;

/// The longest header that the format allows.
const LONGEST: u64 = 100_000_000;

/// The most dimensions of a tensor.
const MOST_DIMENSIONS: usize = 64;

/// A tensor of a file: what it is and where its bytes lie.
#[derive(Deserialize)]
pub(crate) struct Entry {
    #[serde(rename = "dtype", deserialize_with = "kind")]
    pub kind: Kind,
    #[serde(deserialize_with = "shape")]
    pub shape: Shape,
    #[serde(rename = "data_offsets", deserialize_with = "place")]
    pub place: Range<u64>,
}

fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Kind, D::Error> {
    Ok(dtype::named(&Cow::<str>::deserialize(deserializer)?))
}

fn place<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Range<u64>, D::Error> {
    let (start, end) = Deserialize::deserialize(deserializer)?;
    Ok(start..end)
}

fn shape<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
    struct Sizes;

    impl<'de> Visitor<'de> for Sizes {
        type Value = Shape;

        fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
            write!(formatter, "at most {MOST_DIMENSIONS} sizes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
            let mut sizes = Vec::new();
            while let Some(size) = seq.next_element::<usize>()? {
                if sizes.len() == MOST_DIMENSIONS {
                    return Err(A::Error::invalid_length(sizes.len() + 1, &self));
                }
                sizes.push(size);
            }
            Ok(sizes.into())
        }
    }
    deserializer.deserialize_seq(Sizes)
}

struct Header(HashMap<String, Entry>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Header;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut tensors = HashMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            match tensors.entry(name) {
                hash_map::Entry::Occupied(before) => {
                    return Err(A::Error::custom(format!("it names {} twice", shown(before.key()))));
                }
                hash_map::Entry::Vacant(place) => {
                    place.insert(map.next_value()?);
                }
            }
        }
        Ok(Header(tensors))
    }
}

/// The tensors of a file by name.
///
/// # Errors
/// What is wrong with the file, without its name.
pub(crate) fn read(content: &Content) -> Result<HashMap<String, Entry>, String> {
    let cut = |_| "it is cut short".to_owned();
    let mut len = [0; 8];
    content.read_into(0, &mut len).map_err(cut)?;
    let len = u64::from_le_bytes(len);
    if len > LONGEST {
        return Err(format!("its header would have {len} bytes"));
    }
    let header = content.read(8, len).map_err(cut)?;
    let Header(mut tensors) = serde_json::from_slice(&header).map_err(|error| format!("its header: {error}"))?;
    drop(header);
    let first = 8 + len;
    check_places(&tensors, content.len() - first)?;
    for (name, entry) in &mut tensors {
        check_len(name, entry)?;
        entry.place = first + entry.place.start..first + entry.place.end;
    }
    Ok(tensors)
}

/// A tensor has as many bytes as its shape and type say.
fn check_len(name: &str, entry: &Entry) -> Result<(), String> {
    let Kind::Known(dtype) = entry.kind else { return Ok(()) };
    let (shape, found) = (entry.shape.dims(), entry.place.end - entry.place.start);
    let bits = shape.iter().try_fold(dtype.bitsize(), |bits, &size| bits.checked_mul(size));
    if bits.map(|bits| bits as u64) != Some(found.saturating_mul(8)) {
        return Err(format!("{} has the shape {shape:?} in {dtype:?}, but {found} bytes", shown(name)));
    }
    Ok(())
}

/// Each tensor begins where the one before it ends, and the last ends with the file.
fn check_places(tensors: &HashMap<String, Entry>, len: u64) -> Result<(), String> {
    let mut places: Vec<_> = tensors.iter().map(|(name, entry)| (entry.place.start, entry.place.end, name)).collect();
    places.sort_unstable();
    let mut at = 0;
    for (start, end, name) in places {
        if start > end || end > len {
            return Err(format!("{} lies at bytes {start} to {end} of {len}", shown(name)));
        }
        if start != at {
            let name = shown(name);
            return Err(format!("{name} begins at byte {start}, and what is before it ends at {at}"));
        }
        at = end;
    }
    if at != len { Err(format!("its tensors end at byte {at} of {len}")) } else { Ok(()) }
}
