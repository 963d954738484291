//! PNG: decoded into eight bits a colour, without the chunks that the pixels do not need.

use super::colours::to_rgb;
use image::metadata::Orientation;
use png::{ColorType, Decoder, DecodingError, Limits, Transformations};
use std::io::Cursor;

/// What a decoder may take for tables, rows and chunks beside the picture itself.
const AROUND: usize = 64 << 20;

/// A PNG whose header was read.
pub(super) struct Png<'a> {
    decoder: Decoder<Cursor<&'a [u8]>>,
    pub size: (u32, u32),
}

impl<'a> Png<'a> {
    /// Reads the header; texts and colour profiles, whose compressed bytes may stand for any number, will be passed over.
    pub fn read(bytes: &'a [u8]) -> Result<Self, DecodingError> {
        let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: AROUND });
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
        let size = decoder.read_header_info()?.size();
        Ok(Self { decoder, size })
    }

    /// The pixels, three colours each, transparent ones on white, and how the picture is to be turned.
    pub fn decode(self) -> Result<(Vec<u8>, Option<Orientation>), DecodingError> {
        let mut reader = self.decoder.read_info()?;
        let mut pixels = vec![0; reader.output_buffer_size().ok_or(DecodingError::LimitsExceeded)?];
        reader.next_frame(&mut pixels)?;
        let channels = match reader.output_color_type().0 {
            ColorType::Grayscale => 1,
            ColorType::GrayscaleAlpha => 2,
            ColorType::Rgba => 4,
            ColorType::Rgb | ColorType::Indexed => 3,
        };
        let orientation = reader.info().exif_metadata.as_deref().and_then(Orientation::from_exif_chunk);
        Ok((to_rgb(pixels, channels), orientation))
    }
}
