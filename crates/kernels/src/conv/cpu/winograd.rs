//! Winograd convolution F(2×2, 3×3): four outputs of a 3×3 kernel from sixteen products instead of thirty-six.
//!
//! Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A for each tile of 2×2 outputs, d being the 4×4 inputs that it reads. Over all channels the
//! sixteen elementwise products are sixteen products of matrices, (tiles, C) times (C, O). In f32 its error is that of the
//! sums themselves, within a small factor: the tests hold it to the same 1e-5 of the largest value.
//!
//! Lavin and Gray 2016, "Fast algorithms for convolutional neural networks".

use super::output::{Epilogue, finish};
use crate::conv::Geometry;
use crate::cpu::disjoint::{self, DisjointSlice};
use crate::cpu::gemm::blocked::{TILE, parts};
use crate::cpu::gemm::scratch::{Scratch, with_scratch};
use crate::cpu::gemm::{A, Line, PANEL, PackedB, Strided};
use crate::cpu::simd_math::vectorised;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Values of the transformed inputs that a thread holds at a time.
const HELD: usize = 150_000;

/// More than that do not stay in a core's second-level cache.
const MANY_WEIGHTS: usize = 1 << 19;

/// Channels that are transformed at a time.
pub const LANES: usize = 16;

/// Smaller maps do not take more than 256 channels.
const FEW_POSITIONS: usize = 128;

/// The weights of the sixteen products (16 · C, O), one product's after another's.
pub struct Winograd(PackedB);

impl Winograd {
    /// Whether it serves, and whether it saves time: with many channels and small maps the weights, sixteen for nine, are read for too
    /// little work.
    pub fn suits(g: &Geometry) -> bool {
        let one = (1, 1);
        g.kernel == (3, 3)
            && (g.stride, g.dilation, g.padding, g.groups) == (one, one, one, 1)
            && (32..=if g.area_out() < FEW_POSITIONS { 256 } else { 512 }).contains(&g.channels)
            && g.channels.is_multiple_of(LANES)
            && g.outputs >= 32
    }

    /// Whether transforming the weights for one call costs less than it saves: of one map of 14×14 or several.
    pub fn is_worth_transforming(g: &Geometry) -> bool {
        g.batch * g.area_out() >= if g.area_out() < FEW_POSITIONS { 1024 } else { FEW_POSITIONS }
    }

    /// From weights (O, C, 3, 3).
    pub fn new(g: &Geometry, weight: &[f32]) -> Self {
        let transform = |kernels: &[Line], into: &mut [MaybeUninit<Line>]| transform_kernels(kernels, g.channels, into);
        // SAFETY: `transform_kernels` writes line `line` of each of the sixteen matrices, for all 2 · C lines that a panel has of one.
        Self(unsafe { PackedB::transformed_kernels(weight, g.outputs, g.channels, 9, 16 * g.channels, transform) })
    }

    /// The result (N, h, w, O) for maps (N, h, w, C).
    pub fn forward(&self, g: &Geometry, xs: &[f32], epilogue: Epilogue) -> Vec<f32> {
        let (height, width) = (g.output.0.div_ceil(2), g.output.1.div_ceil(2));
        let tiles = g.batch * height * width;
        let most = (HELD / (16 * g.channels) / TILE).clamp(1, 8) * TILE;
        // Enough work for all threads to end at about the same time: smaller blocks or, where each would read many weights, some of
        // the outputs at a time.
        let (threads, panels) = (rayon::current_num_threads(), self.0.panels());
        let (most, groups) = match 16 * g.channels * g.outputs > MANY_WEIGHTS {
            true => (most, (2 * threads).div_ceil(tiles.div_ceil(most).max(1))),
            false => (most.min(tiles.div_ceil(4 * threads).next_multiple_of(TILE)), 1),
        };
        let (blocks, groups) = (parts(tiles, most.max(1), TILE), parts(panels, panels.div_ceil(groups), 1));
        let work = |ys: &DisjointSlice| {
            let pieces = blocks.par_iter().flat_map(|block| groups.par_iter().map(move |group| (block, group)));
            pieces.for_each(|(block, group)| {
                with_scratch(|Scratch { buffer, sums, .. }| {
                    let (count, c) = (block.len(), g.channels);
                    buffer.resize(16 * count * c, 0.0);
                    sums.resize(16 * count * PANEL, 0.0);
                    let place = |tile: usize| {
                        let within = tile % (height * width);
                        (tile / (height * width), 2 * (within / width), 2 * (within % width))
                    };
                    for (k, tile) in block.clone().enumerate() {
                        let (image, i, j) = place(tile);
                        let image = &xs[image * g.area_in() * c..][..g.area_in() * c];
                        transform_inputs(image, g.input, (i, j), c, &mut buffer[k * c..], count * c);
                    }
                    for panel in group.clone() {
                        let (start, columns) = self.0.span(panel);
                        let products = buffer.chunks_exact(count * c).zip(sums.chunks_exact_mut(count * PANEL));
                        for (i, (inputs, sums)) in products.enumerate() {
                            self.0.multiply_rows(A::rows(inputs, count, c), panel, i * c..(i + 1) * c, sums);
                        }
                        let bias = epilogue.bias.map_or(&[0.0; PANEL][..columns], |bias| &bias[start..][..columns]);
                        for (k, tile) in block.clone().enumerate() {
                            let (image, i, j) = place(tile);
                            let mut results = [[0f32; PANEL]; 4];
                            inverse_transform(&sums[k * PANEL..], count * PANEL, &mut results);
                            for (corner, result) in results.iter().enumerate() {
                                let (i, j) = (i + corner / 2, j + corner % 2);
                                if i >= g.output.0 || j >= g.output.1 {
                                    continue;
                                }
                                let at = ((image * g.output.0 + i) * g.output.1 + j) * g.outputs + start;
                                // SAFETY: each tile is in one block and each panel in one group, and a pair of them is one task;
                                // position (i, j) is in this tile alone.
                                let into = unsafe { ys.rows(at, columns, 1, columns) };
                                finish(
                                    result,
                                    bias,
                                    epilogue.add.map(|add| Strided::rows(&add[at..], columns)),
                                    epilogue.activation,
                                    into,
                                );
                            }
                        }
                    }
                });
            });
        };
        // SAFETY: the tiles of all blocks cover all positions and the panels of all groups all outputs, each of which is written and
        // none read.
        unsafe { disjoint::fill(g.batch * g.area_out() * g.outputs, work) }
    }
}

