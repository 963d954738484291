//! The decoder that attends to annotations: that of Bahdanau et al. 2015 over sentences, and of Show, Attend and Tell (Xu et al. 2015) over
//! pictures, with soft attention or hard.
//!
//! With the annotations a_p of a source's P positions and its vector v (of a picture mean_p a_p), the words y and the hidden state (h, c):
//!
//! ```text
//! h_0 = tanh(W_h v),  c_0 = tanh(W_c v)
//! α_t = softmax_p(score(a_p, h_{t−1}) / τ),  z_t = Σ_p α_tp a_p                  (attention)
//! β_t = σ(f_β(h_{t−1})),  ẑ_t = β_t ⊙ z_t                                        (gate)
//! h_t, c_t = LSTM([E y_{t−1}; ẑ_t], h_{t−1}, c_{t−1})
//! s_t = tanh(E y_{t−1} + L_h h_t + L_z ẑ_t),  logits_t = L_o s_t                 (deep output; tied: L_o = E)
//! ```
//!
//! With input feeding (Luong et al. 2015) the cell reads [E y_{t−1}; s_{t−1}; ẑ_t], s_0 = 0.
//!
//! Any other cell can stand in for the LSTM; each tensor of its state starts as h and c do. With hard attention z_t is the annotation of
//! one position alone ([`super::hard_attention`]).
//!
//! The parameters carry the names that PyTorch implementations of captioning use: `attention.encoder_att`, `decode_step`, `f_beta`, `fc` ….

mod config;
#[cfg(test)]
mod tests;

pub use config::AttentionDecoderConfig;

use super::hard_attention::{self, AttentionKind};
use super::source::Source;
use super::source_decoder::{SourceDecoder, TeacherForcedRead};
use crate::attention::{Attended, Attention, AttentionMemory};
use crate::cell::Cell;
use crate::embedding::Embedding;
use crate::linear::Linear;
use crate::registry::{Settings, recurrent_cell};
use candle_core::{Device, Result, Tensor};
use candle_nn::Module;
use candlewick_generation::{Decoder, SelectRows, Step, TeacherForced, unrolled_teacher_forcing};
use candlewick_kernels::activation::{sigmoid, tanh};
use candlewick_kernels::attention_lstm::{self, PositionSampler, Sequence};
use candlewick_parameters::{Initial, Mode, ParameterBuilder as _, VarBuilder};
use config::LSTM;

/// The decoder that attends to annotations at each word.
///
/// ```text
/// h_0 = tanh(W_h v),  c_0 = tanh(W_c v)
/// α_t = softmax_p(score(a_p, h_{t−1}) / τ),  z_t = Σ_p α_tp a_p      (soft), or a_p of one p (hard)
/// β_t = σ(f_β(h_{t−1})),  ẑ_t = β_t ⊙ z_t
/// h_t, c_t = LSTM([E y_{t−1}; ẑ_t], h_{t−1}, c_{t−1})
/// s_t = tanh(E y_{t−1} + L_h h_t + L_z ẑ_t),  logits_t = L_o s_t
/// ```
///
/// A step with hard attention looks at the likeliest position, and its alpha is 1 there; while people's captions are read in
/// training, positions are drawn from α. Bahdanau et al. 2015, "Neural machine translation by jointly learning to align and translate";
/// Xu et al. 2015, "Show, attend and tell: neural image caption generation with visual attention".
#[derive(Clone, Debug)]
pub struct AttentionDecoder {
    config: AttentionDecoderConfig,
    vocab_size: usize,
    embedding: Embedding,
    attention: Attention,
    /// A layer for each tensor of the cell's state: `init_h`, `init_c` ….
    initial: Vec<Linear>,
    f_beta: Option<Linear>,
    cell: Box<dyn Cell>,
    deep_output: Option<(Linear, Linear)>,
    fc: Linear,
}

/// What the decoder looks at.
#[derive(Clone, Debug)]
pub struct DecoderMemory {
    annotations: AttentionMemory,
    /// v of each row, (N, C).
    vector: Tensor,
}

/// The cell's state, a sentence a row.
#[derive(Clone, Debug)]
pub struct DecoderState {
    /// The hidden state h, (N, H).
    pub h: Tensor,
    /// What the cell keeps besides, such as the LSTM's c, (N, H) each.
    pub kept: Vec<Tensor>,
    /// s, what told the last word (N, E), with input feeding.
    pub told: Option<Tensor>,
}

