//! From a question and a picture's annotations to an answer.
//!
//! ```text
//! u = encoder(w_1 … w_T)                                      any text encoder
//! attention    b_p = tanh(W_v a_p + b_v)                      annotations of the question's size
//!              u_k = Σ_p α_p b_p + u_{k−1}                    K hops from u_0 = u, α by additive attention from u_{k−1} to b; x = u_K
//! concatenate  x = [u; 1/P Σ_p a_p]
//! product      x = tanh(W_u u + b_u) ⊙ tanh(W_v 1/P Σ_p a_p + b_v)
//! none         x = u
//! h = relu(W_h x + b_h)
//! p(answer | question, picture) = softmax(W_o h + b_o)
//! p(c | question, picture, choices) = softmax_c(w · relu(W_j h + W_c encoder(c) + b) + b')
//! ```
//!
//! Antol et al. 2015, "VQA: Visual question answering"; Yang et al. 2016, "Stacked attention networks for image question answering", there
//! without h; choices after Jabri et al. 2016, "Revisiting visual question answering baselines", there each judged by itself.

use super::config::{Join, VqaNetworkConfig};
use candle_core::{Device, Module as _, Result, Tensor, bail};
use candlewick_data::buckets::padded_to_a_step;
use candlewick_kernels::activation::{relu, tanh};
use candlewick_parameters::{Mode, VarBuilder};
use candlewick_recurrent::{AdditiveAttention, Attended, Linear, TextEncoder};
use candlewick_vision::Annotations;

/// Texts as ids (N, T), of row n the first `lengths[n]`.
#[derive(Clone, Debug)]
pub(super) struct Words {
    pub ids: Tensor,
    pub lengths: Vec<usize>,
}

impl Words {
    /// Texts as one tensor; T is at least 1, for the layers want a step, if only one that no row has.
    pub fn of(texts: &[&[u32]]) -> crate::Result<Self> {
        let lengths: Vec<usize> = texts.iter().map(|ids| ids.len()).collect();
        Ok(Self { ids: padded_to_a_step(texts, 0, &Device::Cpu)?, lengths })
    }

    /// The same on this device.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        Ok(Self { ids: self.ids.to_device(device)?, lengths: self.lengths.clone() })
    }
}

/// The annotations of M pictures, and which of them each of N questions is about.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    pub annotations: Annotations,
    /// (N) of u32.
    pub sources: Tensor,
}

/// What the network knows of questions.
pub(super) struct Joined {
    /// h (N, ·).
    pub hidden: Tensor,
    /// Where each hop looked, (N, P).
    pub alpha: Vec<Tensor>,
}

/// The network.
pub(super) struct VqaNetwork {
    text: TextEncoder,
    join: Joint,
    hidden: Linear,
    output: Linear,
    choices: Option<ChoiceScorer>,
    dropout: f64,
    picture_dropout: f64,
}

enum Joint {
    Attention { projection: Linear, hops: Vec<AdditiveAttention> },
    Concatenate,
    Product { question: Linear, picture: Linear },
    None,
}

struct ChoiceScorer {
    joined: Linear,
    choice: Linear,
    score: Linear,
}

/// The sizes that data gives the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// V.
    pub words: usize,
    /// C; not looked at where no picture is seen.
    pub annotation: usize,
    pub answers: usize,
}

impl VqaNetwork {
    /// The network with parameters `question.…`, `attention.…` or `join.…`, `hidden`, `fc` and `choices.…`.
    pub fn new(sizes: Sizes, config: &VqaNetworkConfig, vb: VarBuilder) -> Result<Self> {
        let &VqaNetworkConfig { hops, attention_size, hidden_size, dropout, picture_dropout, .. } = config;
        let text = TextEncoder::new(sizes.words, &config.question, vb.pp("question"))?;
        let (of_question, of_picture) = (text.encoder().vector_size(), sizes.annotation);
        let own = vb.pp("join");
        let (join, joined) = match config.join {
            Join::Attention => {
                let hop = |k: usize| AdditiveAttention::new(of_question, of_question, attention_size, own.pp(k));
                let projection = Linear::new(of_picture, of_question, own.pp("projection"))?;
                (Joint::Attention { projection, hops: (0..hops).map(hop).collect::<Result<_>>()? }, of_question)
            }
            Join::Concatenate => (Joint::Concatenate, of_question + of_picture),
            Join::Product => {
                let question = Linear::new(of_question, hidden_size, own.pp("question"))?;
                (
                    Joint::Product { question, picture: Linear::new(of_picture, hidden_size, own.pp("picture"))? },
                    hidden_size,
                )
            }
            Join::None => (Joint::None, of_question),
        };
        let hidden = Linear::new(joined, hidden_size, vb.pp("hidden"))?;
        let output = Linear::new(hidden_size, sizes.answers, vb.pp("fc"))?;
        let choices = match config.read_choices {
            true => Some(ChoiceScorer {
                joined: Linear::new(hidden_size, hidden_size, vb.pp("choices.joined"))?,
                choice: Linear::without_bias(of_question, hidden_size, vb.pp("choices.choice"))?,
                score: Linear::new(hidden_size, 1, vb.pp("choices.score"))?,
            }),
            false => None,
        };
        Ok(Self { text, join, hidden, output, choices, dropout, picture_dropout })
    }

