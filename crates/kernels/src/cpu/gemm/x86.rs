//! GEMM microkernels with AVX-512, or with AVX2 and FMA.

use super::row_major::{Dots, RowMajor, WEIGHTS};
use super::{Line, PANEL, Tile};
use std::arch::x86_64::*;

/// What the machine offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Avx512,
    Avx2,
}

impl Level {
    /// The most rows whose sums fit into the registers.
    pub fn rows(self) -> usize {
        match self {
            Level::Avx512 => 12,
            Level::Avx2 => 3,
        }
    }

    /// The most rows whose sums with [`WEIGHTS`] rows of weights fit into the registers.
    pub fn gemv_rows(self) -> usize {
        match self {
            Level::Avx512 => 6,
            Level::Avx2 => 3,
        }
    }

    /// The panel's rows that serve all rows of A before the next ones do: with few sums in registers they have to come from the
    /// first-level cache, which holds 256 of them.
    pub fn depth(self) -> usize {
        match self {
            Level::Avx512 => usize::MAX,
            Level::Avx2 => 192,
        }
    }

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            Level::Avx512 => is_x86_feature_detected!("avx512f"),
            Level::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        }
    }
}

/// The best level that this machine has.
pub fn level() -> Option<Level> {
    [Level::Avx512, Level::Avx2].into_iter().find(|level| level.is_available())
}

/// One to [`Level::rows`] rows, on a machine that has the level.
pub fn multiply(level: Level, tile: Tile, rows: usize, into: &mut [f32]) {
    assert!(rows > 0 && rows <= level.rows() && level.is_available() && tile.fits(rows, into));
    // A compile-time stride of 1 for either kind of A.
    let column_major = tile.a.row == 1;
    macro_rules! rows {
        ($kernel:ident: $($count:literal)*) => {
            match (rows, column_major) {
                // SAFETY: the machine has the level and `into` and the tile have so many rows, as was asserted; where rows are not 1 apart,
                // the values of a row are (`Tile::fits`).
                $(($count, false) => unsafe { $kernel::<$count, false>(tile, into.as_mut_ptr()) },
                // SAFETY: the same holds, and rows are 1 apart.
                ($count, true) => unsafe { $kernel::<$count, true>(tile, into.as_mut_ptr()) },)*
                _ => {}
            }
        };
    }
    match level {
        Level::Avx512 => rows!(avx512: 1 2 3 4 5 6 7 8 9 10 11 12),
        Level::Avx2 => rows!(avx2: 1 2 3),
    }
}

/// Prefetches a line, or the last one, into the second-level cache.
#[inline(always)]
fn prefetch(lines: &[Line], at: usize) {
    // SAFETY: SSE, to which the instruction belongs, is part of x86-64; it is a hint that may be given any address.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(lines.as_ptr().wrapping_add(at.min(lines.len().wrapping_sub(1))).cast()) };
}

/// Rows of a panel that AVX2's kernel multiplies for each line that it prefetches.
const GROUP: usize = 4;

/// # Safety
/// The machine has the features. `tile.fits(M, into)` holds, and with `COLUMN_MAJOR` the rows of A are 1 apart, else the values of a row.
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const M: usize, const COLUMN_MAJOR: bool>(tile: Tile, into: *mut f32) {
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    let (row, column) = if COLUMN_MAJOR { (1, tile.a.column) } else { (tile.a.row, 1) };
    let (a, lines) = (tile.a.values.as_ptr(), tile.lines.as_ptr().cast::<f32>());
    let prefetched = tile.prefetched();
    for k in 0..tile.lines.len() / 2 {
        prefetch(prefetched, k);
        // SAFETY: row k of the panel is lines 2k and 2k + 1 of 16 values, and the caller promises that each of the M rows has a value k.
        unsafe {
            let (b0, b1) = (_mm512_loadu_ps(lines.add(k * PANEL)), _mm512_loadu_ps(lines.add(k * PANEL + 16)));
            for (r, [s0, s1]) in sums.iter_mut().enumerate() {
                let a = _mm512_set1_ps(*a.add(r * row + k * column));
                *s0 = _mm512_fmadd_ps(a, b0, *s0);
                *s1 = _mm512_fmadd_ps(a, b1, *s1);
            }
        }
    }
    for (r, row) in sums.into_iter().enumerate() {
        for (half, sum) in row.into_iter().enumerate() {
            // SAFETY: the caller promises that `into` has M rows, `stride` apart and as wide as a panel, which may be written.
            unsafe {
                let into = into.add(r * tile.stride + half * 16);
                let sum = if tile.add { _mm512_add_ps(_mm512_loadu_ps(into), sum) } else { sum };
                _mm512_storeu_ps(into, sum);
            }
        }
    }
}

