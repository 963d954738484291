//! One node of candle's graph with any number of inputs and outputs.
//!
//! candle's custom operations take one to three tensors and return one. [`apply`] is the one place that goes around this:
//! the two largest inputs that want a gradient are arguments as they are, the others are packed into a third, and several
//! outputs are packed into one tensor and narrowed out of it.

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, MetalStorage, Result, Shape, Storage,
    Tensor,
};
use std::sync::{Mutex, PoisonError};

/// An operation with several inputs and outputs and a gradient of its own.
pub trait Operation: Send + Sync + 'static {
    /// What `backward` needs beyond inputs and outputs.
    type Saved: Send + Sync;

    /// The name that error messages use.
    fn name(&self) -> &'static str;

    /// Computes the outputs. `saved` says whether a gradient will be asked for; only then is anything worth keeping.
    ///
    /// # Errors
    /// When shapes or types do not fit; the message names the operation.
    fn forward(&self, inputs: &[Tensor], saved: bool) -> Result<(Vec<Tensor>, Self::Saved)>;

    /// The gradients of the inputs from those of the outputs (all of them contiguous).
    ///
    /// `None` where `wanted` is false, or where an input's gradient is zero.
    ///
    /// # Errors
    /// When the device fails.
    fn backward(&self, call: &Call<Self::Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>>;
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
}

/// Runs an operation as one node of the graph, or without a node where no input tracks a gradient.
///
/// # Errors
/// As the operation says, and when inputs that want gradients, or several outputs, differ in type.
pub fn apply<O: Operation>(operation: O, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    let wanted: Vec<bool> = inputs.iter().map(|input| input.track_op()).collect();
    let detached: Vec<Tensor> = inputs.iter().map(|input| input.detach()).collect();
    let tracked = wanted.contains(&true);
    let (outputs, saved) = operation.forward(&detached, tracked)?;
    if !tracked {
        return Ok(outputs);
    }
    let shapes: Vec<Shape> = outputs.iter().map(|output| output.shape().clone()).collect();
    let result = Mutex::new(Some(if let [output] = &outputs[..] { output.contiguous()? } else { pack(&outputs)? }));
    drop(outputs);
    let arguments = arrange(inputs);
    let tensors: Vec<Tensor> = arguments.iter().map(|members| argument(inputs, members)).collect::<Result<_>>()?;
    let node = Node { operation, inputs: detached, saved, wanted, arguments, shapes: shapes.clone(), result };
    let packed = match &tensors[..] {
        [a] => a.apply_op1(node)?,
        [a, b] => a.apply_op2(b, node)?,
        [a, b, c] => a.apply_op3(b, c, node)?,
        _ => candle_core::bail!("node: {} arguments", tensors.len()),
    };
    if shapes.len() == 1 { Ok(vec![packed]) } else { unpack(&packed, &shapes) }
}

/// Groups the inputs that want gradients into at most three arguments: the largest two alone, the rest together.
fn arrange(inputs: &[&Tensor]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..inputs.len()).filter(|&i| inputs[i].track_op()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(inputs[i].elem_count()), i));
    if order.len() <= 3 {
        return order.into_iter().map(|i| vec![i]).collect();
    }
    let rest = order.split_off(2);
    order.into_iter().map(|i| vec![i]).chain([rest]).collect()
}

fn argument(inputs: &[&Tensor], members: &[usize]) -> Result<Tensor> {
    match members {
        [one] => Ok(inputs[*one].clone()),
        many => pack(&many.iter().map(|&i| inputs[i].clone()).collect::<Vec<_>>()),
    }
}

fn pack(tensors: &[Tensor]) -> Result<Tensor> {
    let flat: Vec<Tensor> = tensors.iter().map(Tensor::flatten_all).collect::<Result<_>>()?;
    Tensor::cat(&flat, 0)
}

fn unpack(packed: &Tensor, shapes: &[Shape]) -> Result<Vec<Tensor>> {
    let mut start = 0;
    let mut parts = Vec::with_capacity(shapes.len());
    for shape in shapes {
        parts.push(packed.narrow(0, start, shape.elem_count())?.reshape(shape)?);
        start += shape.elem_count();
    }
    Ok(parts)
}

struct Node<O: Operation> {
    operation: O,
    inputs: Vec<Tensor>,
    saved: O::Saved,
    wanted: Vec<bool>,
    /// The inputs of each of candle's arguments.
    arguments: Vec<Vec<usize>>,
    /// The shapes of the outputs.
    shapes: Vec<Shape>,
    /// The packed outputs, until candle asks for them.
    result: Mutex<Option<Tensor>>,
}

