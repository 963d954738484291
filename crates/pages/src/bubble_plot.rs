//! Bubble plot: bubbles over two axes, each with its name where no other name is, and a key of their areas.

use crate::axis::{Axis, round_down};
use crate::chart::{Area, Draw, Drawn, LABEL, NOTE, TITLE, grid, letters};
use crate::label_placement::{Circle, LINE, Rectangle, distance, places};
use crate::panel::colour;
use crate::raster::text_width;
use crate::{DrawingFormat, Result};
use plotters::prelude::{self as plot, *};
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Width and height of the picture and the width of the key, in pixels.
const WIDTH: u32 = 1240;
const HEIGHT: u32 = 860;
const KEY: u32 = 130;

/// The radius of the largest bubble, in pixels.
const LARGEST: f64 = 32.0;

/// Something with a name, a place and a size.
#[derive(Clone, Debug)]
pub struct Bubble {
    /// What it is called.
    pub name: String,
    /// What it belongs to: its group's bubbles have one colour.
    pub group: String,
    /// Where it is across, above 0, in the unit of the axis.
    pub x: f64,
    /// Where it is up, in the unit of the axis; above 0 where that is logarithmic.
    pub y: f64,
    /// What its area stands for, above 0.
    pub area: f64,
}

/// Bubbles, and what stands at the axes; the one across is logarithmic.
#[derive(Clone, Debug)]
pub struct BubblePlot<'a> {
    /// What is shown.
    pub title: &'a str,
    /// What is said beside the title, for instance which bubbles have no place.
    pub note: &'a str,
    /// What is across, with its unit.
    pub x_label: &'a str,
    /// What is up, with its unit.
    pub y_label: &'a str,
    /// Whether the axis that goes up is logarithmic.
    pub y_logarithmic: bool,
    /// What the area stands for, with its unit.
    pub area_label: &'a str,
    /// The bubbles.
    pub bubbles: &'a [Bubble],
}

impl BubblePlot<'_> {
    /// The plot as the content of a file.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub fn file(&self, format: DrawingFormat) -> Result<Vec<u8>> {
        Draw::file(self, format)
    }

    fn ends(&self, of: fn(&Bubble) -> f64) -> (f64, f64) {
        let values = self.bubbles.iter().map(of);
        values.fold((f64::MAX, f64::MIN_POSITIVE), |(least, most), value| (least.min(value), most.max(value)))
    }

    fn axes(&self) -> (Axis, Axis) {
        let (left, right) = self.ends(|bubble| bubble.x);
        let (low, high) = self.ends(|bubble| bubble.y);
        let margin = 0.08 * (high - low).max(1e-3 * high.abs());
        let y = match self.y_logarithmic {
            true => Axis::logarithmic(low / 1.6..high * 1.6),
            false => Axis::linear(low - margin..high + margin, 10),
        };
        (Axis::logarithmic(left / 1.6..right * 2.2), y)
    }

    fn radius(&self, area: f64) -> i32 {
        let (_, largest) = self.ends(|bubble| bubble.area);
        (LARGEST * (area / largest).sqrt()).round().max(2.0) as i32
    }

    fn colours(&self) -> Vec<RGBColor> {
        let mut groups: Vec<&str> = Vec::new();
        for bubble in self.bubbles {
            if !groups.contains(&bubble.group.as_str()) {
                groups.push(&bubble.group);
            }
        }
        let number = |bubble: &Bubble| groups.iter().position(|group| *group == bubble.group).unwrap_or_default();
        self.bubbles.iter().map(|bubble| colour(number(bubble))).collect()
    }

    /// Three areas at most, round numbers, the largest no larger than the largest bubble's.
    fn key(&self) -> Vec<f64> {
        let (least, largest) = self.ends(|bubble| bubble.area);
        let areas = std::iter::successors(Some(round_down(largest)), |area| Some(round_down(area / 4.0)));
        areas.take(3).take_while(|area| *area >= least / 4.0).collect()
    }

    fn draw_key<DB: DrawingBackend<ErrorType: 'static>>(&self, sheet: &Area<DB>) -> Drawn {
        let middle = (WIDTH - KEY / 2) as i32;
        let centred = |pixels: f64| letters(pixels).pos(Pos::new(HPos::Center, VPos::Center));
        let mut y = 70;
        for line in self.area_label.split_inclusive(' ') {
            sheet.draw(&Text::new(line.trim().to_owned(), (middle, y), centred(NOTE)))?;
            y += LINE;
        }
        for area in self.key() {
            let radius = self.radius(area);
            y += radius + 4;
            sheet.draw(&plot::Circle::new((middle, y), radius, BLACK.mix(0.12).filled()))?;
            sheet.draw(&plot::Circle::new((middle, y), radius, BLACK.mix(0.6).stroke_width(1)))?;
            y += radius + LINE - 4;
            sheet.draw(&Text::new(Axis::linear(0.0..area, 1).label(area), (middle, y), centred(NOTE)))?;
            y += LINE;
        }
        Ok(())
    }
}