impl DecoderState {
    fn tensors(&self) -> Vec<Tensor> {
        [std::slice::from_ref(&self.h), &self.kept].concat()
    }

    fn of(mut tensors: Vec<Tensor>) -> Self {
        Self { h: tensors.remove(0), kept: tensors, told: None }
    }
}

impl SelectRows for DecoderState {
    fn select(&self, rows: &Tensor) -> Result<Self> {
        let told = self.told.as_ref().map(|told| SelectRows::select(told, rows)).transpose()?;
        Ok(Self { h: SelectRows::select(&self.h, rows)?, kept: self.kept.select(rows)?, told })
    }
}

impl AttentionDecoder {
    /// A decoder over annotations of `annotation_size` (C) that knows `vocab_size` (V) words.
    ///
    /// # Errors
    /// When the builder has no such parameters.
    pub fn new(
        annotation_size: usize,
        vocab_size: usize,
        config: &AttentionDecoderConfig,
        vb: VarBuilder,
    ) -> Result<Self> {
        let &AttentionDecoderConfig { embedding_size, hidden_size, attention_size, .. } = config;
        config.check()?;
        let fed = if config.input_feeding { embedding_size } else { 0 };
        let input_size = embedding_size.saturating_add(fed).saturating_add(annotation_size);
        let cell = recurrent_cell(&config.cell, input_size, hidden_size, &Settings::default(), vb.pp("decode_step"))?;
        let initial = (cell.state_sizes().into_iter().enumerate())
            .map(|(at, size)| {
                let name = ["init_h", "init_c"].get(at).map_or_else(|| format!("init_{at}"), ToString::to_string);
                Linear::new(annotation_size, size, vb.pp(name))
            })
            .collect::<Result<_>>()?;
        let f_beta = config.gate.then(|| Linear::new(hidden_size, annotation_size, vb.pp("f_beta"))).transpose()?;
        let deep_output = config
            .deep_output
            .then(|| -> Result<_> {
                let of_hidden = Linear::new(hidden_size, embedding_size, vb.pp("output_h"))?;
                Ok((of_hidden, Linear::without_bias(annotation_size, embedding_size, vb.pp("output_z"))?))
            })
            .transpose()?;
        let embedding = Embedding::with_initial(vocab_size, embedding_size, Initial::Uniform(0.1), vb.pp("embedding"))?;
        let temperature = config.attention.hard().map_or(1.0, |hard| hard.temperature);
        let attention = Attention::new(config.score, annotation_size, hidden_size, attention_size, vb.pp("attention"))?;
        let fc = match (config.tied, config.deep_output) {
            (true, _) => {
                let bias = vb.pp("fc").parameter(vocab_size, "bias", Initial::Constant(0.0))?;
                Linear::from_tensors(embedding.weight().clone(), Some(bias))
            }
            (false, deep) => Linear::new(if deep { embedding_size } else { hidden_size }, vocab_size, vb.pp("fc"))?,
        };
        Ok(Self {
            config: config.clone(),
            vocab_size,
            embedding,
            attention: attention.with_temperature(temperature),
            initial,
            f_beta,
            cell,
            deep_output,
            fc,
        })
    }

    /// The words' vectors, dropped out in training: (…) of u32 → (…, E).
    fn embed(&self, words: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        mode.dropout(&self.embedding.forward(words)?, self.config.dropout)
    }

    /// The step from the words' vectors (N, E) and the context z (N, C): the new state and ẑ (N, C).
    ///
    /// Every way of reading and writing goes by it but [`attention_lstm::attention_lstm`], which must equal it.
    fn advance(&self, embedded: &Tensor, context: Tensor, state: &DecoderState) -> Result<(DecoderState, Tensor)> {
        let context = match &self.f_beta {
            Some(f_beta) => (sigmoid(&f_beta.forward(&state.h)?)? * context)?,
            None => context,
        };
        let input: Vec<&Tensor> = [embedded].into_iter().chain(&state.told).chain([&context]).collect();
        let mut state = DecoderState::of(self.cell.fused_step(&Tensor::cat(&input, 1)?, &state.tensors())?);
        state.told = self.config.input_feeding.then(|| self.told(embedded, &state.h, &context)).transpose()?;
        Ok((state, context))
    }

