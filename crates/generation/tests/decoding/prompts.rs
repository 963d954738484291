use super::small::{Small, sources};
use candle_core::{Result, Tensor};
use candlewick_generation::{
    Decoder as _, GenerationConfig, LogitsProcessor, Sampling, generate, generate_after, search_after,
};
use candlewick_parameters::Mode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

const BOS: u32 = 1;

/// Without an end, so that every sentence has its full length.
fn endless(config: GenerationConfig, words: usize) -> GenerationConfig {
    GenerationConfig { eos_token_id: None, max_new_tokens: words, ..config }
}

#[test]
fn going_on_from_what_was_written_writes_the_rest() {
    let (decoder, memory) = (Small::random(5, 7), sources(5, 3, 7));
    let greedy = endless(GenerationConfig::greedy(), 9);
    let whole = generate(&decoder, &memory, 3, &greedy).unwrap();
    // Prompts of different lengths: the start and the first words.
    let prompt = |row: usize| [&[BOS], &whole[row][0].words[..[4, 0, 2][row]]].concat();
    let prompts: Vec<Vec<u32>> = (0..3).map(prompt).collect();
    let no_start = GenerationConfig { bos_token_id: None, ..endless(GenerationConfig::greedy(), 5) };
    let rest = generate_after(&decoder, &memory, &prompts, &no_start).unwrap();
    for (row, length) in [(0, 4), (1, 0), (2, 2)] {
        let (whole, rest) = (&whole[row][0], &rest[row][0]);
        assert_eq!(rest.words, whole.words[length..length + 5], "row {row}");
        for (a, b) in rest.log_probabilities.iter().zip(&whole.log_probabilities[length..]) {
            assert!((a - b).abs() < 1e-5, "row {row}: {a} and {b}");
        }
    }
    assert!(generate(&decoder, &memory, 3, &no_start).unwrap_err().to_string().contains("bos_token_id is null"));
    for wrong in [vec![vec![], vec![1], vec![1]], vec![vec![7], vec![1], vec![1]]] {
        assert!(generate_after(&decoder, &memory, &wrong, &no_start).is_err(), "{wrong:?}");
    }
}

#[test]
fn beams_and_processors_know_the_prompt() {
    let (decoder, memory) = (Small::random(6, 6), sources(6, 1, 6));
    let config = GenerationConfig { no_repeat_ngram_size: 2, ..endless(GenerationConfig::beam(3), 6) };
    let prompt = vec![BOS, 3, 4, 3];
    let found = generate_after(&decoder, &memory, std::slice::from_ref(&prompt), &config).unwrap();
    let text = [prompt.as_slice(), &found[0][0].words].concat();
    let pairs: Vec<&[u32]> = text.windows(2).collect();
    assert!(pairs.iter().enumerate().all(|(at, pair)| !pairs[..at].contains(pair)), "{text:?}");
    // The least number of new words counts from the prompt on.
    let least = GenerationConfig { min_new_tokens: 4, max_new_tokens: 6, ..GenerationConfig::default() };
    let found = generate_after(&decoder, &memory, &[prompt], &least).unwrap();
    assert!(found[0][0].words.len() >= 4, "{found:?}");
}

#[test]
fn reading_on_in_parts_is_reading_at_once() {
    let (decoder, memory) = (Small::random(7, 6), sources(7, 2, 6));
    let words = Tensor::new(&[[1u32, 3, 4, 5], [1, 2, 2, 3]], decoder.device()).unwrap();
    let mode = &mut Mode::Eval;
    let whole = decoder.teacher_forced(&words, &[4, 4], &memory, mode).unwrap().logits;
    let part = |from: usize, count: usize| words.narrow(1, from, count).unwrap();
    let start = decoder.start(&memory, mode).unwrap();
    let (first, state) = decoder.read_on(&part(0, 3), &[3, 3], &start, &memory, mode).unwrap();
    let (second, _) = decoder.read_on(&part(3, 1), &[1, 1], &state, &memory, mode).unwrap();
    let both = Tensor::cat(&[first.logits, second.logits], 1).unwrap();
    let values = |logits: &Tensor| logits.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(&both), values(&whole));
}

/// Counts the words that it is shown.
struct Shown(Arc<AtomicUsize>, bool);

impl LogitsProcessor for Shown {
    fn process(&self, _: &mut [f32], history: &[u32]) -> Result<()> {
        self.0.fetch_add(history.len(), SeqCst);
        Ok(())
    }

    fn reads_history(&self) -> bool {
        self.1
    }
}

#[test]
fn the_history_is_gathered_only_where_it_is_read() {
    let (decoder, memory) = (Small::random(8, 6), sources(8, 1, 6));
    for (reads, wanted) in [(true, 2 + 3 + 4 + 5), (false, 0)] {
        let shown = Arc::new(AtomicUsize::new(0));
        let config = endless(GenerationConfig::sample(0.7, 3, 0.9), 4);
        let mut search = search_after(&decoder, memory.clone(), &[vec![BOS, 2]], &config).unwrap();
        search.add_processor(Box::new(Shown(Arc::clone(&shown), reads)));
        while search.advance().unwrap() {}
        assert_eq!(shown.load(SeqCst), wanted);
    }
    assert!(Sampling::after(&decoder, memory, &[vec![]], &GenerationConfig::greedy()).is_err());
}
