//! Channel-wise scaling of NHWC maps, as in squeeze-and-excitation.

use crate::cpu::fill::{Spare, par_filled, push_each};
use crate::cpu::simd_math::{multiply_add, vectorised};
use crate::node::{Call, Operation, Value, apply, on_cpu_f32, with_all_f32};
use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

/// y\[n, i, j, c\] = x\[n, i, j, c\] · gates\[n, c\], as squeeze-and-excitation weighs channels (Hu et al. 2018).
///
/// Shapes: `xs` and the result (N, h, w, C), `gates` (N, C). Gradients flow to both.
///
/// # Errors
/// When the shapes do not fit each other.
pub fn gate(xs: &Tensor, gates: &Tensor) -> Result<Tensor> {
    let (n, _, _, c) = xs.dims4()?;
    if gates.dims() != [n, c] {
        bail!("gate: maps {:?} want gates of shape [{n}, {c}], got {:?}", xs.dims(), gates.dims());
    }
    if on_cpu_f32(&[xs, gates]) && xs.elem_count() > 0 {
        return Ok(apply(Gate, &[xs, gates])?.swap_remove(0));
    }
    xs.broadcast_mul(&gates.reshape((n, 1, 1, c))?)
}

/// Positions that a thread takes at a time.
const ROWS: usize = 256;

struct Gate;

impl Gate {
    /// Maps times gates.
    fn product(xs: &[f32], gates: &[f32], c: usize, pictures: usize) -> Vec<f32> {
        let area = xs.len() / pictures / c;
        par_filled(xs.len(), ROWS * c, xs.par_chunks(ROWS * c).enumerate(), |(block, mut xs), ys| {
            let mut position = block * ROWS;
            while !xs.is_empty() {
                let (picture, left) = (position / area, area - position % area);
                let (of_picture, rest) = xs.split_at(xs.len().min(left * c));
                scaled(of_picture, &gates[picture * c..][..c], ys);
                (position, xs) = (position + left, rest);
            }
        })
    }
}

impl Operation for Gate {
    type Saved = ();

    fn name(&self) -> &'static str {
        "gate"
    }

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let (n, c) = inputs[1].dims2()?;
        let ys = with_all_f32(self.name(), inputs, |values| Self::product(values[0], values[1], c, n))?;
        Ok((vec![Value::new(ys, inputs[0].shape())], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (n, c) = call.inputs[1].dims2()?;
        let all = [&call.inputs[0], &call.inputs[1], &gradients[0]].map(Tensor::clone);
        let (dxs, dgates) = with_all_f32(self.name(), &all, |values| {
            let [xs, gates, dys] = [values[0], values[1], values[2]];
            let dgates = call.wanted[1].then(|| {
                let mut dgates = vec![0f32; n * c];
                let picture = xs.len() / n;
                let pictures = xs.par_chunks(picture).zip(dys.par_chunks(picture)).zip(dgates.par_chunks_mut(c));
                pictures.for_each(|((xs, dys), into)| {
                    let blocks = xs.par_chunks(ROWS * c).zip(dys.par_chunks(ROWS * c)).map(|(xs, dys)| {
                        let mut sums = vec![0f32; c];
                        products(xs, dys, &mut sums);
                        sums
                    });
                    for sums in blocks.collect::<Vec<_>>() {
                        into.iter_mut().zip(sums).for_each(|(into, sum)| *into += sum);
                    }
                });
                dgates
            });
            (call.wanted[0].then(|| Self::product(dys, gates, c, n)), dgates)
        })?;
        let tensor = |values: Option<Vec<f32>>, i: usize| {
            values.map(|values| Tensor::from_vec(values, call.inputs[i].shape(), &Device::Cpu)).transpose()
        };
        Ok(vec![tensor(dxs, 0)?, tensor(dgates, 1)?])
    }
}

vectorised! {
    fn scaled(xs: &[f32], gates: &[f32], ys: &mut Spare) {
        let width = gates.len();
        for xs in xs.chunks_exact(width) {
            push_each!(ys, width, |j| xs[j] * gates[j]);
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
