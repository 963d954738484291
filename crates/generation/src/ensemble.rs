//! Several decoders that write as one.

use crate::decoder::{Decoder, Step};
use candle_core::{Device, Result, Tensor, bail};
use candle_nn::ops::softmax;
use candlewick_parameters::Mode;

/// A decoder of M decoders: p(y) = 1/M Σ_m softmax(logits_m)(y), alpha = 1/M Σ_m alpha_m.
///
/// Its logits are log p. Each member has a memory and a state of its own, in the members' order; there is an alpha where
/// all members attend to the same number of positions. Training goes member by member, not through the ensemble.
#[derive(Clone, Debug)]
pub struct DecoderEnsemble<D> {
    first: D,
    others: Vec<D>,
}

impl<D: Decoder> DecoderEnsemble<D> {
    /// Puts decoders together.
    ///
    /// # Errors
    /// When there is none, or their vocabularies differ in size.
    pub fn new(members: Vec<D>) -> Result<Self> {
        let sizes: Vec<usize> = members.iter().map(D::vocab_size).collect();
        let mut members = members.into_iter();
        let Some(first) = members.next() else { bail!("an ensemble needs at least one decoder, found none") };
        if sizes.iter().any(|&size| size != first.vocab_size()) {
            bail!("an ensemble needs decoders of one vocabulary, found sizes {sizes:?}")
        }
        Ok(Self { first, others: members.collect() })
    }

    /// The decoders, in order.
    pub fn members(&self) -> impl Iterator<Item = &D> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn check(&self, what: &str, found: usize) -> Result<()> {
        let wanted = 1 + self.others.len();
        if found != wanted {
            bail!("an ensemble of {wanted} decoders needs {wanted} {what}, found {found}")
        }
        Ok(())
    }
}

impl<D: Decoder> Decoder for DecoderEnsemble<D> {
    type Memory = Vec<D::Memory>;
    type State = Vec<D::State>;

    fn vocab_size(&self) -> usize {
        self.first.vocab_size()
    }

    fn device(&self) -> &Device {
        self.first.device()
    }

    fn start(&self, memory: &Self::Memory, mode: &mut Mode) -> Result<Self::State> {
        self.check("memories", memory.len())?;
        self.members().zip(memory).map(|(member, memory)| member.start(memory, mode)).collect()
    }

    fn step(
        &self,
        words: &Tensor,
        state: &Self::State,
        memory: &Self::Memory,
        mode: &mut Mode,
    ) -> Result<Step<Self::State>> {
        self.check("states", state.len())?;
        self.check("memories", memory.len())?;
        let (mut probabilities, mut alphas, mut states) = (Vec::new(), Vec::new(), Vec::new());
        for ((member, state), memory) in self.members().zip(state).zip(memory) {
            let step = member.step(words, state, memory, mode)?;
            probabilities.push(softmax(&step.logits, 1)?);
            alphas.extend(step.alpha);
            states.push(step.state);
        }
        let alike = alphas.len() == states.len() && alphas.windows(2).all(|pair| pair[0].dims() == pair[1].dims());
        let alpha = if alike { Some(Tensor::stack(&alphas, 0)?.mean(0)?) } else { None };
        let logits = Tensor::stack(&probabilities, 0)?.mean(0)?.log()?;
        Ok(Step { logits, alpha, state: states })
    }

    fn select_memory(&self, memory: &Self::Memory, rows: &Tensor) -> Result<Self::Memory> {
        self.check("memories", memory.len())?;
        self.members().zip(memory).map(|(member, memory)| member.select_memory(memory, rows)).collect()
    }
}
