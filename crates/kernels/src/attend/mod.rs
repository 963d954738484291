//! Soft attention over a set of annotations as one node of the graph.
//!
//! [`additive`] runs its own CPU kernels for f32 on the CPU, and candle's operations on every other device and type;
//! both keep nothing but the weights of attention and compute the hyperbolic tangents a second time on the way back.

mod cpu;
mod reference;
pub(crate) mod rows;

use crate::node::{apply, on_cpu_f32};
use candle_core::{Result, Tensor};

/// Additive attention: a score for each position by a one-layer network, and the mean of the annotations under it.
///
/// e_p = v · tanh(keys_p + query), α = softmax(e) over the positions, context = Σ_p α_p annotations_p. A constant added
/// to e would not change α, so there is none.
///
/// `keys` are the projected annotations with their bias (N, P, A), `query` is the projected state (N, A), `v` is (A),
/// `annotations` are (N, P, C); gives the context (N, C) and α (N, P). The gradient of an input that wants none, such as
/// a frozen encoder's annotations, is not computed.
///
/// Bahdanau et al. 2015, "Neural machine translation by jointly learning to align and translate"; Xu et al. 2015, "Show,
/// attend and tell".
///
/// # Errors
/// When the shapes do not fit together or there is no position to attend to.
pub fn additive(keys: &Tensor, query: &Tensor, v: &Tensor, annotations: &Tensor) -> Result<(Tensor, Tensor)> {
    check(keys, query, v, annotations)?;
    let inputs = [keys, query, v, annotations];
    let mut outputs =
        if on_cpu_f32(&inputs) { apply(cpu::Additive, &inputs)? } else { apply(reference::Additive, &inputs)? };
    match (outputs.pop(), outputs.pop()) {
        (Some(alpha), Some(context)) => Ok((context, alpha)),
        _ => candle_core::bail!("additive attention: an output is missing"),
    }
}

fn check(keys: &Tensor, query: &Tensor, v: &Tensor, annotations: &Tensor) -> Result<()> {
    let fits = match (keys.dims(), query.dims(), v.dims(), annotations.dims()) {
        (&[n, p, a], &[qn, qa], &[va], &[an, ap, c]) => {
            (n, p, a) == (an, ap, va) && (n, a) == (qn, qa) && p > 0 && a > 0 && c > 0
        }
        _ => false,
    };
    if !fits {
        candle_core::bail!(
            "additive attention: wants keys (N, P, A), query (N, A), v (A) and annotations (N, P, C), none of P, A \
             and C 0, got {:?}, {:?}, {:?} and {:?}",
            keys.dims(),
            query.dims(),
            v.dims(),
            annotations.dims()
        )
    }
    Ok(())
}

#[cfg(test)]
mod tests;