/// # Safety
/// The machine has the features. `tile.fits(M, into)` holds, and with `COLUMN_MAJOR` the rows of A are 1 apart, else the values of a row.
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const M: usize, const COLUMN_MAJOR: bool>(tile: Tile, into: *mut f32) {
    let mut sums = [[_mm256_setzero_ps(); 4]; M];
    let (row, column) = if COLUMN_MAJOR { (1, tile.a.column) } else { (tile.a.row, 1) };
    let (a, lines) = (tile.a.values.as_ptr(), tile.lines.as_ptr().cast::<f32>());
    let mut step = |k: usize| {
        // SAFETY: row k of the panel is lines 2k and 2k + 1 of 16 values, and the caller promises that each of the M rows has a value k.
        unsafe {
            let mut values = [_mm256_setzero_ps(); M];
            for (r, value) in values.iter_mut().enumerate() {
                *value = _mm256_set1_ps(*a.add(r * row + k * column));
            }
            for quarter in 0..4 {
                let b = _mm256_loadu_ps(lines.add(k * PANEL + quarter * 8));
                for (a, sums) in values.iter().zip(&mut sums) {
                    sums[quarter] = _mm256_fmadd_ps(*a, b, sums[quarter]);
                }
            }
        }
    };
    let (depth, prefetched) = (tile.lines.len() / 2, tile.prefetched());
    for group in 0..depth / GROUP {
        prefetch(prefetched, group);
        for k in group * GROUP..(group + 1) * GROUP {
            step(k);
        }
    }
    for k in depth / GROUP * GROUP..depth {
        step(k);
    }
    for (r, row) in sums.into_iter().enumerate() {
        for (quarter, sum) in row.into_iter().enumerate() {
            // SAFETY: the caller promises that `into` has M rows, `stride` apart and as wide as a panel, which may be written.
            unsafe {
                let into = into.add(r * tile.stride + quarter * 8);
                let sum = if tile.add { _mm256_add_ps(_mm256_loadu_ps(into), sum) } else { sum };
                _mm256_storeu_ps(into, sum);
            }
        }
    }
}

/// `Σₖ rows[i, k] weights[j, k]` of one to [`Level::gemv_rows`] rows and one to [`WEIGHTS`] rows of weights, on a machine that has the level.
pub fn gemv(level: Level, rows: RowMajor, weights: RowMajor, terms: usize) -> Dots {
    assert!((1..=level.gemv_rows()).contains(&rows.count) && (1..=WEIGHTS).contains(&weights.count));
    assert!(level.is_available() && rows.fit(terms) && weights.fit(terms));
    macro_rules! rows {
        ($kernel:ident: $($count:literal)*) => {
            match rows.count {
                // SAFETY: the machine has the level, there are so many rows and one row of weights or more, and all have their terms: all
                // of it was asserted.
                $($count => unsafe { $kernel::<$count>(rows, weights, terms) },)*
                _ => Dots::default(),
            }
        };
    }
    match level {
        Level::Avx512 => rows!(gemv_avx512: 1 2 3 4 5 6),
        Level::Avx2 => rows!(gemv_avx2: 1 2 3),
    }
}

/// The kernel of [`gemv`] for one level: `$lanes` terms at a time, the sums of all pairs of rows in registers.
macro_rules! gemv {
    ($name:ident, $feature:literal, $lanes:literal, $zero:ident, $load:ident, $multiply_add:ident, $total:ident) => {
        /// # Safety
        /// The machine has the features. There are M rows or more, and a row of weights or more, and all have so many terms.
        #[target_feature(enable = $feature)]
        unsafe fn $name<const M: usize>(rows: RowMajor, weights: RowMajor, terms: usize) -> Dots {
            // Weights that are missing are the last ones again.
            let weights: [*const f32; WEIGHTS] =
                std::array::from_fn(|j| weights.values[j.min(weights.count - 1) * weights.stride..].as_ptr());
            let rows: [*const f32; M] = std::array::from_fn(|i| rows.values[i * rows.stride..].as_ptr());
            let mut sums = [[$zero(); WEIGHTS]; M];
            let whole = terms / $lanes * $lanes;
            for k in (0..whole).step_by($lanes) {
                // SAFETY: k and the lanes after it are below `terms`, which the caller promises that every row has.
                unsafe {
                    let weights = weights.map(|weights| $load(weights.add(k)));
                    for (row, sums) in rows.iter().zip(&mut sums) {
                        let row = $load(row.add(k));
                        for (sum, weights) in sums.iter_mut().zip(weights) {
                            *sum = $multiply_add(row, weights, *sum);
                        }
                    }
                }
            }
            let mut found = Dots::default();
            for ((row, sums), found) in rows.iter().zip(sums).zip(&mut found) {
                for ((weights, sum), found) in weights.iter().zip(sums).zip(found) {
                    *found = $total(sum);
                    for k in whole..terms {
                        // SAFETY: k is below `terms`, which the caller promises that every row has.
                        *found += unsafe { *row.add(k) * *weights.add(k) };
                    }
                }
            }
            found
        }
    };
}

gemv!(gemv_avx512, "avx512f", 16, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps);
gemv!(gemv_avx2, "avx2,fma", 8, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_fmadd_ps, total);

/// The sum of eight values.
#[inline]
#[target_feature(enable = "avx2")]
fn total(values: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(values), _mm256_extractf128_ps::<1>(values));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}
