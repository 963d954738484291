//! Generated pictures of shapes whose captions are known: the default training needs no download.
//!
//! A scene is 64×64 pixels with one to three shapes of different colours on a dark grey ground. Its caption depends on the
//! picture alone, so that a model can learn to write it word for word:
//!
//! ```text
//! a large red circle
//! a large red circle with a small white star right of it
//! a large red circle with a large blue square right of it and a small white star above it
//! ```
//!
//! Shapes are named in a fixed order: large ones before small ones, and among equals by colour in the order of [`COLOURS`].
//! Each of the others is told by how it lies to the first: `left of`, `right of`, `above`, `below`, whichever its centre
//! is clearly; pictures where that is not clear are not made. The relation comes after both names, as a reader would
//! look at both shapes before comparing them.

mod draw;
mod likeness;
pub mod questions;

pub use likeness::is_like_a_scene;

use crate::split::Split;
use candlewick_parameters::Rng;

/// Width and height of a scene, in pixels.
pub const SIZE: u32 = 64;

/// The words for the colours, in the order in which shapes of like size are named.
pub const COLOURS: [&str; 7] = ["red", "orange", "yellow", "green", "blue", "purple", "white"];

/// The share of all scenes that is for training; the rest is one half each for dev and test.
const TRAIN_SHARE: f64 = 0.9;

/// Pixels between a shape and the border, and at least between two shapes along the axis of their relation.
const MARGIN: u32 = 2;

/// What a shape is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A disc.
    Circle,
    /// A square, upright.
    Square,
    /// A triangle that stands on its side.
    Triangle,
    /// A star of five points.
    Star,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Circle, Self::Square, Self::Triangle, Self::Star];

    /// The word for it in captions.
    pub fn word(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Star => "star",
        }
    }
}

/// How large a shape is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Extent {
    /// 22 to 26 pixels wide and high.
    Large,
    /// 12 to 14 pixels wide and high.
    Small,
}

impl Extent {
    /// The word for it in captions.
    pub fn word(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Small => "small",
        }
    }

    /// The least and the most pixels.
    fn pixels(self) -> (u32, u32) {
        match self {
            Self::Large => (22, 26),
            Self::Small => (12, 14),
        }
    }
}

/// A box of pixels; x1 and y1 are the first outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BoundingBox {
    /// The left edge.
    pub x0: u32,
    /// The upper edge.
    pub y0: u32,
    /// The right edge.
    pub x1: u32,
    /// The lower edge.
    pub y1: u32,
}

impl BoundingBox {
    /// Whether the point, in pixels from the upper left corner, lies in the box.
    pub fn contains(&self, x: f32, y: f32) -> bool {
        (self.x0 as f32..self.x1 as f32).contains(&x) && (self.y0 as f32..self.y1 as f32).contains(&y)
    }

    /// Twice the centre, which is a whole number.
    fn centre(&self) -> (i32, i32) {
        ((self.x0 + self.x1) as i32, (self.y0 + self.y1) as i32)
    }
}

/// One shape of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// What it is.
    pub kind: Kind,
    /// The place of its colour in [`COLOURS`].
    pub colour: usize,
    /// Its size in words.
    pub size: Extent,
    /// The pixels it lies in.
    pub bounds: BoundingBox,
}

impl Shape {
    /// "a small red circle".
    fn words(&self) -> String {
        let colour = COLOURS.get(self.colour).copied().unwrap_or_default();
        format!("a {} {colour} {}", self.size.word(), self.kind.word())
    }
}

/// A picture's content and its caption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// One to three shapes, in the order of the caption.
    pub shapes: Vec<Shape>,
    /// The caption, in lower case with single spaces.
    pub caption: String,
    /// What the ground's noise and the small differences of colour are drawn from.
    ground: u64,
}

impl Scene {
    /// Scene number `index` of a split, in the world of this `seed`.
    ///
    /// The same arguments give the same scene on every machine. Which split a scene belongs to is decided by a hash of
    /// its shapes, whatever the seed: no scene of one split is ever in another.
    pub fn generate(seed: u64, index: u64, split: Split) -> Self {
        let mut rng = Rng::derive(seed, &format!("scene {split}"), index);
        loop {
            let shapes = arrange(&mut rng);
            if split_of(&shapes) == split {
                let caption = describe(&shapes);
                let ground = (rng.below(1 << 30) as u64) << 30 | rng.below(1 << 30) as u64;
                return Self { shapes, caption, ground };
            }
        }
    }

    /// For each word of the caption that names a shape ("circle", "star" …): its place among the words and the shape's box.
    pub fn pointers(&self) -> Vec<(usize, BoundingBox)> {
        let names = self.caption.split(' ').enumerate();
        let names = names.filter(|(_, word)| Kind::ALL.iter().any(|kind| kind.word() == *word));
        names.map(|(place, _)| place).zip(self.shapes.iter().map(|shape| shape.bounds)).collect()
    }
}

