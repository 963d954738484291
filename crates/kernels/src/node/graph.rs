//! An autograd node as candle's graph sees it.

use super::bypass::{Origin, Slots, collect, collect_product};
use super::deferred::formed;
use super::{Call, Operation, Value};
use crate::cpu::thread_pool::install_for;
use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, Layout, MetalStorage, Result, Shape,
    Storage, Tensor, TensorId,
};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Makes a node of an operation's call, and gives its outputs.
pub(super) fn grow<O: Operation>(
    operation: O,
    inputs: &[&Tensor],
    detached: Vec<Tensor>,
    (outputs, saved): (Vec<Value>, O::Saved),
    wanted: Vec<bool>,
) -> Result<Vec<Tensor>> {
    let device = detached.first().map_or(Device::Cpu, |input| input.device().clone());
    let bundled = Slots::new(inputs.len());
    let sources: Vec<Source> = inputs.iter().map(|input| Source::of(input)).collect();
    let argument = |(i, source): (usize, &Source)| match source {
        Source::Nothing => None,
        Source::Node(origin) => Some((None, origin.node.clone())),
        Source::Variable(_) | Source::Candle => Some((Some(i), inputs[i].clone())),
    };
    let mut arguments: Vec<Argument> = sources.iter().enumerate().filter_map(argument).collect();
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
        sources,
        direct: arguments.iter().map(|(input, _)| *input).collect(),
        bundled,
        outputs: Arc::clone(&values),
        gradients: gradients.clone(),
        result: Mutex::new(Some(nothing(&device)?.into())),
    };
    let node = attach(&arguments, node)?;
    let mut hung = Vec::with_capacity(outputs.len());
    for (index, output) in outputs.into_iter().enumerate() {
        let id = Arc::new(OnceLock::new());
        let origin = Origin { node: node.clone(), gradients: gradients.clone(), index };
        let output =
            Output { id: Arc::clone(&id), index, gradients: gradients.clone(), result: Mutex::new(Some(output)) };
        let output = attach(&[(None, node.clone())], output)?;
        // Set once, for this output alone.
        let _ = id.set(output.id());
        origin.register(&output);
        hung.push(output);
    }
    // Set once, for this node alone.
    let _ = values.set(hung.iter().map(Tensor::detach).collect());
    Ok(hung)
}

/// Where the gradient of an input goes.
enum Source {
    /// Nowhere: none is wanted.
    Nothing,
    /// To the node that it is an output of.
    Node(Origin),
    /// To the variables that are collected, if they are; else through candle.
    Variable(TensorId),
    /// Through candle.
    Candle,
}

impl Source {
    fn of(input: &Tensor) -> Self {
        match Origin::of(input) {
            _ if !input.track_op() => Self::Nothing,
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
    let node = Bundle {
        members: members.iter().map(|(input, _)| *input).collect(),
        gradients: gradients.clone(),
        result: Mutex::new(Some(nothing(inputs[0].device())?.into())),
    };
    Ok((None, attach(members, node)?))
}

/// The value and the gradient of a node that has one element.
fn nothing(device: &Device) -> Result<Tensor> {
    Tensor::zeros(1, DType::F32, device)
}

struct Node<O: Operation> {
    operation: O,
    inputs: Vec<Tensor>,
    saved: O::Saved,
    wanted: Vec<bool>,
    /// Where the gradient of each input goes.
    sources: Vec<Source>,
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
struct Output {
    id: Arc<OnceLock<TensorId>>,
    index: usize,
    gradients: Slots,
    result: Mutex<Option<Value>>,
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(id) = self.id.get() {
            Origin::forget(*id);
        }
    }
}

/// A node of one element that hands the gradients of up to three inputs on.
struct Bundle {
    /// The inputs by their numbers; `None` for a node of one element.
    members: Vec<Option<usize>>,
    gradients: Slots,
    result: Mutex<Option<Value>>,
}

/// What candle asks of a node, whatever the number of its arguments.
trait Graph: Send + Sync {
    fn label(&self) -> &'static str;
    /// The value that was computed before candle asked for it.
    fn result(&self) -> &Mutex<Option<Value>>;
    /// The gradient of each argument.
    fn gradients(&self, gradient: &Tensor) -> Result<Vec<Option<Tensor>>>;

    fn take(&self) -> Result<Value> {
        let result = self.result().lock().unwrap_or_else(PoisonError::into_inner).take();
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

    fn gradients(&self, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let outputs = self.outputs.get().map_or(&[][..], Vec::as_slice);
        // What nobody asked of has a gradient of zero.
        let found = |(i, output): (usize, &Tensor)| self.gradients.take(i).map_or_else(|| output.zeros_like(), Ok);
        let gradients: Vec<Tensor> = outputs.iter().enumerate().map(found).collect::<Result<_>>()?;
        let (inputs, saved, wanted, products) = (&self.inputs, &self.saved, &self.wanted, Mutex::default());
        let call = Call { inputs, outputs, saved, wanted, products };
        let mut found = install_for(&self.inputs, || self.operation.backward(&call, &gradients))?;
        let mut collected = vec![false; found.len()];
        for (i, product) in call.products.into_inner().unwrap_or_else(PoisonError::into_inner) {
            match self.sources[i] {
                Source::Nothing => {}
                Source::Variable(id) if product.is_small() && collect_product(id, &product) => collected[i] = true,
                _ => found[i] = Some(formed(&[product])?),
            }
        }
        for ((i, found), source) in found.into_iter().enumerate().zip(&self.sources) {
            if collected[i] {
                continue;
            }
            let shaped = || match found {
                Some(found) => found.reshape(self.inputs[i].shape()),
                None => self.inputs[i].zeros_like(),
            };
            match source {
                Source::Nothing => {}
                Source::Node(origin) => origin.gradients.add(origin.index, &shaped()?)?,
                Source::Variable(id) => {
                    let found = shaped()?;
                    if !collect(*id, &found)? {
                        self.bundled.add(i, &found)?;
                    }
                }
                Source::Candle => self.bundled.add(i, &shaped()?)?,
            }
        }
        let direct = |input: &Option<usize>| match input {
            Some(i) => Ok(self.bundled.take(*i)),
            None => nothing(gradient.device()).map(Some),
        };
        self.direct.iter().map(direct).collect()
    }
}

impl Graph for Output {
    fn label(&self) -> &'static str {
        "output"
    }

    fn result(&self) -> &Mutex<Option<Value>> {
        &self.result
    }

    fn gradients(&self, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        self.gradients.add(self.index, gradient)?;
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

    fn gradients(&self, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let pass = |member: &Option<usize>| match member {
            Some(i) => Ok(self.gradients.take(*i)),
            None => nothing(gradient.device()).map(Some),
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
