//! The network that reads each frame of a clip, before the sequence layer reads what it gives.

use candle_core::{DType, Device, Result, Tensor};
use candlewick_encoders::{Architecture, Encoder, NetworkConfig};
use candlewick_parameters::{Mode, VarBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The network that reads each frame; it is trained with what reads its vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FrameEncoderConfig {
    /// The network's name, as `candlewick_encoders::networks` lists it.
    pub network: String,
    /// What can be chosen about the network.
    pub config: NetworkConfig,
    /// What becomes of its map.
    pub vector: FrameVector,
}

impl Default for FrameEncoderConfig {
    fn default() -> Self {
        Self { network: "convnet".into(), config: NetworkConfig::default(), vector: FrameVector::Mean }
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
}

impl FrameEncoder {
    pub fn new(config: &FrameEncoderConfig, vb: VarBuilder) -> Result<Self> {
        let network = NetworkConfig { classes: None, ..config.config.clone() };
        let encoder = Architecture::find(&config.network)?.build(&network, vb)?;
        Ok(Self { encoder, vector: config.vector })
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

    fn vectors(&self, frames: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        match self.vector {
            FrameVector::Mean => self.encoder.pooled(frames, mode),
            FrameVector::Map => self.encoder.map(frames, mode)?.flatten_from(1),
        }
    }
}
