//! The decoder's own promises: the default teacher forcing, and ensembles.

use super::small::{Small, log_probabilities, sources};
use candle_core::{Device, Tensor};
use candlewick_generation::{Decoder as _, DecoderEnsemble, GenerationConfig, generate, log_sum_exp};
use candlewick_parameters::Mode;

#[test]
fn two_equal_decoders_write_as_one_and_different_ones_as_their_mean() {
    let memory = sources(5, 2, 8);
    let (one, two) =
        (Small::random(5, 8), DecoderEnsemble::new(vec![Small::random(5, 8), Small::random(5, 8)]).unwrap());
    let config = GenerationConfig { num_return_sequences: 3, ..GenerationConfig::beam(3) };
    let single = generate(&one, &memory, 2, &config).unwrap();
    let double = generate(&two, &vec![memory.clone(), memory.clone()], 2, &config).unwrap();
    for (single, double) in single.iter().flatten().zip(double.iter().flatten()) {
        assert_eq!((&single.words, &single.alpha), (&double.words, &double.alpha));
        assert!((single.score - double.score).abs() < 1e-5);
    }
    let mixed = DecoderEnsemble::new(vec![Small::random(5, 8), Small::random(6, 8)]).unwrap();
    let memories = vec![memory.clone(), sources(6, 2, 8)];
    let mode = &mut Mode::Eval;
    let words = Tensor::new(&[1u32, 1], &Device::Cpu).unwrap();
    let step = mixed.step(&words, &mixed.start(&memories, mode).unwrap(), &memories, mode).unwrap();
    let found = step.logits.to_vec2::<f32>().unwrap();
    for (n, found) in found.iter().enumerate() {
        let own = |seed, memory: &Tensor| log_probabilities(&Small::random(seed, 8), &memory.get(n).unwrap(), &[1]);
        for ((found, a), b) in found.iter().zip(own(5, &memories[0])).zip(own(6, &memories[1])) {
            assert!((f64::from(found.exp()) - (a.exp() + b.exp()) / 2.0).abs() < 1e-6);
        }
    }
    assert!(DecoderEnsemble::<Small>::new(vec![]).is_err());
    assert!(DecoderEnsemble::new(vec![Small::random(1, 8), Small::random(1, 7)]).is_err());
    assert!(generate(&mixed, &vec![memory], 2, &config).is_err());
}

#[test]
fn teacher_forcing_gives_the_steps_logits() {
    let (decoder, sources) = (Small::random(9, 7), sources(9, 2, 7));
    let sentences = [[1u32, 4, 5, 3], [1, 6, 6, 0]];
    let words = Tensor::new(&sentences, &Device::Cpu).unwrap();
    let forced = decoder.teacher_forced(&words, &[4, 3], &sources, &mut Mode::Eval).unwrap();
    assert_eq!((forced.logits.dims(), forced.alpha.as_ref().unwrap().dims()), (&[2, 4, 7][..], &[2, 4, 4][..]));
    let alpha = forced.alpha.unwrap().to_vec3::<f32>().unwrap();
    for (n, sentence) in sentences.iter().enumerate() {
        for t in 0..[4, 3][n] {
            let logits = forced.logits.get(n).unwrap().get(t).unwrap().to_vec1::<f32>().unwrap();
            let normaliser = log_sum_exp(&logits).unwrap();
            let wanted = log_probabilities(&decoder, &sources.get(n).unwrap(), &sentence[..=t]);
            assert!(logits.iter().zip(wanted).all(|(&l, p)| (f64::from(l - normaliser) - p).abs() < 1e-5));
            assert_eq!((alpha[n][t][1], alpha[n][t][3]), (sentence[t] as f32, t as f32));
        }
    }
    for lengths in [&[4][..], &[4, 5][..]] {
        let error = decoder.teacher_forced(&words, lengths, &sources, &mut Mode::Eval).unwrap_err().to_string();
        assert!(error.contains("wanted 2 lengths of at most 4"), "{error}");
    }
}
