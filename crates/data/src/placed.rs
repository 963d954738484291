//! Pictures of a labelled set moved within larger ones, with clutter around them: drawn when they are asked for and never stored.
//!
//! Mnih et al. 2014, "Recurrent models of visual attention", section 4.1, for one picture; several in a row, read from left to right, as in
//! Ba et al. 2015, "Multiple object recognition with visual attention".

use crate::error::{Error, Result};
use crate::image_classes::Examples;
use crate::split::Split;
use candlewick_parameters::Rng;
use image::{GrayImage, imageops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How pictures are placed within a larger one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Placing {
    /// The height and width of the larger picture, in pixels; nothing leaves a single picture as it is.
    pub size: Option<(u32, u32)>,
    /// How many pictures are placed, from left to right; none lies over another.
    pub pictures: usize,
    /// How many patches of other pictures lie around.
    pub clutter: usize,
    /// The height and width of such a patch, in pixels.
    pub patch: u32,
    /// What the places are drawn from.
    pub seed: u64,
}

impl Default for Placing {
    fn default() -> Self {
        Self { size: None, pictures: 1, clutter: 0, patch: 8, seed: 0 }
    }
}

/// Pictures of a part of a labelled set, each moved within a larger one: an item depends on the part, the seed and its number alone.
#[derive(Clone, Debug)]
pub struct PlacedPictures {
    examples: Examples,
    placing: Placing,
    split: Split,
    /// Height and width of the first picture, which all have.
    size: (u32, u32),
}

/// A larger picture with what was placed in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The picture, black where nothing was placed.
    pub picture: GrayImage,
    /// The classes of what was placed, from left to right.
    pub labels: Vec<u32>,
    /// Where each lies.
    pub boxes: Vec<PlacedBox>,
}

/// Where something was placed, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedBox {
    /// From the left edge.
    pub left: u32,
    /// From the upper edge.
    pub top: u32,
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

impl PlacedBox {
    /// Whether it holds this point, in pixels from the upper left corner.
    pub fn contains(&self, x: f32, y: f32) -> bool {
        let within = |at: f32, from: u32, length: u32| at >= from as f32 && at < (from + length) as f32;
        within(x, self.left, self.width) && within(y, self.top, self.height)
    }
}

impl PlacedPictures {
    /// The pictures of the part `split`, placed as `placing` says; each part has places of its own.
    ///
    /// # Errors
    /// When the part is empty, its first picture does not fit so often into the size, or clutter is wanted and there is no other picture.
    pub fn new(examples: Examples, placing: Placing, split: Split) -> Result<Self> {
        if examples.is_empty() {
            return Err(Error::setting(format!(
                "the {split} part has no pictures; choose another, or give the set some"
            )));
        }
        let first = examples.picture(0)?;
        let size = (first.height(), first.width());
        placing.check(size)?;
        if placing.clutter > 0 && examples.len() <= placing.pictures {
            return Err(Error::setting("clutter is of other pictures than those that are placed, and there are none"));
        }
        Ok(Self { examples, placing, split, size })
    }

    /// How many pictures the set has: the item of a number holds the picture of that number modulo this, so that as many items in a row hold each
    /// once.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// Whether the set has none.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// The set that they are of.
    pub fn examples(&self) -> &Examples {
        &self.examples
    }

