//! Initial values, and how a layer asks a [`VarBuilder`] for a parameter with one.

use crate::Rng;
use candle_core::{Device, Result, Shape, Tensor};
use candle_nn::{Init, VarBuilder};
use std::cell::RefCell;

/// How a fresh parameter is drawn; a loaded one is never touched.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Initial {
    /// Every value the same.
    Constant(f64),
    /// Uniform in [−bound, bound).
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// A (semi-)orthogonal matrix times this gain, over the first dimension and all others together.
    ///
    /// Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural networks".
    Orthogonal(f64),
    /// Equal blocks along the first dimension, one for each entry: the gates of a recurrent layer.
    Blocks(Vec<Initial>),
}

impl Initial {
    /// PyTorch's default for linear layers and convolutions: uniform in ±1/√fan_in.
    pub fn fan_in(fan_in: usize) -> Self {
        Initial::Uniform(1.0 / (fan_in.max(1) as f64).sqrt())
    }

    /// He's normal initial values for ReLU, by fan-out: standard deviation √(2 / fan_out).
    ///
    /// He et al. 2015, "Delving deep into rectifiers".
    pub fn kaiming_fan_out(fan_out: usize) -> Self {
        Initial::Normal((2.0 / fan_out.max(1) as f64).sqrt())
    }

    /// He's uniform initial values for ReLU, by fan-in: uniform in ±√(6 / fan_in).
    pub fn kaiming_uniform(fan_in: usize) -> Self {
        Initial::Uniform((6.0 / fan_in.max(1) as f64).sqrt())
    }

    /// Draws the values in f32.
    ///
    /// # Errors
    /// When blocks do not divide the first dimension.
    pub fn draw(&self, shape: &Shape, rng: &mut Rng, device: &Device) -> Result<Tensor> {
        let values = self.values(shape.dims(), rng)?;
        Tensor::from_vec(values, shape, device)
    }

    pub(crate) fn values(&self, dims: &[usize], rng: &mut Rng) -> Result<Vec<f32>> {
        let count = dims.iter().product();
        Ok(match self {
            Initial::Constant(value) => vec![*value as f32; count],
            Initial::Uniform(bound) => {
                (0..count).map(|_| (bound * (2.0 * f64::from(rng.uniform()) - 1.0)) as f32).collect()
            }
            Initial::Normal(std) => (0..count).map(|_| (std * f64::from(rng.normal())) as f32).collect(),
            Initial::Orthogonal(gain) => {
                let rows = dims.first().copied().unwrap_or(1);
                orthogonal(rows, count / rows.max(1), *gain, rng)
            }
            Initial::Blocks(blocks) => {
                let rows = dims.first().copied().unwrap_or(1);
                if blocks.is_empty() || rows % blocks.len() != 0 {
                    candle_core::bail!("initial values: {} blocks do not divide the shape {dims:?}", blocks.len())
                }
                let mut part = dims.to_vec();
                part[0] = rows / blocks.len();
                let parts: Vec<Vec<f32>> =
                    blocks.iter().map(|block| block.values(&part, rng)).collect::<Result<_>>()?;
                parts.concat()
            }
        })
    }
}

/// Rows × columns with orthonormal rows or columns, whichever are fewer, by Gram and Schmidt on normal vectors.
fn orthogonal(rows: usize, columns: usize, gain: f64, rng: &mut Rng) -> Vec<f32> {
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    while basis.len() < count {
        let mut vector: Vec<f64> = (0..length).map(|_| f64::from(rng.normal())).collect();
        // Twice is enough to be orthogonal to rounding.
        for _ in 0..2 {
            for other in &basis {
                let dot: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(a, b)| *a -= dot * b);
            }
        }
        let norm = vector.iter().map(|a| a * a).sum::<f64>().sqrt();
        if norm > 1e-6 {
            vector.iter_mut().for_each(|a| *a /= norm);
            basis.push(vector);
        }
    }
    let at = |row: usize, column: usize| if rows <= columns { basis[row][column] } else { basis[column][row] };
    (0..rows)
        .flat_map(|row| (0..columns).map(move |column| (row, column)))
        .map(|(r, c)| (gain * at(r, c)) as f32)
        .collect()
}

/// What a layer asked for beyond a name and a shape.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub initial: Initial,
    pub buffer: bool,
}

thread_local! {
    // candle's `Init` has no orthogonal and no per-gate values and knows no buffers, and a `VarBuilder` hands its backend
    // nothing else. The request waits here for the store's `get`, which runs within the same call.
    static PENDING: RefCell<Option<Request>> = const { RefCell::new(None) };
}

pub(crate) fn take_request() -> Option<Request> {
    PENDING.with_borrow_mut(Option::take)
}

/// How a layer asks any [`VarBuilder`] for its parameters.
///
/// With a builder of [`crate::Parameters`] the initial value is drawn as asked; any other builder gives what it holds.
pub trait ParameterBuilder {
    /// A parameter that training changes.
    ///
    /// # Errors
    /// When the builder has no such parameter, or one of another shape.
    fn parameter(&self, shape: impl Into<Shape>, name: &str, initial: Initial) -> Result<Tensor>;

    /// A tensor that is saved and loaded with the parameters but never optimised, such as a running mean.
    ///
    /// # Errors
    /// When the builder has no such buffer, or one of another shape.
    fn buffer(&self, shape: impl Into<Shape>, name: &str, initial: Initial) -> Result<Tensor>;
}

impl ParameterBuilder for VarBuilder<'_> {
    fn parameter(&self, shape: impl Into<Shape>, name: &str, initial: Initial) -> Result<Tensor> {
        request(self, shape.into(), name, Request { initial, buffer: false })
    }

    fn buffer(&self, shape: impl Into<Shape>, name: &str, initial: Initial) -> Result<Tensor> {
        request(self, shape.into(), name, Request { initial, buffer: true })
    }
}

fn request(vb: &VarBuilder, shape: Shape, name: &str, request: Request) -> Result<Tensor> {
    PENDING.set(Some(request));
    let tensor = vb.get_with_hints(shape, name, Init::Const(0.0));
    PENDING.set(None);
    tensor
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn orthogonal_matrices_are_orthogonal_both_ways_round() {
        for (rows, columns) in [(6, 6), (4, 9), (9, 4)] {
            let mut rng = Rng::derive(1, "orthogonal", rows as u64);
            let shape = Shape::from((rows, columns));
            let m = Initial::Orthogonal(2.0).draw(&shape, &mut rng, &Device::Cpu).unwrap();
            let product = if rows <= columns { m.matmul(&m.t().unwrap()) } else { m.t().unwrap().matmul(&m) };
            for (i, row) in product.unwrap().to_vec2::<f32>().unwrap().iter().enumerate() {
                for (j, &value) in row.iter().enumerate() {
                    assert!((value - if i == j { 4.0 } else { 0.0 }).abs() < 1e-5, "{i} {j} {value}");
                }
            }
        }
    }

    #[test]
    fn blocks_give_each_gate_its_own_value() {
        let blocks = Initial::Blocks(vec![Initial::Constant(0.0), Initial::Constant(1.0)]);
        let mut rng = Rng::derive(1, "bias", 0);
        let bias = blocks.draw(&Shape::from(6), &mut rng, &Device::Cpu).unwrap();
        assert_eq!(bias.to_vec1::<f32>().unwrap(), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        assert!(blocks.draw(&Shape::from(5), &mut rng, &Device::Cpu).is_err());
    }
}
