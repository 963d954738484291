//! Deferred weight gradients: those of weights that many calls share, formed by one GEMM.
//!
//! A weight W that serves T steps has the gradient Σ_t dY_tᵀ X_t. Formed one by one, each product is as large as W, and each is
//! read and written again to add it up; formed together they are one product over the rows of all steps.

use super::with_all_f32;
use crate::backend::{Backend, Op};
use crate::cpu::gemm::{GemmShape, Strided, gemm};
use crate::cpu::thread_pool::install_for;
use candle_core::{Device, Result, Tensor};

/// dYᵀ X, a gradient that is not formed yet: dY (M, out) is the gradient of a product's rows, X (M, in) what W was multiplied by.
#[derive(Clone, Debug)]
pub(super) struct Product {
    pub dys: Tensor,
    pub xs: Tensor,
}

impl Product {
    /// Whether both sides are smaller than the product, so that it is better kept unformed.
    pub fn is_small(&self) -> bool {
        let rows = self.xs.dims()[0];
        rows < self.xs.dims()[1] && rows < self.dys.dims()[1]
    }
}

/// The sum of products, (out, in).
pub(super) fn formed(products: &[Product]) -> Result<Tensor> {
    let (dys, xs) = (rows(products, |product| &product.dys)?, rows(products, |product| &product.xs)?);
    if Backend::choose(Op::WeightGradient, &[&dys, &xs]) == Backend::Reference {
        return dys.t()?.matmul(&xs);
    }
    let ((m, n), k) = (dys.dims2()?, xs.dim(1)?);
    let sides = [dys, xs];
    let product = |values: &[&[f32]]| {
        let (dys, xs) = (Strided::columns(values[0], n), Strided::rows(values[1], k));
        gemm(dys, xs, GemmShape { m: n, n: k, k: m }, None)
    };
    let sum = install_for(&sides, || with_all_f32("weight gradient", &sides, product))?;
    Tensor::from_vec(sum, (n, k), &Device::Cpu)
}

/// The rows of one side of all products.
fn rows(products: &[Product], side: impl Fn(&Product) -> &Tensor) -> Result<Tensor> {
    match products {
        [alone] => side(alone).contiguous(),
        _ => Tensor::cat(&products.iter().map(side).collect::<Vec<_>>(), 0),
    }
}
