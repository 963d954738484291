//! What stands inside a page: text with its markup escaped, and pictures as data URLs.

use crate::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::thumbnail;
use image::{ImageFormat, RgbImage};
use std::io::Cursor;

/// The longest side of a picture in a page.
const LARGEST: u32 = 640;

/// The quality of JPEG, of 100: nobody sees the difference, and the file is a tenth of a PNG.
const QUALITY: u8 = 85;

/// Text for HTML and SVG, within an element or a quoted attribute.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A picture as the content of a PNG file.
pub(crate) fn png(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// A picture as the content of a JPEG file.
pub(crate) fn jpeg(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(picture)?;
    Ok(bytes)
}

/// A JPEG file as an address that a page holds in itself.
pub(crate) fn jpeg_url(jpeg: &[u8]) -> String {
    picture_url("jpeg", jpeg)
}

/// A file of this kind, such as `png`, as an address that a page holds in itself.
pub(crate) fn picture_url(kind: &str, content: &[u8]) -> String {
    format!("data:image/{kind};base64,{}", STANDARD.encode(content))
}

/// A picture as an address that a page holds in itself: JPEG, and of a large one 640 pixels at its longest side.
///
/// # Errors
/// When it cannot be written as JPEG.
pub fn data_url(picture: &RgbImage) -> Result<String> {
    let longest = picture.width().max(picture.height());
    if longest <= LARGEST {
        return Ok(jpeg_url(&jpeg(picture)?));
    }
    let side = |side: u32| (u64::from(side) * u64::from(LARGEST) / u64::from(longest)).max(1) as u32;
    Ok(jpeg_url(&jpeg(&thumbnail(picture, side(picture.width()), side(picture.height())))?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_large_picture_is_reduced() {
        for (size, wanted) in [((1280, 4), (640, 2)), ((3, 5000), (1, 640)), ((640, 2), (640, 2))] {
            let url = data_url(&RgbImage::new(size.0, size.1)).unwrap();
            let jpeg = STANDARD.decode(url.strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
            let picture = image::load_from_memory_with_format(&jpeg, ImageFormat::Jpeg).unwrap();
            assert_eq!((picture.width(), picture.height()), wanted);
        }
    }
}