    /// The item of this number; one of several pictures is that of the number, at a place of its own among them, and the others are drawn.
    ///
    /// # Errors
    /// When a picture cannot be read, or is larger than the first one.
    pub fn item(&self, number: usize) -> Result<Placed> {
        let Placing { size, pictures, clutter, patch, .. } = self.placing;
        let (count, mut rng) =
            (self.examples.len(), Rng::derive(self.placing.seed, &format!("placed {}", self.split), number as u64));
        let own = rng.below(pictures);
        let rows: Vec<usize> =
            (0..pictures).map(|at| if at == own { number % count } else { rng.below(count) }).collect();
        let read = |&row: &usize| self.grey(row);
        let placed: Vec<GrayImage> = rows.iter().map(read).collect::<Result<_>>()?;
        let labels = rows.iter().map(|&row| self.examples.labels.get(row).copied().unwrap_or_default()).collect();
        let Some((height, width)) = size else {
            let picture = placed.into_iter().next().unwrap_or_default();
            let (width, height) = picture.dimensions();
            return Ok(Placed { picture, labels, boxes: vec![PlacedBox { left: 0, top: 0, width, height }] });
        };
        let mut picture = GrayImage::new(width, height);
        for _ in 0..clutter {
            self.add_clutter(&mut picture, patch, &rows, &mut rng)?;
        }
        let mut boxes = Vec::with_capacity(pictures);
        for (left, one) in lefts(&placed, width, &mut rng).into_iter().zip(&placed) {
            let top = rng.below(height.saturating_sub(one.height()) as usize + 1) as u32;
            lay(&mut picture, one, (left, top));
            boxes.push(PlacedBox { left, top, width: one.width(), height: one.height() });
        }
        Ok(Placed { picture, labels, boxes })
    }

    fn grey(&self, row: usize) -> Result<GrayImage> {
        let picture = imageops::grayscale(&self.examples.picture(row)?);
        let ((height, width), found) = (self.size, (picture.height(), picture.width()));
        match found == self.size {
            true => Ok(picture),
            false => {
                let name = self.examples.path(row).map_or(format!("picture {row}"), |path| path.display().to_string());
                let fault = format!("is {}×{} pixels, the first one {height}×{width}", found.0, found.1);
                Err(Error::Picture { name, fault: format!("{fault}; give all one size") })
            }
        }
    }

    /// Lays a patch of a drawn picture, of none of these rows, at a drawn place.
    fn add_clutter(&self, picture: &mut GrayImage, side: u32, placed: &[usize], rng: &mut Rng) -> Result<()> {
        let count = self.examples.len();
        let drawn = rng.below(count);
        let row = (drawn..drawn + count).map(|row| row % count).find(|row| !placed.contains(row)).unwrap_or(drawn);
        let from = self.grey(row)?;
        let mut place = |length: u32| rng.below(length.saturating_sub(side) as usize + 1) as u32;
        let (x, y) = (place(from.width()), place(from.height()));
        let to = (place(picture.width()), place(picture.height()));
        lay(picture, &imageops::crop_imm(&from, x, y, side, side).to_image(), to);
        Ok(())
    }
}

/// How far from the left each of several pictures lies, so that none lies over another: the free width is shared out by drawn numbers.
fn lefts(pictures: &[GrayImage], width: u32, rng: &mut Rng) -> Vec<u32> {
    let taken: u32 = pictures.iter().map(GrayImage::width).sum();
    let free = width.saturating_sub(taken);
    let mut gaps: Vec<u32> = pictures.iter().map(|_| rng.below(free as usize + 1) as u32).collect();
    gaps.sort_unstable();
    let before = pictures.iter().scan(0, |sum, one| {
        let before = *sum;
        *sum += one.width();
        Some(before)
    });
    gaps.iter().zip(before).map(|(gap, before)| gap + before).collect()
}

/// Lays a picture on another at a place, in pixels from left and top; where both have ink the lighter one stays.
fn lay(picture: &mut GrayImage, one: &GrayImage, (left, top): (u32, u32)) {
    for (x, y, pixel) in one.enumerate_pixels() {
        if let Some(under) = picture.get_pixel_mut_checked(left + x, top + y) {
            under.0[0] = under.0[0].max(pixel.0[0]);
        }
    }
}

impl Placing {
    /// The height and width of an item, whose pictures have this height and width.
    pub fn item_size(&self, of_picture: (u32, u32)) -> (u32, u32) {
        self.size.unwrap_or(of_picture)
    }

