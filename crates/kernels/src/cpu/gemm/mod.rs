//! GEMM: matrix products of f32 on the CPU.
//!
//! [`Packed`] lays the right side out in panels of 32 columns, once for all products that it serves;
//! [`Packed::multiply`] then forms 32 columns of a product with everything in registers. The code for AVX-512, AVX2 with FMA or
//! any other machine is chosen at run time. [`gemm_into`] is a whole product on top of it, shared out among the threads in
//! blocks.

pub mod bf16;
pub mod blocked;
pub mod gemv;
mod packing;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::cpu::team::{Shared, filled};
use bf16::{Pairs, Path, Rounded, Whole};
use blocked::{Cut, Sums, times};
use gemv::Lines;
pub use packing::{Line, Lying, Packed, Right};
use rayon::prelude::*;
use std::ops::Range;

/// Columns of a panel.
pub const PANEL: usize = 32;

/// The left side of a product: value k of row r stands at r·`strides.0` + k·`strides.1`, and one of the two is 1.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    pub values: &'a [f32],
    pub rows: usize,
    pub strides: (usize, usize),
    /// The same rounded, where that was done before.
    rounded: Option<Rounded<'a>>,
}

impl<'a> Left<'a> {
    /// Rows that start every `stride` values.
    pub fn rows(values: &'a [f32], rows: usize, stride: usize) -> Self {
        Self { values, rows, strides: (stride, 1), rounded: None }
    }

    /// The transpose of such rows.
    pub fn columns(values: &'a [f32], rows: usize, stride: usize) -> Self {
        Self { values, rows, strides: (1, stride), rounded: None }
    }

    /// The same, with what they are when rounded.
    pub fn with(self, rounded: Option<Rounded<'a>>) -> Self {
        Self { rounded, ..self }
    }

    /// The transpose, which has so many rows.
    pub fn transposed(self, rows: usize) -> Self {
        Self { rows, strides: (self.strides.1, self.strides.0), rounded: None, ..self }
    }
}

/// `into` (rows, 32), row r at r·`stride`, becomes `left` times the lines, or plus what it holds with `add`; `next` are the lines
/// that will be wanted after these.
pub fn multiply(left: Left, lines: &[Line], next: &[Line], into: &mut [f32], stride: usize, add: bool) {
    let tile = Tile { left: left.values, strides: left.strides, lines, next, stride, add };
    #[cfg(target_arch = "x86_64")]
    if let Some(level) = x86::level() {
        let multiply = |tile: Tile, rows: usize, into: &mut [f32]| x86::multiply(level, tile, rows, into);
        return tile.in_depths(level.depth(), |tile| tile.in_parts(left.rows, level.rows(), into, multiply));
    }
    tile.in_parts(left.rows, 4, into, portable::multiply);
}

/// A few rows of the left side and a panel; `lines` has two for each row of the panel.
#[derive(Clone, Copy)]
struct Tile<'a> {
    left: &'a [f32],
    strides: (usize, usize),
    lines: &'a [Line],
    /// What to have brought near meanwhile: weights seldom stay in the second cache from one use to the next, and the first rows
    /// that need a line would wait for it.
    next: &'a [Line],
    stride: usize,
    add: bool,
}

impl<'a> Tile<'a> {
    /// Lines to bring near, one after the other, of which there is always one where there are lines at all.
    fn near(&self) -> &'a [Line] {
        if self.next.is_empty() { self.lines } else { self.next }
    }

    /// Whether so many rows of both sides lie within their slices.
    fn fits(&self, rows: usize, into: &[f32]) -> bool {
        let last = (rows - 1) * self.strides.0 + (self.lines.len() / 2).saturating_sub(1) * self.strides.1;
        let straight = self.strides.0 == 1 || self.strides.1 == 1;
        straight && (self.lines.is_empty() || last < self.left.len()) && (rows - 1) * self.stride + PANEL <= into.len()
    }

    /// Splits the rows of the panel into parts of at most `most`; all but the first are added.
    fn in_depths(self, most: usize, mut each: impl FnMut(Self)) {
        let depth = self.lines.len() / 2;
        if depth <= most {
            return each(self);
        }
        for start in (0..depth).step_by(most) {
            let end = depth.min(start + most);
            let lines = &self.lines[2 * start..2 * end];
            let next = if end < depth { &self.lines[2 * end..] } else { self.next };
            let next = &next[..next.len().min(2 * most)];
            let left = &self.left[start * self.strides.1..];
            each(Self { left, lines, next, add: self.add || start > 0, ..self });
        }
    }

    /// Splits the rows into equal parts of at most `most`, each of which brings its share near.
    fn in_parts(self, rows: usize, most: usize, into: &mut [f32], multiply: impl Fn(Self, usize, &mut [f32])) {
        let parts = rows.div_ceil(most);
        for part in 0..parts {
            let (start, end) = (part * rows / parts, (part + 1) * rows / parts);
            let left = &self.left[start * self.strides.0..];
            let next = &self.next[part * self.next.len() / parts..(part + 1) * self.next.len() / parts];
            multiply(Self { left, next, ..self }, end - start, &mut into[start * self.stride..]);
        }
    }
}

