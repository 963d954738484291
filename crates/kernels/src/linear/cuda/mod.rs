//! Linear layer, f32, CUDA: cuBLAS's products, each after a launch for its bias or for its sides in half precision.

use crate::cuda::{Gpu, Matrix, Memory, Module, Rows, Side, column_sums, in_half, module};
use crate::node::{Call, Operation, Value, apply_one};
use candle_core::{Result, Tensor};

static MODULE: Module = module!("linear");

/// [`super::linear`] of xs, weight and perhaps bias, of which none is empty.
pub fn linear(gpu: &'static dyn Gpu, inputs: &[&Tensor]) -> Result<Tensor> {
    apply_one(Linear(gpu), inputs)
}

struct Linear(&'static dyn Gpu);

/// Two sides of a product, in half precision too where products are of that.
struct Sides {
    values: [Memory; 2],
    halves: [Option<Memory>; 2],
}

impl Sides {
    fn new(gpu: &dyn Gpu, sides: [&Tensor; 2]) -> Result<Self> {
        let values = [gpu.of(sides[0])?, gpu.of(sides[1])?];
        let halves = in_half(gpu, &values[0], Some(&values[1]))?;
        Ok(Self { values, halves })
    }

    /// The first or second, whose rows have so many values.
    fn rows(&self, side: usize, width: usize) -> Rows<'_> {
        Rows { memory: &self.values[side], half: self.halves[side].as_ref(), start: 0, stride: width }
    }
}

impl Operation for Linear {
    const NAME: &'static str = super::NAME;
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let (gpu, (m, k), n) = (self.0, inputs[0].dims2()?, inputs[1].dim(0)?);
        let (sides, ys) = (Sides::new(gpu, [&inputs[0], &inputs[1]])?, Matrix::new(gpu, m, n)?);
        if let Some(bias) = inputs.get(2) {
            let bias = gpu.of(bias)?;
            let arguments = [bias.at(0), ys.row(0), m.into(), n.into()];
            gpu.launch_each(&MODULE, "bias_rows", m * n, &arguments)?;
        }
        let (xs, weight) = (Side::Plain(sides.rows(0, k)), Side::Transposed(sides.rows(1, k)));
        gpu.multiply((m, n, k), xs, weight, ys.rows(0), inputs.len() > 2)?;
        Ok((vec![gpu.value(ys.memory, (m, n).into())?], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (gpu, (m, k), n) = (self.0, call.inputs[0].dims2()?, call.inputs[1].dim(0)?);
        let (xs, weight, dys) = (&call.inputs[0], &call.inputs[1], &gradients[0]);
        if call.wants(1) {
            call.defer_matmul_gradient(1, dys.clone(), xs.contiguous()?);
        }
        let of_xs = || {
            let (sides, dxs) = (Sides::new(gpu, [dys, weight])?, Matrix::new(gpu, m, k)?);
            let (dys, weight) = (Side::Plain(sides.rows(0, n)), Side::Plain(sides.rows(1, k)));
            gpu.multiply((m, k, n), dys, weight, dxs.rows(0), false)?;
            Ok(gpu.value(dxs.memory, (m, k).into())?.tensor())
        };
        let of_bias = || {
            let dys = Matrix { memory: gpu.of(dys)?, half: None, width: n };
            Ok(gpu.value(column_sums(gpu, &dys, m)?, n.into())?.tensor())
        };
        let wanted = |input, gradient: &dyn Fn() -> Result<Tensor>| call.wants(input).then(gradient).transpose();
        // Without a bias the third has no input to go to.
        Ok(vec![wanted(0, &of_xs)?, None, wanted(2, &of_bias)?])
    }
}

/// dYᵀ X (out, in) of dY (M, out) and X (M, in), of which none is empty.
pub fn weight_gradient(gpu: &dyn Gpu, dys: &Tensor, xs: &Tensor) -> Result<Tensor> {
    let ((m, n), k) = (dys.dims2()?, xs.dim(1)?);
    let (sides, sum) = (Sides::new(gpu, [dys, xs])?, Matrix::new(gpu, n, k)?);
    let (dys, xs) = (Side::Transposed(sides.rows(0, n)), Side::Plain(sides.rows(1, k)));
    gpu.multiply((n, k, m), dys, xs, sum.rows(0), false)?;
    Ok(gpu.value(sum.memory, (n, k).into())?.tensor())
}
