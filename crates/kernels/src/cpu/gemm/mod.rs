//! GEMM of f32 on the CPU: packed B, microkernels chosen at run time, blocks shared out among the threads.
//!
//! [`PackedB`] lays B out in panels of 32 columns, once for all products that it serves; [`PackedB::multiply`] then forms 32
//! columns of a product with all sums in registers. [`gemm`] is a whole product.

pub mod bf16;
pub mod blocked;
pub mod gemv;
mod packing;
mod panel;
mod portable;
mod row_major;
pub mod scratch;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::cpu::disjoint::{self, DisjointSlice};
use bf16::{Isa, Pairs, RoundedA, RoundedMatrix};
use blocked::{BlockedA, Blocking, Sums, blocked_gemm};
use gemv::RowMajor;
pub use packing::{NchwChannels, PackedB, PanelB, StridedB};
pub use panel::Line;
use rayon::prelude::*;
use std::ops::Range;

/// Columns of a panel.
pub const PANEL: usize = 32;

/// A matrix in a slice: value (i, j) is at i·`row` + j·`column`.
#[derive(Clone, Copy)]
pub struct Strided<'a> {
    pub values: &'a [f32],
    pub row: usize,
    pub column: usize,
}

impl<'a> Strided<'a> {
    /// Rows that start every `stride` values.
    pub fn rows(values: &'a [f32], stride: usize) -> Self {
        Self { values, row: stride, column: 1 }
    }

    /// The transpose of such rows.
    pub fn columns(values: &'a [f32], stride: usize) -> Self {
        Self { values, row: 1, column: stride }
    }

    pub fn transposed(self) -> Self {
        Self { row: self.column, column: self.row, ..self }
    }

    /// The matrix from row `i` and column `j` on.
    pub fn from(self, i: usize, j: usize) -> Self {
        Self { values: &self.values[i * self.row + j * self.column..], ..self }
    }

    /// Whether so many rows and columns lie within the slice.
    fn fits(self, rows: usize, columns: usize) -> bool {
        self.values.len() > (rows - 1) * self.row + (columns - 1) * self.column
    }
}

/// The sizes of a product: A (m, k) times B (k, n).
#[derive(Clone, Copy)]
pub struct GemmShape {
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

/// Some rows of the A operand, one of whose strides is 1.
#[derive(Clone, Copy)]
pub struct A<'a> {
    pub matrix: Strided<'a>,
    pub rows: usize,
    /// The same in bf16, where that was done before.
    rounded: Option<RoundedA<'a>>,
}

impl<'a> A<'a> {
    pub fn new(matrix: Strided<'a>, rows: usize) -> Self {
        Self { matrix, rows, rounded: None }
    }

    /// Rows that start every `stride` values.
    pub fn rows(values: &'a [f32], rows: usize, stride: usize) -> Self {
        Self::new(Strided::rows(values, stride), rows)
    }

    /// The transpose of such rows.
    pub fn columns(values: &'a [f32], rows: usize, stride: usize) -> Self {
        Self::new(Strided::columns(values, stride), rows)
    }

    /// The same with its rows in bf16.
    pub fn with(self, rounded: Option<RoundedA<'a>>) -> Self {
        Self { rounded, ..self }
    }
}

/// `into` (rows, 32), row r at r·`stride`, becomes A times the lines of a panel, or plus what it holds with `add`; `next` are the lines
/// to prefetch.
pub fn multiply(a: A, lines: &[Line], next: &[Line], into: &mut [f32], stride: usize, add: bool) {
    let tile = Tile { a: a.matrix, lines, next, stride, add };
    #[cfg(target_arch = "x86_64")]
    if let Some(level) = x86::level() {
        let multiply = |tile: Tile, rows: usize, into: &mut [f32]| x86::multiply(level, tile, rows, into);
        return tile.split_depth(level.depth(), |tile| tile.split_rows(a.rows, level.rows(), into, multiply));
    }
    tile.split_rows(a.rows, 4, into, portable::multiply);
}

/// A few rows of A and a panel, which has two lines for each of its rows.
#[derive(Clone, Copy)]
struct Tile<'a> {
    a: Strided<'a>,
    lines: &'a [Line],
    /// Lines to prefetch: weights seldom stay in the second-level cache from one use to the next.
    next: &'a [Line],
    stride: usize,
    add: bool,
}

