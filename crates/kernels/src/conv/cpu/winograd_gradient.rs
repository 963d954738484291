//! The gradient of 3×3 weights, with the transpose of each step of Winograd's F(2×2, 3×3).
//!
//! dg = Gᵀ [Σ (Bᵀ d B) ⊙ (A dY Aᵀ)] G, the sum going over all tiles of 2×2 outputs, whose gradients are dY and whose 4×4 inputs
//! are d. Over all channels these are sixteen products of matrices, (C, tiles) times (tiles, O), instead of one with nine times C
//! rows and four times as many terms.

use super::winograd::{LANES, Lanes, Winograd, minus, plus, transform_inputs};
use crate::conv::Geometry;
use crate::cpu::gemm::blocked::parts;
use crate::cpu::gemm::scratch::{Scratch, with_scratch};
use crate::cpu::gemm::{A, Line, PANEL, multiply};
use crate::cpu::simd_math::vectorised;
use crate::cpu::transpose::transpose;
use rayon::prelude::*;
use std::ops::Range;

/// Tiles of a block, and terms of a product that are summed up in one go.
const BLOCK: usize = 64;

/// Values of transformed inputs and gradients that are held at a time.
const HELD: usize = 1 << 21;

/// With fewer tiles than that, reading and writing the sixteen sums of each kernel would take longer than is saved.
const FEW_TILES: usize = 128;

/// Whether it serves, and whether it saves time: with few channels the transformed gradients would be read for too little work.
pub fn suits(g: &Geometry) -> bool {
    let even = g.outputs.is_multiple_of(LANES) && g.outputs < 3 * g.channels;
    Winograd::suits(g) && even && tiles(g) >= FEW_TILES
}

fn tiles(g: &Geometry) -> usize {
    g.batch * g.output.0.div_ceil(2) * g.output.1.div_ceil(2)
}

/// The gradient (O, C, 3, 3) for maps (N, h, w, C) and their results' gradients (N, h, w, O).
pub fn gradient(g: &Geometry, xs: &[f32], dys: &[f32]) -> Vec<f32> {
    let ((c, outputs), panels) = ((g.channels, g.outputs), g.outputs.div_ceil(PANEL));
    let most = (HELD / (16 * (c + outputs))).clamp(6 * BLOCK, 24 * BLOCK) / BLOCK * BLOCK;
    // Of each of the sixteen products and each panel, (C, 32).
    let (mut sums, of_panel) = (vec![0f32; 16 * panels * c * PANEL], c * PANEL);
    let groups = (2 * rayon::current_num_threads()).div_ceil(16).min(panels);
    let mut transformed = Transformed { inputs: Vec::new(), gradients: Vec::new(), tiles: 0, channels: c, panels };
    for chunk in parts(tiles(g), most, BLOCK) {
        transformed.fill(g, xs, dys, chunk.clone());
        sums.par_chunks_mut(panels * of_panel).enumerate().for_each(|(product, sums)| {
            let of_group = panels.div_ceil(groups);
            sums.par_chunks_mut(of_group * of_panel).enumerate().for_each(|(group, sums)| {
                for first in (0..chunk.len()).step_by(BLOCK) {
                    for (panel, sums) in (group * of_group..).zip(sums.chunks_exact_mut(of_panel)) {
                        let next = if panel + 1 < panels { transformed.lines(first, product, panel + 1) } else { &[] };
                        let (a, lines) = (transformed.inputs(first, product), transformed.lines(first, product, panel));
                        multiply(a, lines, next, sums, PANEL, chunk.start + first > 0);
                    }
                }
            });
        });
    }
    let mut dweight = vec![0f32; outputs * c * 9];
    dweight.par_chunks_mut(PANEL * c * 9).enumerate().for_each(|(panel, dweight)| {
        with_scratch(|Scratch { buffer, .. }| {
            buffer.resize(c * 9 * PANEL, 0.0);
            inverse_transform_sums(&sums[panel * of_panel..], panels * of_panel, c, buffer);
            transpose(buffer, PANEL, c * 9, PANEL.min(outputs - panel * PANEL), dweight, c * 9);
        });
    });
    dweight
}

/// Some transformed tiles, block after block: of each block sixteen matrices.
struct Transformed {
    /// (tiles, C), each row and then a gap against cache conflicts.
    inputs: Vec<f32>,
    /// Panels of (tiles, O).
    gradients: Vec<Line>,
    tiles: usize,
    channels: usize,
    panels: usize,
}

