//! Batch norm of NHWC maps with a fused residual addition and ReLU, f32, CPU.

use crate::activation::cpu::floor;
use crate::channels_last::BatchNorm;
use crate::cpu::fill::{Spare, par_fill, push_each};
use crate::cpu::reduce::{ROWS, block_sums};
use crate::cpu::simd_math::vectorised;
use crate::node::{Call, Operation, Value, apply_one, with_all_f32, with_f32, with_f32s};
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

const NAME: &str = "batch_norm";

/// [`crate::channels_last::batch_norm`].
pub fn batch_norm(
    xs: &Tensor,
    norm: &BatchNorm,
    add: Option<&Tensor>,
    with_relu: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (c, BatchNorm { weight, bias, statistics, eps }) = (xs.dim(3)?, *norm);
    let (mean, variance) = match statistics {
        Some((mean, variance)) => (mean.detach(), variance.detach()),
        None => with_f32(NAME, xs, |xs| of_batch(xs, c))??,
    };
    let scale = |&variance: &f32| (1.0 / (f64::from(variance) + eps).sqrt()) as f32;
    let node = Normalise {
        mean: with_f32(NAME, &mean, <[f32]>::to_vec)?,
        inverse: with_f32(NAME, &variance, |variance| variance.iter().map(scale).collect())?,
        own: statistics.is_none(),
        relu: with_relu,
    };
    let inputs: Vec<&Tensor> = [xs, weight, bias].into_iter().chain(add).collect();
    Ok((apply_one(node, &inputs)?, mean, variance))
}

/// The mean and the biased variance of each channel of rows (R, C).
fn of_batch(xs: &[f32], c: usize) -> Result<(Tensor, Tensor)> {
    let count = (xs.len() / c) as f64;
    // Around the first value squares stay small, however far the mean is from zero.
    let shift = &xs[..c];
    let [sums, squares] = block_sums(xs.len() / c, c, |rows, [sums, squares]| {
        xs[rows.start * c..rows.end * c].chunks_exact(c).for_each(|xs| moments(xs, shift, sums, squares));
    });
    let mean = sums.iter().zip(shift).map(|(sum, &shift)| (f64::from(shift) + sum / count) as f32);
    let variance =
        sums.iter().zip(&squares).map(|(sum, square)| (square / count - (sum / count).powi(2)).max(0.0) as f32);
    let mean = Tensor::from_vec(mean.collect::<Vec<f32>>(), c, &Device::Cpu)?;
    Ok((mean, Tensor::from_vec(variance.collect::<Vec<f32>>(), c, &Device::Cpu)?))
}

struct Normalise {
    mean: Vec<f32>,
    /// 1 / √(variance + eps).
    inverse: Vec<f32>,
    /// Whether the statistics are the batch's own.
    own: bool,
    relu: bool,
}

