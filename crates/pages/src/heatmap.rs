//! Heatmap: attention weights as warm light over a grey and dim picture, on one scale for all words of a caption.

use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Luma, Rgb, RgbImage};

/// Attention weights over the positions of a picture, row after row.
#[derive(Clone, Copy, Debug)]
pub struct Heatmap<'a> {
    /// Rows of positions.
    pub height: usize,
    /// Columns of positions.
    pub width: usize,
    /// The weights, `height` × `width`.
    pub weights: &'a [f32],
    /// Where most weight is, as shares of the picture's width and height.
    pub peak: (f32, f32),
}

impl Heatmap<'_> {
    /// A weight as a multiple of even attention's.
    fn times_even(&self, weight: f32) -> f32 {
        weight * self.weights.len() as f32
    }

    pub(crate) fn largest(&self) -> f32 {
        self.times_even(self.weights.iter().copied().filter(|weight| weight.is_finite()).fold(0.0, f32::max))
    }
}

/// How hot a weight is drawn: one scale for all words, so that a word which looked everywhere does not seem to have looked somewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeatScale {
    /// What is drawn hottest, as a multiple of even attention's weight.
    hottest: f32,
}

/// Even attention is never drawn hotter than this share of the scale, and attention has a peak from twice its weight on.
const EVEN: f32 = 0.25;
const PEAK: f32 = 2.0;

impl HeatScale {
    /// The scale on which the largest weight of all these is the hottest.
    pub fn of<'a>(heatmaps: impl IntoIterator<Item = Heatmap<'a>>) -> Self {
        let largest = heatmaps.into_iter().map(|heatmap| heatmap.largest()).fold(0.0, f32::max);
        Self { hottest: largest.max(1.0 / EVEN) }
    }

    /// The weight that is drawn hottest, of attention over so many positions.
    pub(crate) fn hottest_of(&self, positions: usize) -> f32 {
        self.hottest / positions.max(1) as f32
    }

    /// From 0 to 1.
    fn share(&self, times_even: f32) -> f32 {
        if times_even.is_finite() { (times_even / self.hottest).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// The picture grey and dim, and over it the weights from dark red to pale yellow, with a ring at the peak where there is one.
///
/// The map's positions are spread over the whole picture, so `picture` is the part that the encoder saw.
pub fn overlay(picture: &RgbImage, heatmap: Heatmap<'_>, scale: HeatScale) -> RgbImage {
    let (columns, rows) = (heatmap.width.max(1), heatmap.height.max(1));
    let share = |x: u32, y: u32| {
        let weight = heatmap.weights.get(y as usize * columns + x as usize).copied().unwrap_or_default();
        scale.share(heatmap.times_even(weight))
    };
    let small = ImageBuffer::from_fn(columns as u32, rows as u32, |x, y| Luma([share(x, y)]));
    let heat: ImageBuffer<Luma<f32>, Vec<f32>> =
        // Cubic filters fall below 0 beside an edge, which looks like a place that was looked at less than its surroundings.
        resize(&small, picture.width(), picture.height(), FilterType::Triangle);
    let mut drawn = RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        lit(picture.get_pixel(x, y).0, heat.get_pixel(x, y).0[0].clamp(0.0, 1.0))
    });
    if heatmap.largest() >= PEAK {
        ring(&mut drawn, heatmap.peak);
    }
    drawn
}

/// A pixel with so much heat over it.
fn lit(pixel: [u8; 3], heat: f32) -> Rgb<u8> {
    let [red, green, blue] = pixel.map(f32::from);
    // Luminance after ITU-R BT.601.
    let grey = 0.299 * red + 0.587 * green + 0.114 * blue;
    let (colour, cover) = (warm(heat).map(f32::from), 0.7 * heat.sqrt());
    // Half of the contrast, lifted, so that what is dark already can still be seen.
    let dim = [red, green, blue].map(|channel| 30.0 + 0.5 * (0.75 * grey + 0.25 * channel));
    let mut mixed = [0; 3];
    for ((mixed, dim), colour) in mixed.iter_mut().zip(dim).zip(colour) {
        *mixed = (dim + cover * (colour - dim)).round() as u8;
    }
    Rgb(mixed)
}

/// From dark red over orange to pale yellow, ever lighter: ColorBrewer's YlOrRd turned round.
pub(crate) fn warm(heat: f32) -> [u8; 3] {
    const COLOURS: [[u8; 3]; 9] = [
        [128, 0, 38],
        [189, 0, 38],
        [227, 26, 28],
        [252, 78, 42],
        [253, 141, 60],
        [254, 178, 76],
        [254, 217, 118],
        [255, 237, 160],
        [255, 255, 204],
    ];
    let at = heat.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f32;
    let (below, share) = (at as usize, at.fract());
    let (from, to) = (COLOURS[below], COLOURS[(below + 1).min(COLOURS.len() - 1)]);
    let mut mixed = [0; 3];
    for ((mixed, from), to) in mixed.iter_mut().zip(from).zip(to) {
        *mixed = (f32::from(from) + share * (f32::from(to) - f32::from(from))).round() as u8;
    }
    mixed
}

