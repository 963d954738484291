//! Elementwise activations of f32 on the CPU: chunks are shared out among rayon's threads.

use super::{Activation, DENSITY_AT_0};
use crate::cpu::fill::{Spare, par_fill, push_each};
use crate::cpu::simd_math::{exp_within, logistic, multiply_add, tanh, vectorised, with_logistic};
use crate::node::{Value, with_f32s};
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

/// The activation of every element.
pub fn forward(activation: Activation, xs: &Tensor) -> Result<Value> {
    let each = match activation {
        Activation::Relu => |xs: &[f32], _: &[f32], ys: &mut Spare| relu_of(xs, ys),
        Activation::Sigmoid => |xs: &[f32], _: &[f32], ys: &mut Spare| sigmoid_of(xs, ys),
        Activation::Tanh => |xs: &[f32], _: &[f32], ys: &mut Spare| tanh_of(xs, ys),
        Activation::Gelu => |xs: &[f32], _: &[f32], ys: &mut Spare| gelu_of(xs, ys),
        Activation::Silu => |xs: &[f32], _: &[f32], ys: &mut Spare| silu_of(xs, ys),
        Activation::Softplus => |xs: &[f32], _: &[f32], ys: &mut Spare| softplus_of(xs, ys),
    };
    Ok(Value::new(map(activation.name(), xs, xs, each)?, xs.shape()))
}

/// The gradient of `xs`.
pub fn backward(activation: Activation, xs: &Tensor, ys: &Tensor, dys: &Tensor) -> Result<Tensor> {
    let name = activation.name();
    let values = match activation {
        Activation::Relu => return relu_gradient(ys, dys),
        Activation::Sigmoid => map(name, ys, dys, sigmoid_back)?,
        Activation::Tanh => map(name, ys, dys, tanh_back)?,
        Activation::Gelu => map(name, xs, dys, gelu_back)?,
        Activation::Silu => map(name, xs, dys, silu_back)?,
        Activation::Softplus => map(name, xs, dys, softplus_back)?,
    };
    Tensor::from_vec(values, ys.shape(), &Device::Cpu)
}

/// The gradient of ReLU's input from its result and the gradient of that.
pub fn relu_gradient(ys: &Tensor, dys: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(map("relu", ys, dys, relu_back)?, ys.shape(), &Device::Cpu)
}

/// The lower bound of a ReLU's values, or −∞ without one; a NaN is not below it and stays. As max(y, this) a ReLU is one instruction,
/// where the compiler else makes a masked store, which is slow.
pub fn floor(relu: bool) -> f32 {
    if relu { 0.0 } else { f32::NEG_INFINITY }
}

impl Activation {
    /// Replaces each value by its activation.
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
                    *x = tanh::<FUSED>(*x);
                }
            }
            Self::Gelu => {
                for x in values {
                    *x = gelu::<FUSED>(*x);
                }
            }
            Self::Silu => {
                for x in values {
                    *x = silu::<FUSED>(*x);
                }
            }
            Self::Softplus => {
                for x in values {
                    *x = softplus(*x);
                }
            }
        }
    }
}

/// Elements that one thread works through at a time.
const CHUNK: usize = 1 << 14;

/// A function of every element of two tensors of one shape.
fn map(name: &str, xs: &Tensor, ys: &Tensor, f: impl Fn(&[f32], &[f32], &mut Spare) + Sync) -> Result<Vec<f32>> {
    with_f32s(name, [xs, ys], |[xs, ys]| {
        let chunks = xs.par_chunks(CHUNK).zip(ys.par_chunks(CHUNK));
        par_fill(xs.len(), CHUNK, chunks, |(xs, ys), into| f(xs, ys, into))
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
    tanh_of(x) = tanh::<FUSED>(x);
    relu_back(y, dy) = if y <= 0.0 { 0.0 } else { dy };
    sigmoid_back(y, dy) = dy * y * (1.0 - y);
    tanh_back(y, dy) = dy * (1.0 - y * y);
    gelu_of(x) = gelu::<FUSED>(x);
    gelu_back(x, dy) = dy * (normal_cdf::<FUSED>(x) + times_normal_density::<FUSED>(x));
    silu_of(x) = silu::<FUSED>(x);
    softplus_of(x) = softplus(x);
    softplus_back(x, dy) = dy * logistic::<FUSED>(x);
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
fn gelu<const FUSED: bool>(x: f32) -> f32 {
    x * normal_cdf::<FUSED>(x)
}

/// SiLU.
#[inline(always)]
fn silu<const FUSED: bool>(x: f32) -> f32 {
    let (x, share) = with_logistic::<FUSED>(x);
    x * share
}

/// max(x, 0) + log(1 + exp(−|x|)).
#[inline(always)]
fn softplus(x: f32) -> f32 {
    // A NaN is not below 0 and stays.
    clipped(x) + (-x.abs()).exp().ln_1p()
}

/// x times the normal distribution's density there; beyond ±13, where the exponential soon ends, the 10⁻³⁶ of ±13.
#[inline(always)]
fn times_normal_density<const FUSED: bool>(x: f32) -> f32 {
    let x = if x < -13.0 { -13.0 } else { x };
    let x = if x > 13.0 { 13.0 } else { x };
    x * DENSITY_AT_0 as f32 * exp_within::<FUSED>(-0.5 * x * x)
}

/// Φ(x), the share of the normal distribution below x.
///
/// Φ(x) − ½ is odd, and x P(x²) / Q(x²) with the polynomials below, fitted over |x| ≤ 5.5, is within 8·10⁻⁹ of it; in f32 the sum is
/// within 2·10⁻⁷. Beyond, nothing is left but 0 and 1.
#[inline(always)]
fn normal_cdf<const FUSED: bool>(x: f32) -> f32 {
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
