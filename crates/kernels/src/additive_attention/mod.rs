//! Additive (Bahdanau) attention over a set of annotations, fused into one autograd node.
//!
//! Nothing is kept but the weights of attention: the hyperbolic tangents are computed a second time on the way back.

pub(crate) mod cpu;
mod reference;

use crate::backend::{Backend, Op};
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
    /// The source of each of the N rows: several rows may share one, as the beams of a search do.
    pub source: Option<&'a [u32]>,
    /// How many annotations each of the M sources has, from 1 to P; at the others α is 0.
    pub counts: Option<&'a [u32]>,
}

/// [`additive`] where rows share sources or sources differ in the number of their annotations: the keys and annotations are those
/// of the M sources, (M, P, ·), and are not copied for each row.
///
/// # Errors
/// As [`additive`], and when there is no such source, or a source has no annotation or more than P.
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

/// One annotation a row, (N, C): row n gets that at `positions[n]`, of u32, of its source's annotations (M, P, C).
///
/// # Errors
/// When there is no such source or position, or not one position for each of the rows.
pub fn gather_position(annotations: &Tensor, positions: &Tensor, source: Option<&[u32]>) -> Result<Tensor> {
    let ((m, p, c), rows) = (annotations.dims3()?, positions.dims1()?);
    let wanted = source.map_or(m, <[u32]>::len);
    if rows != wanted {
        candle_core::bail!("{NAME}: {rows} positions, wanted one for each of {wanted} rows")
    }
    let source: Vec<u32> = source.map_or_else(|| (0..m as u32).collect(), <[u32]>::to_vec);
    check_source(&source, m)?;
    // On other devices a position is not read on the host.
    if positions.device().is_cpu()
        && let Some(position) = positions.to_vec1::<u32>()?.iter().find(|&&position| position as usize >= p)
    {
        candle_core::bail!("{NAME}: a row wants position {position}, of {p}")
    }
    let first: Vec<u32> = source.iter().map(|source| source * p as u32).collect();
    let indices = (Tensor::new(first, positions.device())? + positions)?;
    annotations.reshape((m * p, c))?.index_select(&indices, 0)
}

const NAME: &str = "additive attention";

fn check(keys: &Tensor, query: &Tensor, v: &Tensor, annotations: &Tensor, rows: Rows) -> Result<()> {
    let Rows { source, counts } = rows;
    if let (Some(source), &[rows, _]) = (source, query.dims())
        && source.len() != rows
    {
        candle_core::bail!("{NAME}: {rows} rows, but the sources of {}", source.len())
    }
    let fits = match (keys.dims(), query.dims(), v.dims(), annotations.dims()) {
        (&[m, p, a], &[qn, qa], &[va], &[am, ap, c]) => {
            let rows = source.map_or(m, <[u32]>::len);
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
    check_source(source.unwrap_or_default(), m)?;
    check_counts(NAME, counts, m, p)
}

fn check_source(source: &[u32], m: usize) -> Result<()> {
    match source.iter().find(|&&source| source as usize >= m) {
        Some(source) => candle_core::bail!("{NAME}: a row has source {source}, but there are only {m}"),
        None => Ok(()),
    }
}

/// An error unless each of `m` sources has from 1 to `p` annotations.
pub(crate) fn check_counts(operation: &str, counts: Option<&[u32]>, m: usize, p: usize) -> Result<()> {
    let Some(counts) = counts else { return Ok(()) };
    if counts.len() != m {
        candle_core::bail!("{operation}: the counts of {} sources, wanted those of {m}", counts.len())
    }
    match counts.iter().find(|&&count| count == 0 || count as usize > p) {
        Some(count) => candle_core::bail!("{operation}: a source has {count} annotations, wanted from 1 to {p}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
