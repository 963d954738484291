//! One node of candle's graph with any number of inputs and outputs.
//!
//! candle's custom operations take one to three tensors and return one. [`apply`] is the one place that goes around this:
//! more than three inputs that want a gradient hang on bundles, one-element nodes that pass their gradients on, and several
//! outputs hang on the node, which then has one element itself and finds their gradients where they left them. Nothing is
//! copied either way.

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, Layout, MetalStorage, Result, Shape,
    Storage, Tensor,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    fn forward(&self, inputs: &[Tensor], saved: bool) -> Result<(Vec<Value>, Self::Saved)>;

    /// The gradients of the inputs from those of the outputs (all of them contiguous).
    ///
    /// `None` where `wanted` is false, or where an input's gradient is zero.
    ///
    /// # Errors
    /// When the device fails.
    fn backward(&self, call: &Call<Self::Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>>;
}

/// An output of an operation, before it becomes a tensor of the graph.
pub enum Value {
    /// A tensor, which is copied into the graph.
    Tensor(Tensor),
    /// f32 values on the CPU, which are moved there.
    Floats(Vec<f32>, Shape),
}

impl Value {
    /// f32 values on the CPU in row-major order.
    pub fn new(values: Vec<f32>, shape: impl Into<Shape>) -> Self {
        Self::Floats(values, shape.into())
    }

