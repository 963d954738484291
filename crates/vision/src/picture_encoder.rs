//! From pictures to annotations: an encoder with what it is given and where it runs.

use crate::annotations::Annotations;
use crate::config::{EncoderConfig, WeightsFile};
use crate::regions::RegionsEncoder;
use candle_core::{DType, Device, Tensor};
use candlewick_data::{Error, Result};
use candlewick_encoders::{Architecture, Encoder, NetworkConfig, Preprocessing, file_hash};
use candlewick_kernels::channels_last;
use candlewick_kernels::device::upload;
use candlewick_parameters::{Mode, Parameters, SafetensorsFile};
use image::RgbImage;
use rayon::prelude::*;
use std::path::Path;

/// What the encoder's parameters are called in a model's own file.
pub const ENCODER: &str = "encoder";

/// An encoder, the layer of it that is read, its preprocessing and its device.
///
/// ```
/// # fn main() -> candlewick_data::Result<()> {
/// use candle_core::Device;
/// use candlewick_encoders::Preprocessing;
/// use candlewick_parameters::Parameters;
/// use candlewick_vision::{EncoderConfig, PictureEncoder};
///
/// let config = EncoderConfig { network: "convnet".into(), ..EncoderConfig::default() };
/// let preprocessing = Preprocessing { crop: Some((64, 64)), ..Preprocessing::imagenet() };
/// let encoder = PictureEncoder::new(config, preprocessing, None, &Parameters::new(1), &Device::Cpu)?;
/// let annotations = encoder.encode_pictures(&[image::RgbImage::new(80, 70)])?;
/// assert_eq!(annotations.tensor().dim(2)?, encoder.annotation_size());
/// # Ok(())
/// # }
/// ```
pub struct PictureEncoder {
    config: EncoderConfig,
    encoder: Box<dyn Encoder>,
    preprocessing: Preprocessing,
    annotation_size: usize,
    device: Device,
}

impl PictureEncoder {
    /// The encoder of a configuration: with the frozen weights of `file`, or among `parameters` under [`ENCODER`].
    ///
    /// # Errors
    /// When no network has this name, it has no such layer, or the file holds weights of another.
    pub fn new(
        config: EncoderConfig,
        preprocessing: Preprocessing,
        file: Option<SafetensorsFile>,
        parameters: &Parameters,
        device: &Device,
    ) -> Result<Self> {
        let encoder = build(&config, file, parameters, device)?;
        let annotation_size = annotation_size(encoder.as_ref(), &config)?;
        Ok(Self { config, encoder, preprocessing, annotation_size, device: device.clone() })
    }

    /// The encoder of a configuration that is to be trained: with `pretrained` weights it is frozen, except the stages from `fine_tune`
    /// on; where the configuration names their file, they stay out of `parameters`.
    ///
    /// # Errors
    /// As [`PictureEncoder::new`] says, and when there is no such stage.
    pub fn init(
        config: EncoderConfig,
        preprocessing: Preprocessing,
        pretrained: Option<SafetensorsFile>,
        fine_tune: Option<&str>,
        parameters: &Parameters,
        device: &Device,
    ) -> Result<Self> {
        let file = match pretrained {
            Some(file) if config.weights.is_none() => file,
            frozen => return Self::new(config, preprocessing, frozen, parameters, device),
        };
        let architecture = Architecture::find(&config.network)?;
        for prefix in architecture.frozen_prefixes(fine_tune)? {
            parameters.freeze(format!("{ENCODER}.{prefix}"));
        }
        let encoder = Self::new(config, preprocessing, None, parameters, device)?;
        parameters.assign(&architecture.without_head(file)?, &format!("{ENCODER}."))?;
        Ok(encoder)
    }

    /// The same in the form for inference.
    ///
    /// # Errors
    /// When an operation fails.
    pub fn for_inference(self) -> Result<Self> {
        Ok(Self { encoder: self.encoder.for_inference()?, ..self })
    }

    /// A picture as the encoder wants it: (3, height, width), on the CPU.
    ///
    /// # Errors
    /// When the picture is empty, or of too extreme a shape.
    pub fn preprocess(&self, picture: &RgbImage) -> Result<Tensor> {
        Ok(self.preprocessing.apply(picture, &Device::Cpu)?)
    }

