//! Implicit-GEMM convolution, f32, NCHW and NHWC, packed weights, fused bias, addition and activation.
//!
//! On NHWC maps a convolution is a product with an im2col matrix that is formed a block at a time. Winograd's products take the place
//! of 3×3 convolutions of stride 1 where that is faster, and sums that of depthwise convolutions. NCHW maps are turned first,
//! unless each position reads its own place alone.

mod depthwise;
mod few_channels;
mod gradients;
mod im2col;
mod implicit_a;
pub(crate) mod layout;
pub(crate) mod output;
mod winograd;
mod winograd_gradient;

use super::{Geometry, Layout};
use crate::activation::Activation;
use crate::activation::cpu::relu_gradient;
use crate::cpu::disjoint::{self, DisjointSlice};
use crate::cpu::fill::par_fill;
use crate::cpu::gemm::blocked::blocked_gemm;
use crate::cpu::gemm::{NchwChannels, PackedB, bf16};
use crate::cpu::transpose::push_transpose;
use crate::node::{Call, Operation, Value, apply_one, with_all_f32, with_f32};
use candle_core::{Result, Tensor};
use im2col::{Im2col, Source};
use implicit_a::ImplicitA;
use layout::{Maps, nhwc_to};
use output::{Epilogue, Output};
use rayon::prelude::*;
use std::borrow::Cow;
use winograd::Winograd;

/// The convolution of xs, weight and perhaps bias, and in NHWC perhaps ReLU.
pub fn conv2d(inputs: &[&Tensor], geometry: Geometry, layout: Layout, relu: bool) -> Result<Tensor> {
    apply_one(Convolution { geometry, layout, relu }, inputs)
}

struct Convolution {
    geometry: Geometry,
    layout: Layout,
    relu: bool,
}

impl Operation for Convolution {
    const NAME: &'static str = "conv2d";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let g = &self.geometry;
        let ys = with_all_f32("conv2d", inputs, |values| {
            let packed = g.pack(values[1], false);
            let activation = self.relu.then_some(Activation::Relu);
            let epilogue = Epilogue { bias: values.get(2).copied(), add: None, activation };
            g.forward(self.layout, values[0], &packed, epilogue)
        })?;
        Ok((vec![Value::new(ys, g.output_shape(self.layout))], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (g, layout) = (&self.geometry, self.layout);
        let dys = if self.relu { relu_gradient(&call.outputs[0], &gradients[0])? } else { gradients[0].clone() };
        with_all_f32("conv2d", call.inputs, |values| {
            with_f32("conv2d", &dys, |dys| {
                call.gradients([
                    call.wants(0).then(|| g.input_gradient(layout, values[1], dys)),
                    call.wants(1).then(|| g.weight_gradient(layout, values[0], dys)),
                    call.wants(2).then(|| g.bias_gradient(layout, dys)),
                ])
            })
        })??
    }
}

/// The weights of a convolution, packed.
pub enum PackedWeights {
    /// Of each group, (taps · C/groups, O/groups).
    Gemm(Vec<PackedB>),
    Winograd(Winograd),
    /// (taps, C).
    Depthwise(Vec<f32>),
}

impl Geometry {
    /// Where kernel element (u, v) reads, relative to the kernel's origin.
    fn tap(&self, u: usize, v: usize) -> (isize, isize) {
        let along = |k: usize, dilation: usize, padding: usize| (k * dilation) as isize - padding as isize;
        (along(u, self.dilation.0, self.padding.0), along(v, self.dilation.1, self.padding.1))
    }

    fn elements(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (height, width) = self.kernel;
        (0..height).flat_map(move |u| (0..width).map(move |v| (u, v)))
    }

