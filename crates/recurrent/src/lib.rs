//! Recurrent networks on candle: RNN, LSTM, GRU and their kin, stacks, attention and decoders made of them.
//!
//! [`sequence_layer`] builds any of them from a name, and [`TextEncoder`] reads texts with it; [`Cell`] says how a new one is written,
//! [`cells::weights`] has what ours are built of, and [`add_cell`] makes it known by its name.

#![forbid(unsafe_code)]

pub mod attention;
pub mod baselines;
pub mod cell;
pub mod cells;
pub mod decoders;
pub mod embedding;
pub mod gradient_flow;
pub mod layer;
pub mod linear;
pub mod pooling;
pub mod registry;
pub mod regularisation;
pub mod sequence_encoder;
pub mod stack;
pub mod truncated;

pub use attention::{AdditiveAttention, Attended, Attention, AttentionMemory, MultiplicativeAttention, Score};
pub use baselines::self_attention::{SelfAttention, SelfAttentionConfig, sinusoidal_positions};
pub use baselines::temporal_convolution::{TemporalConvolution, TemporalConvolutionConfig};
pub use cell::{BuildCell, Cell, CloneCell, SuffixedBuilder};
pub use cells::gru::{GruCell, GruConfig};
pub use cells::jozefowicz::{JozefowiczCell, JozefowiczConfig, Mutant};
pub use cells::layer_norm_lstm::{LayerNormLstmCell, LayerNormLstmConfig};
pub use cells::lstm::{self, LstmCell, LstmConfig};
pub use cells::lstm_variants::{LstmVariant, LstmVariantCell, LstmVariantConfig};
pub use cells::min_rnns::{MinGruCell, MinGruConfig, MinLstmCell, MinLstmConfig};
pub use cells::nas::{NasCell, NasConfig};
pub use cells::rnn::{RnnCell, RnnConfig};
pub use embedding::Embedding;
pub use gradient_flow::{GradientFlow, gradient_flow, largest_singular_value};
pub use layer::{LayerState, SequenceLayer};
pub use linear::Linear;
pub use pooling::{Pool, Pooled, Pooling, pool};
pub use registry::{Settings, add_cell, has_setting, recurrent_cell, sequence_layer, sequence_layers};
pub use regularisation::drop_connect::drop_connect;
pub use regularisation::recurrent_dropout::{MaskedCell, recurrent_dropout};
pub use regularisation::variational::variational_dropout;
pub use regularisation::zoneout::Zoneout;
pub use sequence_encoder::{Encoded, SequenceEncoder, SequenceEncoderConfig, TextEncoder};
pub use stack::{Gru, Lstm, Rnn, Stack, StackConfig};
pub use truncated::{CarriedState, Chunks, Truncated};

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