    /// Finds out whether pictures of this height and width fit.
    ///
    /// # Errors
    /// One line that names the setting.
    pub fn check(&self, (height, width): (u32, u32)) -> Result<()> {
        let fault = |fault: String| Err(Error::setting(fault));
        if self.pictures == 0 || self.pictures > MOST_PICTURES || self.clutter > MOST_PICTURES {
            let (pictures, clutter) = (self.pictures, self.clutter);
            return fault(format!("pictures is {pictures} and clutter {clutter}; wanted 1 and 0 to {MOST_PICTURES}"));
        }
        let Some(size) = self.size else {
            return match (self.pictures, self.clutter) {
                (1, 0) => Ok(()),
                _ => fault("several pictures or clutter want a larger picture; set size = [height, width]".into()),
            };
        };
        if size.0 > MOST || size.1 > MOST {
            return fault(format!("size is {}×{}; {MOST}×{MOST} pixels are the most", size.0, size.1));
        }
        let wanted = (u64::from(height), u64::from(width) * self.pictures as u64);
        if u64::from(size.0) < wanted.0 || u64::from(size.1) < wanted.1 {
            let (most, count) = (format!("{}×{}", size.0, size.1), self.pictures);
            return fault(format!(
                "size is {most}; {count} of {height}×{width} pixels want {}×{} at least",
                wanted.0, wanted.1
            ));
        }
        if self.clutter > 0 && (self.patch == 0 || self.patch > height || self.patch > width) {
            return fault(format!("patch is {}; wanted 1 to the {height}×{width} of a picture", self.patch));
        }
        Ok(())
    }
}

