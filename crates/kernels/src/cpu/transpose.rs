//! Transposes of matrices on the CPU, in squares of eight values: in registers with AVX2, as plain code on any other machine.

use crate::cpu::fill::Spare;
use std::mem::MaybeUninit;

/// The side of a square.
const SIDE: usize = 8;

/// Where the columns of a matrix go: a value, so that an offset that was checked is the offset that is written.
#[derive(Clone, Copy)]
pub enum ColumnOffsets<'a> {
    /// Every so many values.
    Strided(usize),
    /// Column j to this multiple of so many values.
    Table(&'a [usize], usize),
}

impl ColumnOffsets<'_> {
    #[inline(always)]
    fn at(self, j: usize) -> usize {
        match self {
            Self::Strided(stride) => j * stride,
            Self::Table(table, stride) => table[j] * stride,
        }
    }
}

/// `into[j, i] = from[i, j]` for (rows, columns) of `from`; rows of both start every so many values.
pub fn transpose(from: &[f32], from_stride: usize, rows: usize, columns: usize, into: &mut [f32], into_stride: usize) {
    // SAFETY: it is the same borrow of the same floats, and `transpose_into` puts nothing there but floats.
    let into = unsafe { std::slice::from_raw_parts_mut(into.as_mut_ptr().cast(), into.len()) };
    transpose_into(from, from_stride, rows, columns, into, ColumnOffsets::Strided(into_stride));
}

/// Appends the transpose of a matrix whose rows start every `stride` values.
pub fn push_transpose(from: &[f32], stride: usize, rows: usize, columns: usize, into: &mut Spare) {
    let count = rows * columns;
    let unwritten = &mut into.unwritten()[..count];
    transpose_into(from, stride, rows, columns, unwritten, ColumnOffsets::Strided(rows));
    // SAFETY: value (i, j) was written at j·rows + i, and these are all offsets up to rows·columns.
    unsafe { into.advance(count) };
}

/// Writes value (i, j) of `from` to the offset of column j, plus i.
pub fn transpose_into(
    from: &[f32],
    stride: usize,
    rows: usize,
    columns: usize,
    into: &mut [MaybeUninit<f32>],
    offsets: ColumnOffsets,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(from.len() >= (rows - 1) * stride + columns);
    assert!((0..columns).all(|j| offsets.at(j) + rows <= into.len()));
    let (whole_rows, whole_columns) = (rows / SIDE * SIDE, columns / SIDE * SIDE);
    // SAFETY: the sizes are at most `rows` and `columns` and multiples of the side; the assertions say that `from` has all values of so
    // many rows and columns, and `into` so many rows at each column's offset.
    unsafe { squares(from.as_ptr(), stride, whole_rows, whole_columns, into.as_mut_ptr().cast(), offsets) };
    let mut values = |i: usize, columns: std::ops::Range<usize>| {
        for j in columns {
            into[offsets.at(j) + i].write(from[i * stride + j]);
        }
    };
    (0..whole_rows).for_each(|i| values(i, whole_columns..columns));
    (whole_rows..rows).for_each(|i| values(i, 0..columns));
}

