//! A `VarBuilder` over detached parameters, some of them overridden, for candle-transformers' models.
//!
//! A model is built anew for each batch from tensors that are there already, which takes no time beside the pass. So the tensors
//! that depend on the images' size or number can be others each time.

use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::Init;
use candle_nn::var_builder::SimpleBackend;
use candlewick_parameters::VarBuilder;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// All parameters of a model by name, without gradients.
#[derive(Clone, Debug)]
pub(super) struct DetachedParameters {
    tensors: Arc<HashMap<String, Tensor>>,
    dtype: DType,
    device: Device,
    /// Whether any is to be trained.
    pub trained: bool,
}

impl DetachedParameters {
    /// Takes from `vb` all that `build` asks its builder for, in that order; `own` gives the parameters that stand for one of the model,
    /// by name and shape.
    pub fn new(
        vb: &VarBuilder,
        build: impl FnOnce(VarBuilder) -> Result<()>,
        own: impl Fn(&str, Shape) -> Vec<(String, Shape)>,
    ) -> Result<Self> {
        let recorder = RequestRecorder::default();
        let (dtype, device) = (vb.dtype(), vb.device().clone());
        build(VarBuilder::from_backend(Box::new(recorder.clone()), dtype, device.clone()))?;
        let (mut tensors, mut trained) = (HashMap::new(), false);
        let asked = std::mem::take(&mut *recorder.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (name, shape, init) in asked {
            for (name, shape) in own(&name, shape) {
                let tensor = vb.get_with_hints(shape, &name, init)?;
                trained |= tensor.is_variable();
                // The detached tensor shares the variable's memory, so that values assigned later are seen.
                tensors.insert(name, tensor.detach());
            }
        }
        Ok(Self { tensors: Arc::new(tensors), dtype, device, trained })
    }

    /// A builder that gives `overrides` by name, and the parameters themselves elsewhere.
    pub fn builder(&self, overrides: HashMap<String, Tensor>) -> VarBuilder<'static> {
        let backend = OverridingBackend { parameters: Arc::clone(&self.tensors), overrides };
        VarBuilder::from_backend(Box::new(backend), self.dtype, self.device.clone())
    }

    /// A parameter.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).ok_or_else(|| missing(name))
    }

    pub fn for_inference(&self) -> Self {
        Self { trained: false, ..self.clone() }
    }
}

fn missing(name: &str) -> Error {
    Error::CannotFindTensor { path: name.to_owned() }.bt()
}

/// Records the parameters that a model asks for.
#[derive(Clone, Default)]
struct RequestRecorder(Arc<Mutex<Vec<(String, Shape, Init)>>>);

impl SimpleBackend for RequestRecorder {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.iter().all(|(known, ..)| known != name) {
            list.push((name.to_owned(), shape.clone(), init));
        }
        // A broadcast zero: nobody reads it.
        Tensor::zeros(1, dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        Err(missing(name))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        // CLIP draws a class token of its own where there is none.
        name.ends_with("class_embedding")
    }
}

/// Gives tensors by name, whatever shape is asked for.
struct OverridingBackend {
    parameters: Arc<HashMap<String, Tensor>>,
    overrides: HashMap<String, Tensor>,
}

impl SimpleBackend for OverridingBackend {
    fn get(&self, _: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        self.get_unchecked(name, dtype, device)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        self.overrides.get(name).or_else(|| self.parameters.get(name)).cloned().ok_or_else(|| missing(name))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.overrides.contains_key(name) || self.parameters.contains_key(name)
    }
}