/// The longest side, in pixels, and the most pictures and patches.
const MOST: u32 = 4096;
const MOST_PICTURES: usize = 1000;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::image_classes;
    use image::Luma;

    /// Two classes of 3 × 4 pixels, of one grey each, in a folder that lives as long as the first.
    fn examples() -> (tempfile::TempDir, Examples) {
        let folder = tempfile::tempdir().unwrap();
        for (class, grey) in [("a", 100), ("b", 200)] {
            std::fs::create_dir_all(folder.path().join(class)).unwrap();
            for number in 0..3 {
                let picture = GrayImage::from_pixel(4, 3, Luma([grey + number]));
                picture.save(folder.path().join(class).join(format!("{number}.png"))).unwrap();
            }
        }
        let set = image_classes::load(folder.path(), 0.0).unwrap();
        (folder, set.train)
    }

    fn placed(placing: Placing) -> (tempfile::TempDir, PlacedPictures) {
        let (folder, examples) = examples();
        (folder, PlacedPictures::new(examples, Placing { seed: 7, ..placing }, Split::Train).unwrap())
    }

    #[test]
    fn each_lies_whole_in_its_box_and_nothing_else_has_ink() {
        let (_folder, placed) = placed(Placing { size: Some((9, 20)), pictures: 3, ..Placing::default() });
        for number in 0..50 {
            let item = placed.item(number).unwrap();
            assert_eq!((item.picture.dimensions(), item.labels.len(), item.boxes.len()), ((20, 9), 3, 3));
            assert!(item.boxes.windows(2).all(|pair| pair[0].left + pair[0].width <= pair[1].left), "{:?}", item.boxes);
            let own = placed.examples().labels[number % 6];
            assert!(item.labels.contains(&own));
            for (x, y, pixel) in item.picture.enumerate_pixels() {
                let held = item.boxes.iter().position(|one| one.contains(x as f32, y as f32));
                let wanted = held.map(|at| if item.labels[at] == 0 { 100..103 } else { 200..203 });
                assert!(wanted.map_or(pixel.0[0] == 0, |wanted| wanted.contains(&pixel.0[0])), "{x}, {y}: {pixel:?}");
            }
        }
    }

    #[test]
    fn an_item_depends_on_seed_and_number_alone_and_places_differ() {
        let placing = Placing { size: Some((20, 20)), clutter: 4, patch: 2, ..Placing::default() };
        let (_folder, placed) = placed(placing.clone());
        assert_eq!(placed.item(3).unwrap(), placed.item(3).unwrap());
        for (seed, split) in [(8, Split::Train), (7, Split::Dev)] {
            let other = PlacedPictures::new(placed.examples().clone(), Placing { seed, ..placing.clone() }, split);
            assert_ne!(other.unwrap().item(3).unwrap(), placed.item(3).unwrap());
        }
        let places: std::collections::HashSet<(u32, u32)> =
            (0..60).map(|epoch| placed.item(6 * epoch).unwrap().boxes[0]).map(|one| (one.left, one.top)).collect();
        assert!(places.len() > 40, "{}", places.len());
    }

    #[test]
    fn clutter_is_of_other_pictures_and_a_single_picture_may_stay_as_it_is() {
        let placing = Placing { size: Some((30, 30)), clutter: 5, patch: 2, ..Placing::default() };
        let (_folder, cluttered) = placed(placing);
        let item = cluttered.item(0).unwrap();
        let outside: Vec<u8> = (item.picture.enumerate_pixels())
            .filter(|(x, y, pixel)| pixel.0[0] > 0 && !item.boxes[0].contains(*x as f32, *y as f32))
            .map(|(.., pixel)| pixel.0[0])
            .collect();
        // The own picture is the first, all of 100.
        assert!((1..=20).contains(&outside.len()) && !outside.contains(&100), "{outside:?}");
        let (_folder, whole) = placed(Placing::default());
        let whole = whole.item(4).unwrap();
        assert_eq!((whole.picture.dimensions(), whole.labels.len()), ((4, 3), 1));
        assert!(whole.picture.pixels().all(|pixel| pixel.0[0] >= 200));
    }

    #[test]
    fn pictures_of_other_sizes_and_broken_ones_are_named() {
        let (folder, examples) = examples();
        let odd = folder.path().join("b/9.png");
        GrayImage::new(5, 3).save(&odd).unwrap();
        std::fs::write(folder.path().join("a/8.png"), "none").unwrap();
        let set = image_classes::load(folder.path(), 0.0).unwrap().train;
        let (kept, report) = set.readable(0.5).unwrap();
        assert_eq!(kept.len(), examples.len());
        let report = report.unwrap();
        assert!(report.contains("9.png: is 3×5 pixels, the first one 3×4") && report.contains("8.png"), "{report}");
        let placed = PlacedPictures::new(set.clone(), Placing::default(), Split::Train).unwrap();
        let last = (0..set.len()).find(|&row| set.path(row) == Some(&odd)).unwrap();
        let fault = placed.item(last).unwrap_err().to_string();
        assert!(fault.contains("9.png") && fault.contains("is 3×5 pixels, the first one 3×4"), "{fault}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (_folder, examples) = examples();
        let fault =
            |placing: Placing| PlacedPictures::new(examples.clone(), placing, Split::Dev).unwrap_err().to_string();
        let of = |size| Placing { size: Some(size), ..Placing::default() };
        assert_eq!(fault(of((2, 9))), "size is 2×9; 1 of 3×4 pixels want 3×4 at least");
        assert_eq!(fault(Placing { pictures: 3, ..of((9, 9)) }), "size is 9×9; 3 of 3×4 pixels want 3×12 at least");
        assert!(fault(Placing { pictures: 2, ..Placing::default() }).contains("set size"));
        assert!(fault(Placing { pictures: 0, ..of((9, 9)) }).contains("pictures is 0 and clutter 0"));
        assert!(fault(Placing { pictures: usize::MAX, ..of((9, 9)) }).contains("0 to 1000"));
        assert!(fault(Placing { clutter: 1, patch: 5, ..of((9, 9)) }).contains("patch is 5"));
        assert!(fault(of((9, 9000))).contains("4096×4096 pixels are the most"));
    }
}
