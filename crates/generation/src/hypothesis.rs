//! Sentences found by a search, and the back-pointers that they are read from.

use candle_core::{DType, Result, Tensor};

/// A sentence that a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// The words, without start and end.
    pub words: Vec<u32>,
    /// Σ `log_probabilities` / length^length_penalty, where the length counts the words and, where it came, the end.
    pub score: f32,
    /// The logarithm of each word's probability and, where the sentence ended, last of all the end's.
    ///
    /// They are the decoder's own, before temperature, cuts and bans; a beam search counts its repetition penalty in.
    pub log_probabilities: Vec<f32>,
    /// For each word the attention weights (P) of the step that wrote it; empty for a decoder without attention.
    pub alpha: Vec<Vec<f32>>,
    /// Whether the sentence ended by itself; false where it was cut off.
    pub finished: bool,
}

/// Index of the node that stands for the start of a source's sentences.
pub(crate) fn root(source: usize) -> usize {
    source
}

/// A hypothesis of a beam search that goes on.
#[derive(Clone, Copy)]
pub(crate) struct Beam {
    /// Its last word in the trace.
    pub last: usize,
    /// Σ log p of its words.
    pub sum: f64,
    /// Its row of the batch.
    pub row: usize,
}

/// A beam with one more word.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    pub beam: Beam,
    pub sum: f64,
    pub log_probability: f32,
    pub word: u32,
}

/// A hypothesis that ended: its last word before the end, the end's log-probability and its score.
pub(crate) struct Ended {
    pub last: usize,
    pub end: f32,
    pub score: f64,
}

/// Keeps the best `width` ended hypotheses, of equal ones the earlier.
pub(crate) fn keep_ended(list: &mut Vec<Ended>, ended: Ended, width: usize) {
    let at = list.partition_point(|other| other.score >= ended.score);
    list.insert(at, ended);
    list.truncate(width);
}

/// One written word: where it came from and what it cost.
struct Node {
    parent: usize,
    word: u32,
    log_probability: f32,
    /// The row of the step's batch that wrote it.
    row: usize,
}

/// All words ever written in a search, as a tree by back-pointers, with the attention weights of each step.
pub(crate) struct Trace {
    /// What each source's sentences go on from; its last word is the source's root.
    prompts: Vec<Vec<u32>>,
    nodes: Vec<Node>,
    alphas: Vec<Option<Tensor>>,
}

/// Σ log p / length^length_penalty.
pub(crate) fn penalised(sum: f64, length: usize, length_penalty: f64) -> f64 {
    sum / (length.max(1) as f64).powf(length_penalty)
}

impl Trace {
    pub(crate) fn new(prompts: Vec<Vec<u32>>) -> Self {
        let word = |prompt: &Vec<u32>| prompt.last().copied().unwrap_or_default();
        let start = |(at, prompt)| Node { parent: root(at), word: word(prompt), log_probability: 0.0, row: at };
        Self { nodes: prompts.iter().enumerate().map(start).collect(), prompts, alphas: Vec::new() }
    }

    /// Number of steps taken.
    pub(crate) fn steps(&self) -> usize {
        self.alphas.len()
    }

    /// Records the attention weights (rows, P) of a step.
    pub(crate) fn push_step(&mut self, alpha: Option<Tensor>) {
        // Cut from the graph, so that the step's other tensors can go.
        self.alphas.push(alpha.map(|alpha| alpha.detach()));
    }

    /// Records that the last step's `row` wrote `word` after `parent`.
    pub(crate) fn push(&mut self, parent: usize, word: u32, log_probability: f32, row: usize) -> usize {
        self.nodes.push(Node { parent, word, log_probability, row });
        self.nodes.len() - 1
    }

    /// The word of a node.
    pub(crate) fn word(&self, node: usize) -> u32 {
        self.nodes.get(node).map_or(0, |node| node.word)
    }

    /// The nodes from `last` back to the first word.
    fn path(&self, last: usize) -> impl Iterator<Item = &Node> {
        let mut at = last;
        std::iter::from_fn(move || {
            let node = self.nodes.get(at).filter(|node| node.parent != at)?;
            at = node.parent;
            Some(node)
        })
    }

    /// Puts the prompt and the words up to `last` into `words`.
    pub(crate) fn read(&self, last: usize, words: &mut Vec<u32>) {
        words.clear();
        let mut first = last;
        for node in self.path(last) {
            words.push(node.word);
            first = node.parent;
        }
        words.extend(self.prompts.get(first).into_iter().flat_map(|prompt| prompt.iter().rev()));
        words.reverse();
    }

    /// The attention weights of all steps on the host.
    pub(crate) fn alphas(&self) -> Result<Vec<Option<Vec<Vec<f32>>>>> {
        let host = |alpha: &Tensor| alpha.to_dtype(DType::F32)?.to_vec2::<f32>();
        self.alphas.iter().map(|alpha| alpha.as_ref().map(host).transpose()).collect()
    }

    /// The sentence up to `last`, ended with the log-probability `end` or cut off; `alphas` as above.
    pub(crate) fn hypothesis(
        &self,
        last: usize,
        end: Option<f32>,
        alphas: &[Option<Vec<Vec<f32>>>],
        length_penalty: f64,
    ) -> Hypothesis {
        let mut path: Vec<&Node> = self.path(last).collect();
        path.reverse();
        let weights = |(step, node): (usize, &&Node)| Some(alphas.get(step)?.as_ref()?.get(node.row)?.clone());
        let log_probabilities: Vec<f32> = path.iter().map(|node| node.log_probability).chain(end).collect();
        let sum = log_probabilities.iter().map(|&p| f64::from(p)).sum();
        Hypothesis {
            words: path.iter().map(|node| node.word).collect(),
            score: penalised(sum, log_probabilities.len(), length_penalty) as f32,
            alpha: path.iter().enumerate().filter_map(weights).collect(),
            log_probabilities,
            finished: end.is_some(),
        }
    }
}
