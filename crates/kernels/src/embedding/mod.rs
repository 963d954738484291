//! Rows of a table by their numbers, y_i = W_{ids_i}; the gradient of a row is the sum of those of all its copies, in their order.

mod cuda;
#[cfg(test)]
mod tests;

use crate::backend::{Backend, Op};
use candle_core::{Error, Result, Tensor};

/// The rows (.., E) of `weight` (V, E) that `ids` (..), u32 or i64, name.
///
/// On CUDA a number of V or more gives NaN, since the host does not wait to see it.
///
/// # Errors
/// When a number is V or more, or of another type.
pub fn embedding(weight: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let (vocab_size, embedding_size) = weight.dims2()?;
    let shape = [ids.dims(), &[embedding_size]].concat();
    // candle's kernel for CUDA reads the ids as if they lay one after another, which a column of words does not.
    let ids = ids.flatten_all()?.contiguous()?;
    let rows = match Backend::gpu(Op::Embedding, &[weight]) {
        Some(gpu) if ids.elem_count() > 0 && ids.dtype().is_int() => cuda::embedding(gpu, weight, ids),
        _ => weight.index_select(&ids, 0),
    };
    let rows = rows.map_err(|error| {
        let error = error.to_string();
        let fault = error.lines().next().unwrap_or_default();
        Error::Msg(format!("embedding: wants ids below V = {vocab_size} of type u32 or i64 ({fault})"))
    })?;
    rows.reshape(shape)
}
