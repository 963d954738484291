//! Words drawn at random: frequencies and seeds.

use super::small::{EOS, Small, check_alphas, check_probabilities, plain, sources};
use candlewick_generation::processors::TypicalP;
use candlewick_generation::{GenerationConfig, LogitsProcessor as _, generate};
use std::collections::HashMap;

#[test]
fn words_are_drawn_as_often_as_they_are_likely() {
    let p: [f64; 6] = [0.05, 0.0, 0.25, 0.4, 0.2, 0.1];
    let row: Vec<f32> = p.iter().map(|p| p.ln() as f32).collect();
    let decoder = Small::markov(&vec![row; 6]);
    let frequencies = |config: GenerationConfig| {
        let draws = 20_000;
        let config = GenerationConfig { max_new_tokens: 1, num_return_sequences: draws, seed: 3, ..config };
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for found in &generate(&decoder, &plain(1, 6), 1, &config).unwrap()[0] {
            *counts.entry(found.words.first().copied().unwrap_or(EOS)).or_default() += 1;
        }
        move |word: u32| counts.get(&word).copied().unwrap_or(0) as f64 / draws as f64
    };
    let check = |config, wanted: [f64; 6]| {
        let frequency = frequencies(config);
        for (word, wanted) in (0u32..).zip(wanted) {
            // Five standard deviations; what cannot come never does.
            let tolerance = 5.0 * (wanted * (1.0 - wanted) / 20_000.0).sqrt();
            assert!((frequency(word) - wanted).abs() <= tolerance, "{word}: {} and {wanted}", frequency(word));
        }
    };
    check(GenerationConfig::sample(1.0, 0, 1.0), p);
    check(GenerationConfig::sample(1.0, 3, 1.0), [0.0, 0.0, 0.25 / 0.85, 0.4 / 0.85, 0.2 / 0.85, 0.0]);
    check(GenerationConfig::sample(1.0, 0, 0.6), [0.0, 0.0, 0.25 / 0.65, 0.4 / 0.65, 0.0, 0.0]);
    let squares: f64 = p.iter().map(|p| p * p).sum();
    check(GenerationConfig::sample(0.5, 0, 1.0), p.map(|p| p * p / squares));
}

#[test]
fn a_seed_gives_the_same_samples_again_and_another_gives_others() {
    let (decoder, sources) = (Small::random(1, 9), sources(1, 4, 9));
    let sample = |seed, sequences| {
        let config = GenerationConfig::sample(1.2, 0, 1.0);
        let config = GenerationConfig { seed, num_return_sequences: sequences, ..config };
        generate(&decoder, &sources, 4, &config).unwrap()
    };
    assert_eq!(sample(7, 2), sample(7, 2));
    assert_ne!(sample(7, 2), sample(8, 2));
    let (two, four) = (sample(7, 2), sample(7, 4));
    assert!(two.iter().zip(&four).all(|(two, four)| two[..] == four[..2] && two[0].words != two[1].words));
    for (n, found) in four.iter().enumerate() {
        for hypothesis in found {
            check_probabilities(&decoder, &sources.get(n).unwrap(), hypothesis, 1.0);
            check_alphas(&sources.get(n).unwrap(), hypothesis);
        }
    }
}

#[test]
fn typical_words_are_those_of_about_the_entropys_surprise() {
    // Surprises 0.69, 1.39, 2.08, 2.08 nats; the entropy is 1.21, so that the second word is the nearest, then the first.
    let scores: Vec<f32> = [0.5f32, 0.25, 0.125, 0.125].iter().map(|p| p.ln() + 3.0).collect();
    let kept = |p: f64| {
        let mut found = scores.clone();
        TypicalP(p).process(&mut found, &[]).unwrap();
        found.iter().map(|score| score.is_finite()).collect::<Vec<_>>()
    };
    assert_eq!(kept(0.1), [false, true, false, false]);
    assert_eq!(kept(0.3), [true, true, false, false]);
    // The third and the fourth are as near as each other.
    assert_eq!(kept(0.8), [true; 4]);
    assert_eq!(kept(1.0), [true; 4]);
}
