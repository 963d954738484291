//! Decoding: any of seven formats (eight with the feature `avif`), by content, within limits.

use super::colours::{to_rgb, upper_halves};
use super::jpeg::Jpeg;
use super::png::Png;
use crate::error::{Error, Result, one_line};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};
use std::io::{Cursor, Read as _};
use std::path::Path;

/// The endings of the files that [`decode`] reads, in small letters.
#[cfg(not(feature = "avif"))]
pub const ENDINGS: &[&str] = &["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp", "gif"];
/// The endings of the files that [`decode`] reads, in small letters.
#[cfg(feature = "avif")]
pub const ENDINGS: &[&str] = &["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp", "gif", "avif"];

/// The most pixels along a side: more than JPEG can have.
const MOST_SIDE: u32 = 65_535;

/// The formats, with the name that people know them by.
const FORMATS: &[(ImageFormat, &str)] = &[
    (ImageFormat::Jpeg, "JPEG"),
    (ImageFormat::Png, "PNG"),
    (ImageFormat::WebP, "WebP"),
    (ImageFormat::Bmp, "BMP"),
    (ImageFormat::Gif, "GIF"),
    (ImageFormat::Tiff, "TIFF"),
    (ImageFormat::Pnm, "PNM"),
    #[cfg(feature = "avif")]
    (ImageFormat::Avif, "AVIF"),
];

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

/// Decodes the picture in the file `path`: JPEG, PNG, WebP, BMP, GIF (its first frame), TIFF (its first page) or PPM and its kin,
/// recognised by content.
///
/// The picture is turned as its EXIF orientation says, transparent parts lie on white, grey becomes three equal colours, and of
/// 16 bits a colour the upper eight are taken.
///
/// # Errors
/// One line with the file's name when it is missing, empty, not a picture, cut short, of a kind that cannot be read, or over the
/// limits, to which a side of 65,535 pixels belongs; these are looked at before anything of the picture's size is allocated.
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
    let format = image::guess_format(bytes).ok();
    let Some(&(format, kind)) = FORMATS.iter().find(|(known, _)| Some(*known) == format) else {
        return Err(fault(name, unreadable(bytes)));
    };
    let Decoded { size, pixels, orientation } = match format {
        ImageFormat::Jpeg => jpeg(name, bytes, limits)?,
        ImageFormat::Png => png(name, bytes, limits)?,
        _ => other(name, bytes, format, kind, limits)?,
    };
    let picture = RgbImage::from_raw(size.0, size.1, pixels);
    let picture = picture.ok_or_else(|| fault(name, format!("the {kind} has another size than it says")))?;
    let mut picture = DynamicImage::ImageRgb8(picture);
    picture.apply_orientation(orientation.unwrap_or(Orientation::NoTransforms));
    Ok(picture.into_rgb8())
}

/// What is wrong with bytes that are of none of [`FORMATS`].
fn unreadable(bytes: &[u8]) -> String {
    let brand = bytes.get(4..12).and_then(|head| head.strip_prefix(b"ftyp"));
    match brand {
        Some(b"avif" | b"avis") => {
            "is AVIF, which this build does not read; build it with the feature avif, or save the picture anew as JPEG"
                .into()
        }
        Some(b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1") => {
            "is HEIC, which cannot be read; save it anew as JPEG".into()
        }
        _ => {
            let kinds = FORMATS.iter().map(|(_, kind)| *kind).collect::<Vec<_>>().join(", ");
            format!("is not a picture that can be read ({kinds})")
        }
    }
}

/// A picture as its file has it, before it is turned.
struct Decoded {
    size: (u32, u32),
    /// Three bytes a pixel.
    pixels: Vec<u8>,
    orientation: Option<Orientation>,
}

fn jpeg(name: &str, bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let told = |what: String| fault(name, format!("the JPEG {what}"));
    let jpeg = Jpeg::read(bytes).and_then(|jpeg| jpeg.check().map(|()| jpeg)).map_err(told)?;
    let size = (jpeg.width, jpeg.height);
    check_size(name, size, limits)?;
    Ok(Decoded { size, pixels: jpeg.decode(bytes).map_err(told)?, orientation: jpeg.orientation })
}

fn png(name: &str, bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let told = |error| fault(name, format!("the PNG is broken or cut short: {error}"));
    let png = Png::read(bytes).map_err(told)?;
    let size = png.size;
    check_size(name, size, limits)?;
    let (pixels, orientation) = png.decode().map_err(told)?;
    Ok(Decoded { size, pixels, orientation })
}

fn other(name: &str, bytes: &[u8], format: ImageFormat, kind: &str, limits: &Limits) -> Result<Decoded> {
    let told = |error: ImageError| match error {
        ImageError::Unsupported(what) => {
            fault(name, format!("the {kind} is of a kind that cannot be read ({what}); save it anew as PNG"))
        }
        ImageError::Limits(_) => fault(name, format!("the {kind} wants more memory than its pixels may take")),
        error => fault(name, format!("the {kind} is broken or cut short: {error}")),
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut allocation = image::Limits::default();
    // Eight bytes a pixel are four channels of 16 bits; the rest is for tables and chunks of the format.
    allocation.max_alloc = Some(limits.max_pixels.saturating_mul(8).saturating_add(1 << 20));
    reader.limits(allocation);
    let mut decoder = reader.into_decoder().map_err(told)?;
    let size = decoder.dimensions();
    check_size(name, size, limits)?;
    let orientation = decoder.orientation().ok();
    let picture = DynamicImage::from_decoder(decoder).map_err(told)?;
    Ok(Decoded { size, pixels: three_colours(picture), orientation })
}

/// Refuses a picture without pixels, or with more than are allowed.
fn check_size(name: &str, (width, height): (u32, u32), limits: &Limits) -> Result<()> {
    let is = format!("is {width}×{height} pixels");
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(fault(name, format!("{is}, more than the {} pixels allowed", limits.max_pixels)));
    }
    if width.max(height) > MOST_SIDE {
        return Err(fault(name, format!("{is}; a side may have {MOST_SIDE} at most")));
    }
    match width.min(height) {
        0 => Err(fault(name, "has no pixels")),
        _ => Ok(()),
    }
}

/// The pixels, three colours each, transparent ones on white.
fn three_colours(picture: DynamicImage) -> Vec<u8> {
    match picture {
        DynamicImage::ImageLuma8(grey) => to_rgb(grey.into_raw(), 1),
        DynamicImage::ImageLumaA8(grey) => to_rgb(grey.into_raw(), 2),
        DynamicImage::ImageRgb8(rgb) => rgb.into_raw(),
        DynamicImage::ImageLuma16(grey) => to_rgb(upper_halves(&grey), 1),
        DynamicImage::ImageLumaA16(grey) => to_rgb(upper_halves(&grey), 2),
        DynamicImage::ImageRgb16(rgb) => upper_halves(&rgb),
        DynamicImage::ImageRgba16(rgba) => to_rgb(upper_halves(&rgba), 4),
        other => to_rgb(other.into_rgba8().into_raw(), 4),
    }
}

fn fault(name: impl Into<String>, fault: impl ToString) -> Error {
    Error::Picture { name: name.into(), fault: one_line(&fault.to_string()) }
}
