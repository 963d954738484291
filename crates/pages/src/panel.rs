//! A panel: lines over two axes, and a key beside them that hides none of them.

use crate::axis::Axis;
use crate::chart::{Area, COLOURS, Drawn, LABEL, NOTE, TITLE, grid, letters};
use crate::raster::text_width;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The height of a line of the key.
pub(crate) const KEY_LINE: i32 = 20;

/// The stroke before a line's name.
const SAMPLE: i32 = 28;

/// Where the frame begins, from the top.
const HEAD: u32 = 46;

/// The margin at the left, and the numbers and name of the axis that goes up.
const MARGIN: u32 = 8;
const AXIS: u32 = 84;

/// Where the frame begins, from the left.
pub(crate) const LEFT: u32 = MARGIN + AXIS;

/// So many points have a marker each; of more, every so manieth.
const MARKED: usize = 40;
const MARKERS: usize = 12;

/// A line of a panel.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub label: String,
    pub points: Vec<(f64, f64)>,
    pub style: ShapeStyle,
    pub dashed: bool,
    pub marker: Option<Marker>,
}

/// The form of the marks on a line, so that colour is not all that tells lines apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Marker {
    Circle,
    Square,
    Triangle,
    Cross,
    Diamond,
}

/// The colour of the line of this number.
pub(crate) fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

impl Marker {
    /// The marker of the line of this number: with its colour, no other of 35 lines has both.
    pub fn of(index: usize) -> Self {
        [Self::Circle, Self::Square, Self::Triangle, Self::Cross, Self::Diamond][index % 5]
    }

    fn draw<DB: DrawingBackend<ErrorType: 'static>>(
        self,
        area: &Area<DB>,
        (x, y): (i32, i32),
        color: RGBAColor,
    ) -> Drawn {
        let filled = color.filled();
        match self {
            Self::Circle => area.draw(&Circle::new((x, y), 4, filled))?,
            Self::Square => area.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], filled))?,
            Self::Triangle => area.draw(&Polygon::new([(x, y - 5), (x + 5, y + 4), (x - 5, y + 4)], filled))?,
            Self::Cross => area.draw(&Cross::new((x, y), 4, color.stroke_width(2)))?,
            Self::Diamond => area.draw(&Polygon::new([(x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y)], filled))?,
        }
        Ok(())
    }
}

/// Lines and what stands around them.
#[derive(Clone, Debug)]
pub(crate) struct Panel<'a> {
    pub title: &'a str,
    /// What is said at the right of the title, such as what is not drawn.
    pub note: Option<String>,
    pub x: Axis,
    pub y: Axis,
    pub x_label: &'a str,
    pub y_label: &'a str,
    pub lines: Vec<Line>,
    /// Whether each name stands where its line ends.
    pub names_at_ends: bool,
    /// The width of the key, as [`key_width`] gives it.
    pub key: u32,
}

/// The width of a key of these lines.
pub(crate) fn key_width<'a>(lines: impl IntoIterator<Item = &'a Line>) -> u32 {
    let names = lines.into_iter().map(|line| text_width(&line.label, LABEL));
    SAMPLE as u32 + 30 + names.fold(0.0, f64::max).ceil() as u32
}

impl Panel<'_> {
    pub fn draw<DB: DrawingBackend<ErrorType: 'static>>(&self, area: &Area<DB>) -> Drawn {
        let (width, height) = area.dim_in_pixel();
        area.draw(&Text::new(self.title.to_owned(), (14, 14), letters(TITLE)))?;
        if let Some(note) = &self.note {
            let style = letters(NOTE).pos(Pos::new(HPos::Right, VPos::Top));
            area.draw(&Text::new(note.clone(), (width as i32 - 14, 20), style))?;
        }
        let key = self.key.min(width / 2);
        let mut chart = ChartBuilder::on(area)
            .margin_top(HEAD)
            .margin_right(key)
            .margin_bottom(8)
            .margin_left(MARGIN)
            .x_label_area_size(if self.x_label.is_empty() { 30 } else { 52 })
            .y_label_area_size(AXIS)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        let mesh = &mut chart.configure_mesh();
        mesh.bold_line_style(grid()).light_line_style(TRANSPARENT).x_desc(self.x_label).y_desc(self.y_label);
        mesh.label_style(letters(LABEL)).axis_desc_style(letters(LABEL)).draw()?;
        let (left, top) = area.get_base_pixel();
        let pixel = |point: &(f64, f64)| {
            let (x, y) = chart.backend_coord(point);
            (x - left, y - top)
        };
        for (index, line) in self.lines.iter().enumerate() {
            let points: Vec<(i32, i32)> = line.points.iter().map(pixel).collect();
            line.draw(area, &points, index)?;
        }
        let ends = self.lines.iter().map(|line| line.points.last().map_or(0, |point| pixel(point).1));
        let down = HEAD as i32 + 8..height as i32 - 40;
        let rows = match self.names_at_ends {
            true => spread(&ends.collect::<Vec<_>>(), down.start, down.end),
            false => (down.start..).step_by(KEY_LINE as usize).take(self.lines.len()).collect(),
        };
        let edge = (width - key) as i32 + 8;
        self.lines.iter().zip(rows).try_for_each(|(line, row)| line.draw_name(area, (edge, row)))
    }
}

