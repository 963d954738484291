//! Greedy label placement: a place for each name beside its circle, where it covers no other name.

/// The height of a line of text, in pixels.
pub(crate) const LINE: i32 = 17;

/// What a place for a name costs: each pixel on another name or outside the axes, each on a circle, each that it is away.
const ON_NAME: i64 = 1000;
const ON_CIRCLE: i64 = 1;
const AWAY: i64 = 4;

/// A circle in pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circle {
    pub centre: (i32, i32),
    pub radius: i32,
}

impl Circle {
    fn bounds(&self) -> Rectangle {
        let ((x, y), radius) = (self.centre, self.radius);
        Rectangle { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }
    }
}

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rectangle {
    pub left: i32,
    pub top: i32,
    pub right: i32,
    pub bottom: i32,
}

impl Rectangle {
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

    /// The point of it that is nearest to another.
    pub fn nearest(&self, point: (i32, i32)) -> (i32, i32) {
        (point.0.clamp(self.left, self.right), point.1.clamp(self.top, self.bottom))
    }
}

/// The distance of two points, in whole pixels.
pub(crate) fn distance(a: (i32, i32), b: (i32, i32)) -> i32 {
    f64::from(a.0 - b.0).hypot(f64::from(a.1 - b.1)) as i32
}

/// A place for each name of these widths: the cheapest of many around its circle, one name after the other, those of the smallest
/// circles first.
pub(crate) fn places(widths: &[i32], circles: &[Circle], frame: Rectangle) -> Vec<Rectangle> {
    let mut order: Vec<usize> = (0..widths.len().min(circles.len())).collect();
    order.sort_by_key(|&index| circles[index].radius);
    let mut found: Vec<Option<Rectangle>> = vec![None; order.len()];
    for index in order {
        let circle = circles[index];
        let cost = |place: &Rectangle| {
            let taken: i64 = found.iter().flatten().map(|other| place.overlap(other)).sum();
            let covered: i64 = circles.iter().map(|circle| place.overlap(&circle.bounds())).sum();
            let outside = place.area() - place.overlap(&frame);
            let away = distance(place.nearest(circle.centre), circle.centre);
            ON_NAME * (taken + outside) + ON_CIRCLE * covered + AWAY * i64::from(away)
        };
        found[index] = candidates(circle, widths[index]).min_by_key(cost);
    }
    found.into_iter().flatten().collect()
}

/// Places around a circle in growing distance, beginning at its right.
fn candidates(circle: Circle, width: i32) -> impl Iterator<Item = Rectangle> {
    const DIRECTIONS: i32 = 24;
    (0..14).flat_map(move |ring| {
        (0..DIRECTIONS).map(move |direction| {
            let angle = std::f64::consts::TAU * f64::from(direction) / f64::from(DIRECTIONS);
            let distance = f64::from(circle.radius + 3 + ring * LINE * 2 / 3);
            let x = circle.centre.0 + (distance * angle.cos()) as i32;
            let y = circle.centre.1 + (distance * angle.sin()) as i32;
            // The side or corner that looks at the circle lies on the ring.
            let left = x - (f64::from(width) * (1.0 - angle.cos()) / 2.0) as i32;
            let top = y - (f64::from(LINE) * (1.0 - angle.sin()) / 2.0) as i32;
            Rectangle { left, top, right: left + width, bottom: top + LINE }
        })
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Networks with multiply-adds (10⁹), milliseconds and parameters (10⁶): three columns that are as crowded as the real ones.
    pub(crate) const NETWORKS: [(&str, f64, f64, f64); 42] = [
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
        let y = |value: f64| 800 - ((value / 2.5).log10() * 300.0) as i32;
        let names = NETWORKS.map(|network| network.0);
        let circles = NETWORKS.map(|(_, adds, time, size)| Circle {
            centre: (x(adds), y(time)),
            radius: (size / 315.0).sqrt().mul_add(28.0, 2.0) as i32,
        });
        let frame = Rectangle { left: 0, top: 0, right: 1050, bottom: 800 };
        let widths = names.map(|name| crate::raster::text_width(name, crate::chart::NOTE) as i32);
        let found = places(&widths, &circles, frame);
        assert_eq!(found.len(), names.len());
        for (index, place) in found.iter().enumerate() {
            assert_eq!(place.overlap(&frame), place.area(), "{} leaves the axes", names[index]);
            for (name, other) in names.iter().zip(&found).take(index) {
                assert_eq!(place.overlap(other), 0, "{} lies on {name}", names[index]);
            }
        }
    }
}
