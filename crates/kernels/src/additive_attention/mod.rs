//! Additive (Bahdanau) attention over a set of annotations, fused into one autograd node.
//!
//! Nothing is kept but the weights of attention: the hyperbolic tangents are computed a second time on the way back.

mod counts;
pub(crate) mod cpu;
mod reference;

pub use counts::Counts;

use crate::backend::{Backend, Op};
use crate::node::with_optional;
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
    additive_rows(keys, query, v, annotations, Rows::default())
}

/// Which annotations each row attends to: by default row n to all P annotations of source n.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows<'a> {
    /// The source of each of the N rows, (N) of u32: several rows may share one, as the beams of a search do.
    pub source: Option<&'a Tensor>,
    /// How many annotations each of the M sources has; at the others α is 0.
    pub counts: Option<&'a Counts>,
}

/// [`additive`] where rows share sources or sources differ in the number of their annotations: the keys and annotations are those
/// of the M sources, (M, P, ·), and are not copied for each row.
///
/// # Errors
/// As [`additive`], when the counts are not those of M sources with P annotations, and on the CPU when there is no such source.
pub fn additive_rows(
    keys: &Tensor,
    query: &Tensor,
    v: &Tensor,
    annotations: &Tensor,
    rows: Rows,
) -> Result<(Tensor, Tensor)> {
    check(keys, query, v, annotations, rows)?;
    match Backend::choose(Op::AdditiveAttention, &[keys, query, v, annotations]) {
        Backend::Cpu => cpu::additive(keys, query, v, annotations, rows),
        Backend::Reference => reference::additive(keys, query, v, annotations, rows),
    }
}

/// One annotation a row, (N, C): row n gets that at `positions[n]`, (N) of u32, of its source's annotations (M, P, C). `source` is
/// (N) of u32.
///
/// # Errors
/// When there is not one position for each of the rows, and on the CPU when there is no such source or position.
pub fn gather_position(annotations: &Tensor, positions: &Tensor, source: Option<&Tensor>) -> Result<Tensor> {
    let ((m, p, c), rows) = (annotations.dims3()?, positions.dims1()?);
    let wanted = source.map_or(Ok(m), Tensor::dims1)?;
    if rows != wanted {
        candle_core::bail!("{NAME}: {rows} positions, wanted one for each of {wanted} rows")
    }
    check_rows(source, m)?;
    if let Some(position) = beyond(Some(positions), p)? {
        candle_core::bail!("{NAME}: a row wants position {position}, of {p}")
    }
    match source {
        None => {
            let indices = positions.reshape((m, 1, 1))?.broadcast_as((m, 1, c))?.contiguous()?;
            annotations.contiguous()?.gather(&indices, 1)?.squeeze(1)
        }
        Some(source) => {
            let indices = ((source * p as f64)? + positions)?;
            annotations.reshape((m * p, c))?.index_select(&indices, 0)
        }
    }
}

const NAME: &str = "additive attention";

fn check(keys: &Tensor, query: &Tensor, v: &Tensor, annotations: &Tensor, rows: Rows) -> Result<()> {
    let Rows { source, counts } = rows;
    let sources = source.map(Tensor::dims1).transpose()?;
    if let (Some(sources), &[rows, _]) = (sources, query.dims())
        && sources != rows
    {
        candle_core::bail!("{NAME}: {rows} rows, but the sources of {sources}")
    }
    let fits = match (keys.dims(), query.dims(), v.dims(), annotations.dims()) {
        (&[m, p, a], &[qn, qa], &[va], &[am, ap, c]) => {
            let rows = sources.unwrap_or(m);
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
    check_rows(source, m)?;
    counts.map_or(Ok(()), |counts| counts.check(NAME, m, p))
}

/// An error where a row has another source than one of `m`; on other devices than the CPU nothing is read.
fn check_rows(source: Option<&Tensor>, m: usize) -> Result<()> {
    match beyond(source, m)? {
        Some(source) => candle_core::bail!("{NAME}: a row has source {source}, but there are only {m}"),
        None => Ok(()),
    }
}

/// The first index, of u32 on the CPU, that is not below `end`.
fn beyond(indices: Option<&Tensor>, end: usize) -> Result<Option<u32>> {
    with_optional::<u32, _>(NAME, indices.filter(|indices| indices.device().is_cpu()), |indices| {
        indices.unwrap_or_default().iter().copied().find(|&index| index as usize >= end)
    })
}

#[cfg(test)]
mod tests;