/// All squares.
///
/// # Safety
/// `from` has so many rows and columns, multiples of [`SIDE`], and `into` may be written for that many rows at each column's offset.
unsafe fn squares(
    from: *const f32,
    stride: usize,
    rows: usize,
    columns: usize,
    into: *mut f32,
    offsets: ColumnOffsets,
) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine was just asked whether it has AVX2; the caller promises the rest.
        return unsafe { x86::squares(from, stride, rows, columns, into, offsets) };
    }
    for i in (0..rows).step_by(SIDE) {
        for j in (0..columns).step_by(SIDE) {
            for (r, c) in (0..SIDE).flat_map(|r| (0..SIDE).map(move |c| (r, c))) {
                // SAFETY: row i + r and column j + c are below the size, of which the caller promises that it may be read and written.
                unsafe { *into.add(offsets.at(j + c) + i + r) = *from.add((i + r) * stride + j + c) };
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{ColumnOffsets, SIDE};
    use std::arch::x86_64::*;

    /// How many values ahead are prefetched.
    const AHEAD: usize = 64;

    /// Those of 32 rows first: many rows have more pages than the TLB holds. Two neighbouring squares, which share cache lines, come
    /// one after the other, and then those below them, as rows a power of two apart evict each other from the cache.
    ///
    /// # Safety
    /// The machine has AVX2, and what [`super::squares`] says.
    #[target_feature(enable = "avx2")]
    pub unsafe fn squares(
        from: *const f32,
        stride: usize,
        rows: usize,
        columns: usize,
        into: *mut f32,
        offsets: ColumnOffsets,
    ) {
        for top in (0..rows).step_by(4 * SIDE) {
            for left in (0..columns).step_by(2 * SIDE) {
                for i in (top..rows.min(top + 4 * SIDE)).step_by(SIDE) {
                    for row in i..i + SIDE {
                        _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add(row * stride + left + AHEAD).cast());
                    }
                    for j in (left..columns.min(left + 2 * SIDE)).step_by(SIDE / 2) {
                        // SAFETY: rows i to i + 8 and columns j to j + 4 are below the size, of which the caller promises that it may be
                        // read and written.
                        unsafe { half(from.add(i * stride + j), stride, into.add(i), j, offsets) };
                    }
                }
            }
        }
    }

    /// Half a square: four values of eight rows, which become eight values at the offsets of four columns from `j` on.
    ///
    /// # Safety
    /// The machine has AVX2. Four values of eight rows, `stride` apart, may be read from `from` on, and eight values written at the
    /// offsets of columns j to j + 4.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn half(from: *const f32, stride: usize, into: *mut f32, j: usize, offsets: ColumnOffsets) {
        let mut r = [_mm256_setzero_ps(); 4];
        for (row, r) in r.iter_mut().enumerate() {
            // SAFETY: rows `row` and `row` + 4 are two of the eight, four values of which the caller promises.
            *r = unsafe {
                let values = from.add(row * stride);
                _mm256_set_m128(_mm_loadu_ps(values.add(4 * stride)), _mm_loadu_ps(values))
            };
        }
        let (a, b) = (_mm256_unpacklo_ps(r[0], r[1]), _mm256_unpackhi_ps(r[0], r[1]));
        let (c, d) = (_mm256_unpacklo_ps(r[2], r[3]), _mm256_unpackhi_ps(r[2], r[3]));
        let columns = [
            _mm256_shuffle_ps::<0x44>(a, c),
            _mm256_shuffle_ps::<0xEE>(a, c),
            _mm256_shuffle_ps::<0x44>(b, d),
            _mm256_shuffle_ps::<0xEE>(b, d),
        ];
        for (k, column) in columns.into_iter().enumerate() {
            // SAFETY: the caller promises that eight values may be written at the offsets of these four columns.
            unsafe { _mm256_storeu_ps(into.add(offsets.at(j + k)), column) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_to_its_place_and_nothing_else_is_touched() {
        for (rows, columns) in [(0, 3), (1, 1), (7, 9), (8, 8), (16, 24), (17, 33), (40, 19)] {
            let (from_stride, into_stride) = (columns + 3, rows + 2);
            let from: Vec<f32> = (0..rows * from_stride).map(|i| i as f32).collect();
            let mut into = vec![-1.0; columns * into_stride];
            transpose(&from, from_stride, rows, columns, &mut into, into_stride);
            for (at, value) in into.iter().enumerate() {
                let (j, i) = (at / into_stride, at % into_stride);
                assert_eq!(*value, if i < rows { from[i * from_stride + j] } else { -1.0 }, "{rows} {columns}");
            }
        }
    }

    #[test]
    fn columns_go_where_they_are_sent() {
        let (rows, columns) = (16, 24);
        let from: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let mut into = vec![MaybeUninit::new(0.0); rows * columns];
        let order: Vec<usize> = (0..columns).map(|j| j % 3 * 8 + j / 3).collect();
        transpose_into(&from, columns, rows, columns, &mut into, ColumnOffsets::Table(&order, rows));
        for (i, j) in (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))) {
            // SAFETY: all were written when the vector was made.
            assert_eq!(unsafe { into[order[j] * rows + i].assume_init() }, from[i * columns + j]);
        }
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    fn what_does_not_fit_is_refused() {
        transpose(&[0.0; 15], 4, 4, 4, &mut [0.0; 16], 4);
    }
}
