//! The one trait behind training, searching, sampling and attention maps: a network that writes one word after another.

use crate::select_rows::SelectRows;
use candle_core::{Device, Result, Tensor, bail};
use candlewick_kernels::additive_attention::Counts;
use candlewick_parameters::Mode;
use std::sync::Arc;

/// What one step of a decoder gives for each of its N rows.
#[derive(Clone, Debug)]
pub struct Step<S> {
    /// Unnormalised log-probabilities of the next word, (N, V).
    pub logits: Tensor,
    /// Attention weights of the step, (N, P), where the decoder attends to something.
    pub alpha: Option<Tensor>,
    /// The state after the step.
    pub state: S,
}

/// What a decoder gives when it reads whole sentences, as training does.
#[derive(Clone, Debug)]
pub struct TeacherForced {
    /// Unnormalised log-probabilities of the word after each word that was read, (N, T, V).
    pub logits: Tensor,
    /// Attention weights at each step, (N, T, P), where the decoder attends to something.
    pub alpha: Option<Tensor>,
    /// How many of the P each row has, where not all; alpha is 0 at the others.
    pub counts: Option<Counts>,
}

/// A network that writes a sentence word by word: p(y_t | y_1 … y_{t−1}, memory) = softmax(logits_t).
///
/// The step is written once: searches, sampling and maps call [`step`](Decoder::step), training calls
/// [`teacher_forced`](Decoder::teacher_forced), which loops over it unless a faster equal is given. A decoder holds
/// parameters only; what it remembers between steps is its state, what it describes is its memory.
///
/// ```
/// use candle_core::{Device, Result, Tensor};
/// use candlewick_parameters::Mode;
/// use candlewick_generation::{Decoder, GenerationConfig, Step, generate};
///
/// /// Knows for each word how likely each next word is: a table of (V, V) logits.
/// struct Bigrams(Tensor);
///
/// impl Decoder for Bigrams {
///     type Memory = ();
///     type State = ();
///     fn vocab_size(&self) -> usize {
///         self.0.dims()[1]
///     }
///     fn device(&self) -> &Device {
///         self.0.device()
///     }
///     fn start(&self, _: &(), _: &mut Mode) -> Result<()> {
///         Ok(())
///     }
///     fn step(&self, words: &Tensor, _: &(), _: &(), _: &mut Mode) -> Result<Step<()>> {
///         Ok(Step { logits: self.0.index_select(words, 0)?, alpha: None, state: () })
///     }
///     fn select_memory(&self, _: &(), _: &Tensor) -> Result<()> {
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let table = [[0f32, 0., 0., 0.], [0., 0., 0., 5.], [0., 0., 0., 0.], [0., 0., 5., 0.]];
/// let bigrams = Bigrams(Tensor::new(&table, &Device::Cpu)?);
/// let sentences = generate(&bigrams, &(), 1, &GenerationConfig::beam(3))?;
/// assert_eq!(sentences[0][0].words, [3]);
/// assert!(sentences[0][0].finished);
/// # Ok(())
/// # }
/// ```
pub trait Decoder: Send + Sync {
    /// What the sentences are about, a row per sentence: annotations and what is computed from them once.
    type Memory: Clone + Send + Sync;
    /// What the decoder carries from step to step, a row per sentence.
    type State: SelectRows + Send;

    /// V, the number of words that the decoder knows.
    fn vocab_size(&self) -> usize;

    /// The device that the parameters are on; words and row numbers are put there.
    fn device(&self) -> &Device;

    /// The state before the first word, a row for each row of `memory`.
    ///
    /// # Errors
    /// When the memory does not fit the decoder.
    fn start(&self, memory: &Self::Memory, mode: &mut Mode) -> Result<Self::State>;

    /// Reads one word per row, (N) of type u32, and gives the logits (N, V) of the next, alpha (N, P) and the new state.
    ///
    /// # Errors
    /// When a word lies outside the vocabulary or the shapes do not fit.
    fn step(
        &self,
        words: &Tensor,
        state: &Self::State,
        memory: &Self::Memory,
        mode: &mut Mode,
    ) -> Result<Step<Self::State>>;

    /// The memory whose row m is row `rows[m]` of this one; `rows` is (M) of type u32.
    ///
    /// Searches call it to give each hypothesis of a source the source's memory, and to drop sources that are done.
    ///
    /// # Errors
    /// When a row lies outside the memory.
    fn select_memory(&self, memory: &Self::Memory, rows: &Tensor) -> Result<Self::Memory>;