pub type Lanes = [f32; LANES];

#[inline(always)]
pub fn plus(mut a: Lanes, b: Lanes) -> Lanes {
    for k in 0..LANES {
        a[k] += b[k];
    }
    a
}

#[inline(always)]
pub fn minus(mut a: Lanes, b: Lanes) -> Lanes {
    for k in 0..LANES {
        a[k] -= b[k];
    }
    a
}

/// Bᵀ x.
#[inline(always)]
fn inward(x: [Lanes; 4]) -> [Lanes; 4] {
    [minus(x[0], x[2]), plus(x[1], x[2]), minus(x[2], x[1]), minus(x[1], x[3])]
}

/// G x.
#[inline(always)]
fn of_kernel([a, b, c]: [Lanes; 3]) -> [Lanes; 4] {
    let outer = plus(a, c);
    [a, plus(outer, b).map(|x| 0.5 * x), minus(outer, b).map(|x| 0.5 * x), c]
}

/// Aᵀ x.
#[inline(always)]
fn outward(x: [Lanes; 4]) -> [Lanes; 2] {
    [plus(plus(x[0], x[1]), x[2]), minus(minus(x[1], x[2]), x[3])]
}

vectorised! {
    /// Writes G g Gᵀ of all kernels of a panel, whose nine elements start every `channels` rows, as do the sixteen values.
    fn transform_kernels(kernels: &[Line], channels: usize, into: &mut [MaybeUninit<Line>]) {
        for line in 0..2 * channels {
            let mut columns = [[[0f32; LANES]; 4]; 3];
            for (j, column) in columns.iter_mut().enumerate() {
                *column = of_kernel([0, 3, 6].map(|i| kernels[(i + j) * 2 * channels + line].0));
            }
            for i in 0..4 {
                for (j, value) in of_kernel(columns.map(|column| column[i])).into_iter().enumerate() {
                    into[(4 * i + j) * 2 * channels + line].write(Line(value));
                }
            }
        }
    }
}

vectorised! {
    /// Writes Bᵀ d B of the tile whose outputs begin at `at`; its sixteen values start every `stride`.
    pub fn transform_inputs(
        image: &[f32],
        size: (usize, usize),
        at: (usize, usize),
        c: usize,
        into: &mut [f32],
        stride: usize,
    ) {
        // What lies beyond the map is 0 for all channels.
        let (mut tile, mut rows) = ([[[0f32; LANES]; 4]; 4], [[[0f32; LANES]; 4]; 4]);
        for channel in (0..c).step_by(LANES) {
            for (i, row) in tile.iter_mut().enumerate() {
                // The kernel begins one position before its output.
                let y = (at.0 + i).wrapping_sub(1);
                for (j, value) in row.iter_mut().enumerate() {
                    let x = (at.1 + j).wrapping_sub(1);
                    if y < size.0 && x < size.1 {
                        value.copy_from_slice(&image[(y * size.1 + x) * c + channel..][..LANES]);
                    }
                }
            }
            for (row, tile) in rows.iter_mut().zip(tile) {
                *row = inward(tile);
            }
            for j in 0..4 {
                for (i, value) in inward([rows[0][j], rows[1][j], rows[2][j], rows[3][j]]).iter().enumerate() {
                    into[(4 * i + j) * stride + channel..][..LANES].copy_from_slice(value);
                }
            }
        }
    }
}

vectorised! {
    /// Aᵀ m A for the outputs of a panel; m's sixteen values start every `stride`.
    fn inverse_transform(sums: &[f32], stride: usize, results: &mut [[f32; PANEL]; 4]) {
        for half in (0..PANEL).step_by(LANES) {
            let (mut columns, mut column) = ([[[0f32; LANES]; 2]; 4], [[0f32; LANES]; 4]);
            for (j, turned) in columns.iter_mut().enumerate() {
                for (i, value) in column.iter_mut().enumerate() {
                    value.copy_from_slice(&sums[(4 * i + j) * stride + half..][..LANES]);
                }
                *turned = outward(column);
            }
            for i in 0..2 {
                let row = outward([columns[0][i], columns[1][i], columns[2][i], columns[3][i]]);
                for (j, values) in row.iter().enumerate() {
                    results[2 * i + j][half..][..LANES].copy_from_slice(values);
                }
            }
        }
    }
}
