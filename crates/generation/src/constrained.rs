//! Constrained beam search: sentences in which wanted words come.

use crate::batch::{Batch, Logits, NextRow};
use crate::hypothesis::{ROOT, penalised};
use crate::{Decoder, GenerationConfig, Hypothesis};
use candle_core::Result;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// How far a sentence has come with a set of phrases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    /// It ends with the first `count` words of this phrase, the first such one, and with no more words of any.
    Begun { count: usize, phrase: usize },
    /// One of them stands in it.
    Whole,
}

/// How far it has come with each set.
type Progress = Vec<Reached>;

/// The most states of progress that a search may have: beams are kept for each.
pub(crate) const MOST_STATES: usize = 64;

#[derive(Clone, Copy)]
struct Beam {
    last: usize,
    sum: f64,
    row: usize,
}

struct Candidate {
    parent: usize,
    parent_row: usize,
    sum: f64,
    log_probability: f32,
    word: u32,
}

struct Ended {
    last: usize,
    end: f32,
    score: f64,
}

/// What a source's search found.
#[derive(Default)]
struct Source {
    /// The beams of each state of progress, the best first.
    running: BTreeMap<Progress, Vec<Beam>>,
    /// Sentences that ended with a phrase of each set in them, the best first.
    ended: Vec<Ended>,
    done: bool,
}

/// Beam search for sentences that hold a phrase of each set of `force_words_ids`.
///
/// The sets are a finite-state machine whose state is how far the sentence has come with each of them; `num_beams` hypotheses are kept in
/// each state, so that one with more of the phrases never competes with one with fewer. Beside the likeliest words each hypothesis
/// is continued with the next word of each phrase of the sets that it lacks, and only those that lack none may end. With no set it is beam search
/// with one state. A source whose phrases do not fit into `max_new_tokens` gets its best unfinished hypotheses.
///
/// Anderson et al. 2017, "Guided open vocabulary image captioning with constrained beam search".
pub struct ConstrainedBeamSearch<'a, D: Decoder> {
    batch: Batch<'a, D>,
    config: GenerationConfig,
    sources: Vec<Source>,
}

impl<'a, D: Decoder> ConstrainedBeamSearch<'a, D> {
    /// A search before its first word, about the `count` rows of `memory`.
    ///
    /// # Errors
    /// When the configuration is not valid for this decoder, or the memory does not fit.
    pub fn new(decoder: &'a D, memory: &'a D::Memory, count: usize, config: &GenerationConfig) -> Result<Self> {
        let batch = Batch::new(decoder, memory, count, config)?;
        let source = |row: usize| {
            let start = progress(&[], &config.force_words_ids);
            Source { running: [(start, vec![Beam { last: ROOT, sum: 0.0, row }])].into(), ..Source::default() }
        };
        Ok(Self { batch, config: config.clone(), sources: (0..count).map(source).collect() })
    }

    /// Writes one more word of every hypothesis of every source that is not done; whether there is more to write.
    ///
    /// # Errors
    /// When a step fails, or logits are not numbers.
    pub fn advance(&mut self) -> Result<bool> {
        let length = self.batch.trace.steps() + 1;
        if self.batch.is_empty() || length > self.config.max_new_tokens {
            return Ok(false);
        }
        let logits = self.batch.step()?;
        let mut next = Vec::new();
        let Self { batch, config, sources } = self;
        for (source, of) in sources.iter_mut().enumerate().filter(|(_, of)| !of.done) {
            let banks = banks(batch, config, of, &logits)?;
            if banks.is_empty() && of.ended.is_empty() {
                // Nothing can follow: what was written stands as it is.
                of.done = true;
                continue;
            }
            let before = next.len();
            of.running = go_on(batch, banks, source, &mut next);
            if of.is_done(config, length) {
                of.done = true;
                next.truncate(before);
                if !of.ended.is_empty() {
                    // At the last word those with all phrases are sentences too, if cut off.
                    let last = length == config.max_new_tokens;
                    of.running.retain(|state, _| last && finished(state));
                }
            }
        }
        batch.select(&next)?;
        Ok(!batch.is_empty())
    }

