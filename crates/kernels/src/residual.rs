//! Residual addition as one autograd node.

use crate::backend::{Backend, Op};
use crate::cpu::fill::{Spare, par_fill, push_each};
use crate::cpu::simd_math::{multiply_add, vectorised};
use crate::node::{Call, Operation, Value, apply_one, with_f32, with_f32s};
use crate::scale::scaled;
use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;

const NAME: &str = "residual_add";

/// Values of a task.
const CHUNK: usize = 1 << 14;

/// y\[n, ..\] = x\[n, ..\] + m\[n\] · f\[n, ..\], or x + f without factors m: what a block adds to what passes it by.
///
/// Shapes: `xs`, `branch` and the result (N, ..). With factors of 0 and 1 / (1 − p) this is stochastic depth (Huang et al. 2016, "Deep
/// networks with stochastic depth"). Gradients flow to `xs` and `branch`.
///
/// # Errors
/// When the shapes differ, or there are not N factors.
pub fn residual_add(xs: &Tensor, branch: &Tensor, factors: Option<&[f32]>) -> Result<Tensor> {
    let rows = xs.dims().first().copied().unwrap_or(1);
    if xs.dims() != branch.dims() {
        bail!("{NAME}: {:?} and {:?} are not of one shape", xs.dims(), branch.dims());
    }
    if let Some(factors) = factors.filter(|factors| factors.len() != rows) {
        bail!("{NAME}: {:?} wants {rows} factors, got {}", xs.dims(), factors.len());
    }
    match Backend::choose(Op::ResidualAdd, &[xs, branch]) {
        Backend::Cpu => apply_one(ResidualAdd { factors: factors.map(<[f32]>::to_vec) }, &[xs, branch]),
        Backend::Reference => reference(xs, branch, factors),
    }
}

/// [`residual_add`] in candle's tensor operations.
fn reference(xs: &Tensor, branch: &Tensor, factors: Option<&[f32]>) -> Result<Tensor> {
    let Some(factors) = factors else { return xs + branch };
    let mut shape = vec![1; xs.rank()];
    shape[0] = factors.len();
    let factors = Tensor::from_slice(factors, shape, xs.device())?.to_dtype(xs.dtype())?;
    xs + branch.broadcast_mul(&factors)?
}

struct ResidualAdd {
    factors: Option<Vec<f32>>,
}

impl ResidualAdd {
    /// `count` values, of which `each` writes those of a piece of a row, with its range and factor.
    fn pieces(&self, count: usize, each: impl Fn(Range<usize>, f32, &mut Spare) + Sync) -> Vec<f32> {
        let factors = self.factors.as_deref().unwrap_or(&[1.0]);
        let row = count / factors.len();
        par_fill(count, row, factors.par_iter().enumerate(), |(n, &factor), ys| {
            let starts = (0..row).into_par_iter().step_by(CHUNK);
            ys.par_chunks(CHUNK, starts, |start, ys| {
                each(n * row + start..n * row + row.min(start + CHUNK), factor, ys);
            });
        })
    }
}

impl Operation for ResidualAdd {
    const NAME: &'static str = NAME;
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let ys = with_f32s(NAME, inputs, |[xs, branch]| {
            self.pieces(xs.len(), |piece, factor, ys| sum(&xs[piece.clone()], &branch[piece], factor, ys))
        })?;
        Ok((vec![Value::new(ys, inputs[0].shape())], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let dys = &gradients[0];
        let of_branch = || match self.factors {
            None => Ok(dys.clone()),
            Some(_) => with_f32(NAME, dys, |values| {
                let scaled = self.pieces(values.len(), |piece, factor, into| scaled(&values[piece], factor, into));
                Tensor::from_vec(scaled, dys.shape(), &Device::Cpu)
            })?,
        };
        Ok(vec![call.wants(0).then(|| dys.clone()), call.wants(1).then(of_branch).transpose()?])
    }
}

vectorised! {
    fn sum(xs: &[f32], branch: &[f32], factor: f32, ys: &mut Spare) {
        let width = xs.len();
        let branch = &branch[..width];
        push_each!(ys, width, |j| multiply_add::<FUSED>(branch[j], factor, xs[j]));
    }
}
