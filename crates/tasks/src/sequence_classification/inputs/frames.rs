//! What is done to the frames of a clip: they are cut to what moves in them, and resized.

use super::config::{ClipsConfig, FramesConfig};
use crate::Result;
use candlewick_encoders::{Interpolation, Preprocessing, Resize};
use image::RgbImage;

impl FramesConfig {
    /// Frames as the network is given them: cut and resized.
    ///
    /// # Errors
    /// When a frame is empty or of an extreme shape.
    pub(in super::super) fn prepare(&self, frames: &[RgbImage]) -> Result<Vec<RgbImage>> {
        let (height, width) = self.size();
        let size = Some(Resize::Exact(height, width));
        let preprocessing = Preprocessing { size, interpolation: Interpolation::Box, ..Preprocessing::unresized() };
        let cut = matches!(self, Self::Clips(ClipsConfig { cut: true, .. }));
        let part =
            if cut { differing(frames).map(|part| part.widened(frames, width as f64 / height as f64)) } else { None };
        let prepared = |frame: &RgbImage| match part {
            Some(part) => Ok(preprocessing.original(&part.of(frame).unwrap_or_else(|| frame.clone()))?),
            None => Ok(preprocessing.original(frame)?),
        };
        frames.iter().map(prepared).collect()
    }
}

/// A part of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

/// Channels that differ by no more are of one colour.
const ALIKE: u8 = 48;

/// The part outside of which all frames have the colour of the first one's first corner; nothing where they have it everywhere.
fn differing(frames: &[RgbImage]) -> Option<Part> {
    let first = frames.first()?;
    let ground = first.get_pixel_checked(0, 0)?.0;
    let bare = ground.repeat(first.width() as usize);
    let differs = |pixel: &[u8]| pixel.iter().zip(ground).any(|(channel, ground)| channel.abs_diff(ground) > ALIKE);
    let mut found: Option<[u32; 4]> = None;
    for (y, row) in frames.iter().flat_map(|frame| (0..).zip(frame.as_raw().chunks_exact(bare.len()))) {
        // Most rows of a silhouette are of the ground alone.
        if row == bare {
            continue;
        }
        let mut places = (0..).zip(row.chunks_exact(3)).filter(|(_, pixel)| differs(pixel)).map(|(x, _): (u32, _)| x);
        if let Some(left) = places.next() {
            let right = places.last().unwrap_or(left);
            let [x0, y0, x1, y1] = found.unwrap_or([left, y, right, y]);
            found = Some([x0.min(left), y0.min(y), x1.max(right), y1.max(y)]);
        }
    }
    found.map(|[x0, y0, x1, y1]| Part { x: x0, y: y0, width: x1 - x0 + 1, height: y1 - y0 + 1 })
}

impl Part {
    /// This part of a frame; nothing where it goes beyond it.
    fn of(self, frame: &RgbImage) -> Option<RgbImage> {
        let [x, width] = [self.x, self.width].map(|pixels| 3 * pixels as usize);
        let rows = frame.as_raw().chunks_exact(3 * frame.width().max(1) as usize);
        let rows = rows.skip(self.y as usize).take(self.height as usize);
        let cut = rows.map(|row| row.get(x..x + width)).collect::<Option<Vec<&[u8]>>>()?.concat();
        RgbImage::from_raw(self.width, self.height, cut)
    }

    /// With two pixels more on each side and then as wide or as high as gives this ratio, as far as the frames go.
    fn widened(self, frames: &[RgbImage], ratio: f64) -> Self {
        let (most_width, most_height) = frames.first().map_or((1, 1), RgbImage::dimensions);
        let (width, height) = (f64::from(self.width) + 4.0, f64::from(self.height) + 4.0);
        let [width, height] = [width.max(height * ratio), height.max(width / ratio)];
        let side = |from: u32, own: u32, wanted: f64, most: u32| {
            let wanted = (wanted.ceil() as u32).clamp(1, most.max(1));
            let middle = from + own / 2;
            (middle.saturating_sub(wanted / 2).min(most.saturating_sub(wanted)), wanted)
        };
        let (x, width) = side(self.x, self.width, width, most_width);
        let (y, height) = side(self.y, self.height, height, most_height);
        Self { x, y, width, height }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::Rgb;

    #[test]
    fn frames_are_cut_to_the_path_of_what_moves() {
        // A spot of 4 × 8 pixels that goes from left to right.
        let frame = |at: u32| {
            RgbImage::from_fn(60, 40, |x, y| {
                Rgb([if (at..at + 4).contains(&x) && (10..18).contains(&y) { 255 } else { 0 }; 3])
            })
        };
        let frames = [frame(20), frame(24), frame(28)];
        let part = differing(&frames).unwrap();
        assert_eq!(part, Part { x: 20, y: 10, width: 12, height: 8 });
        assert_eq!(part.widened(&frames, 2.0), Part { x: 14, y: 8, width: 24, height: 12 });
        // At the border it is moved in, and never larger than the frames.
        assert_eq!(part.widened(&frames, 10.0), Part { x: 0, y: 8, width: 60, height: 12 });
        let clips = FramesConfig::Clips(ClipsConfig { height: 12, width: 24, cut: true, join: false });
        let prepared = clips.prepare(&frames).unwrap();
        assert!(prepared.iter().all(|frame| frame.dimensions() == (24, 12)));
        assert_eq!((prepared[0].get_pixel(6, 2).0[0], prepared[0].get_pixel(10, 2).0[0]), (255, 0));
        // Nothing moves and nothing is there.
        assert_eq!(clips.prepare(&[RgbImage::new(60, 40)]).unwrap()[0].dimensions(), (24, 12));
        assert_eq!(differing(&[RgbImage::new(60, 40)]), None);
    }
}
