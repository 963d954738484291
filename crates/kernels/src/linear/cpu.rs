//! Linear layer of f32 on the CPU: GEMMs on the matrices as they lie.

use super::NAME;
use crate::cpu::gemm::gemm_into;
use crate::cpu::reduce::sums_of_columns;
use crate::node::{Value, with_all_f32, with_f32};
use candle_core::{Device, Result, Tensor};

/// y = x Wᵀ + b of xs, weight and perhaps bias.
pub fn forward(inputs: &[Tensor]) -> Result<Value> {
    let ((m, k), n) = (inputs[0].dims2()?, inputs[1].dim(0)?);
    let ys = with_all_f32(NAME, inputs, |values| {
        gemm_into(values[0], (k, 1), values[1], (1, k), (m, n, k), values.get(2).copied())
    })?;
    Ok(Value::new(ys, (m, n)))
}

/// dx = dy W.
pub fn input_gradient(dys: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let ((m, n), k) = (dys.dims2()?, weight.dim(1)?);
    let dxs = with_all_f32(NAME, &[dys.clone(), weight.clone()], |values| {
        gemm_into(values[0], (n, 1), values[1], (k, 1), (m, k, n), None)
    })?;
    Tensor::from_vec(dxs, (m, k), &Device::Cpu)
}

/// db = Σ dy over the rows.
pub fn bias_gradient(dys: &Tensor) -> Result<Tensor> {
    let n = dys.dim(1)?;
    Tensor::from_vec(with_f32(NAME, dys, |dys| sums_of_columns(dys, n, n))?, n, &Device::Cpu)
}
