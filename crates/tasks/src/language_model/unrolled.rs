//! A network unrolled over a short text, with all its numbers: the lecture's slide of `hello`.

use super::model::LanguageModel;
use super::score::Score;
use crate::{Error, Result};
use candle_core::{D, IndexOp as _, Tensor};
use candle_nn::ops::log_softmax;
use candlewick_generation::{Decoder as _, GenerationConfig};
use candlewick_pages::DrawnStep;
use candlewick_parameters::Mode;
use std::fmt;

/// A model unrolled over a text, from the state of zeros.
///
/// ```text
/// h_t = cell(x_t, h_{t−1})      s_t = W_hy h_t + b      L_t = −ln softmax(s_t)[y_t]      L = Σ_t L_t
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Unrolled {
    /// The tokens of the vocabulary, in the order of a step's scores.
    pub vocabulary: Vec<String>,
    /// The steps, one for each token but the last.
    pub steps: Vec<UnrolledStep>,
    /// What the model writes by itself after the text's first token, the likeliest token each time.
    pub written: String,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct UnrolledStep {
    /// The token that is read.
    pub token: String,
    /// x_t.
    pub input: Vec<f32>,
    /// h_t of the last layer.
    pub hidden: Vec<f32>,
    /// s_t, a value for each token of the vocabulary.
    pub scores: Vec<f32>,
    /// The id of the token to tell, y_t.
    pub target: usize,
    /// L_t, in nats.
    pub loss: f64,
}

impl UnrolledStep {
    /// The token of the highest score.
    pub fn likeliest(&self) -> usize {
        let best = self.scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(0, |(id, _)| id)
    }

    /// The step as it is drawn.
    pub(super) fn drawn(&self) -> DrawnStep<'_> {
        let Self { token, input, hidden, scores, target, .. } = self;
        DrawnStep { token, input, hidden, scores, target: *target }
    }
}

impl LanguageModel {
    /// Unrolls the network over a text.
    ///
    /// # Errors
    /// When the text has fewer than two tokens, or one that is unknown.
    pub fn unroll(&self, text: &str) -> Result<Unrolled> {
        let ids = self.tokenizer.encode(text)?;
        if ids.len() < 2 {
            return Err(Error::Setting("the text has fewer than two tokens; give a longer one".into()));
        }
        let (told, mode) = (&ids[..ids.len() - 1], &mut Mode::Eval);
        let inputs = self.inputs(&Tensor::new(told, self.device())?.unsqueeze(0)?, mode)?;
        let (hidden, _) = self.hidden(&inputs, None, mode)?;
        let scores = self.scores(&hidden)?;
        let losses = log_softmax(&scores, D::Minus1)?.i(0)?.neg()?.to_vec2::<f32>()?;
        let rows = |of: &Tensor| of.i(0)?.to_vec2::<f32>();
        let token = |id: u32| self.tokenizer.token(id).unwrap_or_default();
        let numbers = rows(&inputs)?.into_iter().zip(rows(&hidden)?).zip(rows(&scores)?);
        let steps = numbers.zip(ids.windows(2)).zip(&losses).map(|((((input, hidden), scores), pair), losses)| {
            let target = pair[1] as usize;
            UnrolledStep { token: token(pair[0]), input, hidden, scores, target, loss: losses[target].into() }
        });
        let steps: Vec<UnrolledStep> = steps.collect();
        let first = token(ids[0]);
        let likeliest = GenerationConfig { do_sample: false, max_new_tokens: steps.len(), ..self.generation.clone() };
        let written = self.sample(&first, &likeliest)?.collect::<Result<String>>()?;
        Ok(Unrolled { vocabulary: (0..self.vocab_size() as u32).map(token).collect(), steps, written })
    }
}

impl Unrolled {
    /// L = Σ_t L_t.
    pub fn score(&self) -> Score {
        let nats = self.steps.iter().map(|step| step.loss).sum();
        let characters = self.steps.iter().map(|step| self.vocabulary[step.target].chars().count()).sum();
        Score { nats, characters, tokens: self.steps.len() }
    }

    /// How many of the targets have the highest score.
    pub fn right(&self) -> usize {
        self.steps.iter().filter(|step| step.likeliest() == step.target).count()
    }
}

/// A line for each step, one for their sum, and what the model writes by itself.
impl fmt::Display for Unrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = |values: &[f32]| values.iter().map(|value| format!("{value:6.2}")).collect::<String>();
        let input = |values: &[f32]| match values.iter().all(|value| value.fract() == 0.0) {
            true => values.iter().map(|value| format!(" {value}")).collect(),
            false => numbers(values),
        };
        let names = |names: &[String]| names.iter().map(|name| format!("{name:>6}")).collect::<String>();
        let Some(first) = self.steps.first() else { return Ok(()) };
        let (wide, hidden) = (input(&first.input).len().max(6), 6 * first.hidden.len());
        writeln!(f, "t    {:<wide$}  {:>hidden$}  {}  target  L_t", " input", "h", names(&self.vocabulary))?;
        for (t, step) in (1..).zip(&self.steps) {
            let UnrolledStep { token, hidden, scores, target, loss, .. } = step;
            let (target, right) = (&self.vocabulary[*target], step.likeliest() == *target);
            let likeliest = match right {
                true => String::new(),
                false => format!("  told {}", self.vocabulary[step.likeliest()]),
            };
            let (input, hidden, scores) = (input(&step.input), numbers(hidden), numbers(scores));
            writeln!(f, "{t}  {token} {input:<wide$}  {hidden}  {scores}  {target:<6}  {loss:.3}{likeliest}")?;
        }
        let (Score { nats, tokens, .. }, right) = (self.score(), self.right());
        write!(f, "L = {nats:.3} nats, {right} of {tokens} right; by itself it writes: {}{}", first.token, self.written)
    }
}
