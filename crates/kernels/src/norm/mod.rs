//! Normalisations, with gradients: layer, group and batch norm.
//!
//! candle_nn's `LayerNorm` is not used: on contiguous inputs it silently cuts the gradient (huggingface/candle#2977).

mod cpu {
    pub mod batch;
    pub mod layer;
}
mod reference;

use crate::backend::{Backend, Op};
use candle_core::{Result, Tensor, bail};

/// Normalises each row of the last dimension: y = (x − mean) / √(variance + eps) · weight + bias (Ba et al. 2016).
///
/// Shapes: `xs` (.., D), `weight` and `bias` (D); the result is (.., D). The variance is the biased one.
///
/// # Errors
/// When D is 0 or a parameter is not of shape (D).
pub fn layer_norm(xs: &Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let Some(&size) = xs.dims().last().filter(|&&size| size > 0) else {
        bail!("layer_norm: wants (.., D) with D of at least 1, got {:?}", xs.dims());
    };
    check_parameters("layer_norm", xs, size, &[("weight", weight), ("bias", bias)])?;
    let inputs: Vec<&Tensor> = [xs].into_iter().chain(weight).chain(bias).collect();
    match Backend::choose(Op::LayerNorm, &inputs) {
        Backend::Cpu => cpu::layer::layer_norm(&inputs, eps),
        Backend::Reference => reference::layer_norm(xs, weight, bias, eps),
    }
}

/// Normalises groups of channels of each image: y = (x − mean) / √(variance + eps) · weight\[c\] + bias\[c\], with mean and
/// variance over the C/groups channels and all positions of a group (Wu & He 2018).
///
/// Shapes: `xs` (N, C, ..), `weight` and `bias` (C); the result has the shape of `xs`. The variance is the biased one.
///
/// # Errors
/// When C is not a multiple of `groups` or a parameter is not of shape (C).
pub fn group_norm(
    xs: &Tensor,
    groups: usize,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    let channels = channels("group_norm", xs)?;
    if groups == 0 || channels % groups != 0 {
        bail!("group_norm: {channels} channels do not split into {groups} groups");
    }
    check_parameters("group_norm", xs, channels, &[("weight", weight), ("bias", bias)])?;
    reference::group_norm(xs, groups, weight, bias, eps)
}

/// Normalises each channel over the batch and all positions, for training (Ioffe & Szegedy 2015).
///
/// y = (x − mean\[c\]) / √(variance\[c\] + eps) · weight\[c\] + bias\[c\], with the batch's own mean and (biased) variance, through
/// which the gradient flows as well.
///
/// Shapes: `xs` (N, C, ..), `weight` and `bias` (C). Returns the result (shape of `xs`) and, without a gradient, the mean and the
/// biased variance (C); running averages of the unbiased one are variance · n / (n − 1) with n = N · positions.
///
/// # Errors
/// When a parameter is not of shape (C), or a channel has fewer than two values.
pub fn batch_norm_train(xs: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<(Tensor, Tensor, Tensor)> {
    let channels = channels("batch_norm", xs)?;
    check_parameters("batch_norm", xs, channels, &[("weight", Some(weight)), ("bias", Some(bias))])?;
    if xs.elem_count() < 2 * channels {
        bail!("batch_norm: training wants at least two values a channel, got {:?}", xs.dims());
    }
    match Backend::choose(Op::BatchNorm, &[xs, weight, bias]) {
        Backend::Cpu => cpu::batch::batch_norm_train(xs, weight, bias, eps),
        Backend::Reference => reference::batch_norm_train(xs, weight, bias, eps),
    }
}

/// Normalises each channel by a given mean and variance: y = (x − mean\[c\]) / √(variance\[c\] + eps) · weight\[c\] + bias\[c\].
///
/// Shapes: `xs` (N, C, ..), all others (C); the result has the shape of `xs`. Gradients flow to `xs`, `weight` and `bias`, not to the
/// statistics.
///
/// # Errors
/// When one of the others is not of shape (C).
pub fn batch_norm_eval(
    xs: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let named = [("weight", Some(weight)), ("bias", Some(bias)), ("mean", Some(mean)), ("variance", Some(variance))];
    check_parameters("batch_norm", xs, channels("batch_norm", xs)?, &named)?;
    match Backend::choose(Op::BatchNorm, &[xs, weight, bias, mean, variance]) {
        Backend::Cpu => cpu::batch::batch_norm_eval(xs, weight, bias, mean, variance, eps),
        Backend::Reference => reference::batch_norm_eval(xs, weight, bias, mean, variance, eps),
    }
}

/// C of (N, C, ..).
fn channels(operation: &str, xs: &Tensor) -> Result<usize> {
    match xs.dims() {
        [_, channels, positions @ ..] if *channels > 0 && !positions.contains(&0) => Ok(*channels),
        found => bail!("{operation}: wants (N, C, ..) with nothing but N 0, got {found:?}"),
    }
}

fn check_parameters(operation: &str, xs: &Tensor, size: usize, named: &[(&str, Option<&Tensor>)]) -> Result<()> {
    for (name, tensor) in named {
        if let Some(tensor) = tensor.filter(|tensor| tensor.dims() != [size]) {
            bail!("{operation}: input {:?} wants {name} of shape [{size}], got {:?}", xs.dims(), tensor.dims());
        }
    }
    Ok(())
}
