//! What stands inside a page: text with its markup escaped, and pictures as data URLs.

use crate::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::imageops::thumbnail;
use image::{ImageFormat, RgbImage};
use std::io::Cursor;

/// The longest side of a picture in a page.
const LARGEST: u32 = 640;

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

/// A PNG file as an address that a page holds in itself.
pub(crate) fn png_url(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}

/// A picture as an address that a page holds in itself; a large one is reduced to 640 pixels at its longest side.
///
/// # Errors
/// When it cannot be written as PNG.
pub fn data_url(picture: &RgbImage) -> Result<String> {
    let longest = picture.width().max(picture.height());
    if longest <= LARGEST {
        return Ok(png_url(&png(picture)?));
    }
    let side = |side: u32| (u64::from(side) * u64::from(LARGEST) / u64::from(longest)).max(1) as u32;
    Ok(png_url(&png(&thumbnail(picture, side(picture.width()), side(picture.height())))?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_large_picture_is_reduced() {
        for (size, wanted) in [((1280, 4), (640, 2)), ((3, 5000), (1, 640)), ((640, 2), (640, 2))] {
            let url = data_url(&RgbImage::new(size.0, size.1)).unwrap();
            let png = STANDARD.decode(url.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
            let picture = image::load_from_memory(&png).unwrap();
            assert_eq!((picture.width(), picture.height()), wanted);
        }
    }
}
