//! An autograd node as candle's graph sees it.

use super::bypass::{Origin, Slots, collect, collect_deferred};
use super::deferred::summed;
use super::{Call, Operation, Value};
use crate::cpu::thread_pool::install_for;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, Layout, MetalStorage, Result, Shape,
    Storage, Tensor, TensorId,
};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Inserts an operation's call into candle's graph as one node, and gives its outputs.
pub(super) fn insert<O: Operation>(
    operation: O,
    inputs: &[&Tensor],
    detached: Vec<Tensor>,
    outputs: Vec<Value>,
    saved: O::Saved,
    wanted: Vec<bool>,
) -> Result<Vec<Tensor>> {
    let device = detached.first().map_or(Device::Cpu, |input| input.device().clone());
    let bundled = Slots::new(inputs.len());
    let routes: Vec<Route> = inputs.iter().map(|input| Route::of(input)).collect();
    let argument = |(i, route): (usize, &Route)| match route {
        Route::Unwanted => None,
        Route::Node(origin) => Some((None, origin.node.clone())),
        Route::Variable(_) | Route::Candle => Some((Some(i), inputs[i].clone())),
    };
    let mut arguments: Vec<Argument> = routes.iter().enumerate().filter_map(argument).collect();
    while arguments.len() > 3 {
        arguments = arguments.chunks(3).map(|members| bundle(members, &detached, &bundled)).collect::<Result<_>>()?;
    }
    let gradients = Slots::new(outputs.len());
    let values = Arc::new(OnceLock::new());
    let node = Node {
        operation,
        inputs: detached,
        saved,
        wanted,
        routes,
        direct: arguments.iter().map(|(input, _)| *input).collect(),
        bundled,
        outputs: Arc::clone(&values),
        gradients: gradients.clone(),
        result: Mutex::new(Some(placeholder(&device)?)),
    };
    let node = attach(&arguments, node)?;
    let mut attached = Vec::with_capacity(outputs.len());
    for (index, output) in outputs.into_iter().enumerate() {
        let id = Arc::new(OnceLock::new());
        let origin = Origin { node: node.clone(), gradients: gradients.clone(), index };
        let output =
            OutputNode { id: Arc::clone(&id), index, gradients: gradients.clone(), result: Mutex::new(Some(output)) };
        let output = attach(&[(None, node.clone())], output)?;
        // Set once, for this output alone.
        let _ = id.set(output.id());
        origin.register(&output);
        attached.push(output);
    }
    // Set once, for this node alone.
    let _ = values.set(attached.iter().map(Tensor::detach).collect());
    Ok(attached)
}

/// Where the gradient of an input goes.
enum Route {
    /// Nowhere: none is wanted.
    Unwanted,
    /// To the node that it is an output of.
    Node(Origin),
    /// To the variable's sum where one is collected; else through candle.
    Variable(TensorId),
    /// Through candle.
    Candle,
}

impl Route {
    fn of(input: &Tensor) -> Self {
        match Origin::of(input) {
            _ if !input.track_op() => Self::Unwanted,
            Some(origin) => Self::Node(origin),
            None if input.is_variable() => Self::Variable(input.id()),
            None => Self::Candle,
        }
    }
}

/// An argument of a candle operation: an input by its number, or a node of one element.
type Argument = (Option<usize>, Tensor);

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
    let node = BundleNode {
        members: members.iter().map(|(input, _)| *input).collect(),
        gradients: gradients.clone(),
        result: Mutex::new(Some(placeholder(inputs[0].device())?)),
    };
    Ok((None, attach(members, node)?))
}

/// The value of a node of one element, which nobody reads.
fn placeholder(device: &Device) -> Result<Value> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => {
            use candle_core::backend::BackendDevice;

            let shape = Shape::from(1);
            // SAFETY: the value is not read.
            let storage = unsafe { device.alloc_uninit(&shape, DType::F32) }?;
            Ok(Value::Storage(Storage::Cuda(storage), shape))
        }
        _ => one_element(device).map(Value::from),
    }
}

/// The gradient of a node of one element: one constant for each device.
fn one_element(device: &Device) -> Result<Tensor> {
    if device.is_cpu() {
        return Tensor::zeros(1, DType::F32, device);
    }
    static CONSTANTS: Mutex<Vec<Tensor>> = Mutex::new(Vec::new());
    let mut constants = CONSTANTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(constant) = constants.iter().find(|constant| constant.device().same_device(device)) {
        return Ok(constant.clone());
    }
    let constant = Tensor::zeros(1, DType::F32, device)?;
    constants.push(constant.clone());
    Ok(constant)
}

struct Node<O: Operation> {
    operation: O,
    inputs: Vec<Tensor>,
    saved: O::Saved,
    wanted: Vec<bool>,
    /// Where the gradient of each input goes.
    routes: Vec<Route>,
    /// Which input each of candle's arguments is; `None` for a node of one element.
    direct: Vec<Option<usize>>,
    /// Where bundles find the gradients of their inputs.
    bundled: Slots,
    outputs: Arc<OnceLock<Vec<Tensor>>>,
    /// The outputs' gradients.
    gradients: Slots,
    result: Mutex<Option<Value>>,
}

/// One of the outputs of a node.
struct OutputNode {
    id: Arc<OnceLock<TensorId>>,
    index: usize,
    gradients: Slots,
    result: Mutex<Option<Value>>,
}

impl Drop for OutputNode {
    fn drop(&mut self) {
        if let Some(id) = self.id.get() {
            Origin::forget(*id);
        }
    }
}

/// A node of one element that passes on the gradients of up to three inputs.
struct BundleNode {
    /// The inputs by their numbers; `None` for a node of one element.
    members: Vec<Option<usize>>,
    gradients: Slots,
    result: Mutex<Option<Value>>,
}

