//! Film strip: pictures in a row with a label under each, and beneath them values as they change from picture to picture, as SVG.

use crate::axis::{Axis, linear_range};
use crate::chart::{Area, Draw, Drawn, NOTE, TITLE};
use crate::embedding::{escaped, jpeg, jpeg_url, picture_url, png};
use crate::panel::{LEFT, Line, Marker, Panel, colour, key_width};
use crate::raster::text_width;
use crate::{DrawingFormat, Error, Result};
use image::RgbImage;
use image::imageops::thumbnail;
use plotters::prelude::*;
use std::fmt::Write as _;

/// A picture of a strip.
#[derive(Clone, Copy, Debug)]
pub struct FilmFrame<'a> {
    /// The picture.
    pub picture: &'a RgbImage,
    /// What is written under it, such as the class that is likeliest so far.
    pub label: &'a str,
}

/// A value that changes from frame to frame, such as a class's probability.
#[derive(Clone, Copy, Debug)]
pub struct FilmCurve<'a> {
    /// What it is called.
    pub name: &'a str,
    /// A value for each frame.
    pub values: &'a [f64],
}

/// Frames and the curves beneath them.
///
/// ```
/// use candlewick_pages::{FilmCurve, FilmFrame, FilmStrip};
/// use image::{Rgb, RgbImage};
///
/// let pictures = [0, 128, 255].map(|grey| RgbImage::from_pixel(28, 28, Rgb([grey; 3])));
/// let frames = pictures.each_ref().map(|picture| FilmFrame { picture, label: "wave" });
/// let curves = [FilmCurve { name: "wave", values: &[0.4, 0.7, 0.9] }, FilmCurve { name: "run", values: &[0.6, 0.3, 0.1] }];
/// let strip = FilmStrip { title: "What is done", x_label: "frame", y_label: "probability", frames: &frames, curves: &curves };
/// let svg = strip.svg()?;
/// assert_eq!(svg.matches("<image").count(), 3);
/// # Ok::<(), candlewick_pages::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FilmStrip<'a> {
    /// What is shown.
    pub title: &'a str,
    /// What the frames are, such as `frame` or `look`.
    pub x_label: &'a str,
    /// What the curves are, such as `probability`; those between 0 and 1 have that scale.
    pub y_label: &'a str,
    /// The frames; of a long film those that are worth a look.
    pub frames: &'a [FilmFrame<'a>],
    /// The curves; none leaves the pictures alone.
    pub curves: &'a [FilmCurve<'a>],
}

/// The width that a strip has about, the sides of its pictures at least and at most, and what is between them, in pixels.
const WIDTH: u32 = 1200;
const SIDES: std::ops::RangeInclusive<u32> = 56..=160;
const GAP: u32 = 6;

/// Above the pictures, below them for labels, and the height of the curves.
const HEAD: u32 = 50;
const FOOT: u32 = 26;
const CURVES: u32 = 260;

/// What the curves' sheet has above them for a title that it has not.
const ABOVE: u32 = 24;

impl FilmStrip<'_> {
    /// The strip as the content of an SVG file.
    ///
    /// # Errors
    /// When there is no frame, a curve has more or fewer values than there are frames, or a picture cannot be written.
    pub fn svg(&self) -> Result<String> {
        if self.frames.is_empty() {
            return Err(Error::Empty("frame"));
        }
        for curve in self.curves {
            Error::count("a curve's values", curve.values.len(), "frames", self.frames.len())?;
        }
        let (cell, side) = self.cell();
        let curves = Curves { strip: self, cell };
        let (width, below) = curves.size();
        let tallest = self.frames.iter().map(|frame| frame.scaled(side).1).fold(0.0, f64::max).ceil() as u32;
        let foot = HEAD + tallest + FOOT;
        let height = if self.curves.is_empty() { foot } else { foot + below - ABOVE };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        if !self.curves.is_empty() {
            // Labels lie on the sheet of the curves, where nothing else is.
            let drawn = String::from_utf8_lossy(&curves.file(DrawingFormat::Svg)?).into_owned();
            let _ = writeln!(svg, "<g transform=\"translate(0 {})\">{drawn}</g>", foot - ABOVE);
        }
        let _ = writeln!(svg, "<text x=\"14\" y=\"30\" font-size=\"{TITLE}\">{}</text>", escaped(self.title));
        for (index, frame) in self.frames.iter().enumerate() {
            frame.draw(&mut svg, (LEFT + cell * index as u32 + cell / 2, HEAD + tallest), side)?;
        }
        Ok(svg + "</svg>\n")
    }

    /// The width of a frame's place, which holds its label, and the side of its picture.
    fn cell(&self) -> (u32, u32) {
        let place = WIDTH / self.frames.len() as u32;
        let side = place.saturating_sub(GAP).clamp(*SIDES.start(), *SIDES.end());
        let labels = self.frames.iter().map(|frame| text_width(frame.label, NOTE));
        ((labels.fold(0.0, f64::max).ceil() as u32).max(side) + GAP, side)
    }
}

