//! Convolution of f32 maps on the CPU.
//!
//! Maps are laid out with their channels together, so that a convolution is a product with rows that are gathered a block
//! at a time (see `gather` and `blocks`). The gradient of the input is such a product too, one for each phase of the stride.

use super::Geometry;
use super::gather::{Gather, Source};
use super::layout::{together, transpose};
use super::matrix::{Matrix, Transposed};
use crate::node::{Call, Operation, Value, with_f32};
use crate::product::blocks::{Sums, times};
use crate::product::{PANEL, Packed};
use crate::reduce::sum1;
use crate::team::{Shared, filled};
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

pub(super) struct Convolution(pub(super) Geometry);

impl Operation for Convolution {
    type Saved = ();

    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let g = &self.0;
        let bias = inputs.get(2).map(|bias| with_f32("conv2d", bias, <[f32]>::to_vec)).transpose()?;
        let ys = with_f32("conv2d", &inputs[0], |xs| {
            with_f32("conv2d", &inputs[1], |weight| g.forward(xs, weight, bias.as_deref()))
        })??;
        Ok((vec![Value::new(ys, g.output_shape())], ()))
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

impl Geometry {
    /// The distance of kernel element (u, v) from where the kernel stands.
    fn tap(&self, u: usize, v: usize) -> (isize, isize) {
        let along = |k: usize, dilation: usize, padding: usize| (k * dilation) as isize - padding as isize;
        (along(u, self.dilation.0, self.padding.0), along(v, self.dilation.1, self.padding.1))
    }

    fn elements(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (height, width) = self.kernel;
        (0..height).flat_map(move |u| (0..width).map(move |v| (u, v)))
    }

    /// What a group's outputs read of maps with the channels together.
    pub(super) fn gather(&self, group: usize) -> Gather {
        let read = (group * self.channels, self.channels);
        let source = Source { size: self.input, channels: self.groups * self.channels, read };
        let taps: Vec<_> = self.elements().map(|(u, v)| self.tap(u, v)).collect();
        Gather::new(source, self.output, self.stride, &taps)
    }

    /// The weights (O, taps, C/groups) of (O, C/groups, taps).
    fn taps_first(&self, weight: &[f32]) -> Vec<f32> {
        let (channels, taps) = (self.channels, self.kernel.0 * self.kernel.1);
        if taps == 1 {
            return weight.to_vec();
        }
        let mut turned = vec![0f32; weight.len()];
        let kernels = turned.par_chunks_exact_mut(channels * taps).zip(weight.par_chunks_exact(channels * taps));
        kernels.for_each(|(turned, weight)| transpose(weight, taps, (channels, taps), turned, channels));
        turned
    }

    /// The weights of each group, (taps · C/groups, O/groups), ready for products.
    pub(super) fn packed(&self, weight: &[f32]) -> Vec<Packed> {
        let groups = self.taps_first(weight);
        let groups = groups.chunks_exact(self.outputs * self.depth());
        groups.map(|weight| Packed::transposed(weight, self.outputs, self.depth())).collect()
    }

    /// Maps with the channels together, unless each position reads its own place alone.
    fn rows(gather: &Gather, maps: &[f32], channels: usize, area: usize) -> Option<Vec<f32>> {
        (!gather.is_pointwise()).then(|| together(maps, channels, area))
    }

    fn forward(&self, xs: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let (channels, outputs) = (self.groups * self.channels, self.groups * self.outputs);
        let rows = Self::rows(&self.gather(0), xs, channels, self.area_in());
        let packed = self.packed(weight);
        let work = |ys: &Shared| {
            for (group, weights) in packed.iter().enumerate() {
                let maps = Maps {
                    channels: outputs,
                    first_channel: group * self.outputs,
                    bias: bias.map(|bias| &bias[group * self.outputs..]),
                    size: self.output,
                    first: (0, 0),
                    step: (1, 1),
                    values: ys,
                };
                let gather = self.gather(group);
                let read = (group * self.channels, self.channels);
                let matrix = Matrix::of(&gather, rows.as_deref(), xs, (self.batch, channels, read));
                times(&matrix, weights, |sums| maps.write(&gather, sums));
            }
        };
        // SAFETY: the blocks of all groups cover all positions of all channels.
        unsafe { filled(self.batch * outputs * self.area_out(), work) }
    }

    fn gradient_of_input(&self, weight: &[f32], dys: &[f32]) -> Vec<f32> {
        let (channels, outputs) = (self.groups * self.channels, self.groups * self.outputs);
        let weight = self.taps_first(weight);
        let mut dxs = vec![0f32; self.batch * channels * self.area_in()];
        let mut rows = None;
        let phases = (0..self.stride.0.min(self.input.0)).flat_map(|i| (0..self.stride.1).map(move |j| (i, j)));
        // The positions of x that the kernel's elements meet with the same remainder make one product.
        for first in phases.filter(|first| first.1 < self.input.1) {
            let (elements, taps) = self.meeting(first);
            if elements.is_empty() {
                continue;
            }
            let along = |size: usize, first: usize, step: usize| (size - first).div_ceil(step);
            let size = (along(self.input.0, first.0, self.stride.0), along(self.input.1, first.1, self.stride.1));
            for group in 0..self.groups {
                let read = (group * self.outputs, self.outputs);
                let source = Source { size: self.output, channels: outputs, read };
                let gather = Gather::new(source, size, (1, 1), &taps);
                if rows.is_none() {
                    rows = Self::rows(&gather, dys, outputs, self.area_out());
                }
                let weights = self.turned(&weight, group, &elements);
                let maps = Maps {
                    channels,
                    first_channel: group * self.channels,
                    bias: None,
                    size: self.input,
                    first,
                    step: self.stride,
                    values: &Shared::new(&mut dxs),
                };
                let matrix = Matrix::of(&gather, rows.as_deref(), dys, (self.batch, outputs, read));
                times(&matrix, &weights, |sums| maps.write(&gather, sums));
            }
        }
        dxs
    }

