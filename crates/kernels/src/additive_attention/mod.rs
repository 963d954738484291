//! Additive (Bahdanau) attention over a set of annotations, fused into one autograd node.
//!
//! [`additive`] runs its own CPU kernels for f32 on the CPU, and candle's operations on every other device and type;
//! both keep nothing but the weights of attention and compute the hyperbolic tangents a second time on the way back.

pub(crate) mod cpu;
mod reference;

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
    additive_of(keys, query, v, annotations, Looks::default())
}

/// What each row looks at; where nothing is said, row n at all annotations of picture n.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looks<'a> {
    /// The picture that each of the N rows looks at: several may look at one, as the beams of a search do.
    pub pictures: Option<&'a [u32]>,
    /// How many annotations each of the M pictures has; the others, up to P, only fill its row, and α is 0 there.
    pub counts: Option<&'a [u32]>,
}

/// [`additive`] where rows share pictures or pictures have different numbers of annotations: row n of the query looks at the keys and
/// annotations (M, P, ·) that `looks` says, of which there is no copy for each row.
///
/// # Errors
/// As [`additive`], and when there is no such picture, or a picture has no annotation or more than P.
pub fn additive_of(
    keys: &Tensor,
    query: &Tensor,
    v: &Tensor,
    annotations: &Tensor,
    looks: Looks,
) -> Result<(Tensor, Tensor)> {
    check(keys, query, v, annotations, looks)?;
    let inputs = [keys, query, v, annotations];
    let Looks { pictures, counts } = looks;
    if on_cpu_f32(&inputs) {
        let looks = cpu::Additive { pictures: pictures.map(<[u32]>::to_vec), counts: counts.map(<[u32]>::to_vec) };
        return pair(apply(looks, &inputs)?);
    }
    let Some(pictures) = pictures else {
        return pair(apply(reference::Additive { counts: counts.map(<[u32]>::to_vec) }, &inputs)?);
    };
    let rows = Tensor::new(pictures, keys.device())?;
    let counts = counts.map(|counts| pictures.iter().map(|&picture| counts[picture as usize]).collect());
    let (keys, annotations) = (keys.index_select(&rows, 0)?, annotations.index_select(&rows, 0)?);
    pair(apply(reference::Additive { counts }, &[&keys, query, v, &annotations])?)
}

/// One annotation a row, (N, C): row n sees position `positions[n]`, of u32, of picture n of the annotations (M, P, C), or of
/// picture `pictures[n]`.
///
/// # Errors
/// When there is no such picture or position, or not one position for each of the rows.
pub fn at(annotations: &Tensor, positions: &Tensor, pictures: Option<&[u32]>) -> Result<Tensor> {
    let ((m, p, c), positions) = (annotations.dims3()?, positions.to_vec1::<u32>()?);
    let rows = pictures.map_or(m, <[u32]>::len);
    if positions.len() != rows {
        candle_core::bail!("{NAME}: {} positions, wanted one for each of {rows} rows", positions.len())
    }
    let row = |(row, &position): (usize, &u32)| {
        let picture = pictures.map_or(row, |pictures| pictures[row] as usize);
        if picture >= m || position as usize >= p {
            candle_core::bail!("{NAME}: row {row} looks at position {position} of picture {picture}, of {p} and {m}")
        }
        Ok((picture * p) as u32 + position)
    };
    let rows = positions.iter().enumerate().map(row).collect::<Result<Vec<u32>>>()?;
    annotations.reshape((m * p, c))?.index_select(&Tensor::new(rows, annotations.device())?, 0)
}

const NAME: &str = "additive attention";

/// Context and α.
fn pair(mut outputs: Vec<Tensor>) -> Result<(Tensor, Tensor)> {
    match (outputs.pop(), outputs.pop()) {
        (Some(alpha), Some(context)) => Ok((context, alpha)),
        _ => candle_core::bail!("{NAME}: an output is missing"),
    }
}

fn check(keys: &Tensor, query: &Tensor, v: &Tensor, annotations: &Tensor, looks: Looks) -> Result<()> {
    let Looks { pictures, counts } = looks;
    if let (Some(pictures), &[rows, _]) = (pictures, query.dims())
        && pictures.len() != rows
    {
        candle_core::bail!("{NAME}: {rows} rows, but the pictures of {}", pictures.len())
    }
    let fits = match (keys.dims(), query.dims(), v.dims(), annotations.dims()) {
        (&[m, p, a], &[qn, qa], &[va], &[am, ap, c]) => {
            let rows = pictures.map_or(m, <[u32]>::len);
            (m, p, a) == (am, ap, va) && (rows, a) == (qn, qa) && p > 0 && a > 0 && c > 0
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
    let (m, p, _) = keys.dims3()?;
    if let Some(picture) = pictures.and_then(|pictures| pictures.iter().find(|&&picture| picture as usize >= m)) {
        candle_core::bail!("{NAME}: a row looks at picture {picture}, but there are only {m}")
    }
    check_counts(NAME, counts, m, p)
}

/// Each of `m` pictures has from 1 to `p` annotations.
pub(crate) fn check_counts(operation: &str, counts: Option<&[u32]>, m: usize, p: usize) -> Result<()> {
    let Some(counts) = counts else { return Ok(()) };
    if counts.len() != m {
        candle_core::bail!("{operation}: the counts of {} pictures, wanted those of {m}", counts.len())
    }
    match counts.iter().find(|&&count| count == 0 || count as usize > p) {
        Some(count) => candle_core::bail!("{operation}: a picture has {count} annotations, wanted from 1 to {p}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
