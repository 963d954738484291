//! An adapter from a model of the caller's own, a function from images to tokens or to a map, to an [`Encoder`].

use crate::blocks::{FeatureMap, Head, MlpConfig};
use crate::config::NetworkConfig;
use crate::encoder::{Encoder, LayerInfo, layer_index, missing_head};
use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::Init;
use candle_nn::var_builder::SimpleBackend;
use candlewick_parameters::{Mode, VarBuilder};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// From images (N, 3, height, width) to tokens (N, P, C) or a map (N, C, h, w).
type Forward = dyn Fn(&Tensor) -> Result<Tensor> + Send + Sync;

/// The one layer that a backbone offers.
const LAYER: &str = "map";

/// A function of images as an [`Encoder`]: it gives a map (N, C, h, w), or the tokens of patches (N, P, C) in rows from the top
/// left, without class token and registers.
///
/// With [`crate::add_network`], any of candle-transformers' backbones or a model of your own encodes images for a captioner, by its
/// name in a recipe or in code:
///
/// ```
/// use candle_core::{Device, Module, Tensor};
/// use candlewick_encoders::{Architecture, Backbone, Encoder, NetworkConfig, add_network};
/// use candlewick_parameters::{Mode, Parameters};
///
/// # fn main() -> candle_core::Result<()> {
/// let stages = vec!["patches".to_owned()];
/// add_network(
///     Architecture::new("patches_8", stages, &["classifier"], |config, vb| {
///         let backbone = Backbone::frozen("patches_8", 16, 8, vb.clone(), |vb| {
///             // Here stands a model of candle-transformers.
///             let sizes = candle_nn::Conv2dConfig { stride: 8, ..Default::default() };
///             let patches = candle_nn::conv2d(3, 16, 8, sizes, vb.pp("patches"))?;
///             Ok(move |images: &Tensor| patches.forward(images)?.flatten_from(2)?.transpose(1, 2))
///         })?;
///         backbone.with_head("classifier", config, vb)
///     })
///     .without_gradients(&[]),
/// )?;
/// let parameters = Parameters::new(7);
/// let patches = Architecture::find("patches_8")?;
/// let encoder = patches.build(&NetworkConfig::default(), parameters.builder(&Device::Cpu))?;
/// let images = Tensor::zeros((1, 3, 32, 48), candle_core::DType::F32, &Device::Cpu)?;
/// assert_eq!(encoder.map(&images, &mut Mode::Eval)?.dims(), [1, 16, 4, 6]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Backbone {
    name: String,
    infos: [LayerInfo; 1],
    forward: Arc<Forward>,
    /// Whether parameters that get no gradients are to be trained.
    blocked: bool,
    head: Option<Head>,
}

impl Backbone {
    /// The function `forward`, with the channels C of its tokens and the side of a patch, `stride` pixels; gradients flow as it lets
    /// them.
    ///
    /// `name` is what messages call it.
    pub fn new(
        name: impl Into<String>,
        channels: usize,
        stride: usize,
        forward: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Self {
        let infos = [LayerInfo::new(LAYER, channels, stride)];
        Self { name: name.into(), infos, forward: Arc::new(forward), blocked: false, head: None }
    }

    /// The function that `build` makes of detached parameters: for models whose operations have no gradients or wrong ones, as candle's
    /// fused layer norm and softmax in candle-transformers'.
    ///
    /// In [`Mode::Train`] it works where all of them are frozen; elsewhere that is an error.
    pub fn frozen<F: Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static>(
        name: impl Into<String>,
        channels: usize,
        stride: usize,
        vb: VarBuilder,
        build: impl FnOnce(VarBuilder) -> Result<F>,
    ) -> Result<Self> {
        let trained = Arc::new(AtomicBool::new(false));
        let (dtype, device) = (vb.dtype(), vb.device().clone());
        let detached = Detached { vb, trained: Arc::clone(&trained) };
        let forward = build(VarBuilder::from_backend(Box::new(detached), dtype, device))?;
        let blocked = trained.load(Ordering::Relaxed);
        Ok(Self { blocked, ..Self::new(name, channels, stride, forward) })
    }

    /// The same with a linear layer of this name on the mean of the map, where `config.classes` wants a head or the file holds one.
    pub fn with_head(self, name: &'static str, config: &NetworkConfig, vb: VarBuilder) -> Result<Self> {
        let mlp = MlpConfig { dropout: config.dropout.unwrap_or(0.0), ..MlpConfig::linear(name) };
        let head = Head::mlp(self.channels(), &mlp, config, vb)?;
        Ok(Self { head, ..self })
    }
}

impl fmt::Debug for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Backbone").field("name", &self.name).field("layers", &self.infos).finish_non_exhaustive()
    }
}

impl Encoder for Backbone {
    fn name(&self) -> &str {
        &self.name
    }

    fn layers(&self) -> &[LayerInfo] {
        &self.infos
    }

    fn layer(&self, name: &str, images: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        layer_index(&self.name, &self.infos, name, images)?;
        if mode.is_training() && self.blocked {
            candle_core::bail!(
                "{}: its layers cannot be trained, they hand no gradients back; freeze them: train the head alone with \
                 fine_tune, or use it as a frozen encoder",
                self.name
            )
        }
        let (n, _, height, width) = images.dims4()?;
        let (h, w) = (height / self.stride().max(1), width / self.stride().max(1));
        let (output, c) = ((self.forward)(images)?, self.channels());
        match *output.dims() {
            [of, positions, channels] if (of, positions, channels) == (n, h * w, c) => {
                output.transpose(1, 2)?.reshape((n, c, h, w))
            }
            [of, channels, _, _] if (of, channels) == (n, c) => Ok(output),
            _ => candle_core::bail!(
                "{}: gave {:?} of images {:?}; wanted a map [{n}, {c}, h, w] or tokens [{n}, {}, {c}] for {h}×{w} patches, \
                 without class token and registers",
                self.name,
                output.dims(),
                images.dims(),
                h * w
            ),
        }
    }

    fn classes(&self) -> Option<usize> {
        self.head.as_ref().and_then(Head::classes)
    }

    fn head(&self, map: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        self.head.as_ref().ok_or_else(|| missing_head(&self.name))?.forward(&FeatureMap::new(map)?, mode)
    }

    fn for_inference(&self) -> Result<Box<dyn Encoder>> {
        let forward = Arc::clone(&self.forward);
        let head = self.head.as_ref().map(Head::for_inference).transpose()?;
        let forward = move |images: &Tensor| Ok(forward(images)?.detach());
        Ok(Box::new(Self { head, ..Self::new(self.name.clone(), self.channels(), self.stride(), forward) }))
    }
}

/// Gives detached parameters, and notes whether any is to be trained.
struct Detached<'a> {
    vb: VarBuilder<'a>,
    trained: Arc<AtomicBool>,
}

impl Detached<'_> {
    /// The detached tensor shares the variable's memory, so that values assigned later are seen.
    fn detached(&self, tensor: Tensor) -> Tensor {
        self.trained.fetch_or(tensor.is_variable(), Ordering::Relaxed);
        tensor.detach()
    }
}

impl SimpleBackend for Detached<'_> {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, _: &Device) -> Result<Tensor> {
        Ok(self.detached(self.vb.get_with_hints_dtype(shape, name, init, dtype)?))
    }

    fn get_unchecked(&self, name: &str, dtype: DType, _: &Device) -> Result<Tensor> {
        Ok(self.detached(self.vb.get_unchecked_dtype(name, dtype)?))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.vb.contains_tensor(name)
    }
}