impl Transformed {
    /// Turns some tiles, in place of those that it has.
    fn fill(&mut self, g: &Geometry, xs: &[f32], dys: &[f32], chunk: Range<usize>) {
        let ((c, outputs), across) = ((g.channels, g.outputs), g.output.1.div_ceil(2));
        let (width, within) = (c + LANES, g.output.0.div_ceil(2) * across);
        let place = |tile: usize| (tile / within, (2 * (tile % within / across), 2 * (tile % within % across)));
        self.tiles = chunk.len();
        // The same room for all chunks: fresh pages would take longer than what is written there.
        self.inputs.resize(16 * self.tiles * width, 0.0);
        self.gradients.resize(16 * self.tiles * self.panels * 2, Line([0.0; 16]));
        let inputs = self.inputs.par_chunks_mut(16 * BLOCK * width);
        let gradients = self.gradients.par_chunks_mut(16 * BLOCK * self.panels * 2);
        inputs.zip(gradients).zip(chunk.clone().into_par_iter().step_by(BLOCK)).for_each(
            |((inputs, gradients), first)| {
                let count = BLOCK.min(chunk.end - first);
                for row in 0..count {
                    let (image, at) = place(first + row);
                    let xs = &xs[image * g.area_in() * c..][..g.area_in() * c];
                    transform_inputs(xs, g.input, at, c, &mut inputs[row * width..], count * width);
                    let dys = &dys[image * g.area_out() * outputs..][..g.area_out() * outputs];
                    transform_gradients(dys, g.output, at, outputs, &mut gradients[2 * row..], 2 * count);
                }
            },
        );
    }

    /// The transpose of a block's transformed inputs in one of the sixteen products.
    fn inputs(&self, first: usize, product: usize) -> A<'_> {
        let (count, width) = (BLOCK.min(self.tiles - first), self.channels + LANES);
        let values = &self.inputs[(16 * first + product * count) * width..][..count * width];
        A::columns(values, self.channels, width)
    }

    /// A panel of its transformed gradients.
    fn lines(&self, first: usize, product: usize, panel: usize) -> &[Line] {
        let count = BLOCK.min(self.tiles - first);
        &self.gradients[(16 * first * self.panels + (product * self.panels + panel) * count) * 2..][..count * 2]
    }
}

/// A x.
#[inline(always)]
fn of_gradient([a, b]: [Lanes; 2]) -> [Lanes; 4] {
    [a, plus(a, b), minus(a, b), b.map(|x| -x)]
}

/// Gᵀ x.
#[inline(always)]
fn to_kernel([a, b, c, d]: [Lanes; 4]) -> [Lanes; 3] {
    let (sum, difference) = (plus(b, c).map(|x| 0.5 * x), minus(b, c).map(|x| 0.5 * x));
    [plus(a, sum), difference, plus(sum, d)]
}

vectorised! {
    /// Writes A dY Aᵀ of the tile that begins at `at`; the panels of its sixteen values start every `stride` lines.
    fn transform_gradients(
        image: &[f32],
        size: (usize, usize),
        at: (usize, usize),
        outputs: usize,
        into: &mut [Line],
        stride: usize,
    ) {
        let panels = outputs.div_ceil(PANEL);
        for first in (0..panels * PANEL).step_by(LANES) {
            // What lies beyond the map, or after the last output, has no part in the result.
            let mut tile = [[[0f32; LANES]; 2]; 2];
            for (i, row) in tile.iter_mut().enumerate() {
                for (j, value) in row.iter_mut().enumerate() {
                    let (y, x) = (at.0 + i, at.1 + j);
                    if y < size.0 && x < size.1 && first < outputs {
                        value.copy_from_slice(&image[(y * size.1 + x) * outputs + first..][..LANES]);
                    }
                }
            }
            let columns = [of_gradient([tile[0][0], tile[1][0]]), of_gradient([tile[0][1], tile[1][1]])];
            for i in 0..4 {
                for (j, value) in of_gradient([columns[0][i], columns[1][i]]).into_iter().enumerate() {
                    into[((4 * i + j) * panels + first / PANEL) * stride + first % PANEL / LANES] = Line(value);
                }
            }
        }
    }
}

vectorised! {
    /// Writes Gᵀ m G for all channels and 32 outputs: a row of 32 for each channel's tap; m's sixteen values start every `stride`.
    fn inverse_transform_sums(sums: &[f32], stride: usize, channels: usize, into: &mut [f32]) {
        for channel in 0..channels {
            for half in (0..PANEL).step_by(LANES) {
                let (mut columns, mut column) = ([[[0f32; LANES]; 3]; 4], [[0f32; LANES]; 4]);
                for (j, transformed) in columns.iter_mut().enumerate() {
                    for (i, value) in column.iter_mut().enumerate() {
                        let at = (4 * i + j) * stride + channel * PANEL + half;
                        value.copy_from_slice(&sums[at..][..LANES]);
                    }
                    *transformed = to_kernel(column);
                }
                for i in 0..3 {
                    let row = to_kernel([columns[0][i], columns[1][i], columns[2][i], columns[3][i]]);
                    for (j, values) in row.iter().enumerate() {
                        into[(channel * 9 + 3 * i + j) * PANEL + half..][..LANES].copy_from_slice(values);
                    }
                }
            }
        }
    }
}
