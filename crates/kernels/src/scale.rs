//! Rows times one factor each.

use crate::backend::{Backend, Op};
use crate::cpu::fill::{Spare, par_fill, push_each};
use crate::cpu::simd_math::{dot, vectorised};
use crate::node::{Call, Operation, Value, apply_one, with_f32s};
use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

const NAME: &str = "scale_rows";

/// y\[o, ..\] = s\[o\] · x\[o, ..\], as a layer's scale weighs its outputs' weights (Touvron et al. 2021, "Going deeper with image
/// transformers").
///
/// Shapes: `xs` and the result (O, ..), `scale` (O). Gradients flow to both.
///
/// # Errors
/// When the shapes do not fit each other.
pub fn scale_rows(xs: &Tensor, scale: &Tensor) -> Result<Tensor> {
    if xs.rank() == 0 || scale.dims() != [xs.dim(0)?] {
        bail!("{NAME}: {:?} wants a factor for each row, got {:?}", xs.dims(), scale.dims());
    }
    match Backend::choose(Op::ScaleRows, &[xs, scale]) {
        Backend::Cpu => apply_one(Scale, &[xs, scale]),
        Backend::Reference => reference(xs, scale),
    }
}

/// [`scale_rows`] in candle's tensor operations.
fn reference(xs: &Tensor, scale: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; xs.rank()];
    shape[0] = xs.dim(0)?;
    xs.broadcast_mul(&scale.reshape(shape)?)
}

struct Scale;

impl Scale {
    fn product(xs: &[f32], scale: &[f32]) -> Vec<f32> {
        let width = xs.len() / scale.len();
        let rows = xs.par_chunks_exact(width).zip(scale);
        par_fill(xs.len(), width, rows, |(xs, &factor), ys| scaled(xs, factor, ys))
    }
}

impl Operation for Scale {
    const NAME: &'static str = NAME;
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let ys = with_f32s(NAME, inputs, |[xs, scale]| Self::product(xs, scale))?;
        Ok((vec![Value::new(ys, inputs[0].shape())], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        with_f32s(NAME, [&call.inputs[0], &call.inputs[1], &gradients[0]], |[xs, scale, dys]| {
            let width = xs.len() / scale.len();
            let of_scale = || {
                let rows = xs.par_chunks_exact(width).zip(dys.par_chunks_exact(width));
                rows.map(|(xs, dys)| dot(xs, dys)).collect::<Vec<f32>>()
            };
            call.gradients([call.wants(0).then(|| Self::product(dys, scale)), call.wants(1).then(of_scale)])
        })?
    }
}

vectorised! {
    /// `into` gets factor · values.
    pub fn scaled(values: &[f32], factor: f32, into: &mut Spare) {
        push_each!(into, values.len(), |i| factor * values[i]);
    }
}