impl Draw for BubblePlot<'_> {
    fn size(&self) -> (u32, u32) {
        (WIDTH, HEIGHT)
    }

    fn draw<DB: DrawingBackend<ErrorType: 'static>>(&self, sheet: &Area<DB>) -> Drawn {
        sheet.draw(&Text::new(self.title.to_owned(), (14, 14), letters(TITLE)))?;
        let style = letters(NOTE).pos(Pos::new(HPos::Right, VPos::Top));
        sheet.draw(&Text::new(self.note.to_owned(), (WIDTH as i32 - 14, 20), style))?;
        if self.bubbles.is_empty() {
            return Ok(());
        }
        let (x, y) = self.axes();
        let mut chart = ChartBuilder::on(sheet)
            .margin_top(50)
            .margin_right(KEY)
            .margin_bottom(8)
            .margin_left(8)
            .x_label_area_size(52)
            .y_label_area_size(84)
            .build_cartesian_2d(x, y)?;
        let mesh = &mut chart.configure_mesh();
        mesh.bold_line_style(grid()).light_line_style(TRANSPARENT).x_desc(self.x_label).y_desc(self.y_label);
        mesh.label_style(letters(LABEL)).axis_desc_style(letters(LABEL)).draw()?;
        let circle = |bubble: &Bubble| Circle {
            centre: chart.backend_coord(&(bubble.x, bubble.y)),
            radius: self.radius(bubble.area),
        };
        let circles: Vec<Circle> = self.bubbles.iter().map(circle).collect();
        let (across, down) = chart.plotting_area().get_pixel_range();
        let frame = Rectangle { left: across.start, top: down.start, right: across.end, bottom: down.end };
        for (circle, colour) in circles.iter().zip(self.colours()) {
            sheet.draw(&plot::Circle::new(circle.centre, circle.radius, colour.mix(0.35).filled()))?;
            sheet.draw(&plot::Circle::new(circle.centre, circle.radius, colour.stroke_width(1)))?;
        }
        let widths: Vec<i32> = self.bubbles.iter().map(|bubble| text_width(&bubble.name, NOTE).ceil() as i32).collect();
        let mut named = places(&widths, &circles, frame).into_iter().zip(&circles).zip(self.bubbles);
        named.try_for_each(|((place, circle), bubble)| draw_name(sheet, &bubble.name, place, circle))?;
        self.draw_key(sheet)
    }
}

/// The name, and a line to the bubble where it is not beside it.
fn draw_name<DB: DrawingBackend<ErrorType: 'static>>(
    sheet: &Area<DB>,
    name: &str,
    place: Rectangle,
    circle: &Circle,
) -> Drawn {
    let nearest = place.nearest(circle.centre);
    if distance(nearest, circle.centre) > circle.radius + LINE / 2 {
        sheet.draw(&PathElement::new(vec![circle.centre, nearest], BLACK.mix(0.5).stroke_width(1)))?;
    }
    sheet.draw(&Text::new(name.to_owned(), (place.left, place.top + 2), letters(NOTE)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::label_placement::tests::NETWORKS;

    fn lines_of(bubbles: &[Bubble], y_logarithmic: bool) -> Vec<String> {
        let plot = BubblePlot {
            title: "Networks",
            note: "",
            x_label: "multiply-adds",
            y_label: "time",
            y_logarithmic,
            area_label: "parameters (10⁶)",
            bubbles,
        };
        let svg = String::from_utf8(plot.file(DrawingFormat::Svg).unwrap()).unwrap();
        svg.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn bubble(name: &str, x: f64, y: f64, area: f64) -> Bubble {
        let group = name.split(|letter: char| !letter.is_alphabetic()).next().unwrap_or_default().to_owned();
        Bubble { name: name.into(), group, x, y, area }
    }

    #[test]
    fn the_drawing_has_every_name_once_and_a_key_of_round_areas() {
        let bubbles = NETWORKS.map(|(name, adds, time, area)| bubble(name, adds, time, area));
        let drawn = lines_of(&bubbles, true);
        let count = |wanted: &str| drawn.iter().filter(|line| *line == wanted).count();
        for (name, ..) in NETWORKS {
            assert_eq!(count(name), 1, "{name}");
        }
        // 50 stands at both axes and in the key, where 200 and 10 are too.
        assert_eq!(["0.5", "50", "200"].map(count), [1, 3, 2]);
        assert_eq!(drawn.iter().filter(|line| line.starts_with("<circle")).count(), 2 * (NETWORKS.len() + 3));
    }

    #[test]
    fn a_group_has_one_colour_and_every_bubble_lies_within_the_axes() {
        let bubbles = [
            bubble("vgg16", 15.5, 71.6, 138.4),
            bubble("resnet18", 1.8, 69.8, 11.7),
            bubble("vgg11", 7.6, 69.0, 132.9),
        ];
        let drawn = lines_of(&bubbles, false);
        let fills: Vec<&str> = drawn
            .iter()
            .filter(|line| line.starts_with("<circle") && line.contains("fill=\"#"))
            .map(|line| line.split_once("fill=\"").unwrap().1.split_once('"').unwrap().0)
            .collect();
        assert!(fills[0] == fills[2] && fills[0] != fills[1], "{fills:?}");
        // One bubble, or none, is a picture too.
        assert!(lines_of(&bubbles[..1], false).iter().any(|line| line == "vgg16"));
        assert!(lines_of(&[], true).iter().any(|line| line == "Networks"));
    }
}
