//! Recurrent networks on candle: RNN, LSTM, GRU, stacks, attention and decoding by sampling and beams.

pub mod attention;
pub mod cell;
pub mod decoding;
pub mod embedding;
pub mod gru;
pub mod linear;
pub mod lstm;
pub mod rnn;
pub mod stack;

pub use attention::{AdditiveAttention, Attended};
pub use cell::{Cell, CellConfig, CellState};
pub use embedding::Embedding;
pub use gru::GruCell;
pub use linear::Linear;
pub use lstm::{LstmCell, LstmState};
pub use rnn::RnnCell;
pub use stack::{Gru, Lstm, Rnn, Stack, StackConfig};
