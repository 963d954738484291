//! Deferred weight gradients: those of a weight that many calls share, formed and summed by one GEMM.
//!
//! A weight W that serves T steps has the gradient Σ_t dY_tᵀ X_t. One by one, each product is as large as W, and is read and written
//! again to be summed; over the rows of all steps it is one product.

use super::with_f32s;
use crate::backend::{Backend, Op};
use crate::cpu::gemm::{GemmShape, Strided, gemm};
use crate::cpu::thread_pool::install_for;
use crate::linear::cuda::weight_gradient;
use candle_core::{Device, Result, Tensor};

/// dYᵀ X, a weight's gradient that is yet to be formed, from dY (M, out) and X (M, in).
#[derive(Clone, Debug)]
pub(super) struct DeferredMatmul {
    pub dys: Tensor,
    pub xs: Tensor,
}

impl DeferredMatmul {
    /// Whether dY and X are smaller than their product, so that deferring it pays.
    pub fn is_small(&self) -> bool {
        let rows = self.xs.dims()[0];
        rows < self.xs.dims()[1] && rows < self.dys.dims()[1]
    }
}

/// The sum of the products, (out, in).
pub(super) fn summed(deferred: &[DeferredMatmul]) -> Result<Tensor> {
    let (dys, xs) = (rows(deferred, |matmul| &matmul.dys)?, rows(deferred, |matmul| &matmul.xs)?);
    if let Some(gpu) = Backend::gpu(Op::WeightGradient, &[&dys, &xs]) {
        return weight_gradient(gpu, &dys, &xs);
    }
    if Backend::choose(Op::WeightGradient, &[&dys, &xs]) == Backend::Reference {
        return dys.t()?.matmul(&xs);
    }
    let ((m, n), k) = (dys.dims2()?, xs.dim(1)?);
    let matmul = |[dys, xs]: [&[f32]; 2]| {
        gemm(Strided::columns(dys, n), Strided::rows(xs, k), GemmShape { m: n, n: k, k: m }, None)
    };
    let sides = [dys, xs];
    let sum = install_for(&sides, || with_f32s("weight gradient", &sides, matmul))?;
    Tensor::from_vec(sum, (n, k), &Device::Cpu)
}

/// The rows of dY, or X, of all products.
fn rows(deferred: &[DeferredMatmul], side: impl Fn(&DeferredMatmul) -> &Tensor) -> Result<Tensor> {
    match deferred {
        [alone] => side(alone).contiguous(),
        _ => Tensor::cat(&deferred.iter().map(side).collect::<Vec<_>>(), 0),
    }
}
