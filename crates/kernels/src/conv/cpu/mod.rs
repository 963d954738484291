//! Implicit-GEMM convolution, f32, NCHW and NHWC, packed weights, fused bias, addition and ReLU.
//!
//! Where maps have their channels together, a convolution is a product with rows that are gathered a block at a time (see
//! `gather` and `matrix`). The gradient of the input is such a product too, one for each phase of the stride. Maps with their
//! channels apart are turned first.

mod depthwise;
mod few_channels;
mod im2col;
mod implicit_a;
pub(crate) mod layout;
pub(crate) mod output;
mod winograd;
mod winograd_gradient;

use super::{Geometry, Layout};
use crate::activation::Activation;
use crate::activation::cpu::relu_gradient;
use crate::cpu::fill::par_filled;
use crate::cpu::gemm::blocked::{Sums, times};
use crate::cpu::gemm::{FEW_BLOCKS, Lying, PANEL, Packed, bf16};
use crate::cpu::reduce::{sum1, sums_of_columns};
use crate::cpu::team::{Shared, filled};
use crate::cpu::transpose::{push_transpose, transpose};
use crate::node::{Call, Operation, Value, apply_one, with_all_f32, with_f32};
use candle_core::{Result, Tensor};
use few_channels::NARROW;
use im2col::{Gather, Source};
use implicit_a::{Matrix, Transposed};
use layout::{apart, together};
use output::{After, Target};
use rayon::prelude::*;
use std::borrow::Cow;
use winograd::Winograd;

/// The convolution of xs, weight and perhaps bias, and then ReLU or not, which takes NHWC.
pub fn conv2d(inputs: &[&Tensor], geometry: Geometry, layout: Layout, relu: bool) -> Result<Tensor> {
    apply_one(Convolution { geometry, layout, relu }, inputs)
}

struct Convolution {
    geometry: Geometry,
    layout: Layout,
    relu: bool,
}

impl Operation for Convolution {
    type Saved = ();

    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let g = &self.geometry;
        let ys = with_all_f32("conv2d", inputs, |values| {
            let packed = g.packed(values[1], false);
            let then = self.relu.then_some(Activation::Relu);
            let after = After { bias: values.get(2).copied(), add: None, then };
            g.forward(self.layout, values[0], &packed, after)
        })?;
        Ok((vec![Value::new(ys, g.output_shape(self.layout))], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (g, layout) = (&self.geometry, self.layout);
        let dys = if self.relu { relu_gradient(&call.outputs[0], &gradients[0])? } else { gradients[0].clone() };
        with_all_f32("conv2d", call.inputs, |values| {
            with_f32("conv2d", &dys, |dys| {
                call.gradients([
                    call.wants(0).then(|| g.gradient_of_input(layout, values[1], dys)),
                    call.wants(1).then(|| g.gradient_of_weight(layout, values[0], dys)),
                    call.wants(2).then(|| g.gradient_of_bias(layout, dys)),
                ])
            })
        })??
    }
}

/// The weights of a convolution, ready for products.
pub enum Weights {
    /// Of each group, (taps · C/groups, O/groups).
    Direct(Vec<Packed>),
    Winograd(Winograd),
    /// (taps, C).
    Depthwise(Vec<f32>),
}

/// The first position of the input that some of the kernel's elements meet with the same remainder by the stride, those elements, and
/// where in the result they stand then.
pub type Phase = ((usize, usize), Vec<usize>, Vec<(isize, isize)>);

impl Geometry {
    /// The distance of kernel element (u, v) from where the kernel stands.
    pub fn tap(&self, u: usize, v: usize) -> (isize, isize) {
        let along = |k: usize, dilation: usize, padding: usize| (k * dilation) as isize - padding as isize;
        (along(u, self.dilation.0, self.padding.0), along(v, self.dilation.1, self.padding.1))
    }

    pub fn elements(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (height, width) = self.kernel;
        (0..height).flat_map(move |u| (0..width).map(move |v| (u, v)))
    }

    /// What a group's outputs read of maps with the channels together.
    fn gather(&self, group: usize) -> Gather {
        let read = (group * self.channels, self.channels);
        let source = Source { size: self.input, channels: self.groups * self.channels, read };
        let taps: Vec<_> = self.elements().map(|(u, v)| self.tap(u, v)).collect();
        Gather::new(source, self.output, self.stride, &taps)
    }

