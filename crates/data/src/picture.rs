//! Photos from files: decoded within limits, upright, in three colours.

use crate::error::{Error, Result, one_line};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};
use std::io::{Cursor, Read as _};
use std::path::Path;

/// How large a picture may be before it is not even decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Width times height, in pixels.
    pub max_pixels: u64,
    /// Size of the file, in bytes.
    pub max_bytes: u64,
}

impl Default for Limits {
    /// 100 million pixels and 100 MB: more than cameras make, less than hurts.
    fn default() -> Self {
        Self { max_pixels: 100_000_000, max_bytes: 100_000_000 }
    }
}

/// Decodes the picture in the file `path`: JPEG, PNG, WebP, BMP or GIF (its first frame), recognised by content.
///
/// The picture is turned as its EXIF orientation says, transparent parts lie on white, and grey becomes three equal
/// colours.
///
/// # Errors
/// One line with the file's name when it is missing, empty, not a picture, cut short, or over the limits; these are
/// looked at before anything of the picture's size is allocated.
pub fn decode(path: &Path, limits: &Limits) -> Result<RgbImage> {
    decode_bytes(&path.display().to_string(), &read(path, limits.max_bytes)?, limits)
}

/// The bytes of the file `path`, at most `max_bytes` of them: for a caller that also needs their hash.
///
/// # Errors
/// When the file cannot be read, is empty, is no file, or is larger.
pub fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    let name = || path.display().to_string();
    // Looked at before it is opened: opening a pipe would wait for its writer.
    let about = std::fs::metadata(path).map_err(Error::io(path))?;
    if !about.is_file() {
        return Err(fault(name(), "is not a file"));
    }
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut bytes = Vec::new();
    // The file may grow while it is read, so the limit holds for what is read too.
    file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io(path))?;
    if bytes.len() as u64 > max_bytes {
        return Err(fault(name(), format!("has {} bytes, more than the {max_bytes} allowed", about.len())));
    }
    Ok(bytes)
}

/// Decodes a picture from the bytes of a file, as [`decode`] does; `name` stands for the file in messages.
///
/// # Errors
/// As [`decode`].
pub fn decode_bytes(name: &str, bytes: &[u8], limits: &Limits) -> Result<RgbImage> {
    if bytes.is_empty() {
        return Err(fault(name, "the file is empty"));
    }
    if bytes.len() as u64 > limits.max_bytes {
        return Err(fault(name, format!("has {} bytes, more than the {} allowed", bytes.len(), limits.max_bytes)));
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|e| fault(name, e))?;
    let Some(format) = reader.format().filter(|format| {
        matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp | ImageFormat::Gif)
    }) else {
        return Err(fault(name, "is not a picture that can be read (JPEG, PNG, WebP, BMP or GIF)"));
    };
    let mut allocation = image::Limits::default();
    // Eight bytes a pixel are four channels of 16 bits; the rest is for tables and chunks of the format.
    allocation.max_alloc = Some(limits.max_pixels.saturating_mul(8).saturating_add(1 << 20));
    reader.limits(allocation);
    let mut decoder = reader.into_decoder().map_err(|e| unreadable(name, format, &e))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        let size = format!("is {width}×{height} pixels, more than the {} pixels allowed", limits.max_pixels);
        return Err(fault(name, size));
    }
    // The JPEG decoder fills what is missing with grey and says nothing.
    if format == ImageFormat::Jpeg && !jpeg_is_whole(bytes) {
        return Err(fault(name, "the JPEG is cut short: its end is missing"));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|e| unreadable(name, format, &e))?;
    picture.apply_orientation(orientation);
    if picture.width() == 0 || picture.height() == 0 {
        return Err(fault(name, "has no pixels"));
    }
    Ok(if picture.color().has_alpha() { on_white(&picture) } else { picture.into_rgb8() })
}

fn fault(name: impl Into<String>, fault: impl ToString) -> Error {
    Error::Picture { name: name.into(), fault: one_line(&fault.to_string()) }
}

fn unreadable(name: &str, format: ImageFormat, error: &ImageError) -> Error {
    let kind = match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        _ => "GIF",
    };
    fault(name, format!("the {kind} is broken or cut short: {error}"))
}

/// The picture laid on white: c·a + 255·(1 − a) for each colour c and opacity a.
fn on_white(picture: &DynamicImage) -> RgbImage {
    let rgba = picture.to_rgba8();
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (to, from) in rgb.pixels_mut().zip(rgba.pixels()) {
        let [colours @ .., alpha] = from.0;
        let alpha = u32::from(alpha);
        to.0 = colours.map(|colour| ((u32::from(colour) * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
    }
    rgb
}

/// Whether the markers of a JPEG lead to its end marker.
///
/// Segments are jumped over, so an end marker inside an EXIF thumbnail does not count.
fn jpeg_is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // Entropy-coded bytes and fill bytes lie between markers: a marker is 0xFF and then neither 0x00 nor 0xFF.
        let Some(skip) = bytes
            .get(at..)
            .and_then(|rest| rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff)))
        else {
            return false;
        };
        let Some(&marker) = bytes.get(at + skip + 1) else { return false };
        at += skip + 2;
        match marker {
            0xd9 => return true,
            // These stand alone: TEM, the restarts and the start of the image.
            0x01 | 0xd0..=0xd8 => {}
            _ => match bytes.get(at..at + 2) {
                Some(&[high, low]) => at += usize::from(u16::from_be_bytes([high, low])).max(2),
                _ => return false,
            },
        }
    }
}
