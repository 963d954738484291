//! A custom autograd node with any number of inputs and outputs.
//!
//! candle's custom operations take one to three tensors and return one. [`apply`] works around this: the operation becomes a node
//! whose own value is a placeholder of one element, each output a custom operation on that placeholder, and more than three inputs
//! are bundled by placeholders of the same kind. Gradients bypass candle from node to node, as candle would add each to a tensor of
//! zeros; [`backward`] does the same for variables.

mod bypass;
mod deferred;
mod graph;

pub use bypass::{Gradients, backward};

use crate::cpu::thread_pool::install_for;
use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, Device, Error, Result, Shape, Storage, Tensor, WithDType};
use deferred::DeferredMatmul;
use std::sync::{Mutex, PoisonError};

/// An operation with several inputs and outputs and a gradient of its own.
pub trait Operation: Send + Sync + 'static {
    /// What `backward` needs beyond inputs and outputs.
    type Saved: Send + Sync;

    /// The name that error messages use.
    const NAME: &'static str;

    /// Computes the outputs. `saved` says whether a gradient will be asked for; only then is anything worth keeping.
    ///
    /// # Errors
    /// When shapes or types do not fit; the message names the operation.
    fn forward(&self, inputs: &[Tensor], saved: bool) -> Result<(Vec<Value>, Self::Saved)>;

    /// The gradients of the inputs from those of the outputs (all of them contiguous).
    ///
    /// `None` where `wanted` is false, where an input's gradient is zero, or where it was given to [`Call::defer_matmul_gradient`].
    ///
    /// # Errors
    /// When the device fails.
    fn backward(&self, call: &Call<Self::Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>>;
}

/// An output of an operation, before it becomes a tensor of the graph.
pub enum Value {
    /// A tensor, which is copied into the graph.
    Tensor(Tensor),
    /// Contiguous values on any device, which are moved there.
    Storage(Storage, Shape),
}

impl Value {
    /// f32 values on the CPU in row-major order.
    pub fn new(values: Vec<f32>, shape: impl Into<Shape>) -> Self {
        Self::Storage(Storage::Cpu(CpuStorage::F32(values)), shape.into())
    }

    pub(crate) fn tensor(self) -> Tensor {
        match self {
            Self::Tensor(tensor) => tensor,
            Self::Storage(storage, shape) => Tensor::from_storage(storage, shape, BackpropOp::none(), false),
        }
    }

    fn storage(self) -> Result<(Storage, Shape)> {
        match self {
            Self::Storage(storage, shape) => Ok((storage, shape)),
            Self::Tensor(tensor) => {
                let tensor = tensor.contiguous()?;
                let (storage, layout) = tensor.storage_and_layout();
                Ok((storage.try_clone(layout)?, tensor.shape().clone()))
            }
        }
    }
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

/// What one call of an operation left for its backward pass.
pub struct Call<'a, S> {
    /// The inputs, without their graphs.
    pub inputs: &'a [Tensor],
    /// The outputs, without their graphs.
    pub outputs: &'a [Tensor],
    /// What `forward` kept.
    pub saved: &'a S,
    /// Which inputs want a gradient.
    pub wanted: &'a [bool],
    deferred: Mutex<Vec<(usize, DeferredMatmul)>>,
}

impl<S> Call<'_, S> {
    /// Whether there is such an input and it wants a gradient.
    pub fn wants(&self, input: usize) -> bool {
        self.wanted.get(input) == Some(&true)
    }

    /// Gradients of the inputs, in their order, from f32 values on the CPU.
    ///
    /// # Errors
    /// When one has not as many values as its input.
    pub fn gradients(&self, values: impl IntoIterator<Item = Option<Vec<f32>>>) -> Result<Vec<Option<Tensor>>> {
        let tensor = |(values, input): (Option<Vec<f32>>, &Tensor)| {
            values.map(|values| Tensor::from_vec(values, input.shape(), &Device::Cpu)).transpose()
        };
        values.into_iter().zip(self.inputs).map(tensor).collect()
    }

    /// Says that the gradient of this input is dYᵀ X, for dY (M, out) and X (M, in), without forming it: where the input is a
    /// variable that other calls use too, [`backward`] forms one product of all their rows.
    pub fn defer_matmul_gradient(&self, input: usize, dys: Tensor, xs: Tensor) {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner).push((input, DeferredMatmul { dys, xs }));
    }
}

/// Runs an operation as one node of the graph, or without a node where no input tracks a gradient.
///
/// # Errors
/// As the operation says.
pub fn apply<O: Operation>(operation: O, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    let wanted: Vec<bool> = inputs.iter().map(|input| input.track_op()).collect();
    let detached: Vec<Tensor> = inputs.iter().map(|input| input.detach()).collect();
    let tracked = wanted.contains(&true);
    let (outputs, saved) = install_for(&detached, || operation.forward(&detached, tracked))?;
    if !tracked {
        return Ok(outputs.into_iter().map(Value::tensor).collect());
    }
    graph::insert(operation, inputs, detached, outputs, saved, wanted)
}

