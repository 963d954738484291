//! Layer norm of f32 on the CPU: rows are shared out among rayon's threads.

use crate::cpu::fill::{Spare, par_fill, push_each};
use crate::cpu::simd_math::vectorised;
use crate::node::{Call, Operation, Value, apply_one, with_f32s};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// Rows whose sums are formed in f32; sums over more are in f64.
const ROWS: usize = 64;

/// [`crate::norm::layer_norm`] of xs, weight and bias.
pub fn layer_norm(inputs: &[&Tensor], eps: f64) -> Result<Tensor> {
    apply_one(LayerNorm { eps }, inputs)
}

struct LayerNorm {
    eps: f64,
}

impl Operation for LayerNorm {
    const NAME: &'static str = "layer_norm";
    /// The mean and 1 / √(variance + eps) of each row.
    type Saved = Vec<f32>;

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, Vec<f32>)> {
        let (size, eps) = (inputs[1].elem_count(), self.eps as f32);
        let (ys, moments) = with_f32s(Self::NAME, inputs, |[xs, weight, bias]| {
            let mut moments = vec![0f32; xs.len() / size * 2];
            let blocks = xs.par_chunks(ROWS * size).zip(moments.par_chunks_mut(ROWS * 2));
            let ys = par_fill(xs.len(), ROWS * size, blocks, |(xs, moments), ys| {
                normalised(xs, weight, bias, eps, moments, ys);
            });
            (ys, moments)
        })?;
        Ok((vec![Value::new(ys, inputs[0].shape())], moments))
    }

    fn backward(&self, call: &Call<Vec<f32>>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let size = call.inputs[1].elem_count();
        let all = [&call.inputs[0], &call.inputs[1], &gradients[0]];
        let (dxs, sums) = with_f32s(Self::NAME, all, |[xs, weight, dys]| {
            let mut sums = vec![0f64; 2 * size];
            let mut partial = vec![vec![0f32; 2 * size]; xs.len().div_ceil(ROWS * size)];
            let blocks = xs.par_chunks(ROWS * size).zip(dys.par_chunks(ROWS * size));
            let blocks = blocks.zip(call.saved.par_chunks(ROWS * 2)).zip(&mut partial);
            let dxs = par_fill(xs.len(), ROWS * size, blocks, |(((xs, dys), moments), sums), dxs| {
                back(xs, dys, weight, moments, dxs, sums);
            });
            for partial in partial {
                sums.iter_mut().zip(partial).for_each(|(sum, part)| *sum += f64::from(part));
            }
            (dxs, sums)
        })?;
        let part = |from: usize| sums[from..from + size].iter().map(|&sum| sum as f32).collect();
        call.gradients([
            call.wants(0).then_some(dxs),
            call.wants(1).then(|| part(0)),
            call.wants(2).then(|| part(size)),
        ])
    }
}

/// Partial sums of a row.
const LANES: usize = 16;

/// The sum of a function of each place of a row, in [`LANES`] partial sums.
macro_rules! sum {
    ($size:expr, |$i:ident| $value:expr) => {{
        let (size, mut lanes, mut rest) = ($size, [0f32; LANES], 0f32);
        for chunk in 0..size / LANES {
            for lane in 0..LANES {
                let $i = chunk * LANES + lane;
                lanes[lane] += $value;
            }
        }
        for $i in size / LANES * LANES..size {
            rest += $value;
        }
        for lane in lanes {
            rest += lane;
        }
        rest
    }};
}

vectorised! {
    /// y = (x − mean) / √(variance + eps) · weight + bias for rows as long as the weight.
    fn normalised(xs: &[f32], weight: &[f32], bias: &[f32], eps: f32, moments: &mut [f32], ys: &mut Spare) {
        let size = weight.len();
        let bias = &bias[..size];
        for (row, moments) in moments.chunks_exact_mut(2).enumerate() {
            let xs = &xs[row * size..][..size];
            let mean = sum!(size, |i| xs[i]) / size as f32;
            let variance = sum!(size, |i| (xs[i] - mean) * (xs[i] - mean)) / size as f32;
            let inverse = 1.0 / (variance + eps).sqrt();
            push_each!(ys, size, |i| (xs[i] - mean) * inverse * weight[i] + bias[i]);
            (moments[0], moments[1]) = (mean, inverse);
        }
    }
}

vectorised! {
    /// dx = (g − mean(g) − x̂ · mean(g · x̂)) / √(variance + eps) with g = dy · weight; adds Σ dy · x̂ and Σ dy to the halves of `sums`.
    fn back(xs: &[f32], dys: &[f32], weight: &[f32], moments: &[f32], dxs: &mut Spare, sums: &mut [f32]) {
        let size = weight.len();
        let (dweight, dbias) = sums.split_at_mut(size);
        for (row, moments) in moments.chunks_exact(2).enumerate() {
            let (xs, dys) = (&xs[row * size..][..size], &dys[row * size..][..size]);
            let (mean, inverse) = (moments[0], moments[1]);
            for i in 0..size {
                dweight[i] += dys[i] * (xs[i] - mean) * inverse;
                dbias[i] += dys[i];
            }
            let constant = sum!(size, |i| dys[i] * weight[i]) / size as f32;
            let slope = sum!(size, |i| dys[i] * weight[i] * (xs[i] - mean)) * inverse * inverse / size as f32;
            push_each!(dxs, size, |i| inverse * (dys[i] * weight[i] - constant - (xs[i] - mean) * slope));
        }
    }
}