/// A white ring with a dark edge, a thirty-second of the picture's shorter side in radius.
fn ring(picture: &mut RgbImage, peak: (f32, f32)) {
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let radius = (width.min(height) / 32.0).max(3.0);
    let stroke = (radius / 4.0).max(1.0);
    let (x, y) = (peak.0 * width, peak.1 * height);
    let reach = radius + 2.0 * stroke;
    let within =
        |from: f32, to: f32, side: u32| (from.max(0.0) as u32).min(side)..(to.ceil().max(0.0) as u32).min(side);
    for row in within(y - reach, y + reach, picture.height()) {
        for column in within(x - reach, x + reach, picture.width()) {
            let off = ((column as f32 + 0.5 - x).hypot(row as f32 + 0.5 - y) - radius).abs();
            let mut mix = |colour: f32, share: f32| {
                let pixel = picture.get_pixel_mut(column, row);
                pixel.0 =
                    pixel.0.map(|channel| (f32::from(channel) + share * (colour - f32::from(channel))).round() as u8);
            };
            mix(0.0, (stroke + 0.5 - off).clamp(0.0, 1.0));
            mix(255.0, (stroke / 2.0 + 0.5 - off).clamp(0.0, 1.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHITE: Rgb<u8> = Rgb([200; 3]);

    fn grid(weights: &[f32]) -> Heatmap<'_> {
        Heatmap { height: 4, width: 4, weights, peak: (0.125, 0.125) }
    }

    fn light(pixel: &Rgb<u8>) -> u32 {
        pixel.0.iter().map(|channel| u32::from(*channel)).sum()
    }

    #[test]
    fn the_picture_is_warm_where_the_weight_is_and_grey_and_dim_elsewhere() {
        let mut weights = [0.0; 16];
        weights[15] = 1.0;
        let heatmap = Heatmap { peak: (0.875, 0.875), ..grid(&weights) };
        let photo = RgbImage::from_pixel(300, 300, Rgb([60, 120, 240]));
        let drawn = overlay(&photo, heatmap, HeatScale::of([heatmap]));
        let [red, green, blue] = drawn.get_pixel(20, 20).0.map(i32::from);
        assert!(
            (red - green).abs() < 12 && (green - blue).abs() < 20 && (75..100).contains(&green),
            "{red} {green} {blue}"
        );
        // Beside the ring, whose middle is at 262.
        let [red, _, blue] = drawn.get_pixel(285, 285).0;
        assert!(red > 200 && red > blue, "{red} {blue}");
        assert_eq!(drawn.get_pixel(262 + 10, 262).0, [255; 3]);
    }

    #[test]
    fn even_attention_looks_even_and_weaker_than_a_peak() {
        let (even, mut sharp) = ([1.0 / 16.0; 16], [0.02; 16]);
        sharp[0] = 0.7;
        let photo = RgbImage::from_pixel(160, 160, WHITE);
        let scale = HeatScale::of([grid(&even), grid(&sharp)]);
        let (flat, peaked) = (overlay(&photo, grid(&even), scale), overlay(&photo, grid(&sharp), scale));
        let first = flat.get_pixel(0, 0);
        assert!(flat.pixels().all(|pixel| pixel == first), "an even map is one colour and has no ring");
        assert!(light(peaked.get_pixel(4, 4)) > light(first) + 200);
        // Nor does it seem to be a peak where all words are even.
        let alone = overlay(&photo, grid(&even), HeatScale::of([grid(&even)]));
        assert!(light(alone.get_pixel(80, 80)) < 480, "{:?}", alone.get_pixel(80, 80));
    }

    #[test]
    fn the_scale_is_one_and_its_colours_grow_lighter() {
        let weights = [1.0, 0.0];
        let pair = Heatmap { height: 1, width: 2, weights: &weights, peak: (0.25, 0.5) };
        // Two positions, of which one has all: no more than four times even, which the scale has at least.
        assert_eq!(HeatScale::of([pair]), HeatScale::of([]));
        let mut sharp = [0.0; 16];
        sharp[3] = 0.5;
        let scale = HeatScale::of([pair, grid(&sharp)]);
        assert_eq!((scale.share(8.0), scale.share(4.0), scale.share(f32::NAN)), (1.0, 0.5, 0.0));
        assert_eq!(scale.hottest_of(16), 0.5);
        let heats: Vec<u32> = (0..=8).map(|step| light(&Rgb(warm(step as f32 / 8.0)))).collect();
        assert!(heats.windows(2).all(|pair| pair[0] < pair[1]), "{heats:?}");
    }

    #[test]
    fn pictures_of_every_form_are_drawn() {
        let weights = [0.0, 1.0, 0.0, 0.0, 0.0];
        let heatmap = Heatmap { height: 1, width: 5, weights: &weights, peak: (0.3, 0.5) };
        for (width, height) in [(1, 1), (3, 400), (400, 3), (2, 2)] {
            let drawn = overlay(&RgbImage::new(width, height), heatmap, HeatScale::of([heatmap]));
            assert_eq!(drawn.dimensions(), (width, height));
        }
    }
}
