//! Convolution with a group for each channel, f32, on CUDA: no product, but a kernel over all outputs and three on the way back.

use super::{MODULE, sizes_argument};
use crate::conv::{Geometry, Layout};
use crate::cuda::{Argument, Gpu, Launch};
use crate::node::{Call, Operation, Value};
use candle_core::{Result, Tensor};

/// How many positions a block goes through at least for the gradient of a weight.
const PART: usize = 4096;

/// The most parts of all positions, since a grid's second side is below 2¹⁶.
const MOST_PARTS: usize = 256;

pub struct Depthwise {
    pub gpu: &'static dyn Gpu,
    pub geometry: Geometry,
    pub layout: Layout,
    pub relu: bool,
}

impl Depthwise {
    fn outputs(&self) -> usize {
        self.geometry.groups * self.geometry.outputs
    }

    /// What all kernels end with.
    fn of_pictures(&self) -> [Argument; 2] {
        [sizes_argument(&self.geometry, self.layout), self.geometry.batch.into()]
    }
}

impl Operation for Depthwise {
    const NAME: &'static str = "conv2d";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let (gpu, g) = (self.gpu, &self.geometry);
        let (xs, weight) = (gpu.of(&inputs[0])?, gpu.of(&inputs[1])?);
        let bias = inputs.get(2).map(|bias| gpu.of(bias)).transpose()?;
        let values = g.batch * g.area_out() * self.outputs();
        let ys = gpu.alloc(values)?;
        let bias = bias.as_ref().map_or(Argument::Address(0), |bias| bias.at(0));
        let from_to = [xs.at(0), weight.at(0), bias, ys.at(0)];
        let arguments = [&from_to[..], &self.of_pictures(), &[self.relu.into()]].concat();
        gpu.launch_each(&MODULE, "depthwise_forward", values, &arguments)?;
        Ok((vec![gpu.value(ys, g.output_shape(self.layout).into())?], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (gpu, g) = (self.gpu, &self.geometry);
        let (xs, weight, d_ys) = (gpu.of(&call.inputs[0])?, gpu.of(&call.inputs[1])?, gpu.of(&gradients[0])?);
        let ys = if self.relu { Some(gpu.of(&call.outputs[0])?) } else { None };
        let of_ys = [d_ys.at(0), ys.as_ref().map_or(Argument::Address(0), |ys| ys.at(0))];
        let mut found = vec![None; call.inputs.len()];
        if call.wants(0) {
            let count = call.inputs[0].elem_count();
            let d_xs = gpu.alloc(count)?;
            let arguments = [&of_ys[..], &[weight.at(0), d_xs.at(0)], &self.of_pictures()].concat();
            gpu.launch_each(&MODULE, "depthwise_input_gradients", count, &arguments)?;
            found[0] = Some(gpu.value(d_xs, call.inputs[0].shape().clone())?.tensor());
        }
        let bias = call.inputs.len() > 2;
        if call.wants(1) || bias && call.wants(2) {
            let (d_weight, d_bias) = (gpu.alloc(call.inputs[1].elem_count())?, gpu.alloc(self.outputs())?);
            let (positions, outputs, weight_taps) = (g.batch * g.area_out(), self.outputs(), g.kernel.0 * g.kernel.1);
            let length = PART.max(positions.div_ceil(MOST_PARTS));
            let (parts, taps) = (positions.div_ceil(length), weight_taps + usize::from(bias));
            let sums = gpu.alloc(parts * taps * outputs)?;
            let of_parts = [xs.at(0), sums.at(0)];
            let arguments = [&of_ys[..], &of_parts, &self.of_pictures(), &[taps.into(), length.into()]].concat();
            let grid = (outputs.div_ceil(32), parts * taps);
            gpu.launch(&Launch::new(&MODULE, "depthwise_weight_parts", grid, &arguments).with_shared::<f32>())?;
            let sizes = [parts, taps, outputs, weight_taps].map(Argument::from);
            let arguments = [&[sums.at(0), d_weight.at(0), d_bias.at(0)], &sizes[..]].concat();
            gpu.launch_each(&MODULE, "depthwise_weight_gradients", taps * outputs, &arguments)?;
            found[1] = Some(gpu.value(d_weight, call.inputs[1].shape().clone())?.tensor());
            if bias {
                found[2] = Some(gpu.value(d_bias, self.outputs().into())?.tensor());
            }
        }
        Ok(found)
    }
}
