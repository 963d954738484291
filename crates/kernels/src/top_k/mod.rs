//! The largest values of each row and the normaliser of its softmax: all that a search wants of its logits, so that little else leaves a GPU.

mod cuda;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Op};
use crate::softmax::log_sum_exp_of_rows;
use candle_core::{DType, Result, Tensor};

/// The k largest values of each of N rows.
#[derive(Clone, Debug, PartialEq)]
pub struct TopK {
    /// log Σ exp(x) of each whole row: −∞ where all its values are, and no finite number where one is NaN or +∞.
    pub log_sum_exps: Vec<f32>,
    /// The values, row after row, the largest first; of equal ones that with the lower index.
    pub values: Vec<f32>,
    /// Where in their row they are.
    pub indices: Vec<u32>,
    /// k, or the width of a row where that is less.
    pub k: usize,
}

/// The `k` largest values of each row of xs (N, V), f32, on the host, where NaN is passed over.
///
/// # Errors
/// When `xs` has other dimensions, or the device fails.
pub fn top_k(xs: &Tensor, k: usize) -> Result<TopK> {
    let (rows, width) = xs.dims2()?;
    let k = k.min(width);
    if let Some(gpu) = gpu(xs, k) {
        return cuda::top_k(gpu, xs, k);
    }
    let all: Vec<f32> = xs.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let (mut values, mut indices) = (Vec::with_capacity(rows * k), Vec::with_capacity(rows * k));
    for row in all.chunks_exact(width.max(1)) {
        let mut order: Vec<u32> = (0..width as u32).filter(|&i| !row[i as usize].is_nan()).collect();
        order.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]).then(a.cmp(&b)));
        // As many in each row, also where too few are numbers.
        order.resize(order.len().max(k), u32::MAX);
        indices.extend(&order[..k]);
        values.extend(order[..k].iter().map(|&i| row.get(i as usize).copied().unwrap_or(f32::NEG_INFINITY)));
    }
    Ok(TopK { log_sum_exps: log_sum_exp_of_rows(&all, width), values, indices, k })
}

/// The most values for which going through a row for each is worth it.
const MOST: usize = 64;

/// Whether [`top_k`] brings much less to the host than the rows themselves.
pub fn is_faster(xs: &Tensor, k: usize) -> bool {
    k <= MOST && xs.dims2().is_ok_and(|(_, width)| 4 * k <= width) && gpu(xs, k).is_some()
}

fn gpu(xs: &Tensor, k: usize) -> Option<&'static dyn crate::cuda::Gpu> {
    if k == 0 { None } else { Backend::gpu(Op::TopK, &[xs]) }
}
