//! Beams against all sentences, and examples worked out by hand.

use super::small::{
    EOS, Small, all_sentences, check_alphas, check_probabilities, log_probabilities, plain, sources, words,
};
use candle_core::Tensor;
use candlewick_generation::{BeamSearch, GenerationConfig, Search as _, generate};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn beams_for_all_sentences_find_the_best_of_all(seed in 0u64..1_000_000, penalty in -1.0f64..2.0, max in 1usize..4) {
        let (decoder, sources) = (Small::random(seed, 4), sources(seed, 2, 4));
        let config = GenerationConfig {
            length_penalty: penalty,
            max_new_tokens: max,
            num_return_sequences: 5,
            ..GenerationConfig::beam(64)
        };
        let found = generate(&decoder, &sources, 2, &config).unwrap();
        for (n, found) in found.iter().enumerate() {
            let wanted = all_sentences(&decoder, &sources.get(n).unwrap(), max, penalty);
            prop_assert_eq!(found.len(), wanted.len().min(5));
            for (found, wanted) in found.iter().zip(&wanted) {
                prop_assert!((f64::from(found.score) - wanted.0).abs() < 1e-4, "{:?} {:?}", found, wanted);
                prop_assert_eq!(&found.words, &wanted.1);
            }
        }
    }

    #[test]
    fn a_batch_gives_what_each_source_gives_alone(seed in 0u64..1_000_000, beams in 1usize..6, sampled: bool) {
        let (decoder, sources) = (Small::random(seed, 7), sources(seed, 4, 7));
        let config = if sampled { GenerationConfig::sample(1.3, 5, 0.95) } else { GenerationConfig::beam(beams) };
        let config = GenerationConfig { num_return_sequences: if sampled { 3 } else { beams }, seed, ..config };
        let together = generate(&decoder, &sources, 4, &config).unwrap();
        // A sample's generator comes from the source's index: only the first one is the same alone.
        for (n, found) in together.iter().enumerate().take(if sampled { 1 } else { 4 }) {
            let alone = generate(&decoder, &sources.narrow(0, n, 1).unwrap(), 1, &config).unwrap();
            prop_assert_eq!(found, &alone[0]);
        }
        let fewer = generate(&decoder, &sources.narrow(0, 0, 3).unwrap(), 3, &config).unwrap();
        prop_assert_eq!(&together[..3], &fewer[..]);
    }

    #[test]
    fn hypotheses_are_sorted_distinct_and_add_up(seed in 0u64..1_000_000, beams in 2usize..8, penalty in -1.0f64..2.0) {
        let (decoder, sources) = (Small::random(seed, 6), sources(seed, 2, 6));
        let config = GenerationConfig {
            num_return_sequences: beams,
            length_penalty: penalty,
            max_new_tokens: 7,
            ..GenerationConfig::beam(beams)
        };
        for (n, found) in generate(&decoder, &sources, 2, &config).unwrap().iter().enumerate() {
            let source = sources.get(n).unwrap();
            prop_assert!(!found.is_empty());
            prop_assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
            let mut distinct = words(found);
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), found.len());
            for hypothesis in found {
                check_probabilities(&decoder, &source, hypothesis, penalty);
                check_alphas(&source, hypothesis);
            }
        }
    }
}

#[test]
fn one_beam_is_greedy_and_greedy_takes_the_likeliest() {
    for seed in 0..20 {
        let (decoder, sources) = (Small::random(seed, 8), sources(seed, 3, 8));
        let greedy = generate(&decoder, &sources, 3, &GenerationConfig::greedy()).unwrap();
        // generate would take num_beams 1 for greedy itself; the search of one beam is asked for by name.
        let mut search = BeamSearch::new(&decoder, sources.clone(), 3, &GenerationConfig::beam(1)).unwrap();
        while search.advance().unwrap() {}
        assert_eq!(greedy, search.hypotheses().unwrap());
        for (n, found) in greedy.iter().enumerate() {
            let source = sources.get(n).unwrap();
            check_alphas(&source, &found[0]);
            let mut history = vec![1];
            for &word in &found[0].words {
                let likely = log_probabilities(&decoder, &source, &history);
                assert!(likely.iter().all(|&p| p <= likely[word as usize] + 1e-6));
                history.push(word);
            }
        }
    }
}

/// From the start: 3 with 0.6, 4 with 0.4. After 3 the end with 0.5; after 4 mostly 5, after 5 mostly the end.
fn long_or_short() -> Small {
    let p = |entries: &[(usize, f32)]| {
        let mut row = vec![f32::NEG_INFINITY; 6];
        entries.iter().for_each(|&(word, p)| row[word] = p.ln());
        row
    };
    let nothing = p(&[(2, 1.0)]);
    Small::markov(&[
        nothing.clone(),
        p(&[(3, 0.6), (4, 0.4)]),
        nothing,
        p(&[(2, 0.5), (3, 0.5)]),
        p(&[(5, 0.9), (2, 0.1)]),
        p(&[(2, 0.7), (5, 0.3)]),
    ])
}

