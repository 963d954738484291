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
    let outputs = match on_cpu_f32(&inputs) {
        true => apply(cpu::Additive { pictures: None }, &inputs)?,
        false => apply(reference::Additive, &inputs)?,
    };
    pair(outputs)
}

/// [`additive`] where several rows look at one picture, as the beams of a search do: row n of the query looks at the keys and
/// annotations (M, P, ·) of picture `pictures[n]`, of which there is no copy for each row.
///
/// # Errors
/// As [`additive`], and when there is no such picture.
pub fn additive_of(
    keys: &Tensor,
    query: &Tensor,
    v: &Tensor,
    annotations: &Tensor,
    pictures: &[u32],
) -> Result<(Tensor, Tensor)> {
    let m = keys.dim(0)?;
    if let Some(picture) = pictures.iter().find(|&&picture| picture as usize >= m) {
        candle_core::bail!("{NAME}: a row looks at picture {picture}, but there are only {m}")
    }
    let inputs = [keys, query, v, annotations];
    if !on_cpu_f32(&inputs) {
        let rows = Tensor::new(pictures, keys.device())?;
        return additive(&keys.index_select(&rows, 0)?, query, v, &annotations.index_select(&rows, 0)?);
    }
    // A row of its own for each picture would fit as these do.
    check(keys, &query.narrow(0, 0, 1)?.broadcast_as((m, query.dim(1)?))?, v, annotations)?;
    if pictures.len() != query.dim(0)? {
        candle_core::bail!("{NAME}: {} rows, but the pictures of {}", query.dim(0)?, pictures.len())
    }
    pair(apply(cpu::Additive { pictures: Some(pictures.to_vec()) }, &inputs)?)
}

/// One annotation a row, (N, C): row n sees position `positions[n]` of picture n of the annotations (M, P, C), or of picture
/// `pictures[n]`.
///
/// # Errors
/// When there is no such picture or position.
pub fn at(annotations: &Tensor, positions: &Tensor, pictures: Option<&[u32]>) -> Result<Tensor> {
    let ((m, p, c), device) = (annotations.dims3()?, annotations.device());
    let first = match pictures {
        Some(pictures) => (Tensor::new(pictures, device)? * p as f64)?,
        None => Tensor::arange_step(0, (m * p) as u32, p as u32, device)?,
    };
    annotations.reshape((m * p, c))?.index_select(&(first + positions)?, 0)
}

const NAME: &str = "additive attention";

/// Context and α.
fn pair(mut outputs: Vec<Tensor>) -> Result<(Tensor, Tensor)> {
    match (outputs.pop(), outputs.pop()) {
        (Some(alpha), Some(context)) => Ok((context, alpha)),
        _ => candle_core::bail!("{NAME}: an output is missing"),
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
            "{NAME}: wants keys (N, P, A), query (N, A), v (A) and annotations (N, P, C), none of P, A and C 0, got {:?}, {:?}, {:?} and {:?}",
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