    /// Reads the words (N, T) of type u32 and gives logits (N, T, V), for the word after each, and alpha (N, T, P).
    ///
    /// `lengths` has each row's number of words to read, at most T; what comes out beyond it means nothing and must be
    /// masked. This loop over [`step`](Decoder::step) is the definition; an override must equal it up to rounding.
    ///
    /// # Errors
    /// When `words` has no step, `lengths` does not fit it, or a step fails.
    fn teacher_forced(
        &self,
        words: &Tensor,
        lengths: &[usize],
        memory: &Self::Memory,
        mode: &mut Mode,
    ) -> Result<TeacherForced> {
        Ok(self.read_on(words, lengths, &self.start(memory, mode)?, memory, mode)?.0)
    }

    /// Reads words as [`teacher_forced`](Decoder::teacher_forced) does, but goes on from a state, and gives the state after them too:
    /// that of rows shorter than T means something only where a decoder says so.
    ///
    /// # Errors
    /// As [`teacher_forced`](Decoder::teacher_forced) says.
    fn read_on(
        &self,
        words: &Tensor,
        lengths: &[usize],
        state: &Self::State,
        memory: &Self::Memory,
        mode: &mut Mode,
    ) -> Result<(TeacherForced, Self::State)> {
        unrolled(self, words, lengths, state, memory, mode)
    }
}

/// A search may own a decoder or share one: a reference and an [`Arc`] decode as what they point to.
macro_rules! decode_through {
    ($pointer:ty) => {
        impl<D: Decoder + ?Sized> Decoder for $pointer {
            type Memory = D::Memory;
            type State = D::State;

            fn vocab_size(&self) -> usize {
                (**self).vocab_size()
            }

            fn device(&self) -> &Device {
                (**self).device()
            }

            fn start(&self, memory: &Self::Memory, mode: &mut Mode) -> Result<Self::State> {
                (**self).start(memory, mode)
            }

            fn step(
                &self,
                words: &Tensor,
                state: &Self::State,
                memory: &Self::Memory,
                mode: &mut Mode,
            ) -> Result<Step<Self::State>> {
                (**self).step(words, state, memory, mode)
            }

            fn select_memory(&self, memory: &Self::Memory, rows: &Tensor) -> Result<Self::Memory> {
                (**self).select_memory(memory, rows)
            }

            fn teacher_forced(
                &self,
                words: &Tensor,
                lengths: &[usize],
                memory: &Self::Memory,
                mode: &mut Mode,
            ) -> Result<TeacherForced> {
                (**self).teacher_forced(words, lengths, memory, mode)
            }

            fn read_on(
                &self,
                words: &Tensor,
                lengths: &[usize],
                state: &Self::State,
                memory: &Self::Memory,
                mode: &mut Mode,
            ) -> Result<(TeacherForced, Self::State)> {
                (**self).read_on(words, lengths, state, memory, mode)
            }
        }
    };
}

decode_through!(&D);
decode_through!(Arc<D>);

/// Reads whole sentences word by word: the definition of [`Decoder::teacher_forced`], for decoders that override it for some of
/// their settings only.
///
/// # Errors
/// As [`Decoder::teacher_forced`] says.
pub fn unrolled_teacher_forcing<D: Decoder + ?Sized>(
    decoder: &D,
    words: &Tensor,
    lengths: &[usize],
    memory: &D::Memory,
    mode: &mut Mode,
) -> Result<TeacherForced> {
    Ok(unrolled(decoder, words, lengths, &decoder.start(memory, mode)?, memory, mode)?.0)
}

fn unrolled<D: Decoder + ?Sized>(
    decoder: &D,
    words: &Tensor,
    lengths: &[usize],
    state: &D::State,
    memory: &D::Memory,
    mode: &mut Mode,
) -> Result<(TeacherForced, D::State)> {
    let (rows, steps) = words.dims2()?;
    if steps == 0 {
        bail!("teacher_forced: words has shape {:?}; at least one step is wanted", words.dims())
    }
    if lengths.len() != rows || lengths.iter().any(|&length| length > steps) {
        bail!("teacher_forced: words is ({rows}, {steps}); wanted {rows} lengths of at most {steps}, found {lengths:?}")
    }
    let mut read: Option<D::State> = None;
    let (mut logits, mut alphas) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
    for t in 0..steps {
        let step = decoder.step(&words.narrow(1, t, 1)?.squeeze(1)?, read.as_ref().unwrap_or(state), memory, mode)?;
        logits.push(step.logits);
        alphas.extend(step.alpha);
        read = Some(step.state);
    }
    let Some(read) = read else { bail!("teacher_forced: no step was taken") };
    let alpha = if alphas.len() == steps { Some(Tensor::stack(&alphas, 1)?) } else { None };
    Ok((TeacherForced { logits: Tensor::stack(&logits, 1)?, alpha, counts: None }, read))
}
