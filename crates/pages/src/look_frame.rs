//! A look at a picture: the picture enlarged, boxes and a path on it, the patches that were seen, and values as bars.

use crate::chart::{Area, COLOURS, Draw, Drawn, NOTE, letters};
use crate::{Error, Result};
use image::{Rgb, RgbImage, imageops};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A box on a picture, in the picture's own pixels from its upper left corner; it may reach beyond the edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarkedBox {
    /// The left edge.
    pub left: f32,
    /// The upper edge.
    pub top: f32,
    /// The width.
    pub width: f32,
    /// The height.
    pub height: f32,
    /// Its colour, or nothing for the one of looks, yellow.
    pub colour: Option<[u8; 3]>,
}

/// One look.
///
/// ```
/// use candlewick_pages::{LookFrame, MarkedBox};
/// use image::{Rgb, RgbImage};
///
/// let picture = RgbImage::from_pixel(28, 28, Rgb([40; 3]));
/// let seen = MarkedBox { left: 4.0, top: 6.0, width: 8.0, height: 8.0, colour: None };
/// let patch = RgbImage::from_pixel(8, 8, Rgb([40; 3]));
/// let frame = LookFrame {
///     picture: &picture,
///     boxes: &[seen],
///     path: &[(20.0, 20.0), (8.0, 10.0)],
///     patches: &[patch],
///     bars: &[("3", 0.1), ("7", 0.9)],
/// };
/// assert!(frame.picture()?.height() > 28);
/// # Ok::<(), candlewick_pages::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LookFrame<'a> {
    /// What is looked at.
    pub picture: &'a RgbImage,
    /// Where, the smallest box first.
    pub boxes: &'a [MarkedBox],
    /// The middles of the looks so far.
    pub path: &'a [(f32, f32)],
    /// What was seen, beside the picture from top to bottom.
    pub patches: &'a [RgbImage],
    /// Names and values from 0 to 1, below the picture.
    pub bars: &'a [(&'a str, f64)],
}

/// The longer side of the enlarged picture at most, the space between pictures, and the height of the bars with their names.
const SIDE: u32 = 280;
const GAP: u32 = 6;
const BARS: u32 = 96;

/// The colours of boxes and of the path, and how wide they are drawn.
const YELLOW: [u8; 3] = [240, 200, 40];
const BLUE: [u8; 3] = [86, 180, 233];
const WIDTH: i64 = 2;

impl LookFrame<'_> {
    /// The look as a picture.
    ///
    /// # Errors
    /// When the picture has no pixel, or the bars cannot be drawn.
    pub fn picture(&self) -> Result<RgbImage> {
        let marked = self.enlarged(SIDE)?;
        let (width, height) = marked.dimensions();
        let count = self.patches.len() as u32;
        let side = (height + GAP).checked_div(count).map_or(0, |place| place.saturating_sub(GAP).min(SIDE / 2));
        let beside = if count == 0 { 0 } else { GAP + side };
        let below = if self.bars.is_empty() { 0 } else { GAP + BARS };
        let mut sheet = RgbImage::from_pixel(width + beside, height + below, Rgb([255; 3]));
        imageops::replace(&mut sheet, &marked, 0, 0);
        for (at, patch) in (0u32..).zip(self.patches) {
            let enlarged = imageops::resize(patch, side, side, imageops::FilterType::Nearest);
            imageops::replace(&mut sheet, &enlarged, i64::from(width + GAP), i64::from(at * (side + GAP)));
        }
        if !self.bars.is_empty() {
            // A sheet has two pixels for each of the plot's.
            let bars = Bars { values: self.bars, size: ((width + beside) / 2, BARS / 2) }.picture()?;
            imageops::replace(&mut sheet, &bars, 0, i64::from(height + GAP));
        }
        Ok(sheet)
    }

    /// The picture alone with boxes and path, enlarged by whole pixels to a longer side of at most this many; a larger one stays as it is.
    ///
    /// # Errors
    /// When it has no pixel.
    pub fn enlarged(&self, side: u32) -> Result<RgbImage> {
        let (width, height) = self.picture.dimensions();
        if width == 0 || height == 0 {
            return Err(Error::Empty("pixel"));
        }
        let enlarged = (side / width.max(height)).max(1);
        let mut marked =
            imageops::resize(self.picture, width * enlarged, height * enlarged, imageops::FilterType::Nearest);
        // What lies far beyond the edges is not seen, and its numbers may be of any size.
        let far = f32::from(u16::MAX);
        let scaled = |value: f32| (value * enlarged as f32).clamp(-far, far).round() as i64;
        for one in self.boxes {
            let (left, top) = (scaled(one.left), scaled(one.top));
            let (right, bottom) = (scaled(one.left + one.width) - 1, scaled(one.top + one.height) - 1);
            let colour = one.colour.unwrap_or(YELLOW);
            let corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
            corners.windows(2).for_each(|ends| line(&mut marked, (ends[0], ends[1]), colour));
        }
        let path: Vec<(i64, i64)> = self.path.iter().map(|&(x, y)| (scaled(x), scaled(y))).collect();
        path.windows(2).for_each(|ends| line(&mut marked, (ends[0], ends[1]), BLUE));
        if let Some(&(x, y)) = path.last() {
            for (dx, dy) in
                (-3..=3).flat_map(|dx| (-3..=3).map(move |dy| (dx, dy))).filter(|(dx, dy)| dx * dx + dy * dy < 12)
            {
                dot(&mut marked, (x + dx, y + dy), BLUE);
            }
        }
        Ok(marked)
    }
}

