//! Truncated backpropagation through time.
//!
//! A text of any length is read T steps at a time. Each chunk begins with the state that the one before ended with, but the
//! gradient stops there: time and memory of a chunk do not depend on how many came before.
//!
//! Williams and Peng 1990, "An efficient gradient-based algorithm for on-line training of recurrent network trajectories".
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candlewick_parameters::{Mode, Parameters};
//! use candlewick_recurrent::{CarriedState, Chunks, Settings, sequence_layer};
//!
//! # fn main() -> candle_core::Result<()> {
//! let parameters = Parameters::new(1);
//! let lstm = sequence_layer("lstm", 8, 16, &Settings::default(), parameters.builder(&Device::Cpu))?;
//! let text = Tensor::zeros((2, 120, 8), DType::F32, &Device::Cpu)?;
//! let mut state = CarriedState::default();
//! for chunk in Chunks::new(&text, 50)? {
//!     let (ys, last) = lstm.forward(&chunk?, state.get(), None, &mut Mode::Eval)?;
//!     // A loss of these outputs reaches back to the first step of this chunk.
//!     assert!(ys.dim(1)? <= 50);
//!     state.keep(&last);
//! }
//! # Ok(())
//! # }
//! ```

use crate::layer::{LayerState, SequenceLayer};
use candle_core::{Result, Tensor};
use candlewick_parameters::Mode;

/// The state between two chunks: nothing before the first, and always cut from its graph.
#[derive(Clone, Debug, Default)]
pub struct CarriedState(Option<LayerState>);

impl CarriedState {
    /// The state to begin the next chunk with; `None` means zeros.
    pub fn get(&self) -> Option<&[Vec<Tensor>]> {
        self.0.as_deref()
    }

    /// Keeps the values of the state that a chunk ended with.
    pub fn keep(&mut self, last: &[Vec<Tensor>]) {
        self.0 = Some(last.iter().map(|cell| cell.iter().map(Tensor::detach).collect()).collect());
    }

    /// Begins anew, as at the start of another text.
    pub fn reset(&mut self) {
        self.0 = None;
    }
}

/// The chunks of a text: of (N, L, ..) one (N, T, ..) after the other, the last one as short as it must be.
///
/// For the words and the words to be told, zip the chunks of the text without its last step with those without its first.
#[derive(Clone, Debug)]
pub struct Chunks {
    text: Tensor,
    steps: usize,
    at: usize,
}

impl Chunks {
    /// Chunks of `steps` T of a text (N, L, ..).
    ///
    /// # Errors
    /// When T is 0, or the text has fewer than two dimensions.
    pub fn new(text: &Tensor, steps: usize) -> Result<Self> {
        if steps == 0 || text.rank() < 2 {
            candle_core::bail!("chunks: wants T of at least 1 and a text (N, L, ..), got {steps} and {:?}", text.dims())
        }
        Ok(Self { text: text.clone(), steps, at: 0 })
    }

    fn left(&self) -> usize {
        self.text.dims().get(1).map_or(0, |length| length.saturating_sub(self.at))
    }
}

impl Iterator for Chunks {
    type Item = Result<Tensor>;

    fn next(&mut self) -> Option<Self::Item> {
        let steps = self.left().min(self.steps);
        let at = self.at;
        self.at += steps;
        (steps > 0).then(|| self.text.narrow(1, at, steps)?.contiguous())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.left().div_ceil(self.steps);
        (count, Some(count))
    }
}

impl ExactSizeIterator for Chunks {}

/// A layer that reads chunks (N, T, D): an iterator over its outputs (N, T, ·), which carries the state from one to the next.
///
/// An output's graph ends at the beginning of its own chunk. The next chunk is read only when it is asked for, so parameters that
/// are updated between two of them count at once. A task whose generator changes from step to step carries a [`CarriedState`]
/// itself.
pub struct Truncated<'a, L: ?Sized, I> {
    layer: &'a L,
    chunks: I,
    state: CarriedState,
    mode: Mode<'a>,
}

impl<'a, L: SequenceLayer + ?Sized, I: Iterator<Item = Result<Tensor>>> Truncated<'a, L, I> {
    /// Reads these chunks, beginning with a state of zeros.
    pub fn new(layer: &'a L, chunks: I, mode: Mode<'a>) -> Self {
        Self { layer, chunks, state: CarriedState::default(), mode }
    }

    /// The state after the last chunk that was read.
    pub fn state(&self) -> Option<&[Vec<Tensor>]> {
        self.state.get()
    }

    fn read(&mut self, chunk: Result<Tensor>) -> Result<Tensor> {
        let (out, last) = self.layer.forward(&chunk?, self.state.get(), None, &mut self.mode)?;
        self.state.keep(&last);
        Ok(out)
    }
}

impl<L: SequenceLayer + ?Sized, I: Iterator<Item = Result<Tensor>>> Iterator for Truncated<'_, L, I> {
    type Item = Result<Tensor>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.chunks.next()?;
        Some(self.read(chunk))
    }
}