impl Line {
    fn draw<DB: DrawingBackend<ErrorType: 'static>>(
        &self,
        area: &Area<DB>,
        points: &[(i32, i32)],
        index: usize,
    ) -> Drawn {
        let path = simplified(points);
        match self.dashed {
            true => area.draw(&DashedPathElement::new(path, 8, 5, self.style))?,
            false => area.draw(&PathElement::new(path, self.style))?,
        }
        let Some(marker) = self.marker else { return Ok(()) };
        let every = if points.len() <= MARKED { 1 } else { points.len().div_ceil(MARKERS) };
        // Marks of lines that run together do not hide each other.
        let first = if every == 1 { 0 } else { index * 2 % every };
        points.iter().skip(first).step_by(every).try_for_each(|point| marker.draw(area, *point, self.style.color))
    }

    fn draw_name<DB: DrawingBackend<ErrorType: 'static>>(&self, area: &Area<DB>, (x, y): (i32, i32)) -> Drawn {
        let dashes: &[(i32, i32)] =
            if self.dashed { &[(0, 8), (13, SAMPLE - 7), (SAMPLE - 2, SAMPLE)] } else { &[(0, SAMPLE)] };
        for (from, to) in dashes {
            area.draw(&PathElement::new([(x + from, y), (x + to, y)], self.style))?;
        }
        if let Some(marker) = self.marker {
            marker.draw(area, (x + SAMPLE / 2, y), self.style.color)?;
        }
        let style = letters(LABEL).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(self.label.clone(), (x + SAMPLE + 8, y), style))?;
        Ok(())
    }
}

/// A path of fewer points that goes by all of them within a pixel: whole pixels make stairs of a line that hardly rises
/// (Ramer 1972, "An iterative procedure for the polygonal approximation of plane curves").
fn simplified(points: &[(i32, i32)]) -> Vec<(i32, i32)> {
    let mut kept = vec![false; points.len()];
    let mut parts = vec![(0, points.len().saturating_sub(1))];
    while let Some((first, last)) = parts.pop() {
        let (Some(&(x, y)), Some(&(right, below))) = (points.get(first), points.get(last)) else { break };
        (kept[first], kept[last]) = (true, true);
        let (across, down) = (f64::from(right - x), f64::from(below - y));
        let length = across.hypot(down);
        let off = |index: &usize| {
            let (dx, dy) = (f64::from(points[*index].0 - x), f64::from(points[*index].1 - y));
            if length > 0.0 { (across * dy - down * dx).abs() / length } else { dx.hypot(dy) }
        };
        let farthest = (first + 1..last).max_by(|a, b| off(a).total_cmp(&off(b)));
        if let Some(farthest) = farthest.filter(|index| off(index) > 1.0) {
            parts.extend([(first, farthest), (farthest, last)]);
        }
    }
    points.iter().zip(kept).filter_map(|(point, kept)| kept.then_some(*point)).collect()
}

/// Rows as near to those wanted as lines of letters can be, all from `top` to `bottom` where they fit.
fn spread(wanted: &[i32], top: i32, bottom: i32) -> Vec<i32> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&index| wanted[index]);
    let mut rows = wanted.to_vec();
    let mut least = top;
    for &index in &order {
        rows[index] = rows[index].max(least);
        least = rows[index] + KEY_LINE;
    }
    let mut most = bottom.max(top + KEY_LINE * (wanted.len() as i32 - 1));
    for &index in order.iter().rev() {
        rows[index] = rows[index].min(most);
        most = rows[index] - KEY_LINE;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_at_their_lines_and_never_on_each_other() {
        assert_eq!(spread(&[100, 300, 200], 50, 400), [100, 300, 200]);
        assert_eq!(spread(&[100, 101, 102], 50, 400), [100, 120, 140]);
        assert_eq!(spread(&[399, 10, 400], 50, 400), [380, 50, 400]);
        assert_eq!(spread(&[0; 4], 50, 60), [50, 70, 90, 110]);
        assert!(spread(&[], 50, 60).is_empty());
    }

    #[test]
    fn a_line_that_hardly_rises_has_no_stairs_and_a_corner_stays() {
        let rising: Vec<(i32, i32)> = (0..=100).map(|x| (x * 5, 40 - x / 12)).collect();
        assert_eq!(simplified(&rising), [(0, 40), (500, 32)]);
        assert_eq!(simplified(&[(0, 0), (5, 0), (10, 0), (10, 9), (30, 9)]), [(0, 0), (10, 0), (10, 9), (30, 9)]);
        assert_eq!(simplified(&[(3, 3), (9, 9), (3, 3)]), [(3, 3), (9, 9), (3, 3)]);
        assert_eq!((simplified(&[]), simplified(&[(1, 2)])), (vec![], vec![(1, 2)]));
    }

    #[test]
    fn no_two_of_many_lines_have_colour_and_marker_alike() {
        let looks: Vec<(RGBColor, Marker)> = (0..35).map(|index| (colour(index), Marker::of(index))).collect();
        for (index, look) in looks.iter().enumerate() {
            assert!(!looks[..index].contains(look), "{index}");
        }
    }
}
