//! Elementwise activations, each one node of the graph.
//!
//! Which path runs: f32 on the CPU takes loops over chunks shared out among rayon's threads; all else takes candle's
//! operations, with the gradients written here.

use crate::cpu::fill::{Spare, par_filled, push_each};
use crate::cpu::simd_math::{exp_within, logistic, multiply_add, tanh as smooth_tanh, vectorised, with_logistic};
use crate::node::{Call, Operation, Value, apply, check_float, on_cpu_f32, with_all_f32};
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

/// max(x, 0). Its gradient at exactly 0 is 0, as in PyTorch; candle's own passes it on there.
///
/// The result has the shape of `xs`.
///
/// # Errors
/// When `xs` is not of a floating-point type.
pub fn relu(xs: &Tensor) -> Result<Tensor> {
    Activation::Relu.of(xs)
}

/// 1 / (1 + exp(−x)).
///
/// The result has the shape of `xs`.
///
/// # Errors
/// When `xs` is not of a floating-point type.
pub fn sigmoid(xs: &Tensor) -> Result<Tensor> {
    Activation::Sigmoid.of(xs)
}

/// The hyperbolic tangent.
///
/// The result has the shape of `xs`.
///
/// # Errors
/// When `xs` is not of a floating-point type.
pub fn tanh(xs: &Tensor) -> Result<Tensor> {
    Activation::Tanh.of(xs)
}

/// x · Φ(x) with the normal distribution's Φ(x) = (1 + erf(x / √2)) / 2, not its tanh approximation (Hendrycks and Gimpel 2016,
/// "Gaussian error linear units").
///
/// The result has the shape of `xs`; f32 on the CPU is within 3·10⁻⁷ · |x| of the exact value.
///
/// # Errors
/// When `xs` is not of a floating-point type.
pub fn gelu(xs: &Tensor) -> Result<Tensor> {
    Activation::Gelu.of(xs)
}

/// x / (1 + exp(−x)), also called swish (Elfwing et al. 2017, "Sigmoid-weighted linear units").
///
/// The result has the shape of `xs`.
///
/// # Errors
/// When `xs` is not of a floating-point type.
pub fn silu(xs: &Tensor) -> Result<Tensor> {
    Activation::Silu.of(xs)
}

/// The least value there can be after a ReLU, or without one; a NaN is not below it and stays. Written as max(y, this) a ReLU is one
/// instruction, where the compiler else turns it into writing only some of the values, which is slow.
pub(crate) fn floor(relu: bool) -> f32 {
    if relu { 0.0 } else { f32::NEG_INFINITY }
}

/// The gradient of what ReLU was taken of, from what it gave and the gradient of that, f32 on the CPU both.
pub(crate) fn relu_gradient(ys: &Tensor, dys: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(map2("relu", ys, dys, relu_back)?, ys.shape(), &Device::Cpu)
}

/// ReLU on any device and in any type of float: an ELU with α = 0, since candle's `relu` makes a NaN 0.
pub(crate) fn relu_by_candle(xs: &Tensor) -> Result<Tensor> {
    xs.elu(0.0)
}

/// As [`relu_gradient`], on any device and in any type of float.
pub(crate) fn relu_gradient_by_candle(ys: &Tensor, dys: &Tensor) -> Result<Tensor> {
    ys.le(0.0)?.where_cond(&dys.zeros_like()?, dys)
}

/// An activation by its name, for operations that end with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// [`relu`].
    Relu,
    /// [`sigmoid`].
    Sigmoid,
    /// [`tanh`].
    Tanh,
    /// [`gelu`].
    Gelu,
    /// [`silu`].
    Silu,
}

impl Activation {
    /// The activation of every element.
    ///
    /// # Errors
    /// When `xs` is not of a floating-point type.
    pub fn of(self, xs: &Tensor) -> Result<Tensor> {
        check_float(self.name(), xs)?;
        Ok(apply(self, &[xs])?.swap_remove(0))
    }