    /// What tells the words, s (…, E) or h itself, from the words' vectors (…, E), h (…, H) and ẑ (…, C).
    fn told(&self, embedded: &Tensor, h: &Tensor, context: &Tensor) -> Result<Tensor> {
        match &self.deep_output {
            Some((of_hidden, of_context)) => {
                tanh(&((embedded + of_hidden.forward(h)?)? + of_context.forward(context)?)?)
            }
            None => Ok(h.clone()),
        }
    }

    /// The logits (…, V) from the words' vectors (…, E), h (…, H) and ẑ (…, C).
    fn output(&self, embedded: &Tensor, h: &Tensor, context: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        self.fc.forward(&mode.dropout(&self.told(embedded, h, context)?, self.config.dropout)?)
    }

    /// The step from the words' vectors (N, E) and what was attended to.
    fn step_from(
        &self,
        embedded: &Tensor,
        attended: Attended,
        state: &DecoderState,
        mode: &mut Mode,
    ) -> Result<Step<DecoderState>> {
        let (state, context) = self.advance(embedded, attended.context, state)?;
        let told = state.told.clone().map_or_else(|| self.told(embedded, &state.h, &context), Ok)?;
        let logits = self.fc.forward(&mode.dropout(&told, self.config.dropout)?)?;
        Ok(Step { logits, alpha: Some(attended.alpha), state })
    }

    /// The words are known in advance, so that all logits are one product. With `draws` (N, T), a number for each word, each step looks at the
    /// position that its number chooses from α.
    fn reading(
        &self,
        words: &Tensor,
        lengths: &[usize],
        memory: &DecoderMemory,
        draws: Option<&Tensor>,
        mode: &mut Mode,
    ) -> Result<TeacherForcedRead> {
        let embedded = self.embed(words, mode)?;
        let state = self.start(memory, mode)?;
        let counts = memory.annotations.counts()?;
        let kernels = self.config.cell == LSTM && !self.config.input_feeding;
        let seen = match (&self.attention, &self.cell.parameters()[..], &state.kept[..]) {
            (Attention::Additive(attention), [input, hidden, bias_ih, bias_hh], [c]) if kernels => {
                let (bias, v) = ((bias_ih + bias_hh)?, attention.v()?);
                let query = attention.query().with_bias()?;
                let gate = self.f_beta.as_ref().map(Linear::with_bias).transpose()?;
                let (query, beta) = (query.into(), gate.map(Into::into));
                let weights = attention_lstm::Weights { input, hidden, bias: &bias, query, v: &v, beta };
                let (annotations, keys, counts) = memory.annotations.per_row()?;
                let options = attention_lstm::Options { lengths: Some(lengths), counts: counts.as_ref(), draws };
                attention_lstm::attention_lstm(&embedded, &keys, &annotations, &state.h, c, weights, options)?
            }
            _ => self.word_by_word(&embedded, state, memory, draws)?,
        };
        let logits = self.output(&embedded, &seen.hidden, &seen.context, mode)?;
        let sampled = seen.positions.map(|positions| hard_attention::sampled(&seen.alpha, &positions)).transpose()?;
        Ok(TeacherForcedRead { forced: TeacherForced { logits, alpha: Some(seen.alpha), counts }, sampled })
    }

    /// What [`attention_lstm::attention_lstm`] gives, for any cell.
    fn word_by_word(
        &self,
        embedded: &Tensor,
        mut state: DecoderState,
        memory: &DecoderMemory,
        draws: Option<&Tensor>,
    ) -> Result<Sequence> {
        let p = memory.annotations.num_positions()?;
        let sampler = draws.map(|draws| PositionSampler::new(p, draws.device())).transpose()?;
        let drawn = draws.zip(sampler.as_ref());
        let (mut hidden, mut contexts, mut alphas) = (Vec::new(), Vec::new(), Vec::new());
        for t in 0..embedded.dim(1)? {
            let Attended { mut context, alpha } = self.attention.attend(&memory.annotations, &state.h)?;
            if let Some((draws, sampler)) = drawn {
                let positions = sampler.choose(&alpha, &draws.narrow(1, t, 1)?.squeeze(1)?)?;
                context = memory.annotations.gather_position(&positions)?;
            }
            (state, context) = self.advance(&embedded.narrow(1, t, 1)?.squeeze(1)?, context, &state)?;
            hidden.push(state.h.clone());
            contexts.push(context);
            alphas.push(alpha);
        }
        let [hidden, context, alpha] =
            [Tensor::stack(&hidden, 1)?, Tensor::stack(&contexts, 1)?, Tensor::stack(&alphas, 1)?];
        let positions = drawn.map(|(draws, sampler)| sampler.choose(&alpha, draws)).transpose()?;
        Ok(Sequence { hidden, context, alpha, positions })
    }
}