/// A node of candle's graph with any number of arguments.
trait Graph: Send + Sync {
    fn label(&self) -> &'static str;
    /// The value, which was computed before candle asks for it.
    fn result(&self) -> &Mutex<Option<Value>>;
    /// The gradient of each argument.
    fn gradients(&self, gradient: &Tensor) -> Result<Vec<Option<Tensor>>>;

    fn take(&self) -> Result<(Storage, Shape)> {
        let result = self.result().lock().unwrap_or_else(PoisonError::into_inner).take();
        result.ok_or_else(|| candle_core::Error::Msg(format!("{}: a node runs once", self.label())))?.storage()
    }

    fn wrong_device<S>(&self) -> Result<S> {
        candle_core::bail!("{}: inputs and outputs are on different devices", self.label())
    }
}

impl<O: Operation> Graph for Node<O> {
    fn label(&self) -> &'static str {
        O::NAME
    }

    fn result(&self) -> &Mutex<Option<Value>> {
        &self.result
    }

    fn gradients(&self, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let outputs = self.outputs.get().map_or(&[][..], Vec::as_slice);
        // An output that is not used has a gradient of zero.
        let found = |(i, output): (usize, &Tensor)| self.gradients.take(i).map_or_else(|| output.zeros_like(), Ok);
        let gradients: Vec<Tensor> = outputs.iter().enumerate().map(found).collect::<Result<_>>()?;
        let (inputs, saved, wanted, deferred) = (&self.inputs, &self.saved, &self.wanted, Mutex::default());
        let call = Call { inputs, outputs, saved, wanted, deferred };
        let mut found = install_for(&self.inputs, || self.operation.backward(&call, &gradients))?;
        let mut collected = vec![false; found.len()];
        for (i, matmul) in call.deferred.into_inner().unwrap_or_else(PoisonError::into_inner) {
            match self.routes[i] {
                Route::Unwanted => {}
                Route::Variable(id) if matmul.is_small() && collect_deferred(id, &matmul) => collected[i] = true,
                _ => found[i] = Some(summed(&[matmul])?),
            }
        }
        for ((i, found), route) in found.into_iter().enumerate().zip(&self.routes) {
            if collected[i] {
                continue;
            }
            let shaped = || match found {
                Some(found) => found.reshape(self.inputs[i].shape()),
                None => self.inputs[i].zeros_like(),
            };
            match route {
                Route::Unwanted => {}
                Route::Node(origin) => origin.gradients.add(origin.index, &shaped()?)?,
                Route::Variable(id) => {
                    let found = shaped()?;
                    if !collect(*id, &found)? {
                        self.bundled.add(i, &found)?;
                    }
                }
                Route::Candle => self.bundled.add(i, &shaped()?)?,
            }
        }
        let direct = |input: &Option<usize>| match input {
            Some(i) => Ok(self.bundled.take(*i)),
            None => one_element(gradient.device()).map(Some),
        };
        self.direct.iter().map(direct).collect()
    }
}

impl Graph for OutputNode {
    fn label(&self) -> &'static str {
        "output"
    }

    fn result(&self) -> &Mutex<Option<Value>> {
        &self.result
    }

    fn gradients(&self, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        self.gradients.add(self.index, gradient)?;
        Ok(vec![Some(one_element(gradient.device())?)])
    }
}

impl Graph for BundleNode {
    fn label(&self) -> &'static str {
        "bundle"
    }

    fn result(&self) -> &Mutex<Option<Value>> {
        &self.result
    }

    fn gradients(&self, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let pass = |member: &Option<usize>| match member {
            Some(i) => Ok(self.gradients.take(*i)),
            None => one_element(gradient.device()).map(Some),
        };
        self.members.iter().map(pass).collect()
    }
}

macro_rules! custom_operations {
    ([$($generics:tt)*] $node:ty) => {
        impl $($generics)* CustomOp1 for $node {
            custom_operations!(forward: (&CpuStorage, &Layout), (&CudaStorage, &Layout), (&MetalStorage, &Layout));

            fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
                Ok(self.gradients(gradient)?.swap_remove(0))
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
                _: &Tensor,
                gradient: &Tensor,
            ) -> Result<(Option<Tensor>, Option<Tensor>)> {
                let mut gradients = self.gradients(gradient)?.into_iter();
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
                _: &Tensor,
                gradient: &Tensor,
            ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
                let mut gradients = self.gradients(gradient)?.into_iter();
                Ok((gradients.next().flatten(), gradients.next().flatten(), gradients.next().flatten()))
            }
        }
    };
    (forward: ($($cpu:ty),*), ($($cuda:ty),*), ($($metal:ty),*)) => {
        fn name(&self) -> &'static str {
            self.label()
        }

        fn cpu_fwd(&self, $(_: $cpu),*) -> Result<(CpuStorage, Shape)> {
            match self.take()? {
                (Storage::Cpu(storage), shape) => Ok((storage, shape)),
                _ => self.wrong_device(),
            }
        }

        fn cuda_fwd(&self, $(_: $cuda),*) -> Result<(CudaStorage, Shape)> {
            match self.take()? {
                (Storage::Cuda(storage), shape) => Ok((storage, shape)),
                _ => self.wrong_device(),
            }
        }

        fn metal_fwd(&self, $(_: $metal),*) -> Result<(MetalStorage, Shape)> {
            match self.take()? {
                (Storage::Metal(storage), shape) => Ok((storage, shape)),
                _ => self.wrong_device(),
            }
        }
    };
}

custom_operations!([<O: Operation>] Node<O>);
custom_operations!([] BundleNode);
custom_operations!([] OutputNode);