    /// Makes these values those of the activation.
    #[inline(always)]
    pub(crate) fn each<const FUSED: bool>(self, values: &mut [f32]) {
        match self {
            Self::Relu => {
                for x in values {
                    *x = clipped(*x);
                }
            }
            Self::Sigmoid => {
                for x in values {
                    *x = logistic::<FUSED>(*x);
                }
            }
            Self::Tanh => {
                for x in values {
                    *x = smooth_tanh::<FUSED>(*x);
                }
            }
            Self::Gelu => {
                for x in values {
                    *x = times_share_below::<FUSED>(*x);
                }
            }
            Self::Silu => {
                for x in values {
                    *x = times_logistic::<FUSED>(*x);
                }
            }
        }
    }
}

impl Operation for Activation {
    type Saved = ();

    fn name(&self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
        }
    }

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let xs = &inputs[0];
        let ys = match (self, on_cpu_f32(&[xs])) {
            (Self::Relu, true) => map(self.name(), xs, relu_of)?,
            (Self::Sigmoid, true) => map(self.name(), xs, sigmoid_of)?,
            (Self::Tanh, true) => map(self.name(), xs, tanh_of)?,
            (Self::Gelu, true) => map(self.name(), xs, gelu_of)?,
            (Self::Silu, true) => map(self.name(), xs, silu_of)?,
            (Self::Relu, false) => relu_by_candle(xs)?.into(),
            (Self::Sigmoid, false) => candle_nn::ops::sigmoid(xs)?.into(),
            (Self::Tanh, false) => xs.tanh()?.into(),
            (Self::Gelu, false) => xs.gelu_erf()?.into(),
            (Self::Silu, false) => (xs * candle_nn::ops::sigmoid(xs)?)?.into(),
        };
        Ok((vec![ys], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (xs, ys, dys) = (&call.inputs[0], &call.outputs[0], &gradients[0]);
        let tensor = |values: Vec<f32>| Tensor::from_vec(values, ys.shape(), &Device::Cpu);
        let dxs = match (self, on_cpu_f32(&[ys, dys])) {
            (Self::Relu, true) => relu_gradient(ys, dys)?,
            (Self::Sigmoid, true) => tensor(map2(self.name(), ys, dys, sigmoid_back)?)?,
            (Self::Tanh, true) => tensor(map2(self.name(), ys, dys, tanh_back)?)?,
            (Self::Gelu, true) => tensor(map2(self.name(), xs, dys, gelu_back)?)?,
            (Self::Silu, true) => tensor(map2(self.name(), xs, dys, silu_back)?)?,
            (Self::Relu, false) => relu_gradient_by_candle(ys, dys)?,
            (Self::Sigmoid, false) => (dys * (ys - ys.sqr()?)?)?,
            (Self::Tanh, false) => (dys * ys.sqr()?.affine(-1.0, 1.0)?)?,
            (Self::Gelu, false) => {
                let below = (xs * std::f64::consts::FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)?;
                let density = ((xs.sqr()? * -0.5)?.exp()? * DENSITY_AT_0)?;
                (dys * (below + (xs * density)?)?)?
            }
            (Self::Silu, false) => {
                let gate = candle_nn::ops::sigmoid(xs)?;
                let slope = (xs * gate.affine(-1.0, 1.0)?)?.affine(1.0, 1.0)?;
                (dys * (gate * slope)?)?
            }
        };
        Ok(vec![Some(dxs)])
    }
}

/// Elements that one thread works through at a time.
const CHUNK: usize = 1 << 14;

fn map(operation: &str, xs: &Tensor, f: impl Fn(&[f32], &mut Spare) + Sync) -> Result<Value> {
    Ok(Value::new(map2(operation, xs, xs, |xs, _, ys| f(xs, ys))?, xs.shape()))
}