    /// The annotations of pictures.
    ///
    /// # Errors
    /// When a picture is too small for the encoder, or preprocessing leaves them at different sizes.
    pub fn encode_pictures(&self, pictures: &[RgbImage]) -> Result<Annotations> {
        let images: Vec<Tensor> = pictures.par_iter().map(|picture| self.preprocess(picture)).collect::<Result<_>>()?;
        self.encode(&Tensor::stack(&images, 0)?)
    }

    /// The annotations of preprocessed images, as [`PictureEncoder::annotations`] gives them, wherever the images lie.
    ///
    /// # Errors
    /// When the images have another shape.
    pub fn encode(&self, images: &Tensor) -> Result<Annotations> {
        self.annotations(&upload(images, &self.device)?, &mut Mode::Eval)
    }

    /// The annotations of flipped images, each at the place where its content is in the picture itself.
    ///
    /// # Errors
    /// When the images have another shape.
    pub fn encode_flipped(&self, images: &Tensor) -> Result<Annotations> {
        let found = self.encode(images)?;
        let ((n, p, c), (height, width)) = (found.tensor().dims3()?, found.grid_size());
        let map = found.tensor().reshape((n, height, width, c))?;
        Ok(found.with_tensor(map.flip(&[2])?.reshape((n, p, c))?)?)
    }

    /// The annotations (N, P, C) of preprocessed images (N, 3, height, width) on the encoder's device: of a map's positions, row by row.
    ///
    /// A fully connected layer, such as fc7, gives one annotation of the whole picture.
    ///
    /// # Errors
    /// When the images have another shape.
    pub fn annotations(&self, images: &Tensor, mode: &mut Mode) -> Result<Annotations> {
        let vector = |layer: &&String| self.encoder.pre_logits_layers().iter().any(|info| info.name == **layer);
        let map = match &self.config.layer {
            Some(layer) if vector(&layer) => {
                return Ok(Annotations::grid(self.encoder.pre_logits(layer, images, mode)?.unsqueeze(1)?, (1, 1))?);
            }
            Some(layer) => self.encoder.layer(layer, images, mode)?,
            None => self.encoder.map(images, mode)?,
        };
        let mut map = channels_last::to_nhwc(&map)?;
        if self.config.coordinates {
            map = with_coordinates(&map)?;
        }
        let (n, height, width, channels) = map.dims4()?;
        Ok(Annotations::grid(map.reshape((n, height * width, channels))?, (height, width))?)
    }

    /// Rows and columns of the map of every picture.
    ///
    /// # Errors
    /// When preprocessing leaves pictures their own shapes.
    pub fn grid_size(&self) -> Result<(usize, usize)> {
        let Some((height, width)) = self.preprocessing.input_size() else {
            let fault = "preprocessing: photos keep their own shapes, so their annotations cannot be kept on disk; set crop_size";
            return Err(Error::setting(fault));
        };
        let images = Tensor::zeros((1, 3, height, width), DType::F32, &self.device)?;
        Ok(self.annotations(&images, &mut Mode::Eval)?.grid_size())
    }

    /// Whether the other's pictures have the same annotations: one frozen encoder from one file, given the same images.
    pub fn shares_encoder(&self, other: &Self) -> bool {
        self.config.weights.is_some() && self.config == other.config && self.preprocessing == other.preprocessing
    }

    /// C, the size of an annotation.
    pub fn annotation_size(&self) -> usize {
        self.annotation_size
    }