/// a (m, k) b (k, n), plus `bias` (n) in each row; strides are (row, column), and one of a's is 1.
pub fn gemm_into(
    a: &[f32],
    a_strides: (usize, usize),
    b: &[f32],
    b_strides: (usize, usize),
    (m, n, k): (usize, usize, usize),
    bias: Option<&[f32]>,
) -> Vec<f32> {
    if m < WORTH_PACKING || n == 0 || k == 0 {
        let mut product = bias.map_or_else(|| vec![0.0; m * n], |bias| bias.repeat(m));
        if !product.is_empty() && k > 0 {
            few_rows(&mut product, a, a_strides, b, b_strides, (m, n, k));
        }
        return product;
    }
    let work = |into: &Shared| {
        many_rows(bf16::path(), into, a, a_strides, b, b_strides, (m, n, k), |into, sums, start| match bias {
            Some(bias) => into.iter_mut().zip(sums).zip(&bias[start..]).for_each(|((into, sum), b)| *into = sum + b),
            None => into.copy_from_slice(sums),
        });
    };
    // SAFETY: the blocks cover the whole product, and `many_rows` hands each piece of it to the function above, which writes all of it
    // and reads nothing.
    unsafe { filled(m * n, work) }
}

/// Hands each piece of a row of the product to `write`: where it goes, its sums and its first column. With a path both sides
/// are rounded.
fn many_rows(
    path: Option<Path>,
    into: &Shared,
    a: &[f32],
    strides: (usize, usize),
    b: &[f32],
    b_strides: (usize, usize),
    (m, n, k): (usize, usize, usize),
    write: impl Fn(&mut [f32], &[f32], usize) + Sync,
) {
    assert!(a.len() > (m - 1) * strides.0 + (k - 1) * strides.1);
    assert!(b.len() > (k - 1) * b_strides.0 + (n - 1) * b_strides.1);
    let apart = strides.0.max(strides.1);
    let (panels, apart) = if strides.0 == 1 { (4, blocked::far(apart)) } else { (8, blocked::collide(apart)) };
    let copied = path.is_none() && apart && n >= panels * PANEL;
    let cut = Cut::of(path);
    // Where several blocks read the same rows, they are rounded once.
    let whole = path.filter(|_| n > cut.panels * PANEL).map(|path| {
        path.whole(Left { values: a, rows: m, strides, rounded: None }, &blocked::parts(k, cut.terms, cut.step))
    });
    let together = if path.is_none() && m <= ONE_BLOCK && b_strides.0 == 1 { m } else { 0 };
    // One block is read by all groups of panels, so that it is copied once for all.
    let once = (together > 0 && copied && strides.1 == 1).then(|| blocked::copied_whole(a, strides.0, (k, m)));
    let (a, strides, copied) = match &once {
        Some(rows) => (&rows[..], (k + blocked::GAP, 1), false),
        None => (a, strides, copied),
    };
    let left = Plain { values: a, strides, size: (m, k), copied, whole, together };
    let write = |sums: Sums| {
        let width = sums.columns.len();
        for (row, values) in sums.rows.zip(sums.values.chunks_exact(PANEL)) {
            // SAFETY: a product hands out each block once (`blocked::times`): these columns of this row are in no other, and nobody else
            // has `into`.
            let into = unsafe { into.write(row * n + sums.columns.start, width) };
            write(into, &values[..width], sums.columns.start);
        }
    };
    match b_strides {
        (_, 1) if m <= FEW_BLOCKS => {
            times(&left, &Lying { values: b, strides: b_strides, columns: n, path }, FEW, write)
        }
        (1, _) if left.together > 0 => {
            times(&left, &Lying { values: b, strides: b_strides, columns: n, path }, FEW, write);
        }
        _ => times(&left, &Packed::new(path, b, b_strides, k, n), FEW, write),
    }
}

/// Up to so many rows, which are one block or two, the right side is packed a part at a time while it is in the cache.
pub const FEW_BLOCKS: usize = 192;

/// Up to so many rows are one block where the right side has to be turned: it is read once, and what it is turned to never leaves
/// the cache.
const ONE_BLOCK: usize = 384;

/// Rows of a result that are written at a time: so few that what is written next lies near what was written before.
pub const FEW: usize = 8;

