//! Sounds and their classes: WAV files as numbers, and as log-mel frames.
//!
//! - the Free Spoken Digit Dataset's names: a folder, or one with a folder `recordings`, of `LABEL_SPEAKER_NUMBER.wav`, whose numbers 0 to 4 are
//!   the test part;
//! - a folder a class, as the Speech Commands have it (Warden 2018), whose `validation_list.txt` and `testing_list.txt`, where they are there, name
//!   the parts: `CLASS/FILE.wav` a line; folders that begin with `_` are no classes.

mod fourier;
mod mel;
mod set;
mod wav;

pub use mel::LogMel;
pub use set::{LoadOptions, SoundFile, SoundSet, load};
pub use wav::Sound;

#[cfg(test)]
mod tests;
