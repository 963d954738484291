//! Sentences that must hold words, against a search through all sentences.

use crate::small::{Small, all_sentences, check_alphas, check_probabilities, sources};
use candlewick_generation::{EarlyStopping, GenerationConfig, generate};
use proptest::prelude::*;

/// Sets of phrases, of each of which one must come.
type Sets = Vec<Vec<Vec<u32>>>;

fn holds(words: &[u32], sets: &Sets) -> bool {
    let stands = |phrase: &Vec<u32>| words.windows(phrase.len()).any(|window| window == phrase);
    sets.iter().all(|set| set.iter().any(stands))
}

/// What a search must find, a phrase a set.
fn all_of(phrases: &[&[u32]]) -> Sets {
    phrases.iter().map(|phrase| vec![phrase.to_vec()]).collect()
}

fn sets() -> impl Strategy<Value = Sets> {
    prop_oneof![
        Just(all_of(&[&[3]])),
        Just(all_of(&[&[4, 3]])),
        Just(all_of(&[&[3], &[5, 4]])),
        Just(vec![vec![vec![3], vec![5]]]),
        Just(vec![vec![vec![4, 3], vec![4, 5], vec![0, 0, 1]]]),
        Just(vec![vec![vec![3], vec![3, 4]], vec![vec![4], vec![5, 3]]]),
        Just(vec![]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn with_enough_beams_the_best_sentence_with_all_phrases_is_found(
        seed in 0u64..1_000_000,
        penalty in 0.0f64..1.5,
        sets in sets(),
    ) {
        let (decoder, sources) = (Small::random(seed, 6), sources(seed, 2, 6));
        let config = GenerationConfig {
            max_new_tokens: 4,
            length_penalty: penalty,
            force_words_ids: sets.clone(),
            ..GenerationConfig::beam(216)
        };
        for (n, found) in generate(&decoder, &sources, 2, &config).unwrap().iter().enumerate() {
            let source = sources.get(n).unwrap();
            let all = all_sentences(&decoder, &source, 4, penalty);
            // Sentences of four words were cut off: one that ended with all phrases goes before them.
            let wanted = all.iter().find(|(_, words)| words.len() < 4 && holds(words, &sets));
            let best = &found[0];
            if let Some((score, words)) = wanted
                && !sets.is_empty()
            {
                prop_assert!(best.finished && (f64::from(best.score) - score).abs() < 1e-4, "{:?} {words:?}", best.words);
            }
            check_probabilities(&decoder, &source, best, penalty);
            check_alphas(&source, best);
        }
    }
}

#[test]
fn few_beams_hold_the_phrases_too_and_do_not_end_before() {
    for seed in 0..20 {
        let (decoder, sources) = (Small::random(seed, 12), sources(seed, 3, 12));
        for sets in [all_of(&[&[7], &[9, 4]]), vec![vec![vec![7], vec![8, 8, 3]], vec![vec![9, 4], vec![9, 5]]]] {
            let config =
                GenerationConfig { max_new_tokens: 12, force_words_ids: sets.clone(), ..GenerationConfig::beam(3) };
            for found in generate(&decoder, &sources, 3, &config).unwrap() {
                assert!(holds(&found[0].words, &sets), "{:?}", found[0].words);
            }
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
        force_words_ids: all_of(&[&[3]]),
        num_return_sequences: 4,
        ..GenerationConfig::beam(4)
    };
    let found = &generate(&Small::markov(&rows), &sources(1, 1, 5), 1, &config).unwrap()[0];
    assert_eq!(found.len(), 4);
    assert!(found[0].finished && !found[3].finished && found.iter().all(|found| found.words.contains(&3)));
    let at_once = GenerationConfig { early_stopping: EarlyStopping::True, max_new_tokens: 9, ..config };
    let found = &generate(&Small::markov(&rows), &sources(1, 1, 5), 1, &at_once).unwrap()[0];
    assert!(found.len() == 4 && found.iter().all(|found| found.finished));
}

#[test]
fn what_does_not_fit_is_told_as_far_as_it_came_and_what_makes_no_sense_is_refused() {
    let (decoder, sources) = (Small::random(1, 12), sources(1, 1, 12));
    let config = |max_new_tokens, phrases: &[&[u32]], beams| GenerationConfig {
        max_new_tokens,
        force_words_ids: all_of(phrases),
        ..GenerationConfig::beam(beams)
    };
    let found = generate(&decoder, &sources, 1, &config(2, &[&[7, 8, 9]], 3)).unwrap();
    assert!(!found[0][0].finished && found[0][0].words == [7, 8]);
    // Of two sets one comes whole before the other comes half.
    let found = generate(&decoder, &sources, 1, &config(2, &[&[7, 8, 9], &[5]], 3)).unwrap();
    assert!(!found[0][0].finished && found[0][0].words.contains(&5), "{:?}", found[0][0].words);
    // A phrase that cannot come does no harm beside one that can.
    let one = GenerationConfig {
        force_words_ids: vec![vec![vec![7], vec![8]]],
        bad_words_ids: vec![vec![7]],
        ..config(9, &[], 3)
    };
    let found = generate(&decoder, &sources, 1, &one).unwrap();
    assert!(found[0][0].words.contains(&8) && !found[0][0].words.contains(&7), "{:?}", found[0][0].words);
    for (config, wanted) in [
        (config(9, &[&[7]], 1), "num_beams must be above 1 with force_words_ids"),
        (config(9, &[&[]], 3), "lists of at least one word"),
        (config(9, &[&[70]], 3), "below the vocabulary's size 12; found 70"),
        (config(9, &[&[3], &[4], &[5], &[6], &[7], &[8], &[9]], 3), "name fewer words"),
        (config(9, &[&[3][..]; 64], 3), "name fewer words"),
        (config(9, &[&[7, 2]], 3), "none of which ends the sentence"),
        (GenerationConfig { suppress_tokens: vec![7], ..config(9, &[&[7]], 3) }, "words that may come"),
        (GenerationConfig { bad_words_ids: vec![vec![8, 7]], ..config(9, &[&[9, 8, 7]], 3) }, "words that may come"),
    ] {
        let error = generate(&decoder, &sources, 1, &config).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}
