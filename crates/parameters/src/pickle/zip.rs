//! The zip form of PyTorch checkpoints, since 1.6: stored records, found by the central directory and checked by their CRC-32.

use super::fault::{CUT_SHORT, Read};
use crate::content::Content;
use crate::text::shown;
use std::collections::HashMap;

/// How long the record at the end is, and how long its comment may be.
const END: usize = 22;
const LONGEST_COMMENT: u64 = 0xffff;

/// The records of an archive by name.
pub struct Archive<'c> {
    content: &'c Content,
    records: HashMap<String, Record>,
    /// Whether the records have checksums: PyTorch can be told to leave them out, and then all are 0.
    checked: bool,
}

struct Record {
    at: u64,
    len: u64,
    crc: u32,
    /// Why it cannot be read, if so.
    fault: Option<&'static str>,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Read<u64> {
    let found: &[u8; N] = bytes.get(at..).and_then(|bytes| bytes.first_chunk()).ok_or(CUT_SHORT)?;
    Ok(found.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

impl<'c> Archive<'c> {
    pub fn open(content: &'c Content) -> Read<Self> {
        let (at, len, count) = directory(content)?;
        let directory = content.read(at, len).map_err(|_| CUT_SHORT)?;
        let mut records = HashMap::new();
        let mut rest = directory.as_slice();
        while !rest.is_empty() {
            let (name, record, len) = Record::parse(rest)?;
            if records.contains_key(&name) {
                return Err(format!("it has two records {}", shown(&name)));
            }
            let record = record.located(content, &name)?;
            records.insert(name, record);
            rest = rest.get(len..).ok_or(CUT_SHORT)?;
        }
        if records.len() as u64 != count {
            return Err(format!("it has {} records of {count}", records.len()));
        }
        let checked = records.values().any(|record| record.crc != 0);
        Ok(Self { content, records, checked })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.records.keys().map(String::as_str)
    }

    /// The content of a record.
    pub fn read(&self, name: &str) -> Read<Vec<u8>> {
        let record = self.records.get(name).ok_or_else(|| format!("its record {} is missing", shown(name)))?;
        let fault = |what: &str| format!("its record {} {what}", shown(name));
        if let Some(what) = record.fault {
            return Err(fault(what));
        }
        let bytes = self.content.read(record.at, record.len).map_err(|_| fault("is cut off"))?;
        if self.checked && crc32fast::hash(&bytes) != record.crc {
            return Err(fault("has another CRC-32 than it was written with"));
        }
        Ok(bytes)
    }
}

/// Where the directory lies, how long it is, and how many records it names.
fn directory(content: &Content) -> Read<(u64, u64, u64)> {
    let tail_at = content.len().saturating_sub(END as u64 + LONGEST_COMMENT);
    let tail = content.read(tail_at, content.len() - tail_at).map_err(|_| CUT_SHORT)?;
    // A comment follows, as long as it says, and nothing else.
    let is_end = |at: usize| {
        tail[at..].starts_with(b"PK\x05\x06") && number::<2>(&tail, at + 20) == Ok((tail.len() - at - END) as u64)
    };
    let at = (0..=tail.len().saturating_sub(END)).rev().find(|&at| at + END <= tail.len() && is_end(at));
    let at = at.ok_or(CUT_SHORT)?;
    // Where numbers of 32 bits are too short, another record has them, and the one in front of this says where it lies.
    let Some(locator) = at.checked_sub(20).map(|from| &tail[from..at]).filter(|found| found.starts_with(b"PK\x06\x07"))
    else {
        return Ok((number::<4>(&tail, at + 16)?, number::<4>(&tail, at + 12)?, number::<2>(&tail, at + 10)?));
    };
    let end = content.read(number::<8>(locator, 8)?, 56).map_err(|_| CUT_SHORT)?;
    if !end.starts_with(b"PK\x06\x06") {
        return Err("its directory does not lie where it says".into());
    }
    Ok((number::<8>(&end, 48)?, number::<8>(&end, 40)?, number::<8>(&end, 32)?))
}

impl Record {
    /// The record where its bytes lie, behind its name: a damaged directory gives it another.
    fn located(self, content: &Content, name: &str) -> Read<Self> {
        let fault = || format!("its record {} does not lie where the directory says", shown(name));
        let head = content.read(self.at, 30).map_err(|_| fault())?;
        let (name_len, extra_len) = (number::<2>(&head, 26)?, number::<2>(&head, 28)?);
        let own = content.read(self.at + 30, name_len).map_err(|_| fault())?;
        if !head.starts_with(b"PK\x03\x04") || String::from_utf8_lossy(&own) != name {
            return Err(fault());
        }
        Ok(Self { at: self.at + 30 + name_len + extra_len, ..self })
    }

    /// The first record of a directory, its name, and how long its entry is.
    fn parse(entry: &[u8]) -> Read<(String, Self, usize)> {
        if !entry.starts_with(b"PK\x01\x02") {
            return Err("its directory is damaged".into());
        }
        let (name_len, extra_len) = (number::<2>(entry, 28)? as usize, number::<2>(entry, 30)? as usize);
        let extra_at = 46 + name_len;
        let name = entry.get(46..extra_at).ok_or(CUT_SHORT)?;
        let extra = entry.get(extra_at..extra_at + extra_len).ok_or(CUT_SHORT)?;
        let (flags, method) = (number::<2>(entry, 8)?, number::<2>(entry, 10)?);
        let (stored, len, at) = (number::<4>(entry, 20)?, number::<4>(entry, 24)?, number::<4>(entry, 42)?);
        let [len, stored, at] = wide(extra, [len, stored, at])?;
        let fault = match (flags & 1, method) {
            (1, _) => Some("is encrypted"),
            (_, 0) if stored != len => Some("has two lengths"),
            (_, 0) => None,
            _ => Some("is compressed, which torch.save never does"),
        };
        let record = Self { at, len, crc: number::<4>(entry, 16)? as u32, fault };
        let whole = extra_at + extra_len + number::<2>(entry, 32)? as usize;
        Ok((String::from_utf8_lossy(name).into_owned(), record, whole))
    }
}

/// Puts the numbers of 64 bits that an entry has beside it in the place of those that say so.
fn wide(mut extra: &[u8], mut numbers: [u64; 3]) -> Read<[u64; 3]> {
    while extra.len() >= 4 {
        let (kind, len) = (number::<2>(extra, 0)?, number::<2>(extra, 2)? as usize);
        let field = extra.get(4..4 + len).ok_or(CUT_SHORT)?;
        if kind == 1 {
            let mut at = 0;
            for number_of in numbers.iter_mut().filter(|number| **number == u64::from(u32::MAX)) {
                *number_of = number::<8>(field, at)?;
                at += 8;
            }
        }
        extra = &extra[4 + len..];
    }
    Ok(numbers)
}
