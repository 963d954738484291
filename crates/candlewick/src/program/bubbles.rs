//! Bubbles on logarithmic axes, each with its name where no other name is.

use super::axis::{self, Powers};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::path::Path;

/// Width and height of the picture, in pixels.
const SIZE: (u32, u32) = (1100, 760);

/// The height of a line of text, and how wide a letter is at most on the mean.
const LINE: i32 = 14;
const LETTER: f64 = 6.6;

/// What a place for a name costs: each pixel on another name or outside the axes, each on a bubble, each that it is away.
const ON_NAME: i64 = 1000;
const ON_BUBBLE: i64 = 1;
const AWAY: i64 = 4;

/// Something with a name, a place and a size.
#[derive(Clone, Debug)]
pub struct Bubble {
    /// What it is called.
    pub name: String,
    /// Where it is, in the units of the axes.
    pub at: (f64, f64),
    /// What its area stands for.
    pub area: f64,
}

/// A rectangle of pixels: left, top, right, bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Box2 {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Box2 {
    fn around(centre: (i32, i32), radius: i32) -> Self {
        Self { left: centre.0 - radius, top: centre.1 - radius, right: centre.0 + radius, bottom: centre.1 + radius }
    }

    fn area(&self) -> i64 {
        i64::from((self.right - self.left).max(0)) * i64::from((self.bottom - self.top).max(0))
    }

    /// The pixels that both have.
    fn overlap(&self, other: &Self) -> i64 {
        Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
        .area()
    }
}