    fn tensor(self) -> Result<Tensor> {
        match self {
            Self::Tensor(tensor) => Ok(tensor),
            Self::Floats(values, shape) => Tensor::from_vec(values, shape, &Device::Cpu),
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
}

/// Runs an operation as one node of the graph, or without a node where no input tracks a gradient.
///
/// # Errors
/// As the operation says, and when inputs that want gradients, or several outputs, differ in type.
pub fn apply<O: Operation>(operation: O, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    let wanted: Vec<bool> = inputs.iter().map(|input| input.track_op()).collect();
    let detached: Vec<Tensor> = inputs.iter().map(|input| input.detach()).collect();
    let tracked = wanted.contains(&true);
    let (mut outputs, saved) = operation.forward(&detached, tracked)?;
    if !tracked {
        return outputs.into_iter().map(Value::tensor).collect();
    }
    let device = detached.first().map_or(Device::Cpu, |input| input.device().clone());
    let single = outputs.len() == 1;
    let (result, several) = match outputs.len() {
        1 => (outputs.pop(), vec![]),
        _ => (Some(nothing(&device)?.into()), outputs),
    };
    let gradients = slots(inputs.len());
    let tracking = inputs.iter().enumerate().filter(|(_, input)| input.track_op());
    let mut arguments: Vec<Argument> = tracking.map(|(i, input)| (Some(i), (*input).clone())).collect();
    while arguments.len() > 3 {
        arguments = arguments.chunks(3).map(|members| bundle(members, &detached, &gradients)).collect::<Result<_>>()?;
    }
    let gradients_of_outputs = slots(several.len());
    let outputs = slots(several.len());
    let node = Node {
        operation,
        inputs: detached,
        saved,
        wanted,
        direct: arguments.iter().map(|(input, _)| *input).collect(),
        gradients,
        outputs: Arc::clone(&outputs),
        gradients_of_outputs: Arc::clone(&gradients_of_outputs),
        result: Mutex::new(result),
    };
    let node = attach(&arguments, node)?;
    if single {
        return Ok(vec![node]);
    }
    let hang = |(index, output)| {
        let (gradients, result) = (Arc::clone(&gradients_of_outputs), Mutex::new(Some(output)));
        attach(&[(None, node.clone())], Output { index, gradients, result })
    };
    let hung: Vec<Tensor> = several.into_iter().enumerate().map(hang).collect::<Result<_>>()?;
    *locked(&outputs) = hung.iter().map(|output| Some(output.detach())).collect();
    Ok(hung)
}

fn slots(count: usize) -> Slots {
    Arc::new(Mutex::new(vec![None; count]))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An argument of a candle operation: an input by its number, or a bundle.
type Argument = (Option<usize>, Tensor);

/// A node's outputs, or gradients on their way from outputs to a node or from a node to bundles.
type Slots = Arc<Mutex<Vec<Option<Tensor>>>>;

fn attach<N: CustomOp1 + CustomOp2 + CustomOp3 + Send + Sync + 'static>(
    arguments: &[Argument],
    node: N,
) -> Result<Tensor> {
    match arguments {
        [(_, a)] => a.apply_op1(node),
        [(_, a), (_, b)] => a.apply_op2(b, node),
        [(_, a), (_, b), (_, c)] => a.apply_op3(b, c, node),
        _ => candle_core::bail!("node: {} arguments", arguments.len()),
    }
}

fn bundle(members: &[Argument], inputs: &[Tensor], gradients: &Slots) -> Result<Argument> {
    if let [alone] = members {
        return Ok(alone.clone());
    }
    let node = Bundle {
        members: members.iter().map(|(input, _)| input.map(|i| (i, inputs[i].clone()))).collect(),
        gradients: Arc::clone(gradients),
        result: Mutex::new(Some(nothing(inputs[0].device())?.into())),
    };
    Ok((None, attach(members, node)?))
}

/// The value of a bundle, and its gradient.
fn nothing(device: &Device) -> Result<Tensor> {
    Tensor::zeros(1, DType::F32, device)
}

struct Node<O: Operation> {
    operation: O,
    inputs: Vec<Tensor>,
    saved: O::Saved,
    wanted: Vec<bool>,
    /// Which input each of candle's arguments is; `None` for a bundle.
    direct: Vec<Option<usize>>,
    /// Where bundles find the gradients of their inputs.
    gradients: Slots,
    /// The outputs, where there are several.
    outputs: Slots,
    /// Their gradients.
    gradients_of_outputs: Slots,
    /// The value, until candle asks for it: the only output, or nothing.
    result: Mutex<Option<Value>>,
}

/// One of several outputs of a node.
struct Output {
    index: usize,
    gradients: Slots,
    result: Mutex<Option<Value>>,
}

/// A node of one element that hands the gradients of up to three inputs on.
struct Bundle {
    /// The inputs by their numbers; `None` for another bundle.
    members: Vec<Option<(usize, Tensor)>>,
    gradients: Slots,
    result: Mutex<Option<Value>>,
}

/// What candle asks of a node, whatever the number of its arguments.
trait Graph: Send + Sync {
    fn label(&self) -> &'static str;
    /// The value that was computed before candle asked for it.
    fn result(&self) -> &Mutex<Option<Value>>;
    /// The gradient of each argument.
    fn gradients(&self, result: &Tensor, gradient: &Tensor) -> Result<Vec<Option<Tensor>>>;

    fn take(&self) -> Result<Value> {
        let result = locked(self.result()).take();
        result.ok_or_else(|| candle_core::Error::Msg(format!("{}: a node runs once", self.label())))
    }

    fn elsewhere<S>(&self) -> Result<S> {
        candle_core::bail!("{}: inputs and outputs lie on different devices", self.label())
    }

    fn cpu(&self) -> Result<(CpuStorage, Shape)> {
        let result = match self.take()? {
            Value::Floats(values, shape) => return Ok((CpuStorage::F32(values), shape)),
            Value::Tensor(tensor) => tensor.contiguous()?,
        };
        match &*result.storage_and_layout().0 {
            Storage::Cpu(storage) => Ok((storage.try_clone(result.layout())?, result.shape().clone())),
            _ => self.elsewhere(),
        }
    }

    fn cuda(&self) -> Result<(CudaStorage, Shape)> {
        let result = self.take()?.tensor()?.contiguous()?;
        match &*result.storage_and_layout().0 {
            Storage::Cuda(storage) => Ok((storage.try_clone(result.layout())?, result.shape().clone())),
            _ => self.elsewhere(),
        }
    }

    fn metal(&self) -> Result<(MetalStorage, Shape)> {
        let result = self.take()?.tensor()?.contiguous()?;
        match &*result.storage_and_layout().0 {
            Storage::Metal(storage) => Ok((storage.try_clone(result.layout())?, result.shape().clone())),
            _ => self.elsewhere(),
        }
    }
}

impl<O: Operation> Graph for Node<O> {
    fn label(&self) -> &'static str {
        self.operation.name()
    }

    fn result(&self) -> &Mutex<Option<Value>> {
        &self.result
    }

    fn gradients(&self, result: &Tensor, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let device = gradient.device().clone();
        let outputs: Vec<Tensor> = locked(&self.outputs).iter().flatten().cloned().collect();
        let (outputs, gradients) = if outputs.is_empty() {
            (vec![result.detach()], vec![gradient.contiguous()?])
        } else {
            let mut found = locked(&self.gradients_of_outputs);
            let pairs = outputs.iter().zip(found.iter_mut());
            // What nobody asked of has a gradient of zero.
            let gradients = pairs.map(|(output, gradient)| gradient.take().map_or_else(|| output.zeros_like(), Ok));
            let gradients = gradients.collect::<Result<_>>()?;
            (outputs, gradients)
        };
        let call = Call { inputs: &self.inputs, outputs: &outputs, saved: &self.saved, wanted: &self.wanted };
        let mut found = self.operation.backward(&call, &gradients)?;
        let mut direct = Vec::with_capacity(self.direct.len());
        for input in &self.direct {
            direct.push(match input {
                Some(i) => found[*i].take().map(|gradient| gradient.reshape(self.inputs[*i].shape())).transpose()?,
                None => Some(nothing(&device)?),
            });
        }
        *locked(&self.gradients) = found;
        Ok(direct)
    }
}

impl Graph for Output {
    fn label(&self) -> &'static str {
        "output"
    }

