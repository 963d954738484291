//! Beams against all sentences, and examples worked out by hand.

use super::small::{Small, all_sentences, check_alphas, check_probabilities, log_probabilities, photos, plain, words};
use candlewick_recurrent::decoding::{BeamSearch, GenerationConfig, generate};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn beams_for_all_sentences_find_the_best_of_all(seed in 0u64..1_000_000, penalty in -1.0f64..2.0, max in 1usize..4) {
        let (decoder, photos) = (Small::random(seed, 4), photos(seed, 2, 4));
        let config = GenerationConfig {
            length_penalty: penalty,
            max_new_tokens: max,
            num_return_sequences: 5,
            ..GenerationConfig::beam(64)
        };
        let found = generate(&decoder, &photos, 2, &config).unwrap();
        for (n, found) in found.iter().enumerate() {
            let wanted = all_sentences(&decoder, &photos.get(n).unwrap(), max, penalty);
            prop_assert_eq!(found.len(), wanted.len().min(5));
            for (found, wanted) in found.iter().zip(&wanted) {
                prop_assert!((f64::from(found.score) - wanted.0).abs() < 1e-4, "{:?} {:?}", found, wanted);
                prop_assert_eq!(&found.words, &wanted.1);
            }
        }
    }

    #[test]
    fn a_batch_gives_what_each_photo_gives_alone(seed in 0u64..1_000_000, beams in 1usize..6, sampled: bool) {
        let (decoder, photos) = (Small::random(seed, 7), photos(seed, 4, 7));
        let config = if sampled { GenerationConfig::sample(1.3, 5, 0.95) } else { GenerationConfig::beam(beams) };
        let config = GenerationConfig { num_return_sequences: if sampled { 3 } else { beams }, seed, ..config };
        let together = generate(&decoder, &photos, 4, &config).unwrap();
        // A sample's generator comes from the photo's index: only the first one is the same alone.
        for (n, found) in together.iter().enumerate().take(if sampled { 1 } else { 4 }) {
            let alone = generate(&decoder, &photos.narrow(0, n, 1).unwrap(), 1, &config).unwrap();
            prop_assert_eq!(found, &alone[0]);
        }
        let fewer = generate(&decoder, &photos.narrow(0, 0, 3).unwrap(), 3, &config).unwrap();
        prop_assert_eq!(&together[..3], &fewer[..]);
    }

    #[test]
    fn hypotheses_are_sorted_distinct_and_add_up(seed in 0u64..1_000_000, beams in 2usize..8, penalty in -1.0f64..2.0) {
        let (decoder, photos) = (Small::random(seed, 6), photos(seed, 2, 6));
        let config = GenerationConfig {
            num_return_sequences: beams,
            length_penalty: penalty,
            max_new_tokens: 7,
            ..GenerationConfig::beam(beams)
        };
        for (n, found) in generate(&decoder, &photos, 2, &config).unwrap().iter().enumerate() {
            let photo = photos.get(n).unwrap();
            prop_assert!(!found.is_empty());
            prop_assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
            let mut distinct = words(found);
            distinct.sort();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), found.len());
            for hypothesis in found {
                check_probabilities(&decoder, &photo, hypothesis, penalty);
                check_alphas(&photo, hypothesis);
            }
        }
    }
}

#[test]
fn one_beam_is_greedy_and_greedy_takes_the_likeliest() {
    for seed in 0..20 {
        let (decoder, photos) = (Small::random(seed, 8), photos(seed, 3, 8));
        let greedy = generate(&decoder, &photos, 3, &GenerationConfig::greedy()).unwrap();
        // generate would take num_beams 1 for greedy itself; the search of one beam is asked for by name.
        let mut search = BeamSearch::new(&decoder, &photos, 3, &GenerationConfig::beam(1)).unwrap();
        while search.advance().unwrap() {}
        assert_eq!(greedy, search.finish().unwrap());
        for (n, found) in greedy.iter().enumerate() {
            let photo = photos.get(n).unwrap();
            check_alphas(&photo, &found[0]);
            let mut history = vec![1];
            for &word in &found[0].words {
                let likely = log_probabilities(&decoder, &photo, &history);
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
