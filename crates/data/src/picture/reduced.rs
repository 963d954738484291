//! Pictures that are made small as soon as they are decoded, so that few large ones are in memory at a time.

use super::decode::{Limits, decode_bytes, read};
use crate::error::Error;
use image::{ImageReader, RgbImage};
use std::io::Cursor;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

/// How many pixels are decoded at a time in the whole process: a larger picture is decoded alone.
const AT_A_TIME: u64 = 50_000_000;

static DECODING: Mutex<u64> = Mutex::new(0);
static DONE: Condvar = Condvar::new();

/// Decodes the picture in the file `path` and hands it to `reduce`, which keeps what is wanted of it.
///
/// Any number of threads may do so: together they decode 50 million pixels at a time at most, or one larger picture.
///
/// # Errors
/// As [`super::decode`] and `reduce` say.
pub fn reduced<R, E: From<Error>>(
    path: &Path,
    limits: &Limits,
    reduce: impl FnOnce(RgbImage) -> Result<R, E>,
) -> Result<R, E> {
    let bytes = read(path, limits.max_bytes)?;
    let _share = Share::of(pixels(&bytes));
    let picture = decode_bytes(&path.display().to_string(), &bytes, limits)?;
    drop(bytes);
    reduce(picture)
}

/// What the header says; 0 for what is no picture, which is told when it is decoded.
fn pixels(bytes: &[u8]) -> u64 {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let size = reader.ok().and_then(|mut reader| {
        // Only the header is read, of however large a picture.
        reader.no_limits();
        reader.into_dimensions().ok()
    });
    size.map_or(0, |(width, height)| u64::from(width) * u64::from(height))
}

/// A share of the pixels that may be decoded at a time, given back when it is dropped.
struct Share(u64);

impl Share {
    fn of(pixels: u64) -> Self {
        let wanted = pixels.min(AT_A_TIME);
        let free = DECODING.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |taken: &mut u64| *taken + wanted > AT_A_TIME;
        *DONE.wait_while(free, full).unwrap_or_else(PoisonError::into_inner) += wanted;
        Self(wanted)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *DECODING.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        DONE.notify_all();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    #[test]
    fn large_pictures_are_decoded_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.png");
        let (width, height) = (8000, 4000);
        image::GrayImage::new(width, height).save(&path).unwrap();
        assert_eq!(pixels(&std::fs::read(&path).unwrap()), 32_000_000);
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let size = reduced(&path, &Limits::default(), |picture| -> Result<(u32, u32), Error> {
                        most.fetch_max(1 + now.fetch_add(1, SeqCst), SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(5));
                        now.fetch_sub(1, SeqCst);
                        Ok(picture.dimensions())
                    });
                    assert_eq!(size.unwrap(), (width, height));
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
        std::fs::write(&path, "no picture").unwrap();
        assert!(reduced(&path, &Limits::default(), |_| -> Result<(), Error> { Ok(()) }).is_err());
    }
}
