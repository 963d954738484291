//! The header of a safetensors file: a length, a JSON object of all tensors, then their bytes without a gap.
//!
//! The safetensors crate refuses a file for one tensor of a type that it does not know; here the type is kept as it is written.

use crate::content::Content;
use crate::dtype::{self, Kind};
use crate::text::shown;
use candle_core::Shape;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::collections::{HashMap, hash_map};
use std::fmt;
use std::ops::Range;

/// The longest header that the format allows.
const LONGEST: u64 = 100_000_000;

/// A tensor of a file: what it is and where its bytes lie.
pub(crate) struct Entry {
    pub kind: Kind,
    pub shape: Shape,
    pub place: Range<u64>,
}

#[derive(Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

struct Header(HashMap<String, Info>);

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
    let Header(tensors) = serde_json::from_slice(&header).map_err(|error| format!("its header: {error}"))?;
    drop(header);
    let first = 8 + len;
    check_places(&tensors, content.len() - first)?;
    let entry = |(name, info): (String, Info)| {
        let kind = dtype::named(&info.dtype);
        let count = info.shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
        let (start, end) = info.data_offsets;
        if let Kind::Known(dtype) = &kind {
            let bits = count.and_then(|count| (count as u64).checked_mul(dtype.bitsize() as u64));
            if bits != Some((end - start).saturating_mul(8)) {
                let shape = info.shape.iter().take(8).collect::<Vec<_>>();
                let (name, found) = (shown(&name), end - start);
                return Err(format!("{name} has the shape {shape:?} in {dtype:?}, but {found} bytes"));
            }
        }
        Ok((name, Entry { kind, shape: info.shape.into(), place: first + start..first + end }))
    };
    tensors.into_iter().map(entry).collect()
}

/// Each tensor begins where the one before it ends, and the last ends with the file.
fn check_places(tensors: &HashMap<String, Info>, len: u64) -> Result<(), String> {
    let mut places: Vec<_> = tensors.iter().map(|(name, info)| (info.data_offsets, name)).collect();
    places.sort();
    let mut at = 0;
    for ((start, end), name) in places {
        let name = shown(name);
        if start > end || end > len {
            return Err(format!("{name} lies at bytes {start} to {end} of {len}"));
        }
        if start != at {
            return Err(format!("{name} begins at byte {start}, and what is before it ends at {at}"));
        }
        at = end;
    }
    if at != len { Err(format!("its tensors end at byte {at} of {len}")) } else { Ok(()) }
}