impl<'a> Tile<'a> {
    /// The lines to prefetch, of which there is always one where there are lines at all.
    fn prefetched(&self) -> &'a [Line] {
        if self.next.is_empty() { self.lines } else { self.next }
    }

    /// Whether so many rows of A and of the result lie within their slices.
    fn fits(&self, rows: usize, into: &[f32]) -> bool {
        let (a, depth) = (self.a, self.lines.len() / 2);
        (a.row == 1 || a.column == 1)
            && (depth == 0 || a.fits(rows, depth))
            && (rows - 1) * self.stride + PANEL <= into.len()
    }

    /// Splits the panel's rows into parts of at most `most`; all but the first are added.
    fn split_depth(self, most: usize, mut each: impl FnMut(Self)) {
        let depth = self.lines.len() / 2;
        if depth <= most {
            return each(self);
        }
        for start in (0..depth).step_by(most) {
            let end = depth.min(start + most);
            let lines = &self.lines[2 * start..2 * end];
            let next = if end < depth { &self.lines[2 * end..] } else { self.next };
            let next = &next[..next.len().min(2 * most)];
            each(Self { a: self.a.from(0, start), lines, next, add: self.add || start > 0, ..self });
        }
    }

    /// Splits A's rows into equal parts of at most `most`, each of which prefetches its share.
    fn split_rows(self, rows: usize, most: usize, into: &mut [f32], multiply: impl Fn(Self, usize, &mut [f32])) {
        let parts = rows.div_ceil(most);
        for part in 0..parts {
            let (start, end) = (part * rows / parts, (part + 1) * rows / parts);
            let next = &self.next[part * self.next.len() / parts..(part + 1) * self.next.len() / parts];
            let tile = Self { a: self.a.from(start, 0), next, ..self };
            multiply(tile, end - start, &mut into[start * self.stride..]);
        }
    }
}

/// A (m, k) times B (k, n), plus `bias` (n) in each row; one of A's strides is 1.
pub fn gemm(a: Strided, b: Strided, shape: GemmShape, bias: Option<&[f32]>) -> Vec<f32> {
    let GemmShape { m, n, k } = shape;
    if m < PACKING_PAYS || n == 0 || k == 0 {
        let mut product = bias.map_or_else(|| vec![0.0; m * n], |bias| bias.repeat(m));
        if !product.is_empty() && k > 0 {
            add_skinny(&mut product, a, b, shape);
        }
        return product;
    }
    let work = |into: &DisjointSlice| {
        packed_gemm(bf16::isa(), into, a, b, shape, |into, sums, start| match bias {
            Some(bias) => into.iter_mut().zip(sums).zip(&bias[start..]).for_each(|((into, sum), b)| *into = sum + b),
            None => into.copy_from_slice(sums),
        });
    };
    // SAFETY: the blocks cover the whole product, and `packed_gemm` hands each piece of it to the function above, which writes all of it
    // and reads nothing.
    unsafe { disjoint::fill(m * n, work) }
}

/// Hands each piece of a row of the product to `write`: where it goes, its sums and its first column. With an ISA both operands are
/// rounded to bf16.
fn packed_gemm(
    isa: Option<Isa>,
    into: &DisjointSlice,
    a: Strided,
    b: Strided,
    GemmShape { m, n, k }: GemmShape,
    write: impl Fn(&mut [f32], &[f32], usize) + Sync,
) {
    assert!(a.fits(m, k) && b.fits(k, n));
    let stride = a.row.max(a.column);
    let (panels, scattered) = match a.row == 1 {
        true => (4, blocked::beyond_prefetch(stride)),
        false => (8, blocked::cache_conflicts(stride)),
    };
    let copied = isa.is_none() && scattered && n >= panels * PANEL;
    let blocking = Blocking::of(isa);
    // Where several groups of panels read the same rows, these are rounded once.
    let rounded = isa
        .filter(|_| n > blocking.panels * PANEL)
        .map(|isa| isa.round_matrix(A::new(a, m), &blocked::parts(k, blocking.terms, blocking.step)));
    let block_rows = (isa.is_none() && m <= SINGLE_BLOCK && b.row == 1).then_some(m);
    // A single block is read by all groups of panels, so that it is copied once for all.
    let copy = (block_rows.is_some() && copied && a.column == 1).then(|| blocked::par_copy_runs(a.values, a.row, k, m));
    let (a, copied) = match &copy {
        Some(copy) => (Strided::rows(copy, k + blocked::GAP), false),
        None => (a, copied),
    };
    let a = StridedA { matrix: a, m, k, copied, rounded, block_rows };
    let write = |sums: Sums| {
        let width = sums.columns.len();
        for (row, values) in sums.rows.zip(sums.values.chunks_exact(PANEL)) {
            // SAFETY: a product hands out each block once (`blocked_gemm`): these columns of this row are in no other, and nobody else
            // has `into`.
            let into = unsafe { into.write(row * n + sums.columns.start, width) };
            write(into, &values[..width], sums.columns.start);
        }
    };
    if b.column == 1 && m <= PACKED_AS_READ || b.row == 1 && block_rows.is_some() {
        blocked_gemm(&a, &StridedB { matrix: b, columns: n, isa }, WRITTEN_ROWS, write);
    } else {
        blocked_gemm(&a, &PackedB::new(isa, b, k, n), WRITTEN_ROWS, write);
    }
}

