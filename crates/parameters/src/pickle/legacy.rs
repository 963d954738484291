//! The legacy form of PyTorch checkpoints, before 1.6: pickles in a row, then each storage's length and values.

use super::fault::{CUT_SHORT, Read};
use super::unpickle::Reader;
use super::value::{Id, Value};
use std::collections::HashMap;

/// The number that `torch.save` begins with, as a pickle has it.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
const PROTOCOL_VERSION: usize = 1001;

/// What follows the magic number at the beginning of a file of this form, in whatever protocol.
fn after_magic(content: &[u8]) -> Option<&[u8]> {
    let (head, rest) = content.split_at_checked(2)?;
    if head[0] != 0x80 || !(2..=5).contains(&head[1]) {
        return None;
    }
    // Since protocol 4 a frame's length stands before.
    let rest = if rest.first() == Some(&0x95) { rest.get(9..)? } else { rest };
    rest.strip_prefix(MAGIC)
}

/// Whether a file that begins with these bytes is of this form.
pub fn is_legacy(start: &[u8]) -> bool {
    after_magic(start).is_some()
}

/// The object that a file holds, and the bytes of its storages.
///
/// Whatever machine wrote it, the values are little-endian.
pub fn read(content: &[u8]) -> Read<(Reader<'_>, Id, HashMap<&str, &[u8]>)> {
    let mut reader = Reader::new(after_magic(content).ok_or(CUT_SHORT)?);
    let version = reader.pickle()?;
    if reader.number(version)? != PROTOCOL_VERSION {
        return Err(format!("its protocol version is not {PROTOCOL_VERSION}"));
    }
    // The machine that wrote it.
    reader.pickle()?;
    let object = reader.pickle()?;
    let storages = storages(&mut reader)?;
    Ok((reader, object, storages))
}

/// The bytes of each storage, which follow a pickled list of their keys.
fn storages<'a>(reader: &mut Reader<'a>) -> Read<HashMap<&'a str, &'a [u8]>> {
    let keys = reader.pickle()?;
    let Value::List(keys) = reader.value(keys) else { return Err("its list of storages is damaged".into()) };
    let mut storages = HashMap::new();
    for key in keys.clone() {
        let Value::Text(key) = *reader.value(key) else { return Err("its list of storages is damaged".into()) };
        let &(element, len) = reader.storages.get(key).ok_or("its list of storages is damaged")?;
        if usize::try_from(i64::from_le_bytes(reader.bytes()?)) != Ok(len) {
            return Err("a storage has another length than its tensors say".into());
        }
        let len = len.checked_mul(element.size).ok_or(CUT_SHORT)?;
        storages.insert(key, reader.take(len)?);
    }
    Ok(storages)
}