    /// The weights (O, taps, C/groups) of (O, C/groups, taps).
    fn taps_first<'a>(&self, weight: &'a [f32]) -> Cow<'a, [f32]> {
        let (channels, taps) = (self.channels, self.kernel.0 * self.kernel.1);
        if taps == 1 {
            return Cow::Borrowed(weight);
        }
        let size = channels * taps;
        Cow::Owned(par_filled(weight.len(), size, weight.par_chunks(size), |weight, turned| {
            push_transpose(weight, taps, (channels, taps), turned);
        }))
    }

    /// The weights, ready for products: of this call alone, or of many.
    pub fn packed(&self, weight: &[f32], many: bool) -> Weights {
        if self.is_depthwise() {
            return Weights::Depthwise(self.elements_first(weight));
        }
        if Winograd::suits(self) && bf16::path().is_none() && (many || Winograd::is_worth_turning(self)) {
            return Weights::Winograd(Winograd::new(self, weight));
        }
        let (taps, size) = (self.kernel.0 * self.kernel.1, self.outputs * self.depth());
        if bf16::path().is_none() {
            let pack = |weight| Packed::kernels(weight, self.outputs, (self.channels, taps));
            return Weights::Direct(weight.chunks_exact(size).map(pack).collect());
        }
        let turned = self.taps_first(weight);
        let pack = |weight| Packed::transposed(weight, self.outputs, self.depth());
        Weights::Direct(turned.chunks_exact(size).map(pack).collect())
    }

    /// Maps with the channels together, unless they lie apart and each position reads its own place alone.
    fn rows<'a>(
        layout: Layout,
        gather: &Gather,
        maps: &'a [f32],
        (channels, area): (usize, usize),
    ) -> Option<Cow<'a, [f32]>> {
        match layout {
            Layout::Nhwc => Some(Cow::Borrowed(maps)),
            Layout::Nchw => (!gather.is_pointwise()).then(|| Cow::Owned(together(maps, channels, area))),
        }
    }

    /// Maps with the channels together.
    fn turned_together(layout: Layout, maps: &[f32], (channels, area): (usize, usize)) -> Cow<'_, [f32]> {
        match layout {
            Layout::Nhwc => Cow::Borrowed(maps),
            Layout::Nchw => Cow::Owned(together(maps, channels, area)),
        }
    }

    /// The result for maps and packed weights.
    pub fn forward(&self, layout: Layout, xs: &[f32], weights: &Weights, after: After) -> Vec<f32> {
        let (channels, outputs) = (self.groups * self.channels, self.groups * self.outputs);
        let rows = Self::rows(layout, &self.gather(0), xs, (channels, self.area_in()));
        let packed = match weights {
            Weights::Direct(packed) => packed,
            Weights::Winograd(weights) => {
                let ys = weights.forward(self, rows.as_deref().unwrap_or(xs), after);
                return if layout == Layout::Nchw { apart(&ys, outputs, self.area_out()) } else { ys };
            }
            Weights::Depthwise(weights) => {
                let rows = rows.unwrap_or_else(|| Self::turned_together(layout, xs, (channels, self.area_in())));
                let ys = self.depthwise(&rows, weights, after);
                return if layout == Layout::Nchw { apart(&ys, outputs, self.area_out()) } else { ys };
            }
        };
        let work = |ys: &Shared| {
            for (group, weights) in packed.iter().enumerate() {
                let target = Target {
                    layout,
                    channels: outputs,
                    first_channel: group * self.outputs,
                    after,
                    size: self.output,
                    first: (0, 0),
                    step: (1, 1),
                    values: ys,
                };
                let gather = self.gather(group);
                let read = (group * self.channels, self.channels);
                let matrix = Matrix::of(&gather, rows.as_deref(), xs, (self.batch, channels, read));
                times(&matrix, weights, target.together(), |sums| target.write(&gather, sums));
            }
        };
        // SAFETY: the blocks of a group's product cover all positions of all its channels, `Target::write` writes each of them, and the
        // groups are all channels; nothing is read.
        unsafe { filled(self.batch * outputs * self.area_out(), work) }
    }

    fn gradient_of_input(&self, layout: Layout, weight: &[f32], dys: &[f32]) -> Vec<f32> {
        if self.is_depthwise() {
            let dys = Self::turned_together(layout, dys, (self.groups, self.area_out()));
            let dxs = self.depthwise_gradient_of_input(weight, &dys);
            return if layout == Layout::Nchw { apart(&dxs, self.groups, self.area_in()) } else { dxs };
        }
        let back =
            Self { channels: self.outputs, outputs: self.channels, input: self.output, output: self.input, ..*self };
        if Winograd::suits(&back) && bf16::path().is_none() && Winograd::is_worth_turning(&back) {
            let weights = back.packed(&self.mirrored(weight), false);
            return back.forward(layout, dys, &weights, After::default());
        }
        let narrow = self.channels <= NARROW && self.outputs >= PANEL;
        if layout == Layout::Nchw && self.stride.1 > 1 && !narrow {
            // Every other value of a map would be written one by one.
            let dys = together(dys, self.groups * self.outputs, self.area_out());
            let dxs = self.gradient_of_input(Layout::Nhwc, weight, &dys);
            return apart(&dxs, self.groups * self.channels, self.area_in());
        }
        let (weight, phases) = (self.taps_first(weight), self.phases().collect::<Vec<_>>());
        let work = |dxs: &Shared| {
            if phases.len() < self.stride.0.min(self.input.0) * self.stride.1.min(self.input.1) {
                // SAFETY: no product has begun, and nobody else has `dxs`.
                unsafe { dxs.write(0, self.batch * self.groups * self.channels * self.area_in()).fill(0.0) };
            }
            self.phases_into(&phases, layout, (&weight, dys), dxs);
        };
        // SAFETY: where each remainder by the stride has a phase, the phases are all positions, and their products, or `narrow`, write
        // all channels of them; where one has none, all was written before. Nothing is read.
        unsafe { filled(self.batch * self.groups * self.channels * self.area_in(), work) }
    }

    /// The input's gradient at the positions of all phases: those that the kernel's elements meet with the same remainder make one
    /// product.
    fn phases_into(&self, phases: &[Phase], layout: Layout, (weight, dys): (&[f32], &[f32]), dxs: &Shared) {
        let (channels, outputs) = (self.groups * self.channels, self.groups * self.outputs);
        let mut rows = None;
        for (first, elements, taps) in phases {
            let along = |size: usize, first: usize, step: usize| (size - first).div_ceil(step);
            let size = (along(self.input.0, first.0, self.stride.0), along(self.input.1, first.1, self.stride.1));
            for group in 0..self.groups {
                let read = (group * self.outputs, self.outputs);
                let source = Source { size: self.output, channels: outputs, read };
                let gather = Gather::new(source, size, (1, 1), taps);
                if rows.is_none() {
                    rows = Self::rows(layout, &gather, dys, (outputs, self.area_out()));
                }
                if self.channels <= NARROW
                    && self.outputs >= PANEL
                    && let Some(rows) = &rows
                {
                    self.narrow(layout, &gather, rows, weight, (group, elements), *first, dxs);
                    continue;
                }
                let weights = self.turned(weight, group, elements);
                let target = Target {
                    layout,
                    channels,
                    first_channel: group * self.channels,
                    after: After::default(),
                    size: self.input,
                    first: *first,
                    step: self.stride,
                    values: dxs,
                };
                let matrix = Matrix::of(&gather, rows.as_deref(), dys, (self.batch, outputs, read));
                times(&matrix, &weights, target.together(), |sums| target.write(&gather, sums));
            }
        }
    }

    /// The weights (C, O, taps) of (O, C, taps), each kernel turned by half a turn: those that lead back.
    fn mirrored(&self, weight: &[f32]) -> Vec<f32> {
        const TOGETHER: usize = 16;
        let (channels, outputs, taps) = (self.channels, self.outputs, self.kernel.0 * self.kernel.1);
        let mut turned = vec![0f32; weight.len()];
        // Several channels at a time: their kernels lie beside each other.
        turned.par_chunks_mut(TOGETHER * outputs * taps).enumerate().for_each(|(first, turned)| {
            for output in 0..outputs {
                let kernels = weight[(output * channels + first * TOGETHER) * taps..].chunks_exact(taps);
                for (kernel, turned) in kernels.zip(turned.chunks_exact_mut(outputs * taps)) {
                    let turned = &mut turned[output * taps..][..taps];
                    turned.iter_mut().zip(kernel.iter().rev()).for_each(|(turned, value)| *turned = *value);
                }
            }
        });
        turned
    }

    /// The first positions of x of each remainder by the stride, with what [`Self::meeting`] says of them; without those that
    /// nothing reads.
    pub fn phases(&self) -> impl Iterator<Item = Phase> {
        let phases = (0..self.stride.0.min(self.input.0)).flat_map(|i| (0..self.stride.1).map(move |j| (i, j)));
        phases.filter(|first| first.1 < self.input.1).filter_map(|first| {
            let (elements, taps) = self.meeting(first);
            (!elements.is_empty()).then_some((first, elements, taps))
        })
    }

    /// The kernel's elements that read x at `first` plus multiples of the stride, and where in y they stand then: the last element
    /// first, so that what they meet lies in order.
    fn meeting(&self, first: (usize, usize)) -> (Vec<usize>, Vec<(isize, isize)>) {
        let exact = |distance: isize, stride: usize| {
            (distance.rem_euclid(stride as isize) == 0).then(|| distance.div_euclid(stride as isize))
        };
        let elements: Vec<_> = self.elements().collect();
        let meets = elements.into_iter().rev().filter_map(|(u, v)| {
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
        if taps == 1 {
            return Packed::rows(&weight[group * self.outputs * channels..], self.outputs, channels);
        }
        let mut rows = Vec::with_capacity(elements.len() * self.outputs * channels);
        for &element in elements {
            for o in group * self.outputs..(group + 1) * self.outputs {
                rows.extend_from_slice(&weight[(o * taps + element) * channels..][..channels]);
            }
        }
        Packed::rows(&rows, elements.len() * self.outputs, channels)
    }

    fn gradient_of_weight(&self, layout: Layout, xs: &[f32], dys: &[f32]) -> Vec<f32> {
        let (channels, outputs) = (self.groups * self.channels, self.groups * self.outputs);
        if self.is_depthwise() {
            let xs = Self::turned_together(layout, xs, (channels, self.area_in()));
            let dys = Self::turned_together(layout, dys, (channels, self.area_out()));
            return self.depthwise_gradient_of_weight(&xs, &dys);
        }
        if winograd_gradient::suits(self) && bf16::path().is_none() {
            let xs = Self::turned_together(layout, xs, (channels, self.area_in()));
            let dys = Self::turned_together(layout, dys, (outputs, self.area_out()));
            return winograd_gradient::gradient(self, &xs, &dys);
        }
        let rows = Self::rows(layout, &self.gather(0), xs, (channels, self.area_in()));
        // Rounded maps begin a tile with each picture, as blocks of positions do only where nothing is gathered.
        let turned = (layout == Layout::Nchw && rows.is_some() && bf16::path().is_some())
            .then(|| together(dys, outputs, self.area_out()));
        let (layout, dys) = turned.as_deref().map_or((layout, dys), |dys| (Layout::Nhwc, dys));
        let mut dweight = vec![0f32; outputs * self.depth()];
        for (group, into) in dweight.chunks_exact_mut((self.outputs * self.depth()).max(1)).enumerate() {
            let gather = self.gather(group);
            let read = (group * self.channels, self.channels);
            let matrix = Transposed(Matrix::of(&gather, rows.as_deref(), xs, (self.batch, channels, read)));
            self.of_group(&matrix, layout, (dys, group * self.outputs), &Shared::new(into));
        }
        self.taps_last(&mut dweight);
        dweight
    }

    /// The gradient (O/groups, taps · C/groups) of one group's weights, whose outputs begin at `first`.
    fn of_group(&self, matrix: &Transposed, layout: Layout, (dys, first): (&[f32], usize), into: &Shared) {
        let (path, outputs, depth) = (bf16::path(), self.groups * self.outputs, self.depth());
        let write = |sums: Sums| {
            let mut turned = [[0f32; 256]; PANEL];
            let count = sums.rows.len();
            transpose(sums.values, PANEL, (count, PANEL), turned.as_flattened_mut(), 256);
            for (o, values) in sums.columns.zip(&turned) {
                // SAFETY: a product hands out each block once (`blocks::times`): row o of the gradient from `rows.start` on is in no
                // other, and nobody else has `into`.
                let into = unsafe { into.write(o * depth + sums.rows.start, count) };
                into.copy_from_slice(&values[..count]);
            }
        };
        let values = dys.get(first..).unwrap_or_default();
        match layout {
            Layout::Nchw => {
                let maps = (self.batch, outputs, self.area_out());
                times(matrix, &Packed::maps(path, dys, maps, (first, self.outputs)), usize::MAX, write);
            }
            Layout::Nhwc if depth <= FEW_BLOCKS => {
                let lying = Lying { values, strides: (outputs, 1), columns: self.outputs, path };
                times(matrix, &lying, usize::MAX, write);
            }
            Layout::Nhwc => {
                let positions = self.batch * self.area_out();
                let packed = Packed::new(path, values, (outputs, 1), positions, self.outputs);
                times(matrix, &packed, usize::MAX, write);
            }
        }
    }

    /// From (O, taps, C/groups) to PyTorch's (O, C/groups, taps).
    fn taps_last(&self, weight: &mut [f32]) {
        let (channels, taps) = (self.channels, self.kernel.0 * self.kernel.1);
        if taps > 1 {
            weight.par_chunks_exact_mut(channels * taps).for_each_init(Vec::new, |scratch, kernel| {
                scratch.clear();
                scratch.extend_from_slice(kernel);
                transpose(scratch, channels, (taps, channels), kernel, taps);
            });
        }
    }

    fn gradient_of_bias(&self, layout: Layout, dys: &[f32]) -> Vec<f32> {
        let (area, outputs) = (self.area_out(), self.groups * self.outputs);
        if layout == Layout::Nhwc {
            return sums_of_columns(dys, outputs, outputs);
        }
        let sum = |o: usize| {
            let maps = (0..self.batch).map(|n| &dys[(n * outputs + o) * area..][..area]);
            maps.map(|map| f64::from(sum1(map, |dy| dy))).sum::<f64>() as f32
        };
        (0..outputs).into_par_iter().map(sum).collect()
    }
}