    /// For each source its `num_return_sequences` best hypotheses as far as they are written, the best first.
    ///
    /// Those that ended come first; of the others those that have come further with the phrases.
    ///
    /// # Errors
    /// When attention weights cannot be brought to the host.
    pub fn finish(&self) -> Result<Vec<Vec<Hypothesis>>> {
        let alphas = self.batch.trace.alphas()?;
        let best = |source: &Source| {
            let tell = |last, end| self.batch.trace.hypothesis(last, end, &alphas, &self.config);
            let mut found: Vec<Hypothesis> =
                source.ended.iter().map(|ended| tell(ended.last, Some(ended.end))).collect();
            let mut states: Vec<&Progress> = source.running.keys().collect();
            states.sort_by_key(|state| Reverse(rank(state)));
            let unfinished = states.into_iter().filter_map(|state| source.running.get(state)).flatten();
            found.extend(unfinished.map(|beam| tell(beam.last, None)));
            found.truncate(self.config.num_return_sequences);
            found
        };
        Ok(self.sources.iter().map(best).collect())
    }
}

/// The best continuations of a source's hypotheses, in the bank of how far each has come with the phrases; those that end as
/// sentences are put aside.
fn banks<D: Decoder>(
    batch: &Batch<D>,
    config: &GenerationConfig,
    of: &mut Source,
    logits: &Logits,
) -> Result<BTreeMap<Progress, Vec<Candidate>>> {
    let mut banks: BTreeMap<Progress, Vec<Candidate>> = BTreeMap::new();
    let (mut scores, mut history) = (Vec::new(), Vec::new());
    let beams: Vec<Beam> = of.running.values().flatten().copied().collect();
    for beam in beams {
        logits.log_probabilities(beam.row, &mut scores);
        batch.trace.read(beam.last, &mut history);
        config.constrain(&mut scores, &history, batch.trace.steps() - 1);
        for word in continuations(&scores, &history, config) {
            let log_probability = scores.get(word as usize).copied().unwrap_or(f32::NEG_INFINITY);
            if log_probability == f32::NEG_INFINITY {
                continue;
            }
            let sum = beam.sum + f64::from(log_probability);
            if word == config.eos_token_id {
                if finished(&progress(&history, &config.force_words_ids)) {
                    let score = penalised(sum, batch.trace.steps(), config.length_penalty);
                    of.end(Ended { last: beam.last, end: log_probability, score }, config.num_beams);
                }
                continue;
            }
            history.push(word);
            let state = progress(&history, &config.force_words_ids);
            history.pop();
            let candidate = Candidate { parent: beam.last, parent_row: beam.row, sum, log_probability, word };
            insert(banks.entry(state).or_default(), candidate, config.num_beams);
        }
    }
    Ok(banks)
}

/// The hypotheses that a source goes on with.
fn go_on<D: Decoder>(
    batch: &mut Batch<D>,
    banks: BTreeMap<Progress, Vec<Candidate>>,
    source: usize,
    next: &mut Vec<NextRow>,
) -> BTreeMap<Progress, Vec<Beam>> {
    let mut beam = |found: Candidate| {
        let Candidate { parent, parent_row, sum, log_probability, word } = found;
        let last = batch.trace.push(parent, word, log_probability, parent_row);
        next.push(NextRow { parent: parent_row, source, word });
        Beam { last, sum, row: next.len() - 1 }
    };
    banks.into_iter().map(|(state, candidates)| (state, candidates.into_iter().map(&mut beam).collect())).collect()
}

impl Source {
    /// Keeps the best `width` ended hypotheses, of equal ones the earlier.
    fn end(&mut self, ended: Ended, width: usize) {
        let at = self.ended.partition_point(|other| other.score >= ended.score);
        self.ended.insert(at, ended);
        self.ended.truncate(width);
    }

    /// Whether nothing can come that is better, or nothing at all, after `length` words.
    fn is_done(&self, config: &GenerationConfig, length: usize) -> bool {
        let best = self.running.values().flatten().map(|beam| beam.sum).fold(f64::NEG_INFINITY, f64::max);
        if length == config.max_new_tokens || best == f64::NEG_INFINITY {
            return true;
        }
        self.ended.get(config.num_beams - 1).is_some_and(|worst| config.stops(best, worst.score, length))
    }
}

/// Keeps the best `width` candidates, of equal ones the earlier.
fn insert(bank: &mut Vec<Candidate>, candidate: Candidate, width: usize) {
    let at = bank.partition_point(|other| other.sum >= candidate.sum);
    bank.insert(at, candidate);
    bank.truncate(width);
}

