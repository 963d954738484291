//! Sentences that must hold words, against a search through all sentences.

use crate::small::{Small, all_sentences, check_alphas, check_probabilities, photos};
use candlewick_recurrent::decoding::{EarlyStopping, GenerationConfig, generate};
use proptest::prelude::*;

fn holds(words: &[u32], phrases: &[Vec<u32>]) -> bool {
    phrases.iter().all(|phrase| words.windows(phrase.len()).any(|window| window == phrase))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn with_enough_beams_the_best_sentence_with_all_phrases_is_found(
        seed in 0u64..1_000_000,
        penalty in 0.0f64..1.5,
        phrases in prop_oneof![Just(vec![vec![3u32]]), Just(vec![vec![4, 3]]), Just(vec![vec![3], vec![5, 4]]), Just(vec![])],
    ) {
        let (decoder, photos) = (Small::random(seed, 6), photos(seed, 2, 6));
        let config = GenerationConfig {
            max_new_tokens: 4,
            length_penalty: penalty,
            force_words_ids: phrases.clone(),
            ..GenerationConfig::beam(216)
        };
        for (n, found) in generate(&decoder, &photos, 2, &config).unwrap().iter().enumerate() {
            let photo = photos.get(n).unwrap();
            let all = all_sentences(&decoder, &photo, 4, penalty);
            // Sentences of four words were cut off: one that ended with all phrases goes before them.
            let wanted = all.iter().find(|(_, words)| words.len() < 4 && holds(words, &phrases));
            let best = &found[0];
            if let Some((score, words)) = wanted
                && !phrases.is_empty()
            {
                prop_assert!(best.finished && (f64::from(best.score) - score).abs() < 1e-4, "{:?} {words:?}", best.words);
            }
            check_probabilities(&decoder, &photo, best, penalty);
            check_alphas(&photo, best);
        }
    }
}

#[test]
fn few_beams_hold_the_phrases_too_and_do_not_end_before() {
    for seed in 0..20 {
        let (decoder, photos) = (Small::random(seed, 12), photos(seed, 3, 12));
        let phrases = vec![vec![7u32], vec![9, 4]];
        let config =
            GenerationConfig { max_new_tokens: 12, force_words_ids: phrases.clone(), ..GenerationConfig::beam(3) };
        for found in generate(&decoder, &photos, 3, &config).unwrap() {
            assert!(holds(&found[0].words, &phrases), "{:?}", found[0].words);
        }
    }
}

/// Of a search that ends at its last word both those that ended and those that were cut off are told.
#[test]
fn cut_off_sentences_with_all_phrases_follow_those_that_ended() {
    let mut rows = vec![vec![0.0, f32::NEG_INFINITY, 1.0, 2.0, 0.5]; 5];
    rows[2] = vec![f32::NEG_INFINITY; 5];
    let config = GenerationConfig {
        max_new_tokens: 2,
        force_words_ids: vec![vec![3]],
        num_return_sequences: 4,
        ..GenerationConfig::beam(4)
    };
    let found = &generate(&Small::markov(&rows), &photos(1, 1, 5), 1, &config).unwrap()[0];
    assert_eq!(found.len(), 4);
    assert!(found[0].finished && !found[3].finished && found.iter().all(|found| found.words.contains(&3)));
    let at_once = GenerationConfig { early_stopping: EarlyStopping::True, max_new_tokens: 9, ..config };
    let found = &generate(&Small::markov(&rows), &photos(1, 1, 5), 1, &at_once).unwrap()[0];
    assert!(found.len() == 4 && found.iter().all(|found| found.finished));
}

#[test]
fn what_does_not_fit_is_told_as_far_as_it_came_and_what_makes_no_sense_is_refused() {
    let (decoder, photos) = (Small::random(1, 12), photos(1, 1, 12));
    let config = |max_new_tokens, phrases: &[&[u32]], beams| GenerationConfig {
        max_new_tokens,
        force_words_ids: phrases.iter().map(|phrase| phrase.to_vec()).collect(),
        ..GenerationConfig::beam(beams)
    };
    let found = generate(&decoder, &photos, 1, &config(2, &[&[7, 8, 9]], 3)).unwrap();
    assert!(!found[0][0].finished && found[0][0].words == [7, 8]);
    for (config, wanted) in [
        (config(9, &[&[7]], 1), "num_beams above 1"),
        (config(9, &[&[]], 3), "lists of at least one word"),
        (config(9, &[&[70]], 3), "below the vocabulary's size 12; found 70"),
        (config(9, &[&[3], &[4], &[5], &[6], &[7], &[8], &[9]], 3), "name fewer words"),
        (config(9, &[&[3][..]; 64], 3), "name fewer words"),
        (config(9, &[&[7, 2]], 3), "none of which ends the sentence"),
        (GenerationConfig { suppress_tokens: vec![7], ..config(9, &[&[7]], 3) }, "words that may come"),
        (GenerationConfig { bad_words_ids: vec![vec![8, 7]], ..config(9, &[&[9, 8, 7]], 3) }, "words that may come"),
    ] {
        let error = generate(&decoder, &photos, 1, &config).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}