impl Operation for Normalise {
    const NAME: &'static str = NAME;
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let c = self.mean.len();
        let ys = with_all_f32(NAME, inputs, |values| {
            let scale = self.scale(values[1]);
            let blocks = values[0].par_chunks(ROWS * c).enumerate();
            par_fill(values[0].len(), ROWS * c, blocks, |(block, xs), ys| {
                let add = values.get(3).map(|add| &add[block * ROWS * c..][..xs.len()]);
                for (row, xs) in xs.chunks_exact(c).enumerate() {
                    let add = add.map(|add| &add[row * c..][..c]);
                    normalised(xs, &self.mean, &scale, values[2], add, self.relu, ys);
                }
            })
        })?;
        Ok((vec![Value::new(ys, inputs[0].shape())], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let added = call.inputs.len() > 3;
        let [xs, weight, bias] = [0, 1, 2].map(|i| &call.inputs[i]);
        with_f32s(NAME, [xs, weight, bias, &call.outputs[0], &gradients[0]], |[xs, weight, bias, ys, dys]| {
            let scale = self.scale(weight);
            // Where ReLU's argument is above 0 is computed from x again, which is faster than to keep it; with a summand the masked
            // gradient is an output anyway.
            let mask = (self.relu && !added).then_some(ReluMask { scale: &scale, bias });
            let masked = (self.relu && added).then(|| self.masked(dys, ys));
            let dys = masked.as_deref().unwrap_or(dys);
            let [dweight, dbias] = match self.own || call.wants(1) || call.wants(2) {
                true => self.parameter_gradients(xs, dys, mask),
                false => [vec![], vec![]],
            };
            let dxs = call.wants(0).then(|| self.input_gradient(xs, dys, &scale, [&dweight, &dbias], mask));
            let d_add = if call.wants(3) { masked } else { None };
            let d_parameters = [call.wants(1).then_some(dweight), call.wants(2).then_some(dbias)];
            let mut found = call.gradients([dxs].into_iter().chain(d_parameters).chain(added.then_some(d_add)))?;
            if call.wants(3) && !self.relu {
                found[3] = Some(gradients[0].clone());
            }
            Ok(found)
        })?
    }
}

/// Where ReLU let its argument through: (x − mean) · scale + bias > 0.
#[derive(Clone, Copy)]
struct ReluMask<'a> {
    scale: &'a [f32],
    bias: &'a [f32],
}

impl Normalise {
    /// weight / √(variance + eps).
    fn scale(&self, weight: &[f32]) -> Vec<f32> {
        self.inverse.iter().zip(weight).map(|(inverse, weight)| inverse * weight).collect()
    }

    /// The gradient where ReLU let the sum through.
    fn masked(&self, dys: &[f32], ys: &[f32]) -> Vec<f32> {
        let block = ROWS * self.mean.len();
        let chunks = dys.par_chunks(block).zip(ys.par_chunks(block));
        par_fill(dys.len(), block, chunks, |(dys, ys), into| masked(dys, ys, into))
    }

    /// The gradients of weight and bias.
    fn parameter_gradients(&self, xs: &[f32], dys: &[f32], mask: Option<ReluMask>) -> [Vec<f32>; 2] {
        let c = self.mean.len();
        let [dbias, dweight] = block_sums(xs.len() / c, c, |rows, [plain, scaled]| {
            let block = rows.start * c..rows.end * c;
            let rows = xs[block.clone()].chunks_exact(c).zip(dys[block].chunks_exact(c));
            rows.for_each(|(xs, dys)| sums(xs, dys, &self.mean, mask, plain, scaled));
        });
        let dweight = dweight.iter().zip(&self.inverse).map(|(sum, &inverse)| (sum * f64::from(inverse)) as f32);
        [dweight.collect(), dbias.iter().map(|&sum| sum as f32).collect()]
    }

    /// The gradient of x, from those of weight and bias where the statistics are the batch's own.
    fn input_gradient(
        &self,
        xs: &[f32],
        dys: &[f32],
        scale: &[f32],
        [dweight, dbias]: [&[f32]; 2],
        mask: Option<ReluMask>,
    ) -> Vec<f32> {
        let (c, bias) = (self.mean.len(), mask.map(|mask| mask.bias));
        // Given statistics take no part, not even times 0: a sum may be NaN.
        let (mut constant, mut slope) = (vec![0f32; c], vec![0f32; c]);
        if self.own {
            let share = 1.0 / (xs.len() / c) as f32;
            constant.iter_mut().zip(dbias).for_each(|(constant, sum)| *constant = sum * share);
            let sums = dweight.iter().zip(&self.inverse);
            slope.iter_mut().zip(sums).for_each(|(slope, (sum, inverse))| *slope = sum * share * inverse);
        }
        let blocks = dys.par_chunks(ROWS * c).zip(xs.par_chunks(ROWS * c));
        par_fill(xs.len(), ROWS * c, blocks, |(dys, xs), into| {
            let rows = dys.chunks_exact(c).zip(xs.chunks_exact(c));
            rows.for_each(|(dys, xs)| back(xs, dys, &self.mean, scale, [&constant, &slope], bias, into));
        })
    }
}

