//! A panel of the B operand: 32 columns, row after row, and how it is written.

use super::PANEL;
use crate::cpu::transpose::{ColumnOffsets, transpose_into};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Half a row of a panel, as a cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Line(pub [f32; 16]);

/// Kernels (outputs, channels, taps), to be packed with a row for each tap's channel.
pub struct Kernels<'a> {
    values: &'a [f32],
    outputs: usize,
    /// Where each row goes: dividing for each square takes longer than transposing it.
    places: Vec<usize>,
}

impl<'a> Kernels<'a> {
    pub fn new(values: &'a [f32], outputs: usize, channels: usize, taps: usize) -> Self {
        let places = (0..channels * taps).map(|k| k % taps * channels + k / taps).collect();
        Self { values, outputs, places }
    }

    /// Writes a panel.
    pub fn pack(&self, panel: usize, lines: &mut [MaybeUninit<Line>]) {
        let (start, depth) = (panel * PANEL, self.places.len());
        let (values, width) = (&self.values[start * depth..], PANEL.min(self.outputs - start));
        pack_permuted(values, depth, width, depth, lines, ColumnOffsets::Table(&self.places, PANEL));
    }
}

/// So many lines, of which `fill` writes those of each unit, `size` of them.
///
/// # Safety
/// `fill` writes all that it is given.
pub unsafe fn written<T: Send>(
    count: usize,
    size: usize,
    fill: impl Fn(usize, &mut [MaybeUninit<T>]) + Sync,
) -> Vec<T> {
    let mut lines: Vec<T> = Vec::with_capacity(count);
    if size > 0 {
        let buffer = &mut lines.spare_capacity_mut()[..count];
        buffer.par_chunks_mut(size).enumerate().for_each(|(unit, lines)| fill(unit, lines));
        // SAFETY: the chunks are all `count` lines, for which there is room, and the caller promises that `fill` has written each chunk.
        unsafe { lines.set_len(count) };
    }
    lines
}

/// Prefetches a value into the first-level cache.
#[inline(always)]
fn prefetch(values: &[f32], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE, to which the instruction belongs, is part of x86-64; it is a hint that may be given any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(at.min(values.len())).cast()) };
    }
}

/// Packs the first `width` columns of rows that start every `stride` values.
pub fn pack_rows(values: &[f32], stride: usize, width: usize, lines: &mut [MaybeUninit<Line>]) {
    /// How many rows ahead are prefetched: they are too far apart for the hardware to do so.
    const AHEAD: usize = 8;
    for (k, row) in lines.chunks_exact_mut(2).enumerate() {
        prefetch(values, (k + AHEAD) * stride);
        prefetch(values, (k + AHEAD) * stride + 16);
        let values = &values[k * stride..][..width];
        let (halves, rest) = values.as_chunks::<16>();
        for (half, line) in row.iter_mut().enumerate() {
            line.write(Line(halves.get(half).copied().unwrap_or_else(|| {
                let rest = if half == halves.len() { rest } else { &[] };
                std::array::from_fn(|j| rest.get(j).copied().unwrap_or(0.0))
            })));
        }
    }
}

/// Packs the transpose of `width` rows that start every `stride` values.
pub fn pack_columns(values: &[f32], stride: usize, width: usize, lines: &mut [MaybeUninit<Line>]) {
    let depth = lines.len() / 2;
    pack_permuted(values, stride, width, depth, lines, ColumnOffsets::Strided(PANEL));
}

/// [`pack_columns`] with the rows of the panel at these offsets, each of which is taken once.
fn pack_permuted(
    values: &[f32],
    stride: usize,
    width: usize,
    depth: usize,
    lines: &mut [MaybeUninit<Line>],
    offsets: ColumnOffsets,
) {
    let count = lines.len() * 16;
    // SAFETY: a `Line` is 16 floats and nothing else (64 bytes, aligned to 64), so that the lines, which are borrowed for as long, are
    // 16 times as many floats that may or may not have been written.
    let panel = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<MaybeUninit<f32>>(), count) };
    transpose_into(values, stride, width, depth, panel, offsets);
    if width < PANEL {
        panel.chunks_exact_mut(PANEL).for_each(|row| row[width..].fill(MaybeUninit::new(0.0)));
    }
}
