//! bf16 GEMM with f32 accumulation.
//!
//! Both operands are cut into tiles of sixteen lines; a line is sixteen pairs of values, so that a tile has 32 terms of 16 rows of
//! A or of 16 columns of B. Of A a line is a row, with its terms pair by pair; of B it is a pair of terms, column by column. These
//! are AMX's tiles, and serve AVX512-BF16 as well.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(test)]
mod portable;
mod rounded_rows;
#[cfg(target_arch = "x86_64")]
mod x86;

use super::{A, PANEL, Strided};
use crate::precision::setting::{Precision, float32_matmul_precision};
use rayon::prelude::*;
pub use rounded_rows::RoundedRows;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::OnceLock;

/// Terms of a tile.
pub const TERMS: usize = 32;

/// Lines of a tile: rows of A, columns of B.
pub const LINES: usize = 16;

/// Sixteen pairs of values in bf16, as a cache line; the first of each pair is the lower half.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Pairs(pub [u32; LINES]);

/// The instructions that round and multiply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isa {
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

/// Those that this machine has, best first.
fn isas() -> impl Iterator<Item = Isa> {
    #[cfg(target_arch = "x86_64")]
    let isas = [(Isa::Amx, amx::is_available as fn() -> bool), (Isa::Avx512, x86::is_available)];
    #[cfg(not(target_arch = "x86_64"))]
    let isas: [(Isa, fn() -> bool); 0] = [];
    isas.into_iter().filter(|(_, is_available)| is_available()).map(|(isa, _)| isa)
}

/// The best that this machine has, where they are faster than f32's.
pub fn best() -> Option<Isa> {
    static BEST: OnceLock<Option<Isa>> = OnceLock::new();
    *BEST.get_or_init(|| isas().find(|isa| isa.is_faster()))
}

/// Those of products that begin now; without them products are f32.
pub fn isa() -> Option<Isa> {
    if float32_matmul_precision() != Precision::Highest { best() } else { None }
}

/// Some rows of A in bf16: a tile for each 16 rows and 32 terms, the terms of the first rows first. What is beyond the last term
/// is 0; what is beyond the last row is never read.
#[derive(Clone, Copy)]
pub struct RoundedA<'a> {
    tiles: &'a [Pairs],
    rows: usize,
}

/// A whole A operand in bf16: for each part of the terms the tiles of all rows.
pub struct RoundedMatrix {
    pairs: Vec<Pairs>,
    rows: usize,
}

impl RoundedMatrix {
    /// Some rows, which begin with a tile, and one of the parts.
    pub fn block(&self, rows: Range<usize>, terms: Range<usize>) -> RoundedA<'_> {
        let (strips, depth) = (self.rows.div_ceil(LINES), tiles(terms.len()) * LINES);
        let start = terms.start / TERMS * LINES * strips + rows.start / LINES * depth;
        RoundedA { tiles: &self.pairs[start..][..rows.len().div_ceil(LINES) * depth], rows: rows.len() }
    }
}

/// Terms that are rounded at a time, so few that what neighbouring strips read is still in the cache.
const CACHED_TERMS: usize = 4 * TERMS;

/// Strips of A that a task rounds.
const TASK_STRIPS: usize = 4;

/// Tiles that so many terms fill.
pub fn tiles(terms: usize) -> usize {
    terms.div_ceil(TERMS)
}

/// Values to be rounded into tiles: row i is a line, column k a term; one of the strides is 1.
#[derive(Clone, Copy)]
pub struct Strip<'a> {
    pub matrix: Strided<'a>,
    /// Rows, at most 16.
    pub count: usize,
    pub terms: usize,
    /// Whether a line is to be the terms of one row, or else a pair of terms of all rows.
    pub by_term: bool,
}

impl Strip<'_> {
    /// Whether all values lie within the slice, and the tiles, of which one begins each `step` lines, within `into`.
    fn fits(&self, into: &[MaybeUninit<Pairs>], step: usize) -> bool {
        self.count <= LINES
            && (self.matrix.row == 1 || self.matrix.column == 1)
            && (self.count == 0 || self.terms == 0 || self.matrix.fits(self.count, self.terms))
            && (self.terms == 0 || (tiles(self.terms) - 1) * step + LINES <= into.len())
    }
}

impl Isa {
    /// Whether they multiply faster than f32's instructions do here.
    fn is_faster(self) -> bool {
        match self {
            #[cfg(test)]
            Isa::Portable => false,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => x86::is_fast(),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => true,
        }
    }

    /// Rounds a strip into tiles, of which one begins each `step` lines; what is missing in a tile becomes 0.
    fn round_strip(self, strip: Strip, into: &mut [MaybeUninit<Pairs>], step: usize) {
        match self {
            #[cfg(test)]
            Isa::Portable => portable::round(strip, into, step),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Amx => x86::round(strip, into, step),
        }
    }

