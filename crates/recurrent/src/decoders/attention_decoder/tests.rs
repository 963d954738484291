//! The kernels for whole sentences against a step at a time, for every setting.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::attention::Score;
use candle_core::DType;
use candlewick_parameters::{Parameters, Rng};

/// The LSTM goes through whole sentences by kernels of its own (f32) or their reference (f64), and a word at a time as every other
/// cell does: all are one.
#[test]
fn any_cell_goes_word_by_word_as_the_lstm_goes_through_a_sentence() {
    [DType::F32, DType::F64].into_iter().for_each(word_by_word_equals_a_sentence);
}

fn word_by_word_equals_a_sentence(dtype: DType) {
    let device = &Device::Cpu;
    let words = Tensor::new(&[[1u32, 5, 7, 2], [1, 4, 4, 9]], device).unwrap();
    let annotations = Rng::derive(1, "annotations", 0).normal_tensor(0.0, 1.0, (2, 6, 7), device).unwrap();
    let annotations = annotations.to_dtype(dtype).unwrap();
    let drawn = Tensor::new(&[[0.1f32, 0.9, 0.5, 0.3], [0.7, 0.2, 0.99, 0.0]], device).unwrap();
    for draws in [None, Some(&drawn)] {
        let (embedding_size, hidden_size, attention_size) = (6, 5, 4);
        let config = AttentionDecoderConfig { embedding_size, hidden_size, attention_size, ..Default::default() };
        let parameters = Parameters::new(1);
        let decoder = AttentionDecoder::new(7, 11, &config, parameters.builder(device).to_dtype(dtype)).unwrap();
        let source = Source::new(annotations.clone(), annotations.mean(1).unwrap()).unwrap();
        let memory = decoder.memory(&source).unwrap();
        let embedded = decoder.embed(&words, &mut Mode::Eval).unwrap();
        let state = decoder.start(&memory, &mut Mode::Eval).unwrap();
        let slow = decoder.word_by_word(&embedded, state, &memory, draws).unwrap();
        let logits = decoder.output(&embedded, &slow.hidden, &slow.context, &mut Mode::Eval).unwrap();
        let fast = decoder.reading(&words, &[4; 2], &memory, draws, &mut Mode::Eval).unwrap();
        assert_eq!(fast.sampled.is_some(), slow.positions.is_some());
        let gradients = |logits: &Tensor, alpha: &Tensor| {
            let loss = (logits.sqr().unwrap().mean_all().unwrap() + alpha.sqr().unwrap().sum_all().unwrap()).unwrap();
            let gradients = loss.backward().unwrap();
            let of = |(name, var): (String, candle_core::Var)| {
                let gradient = gradients.get(var.as_tensor()).map(candlewick_testing::flat);
                (name, gradient)
            };
            parameters.trainable().into_iter().map(of).collect::<Vec<_>>()
        };
        let (fast, slow) =
            (gradients(&fast.forced.logits, &fast.forced.alpha.unwrap()), gradients(&logits, &slow.alpha));
        for ((name, fast), (_, slow)) in fast.into_iter().zip(slow) {
            assert_eq!(fast.is_some(), slow.is_some(), "{name}");
            let far = fast.iter().flatten().zip(slow.iter().flatten()).any(|(fast, slow)| (fast - slow).abs() > 1e-5);
            assert!(!far, "{name}: {fast:?} {slow:?}");
        }
    }
}
/// Every score, fed or not, tied or not: reading a whole sentence is reading it a word at a time.
#[test]
fn a_sentence_is_its_words_whatever_the_settings() {
    let device = &Device::Cpu;
    let words = Tensor::new(&[[1u32, 5, 7, 2], [1, 4, 4, 9]], device).unwrap();
    let annotations = Rng::derive(1, "annotations", 0).normal_tensor(0.0, 1.0, (2, 6, 5), device).unwrap();
    let counts = candlewick_kernels::additive_attention::Counts::new(&[6, 4], 6, device).unwrap();
    for score in [Score::Additive, Score::General, Score::Dot] {
        for (input_feeding, tied) in [(false, false), (true, false), (true, true)] {
            let (embedding_size, hidden_size, attention_size) = (6, 5, 4);
            let sizes = AttentionDecoderConfig { embedding_size, hidden_size, attention_size, ..Default::default() };
            let config = AttentionDecoderConfig { score, input_feeding, tied, ..sizes };
            let parameters = Parameters::new(1);
            let decoder = AttentionDecoder::new(5, 11, &config, parameters.builder(device)).unwrap();
            let source = Source::new(annotations.clone(), annotations.mean(1).unwrap()).unwrap();
            let memory = decoder.memory(&source.with_counts(Some(counts.clone()))).unwrap();
            let whole = decoder.teacher_forced(&words, &[4; 2], &memory, &mut Mode::Eval).unwrap();
            let steps = unrolled_teacher_forcing(&decoder, &words, &[4; 2], &memory, &mut Mode::Eval).unwrap();
            let flat = |forced: &TeacherForced| {
                let alpha = forced.alpha.as_ref().map(candlewick_testing::flat).unwrap();
                [candlewick_testing::flat(&forced.logits), alpha].concat()
            };
            let (whole, steps) = (flat(&whole), flat(&steps));
            let near = whole.iter().zip(&steps).all(|(whole, step)| (whole - step).abs() < 1e-5);
            assert!(near, "{score:?} {input_feeding} {tied}");
            let untied = parameters.trainable().iter().any(|(name, _)| name == "fc.weight");
            assert_eq!(untied, !tied);
        }
    }
}

#[test]
fn a_word_that_is_fed_back_changes_the_next() {
    let device = &Device::Cpu;
    let annotations = Rng::derive(1, "annotations", 0).normal_tensor(0.0, 1.0, (1, 3, 5), device).unwrap();
    let config = AttentionDecoderConfig {
        embedding_size: 6,
        hidden_size: 5,
        attention_size: 4,
        input_feeding: true,
        ..Default::default()
    };
    let decoder = AttentionDecoder::new(5, 11, &config, Parameters::new(1).builder(device)).unwrap();
    let source = Source::new(annotations.clone(), annotations.mean(1).unwrap()).unwrap();
    let memory = decoder.memory(&source).unwrap();
    let state = decoder.start(&memory, &mut Mode::Eval).unwrap();
    let word = Tensor::new(&[3u32], device).unwrap();
    let step = |state: &DecoderState| decoder.step(&word, state, &memory, &mut Mode::Eval).unwrap();
    let first = step(&state).state;
    let without = DecoderState { told: first.told.as_ref().map(|told| told.zeros_like().unwrap()), ..first.clone() };
    let logits = |state: &DecoderState| candlewick_testing::flat(&step(state).logits);
    assert_ne!(logits(&first), logits(&without));
    let fault = AttentionDecoderConfig { deep_output: false, ..config }.check().unwrap_err().to_string();
    assert!(fault.contains("input_feeding needs deep_output"), "{fault}");
}