impl FilmFrame<'_> {
    /// Width and height within a square of this side.
    fn scaled(&self, side: u32) -> (f64, f64) {
        let longest = f64::from(self.picture.width().max(self.picture.height()).max(1));
        let scaled = |length: u32| f64::from(length) * f64::from(side) / longest;
        (scaled(self.picture.width()), scaled(self.picture.height()))
    }

    /// On a line, around `middle`, and the label under it.
    fn draw(&self, svg: &mut String, (middle, line): (u32, u32), side: u32) -> Result<()> {
        let (width, height) = self.scaled(side);
        let (left, top) = (f64::from(middle) - width / 2.0, f64::from(line) - height);
        // Few pixels stay squares and sharp.
        let few = self.picture.width().max(self.picture.height()) <= side;
        let (url, look) = match few {
            true => (picture_url("png", &png(self.picture)?), " style=\"image-rendering:pixelated\""),
            false => (self.reduced(2 * side)?, ""),
        };
        let _ = write!(
            svg,
            "<image x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"{look} href=\"{url}\"/>\n\
             <text x=\"{middle}\" y=\"{}\" font-size=\"{NOTE}\" text-anchor=\"middle\">{}</text>\n",
            line + 17,
            escaped(self.label)
        );
        Ok(())
    }

    /// As a JPEG of this side at most.
    fn reduced(&self, most: u32) -> Result<String> {
        if self.picture.width().max(self.picture.height()) <= most {
            return Ok(jpeg_url(&jpeg(self.picture)?));
        }
        let (width, height) = self.scaled(most);
        Ok(jpeg_url(&jpeg(&thumbnail(self.picture, width.max(1.0) as u32, height.max(1.0) as u32))?))
    }
}

/// The curves with each frame's values below the frame.
struct Curves<'a> {
    strip: &'a FilmStrip<'a>,
    cell: u32,
}

impl Curves<'_> {
    fn lines(&self) -> Vec<Line> {
        let line = |(index, curve): (usize, &FilmCurve<'_>)| Line {
            label: curve.name.to_owned(),
            points: (1..)
                .map(f64::from)
                .zip(curve.values.iter().copied())
                .filter(|(_, value)| value.is_finite())
                .collect(),
            style: colour(index).stroke_width(2),
            dashed: false,
            marker: Some(Marker::of(index)),
        };
        self.strip.curves.iter().enumerate().map(line).collect()
    }
}

