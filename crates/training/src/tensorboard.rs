//! TensorBoard's event files: scalars by step.
//!
//! A file is a row of records: the length (u64), its masked CRC-32C, the bytes, their masked CRC-32C, all little-endian. The
//! bytes are an `Event` message of TensorFlow's `event.proto`, encoded here by hand.

use crate::Result;
use crate::durable::Appended;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The name of the event file in a run folder.
pub const EVENTS_FILE: &str = "events.out.tfevents.candlewick";

/// An event file that grows.
pub(crate) struct EventFile(Appended);

impl EventFile {
    /// Opens the event file of a run and keeps its first `keep` bytes.
    pub fn open(run: &Path, keep: u64) -> Result<Self> {
        let mut file = Appended::open(run.join::<PathBuf>(EVENTS_FILE.into()), keep)?;
        if file.is_empty() {
            file.append(&record(&version_event(now())))?;
        }
        Ok(Self(file))
    }

    /// Writes scalars at a step.
    pub fn scalars(&mut self, step: usize, scalars: &[(String, f64)]) -> Result<()> {
        self.0.append(&record(&scalar_event(now(), step as u64, scalars)))
    }

    /// Syncs the file and says how long it is.
    pub fn sync(&self) -> Result<u64> {
        self.0.sync()
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The bytes of a message with their frame.
fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length), message, &masked_crc(message)].concat()
}

fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// Event { wall_time = 1, file_version = 3 }.
fn version_event(wall_time: f64) -> Vec<u8> {
    let mut event = double(1, wall_time);
    event.extend(bytes(3, b"brain.Event:2"));
    event
}

/// Event { wall_time = 1, step = 2, summary = 5 { value = 1 { tag = 1, simple_value = 2 } … } }.
fn scalar_event(wall_time: f64, step: u64, scalars: &[(String, f64)]) -> Vec<u8> {
    let summary: Vec<u8> = scalars
        .iter()
        .flat_map(|(tag, value)| {
            let mut entry = bytes(1, tag.as_bytes());
            entry.extend(float(2, *value as f32));
            bytes(1, &entry)
        })
        .collect();
    let mut event = double(1, wall_time);
    event.push(key(2, 0));
    event.extend(varint(step));
    event.extend(bytes(5, &summary));
    event
}

fn key(field: u8, kind: u8) -> u8 {
    field << 3 | kind
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut found = Vec::new();
    while value >= 0x80 {
        found.push(value as u8 | 0x80);
        value >>= 7;
    }
    found.push(value as u8);
    found
}

fn double(field: u8, value: f64) -> Vec<u8> {
    [&[key(field, 1)][..], &value.to_le_bytes()].concat()
}

fn float(field: u8, value: f32) -> Vec<u8> {
    [&[key(field, 5)][..], &value.to_le_bytes()].concat()
}

fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    [&[key(field, 2)][..], &varint(content.len() as u64), content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes as TensorBoard's own writer makes them (`tensorboard.summary.writer.record_writer`).
    #[test]
    fn a_scalar_has_the_bytes_that_tensorboard_writes() {
        let event = scalar_event(1.5, 300, &[("loss".to_owned(), 0.25)]);
        let wanted = "09000000000000f83f10ac022a0d0a0b0a046c6f7373150000803e";
        assert_eq!(hex(&event), wanted);
        assert_eq!(hex(&record(&event)), format!("1b000000000000001a0d9e13{wanted}9908deed"));
        let version = "09000000000000f83f1a0d627261696e2e4576656e743a32";
        assert_eq!(hex(&version_event(1.5)), version);
    }

    #[test]
    fn the_check_sum_is_crc32c_masked() {
        // 0xe3069283 is the CRC-32C of these digits in RFC 3720's family of test values.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        let wanted = (0x2507_c60d_u32).wrapping_add(0xa282_ead8);
        assert_eq!(masked_crc(b"123456789"), wanted.to_le_bytes());
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