    fn result(&self) -> &Mutex<Option<Value>> {
        &self.result
    }

    fn gradients(&self, _: &Tensor, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        locked(&self.gradients)[self.index] = Some(gradient.contiguous()?);
        Ok(vec![Some(nothing(gradient.device())?)])
    }
}

impl Graph for Bundle {
    fn label(&self) -> &'static str {
        "bundle"
    }

    fn result(&self) -> &Mutex<Option<Value>> {
        &self.result
    }

    fn gradients(&self, _: &Tensor, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let mut gradients = locked(&self.gradients);
        let pass = |member: &Option<(usize, Tensor)>| match member {
            // What wants a gradient and gets none has a gradient of zero.
            Some((i, input)) => match gradients[*i].take() {
                Some(gradient) => gradient.reshape(input.shape()).map(Some),
                None => input.zeros_like().map(Some),
            },
            None => nothing(gradient.device()).map(Some),
        };
        self.members.iter().map(pass).collect()
    }
}

macro_rules! custom_operations {
    ([$($generics:tt)*] $node:ty) => {
        impl $($generics)* CustomOp1 for $node {
            custom_operations!(forward: (&CpuStorage, &Layout), (&CudaStorage, &Layout), (&MetalStorage, &Layout));

            fn bwd(&self, _: &Tensor, result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
                Ok(self.gradients(result, gradient)?.swap_remove(0))
            }
        }

        impl $($generics)* CustomOp2 for $node {
            custom_operations!(forward:
                (&CpuStorage, &Layout, &CpuStorage, &Layout),
                (&CudaStorage, &Layout, &CudaStorage, &Layout),
                (&MetalStorage, &Layout, &MetalStorage, &Layout)
            );

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

        impl $($generics)* CustomOp3 for $node {
            custom_operations!(forward:
                (&CpuStorage, &Layout, &CpuStorage, &Layout, &CpuStorage, &Layout),
                (&CudaStorage, &Layout, &CudaStorage, &Layout, &CudaStorage, &Layout),
                (&MetalStorage, &Layout, &MetalStorage, &Layout, &MetalStorage, &Layout)
            );

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
    };
    (forward: ($($cpu:ty),*), ($($cuda:ty),*), ($($metal:ty),*)) => {
        fn name(&self) -> &'static str {
            self.label()
        }

        fn cpu_fwd(&self, $(_: $cpu),*) -> Result<(CpuStorage, Shape)> {
            self.cpu()
        }

        fn cuda_fwd(&self, $(_: $cuda),*) -> Result<(CudaStorage, Shape)> {
            self.cuda()
        }

        fn metal_fwd(&self, $(_: $metal),*) -> Result<(MetalStorage, Shape)> {
            self.metal()
        }
    };
}

custom_operations!([<O: Operation>] Node<O>);
custom_operations!([] Bundle);
custom_operations!([] Output);

/// The values of an f32 tensor on the CPU in row-major order, borrowed where they lie so already.
///
/// # Errors
/// When the tensor is not f32 or not on the CPU; the message names the operation.
pub fn with_f32<R>(operation: &str, tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    with_all_f32(operation, std::slice::from_ref(tensor), |values| f(values[0]))
}

/// The values of several tensors as [`with_f32`] gives them.
///
/// # Errors
/// When a tensor is not f32 or not on the CPU; the message names the operation.
pub fn with_all_f32<R>(operation: &str, tensors: &[Tensor], f: impl FnOnce(&[&[f32]]) -> R) -> Result<R> {
    let tensors: Vec<Tensor> = tensors.iter().map(Tensor::contiguous).collect::<Result<_>>()?;
    let storages: Vec<_> = tensors.iter().map(Tensor::storage_and_layout).collect();
    let mut slices = Vec::with_capacity(tensors.len());
    for ((storage, layout), tensor) in storages.iter().zip(&tensors) {
        let Storage::Cpu(CpuStorage::F32(values)) = &**storage else {
            let (dtype, device) = (tensor.dtype(), tensor.device());
            candle_core::bail!("{operation}: wants f32 on the CPU, got {dtype:?} on {device:?}")
        };
        slices.push(&values[layout.start_offset()..][..layout.shape().elem_count()]);
    }
    Ok(f(&slices))
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
}