    /// h of questions about pictures; nothing stands for pictures where none is seen.
    pub fn join(&self, questions: &Words, looked: Option<&Looked>, mode: &mut Mode) -> Result<Joined> {
        let question = self.text.encode(&questions.ids, &questions.lengths, mode)?.vector;
        let mut alpha = Vec::new();
        let joined = match (&self.join, looked) {
            (Joint::None, _) => question,
            (_, None) => bail!("the network looks at pictures, and there are none"),
            (Joint::Attention { projection, hops }, Some(looked)) => {
                let values = self.dropped(looked.annotations.tensor(), mode)?;
                let values = tanh(&projection.forward(&values)?)?;
                let mut query = question;
                for hop in hops {
                    let memory = hop.memory(&values)?.with_counts(looked.annotations.counts().cloned());
                    let Attended { context, alpha: own } = hop.attend(&memory.select(&looked.sources)?, &query)?;
                    alpha.push(own);
                    query = (context + query)?;
                }
                query
            }
            (Joint::Concatenate, Some(looked)) => Tensor::cat(&[&question, &self.mean(looked, mode)?], 1)?,
            (Joint::Product { question: of_question, picture }, Some(looked)) => {
                let picture = tanh(&picture.forward(&self.mean(looked, mode)?)?)?;
                (tanh(&of_question.forward(&question)?)? * picture)?
            }
        };
        let hidden = mode.dropout(&relu(&self.hidden.forward(&joined)?)?, self.dropout)?;
        Ok(Joined { hidden, alpha })
    }

    /// Annotations (M, P, C) of which channels are left out.
    fn dropped(&self, annotations: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        if self.picture_dropout == 0.0 || !mode.is_training() {
            return Ok(annotations.clone());
        }
        let (m, _, c) = annotations.dims3()?;
        let mask = Tensor::ones((m, 1, c), annotations.dtype(), annotations.device())?;
        annotations.broadcast_mul(&mode.dropout(&mask, self.picture_dropout)?)
    }

    /// The mean annotation (N, C) of each question's picture.
    fn mean(&self, looked: &Looked, mode: &mut Mode) -> Result<Tensor> {
        let mean = looked.annotations.mean()?.unsqueeze(1)?;
        self.dropped(&mean, mode)?.squeeze(1)?.contiguous()?.index_select(&looked.sources, 0)
    }

    /// The logits (N, K) of the K known answers.
    pub fn logits(&self, joined: &Joined) -> Result<Tensor> {
        self.output.forward(&joined.hidden)
    }

    /// Whether it attends to pictures.
    pub fn attends(&self) -> bool {
        matches!(self.join, Joint::Attention { .. })
    }

    /// Whether choices are read.
    pub fn reads_choices(&self) -> bool {
        self.choices.is_some()
    }

