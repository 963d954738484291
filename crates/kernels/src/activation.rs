//! Elementwise activations, each one node of the graph.
//!
//! Which path runs: f32 on the CPU takes loops over chunks shared out among rayon's threads; all else takes candle's
//! operations, with the gradients written here.

use crate::node::{Call, Operation, Value, apply, on_cpu_f32, with_f32};
use crate::recurrence::smooth::{logistic, tanh as smooth_tanh};
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

/// max(x, 0). Its gradient at exactly 0 is 0, as in PyTorch; candle's own passes it on there.
///
/// The result has the shape of `xs`.
///
/// # Errors
/// When `xs` is not of a floating-point type.
pub fn relu(xs: &Tensor) -> Result<Tensor> {
    Ok(apply(Activation::Relu, &[xs])?.swap_remove(0))
}

/// 1 / (1 + exp(−x)).
///
/// The result has the shape of `xs`.
///
/// # Errors
/// When `xs` is not of a floating-point type.
pub fn sigmoid(xs: &Tensor) -> Result<Tensor> {
    Ok(apply(Activation::Sigmoid, &[xs])?.swap_remove(0))
}

/// The hyperbolic tangent.
///
/// The result has the shape of `xs`.
///
/// # Errors
/// When `xs` is not of a floating-point type.
pub fn tanh(xs: &Tensor) -> Result<Tensor> {
    Ok(apply(Activation::Tanh, &[xs])?.swap_remove(0))
}

#[derive(Clone, Copy)]
enum Activation {
    Relu,
    Sigmoid,
    Tanh,
}

impl Operation for Activation {
    type Saved = ();

    fn name(&self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
        }
    }

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let xs = &inputs[0];
        let ys = match (self, on_cpu_f32(&[xs])) {
            (Self::Relu, true) => map(xs, |x| if x <= 0.0 { 0.0 } else { x })?,
            (Self::Sigmoid, true) => map(xs, logistic)?,
            (Self::Tanh, true) => map(xs, smooth_tanh)?,
            (Self::Relu, false) => xs.relu()?.into(),
            (Self::Sigmoid, false) => candle_nn::ops::sigmoid(xs)?.into(),
            (Self::Tanh, false) => xs.tanh()?.into(),
        };
        Ok((vec![ys], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (ys, dys) = (&call.outputs[0], &gradients[0]);
        let tensor = |values: Vec<f32>| Tensor::from_vec(values, ys.shape(), &Device::Cpu);
        let dxs = match (self, on_cpu_f32(&[ys, dys])) {
            (Self::Relu, true) => tensor(map2(ys, dys, |y, dy| if y > 0.0 { dy } else { 0.0 })?)?,
            (Self::Sigmoid, true) => tensor(map2(ys, dys, |y, dy| dy * y * (1.0 - y))?)?,
            (Self::Tanh, true) => tensor(map2(ys, dys, |y, dy| dy * (1.0 - y * y))?)?,
            (Self::Relu, false) => ys.gt(0.0)?.where_cond(dys, &dys.zeros_like()?)?,
            (Self::Sigmoid, false) => (dys * (ys - ys.sqr()?)?)?,
            (Self::Tanh, false) => (dys * ys.sqr()?.affine(-1.0, 1.0)?)?,
        };
        Ok(vec![Some(dxs)])
    }
}

/// Elements that one thread works through at a time.
const CHUNK: usize = 1 << 14;

fn map(xs: &Tensor, f: impl Fn(f32) -> f32 + Sync) -> Result<Value> {
    Ok(Value::new(map2(xs, xs, |x, _| f(x))?, xs.shape()))
}

fn map2(xs: &Tensor, ys: &Tensor, f: impl Fn(f32, f32) -> f32 + Sync) -> Result<Vec<f32>> {
    let mut out = vec![0f32; xs.elem_count()];
    with_f32("activation", xs, |xs| {
        with_f32("activation", ys, |ys| {
            let chunks = out.par_chunks_mut(CHUNK).zip(xs.par_chunks(CHUNK)).zip(ys.par_chunks(CHUNK));
            chunks.for_each(|((out, xs), ys)| {
                out.iter_mut().zip(xs).zip(ys).for_each(|((out, &x), &y)| *out = f(x, y));
            });
        })
    })??;
    Ok(out)
}