/// Below this many rows, packing the right side costs more than it saves.
const WORTH_PACKING: usize = 12;

/// Adds a few rows times weights whose rows lie as they are multiplied.
fn rows_by_rows(into: &mut [f32], a: &[f32], a_row: usize, b: &[f32], b_row: usize, (m, n, k): (usize, usize, usize)) {
    const COLUMNS: usize = 32;
    let rows = Lines { values: a, stride: a_row, count: m };
    let shared = Shared::new(into);
    let columns = |columns: Range<usize>| {
        let weights = Lines { values: &b[columns.start * b_row..], stride: b_row, count: columns.len() };
        let mut sums = [0f32; WORTH_PACKING * COLUMNS];
        gemv::add(&mut sums, COLUMNS, rows, weights, k);
        for (i, sums) in sums.chunks_exact(COLUMNS).take(m).enumerate() {
            // SAFETY: the parts are columns that do not overlap, each is one task's, and it has one row at a time.
            let into = unsafe { shared.write(i * n + columns.start, columns.len()) };
            into.iter_mut().zip(sums).for_each(|(into, sum)| *into += sum);
        }
    };
    let parts = blocked::parts(n, COLUMNS, 1);
    match m * n * k < 1 << 16 {
        true => parts.into_iter().for_each(columns),
        false => parts.into_par_iter().for_each(columns),
    }
}

/// Adds the product that [`gemm_into`] gives, on both sides as they lie.
fn few_rows(
    into: &mut [f32],
    a: &[f32],
    (a_row, a_column): (usize, usize),
    b: &[f32],
    (b_row, b_column): (usize, usize),
    (m, n, k): (usize, usize, usize),
) {
    assert!(into.len() >= m * n);
    assert!(a.len() > (m - 1) * a_row + (k - 1) * a_column);
    assert!(b.len() > (k - 1) * b_row + (n - 1) * b_column);
    if a_column == 1 && b_row == 1 {
        return rows_by_rows(into, a, a_row, b, b_column, (m, n, k));
    }
    let threads = if m * n * k < 1 << 16 { 1 } else { rayon::current_num_threads() };
    let parallelism = if threads > 1 { ::gemm::Parallelism::Rayon(threads) } else { ::gemm::Parallelism::None };
    // SAFETY: the largest index of each side lies within its slice, as was asserted above; `into` is a mutable borrow that overlaps
    // neither side, and holds values already.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            k,
            into.as_mut_ptr(),
            1,
            n as isize,
            true,
            a.as_ptr(),
            a_column as isize,
            a_row as isize,
            b.as_ptr(),
            b_column as isize,
            b_row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// A matrix that lies in a slice.
struct Plain<'a> {
    values: &'a [f32],
    strides: (usize, usize),
    size: (usize, usize),
    /// Whether its rows or columns lie such a distance apart, and enough is done with each block, that copying it pays.
    copied: bool,
    /// All of it, rounded.
    whole: Option<Whole>,
    /// Rows of a block, where not as many as usual.
    together: usize,
}

impl blocked::Rows for Plain<'_> {
    fn blocks(&self, cut: Cut) -> Vec<Range<usize>> {
        blocked::parts(self.size.0, if self.together > 0 { self.together } else { cut.plain }, cut.tile)
    }

    fn parts(&self, cut: Cut) -> Vec<Range<usize>> {
        blocked::parts(self.size.1, cut.terms, cut.step)
    }

    fn block<'a>(&'a self, rows: Range<usize>, terms: Range<usize>, room: &'a mut Vec<f32>) -> Left<'a> {
        let values = &self.values[rows.start * self.strides.0 + terms.start * self.strides.1..];
        if !self.copied {
            return Left { values, rows: rows.len(), strides: self.strides, rounded: None };
        }
        let beside = self.strides.0 == 1;
        let (stride, (width, count)) = match beside {
            true => (self.strides.1, (rows.len(), terms.len())),
            false => (self.strides.0, (terms.len(), rows.len())),
        };
        blocked::copied(values, stride, (width, count), room);
        let strides = if beside { (1, width + blocked::GAP) } else { (width + blocked::GAP, 1) };
        Left { values: room, rows: rows.len(), strides, rounded: None }
    }

    fn rounded<'a>(
        &'a self,
        path: Path,
        rows: Range<usize>,
        terms: Range<usize>,
        (room, tiles): (&'a mut Vec<f32>, &'a mut Vec<Pairs>),
    ) -> Rounded<'a> {
        match &self.whole {
            Some(whole) => whole.block(rows, terms),
            None => path.rounded(self.block(rows, terms.clone(), room), terms.len(), tiles),
        }
    }
}

#[cfg(test)]
mod tests;