#[test]
fn a_length_penalty_turns_the_choice_over() {
    let decoder = long_or_short();
    let best = |length_penalty| {
        let config = GenerationConfig { length_penalty, ..GenerationConfig::beam(3) };
        generate(&decoder, &plain(1, 6), 1, &config).unwrap()[0][0].clone()
    };
    // By hand: [3] scores ln 0.3 = −1.204 as a sum and −0.602 a word; [4 5] ln 0.252 = −1.378 and −0.459.
    let (short, long) = (best(0.0), best(1.0));
    assert_eq!((short.words, long.words), (vec![3], vec![4, 5]));
    assert!((short.score - 0.3f32.ln()).abs() < 1e-6 && (long.score - 0.252f32.ln() / 3.0).abs() < 1e-6);
    assert_eq!(best(-2.0).words, [3]);
}

#[test]
fn equal_scores_go_to_the_lower_word() {
    let decoder = Small::markov(&vec![vec![f32::NEG_INFINITY, 0.0, 0.0, 0.0, 0.0, f32::NEG_INFINITY]; 6]);
    let config = GenerationConfig { num_return_sequences: 3, max_new_tokens: 2, ..GenerationConfig::beam(3) };
    let found = generate(&decoder, &plain(1, 6), 1, &config).unwrap();
    assert_eq!(words(&found[0]), [vec![], vec![1], vec![1, 1]]);
    assert_eq!(generate(&decoder, &plain(1, 6), 1, &GenerationConfig::greedy()).unwrap()[0][0].words, [1; 20]);
}

/// Groups of one beam: each takes the likeliest word, less the penalty for every earlier group that took it at this step.
fn greedy_groups(decoder: &Small, source: &Tensor, groups: usize, penalty: f64, steps: usize) -> Vec<Vec<u32>> {
    let mut sentences = vec![vec![1u32]; groups];
    for _ in 0..steps {
        let mut taken: Vec<u32> = Vec::new();
        for sentence in &mut sentences {
            let log_p = log_probabilities(decoder, source, sentence);
            let score = |word: u32| {
                log_p[word as usize] - penalty * taken.iter().filter(|&&other| other == word).count() as f64
            };
            let words = (0..log_p.len() as u32).filter(|&word| word != EOS);
            let best = words.max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap();
            taken.push(best);
            sentence.push(best);
        }
    }
    sentences.into_iter().map(|sentence| sentence[1..].to_vec()).collect()
}

#[test]
fn groups_avoid_each_others_words() {
    for seed in 0..20 {
        let (decoder, sources) = (Small::random(seed, 9), sources(seed, 2, 9));
        // Nothing ends before the last step, so that each group has one sentence.
        let config = GenerationConfig {
            num_beam_groups: 4,
            diversity_penalty: 0.7,
            max_new_tokens: 4,
            min_new_tokens: 4,
            num_return_sequences: 4,
            ..GenerationConfig::beam(4)
        };
        for (n, found) in generate(&decoder, &sources, 2, &config).unwrap().iter().enumerate() {
            let source = sources.get(n).unwrap();
            let mut wanted = greedy_groups(&decoder, &source, 4, 0.7, 4);
            wanted.sort();
            wanted.dedup();
            let mut told = words(found);
            told.sort();
            assert_eq!(told, wanted);
            // What is told of a sentence is without the penalty.
            found.iter().for_each(|hypothesis| check_probabilities(&decoder, &source, hypothesis, 1.0));
        }
    }
}

#[test]
fn groups_without_a_penalty_are_smaller_searches() {
    for seed in 0..20 {
        let (decoder, sources) = (Small::random(seed, 9), sources(seed, 2, 9));
        let alone = GenerationConfig { num_return_sequences: 3, ..GenerationConfig::beam(3) };
        let groups = GenerationConfig { num_beams: 6, num_beam_groups: 2, ..alone.clone() };
        let (alone, groups) = [alone, groups].map(|config| generate(&decoder, &sources, 2, &config).unwrap()).into();
        assert_eq!(alone, groups);
    }
}

#[test]
fn groups_part_the_beams_evenly() {
    let uneven = GenerationConfig { num_beam_groups: 2, ..GenerationConfig::beam(5) };
    assert!(uneven.validate().unwrap_err().to_string().contains("num_beam_groups must be a divisor of num_beams = 5"));
    let negative = GenerationConfig { diversity_penalty: -1.0, ..GenerationConfig::beam(4) };
    assert!(negative.validate().unwrap_err().to_string().contains("diversity_penalty"));
}
