//! Random changes of training pictures that do not change what they show.

use candlewick_encoders::{Preprocessing, Resize};
use candlewick_parameters::Rng;
use image::{RgbImage, imageops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What is done to a picture, anew each time it is seen, before preprocessing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// The least share of the area that a random part has, with sides in a ratio from 3/4 to 4/3, which is then resized to the
    /// network's input (torchvision's RandomResizedCrop; Szegedy et al. 2015).
    pub resized_crop: Option<f64>,
    /// By how many pixels a picture is moved at most, across and down, black where nothing is left of it.
    pub shift: u32,
    /// Whether half of the pictures are mirrored.
    pub flip: bool,
}

impl Augmentation {
    /// The changed picture, and the preprocessing that goes with it.
    pub(crate) fn apply(
        &self,
        picture: RgbImage,
        preprocessing: &Preprocessing,
        rng: &mut Rng,
    ) -> (RgbImage, Preprocessing) {
        let (mut picture, mut preprocessing) = (picture, Cow::Borrowed(preprocessing));
        if let Some(least) = self.resized_crop {
            picture = random_part(&picture, least, rng);
            if let Some((height, width)) = preprocessing.crop {
                preprocessing.to_mut().size = Some(Resize::Exact(height, width));
            }
        }
        if self.shift > 0 {
            let mut by = || i64::from(self.shift) - rng.below(2 * self.shift as usize + 1) as i64;
            let (x, y) = (by(), by());
            let mut moved = RgbImage::new(picture.width(), picture.height());
            imageops::replace(&mut moved, &picture, x, y);
            picture = moved;
        }
        if self.flip && rng.chance(0.5) {
            imageops::flip_horizontal_in_place(&mut picture);
        }
        (picture, preprocessing.into_owned())
    }
}

/// A part of the picture with at least the share `least` of its area; the largest centre of a fitting ratio where ten tries
/// do not find one.
fn random_part(picture: &RgbImage, least: f64, rng: &mut Rng) -> RgbImage {
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let bound = (4.0f64 / 3.0).ln();
    for _ in 0..10 {
        let area = width * height * (least + (1.0 - least) * f64::from(rng.uniform()));
        let ratio = (bound * (2.0 * f64::from(rng.uniform()) - 1.0)).exp();
        let (w, h) = ((area * ratio).sqrt().round() as u32, (area / ratio).sqrt().round() as u32);
        if (1..=picture.width()).contains(&w) && (1..=picture.height()).contains(&h) {
            let x = rng.below((picture.width() - w + 1) as usize) as u32;
            let y = rng.below((picture.height() - h + 1) as usize) as u32;
            return imageops::crop_imm(picture, x, y, w, h).to_image();
        }
    }
    let (w, h) = (width.min(height * 4.0 / 3.0) as u32, height.min(width * 4.0 / 3.0) as u32);
    imageops::crop_imm(picture, (picture.width() - w) / 2, (picture.height() - h) / 2, w, h).to_image()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn picture() -> RgbImage {
        RgbImage::from_fn(8, 6, |x, y| Rgb([x as u8, y as u8, 1]))
    }

    #[test]
    fn nothing_is_done_by_default() {
        let (wanted, preprocessing) = (picture(), Preprocessing::imagenet());
        let mut rng = Rng::derive(1, "augment", 0);
        let found = Augmentation::default().apply(picture(), &preprocessing, &mut rng);
        assert_eq!(found, (wanted, preprocessing));
    }

    #[test]
    fn shifts_go_everywhere_and_leave_black() {
        let shifting = Augmentation { shift: 2, ..Default::default() };
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..200 {
            let mut rng = Rng::derive(1, "augment", index);
            let (moved, _) = shifting.apply(picture(), &Preprocessing::imagenet(), &mut rng);
            // The blue of every pixel that is left is 1.
            let left: Vec<(u32, u32)> =
                moved.enumerate_pixels().filter(|(_, _, p)| p.0[2] == 1).map(|(x, y, _)| (x, y)).collect();
            let (x, y) = left[0];
            let source = moved.get_pixel(x, y).0;
            seen.insert((x as i64 - i64::from(source[0]), y as i64 - i64::from(source[1])));
        }
        assert_eq!(seen.len(), 25, "{seen:?}");
        assert!(seen.iter().all(|(x, y)| x.abs() <= 2 && y.abs() <= 2));
    }

    #[test]
    fn half_are_mirrored() {
        let flipping = Augmentation { flip: true, ..Default::default() };
        let mirrored = (0..200).filter(|&index| {
            let mut rng = Rng::derive(1, "augment", index);
            flipping.apply(picture(), &Preprocessing::imagenet(), &mut rng).0.get_pixel(0, 0).0[0] == 7
        });
        assert!((70..130).contains(&mirrored.count()));
    }

    #[test]
    fn parts_have_the_area_and_the_ratio_asked_for_and_become_the_networks_size() {
        let cutting = Augmentation { resized_crop: Some(0.3), ..Default::default() };
        let large = RgbImage::new(100, 80);
        for index in 0..200 {
            let mut rng = Rng::derive(1, "augment", index);
            let (part, preprocessing) = cutting.apply(large.clone(), &Preprocessing::imagenet(), &mut rng);
            let (area, ratio) = (part.width() * part.height(), f64::from(part.width()) / f64::from(part.height()));
            assert!(area >= 2300 && (0.7..1.4).contains(&ratio), "{}×{}", part.width(), part.height());
            assert_eq!(preprocessing.size, Some(Resize::Exact(224, 224)));
        }
    }
}
