//! Cache-blocked GEMM, its blocks shared out among the threads.
//!
//! Every sum has an order that does not depend on the number of threads.

use super::bf16::{Isa, Pairs, RoundedA};
use super::scratch::{Scratch, with_scratch};
use super::{A, PANEL, PanelB, multiply};
use crate::cpu::fill::par_fill;
use rayon::prelude::*;
use std::ops::Range;

/// Blocks begin at multiples of this, so that the microkernels take whole tiles.
pub const TILE: usize = 12;

/// The A operand of a large product, which is read a block at a time.
pub trait BlockedA: Sync {
    /// All rows, in blocks.
    fn blocks(&self, blocking: Blocking) -> Vec<Range<usize>>;

    /// The terms of a sum, in the parts that are taken in one go.
    fn parts(&self, blocking: Blocking) -> Vec<Range<usize>>;

    /// Some rows and terms, in place or copied to `buffer`.
    fn block<'a>(&'a self, rows: Range<usize>, terms: Range<usize>, buffer: &'a mut Vec<f32>) -> A<'a>;

    /// The same in bf16, in place or written to `tiles`.
    fn rounded<'a>(
        &'a self,
        isa: Isa,
        rows: Range<usize>,
        terms: Range<usize>,
        buffer: &'a mut Vec<f32>,
        tiles: &'a mut Vec<Pairs>,
    ) -> RoundedA<'a> {
        let count = terms.len();
        isa.round(self.block(rows, terms, buffer), count, tiles)
    }
}

/// The sizes of a product's blocks.
#[derive(Clone, Copy)]
pub struct Blocking {
    /// The most rows of a block: of a matrix in memory, of an im2col matrix, and of the transpose of one.
    pub strided: usize,
    pub im2col: usize,
    pub transposed: usize,
    /// What they are a multiple of.
    pub tile: usize,
    /// The most terms of a part, and what they are a multiple of.
    pub terms: usize,
    pub step: usize,
    /// The most panels of a block.
    pub panels: usize,
}

/// For f32.
const FULL: Blocking =
    Blocking { strided: 96, im2col: 96, transposed: 144, tile: TILE, terms: 384, step: 16, panels: 16 };

/// For bf16: so much faster that reading a panel again costs more than room for more sums.
const ROUNDED: Blocking =
    Blocking { strided: 320, im2col: 128, transposed: 128, tile: 32, terms: 512, step: 32, panels: 16 };

impl Blocking {
    /// For products with this ISA, or in f32.
    pub fn of(isa: Option<Isa>) -> Self {
        if isa.is_some() { ROUNDED } else { FULL }
    }
}

/// A block of a product: `values[r · 32 + c]` is of row `rows.start` + r and column `columns.start` + c.
pub struct Sums<'a> {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
    pub values: &'a [f32],
}

/// Hands all blocks of A · B to `write`, each once, `write_rows` rows at a time, panel after panel.
pub fn blocked_gemm(a: &impl BlockedA, b: &impl PanelB, write_rows: usize, write: impl Fn(Sums) + Sync) {
    let blocking = Blocking::of(b.isa());
    let (blocks, parts, panels) = (a.blocks(blocking), a.parts(blocking), b.columns().div_ceil(PANEL));
    let wanted = (3 * rayon::current_num_threads()).div_ceil(blocks.len().max(1));
    let groups = panels.div_ceil(blocking.panels).max(wanted.min(panels));
    (0..blocks.len() * groups).into_par_iter().for_each(|unit| {
        let (rows, group) = (&blocks[unit / groups], unit % groups);
        let panels = group * panels / groups..(group + 1) * panels / groups;
        let size = rows.len() * PANEL;
        with_scratch(|scratch| {
            // The sums begin with a cache line.
            scratch.sums.resize(panels.len() * size + 15, 0.0);
            let before = scratch.sums.as_ptr().align_offset(64).min(15);
            let Scratch { buffer, lines, sums, a: rounded, pairs } = scratch;
            let sums = &mut sums[before..][..panels.len() * size];
            if parts.is_empty() {
                sums.fill(0.0);
            }
            for (part, terms) in parts.iter().enumerate() {
                let each = panels.clone().zip(sums.chunks_exact_mut(size));
                match b.isa() {
                    None => {
                        let a = a.block(rows.clone(), terms.clone(), buffer);
                        each.for_each(|(panel, sums)| {
                            let next = match parts.get(part + 1) {
                                Some(terms) if panel + 1 == panels.end => b.in_place(panels.start, terms.clone()),
                                _ => b.in_place(panel + 1, terms.clone()),
                            };
                            multiply(a, b.panel(panel, terms.clone(), lines), next, sums, PANEL, part > 0);
                        });
                    }
                    Some(isa) => {
                        let a = a.rounded(isa, rows.clone(), terms.clone(), buffer, rounded);
                        each.for_each(|(panel, sums)| {
                            isa.multiply(a, b.rounded(panel, terms.clone(), pairs), sums, PANEL, part > 0);
                        });
                    }
                }
            }
            for written in rows.clone().step_by(write_rows) {
                let written = written..rows.end.min(written.saturating_add(write_rows));
                for (panel, values) in panels.clone().zip(sums.chunks_exact(size)) {
                    let columns = panel * PANEL..b.columns().min((panel + 1) * PANEL);
                    let values = &values[(written.start - rows.start) * PANEL..][..written.len() * PANEL];
                    write(Sums { rows: written.clone(), columns, values });
                }
            }
        });
    });
}

/// Whether rows that start every `stride` values evict each other from the cache, so that copying them first pays.
pub fn cache_conflicts(stride: usize) -> bool {
    stride >= 1024 && stride.is_multiple_of(64)
}

/// Whether copying columns that start every `stride` values first pays, as the hardware does not prefetch them: it saves a tenth of
/// the time here and two fifths from 1024 on.
pub fn beyond_prefetch(stride: usize) -> bool {
    stride >= 512
}

/// Values between runs that are copied, against cache conflicts.
pub const GAP: usize = 16;

/// Copies `count` runs of `width` values, which start every `stride` values, to where they start every `width` + [`GAP`].
pub fn copy_runs(values: &[f32], stride: usize, width: usize, count: usize, buffer: &mut Vec<f32>) {
    buffer.resize(count * (width + GAP), 0.0);
    for (run, into) in buffer.chunks_exact_mut(width + GAP).enumerate() {
        into[..width].copy_from_slice(&values[run * stride..][..width]);
    }
}

/// [`copy_runs`] shared out among the threads.
pub fn par_copy_runs(values: &[f32], stride: usize, width: usize, count: usize) -> Vec<f32> {
    par_fill(count * (width + GAP), width + GAP, (0..count).into_par_iter(), |run, into| {
        into.extend_from_slice(&values[run * stride..][..width]);
        into.extend_with(GAP, 0.0);
    })
}

/// 0..`count` in equal parts of at most about `most`, all but the last a multiple of `unit`.
pub fn parts(count: usize, most: usize, unit: usize) -> Vec<Range<usize>> {
    let size = count.div_ceil(count.div_ceil(most).max(1)).next_multiple_of(unit);
    (0..count).step_by(size.max(1)).map(|start| start..(start + size).min(count)).collect()
}
