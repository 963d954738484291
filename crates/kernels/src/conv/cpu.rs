//! Convolution of f32 maps on the CPU: im2col and one matrix product a picture and group.
//!
//! Pictures are shared out among rayon's threads; where there are fewer pictures than threads, the product itself runs on
//! all of them. Every sum has an order that depends on the number of threads alone.

use super::Geometry;
use crate::node::{Call, Operation, with_f32};
use crate::reduce::sum1;
use candle_core::{Device, Result, Tensor};
use gemm::Parallelism;
use rayon::prelude::*;
use std::ops::Range;

/// Elements of one block of the column matrix: it should stay in a core's cache between im2col and the product.
const BLOCK: usize = 1 << 18;

pub(super) struct Convolution(pub(super) Geometry);

impl Operation for Convolution {
    type Saved = ();

    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Tensor>, ())> {
        let g = &self.0;
        let bias = inputs.get(2).map(|bias| with_f32("conv2d", bias, <[f32]>::to_vec)).transpose()?;
        let ys = with_f32("conv2d", &inputs[0], |xs| {
            with_f32("conv2d", &inputs[1], |weight| g.forward(xs, weight, bias.as_deref()))
        })??;
        Ok((vec![Tensor::from_vec(ys, g.output_shape(), &Device::Cpu)?], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (g, inputs, wanted) = (&self.0, call.inputs, call.wanted);
        let tensor = |values: Vec<f32>, i: usize| Tensor::from_vec(values, inputs[i].shape(), &Device::Cpu);
        with_f32("conv2d", &gradients[0], |dys| {
            let mut found = vec![None; inputs.len()];
            if wanted[0] {
                let dxs = with_f32("conv2d", &inputs[1], |weight| g.gradient_of_input(weight, dys))?;
                found[0] = Some(tensor(dxs, 0)?);
            }
            if wanted[1] {
                let dweight = with_f32("conv2d", &inputs[0], |xs| g.gradient_of_weight(xs, dys))?;
                found[1] = Some(tensor(dweight, 1)?);
            }
            if wanted.get(2) == Some(&true) {
                found[2] = Some(tensor(g.gradient_of_bias(dys), 2)?);
            }
            Ok(found)
        })?
    }
}

/// A matrix in a slice with its row and column strides.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    row: usize,
    column: usize,
}

/// out (m × n, row stride `row`) = lhs (m × k) · rhs (k × n), added to what is there when `add`.
fn multiply(
    (m, n, k): (usize, usize, usize),
    out: &mut [f32],
    row: usize,
    add: bool,
    lhs: Matrix,
    rhs: Matrix,
    threads: usize,
) {
    let last = |rows: usize, columns: usize, row: usize, column: usize| (rows - 1) * row + (columns - 1) * column;
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(last(m, n, row, 1) < out.len());
    assert!(last(m, k, lhs.row, lhs.column) < lhs.values.len());
    assert!(last(k, n, rhs.row, rhs.column) < rhs.values.len());
    let parallelism = if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None };
    // SAFETY: all three matrices lie within their slices (asserted above), and `out` is borrowed mutably.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            row as isize,
            add,
            lhs.values.as_ptr(),
            lhs.column as isize,
            lhs.row as isize,
            rhs.values.as_ptr(),
            rhs.column as isize,
            rhs.row as isize,
            1f32,
            1f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}

impl Geometry {
    /// A 1×1 kernel with stride 1 reads the map as it lies: no columns are needed.
    fn pointwise(&self) -> bool {
        self.kernel == (1, 1) && self.stride == (1, 1) && self.padding == (0, 0)
    }

    /// Ranges of output rows whose columns fill one block.
    fn blocks(&self) -> Vec<Range<usize>> {
        let rows = match self.pointwise() {
            true => self.output.0,
            false => (BLOCK / (self.depth() * self.output.1).max(1)).clamp(1, self.output.0),
        };
        (0..self.output.0).step_by(rows).map(|start| start..(start + rows).min(self.output.0)).collect()
    }

