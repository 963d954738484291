//! The network that reads each frame of a clip, before the sequence layer reads what it gives.

use candle_core::{DType, Device, Result, Tensor};
use candlewick_encoders::{Architecture, Encoder, NetworkConfig};
use candlewick_parameters::{Mode, Parameters, SafetensorsFile, VarBuilder};
use candlewick_vision::check_stage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The network that reads each frame; without pretrained weights it is trained with what reads its vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FrameEncoderConfig {
    /// The network's name, as `candlewick_encoders::networks` lists it.
    pub network: String,
    /// What can be chosen about the network.
    pub config: NetworkConfig,
    /// What becomes of its map.
    pub vector: FrameVector,
    /// What is subtracted from red, green and blue, 0 to 1; where it is left out what the pretrained weights want, or a half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_mean: Option<[f32; 3]>,
    /// What they are divided by after that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_std: Option<[f32; 3]>,
    /// Pretrained weights; `--encoder-weights` on the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<PathBuf>,
    /// The stage from which pretrained weights are trained further; frozen altogether without it, and each frame is read once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fine_tune: Option<String>,
}

impl Default for FrameEncoderConfig {
    fn default() -> Self {
        Self {
            network: "convnet".into(),
            config: NetworkConfig::default(),
            vector: FrameVector::Mean,
            image_mean: None,
            image_std: None,
            pretrained: None,
            fine_tune: None,
        }
    }
}

impl FrameEncoderConfig {
    /// Whether the weights stay what they are.
    pub(super) fn is_frozen(&self) -> bool {
        self.pretrained.is_some() && self.fine_tune.is_none()
    }

    /// What a model folder keeps of it: the weights are in its own file.
    pub(super) fn settled(mut self) -> Result<Self> {
        if self.pretrained.is_some() {
            let wanted = Architecture::find(&self.network)?.preprocessing_for(&self.config);
            (self.image_mean, self.image_std) =
                (self.image_mean.or(Some(wanted.mean)), self.image_std.or(Some(wanted.std)));
        }
        Ok(Self { pretrained: None, fine_tune: None, ..self })
    }

    /// Refuses settings that go with none, before any data are read.
    pub(super) fn check(&self) -> crate::Result<()> {
        check_stage(&self.network, self.fine_tune.as_deref(), "encoder.network", "encoder.fine_tune")?;
        let fault = |fault: &str| Err(crate::Error::Setting(fault.into()));
        match () {
            () if self.fine_tune.is_some() && self.pretrained.is_none() => fault(
                "encoder.fine_tune: there are no pretrained weights to go on from; name them with --encoder-weights",
            ),
            () if self.image_std.iter().flatten().any(|&std| !(std > 0.0 && std.is_finite()))
                || self.image_mean.iter().flatten().any(|mean| !mean.is_finite()) =>
            {
                fault("encoder.image_mean and encoder.image_std: wanted numbers, the second above 0")
            }
            () => Ok(()),
        }
    }

    /// Freezes what is not trained, before the network is built; its parameters are under `prefix`.
    pub(super) fn freeze(&self, parameters: &Parameters, prefix: &str) -> Result<()> {
        if self.pretrained.is_some() {
            for stage in Architecture::find(&self.network)?.frozen_prefixes(self.fine_tune.as_deref())? {
                parameters.freeze(format!("{prefix}{stage}"));
            }
        }
        Ok(())
    }

    /// Takes the pretrained weights.
    pub(super) fn load(&self, parameters: &Parameters, prefix: &str) -> Result<()> {
        match &self.pretrained {
            None => Ok(()),
            Some(file) => {
                let file = Architecture::find(&self.network)?.without_head(SafetensorsFile::open(file)?)?;
                parameters.assign(&file, prefix)
            }
        }
    }
}

/// How a map (C, h, w) becomes a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FrameVector {
    /// The mean over its positions, C numbers.
    #[default]
    Mean,
    /// All of it, C·h·w numbers, which tell where something is.
    Map,
}

/// Reads frames of one size.
pub(super) struct FrameEncoder {
    encoder: Box<dyn Encoder>,
    vector: FrameVector,
    /// What values from −1 to 1 are multiplied with, and what is added, a number a colour.
    normal: Option<[Tensor; 2]>,
}

impl FrameEncoder {
    pub fn new(config: &FrameEncoderConfig, vb: VarBuilder) -> Result<Self> {
        let device = &vb.device().clone();
        let network = NetworkConfig { classes: None, ..config.config.clone() };
        let encoder = Architecture::find(&config.network)?.build(&network, vb)?;
        let normal = match (config.image_mean, config.image_std) {
            (None, None) => None,
            (mean, std) => {
                let (mean, std) = (mean.unwrap_or([0.5; 3]), std.unwrap_or([0.5; 3]));
                let scale = std.map(|std| 0.5 / std);
                let offset: Vec<f32> = mean.iter().zip(std).map(|(mean, std)| (0.5 - mean) / std).collect();
                let tensor = |values: &[f32]| Tensor::new(values, device)?.reshape((1, 3, 1, 1));
                Some([tensor(&scale)?, tensor(&offset)?])
            }
        };
        Ok(Self { encoder, vector: config.vector, normal })
    }

    /// How many numbers a frame of this height and width becomes.
    pub fn vector_size(&self, (height, width): (usize, usize), device: &Device) -> Result<usize> {
        let frame = Tensor::zeros((1, 3, height, width), DType::F32, device)?;
        self.vectors(&frame, &mut Mode::Eval)?.dim(1)
    }

    /// Vectors (N, T, D) of frames (ΣT, 3, h, w), row after row, of which row n has `lengths[n]`; 0 where a row has no frame.
    pub fn encode(&self, frames: &Tensor, lengths: &[usize], mode: &mut Mode) -> Result<Tensor> {
        let vectors = self.vectors(frames, mode)?;
        let (count, size) = vectors.dims2()?;
        let (n, t) = (lengths.len(), lengths.iter().copied().max().unwrap_or(0).max(1));
        let mut first = 0;
        let mut places = Vec::with_capacity(n * t);
        for &length in lengths {
            // The row behind the last frame's is the one of zeros.
            places.extend((0..t).map(|step| if step < length { first + step } else { count } as u32));
            first += length;
        }
        let zeros = Tensor::zeros((1, size), vectors.dtype(), vectors.device())?;
        let places = Tensor::from_vec(places, n * t, vectors.device())?;
        Tensor::cat(&[vectors, zeros], 0)?.index_select(&places, 0)?.reshape((n, t, size))
    }

    /// Vectors (N, D) of frames (N, 3, h, w), −1 to 1.
    pub fn vectors(&self, frames: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let frames = match &self.normal {
            Some([scale, offset]) => frames.broadcast_mul(scale)?.broadcast_add(offset)?,
            None => frames.clone(),
        };
        match self.vector {
            FrameVector::Mean => self.encoder.pooled(&frames, mode),
            FrameVector::Map => self.encoder.map(&frames, mode)?.flatten_from(1),
        }
    }
}
