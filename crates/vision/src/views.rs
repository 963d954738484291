//! Views of a training photo: the whole of it and parts, each as it is and mirrored.
//!
//! A captioner that trains on few photos learns them by heart. Seen through other views, a photo keeps its captions and
//! shows other annotations; which view a caption comes with is drawn anew each time. Parts are those of Krizhevsky et al.
//! 2012, "ImageNet classification with deep convolutional neural networks": the corners and the centre.

use candlewick_data::{Error, Result};
use candlewick_parameters::Rng;
use image::{RgbImage, imageops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which views training photos are seen through; a recipe's `[views]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Views {
    /// Whether each photo is seen mirrored too, left and right exchanged.
    pub mirrored: bool,
    /// The parts that are seen.
    pub parts: Vec<Part>,
    /// The share of a photo's width, and of its height, that a part other than the whole has.
    pub share: f64,
}

/// A part of a photo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Part {
    #[default]
    Whole,
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
    Centre,
}

impl Default for Views {
    /// Each photo as it is.
    fn default() -> Self {
        Self { mirrored: false, parts: vec![Part::Whole], share: 0.875 }
    }
}

/// One way to see a photo.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct View {
    /// The part that is seen.
    pub part: Part,
    /// The share of width and height that it has.
    pub share: f64,
    /// Whether left and right are exchanged.
    pub mirrored: bool,
}

impl Views {
    /// All views, each part as it is before its mirror image.
    ///
    /// # Errors
    /// When there is no part, or the share is not above 0 and at most 1.
    pub fn all(&self) -> Result<Vec<View>> {
        if self.parts.is_empty() || !(self.share > 0.0 && self.share <= 1.0) {
            let (count, share) = (self.parts.len(), self.share);
            return Err(Error::setting(format!(
                "views: {count} parts with a share of {share}; wanted at least one part and a share above 0 and at most 1"
            )));
        }
        let mirrored = if self.mirrored { &[false, true][..] } else { &[false] };
        let of = |&part: &Part| {
            let share = if part == Part::Whole { 1.0 } else { self.share };
            mirrored.iter().map(move |&mirrored| View { part, share, mirrored })
        };
        Ok(self.parts.iter().flat_map(of).collect())
    }
}

impl View {
    /// The photo as it is.
    pub const WHOLE: Self = Self { part: Part::Whole, share: 1.0, mirrored: false };

    /// One of the views, each as likely as the others.
    pub fn drawn(views: &[Self], rng: &mut Rng) -> Self {
        views.get(rng.below(views.len())).copied().unwrap_or(Self::WHOLE)
    }

    /// What is seen of the photo.
    pub fn of(&self, photo: RgbImage) -> RgbImage {
        let part = |length: u32| ((f64::from(length) * self.share).round() as u32).clamp(1, length.max(1));
        let (width, height) = (part(photo.width()), part(photo.height()));
        let (right, bottom) = (photo.width() - width.min(photo.width()), photo.height() - height.min(photo.height()));
        let (x, y) = match self.part {
            Part::Whole | Part::TopLeft => (0, 0),
            Part::TopRight => (right, 0),
            Part::BottomLeft => (0, bottom),
            Part::BottomRight => (right, bottom),
            Part::Centre => (right / 2, bottom / 2),
        };
        let mut seen = match self.part {
            Part::Whole => photo,
            _ => imageops::crop_imm(&photo, x, y, width, height).to_image(),
        };
        if self.mirrored {
            imageops::flip_horizontal_in_place(&mut seen);
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use image::Rgb;

    /// A photo of 8 × 4 pixels that tell where they are.
    fn photo() -> RgbImage {
        RgbImage::from_fn(8, 4, |x, y| Rgb([x as u8, y as u8, 0]))
    }

    fn corners(view: View) -> ((u32, u32), [u8; 2], [u8; 2]) {
        let seen = view.of(photo());
        let at = |x, y| [seen.get_pixel(x, y)[0], seen.get_pixel(x, y)[1]];
        (seen.dimensions(), at(0, 0), at(seen.width() - 1, seen.height() - 1))
    }

    #[test]
    fn parts_lie_where_they_say() {
        let found = |part, mirrored| corners(View { part, share: 0.5, mirrored });
        assert_eq!(found(Part::TopLeft, false), ((4, 2), [0, 0], [3, 1]));
        assert_eq!(found(Part::TopRight, false), ((4, 2), [4, 0], [7, 1]));
        assert_eq!(found(Part::BottomLeft, false), ((4, 2), [0, 2], [3, 3]));
        assert_eq!(found(Part::BottomRight, true), ((4, 2), [7, 2], [4, 3]));
        assert_eq!(found(Part::Centre, false), ((4, 2), [2, 1], [5, 2]));
        assert_eq!(corners(View::WHOLE), ((8, 4), [0, 0], [7, 3]));
    }

    #[test]
    fn all_views_are_listed_and_drawn_alike() {
        let views = Views { mirrored: true, parts: vec![Part::Whole, Part::Centre], share: 0.75 };
        let all = views.all().unwrap();
        let wanted = [
            (Part::Whole, 1.0, false),
            (Part::Whole, 1.0, true),
            (Part::Centre, 0.75, false),
            (Part::Centre, 0.75, true),
        ];
        assert_eq!(all, wanted.map(|(part, share, mirrored)| View { part, share, mirrored }));
        let mut rng = Rng::derive(1, "views", 0);
        let drawn: Vec<View> = (0..400).map(|_| View::drawn(&all, &mut rng)).collect();
        for view in &all {
            assert!((70..130).contains(&drawn.iter().filter(|found| *found == view).count()));
        }
        assert_eq!(Views::default().all().unwrap(), [View::WHOLE]);
    }

    #[test]
    fn no_part_and_no_share_are_refused() {
        for views in [Views { parts: vec![], ..Views::default() }, Views { share: 1.5, ..Views::default() }] {
            assert!(views.all().unwrap_err().to_string().starts_with("views: "));
        }
    }
}