impl SourceDecoder for AttentionDecoder {
    fn memory(&self, source: &Source) -> Result<DecoderMemory> {
        let (values, vector) = (source.annotations(), source.vector().clone());
        let memory = self.attention.memory(values)?.with_counts(source.counts().cloned());
        match self.config.attention.hard().filter(|hard| !hard.is_one_annotation()) {
            None => Ok(DecoderMemory { annotations: memory, vector }),
            Some(hard) => {
                let window = hard.window_matrix(source.grid_size(), values.device())?;
                let mixed = window.to_dtype(values.dtype())?.broadcast_matmul(values)?;
                Ok(DecoderMemory { annotations: memory.with_values(mixed)?, vector })
            }
        }
    }

    fn read(
        &self,
        words: &Tensor,
        lengths: &[usize],
        memory: &DecoderMemory,
        mode: &mut Mode,
    ) -> Result<TeacherForcedRead> {
        let Mode::Train(rng) = mode else {
            return Ok(TeacherForcedRead { forced: self.teacher_forced(words, lengths, memory, mode)?, sampled: None });
        };
        let hard = self.config.attention.hard().is_some_and(|hard| !rng.chance(hard.soft_probability));
        let draws = hard.then(|| rng.uniform_tensor(0.0, 1.0, words.shape(), words.device())).transpose()?;
        self.reading(words, lengths, memory, draws.as_ref(), mode)
    }
}

impl Decoder for AttentionDecoder {
    type Memory = DecoderMemory;
    type State = DecoderState;

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn device(&self) -> &Device {
        self.embedding.weight().device()
    }

    fn start(&self, memory: &DecoderMemory, _: &mut Mode) -> Result<DecoderState> {
        let initial = self.initial.iter().map(|layer| tanh(&layer.forward(&memory.vector)?)).collect::<Result<_>>()?;
        let shape = (memory.vector.dim(0)?, self.config.embedding_size);
        let zeros = || Tensor::zeros(shape, memory.vector.dtype(), memory.vector.device());
        let told = self.config.input_feeding.then(zeros).transpose()?;
        Ok(DecoderState { told, ..DecoderState::of(initial) })
    }

    fn step(
        &self,
        words: &Tensor,
        state: &DecoderState,
        memory: &DecoderMemory,
        mode: &mut Mode,
    ) -> Result<Step<DecoderState>> {
        let embedded = self.embed(words, mode)?;
        let attended = self.attention.attend(&memory.annotations, &state.h)?;
        let Some(hard) = self.config.attention.hard() else {
            return self.step_from(&embedded, attended, state, mode);
        };
        let positions = hard_attention::top_k(&attended.alpha, hard.num_positions)?;
        let mut of_position = |k: usize| {
            let position = positions.narrow(1, k, 1)?.squeeze(1)?;
            let selected = hard_attention::select(&position, &attended, &memory.annotations)?;
            self.step_from(&embedded, selected, state, mode)
        };
        let step = of_position(0)?;
        let others: Vec<Tensor> = (1..positions.dim(1)?).map(|k| Ok(of_position(k)?.logits)).collect::<Result<_>>()?;
        if others.is_empty() {
            return Ok(step);
        }
        let logits = [std::slice::from_ref(&step.logits), &others].concat();
        let logits = hard_attention::marginalise(&logits, &attended.alpha.gather(&positions, 1)?)?;
        Ok(Step { logits, ..step })
    }

    fn select_memory(&self, memory: &DecoderMemory, rows: &Tensor) -> Result<DecoderMemory> {
        Ok(DecoderMemory {
            annotations: memory.annotations.select(rows)?,
            vector: memory.vector.index_select(rows, 0)?,
        })
    }

    fn teacher_forced(
        &self,
        words: &Tensor,
        lengths: &[usize],
        memory: &DecoderMemory,
        mode: &mut Mode,
    ) -> Result<TeacherForced> {
        match self.config.attention {
            AttentionKind::Soft => Ok(self.reading(words, lengths, memory, None, mode)?.forced),
            AttentionKind::Hard(_) => Ok(TeacherForced {
                counts: memory.annotations.counts()?,
                ..unrolled_teacher_forcing(self, words, lengths, memory, mode)?
            }),
        }
    }
}