/// Up to so many rows, which are one block or two, B is packed a part at a time while it is in the cache.
pub const PACKED_AS_READ: usize = 192;

/// Up to so many rows are one block where B is to be transposed: it is read once, and its panels never leave the cache.
const SINGLE_BLOCK: usize = 384;

/// Rows of a result that are written at a time, so few that the cache holds their parts of all panels.
pub const WRITTEN_ROWS: usize = 8;

/// Below this many rows, packing B costs more than it saves.
const PACKING_PAYS: usize = 12;

/// Below this many multiplications, one thread is faster.
const PARALLEL_PAYS: usize = 1 << 16;

/// Adds the product of a few rows with weights (n, k), both row-major.
fn add_skinny_row_major(into: &mut [f32], a: RowMajor, weights: RowMajor, k: usize) {
    const COLUMNS: usize = 32;
    let (m, n) = (a.count, weights.count);
    let shared = DisjointSlice::new(into);
    let columns = |columns: Range<usize>| {
        let mut sums = [0f32; PACKING_PAYS * COLUMNS];
        gemv::add(&mut sums, COLUMNS, a, weights.part(columns.start, columns.end), k);
        for (i, sums) in sums.chunks_exact(COLUMNS).take(m).enumerate() {
            // SAFETY: the parts are columns that do not overlap, each is one task's, and it has one row at a time.
            let into = unsafe { shared.write(i * n + columns.start, columns.len()) };
            into.iter_mut().zip(sums).for_each(|(into, sum)| *into += sum);
        }
    };
    let parts = blocked::parts(n, COLUMNS, 1);
    match m * n * k < PARALLEL_PAYS {
        true => parts.into_iter().for_each(columns),
        false => parts.into_par_iter().for_each(columns),
    }
}

/// Adds the product of a few rows, with both operands in place.
fn add_skinny(into: &mut [f32], a: Strided, b: Strided, GemmShape { m, n, k }: GemmShape) {
    assert!(into.len() >= m * n && a.fits(m, k) && b.fits(k, n));
    if a.column == 1 && b.row == 1 {
        let rows = RowMajor { values: a.values, stride: a.row, count: m };
        return add_skinny_row_major(into, rows, RowMajor { values: b.values, stride: b.column, count: n }, k);
    }
    let threads = if m * n * k < PARALLEL_PAYS { 1 } else { rayon::current_num_threads() };
    let parallelism = if threads > 1 { ::gemm::Parallelism::Rayon(threads) } else { ::gemm::Parallelism::None };
    // SAFETY: the largest index of each operand lies within its slice, as was asserted above; `into` is a mutable borrow that overlaps
    // neither of them, and holds values already.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            k,
            into.as_mut_ptr(),
            1,
            n as isize,
            true,
            a.values.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.values.as_ptr(),
            b.column as isize,
            b.row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// The A operand (m, k) in a slice.
struct StridedA<'a> {
    matrix: Strided<'a>,
    m: usize,
    k: usize,
    /// Whether each block is copied first: its stride is unfavourable, and enough is done with it.
    copied: bool,
    /// All of it in bf16.
    rounded: Option<RoundedMatrix>,
    /// Rows of a block, where not as many as usual.
    block_rows: Option<usize>,
}

impl BlockedA for StridedA<'_> {
    fn blocks(&self, blocking: Blocking) -> Vec<Range<usize>> {
        blocked::parts(self.m, self.block_rows.unwrap_or(blocking.strided), blocking.tile)
    }

    fn parts(&self, blocking: Blocking) -> Vec<Range<usize>> {
        blocked::parts(self.k, blocking.terms, blocking.step)
    }

    fn block<'a>(&'a self, rows: Range<usize>, terms: Range<usize>, buffer: &'a mut Vec<f32>) -> A<'a> {
        let matrix = self.matrix.from(rows.start, terms.start);
        if !self.copied {
            return A::new(matrix, rows.len());
        }
        if matrix.row == 1 {
            blocked::copy_runs(matrix.values, matrix.column, rows.len(), terms.len(), buffer);
            return A::columns(buffer, rows.len(), rows.len() + blocked::GAP);
        }
        blocked::copy_runs(matrix.values, matrix.row, terms.len(), rows.len(), buffer);
        A::rows(buffer, rows.len(), terms.len() + blocked::GAP)
    }

    fn rounded<'a>(
        &'a self,
        isa: Isa,
        rows: Range<usize>,
        terms: Range<usize>,
        buffer: &'a mut Vec<f32>,
        tiles: &'a mut Vec<Pairs>,
    ) -> RoundedA<'a> {
        match &self.rounded {
            Some(rounded) => rounded.block(rows, terms),
            None => isa.round(self.block(rows, terms.clone(), buffer), terms.len(), tiles),
        }
    }
}