    /// The weight of one group, (O/groups, C/groups·kh·kw).
    fn kernel_of<'a>(&self, weight: &'a [f32], group: usize) -> &'a [f32] {
        let size = self.outputs * self.depth();
        &weight[group * size..(group + 1) * size]
    }

    /// Runs `f` on each chunk: chunks side by side where there are enough, else one after the other with all threads for each.
    fn each_chunk(&self, values: &mut [f32], size: usize, f: impl Fn(usize, &mut [f32], &mut Vec<f32>, usize) + Sync) {
        let threads = rayon::current_num_threads();
        if size == 0 {
            return;
        }
        if values.len() / size >= threads {
            let chunks = values.par_chunks_mut(size).enumerate();
            chunks.for_each_init(Vec::new, |scratch, (i, chunk)| f(i, chunk, scratch, 1));
        } else {
            let mut scratch = Vec::new();
            values.chunks_mut(size).enumerate().for_each(|(i, chunk)| f(i, chunk, &mut scratch, threads));
        }
    }

    fn forward(&self, xs: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let (area, depth, blocks) = (self.area_out(), self.depth(), self.blocks());
        let size = self.outputs * area;
        let mut ys = vec![0f32; self.batch * self.groups * size];
        self.each_chunk(&mut ys, size, |i, ys, scratch, threads| {
            let group = i % self.groups;
            if let Some(bias) = bias {
                let bias = &bias[group * self.outputs..];
                ys.chunks_mut(area).zip(bias).for_each(|(ys, &bias)| ys.fill(bias));
            }
            let lhs = Matrix { values: self.kernel_of(weight, group), row: depth, column: 1 };
            for rows in &blocks {
                let (start, n) = (rows.start * self.output.1, rows.len() * self.output.1);
                let rhs = self.columns(xs, i, rows, scratch, threads);
                multiply((self.outputs, n, depth), &mut ys[start..], area, bias.is_some(), lhs, rhs, threads);
            }
        });
        ys
    }

    fn gradient_of_input(&self, weight: &[f32], dys: &[f32]) -> Vec<f32> {
        let (area, depth, blocks) = (self.area_out(), self.depth(), self.blocks());
        let size = self.channels * self.area_in();
        let mut dxs = vec![0f32; self.batch * self.groups * size];
        self.each_chunk(&mut dxs, size, |i, dxs, scratch, threads| {
            let lhs = Matrix { values: self.kernel_of(weight, i % self.groups), row: 1, column: depth };
            let dys = &dys[i * self.outputs * area..(i + 1) * self.outputs * area];
            for rows in &blocks {
                let (start, n) = (rows.start * self.output.1, rows.len() * self.output.1);
                let rhs = Matrix { values: &dys[start..], row: area, column: 1 };
                if self.pointwise() {
                    multiply((depth, n, self.outputs), dxs, area, false, lhs, rhs, threads);
                } else {
                    scratch.resize(depth * n, 0.0);
                    multiply((depth, n, self.outputs), scratch, n, false, lhs, rhs, threads);
                    self.scatter(scratch, rows, dxs, threads);
                }
            }
        });
        dxs
    }

    fn gradient_of_weight(&self, xs: &[f32], dys: &[f32]) -> Vec<f32> {
        let (area, depth, blocks) = (self.area_out(), self.depth(), self.blocks());
        let size = self.groups * self.outputs * depth;
        // A share of the pictures for each thread, each with sums of its own; too few pictures: all threads on one sum.
        let threads = rayon::current_num_threads();
        let shares = if self.batch >= threads { threads } else { 1 };
        let inner = if shares == 1 { threads } else { 1 };
        let mut sums = vec![0f32; shares * size];
        let part = |share: usize, sums: &mut [f32]| {
            let mut scratch = Vec::new();
            for n in share * self.batch / shares..(share + 1) * self.batch / shares {
                for (group, sums) in sums.chunks_mut((self.outputs * depth).max(1)).enumerate() {
                    let i = n * self.groups + group;
                    let dys = &dys[i * self.outputs * area..(i + 1) * self.outputs * area];
                    for rows in &blocks {
                        let (start, k) = (rows.start * self.output.1, rows.len() * self.output.1);
                        let lhs = Matrix { values: &dys[start..], row: area, column: 1 };
                        let columns = self.columns(xs, i, rows, &mut scratch, inner);
                        let rhs = Matrix { row: columns.column, column: columns.row, ..columns };
                        multiply((self.outputs, depth, k), sums, depth, true, lhs, rhs, inner);
                    }
                }
            }
        };
        if shares == 1 {
            part(0, &mut sums);
            return sums;
        }
        sums.par_chunks_mut(size.max(1)).enumerate().for_each(|(share, sums)| part(share, sums));
        let (first, others) = sums.split_at_mut(size);
        for other in others.chunks(size.max(1)) {
            first.iter_mut().zip(other).for_each(|(sum, &value)| *sum += value);
        }
        sums.truncate(size);
        sums
    }

    fn gradient_of_bias(&self, dys: &[f32]) -> Vec<f32> {
        let (area, outputs) = (self.area_out(), self.groups * self.outputs);
        let sum = |o: usize| {
            let maps = (0..self.batch).map(|n| &dys[(n * outputs + o) * area..][..area]);
            maps.map(|map| f64::from(sum1(map, |dy| dy))).sum::<f64>() as f32
        };
        (0..outputs).into_par_iter().map(sum).collect()
    }

    /// The column matrix (C/groups·kh·kw, rows·w') of picture and group `i`.
    fn columns<'a>(
        &self,
        xs: &'a [f32],
        i: usize,
        rows: &Range<usize>,
        scratch: &'a mut Vec<f32>,
        threads: usize,
    ) -> Matrix<'a> {
        let size = self.channels * self.area_in();
        let xs = &xs[i * size..(i + 1) * size];
        if self.pointwise() {
            return Matrix { values: xs, row: self.area_out(), column: 1 };
        }
        let row = rows.len() * self.output.1;
        scratch.resize(self.depth() * row, 0.0);
        let taps = self.kernel.0 * self.kernel.1;
        let fill = |(map, columns): (&[f32], &mut [f32])| {
            for (tap, columns) in columns.chunks_mut(row).enumerate() {
                self.fill(map, tap, rows, columns);
            }
        };
        if threads > 1 {
            xs.par_chunks(self.area_in()).zip(scratch.par_chunks_mut(taps * row)).for_each(fill);
        } else {
            xs.chunks(self.area_in()).zip(scratch.chunks_mut(taps * row)).for_each(fill);
        }
        Matrix { values: scratch, row, column: 1 }
    }

    /// Adds columns back to where they were read from.
    fn scatter(&self, columns: &[f32], rows: &Range<usize>, dxs: &mut [f32], threads: usize) {
        let row = rows.len() * self.output.1;
        let taps = self.kernel.0 * self.kernel.1;
        let add = |(map, columns): (&mut [f32], &[f32])| {
            for (tap, columns) in columns.chunks(row).enumerate() {
                self.add(map, tap, rows, columns);
            }
        };
        if threads > 1 {
            dxs.par_chunks_mut(self.area_in()).zip(columns.par_chunks(taps * row)).for_each(add);
        } else {
            dxs.chunks_mut(self.area_in()).zip(columns.chunks(taps * row)).for_each(add);
        }
    }

    /// The horizontal outputs that kernel column `v` reads inside the map, and the first position they read.
    fn inside(&self, v: usize) -> (Range<usize>, usize) {
        let (offset, padding, stride) = (v * self.dilation.1, self.padding.1, self.stride.1);
        let start = padding.saturating_sub(offset).div_ceil(stride);
        let end = (self.input.1 + padding).saturating_sub(offset).div_ceil(stride).min(self.output.1);
        let start = start.min(end);
        (start..end, (start * stride + offset).saturating_sub(padding))
    }

    /// The map's row that kernel row `u` reads for output row `i`.
    fn source_row(&self, i: usize, u: usize) -> Option<usize> {
        (i * self.stride.0 + u * self.dilation.0).checked_sub(self.padding.0).filter(|&y| y < self.input.0)
    }

    /// One row of the column matrix, from one map.
    fn fill(&self, map: &[f32], tap: usize, rows: &Range<usize>, columns: &mut [f32]) {
        let (u, v) = (tap / self.kernel.1, tap % self.kernel.1);
        let (inside, first) = self.inside(v);
        for (i, out) in rows.clone().zip(columns.chunks_mut(self.output.1)) {
            let Some(y) = self.source_row(i, u).filter(|_| !inside.is_empty()) else {
                out.fill(0.0);
                continue;
            };
            let source = &map[y * self.input.1 + first..(y + 1) * self.input.1];
            out[..inside.start].fill(0.0);
            out[inside.end..].fill(0.0);
            let out = &mut out[inside.clone()];
            if self.stride.1 == 1 {
                out.copy_from_slice(&source[..out.len()]);
            } else {
                out.iter_mut().zip(source.iter().step_by(self.stride.1)).for_each(|(out, &value)| *out = value);
            }
        }
    }

    /// Adds one row of the column matrix to the map that it was read from.
    fn add(&self, map: &mut [f32], tap: usize, rows: &Range<usize>, columns: &[f32]) {
        let (u, v) = (tap / self.kernel.1, tap % self.kernel.1);
        let (inside, first) = self.inside(v);
        for (i, values) in rows.clone().zip(columns.chunks(self.output.1)) {
            let Some(y) = self.source_row(i, u).filter(|_| !inside.is_empty()) else { continue };
            let target = &mut map[y * self.input.1 + first..(y + 1) * self.input.1];
            let values = &values[inside.clone()];
            if self.stride.1 == 1 {
                target.iter_mut().zip(values).for_each(|(target, value)| *target += value);
            } else {
                target.iter_mut().step_by(self.stride.1).zip(values).for_each(|(target, value)| *target += value);
            }
        }
    }
}