/// Draws the bubbles over axes with these names.
///
/// # Errors
/// When the file cannot be written.
pub fn draw(bubbles: &[Bubble], (x, y): (&str, &str), path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let range = |of: &dyn Fn(&Bubble) -> f64| {
        let values = bubbles.iter().map(|bubble| of(bubble).log10());
        let (least, most) = values.fold((f64::MAX, f64::MIN), |(a, b), value| (a.min(value), b.max(value)));
        least - 0.2..most + 0.4
    };
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(20)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(Powers::parted(range(&|b| b.at.0)), Powers::parted(range(&|b| b.at.1)))?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc(x)
        .y_desc(y)
        .x_label_formatter(&axis::number)
        .y_label_formatter(&axis::number)
        .draw()?;
    let largest = bubbles.iter().map(|bubble| bubble.area).fold(f64::MIN_POSITIVE, f64::max);
    let circles: Vec<((i32, i32), i32)> = bubbles
        .iter()
        .map(|bubble| {
            let at = chart.backend_coord(&(bubble.at.0.log10(), bubble.at.1.log10()));
            (at, (30.0 * (bubble.area / largest).sqrt()).max(2.0) as i32)
        })
        .collect();
    let (across, down) = chart.plotting_area().get_pixel_range();
    let frame = Box2 { left: across.start, top: down.start, right: across.end, bottom: down.end };
    let names: Vec<&str> = bubbles.iter().map(|bubble| bubble.name.as_str()).collect();
    circles.iter().enumerate().try_for_each(|(index, circle)| draw_circle(&area, *circle, index))?;
    for ((place, circle), name) in places(&names, &circles, frame).iter().zip(&circles).zip(&names) {
        draw_name(&area, name, (*place, *circle))?;
    }
    area.present()?;
    Ok(())
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw_circle(area: &Area, (at, radius): ((i32, i32), i32), index: usize) -> Result<(), Box<dyn std::error::Error>> {
    let colour = Palette99::pick(index);
    area.draw(&Circle::new(at, radius, colour.mix(0.35).filled()))?;
    area.draw(&Circle::new(at, radius, colour.stroke_width(1)))?;
    Ok(())
}

/// The name, and a line to the bubble where it is not beside it.
fn draw_name(
    area: &Area,
    name: &str,
    (place, (at, radius)): (Box2, ((i32, i32), i32)),
) -> Result<(), Box<dyn std::error::Error>> {
    let nearest = (at.0.clamp(place.left, place.right), at.1.clamp(place.top, place.bottom));
    if away(nearest, at) > radius + LINE / 2 {
        area.draw(&PathElement::new(vec![at, nearest], BLACK.mix(0.5).stroke_width(1)))?;
    }
    area.draw(&Text::new(name.to_owned(), (place.left, place.top), ("sans-serif", 13).into_font()))?;
    Ok(())
}

fn away(a: (i32, i32), b: (i32, i32)) -> i32 {
    f64::from(a.0 - b.0).hypot(f64::from(a.1 - b.1)) as i32
}

/// A place for each name: the cheapest of many around its bubble, one name after the other, those of the smallest bubbles first.
fn places(names: &[&str], circles: &[((i32, i32), i32)], frame: Box2) -> Vec<Box2> {
    let mut order: Vec<usize> = (0..names.len().min(circles.len())).collect();
    order.sort_by_key(|&index| circles[index].1);
    let mut found: Vec<Option<Box2>> = vec![None; order.len()];
    for index in order {
        let (at, radius) = circles[index];
        let width = (names[index].chars().count() as f64 * LETTER) as i32;
        let cost = |place: &Box2| {
            let taken: i64 = found.iter().flatten().map(|other| place.overlap(other)).sum();
            let covered: i64 =
                circles.iter().map(|&(centre, radius)| place.overlap(&Box2::around(centre, radius))).sum();
            let nearest = (at.0.clamp(place.left, place.right), at.1.clamp(place.top, place.bottom));
            let outside = place.area() - place.overlap(&frame);
            ON_NAME * (taken + outside) + ON_BUBBLE * covered + AWAY * i64::from(away(nearest, at))
        };
        found[index] = candidates(at, radius, width).min_by_key(cost);
    }
    found.into_iter().flatten().collect()
}

/// Places around a bubble in growing distance, beginning at its right.
fn candidates(at: (i32, i32), radius: i32, width: i32) -> impl Iterator<Item = Box2> {
    const DIRECTIONS: i32 = 24;
    (0..14).flat_map(move |ring| {
        (0..DIRECTIONS).map(move |direction| {
            let angle = std::f64::consts::TAU * f64::from(direction) / f64::from(DIRECTIONS);
            let distance = f64::from(radius + 3 + ring * LINE * 2 / 3);
            let (x, y) = (at.0 + (distance * angle.cos()) as i32, at.1 + (distance * angle.sin()) as i32);
            // The side or corner that looks at the bubble lies on the ring.
            let left = x - (f64::from(width) * (1.0 - angle.cos()) / 2.0) as i32;
            let top = y - (f64::from(LINE) * (1.0 - angle.sin()) / 2.0) as i32;
            Box2 { left, top, right: left + width, bottom: top + LINE }
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Networks with multiply-adds (10⁹), milliseconds and parameters (10⁶): three columns that are as crowded as the real ones.
    const NETWORKS: [(&str, f64, f64, f64); 42] = [
        ("alexnet", 0.71, 9.0, 61.1),
        ("vgg11", 7.61, 62.0, 132.9),
        ("vgg11_bn", 7.61, 62.5, 132.9),
        ("vgg13", 11.31, 95.0, 133.0),
        ("vgg13_bn", 11.31, 96.0, 133.1),
        ("vgg16", 15.47, 121.0, 138.4),
        ("vgg16_bn", 15.47, 122.0, 138.4),
        ("vgg19", 19.63, 148.0, 143.7),
        ("vgg19_bn", 19.63, 149.0, 143.7),
        ("googlenet", 1.5, 19.0, 6.6),
        ("resnet18", 1.81, 16.0, 11.7),
        ("resnet34", 3.66, 31.0, 21.8),
        ("resnet50", 4.09, 42.0, 25.6),
        ("resnet101", 7.8, 77.0, 44.5),
        ("resnet152", 11.51, 113.0, 60.2),
        ("resnext50_32x4d", 4.23, 60.0, 25.0),
        ("resnext101_32x8d", 16.41, 180.0, 88.8),
        ("resnext101_64x4d", 15.46, 190.0, 83.5),
        ("wide_resnet50_2", 11.4, 94.0, 68.9),
        ("wide_resnet101_2", 22.75, 180.0, 126.9),
        ("squeezenet1_0", 0.82, 10.0, 1.25),
        ("squeezenet1_1", 0.35, 5.6, 1.24),
        ("densenet121", 2.83, 42.0, 8.0),
        ("densenet161", 7.73, 95.0, 28.7),
        ("densenet169", 3.36, 52.0, 14.1),
        ("densenet201", 4.29, 67.0, 20.0),
        ("fractalnet20", 3.7, 44.0, 38.6),
        ("fractalnet40", 7.5, 88.0, 50.0),
        ("convnet", 0.31, 4.1, 0.2),
        ("vit_tiny_patch16_224", 1.26, 28.0, 5.7),
        ("vit_small_patch16_224", 4.61, 70.0, 22.1),
        ("vit_base_patch16_224", 17.58, 180.0, 86.6),
        ("vit_large_patch16_224", 61.6, 560.0, 304.3),
        ("dinov2_vits14", 6.1, 90.0, 22.1),
        ("dinov2_vitb14", 23.1, 240.0, 86.6),
        ("dinov2_vitl14", 81.0, 730.0, 304.4),
        ("clip_vit_base_patch32", 4.41, 60.0, 88.2),
        ("clip_vit_base_patch16", 17.58, 182.0, 86.6),
        ("clip_vit_large_patch14", 81.1, 735.0, 303.9),
        ("clip_vit_large_patch14_336", 81.1, 740.0, 304.3),
        ("siglip_base_patch16_224", 17.5, 181.0, 92.9),
        ("siglip_large_patch16_256", 61.5, 555.0, 315.0),
    ];

    #[test]
    fn no_name_lies_on_another_or_outside() {
        let x = |value: f64| ((value / 0.2).log10() * 380.0) as i32;
        let y = |value: f64| 700 - ((value / 2.5).log10() * 260.0) as i32;
        let names = NETWORKS.map(|network| network.0);
        let circles =
            NETWORKS.map(|(_, adds, time, size)| ((x(adds), y(time)), (size / 315.0).sqrt().mul_add(28.0, 2.0) as i32));
        let frame = Box2 { left: 0, top: 0, right: 1010, bottom: 700 };
        let found = places(&names, &circles, frame);
        assert_eq!(found.len(), names.len());
        for (index, place) in found.iter().enumerate() {
            assert_eq!(place.overlap(&frame), place.area(), "{} leaves the axes", names[index]);
            for (name, other) in names.iter().zip(&found).take(index) {
                assert_eq!(place.overlap(other), 0, "{} lies on {name}", names[index]);
            }
        }
    }

    #[test]
    fn the_drawing_has_every_name_once() {
        let bubbles = NETWORKS.map(|(name, adds, time, area)| Bubble { name: name.into(), at: (adds, time), area });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("networks.svg");
        draw(&bubbles, ("multiply-adds", "time"), &path).unwrap();
        let drawn = std::fs::read_to_string(&path).unwrap();
        for (name, ..) in NETWORKS {
            assert_eq!(drawn.lines().filter(|line| line.trim() == name).count(), 1, "{name}");
        }
    }
}