/// [`apply`] for an operation with `N` outputs.
///
/// # Errors
/// As the operation says.
pub fn apply_array<O: Operation, const N: usize>(operation: O, inputs: &[&Tensor]) -> Result<[Tensor; N]> {
    let wrong = |outputs: Vec<Tensor>| Error::Msg(format!("{}: {} outputs instead of {N}", O::NAME, outputs.len()));
    apply(operation, inputs)?.try_into().map_err(wrong)
}

/// [`apply`] for an operation with one output.
///
/// # Errors
/// As the operation says.
pub fn apply_one(operation: impl Operation, inputs: &[&Tensor]) -> Result<Tensor> {
    apply_array(operation, inputs).map(|[output]| output)
}

/// The values of an f32 tensor on the CPU in row-major order, borrowed where they are so already.
///
/// # Errors
/// When the tensor is not f32 or not on the CPU; the message names the operation.
pub fn with_f32<R>(operation: &str, tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    with_f32s(operation, [tensor], |[values]| f(values))
}

/// The values of `N` tensors as [`with_f32`] gives them.
///
/// # Errors
/// As [`with_f32`], and when there is another number of tensors.
pub fn with_f32s<'a, R, const N: usize>(
    operation: &str,
    tensors: impl IntoIterator<Item = &'a Tensor>,
    f: impl FnOnce([&[f32]; N]) -> R,
) -> Result<R> {
    with_all_f32(operation, tensors, |values| match values.try_into() {
        Ok(values) => Ok(f(values)),
        Err(_) => candle_core::bail!("{operation}: {} tensors instead of {N}", values.len()),
    })?
}

/// The values of any number of tensors as [`with_f32`] gives them.
///
/// # Errors
/// When a tensor is not f32 or not on the CPU; the message names the operation.
pub fn with_all_f32<'a, R>(
    operation: &str,
    tensors: impl IntoIterator<Item = &'a Tensor>,
    f: impl FnOnce(&[&[f32]]) -> R,
) -> Result<R> {
    with_slices(operation, tensors, f)
}

/// The values of a tensor that may be missing as [`with_f32`] gives them, of any type.
pub(crate) fn with_optional<T: WithDType, R>(
    operation: &str,
    tensor: Option<&Tensor>,
    f: impl FnOnce(Option<&[T]>) -> R,
) -> Result<R> {
    with_slices(operation, tensor, |values| f(values.first().copied()))
}

/// [`with_all_f32`] for any type.
pub(crate) fn with_slices<'a, T: WithDType, R>(
    operation: &str,
    tensors: impl IntoIterator<Item = &'a Tensor>,
    f: impl FnOnce(&[&[T]]) -> R,
) -> Result<R> {
    let tensors: Vec<Tensor> = tensors.into_iter().map(Tensor::contiguous).collect::<Result<_>>()?;
    let storages: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let mut slices = Vec::with_capacity(tensors.len());
    for ((storage, layout), tensor) in storages.iter().zip(&tensors) {
        let (Storage::Cpu(values), true) = (&**storage, tensor.dtype() == T::DTYPE) else {
            let (wanted, dtype, device) = (T::DTYPE.as_str(), tensor.dtype(), tensor.device());
            candle_core::bail!("{operation}: wants {wanted} on the CPU, got {dtype:?} on {device:?}")
        };
        // What is cut out of nothing may start beyond its end.
        let values = values.as_slice::<T>()?.get(layout.start_offset()..).unwrap_or_default();
        slices.push(&values[..layout.shape().elem_count()]);
    }
    Ok(f(&slices))
}

