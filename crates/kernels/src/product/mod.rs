//! Products with a matrix that is used many times, as the weights of a recurrence are, in f32 on the CPU.
//!
//! [`Packed`] lays the matrix out in panels of 32 columns, once; [`Packed::multiply`] then forms 32 columns of a product
//! with everything in registers. The code for AVX-512, AVX2 with FMA or any other machine is chosen at run time.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use rayon::prelude::*;

/// Columns of a panel.
pub const PANEL: usize = 32;

/// A matrix (depth, columns) in panels of [`PANEL`] columns; the last one is filled up with zeros.
pub struct Packed {
    lines: Vec<Line>,
    depth: usize,
    columns: usize,
}

/// Half a row of a panel, as a cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([f32; 16]);

/// Rows of the left side of a product: row r starts at `r * stride`.
#[derive(Clone, Copy)]
pub struct Left<'a> {
    pub values: &'a [f32],
    pub rows: usize,
    pub stride: usize,
}

impl Packed {
    /// Packs the matrix whose value (k, j) stands at k·`strides.0` + j·`strides.1`.
    pub fn new(values: &[f32], strides: (usize, usize), depth: usize, columns: usize) -> Self {
        let mut lines = vec![Line([0.0; 16]); columns.div_ceil(PANEL) * depth * 2];
        if depth > 0 {
            lines.par_chunks_mut(depth * 2).enumerate().for_each(|(panel, lines)| {
                let start = panel * PANEL;
                let width = PANEL.min(columns - start);
                if strides.1 == 1 {
                    for (k, row) in lines.chunks_exact_mut(2).enumerate() {
                        let values = &values[k * strides.0 + start..][..width];
                        for (line, values) in row.iter_mut().zip(values.chunks(16)) {
                            line.0[..values.len()].copy_from_slice(values);
                        }
                    }
                } else {
                    // A few rows at a time, so that what is written stays in the nearest cache.
                    for first in (0..depth).step_by(32) {
                        for j in 0..width {
                            for k in first..depth.min(first + 32) {
                                lines[k * 2 + j / 16].0[j % 16] = values[k * strides.0 + (start + j) * strides.1];
                            }
                        }
                    }
                }
            });
        }
        Self { lines, depth, columns }
    }

    /// The transpose of a row-major matrix (columns, depth), as weights (out, in) are used going forward.
    pub fn transposed(values: &[f32], columns: usize, depth: usize) -> Self {
        Self::new(values, (1, depth), depth, columns)
    }

    /// A row-major matrix (depth, columns), as weights (out, in) are used going back.
    pub fn rows(values: &[f32], depth: usize, columns: usize) -> Self {
        Self::new(values, (columns, 1), depth, columns)
    }

    /// How many panels there are.
    pub fn panels(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    /// The first column of a panel, and how many of its columns are the matrix's own.
    pub fn span(&self, panel: usize) -> (usize, usize) {
        let start = panel * PANEL;
        (start, PANEL.min(self.columns - start))
    }

    /// `into` (rows, 32), row r at r·`stride`, becomes `left` times the panel, or plus what it holds with `add`.
    pub fn multiply(&self, left: Left, panel: usize, into: &mut [f32], stride: usize, add: bool) {
        let Left { values, rows, stride: left_stride } = left;
        if rows == 0 {
            return;
        }
        assert!(stride >= PANEL && into.len() >= (rows - 1) * stride + PANEL);
        assert!(values.len() >= (rows - 1) * left_stride + self.depth);
        let lines = &self.lines[panel * self.depth * 2..][..self.depth * 2];
        let tile = Tile { values, left_stride, lines, stride, add };
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(level) = x86::level() {
                return tile
                    .in_parts(rows, level.rows(), into, |tile, rows, into| x86::multiply(level, tile, rows, into));
            }
        }
        tile.in_parts(rows, 4, into, portable::multiply);
    }
}

/// A few rows of the left side and a panel; `lines` has two for each row of the panel.
#[derive(Clone, Copy)]
struct Tile<'a> {
    values: &'a [f32],
    left_stride: usize,
    lines: &'a [Line],
    stride: usize,
    add: bool,
}

impl Tile<'_> {
    /// Splits the rows into equal parts of at most `most`.
    fn in_parts(self, rows: usize, most: usize, into: &mut [f32], multiply: impl Fn(Self, usize, &mut [f32])) {
        let parts = rows.div_ceil(most);
        for part in 0..parts {
            let (start, end) = (part * rows / parts, (part + 1) * rows / parts);
            let values = &self.values[start * self.left_stride..];
            multiply(Self { values, ..self }, end - start, &mut into[start * self.stride..]);
        }
    }
}

/// `into` (m, n) = a (m, k) b (k, n), or plus what it holds; strides are (row, column).
pub fn gemm(
    into: &mut [f32],
    a: &[f32],
    (a_row, a_column): (usize, usize),
    b: &[f32],
    (b_row, b_column): (usize, usize),
    (m, n, k): (usize, usize, usize),
    add: bool,
) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(into.len() >= m * n);
    assert!(a.len() > (m - 1) * a_row + (k - 1) * a_column);
    assert!(b.len() > (k - 1) * b_row + (n - 1) * b_column);
    // SAFETY: the assertions above keep every index within its slice, and `into` is borrowed by nobody else.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            into.as_mut_ptr(),
            1,
            n as isize,
            add,
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
            gemm::Parallelism::Rayon(rayon::current_num_threads()),
        );
    }
}

#[cfg(test)]
mod tests;
