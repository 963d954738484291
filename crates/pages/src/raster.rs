//! Drawing onto pixels: a backend of plotters over tiny-skia, whose letters need no font of the machine.
//!
//! plotters' own bitmaps have steps at lines wider than a pixel, and `resvg` takes ten times as long to build.

use crate::chart::PLOTTERS_EM;
use image::RgbImage;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontTransform,
};
use std::convert::Infallible;
use tiny_skia::{FillRule, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform};
use ttf_parser::{Face, OutlineBuilder};

/// DejaVu Sans with the characters that plots may want.
static FONT: &[u8] = include_bytes!("../fonts/DejaVuSans-plots.ttf");

/// Pixels of the picture for each pixel of the plot, across and down, so that letters are sharp on paper too.
const DENSITY: f32 = 2.0;

/// What SVG calls `ex`, in em, and where SVG's letters lie below the top.
const EX: f32 = 0.53;
const TOP: f32 = 0.76;

type Done = Result<(), DrawingErrorKind<Infallible>>;

/// A sheet of pixels.
pub(crate) struct Raster {
    size: (u32, u32),
    pixels: Pixmap,
    face: Option<Face<'static>>,
}

impl Raster {
    /// A sheet of this width and height, or nothing where there cannot be one.
    pub fn new(size: (u32, u32)) -> Option<Self> {
        let side = |side: u32| (side as f32 * DENSITY) as u32;
        Some(Self { size, pixels: Pixmap::new(side(size.0), side(size.1))?, face: Face::parse(FONT, 0).ok() })
    }

    /// What was drawn.
    pub fn picture(&self) -> RgbImage {
        RgbImage::from_fn(self.pixels.width(), self.pixels.height(), |x, y| {
            let pixel = self.pixels.pixel(x, y).map_or([255; 3], |pixel| [pixel.red(), pixel.green(), pixel.blue()]);
            image::Rgb(pixel)
        })
    }

    fn fill(&mut self, path: Option<Path>, colour: BackendColor, placed: Transform) {
        if let Some(path) = path {
            let placed = placed.post_scale(DENSITY, DENSITY);
            self.pixels.fill_path(&path, &paint(colour), FillRule::Winding, placed, None);
        }
    }

    fn stroke<S: BackendStyle>(&mut self, path: Option<Path>, style: &S) {
        if let Some(path) = path {
            let stroke = Stroke { width: style.stroke_width() as f32, ..Stroke::default() };
            let scale = Transform::from_scale(DENSITY, DENSITY);
            self.pixels.stroke_path(&path, &paint(style.color()), &stroke, scale, None);
        }
    }
}

fn paint(colour: BackendColor) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    let (red, green, blue) = colour.rgb;
    paint.set_color_rgba8(red, green, blue, (colour.alpha * 255.0).round() as u8);
    paint
}

fn polyline(points: impl IntoIterator<Item = BackendCoord>, closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (x, y) in points {
        let (x, y) = (x as f32, y as f32);
        if path.is_empty() { path.move_to(x, y) } else { path.line_to(x, y) }
    }
    if closed {
        path.close();
    }
    path.finish()
}

/// The outlines of letters, in the font's units, from the left end of the base line.
struct Outlines {
    path: PathBuilder,
    advance: f32,
}

impl OutlineBuilder for Outlines {
    fn move_to(&mut self, x: f32, y: f32) {
        self.path.move_to(self.advance + x, -y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        self.path.line_to(self.advance + x, -y);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        self.path.quad_to(self.advance + x1, -y1, self.advance + x, -y);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        self.path.cubic_to(self.advance + x1, -y1, self.advance + x2, -y2, self.advance + x, -y);
    }
    fn close(&mut self) {
        self.path.close();
    }
}

fn outlines(face: &Face<'_>, text: &str) -> Outlines {
    let mut outlines = Outlines { path: PathBuilder::new(), advance: 0.0 };
    for letter in text.chars() {
        // The first glyph is a box that stands for what the font lacks.
        let glyph = face.glyph_index(letter).unwrap_or_default();
        face.outline_glyph(glyph, &mut outlines);
        outlines.advance += f32::from(face.glyph_hor_advance(glyph).unwrap_or_default());
    }
    outlines
}

/// How wide text is in letters of this size, in pixels; nearly all fonts of machines are narrower.
pub(crate) fn text_width(text: &str, pixels: f64) -> f64 {
    let Ok(face) = Face::parse(FONT, 0) else { return pixels * text.chars().count() as f64 };
    pixels * f64::from(outlines(&face, text).advance) / f64::from(face.units_per_em())
}

/// Whether a letter of the text is drawn as a box.
pub(crate) fn lacks(text: &str) -> bool {
    Face::parse(FONT, 0).is_ok_and(|face| text.chars().any(|letter| face.glyph_index(letter).is_none()))
}

impl DrawingBackend for &mut Raster {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Done {
        Ok(())
    }

