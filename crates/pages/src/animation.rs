//! Animation: pictures one after the other, as a GIF.

use crate::{Error, Result};
use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame, RgbImage};
use std::time::Duration;

/// A picture of an animation.
#[derive(Clone, Copy, Debug)]
pub struct AnimationFrame<'a> {
    /// The picture, of the size that all have.
    pub picture: &'a RgbImage,
    /// How long it stands: to the nearest hundredth of a second, two at least, since browsers take less for ten.
    pub delay: Duration,
}

/// The least and the largest delay, in hundredths of a second.
const DELAYS: std::ops::RangeInclusive<u128> = 2..=65_535;

/// How coarsely a frame's 256 colours are chosen, from 1 to 30; 10 is the usual one.
const SPEED: i32 = 10;

/// A GIF of frames, of 256 colours each, that begins anew after the last one.
///
/// ```
/// use candlewick_pages::{AnimationFrame, animation};
/// use image::{Rgb, RgbImage};
/// use std::time::Duration;
///
/// let pictures = [0, 128, 255].map(|grey| RgbImage::from_pixel(28, 28, Rgb([grey; 3])));
/// let frames = pictures.each_ref().map(|picture| AnimationFrame { picture, delay: Duration::from_millis(80) });
/// assert!(animation(&frames)?.starts_with(b"GIF89a"));
/// # Ok::<(), candlewick_pages::Error>(())
/// ```
///
/// # Errors
/// When there is no frame, or one has another size than the first.
pub fn animation(frames: &[AnimationFrame<'_>]) -> Result<Vec<u8>> {
    let Some(first) = frames.first() else { return Err(Error::Empty("frame")) };
    let size = first.picture.dimensions();
    if let Some(frame) = frames.iter().position(|frame| frame.picture.dimensions() != size) {
        return Err(Error::FrameSize { frame, found: frames[frame].picture.dimensions(), wanted: size });
    }
    let mut gif = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut gif, SPEED);
    encoder.set_repeat(Repeat::Infinite)?;
    for frame in frames {
        let hundredths = (frame.delay.as_millis() + 5) / 10;
        let delay = Delay::from_numer_denom_ms(10 * hundredths.clamp(*DELAYS.start(), *DELAYS.end()) as u32, 1);
        let picture = DynamicImage::from(frame.picture.clone()).into_rgba8();
        encoder.encode_frame(Frame::from_parts(picture, 0, 0, delay))?;
    }
    drop(encoder);
    Ok(gif)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::codecs::gif::GifDecoder;
    use image::{AnimationDecoder, Rgb};
    use std::io::Cursor;

    #[test]
    fn frames_come_back_in_order_with_their_delays() {
        let pictures =
            [[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]].map(|colour| RgbImage::from_pixel(6, 4, Rgb(colour)));
        let delays = [80, 3, 1_234_567, 126];
        let frames: Vec<AnimationFrame<'_>> = pictures
            .iter()
            .zip(delays)
            .map(|(picture, delay)| AnimationFrame { picture, delay: Duration::from_millis(delay) })
            .collect();
        let gif = animation(&frames).unwrap();
        assert!(gif.windows(11).any(|part| part == b"NETSCAPE2.0"), "it begins anew");
        let decoded = GifDecoder::new(Cursor::new(gif)).unwrap().into_frames().collect_frames().unwrap();
        let milliseconds: Vec<(u32, u32)> = decoded.iter().map(|frame| frame.delay().numer_denom_ms()).collect();
        assert_eq!(milliseconds, [(80, 1), (20, 1), (655_350, 1), (130, 1)]);
        for (frame, picture) in decoded.iter().zip(&pictures) {
            let found = DynamicImage::from(frame.buffer().clone()).into_rgb8();
            assert_eq!(found, *picture);
        }
    }

    #[test]
    fn frames_of_another_size_and_none_are_refused() {
        let [small, large] = [RgbImage::new(2, 3), RgbImage::new(3, 3)];
        let frame = |picture| AnimationFrame { picture, delay: Duration::from_millis(20) };
        let fault = animation(&[frame(&small), frame(&small), frame(&large)]).unwrap_err().to_string();
        assert_eq!(fault, "frame 2 is 3 × 3, the first one 2 × 3; give all one size");
        assert_eq!(animation(&[]).unwrap_err().to_string(), "there is no frame to show; give at least one");
    }
}
