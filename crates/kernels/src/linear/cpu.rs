//! Linear layer of f32 on the CPU: GEMMs of the matrices in place.

use super::NAME;
use crate::cpu::gemm::{GemmShape, Strided, gemm};
use crate::cpu::reduce::column_sums;
use crate::node::{Value, with_all_f32, with_f32, with_f32s};
use candle_core::{Device, Result, Tensor};

/// y = x Wᵀ + b of xs, weight and perhaps bias.
pub fn forward(inputs: &[Tensor]) -> Result<Value> {
    let ((m, k), n) = (inputs[0].dims2()?, inputs[1].dim(0)?);
    let ys = with_all_f32(NAME, inputs, |values| {
        let (xs, weight) = (Strided::rows(values[0], k), Strided::columns(values[1], k));
        gemm(xs, weight, GemmShape { m, n, k }, values.get(2).copied())
    })?;
    Ok(Value::new(ys, (m, n)))
}

/// dx = dy W.
pub fn input_gradient(dys: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let ((m, n), k) = (dys.dims2()?, weight.dim(1)?);
    let dxs = with_f32s(NAME, [dys, weight], |[dys, weight]| {
        gemm(Strided::rows(dys, n), Strided::rows(weight, k), GemmShape { m, n: k, k: n }, None)
    })?;
    Tensor::from_vec(dxs, (m, k), &Device::Cpu)
}

/// db = Σ dy over the rows.
pub fn bias_gradient(dys: &Tensor) -> Result<Tensor> {
    let n = dys.dim(1)?;
    Tensor::from_vec(with_f32(NAME, dys, |dys| column_sums(dys, n, n))?, n, &Device::Cpu)
}
