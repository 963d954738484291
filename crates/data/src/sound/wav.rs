//! WAV files, by `hound`: whole or floating-point samples of any number of channels.

use crate::error::{Error, Result};
use hound::{SampleFormat, WavReader};
use std::io::Read;
use std::path::Path;

/// A sound of one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// The samples, −1 to 1; of several channels their mean.
    pub samples: Vec<f32>,
}

impl Sound {
    /// Reads a WAV file.
    ///
    /// # Errors
    /// When it cannot be read, is no WAV file or one of a kind that cannot be read, is cut short, or holds what is no finite number.
    pub fn read(path: &Path) -> Result<Self> {
        let mut reader = open(path)?;
        let about = reader.spec();
        let samples: std::result::Result<Vec<f32>, hound::Error> = match about.sample_format {
            SampleFormat::Float => reader.samples::<f32>().collect(),
            SampleFormat::Int => {
                let scale = 1.0 / (1u64 << (about.bits_per_sample.max(1) - 1)) as f32;
                reader.samples::<i32>().map(|sample| Ok(sample? as f32 * scale)).collect()
            }
        };
        let samples = samples.map_err(|error| fault(path, error))?;
        if let Some(at) = samples.iter().position(|sample| !sample.is_finite()) {
            return Err(Error::items(path, 0, format!("sample {at} is no finite number")));
        }
        let channels = usize::from(about.channels.max(1));
        let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
        Ok(Self { rate: about.sample_rate, samples: samples.chunks_exact(channels).map(mean).collect() })
    }
}

/// The samples a second that a file says it has.
///
/// # Errors
/// When it is no WAV file that can be read, has no samples, or is shorter than it says.
pub(super) fn rate(path: &Path) -> Result<u32> {
    let reader = open(path)?;
    let about = reader.spec();
    let said = u64::from(reader.len()) * u64::from(about.bits_per_sample.div_ceil(8));
    let bytes = std::fs::metadata(path).map_err(Error::io(path))?.len();
    match said {
        0 => Err(Error::items(path, 0, "has no samples")),
        _ if said > bytes => {
            Err(Error::items(path, 0, format!("is cut short: it says {said} bytes of samples and has {bytes} in all")))
        }
        _ => Ok(about.sample_rate),
    }
}

fn open(path: &Path) -> Result<WavReader<impl Read>> {
    WavReader::open(path).map_err(|error| fault(path, error))
}

fn fault(path: &Path, error: hound::Error) -> Error {
    match error {
        hound::Error::IoError(source) if source.kind() == std::io::ErrorKind::NotFound => Error::io(path)(source),
        hound::Error::IoError(error) => Error::items(path, 0, format!("is cut short: {error}")),
        hound::Error::Unsupported => {
            Error::items(path, 0, "is WAV of a kind that cannot be read; save it as PCM of 16 bits")
        }
        error => Error::items(path, 0, format!("is no WAV file that can be read: {error}")),
    }
}