/// An error unless `xs` is of a floating-point type: some of candle's operations panic where they meet integers.
pub(crate) fn check_float(operation: &str, xs: &Tensor) -> Result<()> {
    if !xs.dtype().is_float() {
        candle_core::bail!("{operation}: wants a floating-point type, got {:?}", xs.dtype())
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{DType, Device, Var};

    #[test]
    fn a_part_of_an_empty_tensor_is_empty() {
        let part = Tensor::zeros((2, 0, 4), DType::F32, &Device::Cpu).unwrap().narrow(2, 2, 2).unwrap();
        assert_eq!(with_all_f32("part", [&part], |values| values[0].len()).unwrap(), 0);
    }

    /// (a·b + c, d²) for checking every way of packing.
    struct Example;

    impl Operation for Example {
        type Saved = ();

        const NAME: &'static str = "example";

        fn forward(&self, x: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
            Ok((vec![((&x[0] * &x[1])? + &x[2])?.into(), x[3].sqr()?.into()], ()))
        }

        fn backward(&self, call: &Call<()>, g: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
            let x = call.inputs;
            let d = (&g[1] * (&x[3] * 2.0)?)?;
            Ok(vec![Some((&g[0] * &x[1])?), Some((&g[0] * &x[0])?), Some(g[0].clone()), Some(d)])
        }
    }

    #[test]
    fn every_mix_of_tracked_inputs_gets_its_gradients() {
        let device = Device::Cpu;
        let values = [[1f32, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]];
        for mask in 0..16u32 {
            let vars: Vec<Var> = values.iter().map(|v| Var::new(v, &device).unwrap()).collect();
            let pick =
                |i: usize| if mask >> i & 1 == 1 { vars[i].as_tensor().clone() } else { vars[i].as_detached_tensor() };
            let inputs: Vec<Tensor> = (0..4).map(pick).collect();
            let outputs = apply(Example, &inputs.iter().collect::<Vec<_>>()).unwrap();
            assert_eq!(outputs[0].to_vec1::<f32>().unwrap(), [8.0, 14.0]);
            assert_eq!(outputs[1].to_vec1::<f32>().unwrap(), [49.0, 64.0]);
            let loss = (outputs[0].sum_all().unwrap() + (outputs[1].sum_all().unwrap() * 10.0).unwrap()).unwrap();
            assert_eq!(loss.track_op(), mask != 0);
            if mask == 0 {
                continue;
            }
            let gradients = loss.backward().unwrap();
            let expected = [[3f32, 4.0], [1.0, 2.0], [1.0, 1.0], [140.0, 160.0]];
            for i in 0..4 {
                let found = gradients.get(vars[i].as_tensor()).map(|g| g.to_vec1::<f32>().unwrap());
                let wanted = (mask >> i & 1 == 1).then(|| expected[i].to_vec());
                assert_eq!(found, wanted, "input {i} of mask {mask:04b}");
            }
        }
    }

    #[test]
    fn an_output_that_nobody_asks_of_counts_as_zero_and_a_graph_serves_twice() {
        let var = |values: [f32; 2]| Var::new(&values, &Device::Cpu).unwrap();
        let vars = [var([1.0, 2.0]), var([3.0, 4.0]), var([5.0, 6.0]), var([7.0, 8.0])];
        let inputs: Vec<&Tensor> = vars.iter().map(|var| var.as_tensor()).collect();
        let outputs = apply(Example, &inputs).unwrap();
        let gradient = |loss: &Tensor, i: usize| {
            let store = loss.sum_all().unwrap().backward().unwrap();
            store.get(vars[i].as_tensor()).unwrap().to_vec1::<f32>().unwrap()
        };
        for _ in 0..2 {
            assert_eq!(gradient(&outputs[0], 0), [3.0, 4.0]);
            assert_eq!(gradient(&outputs[0], 3), [0.0, 0.0]);
            assert_eq!(gradient(&outputs[1], 0), [0.0, 0.0]);
            assert_eq!(gradient(&outputs[1], 3), [14.0, 16.0]);
        }
    }

    #[test]
    fn gradients_that_go_beside_candle_equal_those_that_do_not() {
        let var = |values: [f32; 2]| Var::new(&values, &Device::Cpu).unwrap();
        let vars = [var([1.0, 2.0]), var([3.0, 4.0]), var([5.0, 6.0]), var([7.0, 8.0])];
        let [a, b, c, d] = vars.each_ref().map(|var| var.as_tensor());
        // Outputs go on into a node, twice, and into an operation of candle; so does a variable.
        let first = apply(Example, &[a, b, c, d]).unwrap();
        let second = apply(Example, &[&first[0], &first[1], &first[0], a]).unwrap();
        let loss = (&second[0] + &second[1]).unwrap();
        let loss = (loss + (&first[0] * a).unwrap()).unwrap().sum_all().unwrap();
        let (ours, candles) = (backward(&loss).unwrap(), loss.backward().unwrap());
        // p = ab + c, q = d²: L = pq + p + a² + pa.
        let expected = |a: f32, b: f32, c: f32, d: f32| {
            let (p, dp) = (a * b + c, d * d + 1.0 + a);
            [dp * b + 2.0 * a + p, dp * a, dp, p * 2.0 * d]
        };
        let (one, two) = (expected(1.0, 3.0, 5.0, 7.0), expected(2.0, 4.0, 6.0, 8.0));
        for (i, var) in vars.iter().enumerate() {
            for store in [&ours, &candles] {
                assert_eq!(store.get(var).unwrap().to_vec1::<f32>().unwrap(), [one[i], two[i]], "variable {i}");
            }
        }
        assert!(bypass::Origin::of(&first[0]).is_some());
        let clone = first[0].clone();
        // The gradients too: candle makes them with a graph of their own.
        drop((first, second, loss, ours, candles));
        assert!(bypass::Origin::of(&clone).is_some(), "its graph is alive");
        let id = clone.id();
        drop(clone);
        assert!(!bypass::Origin::knows(id), "what is gone is forgotten");
    }
}
