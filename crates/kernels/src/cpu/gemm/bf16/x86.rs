//! Rounding to bf16 and the bf16 GEMM microkernel with AVX512-BF16.

use super::{LINES, PANEL, Pairs, RoundedA, Strip, TERMS, tiles};
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// Whether this machine has it.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

/// Whether its products are faster than f32's. Intel's processors begin one every second cycle where they begin four
/// fused multiply-adds of f32: half the terms in the same time (measured on an Emerald Rapids: 86 GFLOP/s a core for 175).
pub fn is_fast() -> bool {
    // SAFETY: every x86-64 processor has CPUID, with leaf 0.
    #[allow(unused_unsafe)]
    let maker = unsafe { __cpuid(0) };
    [maker.ebx, maker.edx, maker.ecx] != [*b"Genu", *b"ineI", *b"ntel"].map(u32::from_le_bytes)
}

/// As [`super::Isa::round_strip`].
pub fn round(strip: Strip, into: &mut [MaybeUninit<Pairs>], step: usize) {
    assert!(strip.fits(into, step) && is_available());
    // SAFETY: the machine has the instructions and the strip fits its values and `into`, as was asserted; one of its strides is 1.
    unsafe {
        match strip.matrix.column == 1 {
            true => round_rows(strip, into.as_mut_ptr(), step),
            false => round_columns(strip, into.as_mut_ptr(), step),
        }
    }
}

/// The same 64 bytes.
#[inline(always)]
fn bits(halves: __m512bh) -> __m512i {
    // SAFETY: both are 64 bytes of which any are a value.
    unsafe { std::mem::transmute(halves) }
}

/// The same 64 bytes.
#[inline(always)]
fn halves(bits: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes of which any are a value.
    unsafe { std::mem::transmute(bits) }
}

/// A line of a panel.
#[inline]
#[target_feature(enable = "avx512f")]
fn line(pairs: &Pairs) -> __m512bh {
    // SAFETY: the line that is borrowed is 64 bytes.
    halves(unsafe { _mm512_loadu_si512(pairs.0.as_ptr().cast()) })
}

/// A mask of the first `count` of sixteen.
fn first(count: usize) -> u16 {
    if count >= 16 { u16::MAX } else { (1 << count) - 1 }
}

/// As [`super::Isa::round_line`].
pub fn round_line(values: &[f32]) -> Pairs {
    assert!(is_available());
    let mut line = Pairs([0; LINES]);
    let count = values.len();
    // SAFETY: the machine has the instructions, as was asserted; the masks leave out what lies beyond the last value, and the line that is
    // written is 64 bytes.
    unsafe {
        let rounded = nearest(values.as_ptr(), first(count), first(count.saturating_sub(16)));
        _mm512_storeu_si512(line.0.as_mut_ptr().cast(), rounded);
    }
    line
}

/// 32 values, rounded; those that the two masks leave out are 0.
///
/// # Safety
/// The machine has the features, and the values that the masks do not leave out may be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn nearest(values: *const f32, low: u16, high: u16) -> __m512i {
    // SAFETY: what a mask leaves out is not read, and the caller promises the rest.
    unsafe {
        let a = _mm512_maskz_loadu_ps(low, values);
        bits(_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(high, values.wrapping_add(16)), a))
    }
}

/// Contiguous terms.
///
/// # Safety
/// The machine has the features, the strip fits its values and `into`, and its second stride is 1.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn round_rows(strip: Strip, into: *mut MaybeUninit<Pairs>, step: usize) {
    for tile in 0..tiles(strip.terms) {
        let terms = (strip.terms - tile * TERMS).min(TERMS);
        let (low, high) = (first(terms), first(terms.saturating_sub(16)));
        let mut lines = [_mm512_setzero_si512(); LINES];
        for (i, line) in lines.iter_mut().enumerate().take(strip.count) {
            // SAFETY: i is below the count and the tile begins before the last term, so that the strip, which fits, has this value; the
            // masks leave out what lies beyond the last term.
            unsafe {
                let values = strip.matrix.values.as_ptr().add(i * strip.matrix.row + tile * TERMS);
                *line = nearest(values, low, high);
            }
        }
        if !strip.by_term {
            lines = transposed(lines);
        }
        // SAFETY: the strip fits `into`, where a tile begins every `step` lines.
        unsafe { store(lines, into.add(tile * step)) };
    }
}

/// Contiguous values of one term.
///
/// # Safety
/// The machine has the features, the strip fits its values and `into`, and its first stride is 1.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn round_columns(strip: Strip, into: *mut MaybeUninit<Pairs>, step: usize) {
    let mask = first(strip.count);
    // The two halves of a register, value by value.
    let mix: [u16; 32] = std::array::from_fn(|i| (i / 2 + i % 2 * 16) as u16);
    // SAFETY: the array is 64 bytes.
    let mix = unsafe { _mm512_loadu_si512(mix.as_ptr().cast()) };
    for tile in 0..tiles(strip.terms) {
        let terms = (strip.terms - tile * TERMS).min(TERMS);
        let mut lines = [_mm512_setzero_si512(); LINES];
        for (pair, line) in lines.iter_mut().enumerate().take(terms.div_ceil(2)) {
            let term = tile * TERMS + 2 * pair;
            let values = strip.matrix.values.as_ptr().wrapping_add(term * strip.matrix.column);
            // SAFETY: both masks leave out what lies beyond the strip's last i, the second one all of a term that is not there; the
            // strip, which fits, has the others.
            unsafe {
                let a = _mm512_maskz_loadu_ps(mask, values);
                let second = if term + 1 < strip.terms { mask } else { 0 };
                let b = _mm512_maskz_loadu_ps(second, values.wrapping_add(strip.matrix.column));
                *line = _mm512_permutexvar_epi16(mix, bits(_mm512_cvtne2ps_pbh(b, a)));
            }
        }
        if strip.by_term {
            lines = transposed(lines);
        }
        // SAFETY: the strip fits `into`, where a tile begins every `step` lines.
        unsafe { store(lines, into.add(tile * step)) };
    }
}

