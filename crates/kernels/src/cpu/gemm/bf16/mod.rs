//! bf16 GEMM with f32 accumulation.
//!
//! Both sides are cut into tiles of sixteen lines; a line is sixteen pairs of values, so that a tile has 32 terms of 16 rows of
//! the left side or of 16 columns of the right one. Of the left side a line is a row, with its terms pair by pair; of the right
//! one it is a pair of terms, column by column. These are AMX's tiles, and serve AVX512-BF16 as well.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(test)]
mod portable;
mod rounded_rows;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::{Left, PANEL};
use crate::precision::{Precision, float32_matmul_precision};
use rayon::prelude::*;
pub use rounded_rows::RoundedRows;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::OnceLock;

/// Terms of a tile.
pub const TERMS: usize = 32;

/// Lines of a tile: rows of the left side, columns of the right one.
pub const LINES: usize = 16;

/// Sixteen pairs of values in bf16, as a cache line; the first of each pair is the lower half.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Pairs(pub [u32; LINES]);

/// Which instructions multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Plain Rust, to compare with.
    #[cfg(test)]
    Portable,
    /// AVX512-BF16.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AMX, and AVX512-BF16 to round.
    #[cfg(target_arch = "x86_64")]
    Amx,
}

/// What this machine has, best first.
fn paths() -> impl Iterator<Item = Path> {
    #[cfg(target_arch = "x86_64")]
    let paths = [(Path::Amx, amx::is_there as fn() -> bool), (Path::Avx512, x86::is_there)];
    #[cfg(not(target_arch = "x86_64"))]
    let paths: [(Path, fn() -> bool); 0] = [];
    paths.into_iter().filter(|(_, is_there)| is_there()).map(|(path, _)| path)
}

/// The best path that this machine has, where it is faster than f32.
pub fn best() -> Option<Path> {
    static BEST: OnceLock<Option<Path>> = OnceLock::new();
    *BEST.get_or_init(|| paths().find(|path| path.pays()))
}

/// The path of products that begin now; without one they are f32.
pub fn path() -> Option<Path> {
    if float32_matmul_precision() == Precision::Medium { best() } else { None }
}

/// Some rows of the left side, rounded: a tile for each 16 rows and 32 terms, the terms of the first rows first. What lies
/// beyond the last term is 0; what lies beyond the last row is never read.
#[derive(Clone, Copy)]
pub struct Rounded<'a> {
    tiles: &'a [Pairs],
    rows: usize,
}

/// A left side that is rounded as a whole: for each part of the terms the tiles of all rows.
pub struct Whole {
    pairs: Vec<Pairs>,
    rows: usize,
}

impl Whole {
    /// Some rows, which begin with a tile, and one of the parts.
    pub fn block(&self, rows: Range<usize>, terms: Range<usize>) -> Rounded<'_> {
        let (strips, depth) = (self.rows.div_ceil(LINES), tiles(terms.len()) * LINES);
        let start = terms.start / TERMS * LINES * strips + rows.start / LINES * depth;
        Rounded { tiles: &self.pairs[start..][..rows.len().div_ceil(LINES) * depth], rows: rows.len() }
    }
}

/// So many terms are rounded at a time that what neighbouring strips read is still near.
const NEAR: usize = 4 * TERMS;

/// Strips of the left side that a thread rounds at a time.
const TOGETHER: usize = 4;

/// Tiles that so many terms fill.
pub fn tiles(terms: usize) -> usize {
    terms.div_ceil(TERMS)
}

/// Values to be rounded into tiles: (i, k) stands at i·`strides.0` + k·`strides.1`, one of which is 1.
#[derive(Clone, Copy)]
pub struct Strip<'a> {
    pub values: &'a [f32],
    pub strides: (usize, usize),
    /// At most 16.
    pub count: usize,
    pub terms: usize,
    /// Whether a line is to be the terms of one i, or else a pair of terms of all i.
    pub by_term: bool,
}

impl Strip<'_> {
    /// Whether all values lie within the slice, and the tiles, of which one begins each `step` lines, within `into`.
    fn fits(&self, into: &[MaybeUninit<Pairs>], step: usize) -> bool {
        let (i, k) = self.strides;
        let last = self.count.saturating_sub(1) * i + self.terms.saturating_sub(1) * k;
        self.count <= LINES
            && (i == 1 || k == 1)
            && (self.count == 0 || self.terms == 0 || last < self.values.len())
            && (self.terms == 0 || (tiles(self.terms) - 1) * step + LINES <= into.len())
    }
}

impl Path {
    /// Whether it multiplies faster than f32's instructions do here.
    fn pays(self) -> bool {
        match self {
            #[cfg(test)]
            Path::Portable => false,
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => x86::is_fast(),
            #[cfg(target_arch = "x86_64")]
            Path::Amx => true,
        }
    }

