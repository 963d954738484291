//! PyTorch's checkpoints of before 1.6: pickles in a row, then each storage's length and values.

mod unpickle;
mod view;

use candle_core::Tensor;
use std::collections::HashMap;
use unpickle::{CUT_SHORT, Read, Reader};

/// The pickle of a number that `torch.save` begins with.
const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
const PROTOCOL_VERSION: usize = 1001;

/// How many times its size a file's tensors may fill: layers do share weights, but a few bytes must not fill the memory.
const MOST_SHARING: usize = 64;

/// Whether a file's content is of this form.
pub(crate) fn is_legacy(content: &[u8]) -> bool {
    content.starts_with(MAGIC)
}

/// The tensors of the state dict that a file holds, or holds under `key`; an error does not name the file.
pub(crate) fn read(content: &[u8], key: Option<&str>) -> Result<Vec<(String, Tensor)>, String> {
    let mut reader = Reader::new(content.strip_prefix(MAGIC).ok_or(CUT_SHORT)?);
    let version = reader.pickle()?;
    if reader.number(version)? != PROTOCOL_VERSION {
        return Err(format!("its protocol version is not {PROTOCOL_VERSION}"));
    }
    // The machine that wrote it, which does not matter: the values are little-endian on all.
    reader.pickle()?;
    let object = reader.pickle()?;
    let storages = storages(&mut reader)?;
    let state = key.map_or(Some(object), |key| reader.entry(object, key));
    let mut room = content.len().saturating_mul(MOST_SHARING);
    let mut tensors = Vec::new();
    for (name, view) in state.map(|state| reader.tensors(state)).unwrap_or_default() {
        let taken = view.count.checked_mul(view.storage.dtype.size_in_bytes());
        room = taken.and_then(|taken| room.checked_sub(taken)).ok_or("its tensors are far larger than the file")?;
        tensors.push((name.to_owned(), view.tensor(&storages)?));
    }
    Ok(tensors)
}

/// The bytes of each storage, which follow a pickled list of their keys.
fn storages<'a>(reader: &mut Reader<'a>) -> Read<HashMap<&'a str, &'a [u8]>> {
    let keys = reader.pickle()?;
    let mut storages = HashMap::new();
    for key in reader.texts(keys)? {
        let (dtype, len) = reader.declared(key)?;
        if usize::try_from(i64::from_le_bytes(reader.bytes()?)) != Ok(len) {
            return Err("a storage has another length than its tensors say".into());
        }
        let len = len.checked_mul(dtype.size_in_bytes()).ok_or(CUT_SHORT)?;
        storages.insert(key, reader.take(len)?);
    }
    Ok(storages)
}