/// # Safety
/// The machine has AVX-512, and sixteen lines may be written from `into` on.
#[target_feature(enable = "avx512f")]
unsafe fn store(lines: [__m512i; LINES], into: *mut MaybeUninit<Pairs>) {
    for (i, line) in lines.into_iter().enumerate() {
        // SAFETY: the caller promises room for sixteen lines.
        unsafe { _mm512_storeu_si512(into.add(i).cast(), line) };
    }
}

/// The transpose of sixteen lines of sixteen pairs.
#[target_feature(enable = "avx512f")]
fn transposed(lines: [__m512i; LINES]) -> [__m512i; LINES] {
    // Blocks of 2, of 4, of 8 and of 16 change places.
    let mut pairs = lines;
    for i in (0..16).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi32(lines[i], lines[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(lines[i], lines[i + 1]);
    }
    let mut fours = pairs;
    for i in (0..16).step_by(4) {
        for j in 0..2 {
            fours[i + 2 * j] = _mm512_unpacklo_epi64(pairs[i + j], pairs[i + j + 2]);
            fours[i + 2 * j + 1] = _mm512_unpackhi_epi64(pairs[i + j], pairs[i + j + 2]);
        }
    }
    let mut eights = fours;
    for i in (0..16).step_by(8) {
        for j in 0..4 {
            eights[i + j] = _mm512_shuffle_i32x4::<0x88>(fours[i + j], fours[i + j + 4]);
            eights[i + j + 4] = _mm512_shuffle_i32x4::<0xdd>(fours[i + j], fours[i + j + 4]);
        }
    }
    let mut all = eights;
    for j in 0..8 {
        all[j] = _mm512_shuffle_i32x4::<0x88>(eights[j], eights[j + 8]);
        all[j + 8] = _mm512_shuffle_i32x4::<0xdd>(eights[j], eights[j + 8]);
    }
    all
}

/// As [`super::Isa::multiply`], whose assertions hold.
pub fn multiply(a: RoundedA, panel: &[Pairs], into: &mut [f32], stride: usize, add: bool) {
    assert!(is_available());
    let depth = panel.len() / (2 * LINES);
    for start in (0..a.rows).step_by(8) {
        let tile = a.tiles[start / LINES * depth * LINES..].as_ptr().wrapping_add(start % LINES);
        let into = into[start * stride..].as_mut_ptr();
        macro_rules! rows {
            ($($count:literal)*) => {
                match a.rows - start {
                    // SAFETY: the machine has the instructions, as was asserted. `Isa::multiply` has asserted that there are `depth` tiles
                    // for each 16 rows of A, and that `into` has all rows, of which so many are left from `start` on.
                    $($count => unsafe { rows_of::<$count>(tile, panel, into, stride, add) },)*
                    // SAFETY: the same, and 8 rows or more are left; the 8 from `start`, a multiple of 8, are of one tile.
                    _ => unsafe { rows_of::<8>(tile, panel, into, stride, add) },
                }
            };
        }
        rows!(1 2 3 4 5 6 7);
    }
}

/// # Safety
/// The machine has the features. Each tile of A has M lines from `a` on, of which there are half as many as of the panel, and M rows of
/// `into` may be written.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn rows_of<const M: usize>(a: *const Pairs, panel: &[Pairs], into: *mut f32, stride: usize, add: bool) {
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    for (tile, lines) in panel.chunks_exact(2 * LINES).enumerate() {
        // SAFETY: there are half as many tiles of A as of the panel, and M lines of each from `a` on, as the caller promises.
        unsafe {
            let a = a.add(tile * LINES);
            for pair in 0..LINES {
                let (b0, b1) = (line(&lines[pair]), line(&lines[LINES + pair]));
                for (r, [s0, s1]) in sums.iter_mut().enumerate() {
                    let a = halves(_mm512_set1_epi32((*a.add(r)).0[pair] as i32));
                    *s0 = _mm512_dpbf16_ps(*s0, a, b0);
                    *s1 = _mm512_dpbf16_ps(*s1, a, b1);
                }
            }
        }
    }
    for (r, row) in sums.into_iter().enumerate() {
        for (half, sum) in row.into_iter().enumerate() {
            // SAFETY: the caller promises M rows, `stride` apart and as wide as a panel, which may be written.
            unsafe {
                let into = into.add(r * stride + half * PANEL / 2);
                let sum = if add { _mm512_add_ps(_mm512_loadu_ps(into), sum) } else { sum };
                _mm512_storeu_ps(into, sum);
            }
        }
    }
}
