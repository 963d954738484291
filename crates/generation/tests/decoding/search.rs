//! What holds for every search: no empty results, bans, sources that leave, results at any moment.

use super::small::{Small, plain, sources};
use candle_core::{Device, Tensor};
use candlewick_generation::{
    BeamSearch, GenerationConfig, LogitsProcessor, Sampling, Search, generate, search, stream,
};

#[test]
fn no_search_comes_back_empty() {
    // Nothing ever ends; and after 3 nothing is possible at all.
    let never = vec![0.0, 0.0, f32::NEG_INFINITY, 1.0, 0.0];
    let endless = Small::markov(&vec![never.clone(); 5]);
    let mut rows = vec![never; 5];
    rows[3] = vec![f32::NEG_INFINITY; 5];
    rows[1] = vec![f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
    let stuck = Small::markov(&rows);
    for config in [GenerationConfig::greedy(), GenerationConfig::beam(4), GenerationConfig::sample(1.0, 0, 0.9)] {
        let found = generate(&endless, &plain(2, 5), 2, &config).unwrap();
        assert!(found.iter().all(|source| source[0].words.len() == 20 && !source[0].finished));
        let found = generate(&stuck, &plain(2, 5), 2, &config).unwrap();
        assert!(found.iter().all(|source| source[0].words == [3] && !source[0].finished && source[0].score == 0.0));
        let nothing = GenerationConfig { suppress_tokens: (0..5).collect(), ..config.clone() };
        let found = generate(&endless, &plain(2, 5), 2, &nothing).unwrap();
        assert!(found.iter().all(|source| source[0].words.is_empty() && !source[0].finished));
        assert!(generate(&endless, &plain(0, 5), 0, &config).unwrap().is_empty());
    }
    let forced =
        GenerationConfig { force_words_ids: vec![vec![vec![3]]], max_new_tokens: 20, ..GenerationConfig::beam(4) };
    let found = generate(&stuck, &plain(2, 5), 2, &forced).unwrap();
    assert!(found.iter().all(|source| source[0].words == [3] && !source[0].finished));
    // Far more beams than there are sentences.
    let wide = GenerationConfig { max_new_tokens: 2, ..GenerationConfig::beam(10_000) };
    assert!(generate(&endless, &plain(2, 5), 2, &wide).unwrap().iter().all(|source| source[0].words.len() == 2));
    let broken = Small::markov(&vec![vec![f32::NAN, 0.0, 0.0]; 3]);
    for config in [GenerationConfig::greedy(), GenerationConfig::beam(2)] {
        let error = generate(&broken, &plain(1, 3), 1, &config).unwrap_err().to_string();
        assert!(error.contains("NaN"), "{error}");
    }
}

#[test]
fn no_run_of_words_comes_twice_and_banned_ones_never() {
    for seed in 0..10 {
        let (decoder, sources) = (Small::random(seed, 12), sources(seed, 2, 12));
        for config in [GenerationConfig::beam(4), GenerationConfig::sample(1.5, 0, 1.0), GenerationConfig::greedy()] {
            let config = GenerationConfig {
                no_repeat_ngram_size: 2,
                bad_words_ids: vec![vec![5], vec![3, 4], vec![6, 7, 6]],
                suppress_tokens: vec![0, 1],
                min_new_tokens: 9,
                max_new_tokens: 15,
                seed,
                ..config
            };
            for found in generate(&decoder, &sources, 2, &config).unwrap().iter().flatten() {
                let pairs: Vec<&[u32]> = found.words.windows(2).collect();
                assert!((1..pairs.len()).all(|at| !pairs[..at].contains(&pairs[at])), "{:?}", found.words);
                assert!(!found.words.iter().any(|word| [0, 1, 5].contains(word)));
                assert!(!pairs.contains(&&[3, 4][..]) && !found.words.windows(3).any(|run| run == [6, 7, 6]));
                assert!(found.words.len() >= 9);
            }
        }
    }
}

#[test]
fn sources_that_are_done_leave_the_batch() {
    // The second source's own words end at once; the first goes on as long as it may.
    let decoder = Small::markov(&vec![vec![0.0; 5]; 5]);
    let memory = Tensor::new(&[[0f32, 0., -60., 3., 2.], [0., 0., 60., 0., 0.]], &Device::Cpu).unwrap();
    let config = GenerationConfig { max_new_tokens: 4, suppress_tokens: vec![0, 1], ..GenerationConfig::greedy() };
    generate(&decoder, &memory, 2, &config).unwrap();
    assert_eq!(std::mem::take(&mut *decoder.rows.lock().unwrap()), [2, 1, 1, 1]);
    let config = GenerationConfig { num_beams: 2, ..config };
    let found = generate(&decoder, &memory, 2, &config).unwrap();
    // After the second step the second source has two ended hypotheses and none to better them.
    assert_eq!(std::mem::take(&mut *decoder.rows.lock().unwrap()), [2, 4, 2, 2]);
    assert_eq!((found[0][0].words.as_slice(), found[1][0].words.len()), (&[3, 3, 3, 3][..], 0));
}

#[test]
fn a_search_tells_at_any_moment_what_it_has() {
    let (decoder, sources) = (Small::random(4, 8), sources(4, 2, 8));
    let config = GenerationConfig { min_new_tokens: 6, ..GenerationConfig::greedy() };
    let whole = generate(&decoder, &sources, 2, &config).unwrap();
    let mut search = Sampling::new(&decoder, sources.clone(), 2, &config).unwrap();
    assert!(search.hypotheses().unwrap().iter().all(|source| source[0].words.is_empty()));
    for length in 1..=5 {
        assert!(search.advance().unwrap());
        for (now, whole) in search.hypotheses().unwrap().iter().zip(&whole) {
            assert_eq!(now[0].words, whole[0].words[..length]);
            assert!(!now[0].finished);
        }
    }
    let config = GenerationConfig { num_beams: 3, num_return_sequences: 3, ..config };
    let mut search = BeamSearch::new(&decoder, sources.clone(), 2, &config).unwrap();
    while search.advance().unwrap() {
        assert!(search.hypotheses().unwrap().iter().all(|source| source.len() == 3));
    }
    assert_eq!(search.hypotheses().unwrap(), generate(&decoder, &sources, 2, &config).unwrap());
}

#[test]
fn words_come_one_by_one_as_they_are_written() {
    let (decoder, sources) = (Small::random(4, 8), sources(4, 3, 8));
    let config = GenerationConfig { num_return_sequences: 2, seed: 5, ..GenerationConfig::sample(1.0, 0, 1.0) };
    let whole = generate(&decoder, &sources, 3, &config).unwrap();
    let mut heard = vec![vec![(Vec::new(), false); 2]; 3];
    for written in stream(Sampling::new(&decoder, sources, 3, &config).unwrap()) {
        let written = written.unwrap();
        let (words, ended) = &mut heard[written.source][written.sentence];
        assert!(!*ended);
        match written.word {
            Some(word) => words.push(word),
            None => *ended = true,
        }
    }
    for (heard, whole) in heard.iter().flatten().zip(whole.iter().flatten()) {
        assert_eq!((&heard.0, heard.1), (&whole.words, whole.finished));
    }
    assert!(heard.iter().flatten().any(|(_, ended)| *ended));
}

#[test]
fn a_search_owns_what_it_needs_and_takes_a_processor_of_the_callers_own() {
    struct Never(u32);
    impl LogitsProcessor for Never {
        fn process(&self, scores: &mut [f32], _: &[u32]) -> candle_core::Result<()> {
            scores[self.0 as usize] = f32::NEG_INFINITY;
            Ok(())
        }
    }
    let (decoder, sources) = (std::sync::Arc::new(Small::random(4, 8)), sources(4, 2, 8));
    for config in [GenerationConfig::greedy(), GenerationConfig::beam(3), GenerationConfig::sample(1.0, 0, 1.0)] {
        let found = |never: Option<u32>| {
            let decoder = decoder.clone();
            let mut search: Box<dyn Search> = search(decoder, sources.clone(), 2, &config).unwrap();
            if let Some(word) = never {
                search.add_processor(Box::new(Never(word)));
            }
            let run = move || {
                while search.advance().unwrap() {}
                search.hypotheses().unwrap()
            };
            std::thread::spawn(run).join().unwrap()
        };
        let free = found(None);
        let word = free[0][0].words[0];
        assert!(found(Some(word)).iter().flatten().all(|hypothesis| !hypothesis.words.contains(&word)));
    }
}