    /// The number of kernel elements.
    fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// The convolution's input, or its gradient.
    fn input_maps<'a>(&self, layout: Layout, values: &'a [f32]) -> Maps<'a> {
        Maps { values, layout, channels: self.groups * self.channels, area: self.area_in() }
    }

    /// Its result, or the gradient of that.
    fn output_maps<'a>(&self, layout: Layout, values: &'a [f32]) -> Maps<'a> {
        Maps { values, layout, channels: self.groups * self.outputs, area: self.area_out() }
    }

    /// What a group's outputs read of NHWC maps.
    fn im2col(&self, group: usize) -> Im2col {
        let (channels, count) = (self.groups * self.channels, self.channels);
        let source = Source { size: self.input, channels, first: group * count, count };
        let taps: Vec<_> = self.elements().map(|(u, v)| self.tap(u, v)).collect();
        Im2col::new(source, self.output, self.stride, &taps)
    }

    /// The channels of NCHW maps that a group reads.
    fn group_channels<'a>(&self, maps: &'a [f32], group: usize) -> NchwChannels<'a> {
        let (channels, count) = (self.groups * self.channels, self.channels);
        NchwChannels { maps, images: self.batch, channels, area: self.area_in(), first: group * count, count }
    }

    /// The weights (O, taps, C/groups) of (O, C/groups, taps).
    fn taps_first<'a>(&self, weight: &'a [f32]) -> Cow<'a, [f32]> {
        let (channels, taps) = (self.channels, self.taps());
        if taps == 1 {
            return Cow::Borrowed(weight);
        }
        let size = channels * taps;
        Cow::Owned(par_fill(weight.len(), size, weight.par_chunks(size), |weight, into| {
            push_transpose(weight, taps, channels, taps, into);
        }))
    }

    /// Packs weights for this call alone, or for many.
    pub fn pack(&self, weight: &[f32], many: bool) -> PackedWeights {
        if self.is_depthwise() {
            return PackedWeights::Depthwise(self.elements_first(weight));
        }
        if Winograd::suits(self) && bf16::isa().is_none() && (many || Winograd::is_worth_transforming(self)) {
            return PackedWeights::Winograd(Winograd::new(self, weight));
        }
        let size = self.outputs * self.depth();
        if bf16::isa().is_none() {
            let pack = |weight| PackedB::kernels(weight, self.outputs, self.channels, self.taps());
            return PackedWeights::Gemm(weight.chunks_exact(size).map(pack).collect());
        }
        let weight = self.taps_first(weight);
        let pack = |weight| PackedB::transposed(weight, self.outputs, self.depth());
        PackedWeights::Gemm(weight.chunks_exact(size).map(pack).collect())
    }

    /// The result for maps and packed weights.
    pub fn forward(&self, layout: Layout, xs: &[f32], weights: &PackedWeights, epilogue: Epilogue) -> Vec<f32> {
        let (maps, outputs) = (self.input_maps(layout, xs), self.groups * self.outputs);
        let packed = match weights {
            PackedWeights::Gemm(packed) => packed,
            PackedWeights::Winograd(weights) => {
                return nhwc_to(layout, weights.forward(self, &maps.nhwc(), epilogue), outputs, self.area_out());
            }
            PackedWeights::Depthwise(weights) => {
                return nhwc_to(layout, self.depthwise(&maps.nhwc(), weights, epilogue), outputs, self.area_out());
            }
        };
        let rows = maps.nhwc_unless_pointwise(&self.im2col(0));
        let work = |ys: &DisjointSlice| {
            for (group, weights) in packed.iter().enumerate() {
                let output = Output {
                    layout,
                    channels: outputs,
                    first_channel: group * self.outputs,
                    epilogue,
                    size: self.output,
                    first: (0, 0),
                    step: (1, 1),
                    values: ys,
                };
                let im2col = self.im2col(group);
                let a = ImplicitA::of(&im2col, rows.as_deref(), self.group_channels(xs, group));
                blocked_gemm(&a, weights, output.write_rows(), |sums| output.write(&im2col, sums));
            }
        };
        // SAFETY: the blocks of a group's product cover all positions of all its channels, `Output::write` writes each of them, and the
        // groups are all channels; nothing is read.
        unsafe { disjoint::fill(self.batch * outputs * self.area_out(), work) }
    }
}