vectorised! {
    fn moments(xs: &[f32], shift: &[f32], sums: &mut [f32], squares: &mut [f32]) {
        let width = xs.len();
        let (shift, sums, squares) = (&shift[..width], &mut sums[..width], &mut squares[..width]);
        for j in 0..width {
            let x = xs[j] - shift[j];
            sums[j] += x;
            squares[j] += x * x;
        }
    }
}

vectorised! {
    /// The gradient where ReLU let its argument through, and 0 elsewhere.
    fn masked(dys: &[f32], ys: &[f32], into: &mut Spare) {
        let width = dys.len();
        let ys = &ys[..width];
        // A NaN is not below 0 either, and its gradient passes.
        push_each!(into, width, |j| if ys[j] <= 0.0 { 0.0 } else { dys[j] });
    }
}

vectorised! {
    /// Σ dy and Σ dy · (x − mean), over what ReLU let through where there is a mask.
    fn sums(
        xs: &[f32],
        dys: &[f32],
        mean: &[f32],
        mask: Option<ReluMask>,
        whole: &mut [f32],
        scaled: &mut [f32],
    ) {
        let width = xs.len();
        let (dys, mean, whole, scaled) = (&dys[..width], &mean[..width], &mut whole[..width], &mut scaled[..width]);
        match mask {
            None => {
                for j in 0..width {
                    whole[j] += dys[j];
                    scaled[j] += dys[j] * (xs[j] - mean[j]);
                }
            }
            Some(ReluMask { scale, bias }) => {
                let (scale, bias) = (&scale[..width], &bias[..width]);
                for j in 0..width {
                    let x = xs[j] - mean[j];
                    let dy = if x * scale[j] + bias[j] <= 0.0 { 0.0 } else { dys[j] };
                    whole[j] += dy;
                    scaled[j] += dy * x;
                }
            }
        }
    }
}

vectorised! {
    fn normalised(
        xs: &[f32],
        mean: &[f32],
        scale: &[f32],
        bias: &[f32],
        add: Option<&[f32]>,
        relu: bool,
        ys: &mut Spare,
    ) {
        let width = xs.len();
        let (mean, scale, bias) = (&mean[..width], &scale[..width], &bias[..width]);
        let floor = floor(relu);
        match add {
            Some(add) => {
                let add = &add[..width];
                push_each!(ys, width, |j| {
                    let y = (xs[j] - mean[j]) * scale[j] + bias[j] + add[j];
                    if y < floor { floor } else { y }
                });
            }
            None => push_each!(ys, width, |j| {
                let y = (xs[j] - mean[j]) * scale[j] + bias[j];
                if y < floor { floor } else { y }
            }),
        }
    }
}

vectorised! {
    /// dx = scale · (dy − constant − (x − mean) · slope), with 0 for dy where ReLU, if a `bias` is given, let nothing through.
    fn back(
        xs: &[f32],
        dys: &[f32],
        mean: &[f32],
        scale: &[f32],
        through: [&[f32]; 2],
        bias: Option<&[f32]>,
        dxs: &mut Spare,
    ) {
        let width = xs.len();
        let (dys, mean) = (&dys[..width], &mean[..width]);
        let (scale, constant, slope) = (&scale[..width], &through[0][..width], &through[1][..width]);
        match bias {
            None => {
                push_each!(dxs, width, |j| scale[j] * (dys[j] - constant[j] - (xs[j] - mean[j]) * slope[j]));
            }
            Some(bias) => {
                let bias = &bias[..width];
                push_each!(dxs, width, |j| {
                    let x = xs[j] - mean[j];
                    let dy = if x * scale[j] + bias[j] <= 0.0 { 0.0 } else { dys[j] };
                    scale[j] * (dy - constant[j] - x * slope[j])
                });
            }
        }
    }
}