    /// Rounds a strip into tiles, of which one begins each `step` lines; what is missing in a tile becomes 0.
    pub fn round(self, strip: Strip, into: &mut [MaybeUninit<Pairs>], step: usize) {
        match self {
            #[cfg(test)]
            Path::Portable => portable::round(strip, into, step),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 | Path::Amx => x86::round(strip, into, step),
        }
    }

    /// Up to 32 terms of a row, rounded; what is missing becomes 0.
    fn round_line(self, values: &[f32]) -> Pairs {
        match self {
            #[cfg(test)]
            Path::Portable => portable::round_line(values),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 | Path::Amx => x86::round_line(values),
        }
    }

    /// `left` with so many terms, rounded; its tiles lie in `room`.
    pub fn rounded<'a>(self, left: Left, terms: usize, room: &'a mut Vec<Pairs>) -> Rounded<'a> {
        let count = left.rows.div_ceil(LINES) * tiles(terms) * LINES;
        room.clear();
        room.reserve(count);
        self.round_left(left, terms, &mut room.spare_capacity_mut()[..count]);
        // SAFETY: there is room for `count` lines, which are the tiles of all strips, and `round_left` has written each of them.
        unsafe { room.set_len(count) };
        Rounded { tiles: room, rows: left.rows }
    }

    /// Rounds some rows with so many terms into the tiles of a [`Rounded`].
    fn round_left(self, left: Left, terms: usize, into: &mut [MaybeUninit<Pairs>]) {
        let depth = tiles(terms) * LINES;
        for start in (0..terms).step_by(NEAR) {
            for (strip, into) in into.chunks_exact_mut(depth).enumerate() {
                let first = strip * LINES;
                let strip = Strip {
                    values: &left.values[first * left.strides.0 + start * left.strides.1..],
                    strides: left.strides,
                    count: LINES.min(left.rows - first),
                    terms: NEAR.min(terms - start),
                    by_term: true,
                };
                self.round(strip, &mut into[start / TERMS * LINES..], LINES);
            }
        }
    }

    /// All of a matrix with so many terms, rounded, for products that take the terms in these parts.
    pub fn whole(self, left: Left, parts: &[Range<usize>]) -> Whole {
        let (terms, strips) = (parts.last().map_or(0, |part| part.end), left.rows.div_ceil(LINES));
        let count = strips * tiles(terms) * LINES;
        let mut pairs = Vec::with_capacity(count);
        let mut rest = &mut pairs.spare_capacity_mut()[..count];
        for part in parts {
            let depth = tiles(part.len()) * LINES;
            let (these, others) = rest.split_at_mut(strips * depth);
            rest = others;
            these.par_chunks_mut(TOGETHER * depth.max(1)).enumerate().for_each(|(unit, into)| {
                let first = unit * TOGETHER * LINES;
                let values = &left.values[first * left.strides.0 + part.start * left.strides.1..];
                let rows = (TOGETHER * LINES).min(left.rows - first);
                self.round_left(Left { values, rows, ..left }, part.len(), into);
            });
        }
        assert!(rest.is_empty());
        // SAFETY: there is room for `count` lines, the parts have taken all of them, as was asserted, and `round_left` has written all that
        // each unit of a part was given.
        unsafe { pairs.set_len(count) };
        Whole { pairs, rows: left.rows }
    }

    /// Rounds a panel of up to 32 columns: for each 32 terms the tile of the first 16 columns and that of the others. Value
    /// (k, j) stands at k·`strides.0` + j·`strides.1`.
    pub fn round_panel(
        self,
        values: &[f32],
        strides: (usize, usize),
        (terms, width): (usize, usize),
        into: &mut [MaybeUninit<Pairs>],
    ) {
        for (part, into) in into.chunks_mut(NEAR / TERMS * 2 * LINES).enumerate() {
            for half in 0..2 {
                let first = half * LINES;
                let strip = Strip {
                    values: values.get(part * NEAR * strides.0 + first * strides.1..).unwrap_or_default(),
                    strides: (strides.1, strides.0),
                    count: width.saturating_sub(first).min(LINES),
                    terms: NEAR.min(terms - part * NEAR),
                    by_term: false,
                };
                self.round(strip, &mut into[half * LINES..], 2 * LINES);
            }
        }
    }

    /// `into` (rows, 32), row r at r·`stride`, becomes `left` times the panel, or plus what it holds with `add`.
    pub fn multiply(self, left: Rounded, panel: &[Pairs], into: &mut [f32], stride: usize, add: bool) {
        let depth = panel.len() / (2 * LINES);
        assert!(left.tiles.len() >= left.rows.div_ceil(LINES) * depth * LINES && panel.len() == depth * 2 * LINES);
        assert!(left.rows == 0 || stride >= PANEL && (left.rows - 1) * stride + PANEL <= into.len());
        match self {
            #[cfg(test)]
            Path::Portable => portable::multiply(left, panel, into, stride, add),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => x86::multiply(left, panel, into, stride, add),
            #[cfg(target_arch = "x86_64")]
            Path::Amx => amx::multiply(left, panel, into, stride, add),
        }
    }
}

#[cfg(test)]
mod tests;
