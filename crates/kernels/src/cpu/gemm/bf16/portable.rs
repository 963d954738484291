//! Rounding to bf16 and products of it in plain Rust: what the kernels are compared with.

use super::{LINES, Pairs, RoundedA, Strip, TERMS, tiles};
use crate::cpu::gemm::PANEL;
use std::mem::MaybeUninit;

/// The bits of the nearest bf16; of two that are as near, the even one.
pub fn rounded(value: f32) -> u32 {
    let bits = value.to_bits();
    if value.is_nan() { (bits >> 16) | 0x40 } else { (bits + 0x7fff + (bits >> 16 & 1)) >> 16 }
}

/// The two values of a pair.
fn values(pair: u32) -> [f32; 2] {
    [f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000)]
}

/// As [`super::Isa::round_strip`].
pub fn round(strip: Strip, into: &mut [MaybeUninit<Pairs>], step: usize) {
    assert!(strip.fits(into, step));
    let value = |i: usize, k: usize| match i < strip.count && k < strip.terms {
        true => rounded(strip.matrix.values[i * strip.matrix.row + k * strip.matrix.column]),
        false => 0,
    };
    let pair = |i: usize, k: usize| value(i, k) | value(i, k + 1) << 16;
    for tile in 0..tiles(strip.terms) {
        for line in 0..LINES {
            let first = tile * TERMS;
            into[tile * step + line].write(Pairs(std::array::from_fn(|other| match strip.by_term {
                true => pair(line, first + 2 * other),
                false => pair(other, first + 2 * line),
            })));
        }
    }
}

/// As [`super::Isa::round_line`].
pub fn round_line(values: &[f32]) -> Pairs {
    let value = |k: usize| values.get(k).map_or(0, |&value| rounded(value));
    Pairs(std::array::from_fn(|pair| value(2 * pair) | value(2 * pair + 1) << 16))
}

/// As [`super::Isa::multiply`].
pub fn multiply(a: RoundedA, panel: &[Pairs], into: &mut [f32], stride: usize, add: bool) {
    let depth = panel.len() / (2 * LINES);
    for r in 0..a.rows {
        for j in 0..PANEL {
            let mut sum = if add { into[r * stride + j] } else { 0.0 };
            for tile in 0..depth {
                for pair in 0..LINES {
                    let a = values(a.tiles[(r / LINES * depth + tile) * LINES + r % LINES].0[pair]);
                    let b = values(panel[(2 * tile + j / LINES) * LINES + pair].0[j % LINES]);
                    sum += a[0] * b[0] + a[1] * b[1];
                }
            }
            into[r * stride + j] = sum;
        }
    }
}
