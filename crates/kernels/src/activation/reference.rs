//! Elementwise activations in candle's tensor operations: any type of float, any device.

use super::{Activation, DENSITY_AT_0};
use crate::node::Value;
use candle_core::{Result, Tensor};
use candle_nn::ops::sigmoid;

/// The activation of every element.
pub fn forward(activation: Activation, xs: &Tensor) -> Result<Value> {
    Ok(match activation {
        Activation::Relu => relu(xs)?.into(),
        Activation::Sigmoid => sigmoid(xs)?.into(),
        Activation::Tanh => xs.tanh()?.into(),
        Activation::Gelu => xs.gelu_erf()?.into(),
        Activation::Silu => (xs * sigmoid(xs)?)?.into(),
        Activation::Softplus => (relu(xs)? + (xs.abs()?.neg()?.exp()? + 1.0)?.log()?)?.into(),
    })
}

/// The gradient of `xs`.
pub fn backward(activation: Activation, xs: &Tensor, ys: &Tensor, dys: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Relu => relu_gradient(ys, dys),
        Activation::Sigmoid => dys * sigmoid_grad(ys)?,
        Activation::Tanh => dys * tanh_grad(ys)?,
        Activation::Gelu => {
            let cdf = (xs * std::f64::consts::FRAC_1_SQRT_2)?.erf()?.affine(0.5, 0.5)?;
            let density = ((xs.sqr()? * -0.5)?.exp()? * DENSITY_AT_0)?;
            dys * (cdf + (xs * density)?)?
        }
        Activation::Softplus => dys * sigmoid(xs)?,
        Activation::Silu => {
            let logistic = sigmoid(xs)?;
            let slope = (xs * logistic.affine(-1.0, 1.0)?)?.affine(1.0, 1.0)?;
            dys * (logistic * slope)?
        }
    }
}

/// max(x, 0), as an ELU with α = 0: candle's `relu` makes a NaN 0.
pub fn relu(xs: &Tensor) -> Result<Tensor> {
    xs.elu(0.0)
}

/// The gradient of ReLU's input from its result and the gradient of that.
pub fn relu_gradient(ys: &Tensor, dys: &Tensor) -> Result<Tensor> {
    ys.le(0.0)?.where_cond(&dys.zeros_like()?, dys)
}

/// y (1 − y), the derivative of the logistic function where it has the value y.
pub fn sigmoid_grad(ys: &Tensor) -> Result<Tensor> {
    ys * ys.affine(-1.0, 1.0)?
}

/// 1 − y², the derivative of tanh where it has the value y.
pub fn tanh_grad(ys: &Tensor) -> Result<Tensor> {
    ys.sqr()?.affine(-1.0, 1.0)
}