fn map2(operation: &str, xs: &Tensor, ys: &Tensor, f: impl Fn(&[f32], &[f32], &mut Spare) + Sync) -> Result<Vec<f32>> {
    with_all_f32(operation, &[xs.clone(), ys.clone()], |values| {
        let chunks = values[0].par_chunks(CHUNK).zip(values[1].par_chunks(CHUNK));
        par_filled(values[0].len(), CHUNK, chunks, |(xs, ys), into| f(xs, ys, into))
    })
}

/// A function of every element: `name(xs, into)`, or of two: `name(ys, dys, into)`.
macro_rules! elementwise {
    ($($name:ident($($x:ident),*) = $value:expr;)*) => {$(
        vectorised! {
            fn $name($($x: &[f32],)* into: &mut Spare) {
                let width = into.unwritten().len();
                $(let $x = &$x[..width];)*
                push_each!(into, width, |i| {
                    $(let $x = $x[i];)*
                    $value
                });
            }
        }
    )*};
}

elementwise! {
    relu_of(x) = clipped(x);
    sigmoid_of(x) = logistic::<FUSED>(x);
    tanh_of(x) = smooth_tanh::<FUSED>(x);
    relu_back(y, dy) = if y <= 0.0 { 0.0 } else { dy };
    sigmoid_back(y, dy) = dy * y * (1.0 - y);
    tanh_back(y, dy) = dy * (1.0 - y * y);
    gelu_of(x) = times_share_below::<FUSED>(x);
    gelu_back(x, dy) = dy * (share_below::<FUSED>(x) + times_density::<FUSED>(x));
    silu_of(x) = times_logistic::<FUSED>(x);
    silu_back(x, dy) = {
        let (x, share) = with_logistic::<FUSED>(x);
        dy * share * (1.0 + x * (1.0 - share))
    };
}

/// ReLU: a NaN is not below 0 and stays.
#[inline(always)]
fn clipped(x: f32) -> f32 {
    if x <= 0.0 { 0.0 } else { x }
}

/// GELU.
#[inline(always)]
fn times_share_below<const FUSED: bool>(x: f32) -> f32 {
    x * share_below::<FUSED>(x)
}

/// SiLU.
#[inline(always)]
fn times_logistic<const FUSED: bool>(x: f32) -> f32 {
    let (x, share) = with_logistic::<FUSED>(x);
    x * share
}

/// x times the normal distribution's density there; beyond ±13, where the exponential soon ends, the 10⁻³⁶ of ±13.
#[inline(always)]
fn times_density<const FUSED: bool>(x: f32) -> f32 {
    let x = if x < -13.0 { -13.0 } else { x };
    let x = if x > 13.0 { 13.0 } else { x };
    x * DENSITY_AT_0 as f32 * exp_within::<FUSED>(-0.5 * x * x)
}

/// The normal distribution's density at 0, 1 / √(2π).
const DENSITY_AT_0: f64 = 0.398_942_280_401_432_7;

/// Φ(x), the share of the normal distribution below x.
///
/// Φ(x) − ½ is odd, and x P(x²) / Q(x²) with the polynomials below, fitted over |x| ≤ 5.5, is within 8·10⁻⁹ of it; in f32 the sum is
/// within 2·10⁻⁷. Beyond, nothing is left but 0 and 1.
#[inline(always)]
fn share_below<const FUSED: bool>(x: f32) -> f32 {
    const P: [f32; 6] = [2.274_936_5e-8, 6.352_125_6e-6, 1.688_264_3e-4, 4.677_265_4e-3, 3.385_272e-2, 0.398_942_23];
    const Q: [f32; 6] = [1.197_504_5e-6, 7.364_776e-5, 1.884_449_2e-3, 2.864_591_4e-2, 0.251_522_1, 1.0];
    let square = x * x;
    let (mut p, mut q) = (P[0], Q[0]);
    for term in 1..P.len() {
        p = multiply_add::<FUSED>(square, p, P[term]);
        q = multiply_add::<FUSED>(square, q, Q[term]);
    }
    let above_half = x * p / q;
    let above_half = if x > 5.5 { 0.5 } else { above_half };
    0.5 + if x < -5.5 { -0.5 } else { above_half }
}
