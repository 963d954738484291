//! Recurrent networks on candle: RNN, LSTM, GRU, stacks, attention and decoding by sampling and beams.

pub mod attention;
pub mod cell;
pub mod decoding;
pub mod drop_connect;
pub mod embedding;
pub mod gru;
pub mod layer_norm_lstm;
pub mod linear;
pub mod lstm;
pub mod lstm_variants;
pub mod mutants;
pub mod nas;
pub mod rnn;
pub mod stack;
pub mod variational;
pub mod zoneout;

pub use attention::{AdditiveAttention, Attended};
pub use cell::{Cell, CellConfig, CellState};
pub use drop_connect::drop_connect;
pub use embedding::Embedding;
pub use gru::GruCell;
pub use layer_norm_lstm::LayerNormLstmCell;
pub use linear::Linear;
pub use lstm::{LstmCell, LstmState};
pub use lstm_variants::{LstmVariant, LstmVariantCell, LstmVariantState};
pub use mutants::{Mutant, MutantCell};
pub use nas::NasCell;
pub use rnn::RnnCell;
pub use stack::{Gru, Lstm, Rnn, Stack, StackConfig};
pub use variational::variational_dropout;
pub use zoneout::zoneout;
