//! Cache-blocked GEMM, its blocks shared out among the threads.
//!
//! Every sum has an order that does not depend on the number of threads.

use super::bf16::{Pairs, Path, Rounded};
use super::{Left, Line, PANEL, Right, multiply};
use crate::cpu::fill::par_filled;
use rayon::prelude::*;
use std::cell::RefCell;
use std::ops::Range;

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

    /// The same rounded, which lies where it lay or in `tiles`.
    fn rounded<'a>(
        &'a self,
        path: Path,
        rows: Range<usize>,
        terms: Range<usize>,
        (room, tiles): (&'a mut Vec<f32>, &'a mut Vec<Pairs>),
    ) -> Rounded<'a> {
        let count = terms.len();
        path.rounded(self.block(rows, terms, room), count, tiles)
    }
}

/// In what pieces a product is formed.
#[derive(Clone, Copy)]
pub struct Cut {
    /// The most rows of a block: of a matrix that lies in memory, of a convolution's, and of the transpose of one.
    pub plain: usize,
    pub positions: usize,
    pub columns: usize,
    /// What they are a multiple of.
    pub tile: usize,
    /// The most terms of a part, and what they are a multiple of.
    pub terms: usize,
    pub step: usize,
    /// The most panels of a block.
    pub panels: usize,
}

/// For f32.
const FULL: Cut = Cut { plain: 96, positions: 96, columns: 144, tile: TILE, terms: 384, step: 16, panels: 16 };

/// For sides that are rounded: so much faster that reading a panel again costs more than the sums' room.
const ROUNDED: Cut = Cut { plain: 320, positions: 128, columns: 128, tile: 32, terms: 512, step: 32, panels: 16 };

impl Cut {
    /// For products on this path.
    pub fn of(path: Option<Path>) -> Self {
        if path.is_some() { ROUNDED } else { FULL }
    }
}

/// A block of a product: `values[r · 32 + c]` stands in row `rows.start` + r and column `columns.start` + c.
pub struct Sums<'a> {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    pub values: &'a [f32],
}

/// Hands all blocks of `left` · `right` to `write`, each once, `together` rows at a time, panel after panel.
pub fn times(left: &impl Rows, right: &impl Right, together: usize, write: impl Fn(Sums) + Sync) {
    let cut = Cut::of(right.path());
    let (blocks, parts, panels) = (left.blocks(cut), left.parts(cut), right.columns().div_ceil(PANEL));
    let wanted = (3 * rayon::current_num_threads()).div_ceil(blocks.len().max(1));
    let groups = panels.div_ceil(cut.panels).max(wanted.min(panels));
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
            if parts.is_empty() {
                sums.fill(0.0);
            }
            for (part, terms) in parts.iter().enumerate() {
                let each = panels.clone().zip(sums.chunks_exact_mut(size));
                match right.path() {
                    None => {
                        let left = left.block(rows.clone(), terms.clone(), room);
                        each.for_each(|(panel, sums)| {
                            let next = match parts.get(part + 1) {
                                Some(terms) if panel + 1 == panels.end => right.lying(panels.start, terms.clone()),
                                _ => right.lying(panel + 1, terms.clone()),
                            };
                            multiply(left, right.panel(panel, terms.clone(), lines), next, sums, PANEL, part > 0);
                        });
                    }
                    Some(path) => {
                        let left = left.rounded(path, rows.clone(), terms.clone(), (room, rounded));
                        each.for_each(|(panel, sums)| {
                            path.multiply(left, right.rounded(panel, terms.clone(), pairs), sums, PANEL, part > 0);
                        });
                    }
                }
            }
            for written in rows.clone().step_by(together) {
                let written = written..rows.end.min(written.saturating_add(together));
                for (panel, values) in panels.clone().zip(sums.chunks_exact(size)) {
                    let columns = panel * PANEL..right.columns().min((panel + 1) * PANEL);
                    let values = &values[(written.start - rows.start) * PANEL..][..written.len() * PANEL];
                    write(Sums { rows: written.clone(), columns, values });
                }
            }
        });
    });
}

/// Whether rows that begin so far apart push each other out of the cache, so that they are copied together before they are multiplied.
pub fn collide(apart: usize) -> bool {
    apart >= 1024 && apart.is_multiple_of(64)
}

/// Whether columns of so many values are copied before their transpose is multiplied: the machine does not foresee where a tile goes
/// on, which comes to a tenth of the time here and to two fifths from 1024 on.
pub fn far(apart: usize) -> bool {
    apart >= 512
}

/// Values between runs that are copied.
pub const GAP: usize = 16;

/// Copies `count` runs of `width` values, which start every `stride` values, to where they start every `width` + [`GAP`]: runs a power
/// of two apart push each other out of the cache.
pub fn copied(values: &[f32], stride: usize, (width, count): (usize, usize), room: &mut Vec<f32>) {
    room.resize(count * (width + GAP), 0.0);
    for (run, into) in room.chunks_exact_mut(width + GAP).enumerate() {
        into[..width].copy_from_slice(&values[run * stride..][..width]);
    }
}

/// The same of many runs, shared out among the threads.
pub fn copied_whole(values: &[f32], stride: usize, (width, count): (usize, usize)) -> Vec<f32> {
    par_filled(count * (width + GAP), width + GAP, (0..count).into_par_iter(), |run, into| {
        into.extend_from_slice(&values[run * stride..][..width]);
        into.extend_with(GAP, 0.0);
    })
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