    /// Up to 32 terms of a row, rounded; what is missing becomes 0.
    fn round_line(self, values: &[f32]) -> Pairs {
        match self {
            #[cfg(test)]
            Isa::Portable => portable::round_line(values),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Amx => x86::round_line(values),
        }
    }

    /// Some rows of A with so many terms; the tiles are written to `buffer`.
    pub fn round<'a>(self, a: A, terms: usize, buffer: &'a mut Vec<Pairs>) -> RoundedA<'a> {
        let count = a.rows.div_ceil(LINES) * tiles(terms) * LINES;
        buffer.clear();
        buffer.reserve(count);
        self.round_a(a, terms, &mut buffer.spare_capacity_mut()[..count]);
        // SAFETY: there is room for `count` lines, which are the tiles of all strips, and `round_a` has written each of them.
        unsafe { buffer.set_len(count) };
        RoundedA { tiles: buffer, rows: a.rows }
    }

    /// Rounds some rows with so many terms into the tiles of a [`RoundedA`].
    fn round_a(self, a: A, terms: usize, into: &mut [MaybeUninit<Pairs>]) {
        let depth = tiles(terms) * LINES;
        for start in (0..terms).step_by(CACHED_TERMS) {
            for (strip, into) in into.chunks_exact_mut(depth).enumerate() {
                let first = strip * LINES;
                let strip = Strip {
                    matrix: a.matrix.from(first, start),
                    count: LINES.min(a.rows - first),
                    terms: CACHED_TERMS.min(terms - start),
                    by_term: true,
                };
                self.round_strip(strip, &mut into[start / TERMS * LINES..], LINES);
            }
        }
    }

    /// All of A, for products that take the terms in these parts.
    pub fn round_matrix(self, a: A, parts: &[Range<usize>]) -> RoundedMatrix {
        let (terms, strips) = (parts.last().map_or(0, |part| part.end), a.rows.div_ceil(LINES));
        let count = strips * tiles(terms) * LINES;
        let mut pairs = Vec::with_capacity(count);
        let mut rest = &mut pairs.spare_capacity_mut()[..count];
        for part in parts {
            let depth = tiles(part.len()) * LINES;
            let (these, others) = rest.split_at_mut(strips * depth);
            rest = others;
            these.par_chunks_mut(TASK_STRIPS * depth.max(1)).enumerate().for_each(|(unit, into)| {
                let first = unit * TASK_STRIPS * LINES;
                let rows = (TASK_STRIPS * LINES).min(a.rows - first);
                self.round_a(A::new(a.matrix.from(first, part.start), rows), part.len(), into);
            });
        }
        assert!(rest.is_empty());
        // SAFETY: there is room for `count` lines, the parts have taken all of them, as was asserted, and `round_a` has written all that
        // each unit of a part was given.
        unsafe { pairs.set_len(count) };
        RoundedMatrix { pairs, rows: a.rows }
    }

    /// Rounds a panel of up to 32 columns of B: for each 32 terms the tile of the first 16 columns and that of the others.
    pub fn round_panel(self, b: Strided, terms: usize, width: usize, into: &mut [MaybeUninit<Pairs>]) {
        for (part, into) in into.chunks_mut(CACHED_TERMS / TERMS * 2 * LINES).enumerate() {
            for half in 0..2 {
                let (start, first) = (part * CACHED_TERMS, half * LINES);
                let strip = Strip {
                    matrix: Strided {
                        values: b.values.get(start * b.row + first * b.column..).unwrap_or_default(),
                        ..b.transposed()
                    },
                    count: width.saturating_sub(first).min(LINES),
                    terms: CACHED_TERMS.min(terms - start),
                    by_term: false,
                };
                self.round_strip(strip, &mut into[half * LINES..], 2 * LINES);
            }
        }
    }

    /// `into` (rows, 32), row r at r·`stride`, becomes A times the panel, or plus what it holds with `add`.
    pub fn multiply(self, a: RoundedA, panel: &[Pairs], into: &mut [f32], stride: usize, add: bool) {
        let depth = panel.len() / (2 * LINES);
        assert!(a.tiles.len() >= a.rows.div_ceil(LINES) * depth * LINES && panel.len() == depth * 2 * LINES);
        assert!(a.rows == 0 || stride >= PANEL && (a.rows - 1) * stride + PANEL <= into.len());
        match self {
            #[cfg(test)]
            Isa::Portable => portable::multiply(a, panel, into, stride, add),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => x86::multiply(a, panel, into, stride, add),
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => amx::multiply(a, panel, into, stride, add),
        }
    }
}

#[cfg(test)]
mod tests;