    fn present(&mut self) -> Done {
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, colour: BackendColor) -> Done {
        let pixel = Rect::from_xywh(at.0 as f32, at.1 as f32, 1.0, 1.0).map(PathBuilder::from_rect);
        self.fill(pixel, colour, Transform::identity());
        Ok(())
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Done {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S, fill: bool) -> Done {
        let corners = [from, (to.0, from.1), to, (from.0, to.1)];
        match fill {
            true => self.fill_polygon(corners, style)?,
            false => self.stroke(polyline(corners, true), style),
        }
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Done {
        self.stroke(polyline(path, false), style);
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(&mut self, centre: BackendCoord, radius: u32, style: &S, fill: bool) -> Done {
        let circle = PathBuilder::from_circle(centre.0 as f32, centre.1 as f32, radius as f32);
        match fill {
            true => self.fill(circle, style.color(), Transform::identity()),
            false => self.stroke(circle, style),
        }
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Done {
        self.fill(polyline(path, true), style.color(), Transform::identity());
        Ok(())
    }

    /// As a reader of plotters' SVG places it.
    fn draw_text<T: BackendTextStyle>(&mut self, text: &str, style: &T, at: BackendCoord) -> Done {
        let Some(face) = &self.face else { return Ok(()) };
        let outlines = outlines(face, text);
        let em = (style.size() / PLOTTERS_EM) as f32;
        let scale = em / f32::from(face.units_per_em());
        let width = outlines.advance * scale;
        let left = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -width / 2.0,
            HPos::Right => -width,
        };
        let base = em
            * match style.anchor().v_pos {
                VPos::Top => TOP,
                VPos::Center => EX / 2.0,
                VPos::Bottom => -EX / 2.0,
            };
        let turned = match style.transform() {
            FontTransform::None => 0.0,
            FontTransform::Rotate90 => 90.0,
            FontTransform::Rotate180 => 180.0,
            FontTransform::Rotate270 => 270.0,
        };
        let placed = Transform::from_scale(scale, scale)
            .post_translate(left, base)
            .post_rotate(turned)
            .post_translate(at.0 as f32, at.1 as f32);
        self.fill(outlines.path.finish(), style.color(), placed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::chart::letters;
    use plotters::prelude::*;

    /// The dark pixels of what is drawn: how many, and their left, top, right and bottom, in the plot's pixels.
    fn dark(draw: impl FnOnce(&DrawingArea<&mut Raster, plotters::coord::Shift>)) -> (usize, [u32; 4]) {
        let mut raster = Raster::new((200, 100)).unwrap();
        let sheet = (&mut raster).into_drawing_area();
        sheet.fill(&WHITE).unwrap();
        draw(&sheet);
        drop(sheet);
        let picture = raster.picture();
        assert_eq!(picture.dimensions(), (400, 200));
        let dark = picture.enumerate_pixels().filter(|(.., pixel)| pixel.0[0] < 128).map(|(x, y, _)| (x / 2, y / 2));
        dark.fold((0, [u32::MAX, u32::MAX, 0, 0]), |(count, [l, t, r, b]), (x, y)| {
            (count + 1, [l.min(x), t.min(y), r.max(x), b.max(y)])
        })
    }

    #[test]
    fn letters_are_drawn_without_a_font_of_the_machine_where_they_were_anchored() {
        let at = |text: &str, h, v, turn: bool| {
            let style = letters(20.0).pos(plotters::style::text_anchor::Pos::new(h, v));
            let style = if turn { style.transform(plotters::prelude::FontTransform::Rotate270) } else { style };
            dark(|sheet| sheet.draw(&Text::new(text.to_owned(), (100, 50), style)).unwrap())
        };
        let (count, [left, top, right, bottom]) = at("Hxo", HPos::Left, VPos::Top, false);
        assert!(count > 200 && (100..104).contains(&left) && (50..54).contains(&top), "{count} {left} {top}");
        assert!((130..145).contains(&right) && (62..68).contains(&bottom), "{right} {bottom}");
        let (_, [left, top, right, bottom]) = at("Hxo", HPos::Center, VPos::Center, false);
        assert!((195..206).contains(&(left + right)) && top < 50 && bottom > 50);
        let (_, [left, top, right, bottom]) = at("Hxo", HPos::Center, VPos::Center, true);
        assert!((95..106).contains(&(top + bottom)) && right - left < bottom - top);
        let all = "0123456789·⁻⁰¹²³⁴⁵⁶⁷⁸⁹ abcäöüßéñłαβ‖∂×ΔЖ–…";
        let face = Face::parse(FONT, 0).unwrap();
        assert!(all.chars().all(|letter| face.glyph_index(letter).is_some()));
    }

    #[test]
    fn shapes_are_where_they_were_drawn() {
        let black = ShapeStyle::from(BLACK).stroke_width(4);
        let (_, line) = dark(|sheet| sheet.draw(&PathElement::new([(20, 30), (120, 30)], black)).unwrap());
        assert_eq!(line, [20, 28, 119, 31]);
        let (count, circle) =
            dark(|sheet| sheet.draw(&Circle::new((100, 50), 10, ShapeStyle::from(BLACK).filled())).unwrap());
        assert!(circle == [90, 40, 109, 59] && (1200..1310).contains(&count), "{count} {circle:?}");
        let (_, rectangle) =
            dark(|sheet| sheet.draw(&Rectangle::new([(10, 20), (30, 40)], ShapeStyle::from(BLACK).filled())).unwrap());
        assert_eq!(rectangle, [10, 20, 29, 39]);
    }
}