impl<O: Operation> Node<O> {
    fn take(&self) -> Result<Tensor> {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.ok_or_else(|| candle_core::Error::Msg(format!("{}: a node runs once", self.operation.name())))
    }

    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        let result = self.take()?;
        match &*result.storage_and_layout().0 {
            Storage::Cpu(storage) => Ok((storage.try_clone(result.layout())?, result.shape().clone())),
            _ => candle_core::bail!("{}: inputs and outputs lie on different devices", self.operation.name()),
        }
    }

    fn cuda(&self) -> Result<(CudaStorage, Shape)> {
        let result = self.take()?;
        match &*result.storage_and_layout().0 {
            Storage::Cuda(storage) => Ok((storage.try_clone(result.layout())?, result.shape().clone())),
            _ => candle_core::bail!("{}: inputs and outputs lie on different devices", self.operation.name()),
        }
    }

    fn metal(&self) -> Result<(MetalStorage, Shape)> {
        let result = self.take()?;
        match &*result.storage_and_layout().0 {
            Storage::Metal(storage) => Ok((storage.try_clone(result.layout())?, result.shape().clone())),
            _ => candle_core::bail!("{}: inputs and outputs lie on different devices", self.operation.name()),
        }
    }

    /// The gradient of each of candle's arguments.
    fn gradients(&self, result: &Tensor, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let (result, gradient) = (result.detach(), gradient.contiguous()?);
        let (outputs, gradients) = match &self.shapes[..] {
            [_] => (vec![result], vec![gradient]),
            shapes => (unpack(&result, shapes)?, unpack(&gradient, shapes)?),
        };
        let call = Call { inputs: &self.inputs, outputs: &outputs, saved: &self.saved, wanted: &self.wanted };
        let found = self.operation.backward(&call, &gradients)?;
        self.arguments.iter().map(|members| self.gathered(members, &found)).collect()
    }

    fn gathered(&self, members: &[usize], found: &[Option<Tensor>]) -> Result<Option<Tensor>> {
        if let [one] = members {
            return found[*one].as_ref().map(|gradient| gradient.reshape(self.inputs[*one].shape())).transpose();
        }
        let parts: Vec<Tensor> = members
            .iter()
            .map(|&i| found[i].clone().map_or_else(|| self.inputs[i].zeros_like(), Ok))
            .collect::<Result<_>>()?;
        Ok(Some(pack(&parts)?))
    }
}

impl<O: Operation> CustomOp1 for Node<O> {
    fn name(&self) -> &'static str {
        self.operation.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.metal()
    }

    fn bwd(&self, _: &Tensor, result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(self.gradients(result, gradient)?.swap_remove(0))
    }
}

impl<O: Operation> CustomOp2 for Node<O> {
    fn name(&self) -> &'static str {
        self.operation.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn metal_fwd(&self, _: &MetalStorage, _: &Layout, _: &MetalStorage, _: &Layout) -> Result<(MetalStorage, Shape)> {
        self.metal()
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut gradients = self.gradients(result, gradient)?.into_iter();
        Ok((gradients.next().flatten(), gradients.next().flatten()))
    }
}

impl<O: Operation> CustomOp3 for Node<O> {
    fn name(&self) -> &'static str {
        self.operation.name()
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.cpu()
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.cuda()
    }

    fn metal_fwd(
        &self,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
        _: &MetalStorage,
        _: &Layout,
    ) -> Result<(MetalStorage, Shape)> {
        self.metal()
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let mut gradients = self.gradients(result, gradient)?.into_iter();
        Ok((gradients.next().flatten(), gradients.next().flatten(), gradients.next().flatten()))
    }
}

/// The values of an f32 tensor on the CPU in row-major order, borrowed where they lie so already.
///
/// # Errors
/// When the tensor is not f32 or not on the CPU; the message names the operation.
pub fn with_f32<R>(operation: &str, tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => {
            let start = layout.start_offset();
            Ok(f(&values[start..start + layout.shape().elem_count()]))
        }
        _ => candle_core::bail!("{operation}: wants f32 on the CPU, got {:?} on {:?}", tensor.dtype(), tensor.device()),
    }
}

/// Whether all of these tensors are f32 on the CPU, where this crate's own CPU kernels run.
pub fn on_cpu_f32(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| tensor.device().is_cpu() && tensor.dtype() == DType::F32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{Device, Var};

    /// (a·b + c, d²) for checking every way of packing.
    struct Example;

    impl Operation for Example {
        type Saved = ();

        fn name(&self) -> &'static str {
            "example"
        }

        fn forward(&self, x: &[Tensor], _: bool) -> Result<(Vec<Tensor>, ())> {
            Ok((vec![((&x[0] * &x[1])? + &x[2])?, x[3].sqr()?], ()))
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
}