impl Draw for Curves<'_> {
    fn size(&self) -> (u32, u32) {
        let key = if self.strip.curves.is_empty() { GAP + 8 } else { key_width(&self.lines()) };
        let title = text_width(self.strip.title, TITLE).ceil() as u32 + 28;
        ((LEFT + self.cell * self.strip.frames.len() as u32 + key).max(title), CURVES)
    }

    fn draw<DB: DrawingBackend<ErrorType: 'static>>(&self, sheet: &Area<DB>) -> Drawn {
        let frames = self.strip.frames.len() as f64;
        let values = self.strip.curves.iter().flat_map(|curve| curve.values.iter().copied());
        let shares = values.clone().all(|value| !value.is_finite() || (0.0..=1.0).contains(&value));
        let y = if shares { 0.0..1.0 } else { linear_range(values, 0.0) };
        let panel = Panel {
            title: "",
            note: None,
            x: Axis::linear(0.5..frames + 0.5, self.strip.frames.len().min(20)),
            y: Axis::linear(y, 5),
            x_label: self.strip.x_label,
            y_label: self.strip.y_label,
            // The sheet may be wider than frames and key, for the title.
            key: self.size().0 - LEFT - self.cell * self.strip.frames.len() as u32,
            lines: self.lines(),
            names_at_ends: true,
        };
        panel.draw(sheet)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use image::Rgb;

    fn strip<'a>(frames: &'a [FilmFrame<'a>], curves: &'a [FilmCurve<'a>]) -> FilmStrip<'a> {
        FilmStrip { title: "Looks & words", x_label: "look", y_label: "probability", frames, curves }
    }

    /// The numbers of an attribute, one for each element that has it.
    fn numbers(svg: &str, element: &str, attribute: &str) -> Vec<f64> {
        let (start, name) = (format!("<{element} "), format!(" {attribute}=\""));
        let value = |text: &str| {
            let tag = format!(" {text}");
            tag.split_once(&name).unwrap().1.split_once('"').unwrap().0.parse().unwrap()
        };
        svg.split(&start).skip(1).map(value).collect()
    }

    #[test]
    fn a_frames_values_stand_below_its_picture() {
        let picture = RgbImage::from_pixel(20, 10, Rgb([200, 0, 0]));
        let frames = ["<seven>", "one", "a label that is wider than its picture"]
            .map(|label| FilmFrame { picture: &picture, label });
        let curves = [
            FilmCurve { name: "seven", values: &[0.9, 0.2, f64::NAN] },
            FilmCurve { name: "one", values: &[0.1, 0.8, 1.0] },
        ];
        let svg = strip(&frames, &curves).svg().unwrap();
        assert!(svg.contains("Looks &amp; words") && svg.contains(">&lt;seven&gt;</text>"));
        let (left, width) = (numbers(&svg, "image", "x"), numbers(&svg, "image", "width"));
        let middles: Vec<f64> = left.iter().zip(&width).map(|(left, width)| left + width / 2.0).collect();
        assert_eq!((width, numbers(&svg, "image", "height")), (vec![160.0; 3], vec![80.0; 3]));
        // The marks of the first curve, two and one in the key; circles are of it alone.
        let circles = numbers(&svg, "circle", "cx");
        assert_eq!(circles.len(), 3);
        assert!(
            circles.iter().zip(&middles).take(2).all(|(x, middle)| (x - middle).abs() <= 1.0),
            "{circles:?} {middles:?}"
        );
        let png = svg.split_once("data:image/png;base64,").unwrap().1.split_once('"').unwrap().0;
        let back = image::load_from_memory(&STANDARD.decode(png).unwrap()).unwrap().to_rgb8();
        assert_eq!(back, picture);
    }

    #[test]
    fn large_pictures_are_reduced_and_a_strip_may_have_no_curves() {
        let picture = RgbImage::from_pixel(900, 1200, Rgb([0, 99, 0]));
        let frames = [FilmFrame { picture: &picture, label: "" }; 30];
        let svg = strip(&frames, &[]).svg().unwrap();
        assert!(!svg.contains("<g ") && svg.matches("data:image/jpeg").count() == 30);
        let jpeg = svg.split_once("base64,").unwrap().1.split_once('"').unwrap().0;
        let back = image::load_from_memory(&STANDARD.decode(jpeg).unwrap()).unwrap();
        assert_eq!((back.width(), back.height()), (84, 112));
        let sheet: f64 = numbers(&svg, "svg", "width")[0];
        let last = numbers(&svg, "image", "x").into_iter().fold(0.0, f64::max);
        assert!(last + 42.0 < sheet, "{last} {sheet}");
    }

    #[test]
    fn as_many_values_as_frames_are_wanted() {
        let picture = RgbImage::new(2, 2);
        let frames = [FilmFrame { picture: &picture, label: "" }; 2];
        let fault = |frames, curves| strip(frames, curves).svg().unwrap_err().to_string();
        let short = [FilmCurve { name: "a", values: &[0.5] }];
        assert_eq!(fault(&frames, &short), "a curve's values: 1 for 2 frames; give one for each");
        assert_eq!(fault(&[], &[]), "there is no frame to show; give at least one");
    }
}
