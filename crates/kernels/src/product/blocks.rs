//! Large products, in blocks that stay in a core's cache, shared out among the threads.
//!
//! Every sum has an order that does not depend on the number of threads.

use super::bf16::Pairs;
use super::{Left, Line, PANEL, Right, multiply};
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

/// Panels of a block.
const PANELS: usize = 16;

/// Blocks begin at multiples of this, so that the kernels take whole tiles.
pub const TILE: usize = 12;

/// The left side of a large product, which is read a block at a time.
pub trait Rows: Sync {
    /// All rows, in blocks.
    fn blocks(&self, cut: Cut) -> Vec<Range<usize>>;

    /// The terms of a sum, in the parts that are taken in one go.
    fn parts(&self, cut: Cut) -> Vec<Range<usize>>;

    /// Some rows and terms, which lie where they lay or in `room`.
    fn block<'a>(&'a self, rows: Range<usize>, terms: Range<usize>, room: &'a mut Vec<f32>) -> Left<'a>;
}

/// In what pieces a product is formed.
#[derive(Clone, Copy)]
pub struct Cut {
    /// The most rows of a block where they are positions or plain rows, and where they are columns of a convolution's matrix.
    pub rows: usize,
    pub columns: usize,
    /// What the rows of a block are a multiple of.
    pub tile: usize,
    /// The most terms of a part, and what they are a multiple of.
    pub terms: usize,
    pub step: usize,
}

impl Cut {
    /// For f32, and for sides that are rounded to bf16.
    fn new(rounded: bool) -> Self {
        match rounded {
            false => Self { rows: 96, columns: 144, tile: TILE, terms: 384, step: 16 },
            true => Self { rows: 128, columns: 128, tile: 32, terms: 512, step: 32 },
        }
    }
}

/// A block of a product: `values[r · 32 + c]` stands in row `rows.start` + r and column `columns.start` + c.
pub struct Sums<'a> {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    pub values: &'a [f32],
}

/// Hands all blocks of `left` · `right` to `write`, each once.
pub fn times(left: &impl Rows, right: &impl Right, write: impl Fn(Sums) + Sync) {
    let cut = Cut::new(right.path().is_some());
    let (blocks, parts, panels) = (left.blocks(cut), left.parts(cut), right.columns().div_ceil(PANEL));
    let wanted = (3 * rayon::current_num_threads()).div_ceil(blocks.len().max(1));
    let groups = panels.div_ceil(PANELS).max(wanted.min(panels));
    (0..blocks.len() * groups).into_par_iter().for_each(|unit| {
        let (rows, group) = (&blocks[unit / groups], unit % groups);
        let panels = group * panels / groups..(group + 1) * panels / groups;
        let size = rows.len() * PANEL;
        with_scratch(|scratch| {
            // The sums begin with a cache line.
            scratch.sums.resize(panels.len() * size + 15, 0.0);
            let before = scratch.sums.as_ptr().align_offset(64).min(15);
            let Scratch { room, lines, sums, left: rounded, pairs } = scratch;
            let sums = &mut sums[before..][..panels.len() * size];
            for (part, terms) in parts.iter().enumerate() {
                let left = left.block(rows.clone(), terms.clone(), room);
                let each = panels.clone().zip(sums.chunks_exact_mut(size));
                match right.path() {
                    None => each.for_each(|(panel, sums)| {
                        multiply(left, right.panel(panel, terms.clone(), lines), sums, PANEL, part > 0);
                    }),
                    Some(path) => {
                        let left = path.rounded(left, terms.len(), rounded);
                        each.for_each(|(panel, sums)| {
                            path.multiply(left, right.rounded(panel, terms.clone(), pairs), sums, PANEL, part > 0);
                        });
                    }
                }
            }
            for (panel, values) in panels.zip(sums.chunks_exact(size)) {
                let columns = panel * PANEL..right.columns().min((panel + 1) * PANEL);
                write(Sums { rows: rows.clone(), columns, values });
            }
        });
    });
}

/// Copies `count` runs of `width` values, which start every `stride` values, to where they start every `width` + 16: runs a power
/// of two apart push each other out of the cache.
pub fn copied(values: &[f32], stride: usize, (width, count): (usize, usize), room: &mut Vec<f32>) {
    room.resize(count * (width + 16), 0.0);
    for (run, into) in room.chunks_exact_mut(width + 16).enumerate() {
        into[..width].copy_from_slice(&values[run * stride..][..width]);
    }
}

/// 0..`count` in equal parts of at most about `most`, all but the last a multiple of `unit`.
pub fn parts(count: usize, most: usize, unit: usize) -> Vec<Range<usize>> {
    let size = count.div_ceil(count.div_ceil(most).max(1)).next_multiple_of(unit);
    (0..count).step_by(size.max(1)).map(|start| start..(start + size).min(count)).collect()
}

/// What a thread works with; it keeps its room from call to call.
#[derive(Default)]
pub struct Scratch {
    pub room: Vec<f32>,
    pub lines: Vec<Line>,
    pub sums: Vec<f32>,
    /// A block of the left side, and a part of a panel, rounded.
    pub left: Vec<Pairs>,
    pub pairs: Vec<Pairs>,
}

/// Runs `work` with what this thread keeps.
pub fn with_scratch(work: impl FnOnce(&mut Scratch)) {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(work);
}
