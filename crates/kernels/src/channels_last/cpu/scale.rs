//! Channel-wise scaling of NHWC maps, f32, CPU.

use crate::cpu::fill::{Spare, par_fill, push_each};
use crate::cpu::simd_math::{multiply_add, vectorised};
use crate::node::{Call, Operation, Value, apply_one, with_f32s};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

const NAME: &str = "scale_channels";

/// [`crate::channels_last::scale_channels`].
pub fn scale_channels(xs: &Tensor, scales: &Tensor) -> Result<Tensor> {
    apply_one(ScaleChannels, &[xs, scales])
}

/// Positions that a thread takes at a time.
const ROWS: usize = 256;

struct ScaleChannels;

impl ScaleChannels {
    /// Maps times scales.
    fn product(xs: &[f32], scales: &[f32], c: usize, images: usize) -> Vec<f32> {
        let area = xs.len() / images / c;
        par_fill(xs.len(), ROWS * c, xs.par_chunks(ROWS * c).enumerate(), |(block, mut xs), ys| {
            let mut position = block * ROWS;
            while !xs.is_empty() {
                let (image, left) = (position / area, area - position % area);
                let (of_image, rest) = xs.split_at(xs.len().min(left * c));
                scaled(of_image, &scales[image * c..][..c], ys);
                (position, xs) = (position + left, rest);
            }
        })
    }
}

impl Operation for ScaleChannels {
    const NAME: &'static str = NAME;
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let (n, c) = inputs[1].dims2()?;
        let ys = with_f32s(NAME, inputs, |[xs, scales]| Self::product(xs, scales, c, n))?;
        Ok((vec![Value::new(ys, inputs[0].shape())], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (n, c) = call.inputs[1].dims2()?;
        with_f32s(NAME, [&call.inputs[0], &call.inputs[1], &gradients[0]], |[xs, scales, dys]| {
            let dscales = call.wants(1).then(|| {
                let mut dscales = vec![0f32; n * c];
                let image = xs.len() / n;
                let images = xs.par_chunks(image).zip(dys.par_chunks(image)).zip(dscales.par_chunks_mut(c));
                images.for_each(|((xs, dys), into)| {
                    let blocks = xs.par_chunks(ROWS * c).zip(dys.par_chunks(ROWS * c)).map(|(xs, dys)| {
                        let mut sums = vec![0f32; c];
                        products(xs, dys, &mut sums);
                        sums
                    });
                    for sums in blocks.collect::<Vec<_>>() {
                        into.iter_mut().zip(sums).for_each(|(into, sum)| *into += sum);
                    }
                });
                dscales
            });
            call.gradients([call.wants(0).then(|| Self::product(dys, scales, c, n)), dscales])
        })?
    }
}

vectorised! {
    fn scaled(xs: &[f32], scales: &[f32], ys: &mut Spare) {
        let width = scales.len();
        for xs in xs.chunks_exact(width) {
            push_each!(ys, width, |j| xs[j] * scales[j]);
        }
    }
}

vectorised! {
    /// Adds Σ x · dy over the positions to each channel's sum.
    fn products(xs: &[f32], dys: &[f32], sums: &mut [f32]) {
        let width = sums.len();
        for (xs, dys) in xs.chunks_exact(width).zip(dys.chunks_exact(width)) {
            for j in 0..width {
                sums[j] = multiply_add::<FUSED>(xs[j], dys[j], sums[j]);
            }
        }
    }
}