    /// Which network it is, and what of it is read.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// What is done to a picture before the encoder is given it.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

/// A map (N, h, w, C) with two more channels: the centre of each position, x and y from −1 to 1 (Liu et al. 2018, "CoordConv").
fn with_coordinates(map: &Tensor) -> candle_core::Result<Tensor> {
    let (n, height, width, _) = map.dims4()?;
    let axis = |count: usize| {
        let at = |index: usize| (2.0 * index as f32 + 1.0) / count as f32 - 1.0;
        Tensor::new((0..count).map(at).collect::<Vec<_>>(), map.device())
    };
    let x = axis(width)?.reshape((1, 1, width, 1))?.broadcast_as((n, height, width, 1))?;
    let y = axis(height)?.reshape((1, height, 1, 1))?.broadcast_as((n, height, width, 1))?;
    Tensor::cat(&[map, &x.contiguous()?, &y.contiguous()?], 3)
}

/// The network, from a frozen file of its own or among the model's parameters.
fn build(
    config: &EncoderConfig,
    file: Option<SafetensorsFile>,
    parameters: &Parameters,
    device: &Device,
) -> Result<Box<dyn Encoder>> {
    if let Some(channels) = config.regions {
        return Ok(Box::new(RegionsEncoder::new(channels)));
    }
    let architecture = Architecture::find(&config.network)?;
    let Some(file) = file else {
        return Ok(architecture.build(&config.config, parameters.builder(device).pp(ENCODER))?);
    };
    let own = Parameters::from_file(architecture.canonical_weights(file)?);
    own.freeze("");
    let encoder = architecture.build(&config.config, own.builder(device))?;
    own.verify()?;
    Ok(encoder.for_inference()?)
}

impl EncoderConfig {
    /// The weights of a frozen encoder's file under the names that they have in a model's own file, so that they can be put there; of a
    /// head that nothing reads none.
    ///
    /// # Errors
    /// When no network has this name, or the file holds weights of another.
    pub fn own_weights(&self, file: SafetensorsFile) -> Result<Vec<(String, Tensor)>> {
        let architecture = Architecture::find(&self.network)?;
        let of = |file: SafetensorsFile| -> Result<(Parameters, Box<dyn Encoder>)> {
            let own = Parameters::from_file(file);
            let network = architecture.build(&self.config, own.builder(&Device::Cpu))?;
            own.verify()?;
            Ok((own, network))
        };
        let path = file.path().to_path_buf();
        let (mut own, network) = of(architecture.canonical_weights(file)?)?;
        let in_head = |layer: &String| network.pre_logits_layers().iter().any(|info| info.name == *layer);
        let headless = NetworkConfig { classes: None, fully_connected: false, ..self.config.clone() } == self.config;
        if headless && !self.layer.as_ref().is_some_and(in_head) {
            own = of(architecture.without_head(SafetensorsFile::open(path)?)?)?.0;
        }
        Ok(own.tensors().into_iter().map(|(name, tensor)| (format!("{ENCODER}.{name}"), tensor)).collect())
    }
}

/// C: the channels of the layer that is read, and two coordinates where they are wanted.
fn annotation_size(encoder: &dyn Encoder, config: &EncoderConfig) -> Result<usize> {
    let coordinates = if config.coordinates { 2 } else { 0 };
    let Some(name) = &config.layer else { return Ok(encoder.channels() + coordinates) };
    if let Some(vector) = encoder.pre_logits_layers().iter().find(|info| info.name == *name) {
        return match config.coordinates {
            true => Err(Error::setting(format!("encoder: {name} is of the whole picture; leave coordinates out"))),
            false => Ok(vector.size),
        };
    }
    let found = encoder.layers().iter().find(|info| info.name == *name);
    found.map(|info| info.channels + coordinates).ok_or_else(|| {
        let layers = encoder.layers().iter().map(|info| info.name.as_str());
        let known: Vec<&str> =
            layers.chain(encoder.pre_logits_layers().iter().map(|info| info.name.as_str())).collect();
        Error::setting(format!("{}: has no layer {name}; it has {}", encoder.name(), known.join(", ")))
    })
}

impl WeightsFile {
    /// Opens the file: `given`, or where it lay in training, or of the same name in `folder`; its hash must be the recorded one.
    ///
    /// # Errors
    /// One line that names the file and the fault.
    pub fn open(&self, folder: &Path, given: Option<&Path>) -> Result<SafetensorsFile> {
        let beside = self.file.file_name().map(|name| folder.join(name));
        let candidates = match given {
            Some(path) => vec![path.to_path_buf()],
            None => [Some(self.file.clone()), beside].into_iter().flatten().collect(),
        };
        let Some(path) = candidates.iter().find(|path| path.is_file()) else {
            let looked = candidates.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ");
            return Err(Error::setting(format!(
                "{looked}: no such file; say where the encoder's weights are with --encoder-weights"
            )));
        };
        let found = file_hash(path)?;
        if found != self.sha256 {
            let (path, wanted) = (path.display(), &self.sha256);
            return Err(Error::setting(format!(
                "{path}: not the encoder's weights that this model was trained with (SHA-256 {found}, wanted {wanted}); name the right file"
            )));
        }
        Ok(SafetensorsFile::open(path)?)
    }
}
