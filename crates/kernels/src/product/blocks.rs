//! Large products, in blocks that stay in a core's cache, shared out among the threads.
//!
//! Every sum has an order that does not depend on the number of threads.

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
    fn blocks(&self) -> Vec<Range<usize>>;

    /// The terms of a sum, in the parts that are taken in one go.
    fn parts(&self) -> Vec<Range<usize>>;

    /// Some rows and terms, which lie where they lay or in `room`.
    fn block<'a>(&'a self, rows: Range<usize>, terms: Range<usize>, room: &'a mut Vec<f32>) -> Left<'a>;
}

/// A block of a product: `values[r · 32 + c]` stands in row `rows.start` + r and column `columns.start` + c.
pub struct Sums<'a> {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    pub values: &'a [f32],
}

/// Hands all blocks of `left` · `right` to `write`, each once.
pub fn times(left: &impl Rows, right: &impl Right, write: impl Fn(Sums) + Sync) {
    let (blocks, parts, panels) = (left.blocks(), left.parts(), right.columns().div_ceil(PANEL));
    let wanted = (3 * rayon::current_num_threads()).div_ceil(blocks.len().max(1));
    let groups = panels.div_ceil(PANELS).max(wanted.min(panels));
    (0..blocks.len() * groups).into_par_iter().for_each(|unit| {
        let (rows, group) = (&blocks[unit / groups], unit % groups);
        let panels = group * panels / groups..(group + 1) * panels / groups;
        let size = rows.len() * PANEL;
        with_scratch(|Scratch { room, lines, sums }| {
            sums.resize(panels.len() * size, 0.0);
            for (part, terms) in parts.iter().enumerate() {
                let left = left.block(rows.clone(), terms.clone(), room);
                for (panel, sums) in panels.clone().zip(sums.chunks_exact_mut(size)) {
                    multiply(left, right.panel(panel, terms.clone(), lines), sums, PANEL, part > 0);
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
}

/// Runs `work` with what this thread keeps.
pub fn with_scratch(work: impl FnOnce(&mut Scratch)) {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(work);
}