/// A line from point to point, as far as it lies on the picture.
fn line(picture: &mut RgbImage, ((x0, y0), (x1, y1)): ((i64, i64), (i64, i64)), colour: [u8; 3]) {
    let steps = (x1 - x0).abs().max((y1 - y0).abs()).max(1);
    for step in 0..=steps {
        let at = |from: i64, to: i64| from + ((to - from) as f64 * step as f64 / steps as f64).round() as i64;
        for (dx, dy) in (0..WIDTH).flat_map(|dx| (0..WIDTH).map(move |dy| (dx, dy))) {
            dot(picture, (at(x0, x1) + dx - WIDTH / 2, at(y0, y1) + dy - WIDTH / 2), colour);
        }
    }
}

fn dot(picture: &mut RgbImage, (x, y): (i64, i64), colour: [u8; 3]) {
    if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
        && let Some(pixel) = picture.get_pixel_mut_checked(x, y)
    {
        *pixel = Rgb(colour);
    }
}

/// Values from 0 to 1 with their names below.
struct Bars<'a> {
    values: &'a [(&'a str, f64)],
    size: (u32, u32),
}

impl Draw for Bars<'_> {
    fn size(&self) -> (u32, u32) {
        self.size
    }

    fn draw<DB: DrawingBackend<ErrorType: 'static>>(&self, sheet: &Area<DB>) -> Drawn {
        let (width, height) = (self.size.0 as i32, self.size.1 as i32);
        let (foot, count) = (height - 13, self.values.len().max(1) as i32);
        let largest = self.values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        for (at, &(name, value)) in (0..).zip(self.values) {
            let (left, right) = (at * width / count, (at + 1) * width / count);
            let top = foot - (value.clamp(0.0, 1.0) * f64::from(foot - 2)).round() as i32;
            let colour = if value == largest { COLOURS[1] } else { COLOURS[0] };
            sheet.draw(&Rectangle::new([(left + 1, top), (right - 1, foot)], colour.filled()))?;
            let style = letters(NOTE * 0.75).pos(Pos::new(HPos::Center, VPos::Top));
            sheet.draw(&Text::new(name.to_owned(), ((left + right) / 2, foot + 2), style))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn frame<'a>(picture: &'a RgbImage, boxes: &'a [MarkedBox], path: &'a [(f32, f32)]) -> LookFrame<'a> {
        LookFrame { picture, boxes, path, patches: &[], bars: &[] }
    }

    #[test]
    fn boxes_stand_where_they_are_and_may_reach_beyond_the_picture() {
        let picture = RgbImage::new(28, 14);
        let seen = MarkedBox { left: 2.0, top: 3.0, width: 8.0, height: 8.0, colour: None };
        let beyond = MarkedBox { left: 20.0, top: -5.0, width: 30.0, height: 8.0, colour: Some([255, 0, 0]) };
        let drawn = frame(&picture, &[seen, beyond], &[]).picture().unwrap();
        assert_eq!(drawn.dimensions(), (280, 140));
        let found: Vec<(u32, u32)> =
            drawn.enumerate_pixels().filter(|(.., pixel)| pixel.0 == YELLOW).map(|(x, y, _)| (x, y)).collect();
        let range = |values: Vec<u32>| (*values.iter().min().unwrap(), *values.iter().max().unwrap());
        assert_eq!(range(found.iter().map(|at| at.0).collect()), (19, 99));
        assert_eq!(range(found.iter().map(|at| at.1).collect()), (29, 109));
        assert_eq!(drawn.get_pixel(270, 29).0, [255, 0, 0]);
        assert_eq!(drawn.get_pixel(60, 60).0, [0, 0, 0]);
    }

    #[test]
    fn the_path_ends_in_a_dot_and_patches_and_bars_have_room_of_their_own() {
        let picture = RgbImage::new(20, 20);
        let patches = [RgbImage::from_pixel(4, 4, Rgb([9, 9, 9])), RgbImage::from_pixel(4, 4, Rgb([200, 9, 9]))];
        let bars = [("0", 0.25), ("1", 0.75)];
        let whole = LookFrame { patches: &patches, bars: &bars, ..frame(&picture, &[], &[(2.0, 2.0), (10.0, 10.0)]) };
        let drawn = whole.picture().unwrap();
        assert_eq!(drawn.dimensions(), (280 + 6 + 137, 280 + 6 + 96));
        assert_eq!((drawn.get_pixel(80, 80).0, drawn.get_pixel(142, 140).0), (BLUE, BLUE));
        assert_eq!((drawn.get_pixel(300, 10).0, drawn.get_pixel(300, 200).0), ([9, 9, 9], [200, 9, 9]));
        let of = |colour: RGBColor| {
            drawn
                .enumerate_pixels()
                .filter(|(_, y, pixel)| *y > 286 && pixel.0 == [colour.0, colour.1, colour.2])
                .count()
        };
        let (low, high) = (of(COLOURS[0]) as f64, of(COLOURS[1]) as f64);
        assert!((high / low - 3.0).abs() < 0.3, "{low}, {high}");
        assert!(frame(&RgbImage::new(0, 3), &[], &[]).picture().is_err());
    }
}