/// The words that a hypothesis is continued with: the likeliest, and the next of each phrase of the sets that it lacks.
fn continuations(scores: &[f32], history: &[u32], config: &GenerationConfig) -> Vec<u32> {
    let wanted = config.num_beams.saturating_mul(2).min(scores.len());
    let mut words: Vec<u32> = (0..scores.len() as u32).collect();
    let score = |word: u32| scores.get(word as usize).copied().unwrap_or(f32::NEG_INFINITY);
    if wanted < words.len() {
        words.select_nth_unstable_by(wanted, |&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
        words.truncate(wanted);
    }
    let next = |phrase: &Vec<u32>| [begun(history, phrase), 0].map(|at| phrase.get(at).copied());
    let sets = config.force_words_ids.iter().zip(progress(history, &config.force_words_ids));
    for (set, _) in sets.filter(|(_, reached)| *reached != Reached::Whole) {
        words.extend(set.iter().flat_map(next).flatten());
    }
    words.sort_unstable();
    words.dedup();
    words
}

/// How far a sentence has come with each set of phrases.
fn progress(history: &[u32], sets: &[Vec<Vec<u32>>]) -> Progress {
    let of = |set: &Vec<Vec<u32>>| {
        let stands = |phrase: &Vec<u32>| history.windows(phrase.len()).any(|words| words == phrase);
        if set.iter().any(stands) {
            return Reached::Whole;
        }
        // Of phrases that begin alike the first stands for all.
        let parts = set.iter().enumerate().map(|(at, phrase)| (begun(history, phrase), Reverse(at)));
        let (count, Reverse(phrase)) = parts.max().unwrap_or_default();
        Reached::Begun { count, phrase }
    };
    sets.iter().map(of).collect()
}

/// How many of a phrase's first words, less than all, the sentence ends with.
fn begun(history: &[u32], phrase: &[u32]) -> usize {
    (0..phrase.len()).rev().find(|&count| history.ends_with(&phrase[..count])).unwrap_or(0)
}

fn finished(progress: &Progress) -> bool {
    progress.iter().all(|reached| *reached == Reached::Whole)
}

/// The sets that a sentence lacks nothing of, and the words of others.
fn rank(progress: &Progress) -> (usize, usize) {
    progress.iter().fold((0, 0), |(whole, words), reached| match reached {
        Reached::Whole => (whole + 1, words),
        Reached::Begun { count, .. } => (whole, words + count),
    })
}

/// How many states of progress there are: of each set the different beginnings of its phrases, and one for all that is whole.
pub(crate) fn states(sets: &[Vec<Vec<u32>>]) -> usize {
    let of = |set: &Vec<Vec<u32>>| {
        // More than that are too many already.
        let counts = |phrase: &[u32]| 0..phrase.len().min(MOST_STATES);
        let beginnings = set.iter().flat_map(|phrase| counts(phrase).filter_map(|count| phrase.get(..count)));
        beginnings.collect::<BTreeSet<&[u32]>>().len() + 1
    };
    sets.iter().map(of).fold(1, usize::saturating_mul)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn part(count: usize, phrase: usize) -> Reached {
        Reached::Begun { count, phrase }
    }

    #[test]
    fn a_phrase_comes_word_by_word_and_stays_once_it_is_there() {
        let sets = vec![vec![vec![5, 6]], vec![vec![7]]];
        for (history, wanted) in [
            (&[1u32, 5][..], [part(1, 0), part(0, 0)]),
            (&[1, 5, 6], [Reached::Whole, part(0, 0)]),
            (&[1, 5, 6, 7, 5], [Reached::Whole, Reached::Whole]),
            (&[1, 5, 5], [part(1, 0), part(0, 0)]),
            (&[1, 6], [part(0, 0), part(0, 0)]),
        ] {
            assert_eq!(progress(history, &sets), wanted, "{history:?}");
        }
    }

    #[test]
    fn of_several_phrases_the_one_that_came_furthest_counts() {
        let set = vec![vec![5, 6, 7], vec![5, 8], vec![6, 6], vec![9]];
        for (history, wanted) in [
            (&[1u32][..], part(0, 0)),
            (&[1, 5], part(1, 0)),
            (&[1, 5, 6], part(2, 0)),
            (&[1, 8, 6], part(1, 2)),
            (&[1, 5, 8], Reached::Whole),
            (&[1, 5, 6, 6], Reached::Whole),
            (&[9, 5], Reached::Whole),
        ] {
            assert_eq!(progress(history, std::slice::from_ref(&set)), [wanted], "{history:?}");
        }
        // Nothing, 5, 5 6, 6, and whole.
        assert_eq!(states(std::slice::from_ref(&set)), 5);
        assert_eq!(states(&[set, vec![vec![3]]]), 10);
        assert_eq!(states(&[]), 1);
        assert!(states(&[vec![vec![3; 1_000_000]]]) > MOST_STATES && states(&vec![vec![vec![3]]; 99]) > MOST_STATES);
    }
}
