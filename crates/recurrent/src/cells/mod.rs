//! The cells, a paper a file.

pub mod gru;
pub mod jozefowicz;
pub mod layer_norm_lstm;
pub mod lstm;
pub mod lstm_variants;
pub mod min_rnns;
pub mod nas;
pub mod rnn;
pub mod weights;
