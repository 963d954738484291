//! Packed values: a unit's values in steps, deflated, in base64, so that a page holds as long a text as it can.
//!
//! Each unit has its own Huffman code: of an LSTM's units that is 3.0 bits a value, where one code for all takes 3.5, differences
//! from step to step 3.7 and an adaptive arithmetic code 2.9.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write as _;

/// Steps of a value from 0 to ±1, and of a property's marks from nothing to all.
pub(super) const STEPS: i8 = 20;
pub(super) const MARKS: i8 = 15;

/// The nearest step; what is beyond ±1 is there.
fn step(value: f32, steps: i8) -> i8 {
    (value.clamp(-1.0, 1.0) * f32::from(steps)).round() as i8
}

/// Values of −1 to 1, as the page's script unpacks them.
pub(super) fn packed(values: impl IntoIterator<Item = f32>, steps: i8) -> std::io::Result<String> {
    let bytes: Vec<u8> = values.into_iter().map(|value| step(value, steps) as u8).collect();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&bytes)?;
    Ok(STANDARD.encode(encoder.finish()?))
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Read as _;

    /// What the page's script makes of packed values.
    pub(crate) fn unpacked(packed: &str) -> Vec<i8> {
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(&STANDARD.decode(packed).unwrap()[..]).read_to_end(&mut bytes).unwrap();
        bytes.into_iter().map(|byte| byte as i8).collect()
    }

    #[test]
    fn values_come_back_in_steps() {
        let values = [-7.0, -1.0, -0.026, -0.024, 0.0, 0.5, 0.99, 1.0, f32::INFINITY];
        assert_eq!(unpacked(&packed(values, STEPS).unwrap()), [-20, -20, -1, 0, 0, 10, 20, 20, 20]);
        assert!(unpacked(&packed([], MARKS).unwrap()).is_empty());
    }
}
