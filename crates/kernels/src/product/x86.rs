//! The product of a few rows and a panel with AVX-512, or with AVX2 and FMA.

use super::{AHEAD, PANEL, Tile};
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

    /// How many rows of a panel are read again and again for all rows of the left side before the next ones are: with few rows
    /// in the registers they have to come from the first cache, which holds 256 of them.
    pub fn depth(self) -> usize {
        match self {
            Level::Avx512 => usize::MAX,
            Level::Avx2 => 192,
        }
    }

    /// Whether this machine has it.
    pub fn is_there(self) -> bool {
        match self {
            Level::Avx512 => is_x86_feature_detected!("avx512f"),
            Level::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        }
    }
}

/// The best level that this machine has.
pub fn level() -> Option<Level> {
    [Level::Avx512, Level::Avx2].into_iter().find(|level| level.is_there())
}

/// One to [`Level::rows`] rows, on a machine that has the level.
pub fn multiply(level: Level, tile: Tile, rows: usize, into: &mut [f32]) {
    assert!(rows > 0 && rows <= level.rows() && level.is_there() && tile.fits(rows, into));
    // Where rows lie beside each other the compiler is told so.
    let beside = tile.strides.0 == 1;
    macro_rules! rows {
        ($kernel:ident: $($count:literal)*) => {
            match (rows, beside) {
                // SAFETY: the machine has the level, and the assertion keeps every access within the slices.
                $(($count, false) => unsafe { $kernel::<$count, false>(tile, into.as_mut_ptr()) },
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

/// # Safety
/// The tile has M rows, and so has `into`, which may be written.
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const M: usize, const BESIDE: bool>(tile: Tile, into: *mut f32) {
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    let (row, column) = if BESIDE { (1, tile.strides.1) } else { (tile.strides.0, 1) };
    let left = tile.left.as_ptr();
    for (k, lines) in tile.lines.chunks_exact(2).enumerate() {
        // SAFETY: a line is 16 values, and every row has a value k.
        unsafe {
            let (b0, b1) = (_mm512_loadu_ps(lines[0].0.as_ptr()), _mm512_loadu_ps(lines[1].0.as_ptr()));
            for (r, [s0, s1]) in sums.iter_mut().enumerate() {
                let a = _mm512_set1_ps(*left.add(r * row + k * column));
                *s0 = _mm512_fmadd_ps(a, b0, *s0);
                *s1 = _mm512_fmadd_ps(a, b1, *s1);
            }
        }
    }
    for (r, row) in sums.into_iter().enumerate() {
        for (half, sum) in row.into_iter().enumerate() {
            // SAFETY: the caller promises M rows of a panel's width.
            unsafe {
                let into = into.add(r * tile.stride + half * 16);
                let sum = if tile.add { _mm512_add_ps(_mm512_loadu_ps(into), sum) } else { sum };
                _mm512_storeu_ps(into, sum);
            }
        }
    }
}

/// # Safety
/// The tile has M rows, and so has `into`, which may be written.
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const M: usize, const BESIDE: bool>(tile: Tile, into: *mut f32) {
    let mut sums = [[_mm256_setzero_ps(); 4]; M];
    let (row, column) = if BESIDE { (1, tile.strides.1) } else { (tile.strides.0, 1) };
    let (left, lines) = (tile.left.as_ptr(), tile.lines.as_ptr().cast::<f32>());
    let mut step = |k: usize| {
        // SAFETY: row k of the panel is lines 2k and 2k + 1 of 16 values, and every row has a value k.
        unsafe {
            let mut values = [_mm256_setzero_ps(); M];
            for (r, value) in values.iter_mut().enumerate() {
                *value = _mm256_set1_ps(*left.add(r * row + k * column));
            }
            for quarter in 0..4 {
                let b = _mm256_loadu_ps(lines.add(k * PANEL + quarter * 8));
                for (a, sums) in values.iter().zip(&mut sums) {
                    sums[quarter] = _mm256_fmadd_ps(*a, b, sums[quarter]);
                }
            }
        }
    };
    let depth = tile.lines.len() / 2;
    for group in 0..depth / AHEAD {
        // What lies beyond the slice may be asked for: nothing is read.
        _mm_prefetch::<_MM_HINT_T1>(lines.wrapping_add((tile.ahead + group) * 16).cast());
        for k in group * AHEAD..(group + 1) * AHEAD {
            step(k);
        }
    }
    for k in depth / AHEAD * AHEAD..depth {
        step(k);
    }
    for (r, row) in sums.into_iter().enumerate() {
        for (quarter, sum) in row.into_iter().enumerate() {
            // SAFETY: the caller promises M rows of a panel's width.
            unsafe {
                let into = into.add(r * tile.stride + quarter * 8);
                let sum = if tile.add { _mm256_add_ps(_mm256_loadu_ps(into), sum) } else { sum };
                _mm256_storeu_ps(into, sum);
            }
        }
    }
}