    /// The scores (R, K) of K choices for each of the R questions in these rows of h, the choices question after question.
    pub fn choice_scores(&self, joined: &Joined, rows: &Tensor, choices: &Words, mode: &mut Mode) -> Result<Tensor> {
        let Some(ChoiceScorer { joined: of_joined, choice, score }) = &self.choices else {
            bail!("the network reads no choices; train one with model.read_choices = true")
        };
        let read = self.text.encode(&choices.ids, &choices.lengths, mode)?.vector;
        let (count, count_of_rows) = (choices.lengths.len(), rows.dim(0)?.max(1));
        let read = choice.forward(&read)?.reshape((count_of_rows, count / count_of_rows, ()))?;
        let known = of_joined.forward(&joined.hidden.index_select(rows, 0)?)?.unsqueeze(1)?;
        score.forward(&relu(&read.broadcast_add(&known)?)?)?.squeeze(2)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{D, DType, Device};
    use candlewick_parameters::Parameters;
    use candlewick_recurrent::SequenceEncoderConfig;
    use candlewick_testing::flat;

    const SIZES: Sizes = Sizes { words: 7, annotation: 5, answers: 4 };

    fn built(join: Join) -> (VqaNetwork, Parameters) {
        let question = SequenceEncoderConfig { embedding_size: 3, hidden_size: 6, ..SequenceEncoderConfig::default() };
        let config =
            VqaNetworkConfig { question, join, attention_size: 4, hidden_size: 8, ..VqaNetworkConfig::default() };
        let parameters = Parameters::new(3);
        let network = VqaNetwork::new(SIZES, &config, parameters.builder(&Device::Cpu)).unwrap();
        (network, parameters)
    }

    fn questions() -> Words {
        let ids = Tensor::new(&[[1u32, 2, 3], [4, 5, 0], [6, 0, 0]], &Device::Cpu).unwrap();
        Words { ids, lengths: vec![3, 2, 1] }
    }

    /// Two pictures of four positions; the first and the last question are about the second.
    fn looked() -> Looked {
        let values: Vec<f32> = (0..40).map(|at| ((at * 7 % 11) as f32 - 5.0) / 4.0).collect();
        let values = Tensor::from_vec(values, (2, 4, 5), &Device::Cpu).unwrap();
        let sources = Tensor::new(&[1u32, 0, 1], &Device::Cpu).unwrap();
        Looked { annotations: Annotations::grid(values, (2, 2)).unwrap(), sources }
    }

    /// W x + b in candle's own operations.
    fn affine(parameters: &Parameters, name: &str, xs: &Tensor) -> Tensor {
        let tensors = parameters.tensors();
        let of = |end: &str| tensors.iter().find(|(own, _)| *own == format!("{name}.{end}")).unwrap().1.clone();
        xs.broadcast_matmul(&of("weight").t().unwrap()).unwrap().broadcast_add(&of("bias")).unwrap()
    }

    /// The formula in candle's own operations, picture by picture: logits and the weights of each hop.
    fn formula(join: Join, network: &VqaNetwork, parameters: &Parameters) -> (Tensor, Vec<Tensor>) {
        let asked = questions();
        let u = network.text.encode(&asked.ids, &asked.lengths, &mut Mode::Eval).unwrap().vector;
        let looked = looked();
        let a = looked.annotations.tensor().index_select(&looked.sources, 0).unwrap();
        let mut alpha = Vec::new();
        let x = match join {
            Join::None => u,
            Join::Concatenate => Tensor::cat(&[&u, &a.mean(1).unwrap()], 1).unwrap(),
            Join::Product => {
                let of_question = affine(parameters, "join.question", &u).tanh().unwrap();
                (of_question * affine(parameters, "join.picture", &a.mean(1).unwrap()).tanh().unwrap()).unwrap()
            }
            Join::Attention => {
                let b = affine(parameters, "join.projection", &a).tanh().unwrap();
                let mut u = u;
                for hop in 0..2 {
                    let of = |layer: &str| format!("join.{hop}.{layer}");
                    let query = affine(parameters, &of("decoder_att"), &u).unsqueeze(1).unwrap();
                    let sum = affine(parameters, &of("encoder_att"), &b).broadcast_add(&query).unwrap().tanh().unwrap();
                    let scores = affine(parameters, &of("full_att"), &sum).squeeze(2).unwrap();
                    let own = candle_nn::ops::softmax(&scores, D::Minus1).unwrap();
                    u = (u + own.unsqueeze(1).unwrap().matmul(&b).unwrap().squeeze(1).unwrap()).unwrap();
                    alpha.push(own);
                }
                u
            }
        };
        let h = affine(parameters, "hidden", &x).relu().unwrap();
        (affine(parameters, "fc", &h), alpha)
    }

    fn assert_near(found: &Tensor, wanted: &Tensor) {
        assert_eq!(found.dims(), wanted.dims());
        let pairs = flat(found).into_iter().zip(flat(wanted));
        pairs.for_each(|(found, wanted)| assert!((found - wanted).abs() < 1e-5, "{found} {wanted}"));
    }

    #[test]
    fn each_join_is_its_formula() {
        for join in [Join::None, Join::Concatenate, Join::Product, Join::Attention] {
            let (network, parameters) = built(join);
            let joined = network.join(&questions(), Some(&looked()), &mut Mode::Eval).unwrap();
            let (logits, alpha) = formula(join, &network, &parameters);
            assert_near(&network.logits(&joined).unwrap(), &logits);
            assert_eq!(joined.alpha.len(), alpha.len());
            joined.alpha.iter().zip(&alpha).for_each(|(found, wanted)| assert_near(found, wanted));
        }
    }

    #[test]
    fn only_a_network_without_pictures_does_without_them() {
        assert!(built(Join::Attention).0.join(&questions(), None, &mut Mode::Eval).is_err());
        let (network, _) = built(Join::None);
        let joined = network.join(&questions(), None, &mut Mode::Eval).unwrap();
        assert_eq!(network.logits(&joined).unwrap().dims(), [3, SIZES.answers]);
        let none = Tensor::zeros(1, DType::U32, &Device::Cpu).unwrap();
        assert!(network.choice_scores(&joined, &none, &questions(), &mut Mode::Eval).is_err());
    }
}
