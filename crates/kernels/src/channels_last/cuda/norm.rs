//! Batch norm of NHWC maps with a fused addition and ReLU, f32, CUDA: three launches each way.

use crate::channels_last::BatchNorm;
use crate::cuda::{Argument, Gpu, Launch, Matrix, Memory, Module, module};
use crate::node::{Call, Operation, Value, apply_one};
use candle_core::{Result, Tensor};

static MODULE: Module = module!("batch_norm");

/// Rows of a part of a sum, of which there are up to [`PARTS`].
const PART: usize = 256;
const PARTS: usize = 64;

/// [`crate::channels_last::batch_norm`].
pub fn batch_norm(
    gpu: &'static dyn Gpu,
    xs: &Tensor,
    norm: &BatchNorm,
    add: Option<&Tensor>,
    relu: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (channels, BatchNorm { weight, bias, statistics, eps }) = (xs.dim(3)?, *norm);
    let rows = xs.elem_count() / channels;
    let (mean, variance) = match statistics {
        Some((mean, variance)) => (mean.detach(), variance.detach()),
        None => of_batch(gpu, xs, rows, channels)?,
    };
    let inputs: Vec<&Tensor> = [xs, weight, bias].into_iter().chain(add).collect();
    let statistics = (mean.clone(), variance.clone());
    let node = Normalise { gpu, statistics, own: norm.statistics.is_none(), eps: eps as f32, relu, rows, channels };
    Ok((apply_one(node, &inputs)?, mean, variance))
}

/// The mean and the biased variance of each channel.
fn of_batch(gpu: &dyn Gpu, xs: &Tensor, rows: usize, channels: usize) -> Result<(Tensor, Tensor)> {
    let (xs, parts) = (gpu.of(&xs.detach())?, parts(rows));
    let sums = Matrix::new(gpu, 2 * parts, channels)?;
    let sizes = [rows.into(), channels.into()];
    launch_sums(gpu, "norm_moments", parts, channels, &[&[xs.at(0), sums.row(0)][..], &sizes].concat())?;
    let (mean, variance) = (gpu.alloc(channels)?, gpu.alloc(channels)?);
    let arguments = [xs.at(0), sums.row(0), mean.at(0), variance.at(0), parts.into()];
    gpu.launch_each(&MODULE, "norm_statistics", channels, &[&arguments[..], &sizes].concat())?;
    Ok((gpu.value(mean, channels.into())?.tensor(), gpu.value(variance, channels.into())?.tensor()))
}

fn parts(rows: usize) -> usize {
    rows.div_ceil(PART).clamp(1, PARTS)
}

/// A kernel that sums rows in parts, two sums a thread.
fn launch_sums(
    gpu: &dyn Gpu,
    kernel: &'static str,
    parts: usize,
    channels: usize,
    arguments: &[Argument],
) -> Result<()> {
    let grid = (channels.div_ceil(32), parts);
    gpu.launch(&Launch::new(&MODULE, kernel, grid, arguments).with_shared::<[f32; 2]>())
}

struct Normalise {
    gpu: &'static dyn Gpu,
    /// Mean and variance (C).
    statistics: (Tensor, Tensor),
    /// Whether they are the batch's own.
    own: bool,
    eps: f32,
    relu: bool,
    rows: usize,
    channels: usize,
}

impl Normalise {
    fn sizes(&self) -> [Argument; 2] {
        [self.rows.into(), self.channels.into()]
    }
}

impl Operation for Normalise {
    const NAME: &'static str = "batch_norm";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let gpu = self.gpu;
        let on = inputs.iter().map(|input| gpu.of(input)).collect::<Result<Vec<_>>>()?;
        let (mean, variance) = (gpu.of(&self.statistics.0)?, gpu.of(&self.statistics.1)?);
        let ys = gpu.alloc(inputs[0].elem_count())?;
        let add = on.get(3).map_or(Argument::Address(0), |add| add.at(0));
        let from_to = [on[0].at(0), mean.at(0), variance.at(0), on[1].at(0), on[2].at(0), add, ys.at(0)];
        let settings = [Argument::Float(self.eps), self.relu.into()];
        gpu.launch_each(
            &MODULE,
            "norm_forward",
            inputs[0].elem_count(),
            &[&from_to[..], &settings, &self.sizes()].concat(),
        )?;
        Ok((vec![gpu.value(ys, inputs[0].shape().clone())?], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (gpu, channels, count) = (self.gpu, self.channels, call.inputs[0].elem_count());
        let (xs, weight, ys) = (gpu.of(&call.inputs[0])?, gpu.of(&call.inputs[1])?, gpu.of(&call.outputs[0])?);
        let (mean, variance) = (gpu.of(&self.statistics.0)?, gpu.of(&self.statistics.1)?);
        let (d_ys, parts) = (gpu.of(&gradients[0])?, parts(self.rows));
        let sums = Matrix::new(gpu, 2 * parts, channels)?;
        let settings = [Argument::Float(self.eps), self.relu.into()];
        let from = [xs.at(0), mean.at(0), variance.at(0)];
        let arguments = [&from[..], &[ys.at(0), d_ys.at(0), sums.row(0)], &settings, &self.sizes()].concat();
        launch_sums(gpu, "norm_parameter_parts", parts, channels, &arguments)?;
        let (d_weight, d_bias) = (gpu.alloc(channels)?, gpu.alloc(channels)?);
        let arguments = [sums.row(0), d_weight.at(0), d_bias.at(0), parts.into(), channels.into()];
        gpu.launch_each(&MODULE, "norm_parameter_gradients", channels, &arguments)?;
        let wanted = |input: usize| call.wants(input).then(|| gpu.alloc(count)).transpose();
        let (d_xs, d_add) = (wanted(0)?, wanted(3)?);
        let at = |memory: &Option<Memory>| memory.as_ref().map_or(Argument::Address(0), |memory| memory.at(0));
        let of_sums = [ys.at(0), d_ys.at(0), d_weight.at(0), d_bias.at(0), at(&d_xs), at(&d_add)];
        let settings = [&settings[..], &[self.own.into()]].concat();
        let arguments = [&from[..], &[weight.at(0)], &of_sums, &settings, &self.sizes()].concat();
        if d_xs.is_some() || d_add.is_some() {
            gpu.launch_each(&MODULE, "norm_input_gradients", count, &arguments)?;
        }
        let tensor = |memory: Option<Memory>, input: usize| {
            memory.map(|memory| gpu.value(memory, call.inputs[input].shape().clone()).map(Value::tensor)).transpose()
        };
        let mut found = vec![tensor(d_xs, 0)?, tensor(Some(d_weight), 1)?, tensor(Some(d_bias), 2)?];
        if call.inputs.len() > 3 {
            found.push(tensor(d_add, 3)?);
        }
        Ok(found)
    }
}
