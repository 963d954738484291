//! Batch norm of f32 on the CPU: channels, or maps, are shared out among rayon's threads; each channel's sums run over the
//! batch in order.

use crate::cpu::reduce::{sum1, sum2};
use crate::node::{Call, Operation, Value, apply_one, with_f32, with_f32s};
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

/// Elements that are worth a thread.
const CHUNK: usize = 1 << 14;

/// [`crate::norm::batch_norm_train`].
pub fn batch_norm_train(xs: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<(Tensor, Tensor, Tensor)> {
    let (mean, variance) = statistics(xs)?;
    let node = BatchNorm::new(&mean, &variance, eps, true)?;
    Ok((apply_one(node, &[xs, weight, bias])?, mean, variance))
}

/// [`crate::norm::batch_norm_eval`].
pub fn batch_norm_eval(
    xs: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    apply_one(BatchNorm::new(mean, variance, eps, false)?, &[xs, weight, bias])
}

/// The mean and the biased variance of each channel of (N, C, ..).
fn statistics(xs: &Tensor) -> Result<(Tensor, Tensor)> {
    let (n, c, area) = sizes(xs);
    let count = (n * area) as f64;
    let (mean, variance): (Vec<f32>, Vec<f32>) = with_f32("batch_norm", xs, |xs| {
        let channel = |channel: usize| {
            let maps = || (0..n).map(move |i| &xs[(i * c + channel) * area..][..area]);
            let mean = maps().map(|map| f64::from(sum1(map, |x| x))).sum::<f64>() / count;
            let shift = mean as f32;
            let squares: f64 = maps().map(|map| f64::from(sum1(map, |x| (x - shift) * (x - shift)))).sum();
            // What rounding the mean to f32 added to every square.
            let variance = squares / count - (mean - f64::from(shift)).powi(2);
            (shift, variance.max(0.0) as f32)
        };
        (0..c).into_par_iter().map(channel).unzip()
    })?;
    Ok((Tensor::new(mean, &Device::Cpu)?, Tensor::new(variance, &Device::Cpu)?))
}

/// (N, C, positions).
fn sizes(xs: &Tensor) -> (usize, usize, usize) {
    let dims = xs.dims();
    (dims[0], dims[1], dims[2..].iter().product())
}

/// Normalises by given statistics; the inputs are xs, weight and bias.
struct BatchNorm {
    mean: Vec<f32>,
    /// 1 / √(variance + eps).
    inverse: Vec<f32>,
    /// Whether the statistics are the batch's own, so that the gradient flows through them.
    own: bool,
}

impl BatchNorm {
    fn new(mean: &Tensor, variance: &Tensor, eps: f64, own: bool) -> Result<Self> {
        let inverse = |&variance: &f32| (1.0 / (f64::from(variance) + eps).sqrt()) as f32;
        Ok(Self {
            mean: with_f32("batch_norm", mean, <[f32]>::to_vec)?,
            inverse: with_f32("batch_norm", variance, |variance| variance.iter().map(inverse).collect())?,
            own,
        })
    }

    /// Σ dy and Σ dy · (x − mean) / √(variance + eps) of each channel.
    fn sums(&self, xs: &[f32], dys: &[f32], area: usize) -> (Vec<f32>, Vec<f32>) {
        let c = self.mean.len();
        let n = xs.len() / (c * area);
        let channel = |channel: usize| {
            let (mut plain, mut scaled) = (0f64, 0f64);
            for start in (0..n).map(|i| (i * c + channel) * area) {
                let (xs, dys, mean) = (&xs[start..start + area], &dys[start..start + area], self.mean[channel]);
                plain += f64::from(sum1(dys, |dy| dy));
                scaled += f64::from(sum2(xs, dys, |x, dy| (x - mean) * dy));
            }
            (plain as f32, (scaled * f64::from(self.inverse[channel])) as f32)
        };
        (0..c).into_par_iter().map(channel).unzip()
    }
}

impl Operation for BatchNorm {
    const NAME: &'static str = "batch_norm";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let (_, c, area) = sizes(&inputs[0]);
        let mut ys = vec![0f32; inputs[0].elem_count()];
        with_f32s(Self::NAME, inputs, |[xs, weight, bias]| {
            let maps = ys.par_chunks_mut(area).zip(xs.par_chunks(area)).with_min_len(CHUNK / area).enumerate();
            maps.for_each(|(i, (ys, xs))| {
                let (mean, scale, bias) = (self.mean[i % c], self.inverse[i % c] * weight[i % c], bias[i % c]);
                ys.iter_mut().zip(xs).for_each(|(y, x)| *y = (x - mean) * scale + bias);
            });
        })?;
        Ok((vec![Value::new(ys, inputs[0].shape())], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (n, c, area) = sizes(&call.inputs[0]);
        with_f32s(Self::NAME, [&call.inputs[0], &call.inputs[1], &gradients[0]], |[xs, weight, dys]| {
            let needed = self.own || call.wants(1) || call.wants(2);
            let (dbias, dweight) = if needed { self.sums(xs, dys, area) } else { (vec![0.0; c], vec![0.0; c]) };
            let of_xs = || {
                let mut dxs = vec![0f32; xs.len()];
                let maps = dxs.par_chunks_mut(area).zip(xs.par_chunks(area)).zip(dys.par_chunks(area));
                maps.with_min_len(CHUNK / area).enumerate().for_each(|(i, ((dxs, xs), dys))| {
                    let i = i % c;
                    let (mean, scale) = (self.mean[i], self.inverse[i] * weight[i]);
                    // Given statistics take no part, not even times 0: a sum may be NaN.
                    let share = 1.0 / (n * area) as f32;
                    let through = (dbias[i] * share, dweight[i] * share * self.inverse[i]);
                    let (constant, slope) = if self.own { through } else { (0.0, 0.0) };
                    let values = dxs.iter_mut().zip(xs).zip(dys);
                    values.for_each(|((dx, x), dy)| *dx = scale * (dy - constant - (x - mean) * slope));
                });
                dxs
            };
            let dxs = call.wants(0).then(of_xs);
            call.gradients([dxs, call.wants(1).then_some(dweight), call.wants(2).then_some(dbias)])
        })?
    }
}
