//! The largest values of each row on CUDA: a block for each row, one launch and one copy to the host.

use super::TopK;
use crate::cuda::{Gpu, Launch, Module, module};
use candle_core::{Result, Tensor};

static MODULE: Module = module!("top_k");

/// [`super::top_k`] of rows of which there is one at least, for k from 1 to their width.
pub fn top_k(gpu: &dyn Gpu, xs: &Tensor, k: usize) -> Result<TopK> {
    let (rows, width) = xs.dims2()?;
    let (xs, found) = (gpu.of(xs)?, gpu.alloc(rows * (1 + 2 * k))?);
    // The normalisers, the values and their indices, behind each other.
    let [values, indices] = [rows, rows * (1 + k)];
    let arguments = [xs.at(0), found.at(0), found.at(values), found.at(indices), width.into(), k.into()];
    gpu.launch(&Launch::new(&MODULE, "top_k", (rows, 1), &arguments).with_shared::<[u32; 2]>())?;
    let words = gpu.read(&found)?;
    let float = |word: &u32| f32::from_bits(*word);
    Ok(TopK {
        log_sum_exps: words[..values].iter().map(float).collect(),
        values: words[values..indices].iter().map(float).collect(),
        indices: words[indices..].to_vec(),
        k,
    })
}
