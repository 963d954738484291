//! Recurrent networks on candle: RNN, LSTM, GRU and their kin, stacks and attention.
//!
//! [`sequence_layer`] builds any of them from a name; [`Cell`] says how a new one is written.

#![forbid(unsafe_code)]

pub mod any_cell;
pub mod attention;
pub mod cell;
pub mod drop_connect;
pub mod embedding;
pub mod flow;
pub mod gru;
pub mod layer_norm_lstm;
pub mod linear;
pub mod lstm;
pub mod lstm_variants;
pub mod mutants;
pub mod nas;
pub mod recurrent_dropout;
pub mod rnn;
pub mod self_attention;
pub mod sequence;
mod settings;
pub mod stack;
pub mod temporal_convolution;
pub mod truncated;
pub mod variational;
pub mod zoneout;

pub use any_cell::AnyCell;
pub use attention::{AdditiveAttention, Attended, AttentionMemory};
pub use cell::{Cell, CellConfig, CellState, advance_on_masked_h};
pub use drop_connect::drop_connect;
pub use embedding::Embedding;
pub use flow::{GradientFlow, gradient_flow, largest_singular_value};
pub use gru::GruCell;
pub use layer_norm_lstm::LayerNormLstmCell;
pub use linear::Linear;
pub use lstm::{LstmCell, LstmState};
pub use lstm_variants::{LstmVariant, LstmVariantCell, LstmVariantState};
pub use mutants::{Mutant, MutantCell};
pub use nas::NasCell;
pub use recurrent_dropout::{MaskedCell, recurrent_dropout};
pub use rnn::RnnCell;
pub use self_attention::{SelfAttention, sinusoidal_positions};
pub use sequence::{SequenceLayer, SequenceState, sequence_layer, sequence_layers};
pub use stack::{Gru, Lstm, Rnn, Stack, StackConfig};
pub use temporal_convolution::TemporalConvolution;
pub use truncated::{Carried, Chunks, Detach, Truncated};
pub use variational::variational_dropout;
pub use zoneout::zoneout;