/// All words of all captions.
pub fn vocabulary() -> Vec<&'static str> {
    let mut words = vec!["a", "small", "large", "left", "right", "of", "above", "below", "with", "and", "it"];
    words.extend(COLOURS);
    words.extend(Kind::ALL.map(Kind::word));
    words
}

/// Draws shapes until they lie clearly.
fn arrange(rng: &mut Rng) -> Vec<Shape> {
    let count = [1, 2, 2, 3, 3][rng.below(5)];
    let mut colours: Vec<usize> = (0..COLOURS.len()).collect();
    rng.shuffle(&mut colours);
    let mut shapes: Vec<Shape> = colours
        .into_iter()
        .take(count)
        .map(|colour| {
            let kind = Kind::ALL[rng.below(Kind::ALL.len())];
            let size = if rng.chance(0.5) { Extent::Large } else { Extent::Small };
            Shape { kind, colour, size, bounds: BoundingBox { x0: 0, y0: 0, x1: 0, y1: 0 } }
        })
        .collect();
    shapes.sort_by_key(|shape| (shape.size, shape.colour));
    // Kinds, colours and sizes stay while places are drawn, so that crowded scenes come as often as others.
    loop {
        for shape in &mut shapes {
            shape.bounds = place(shape.size, rng);
        }
        if lies_clearly(&shapes) {
            return shapes;
        }
    }
}

fn place(size: Extent, rng: &mut Rng) -> BoundingBox {
    let (least, most) = size.pixels();
    let side = least + rng.below((most - least + 1) as usize) as u32;
    let free = (SIZE - 2 * MARGIN - side + 1) as usize;
    let (x0, y0) = (MARGIN + rng.below(free) as u32, MARGIN + rng.below(free) as u32);
    BoundingBox { x0, y0, x1: x0 + side, y1: y0 + side }
}

fn lies_clearly(shapes: &[Shape]) -> bool {
    let apart = |a: &BoundingBox, b: &BoundingBox| {
        a.x1 + MARGIN <= b.x0 || b.x1 + MARGIN <= a.x0 || a.y1 + MARGIN <= b.y0 || b.y1 + MARGIN <= a.y0
    };
    let Some((first, others)) = shapes.split_first() else { return true };
    others.iter().all(|other| relation(&first.bounds, &other.bounds).is_some())
        && (1..shapes.len()).all(|i| shapes.iter().take(i).all(|a| apart(&a.bounds, &shapes[i].bounds)))
}

/// How `a` lies to `b`, or nothing where that is not clear.
///
/// Clear is: apart along one axis by the margin, and the centres along it at least 1.7 times as far as along the other.
fn relation(a: &BoundingBox, b: &BoundingBox) -> Option<&'static str> {
    let ((ax, ay), (bx, by)) = (a.centre(), b.centre());
    let (dx, dy) = (bx - ax, by - ay);
    let horizontal = 10 * dx.abs() >= 17 * dy.abs();
    let vertical = 10 * dy.abs() >= 17 * dx.abs();
    if horizontal && a.x1 + MARGIN <= b.x0 {
        Some("left of")
    } else if horizontal && b.x1 + MARGIN <= a.x0 {
        Some("right of")
    } else if vertical && a.y1 + MARGIN <= b.y0 {
        Some("above")
    } else if vertical && b.y1 + MARGIN <= a.y0 {
        Some("below")
    } else {
        None
    }
}

fn describe(shapes: &[Shape]) -> String {
    let Some((first, others)) = shapes.split_first() else { return String::new() };
    let mut caption = first.words();
    for (index, other) in others.iter().enumerate() {
        let joint = if index > 0 { "and" } else { "with" };
        let lies = relation(&other.bounds, &first.bounds).unwrap_or_default();
        caption.push_str(&format!(" {joint} {} {lies} it", other.words()));
    }
    caption
}

/// The split that scenes of these shapes belong to.
fn split_of(shapes: &[Shape]) -> Split {
    // FNV-1a over the content, and a last mixing because its upper bits alone decide.
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for shape in shapes {
        let BoundingBox { x0, y0, x1, y1 } = shape.bounds;
        let content = [shape.kind as u32, shape.colour as u32, shape.size as u32, x0, y0, x1, y1];
        for value in content {
            hash = (hash ^ u64::from(value)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let share = (hash >> 11) as f64 / (1u64 << 53) as f64;
    if share < TRAIN_SHARE {
        Split::Train
    } else if share < (1.0 + TRAIN_SHARE) / 2.0 {
        Split::Dev
    } else {
        Split::Test
    }
}