    /// The kernel's elements that read x at `first` plus multiples of the stride, and where in y they stand then.
    fn meeting(&self, first: (usize, usize)) -> (Vec<usize>, Vec<(isize, isize)>) {
        let exact = |distance: isize, stride: usize| {
            (distance.rem_euclid(stride as isize) == 0).then(|| distance.div_euclid(stride as isize))
        };
        let meets = self.elements().filter_map(|(u, v)| {
            let tap = self.tap(u, v);
            let row = exact(first.0 as isize - tap.0, self.stride.0)?;
            let column = exact(first.1 as isize - tap.1, self.stride.1)?;
            Some((u * self.kernel.1 + v, (row, column)))
        });
        meets.unzip()
    }

    /// The weights (elements · O/groups, C/groups) of one group, ready for products, from (O, taps, C/groups).
    fn turned(&self, weight: &[f32], group: usize, elements: &[usize]) -> Packed {
        let (channels, taps) = (self.channels, self.kernel.0 * self.kernel.1);
        let mut rows = Vec::with_capacity(elements.len() * self.outputs * channels);
        for &element in elements {
            for o in group * self.outputs..(group + 1) * self.outputs {
                rows.extend_from_slice(&weight[(o * taps + element) * channels..][..channels]);
            }
        }
        Packed::rows(&rows, elements.len() * self.outputs, channels)
    }

    fn gradient_of_weight(&self, xs: &[f32], dys: &[f32]) -> Vec<f32> {
        let (channels, outputs) = (self.groups * self.channels, self.groups * self.outputs);
        let rows = Self::rows(&self.gather(0), xs, channels, self.area_in());
        let depth = self.depth();
        let mut dweight = vec![0f32; outputs * depth];
        let shared = Shared::new(&mut dweight);
        for group in 0..self.groups {
            let first = group * self.outputs;
            let gradients = Packed::maps(dys, (self.batch, outputs, self.area_out()), (first, self.outputs));
            let gather = self.gather(group);
            let read = (group * self.channels, self.channels);
            let matrix = Matrix::of(&gather, rows.as_deref(), xs, (self.batch, channels, read));
            times(&Transposed(matrix), &gradients, |sums| {
                let mut turned = [[0f32; 256]; PANEL];
                let count = sums.rows.len();
                transpose(sums.values, PANEL, (count, PANEL), turned.as_flattened_mut(), 256);
                for (o, values) in sums.columns.zip(&turned) {
                    // SAFETY: these outputs and columns of the matrix belong to this block alone.
                    let into = unsafe { shared.write((first + o) * depth + sums.rows.start, count) };
                    into.copy_from_slice(&values[..count]);
                }
            });
        }
        let (channels, taps) = (self.channels, self.kernel.0 * self.kernel.1);
        if taps > 1 {
            dweight.par_chunks_exact_mut(depth).for_each_init(Vec::new, |scratch, kernel| {
                scratch.clear();
                scratch.extend_from_slice(kernel);
                transpose(scratch, channels, (taps, channels), kernel, taps);
            });
        }
        dweight
    }

    fn gradient_of_bias(&self, dys: &[f32]) -> Vec<f32> {
        let (area, outputs) = (self.area_out(), self.groups * self.outputs);
        let sum = |o: usize| {
            let maps = (0..self.batch).map(|n| &dys[(n * outputs + o) * area..][..area]);
            maps.map(|map| f64::from(sum1(map, |dy| dy))).sum::<f64>() as f32
        };
        (0..outputs).into_par_iter().map(sum).collect()
    }
}

/// Maps with the channels apart that a product is written to: position (i, j) to `first` + (i, j)·`step`.
struct Maps<'a> {
    channels: usize,
    first_channel: usize,
    bias: Option<&'a [f32]>,
    size: (usize, usize),
    first: (usize, usize),
    step: (usize, usize),
    values: &'a Shared<'a>,
}

impl Maps<'_> {
    fn write(&self, gather: &Gather, sums: Sums) {
        const ROWS: usize = 128;
        let mut turned = [[0f32; ROWS]; PANEL];
        transpose(sums.values, PANEL, (sums.rows.len(), PANEL), turned.as_flattened_mut(), ROWS);
        let (area, width) = (gather.area(), gather.size().1);
        let whole = self.step == (1, 1) && self.size == gather.size();
        for (channel, values) in sums.columns.zip(&turned) {
            let bias = self.bias.map_or(0.0, |bias| bias[channel]);
            let (mut position, mut values) = (sums.rows.start, &values[..sums.rows.len()]);
            // As far as one picture goes, or one of its rows.
            let line = if whole { area } else { width };
            while !values.is_empty() {
                let (picture, within) = (position / area, position % area);
                let count = values.len().min(line - position % line);
                let (row, column) =
                    (self.first.0 + within / width * self.step.0, self.first.1 + within % width * self.step.1);
                let map = (picture * self.channels + self.first_channel + channel) * self.size.0 * self.size.1;
                // SAFETY: these positions of this map belong to this block alone, and so does all between them as long as
                // this product runs.
                let into =
                    unsafe { self.values.write(map + row * self.size.1 + column, (count - 1) * self.step.1 + 1) };
                let (these, rest) = values.split_at(count);
                if self.step.1 == 1 {
                    into.iter_mut().zip(these).for_each(|(into, sum)| *into = sum + bias);
                } else {
                    into.iter_mut().step_by(self.step.1).zip(these).for_each(|(into, sum)| *into = sum + bias);
                }
                (position, values) = (position + count, rest);
            }
        }
    }
}
