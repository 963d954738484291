//! Linear layer in candle's tensor operations: any type, any device.

use crate::node::Value;
use candle_core::{Result, Tensor};

/// y = x Wᵀ + b of xs, weight and perhaps bias.
pub fn forward(inputs: &[Tensor]) -> Result<Value> {
    let ys = inputs[0].contiguous()?.matmul(&inputs[1].t()?)?;
    Ok(inputs.get(2).map_or(Ok(ys.clone()), |bias| ys.broadcast_add(bias))?.into())
}

/// dx = dy W.
pub fn input_gradient(dys: &Tensor, weight: &Tensor) -> Result<Tensor> {
    dys.matmul(weight)
}

/// db = Σ dy over the rows.
pub fn bias_gradient(dys: &Tensor) -> Result<Tensor> {
    dys.sum(0)
}
