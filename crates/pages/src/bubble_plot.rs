//! Bubble plot: bubbles on logarithmic axes, each with its name where no other name is.

use crate::Result;
use crate::axis::{LogAxis, power_label};
use crate::chart::{Area, Drawn, svg};
use crate::label_placement::{Circle, LINE, Rectangle, distance, places};
use plotters::prelude::{self as plot, *};

/// Width and height of the picture, in pixels.
const WIDTH: u32 = 1100;
const HEIGHT: u32 = 760;

/// The radius of the largest bubble, in pixels.
const LARGEST: f64 = 30.0;

/// Something with a name, a place and a size, all above 0.
#[derive(Clone, Debug)]
pub struct Bubble {
    /// What it is called.
    pub name: String,
    /// Where it is across, in the unit of the axis.
    pub x: f64,
    /// Where it is up, in the unit of the axis.
    pub y: f64,
    /// What its area stands for.
    pub area: f64,
}

/// Bubbles over axes with these labels, as the content of an SVG file.
///
/// # Errors
/// When it cannot be drawn.
pub fn bubble_plot(bubbles: &[Bubble], x_label: &str, y_label: &str) -> Result<String> {
    let axis = |of: fn(&Bubble) -> f64| {
        let (least, most) = bubbles
            .iter()
            .map(|bubble| of(bubble).log10())
            .fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(x), b.max(x)));
        LogAxis::one_two_five(least - 0.2..most + 0.4)
    };
    svg(WIDTH, HEIGHT, |sheet| {
        let mut chart = ChartBuilder::on(sheet)
            .margin(20)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(axis(|bubble| bubble.x), axis(|bubble| bubble.y))?;
        chart
            .configure_mesh()
            .disable_mesh()
            .x_desc(x_label)
            .y_desc(y_label)
            .x_label_formatter(&power_label)
            .y_label_formatter(&power_label)
            .draw()?;
        let largest = bubbles.iter().map(|bubble| bubble.area).fold(f64::MIN_POSITIVE, f64::max);
        let circle = |bubble: &Bubble| Circle {
            centre: chart.backend_coord(&(bubble.x.log10(), bubble.y.log10())),
            radius: (LARGEST * (bubble.area / largest).sqrt()).max(2.0) as i32,
        };
        let circles: Vec<Circle> = bubbles.iter().map(circle).collect();
        let (across, down) = chart.plotting_area().get_pixel_range();
        let frame = Rectangle { left: across.start, top: down.start, right: across.end, bottom: down.end };
        let names: Vec<&str> = bubbles.iter().map(|bubble| bubble.name.as_str()).collect();
        circles.iter().enumerate().try_for_each(|(index, circle)| draw_circle(sheet, circle, index))?;
        let mut places = places(&names, &circles, frame).into_iter().zip(&circles).zip(&names);
        places.try_for_each(|((place, circle), name)| draw_name(sheet, name, place, circle))
    })
}

fn draw_circle(sheet: &Area<'_>, circle: &Circle, index: usize) -> Drawn {
    let colour = Palette99::pick(index);
    sheet.draw(&plot::Circle::new(circle.centre, circle.radius, colour.mix(0.35).filled()))?;
    sheet.draw(&plot::Circle::new(circle.centre, circle.radius, colour.stroke_width(1)))?;
    Ok(())
}

/// The name, and a line to the bubble where it is not beside it.
fn draw_name(sheet: &Area<'_>, name: &str, place: Rectangle, circle: &Circle) -> Drawn {
    let nearest = place.nearest(circle.centre);
    if distance(nearest, circle.centre) > circle.radius + LINE / 2 {
        sheet.draw(&PathElement::new(vec![circle.centre, nearest], BLACK.mix(0.5).stroke_width(1)))?;
    }
    sheet.draw(&Text::new(name.to_owned(), (place.left, place.top), ("sans-serif", 13).into_font()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::label_placement::tests::NETWORKS;

    #[test]
    fn the_drawing_has_every_name_once() {
        let bubbles = NETWORKS.map(|(name, adds, time, area)| Bubble { name: name.into(), x: adds, y: time, area });
        let drawn = bubble_plot(&bubbles, "multiply-adds", "time").unwrap();
        for (name, ..) in NETWORKS {
            assert_eq!(drawn.lines().filter(|line| line.trim() == name).count(), 1, "{name}");
        }
    }
}
