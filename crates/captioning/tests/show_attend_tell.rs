//! The decoder of Show, Attend and Tell against PyTorch: values, loss and gradients; and against itself, step by step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candle_core::{Device, Tensor, Var};
use candlewick_captioning::{
    Annotations, AttentionDecoder, AttentionDecoderConfig, LossConfig, Source, SourceDecoder as _, caption_loss, source,
};
use candlewick_generation::GenerationConfig;
use candlewick_generation::{Decoder, SelectRows, generate};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_testing::{assert_close, flat, tensors};
use fixture::weights;
use std::collections::HashMap;

mod fixture;

const LENGTHS: [usize; 3] = [4, 2, 3];

fn config() -> AttentionDecoderConfig {
    AttentionDecoderConfig { embedding_size: 6, hidden_size: 5, attention_size: 4, dropout: 0.0, ..Default::default() }
}

/// The decoder with the fixture's weights.
fn decoder(fixture: &HashMap<String, Tensor>) -> (AttentionDecoder, Parameters) {
    let parameters = weights(fixture);
    let decoder = AttentionDecoder::new(7, 11, &config(), parameters.builder(&Device::Cpu)).unwrap();
    parameters.verify().unwrap();
    (decoder, parameters)
}

fn seen(annotations: &Tensor) -> Source {
    source(&Annotations::set(annotations.clone()).unwrap()).unwrap()
}

#[test]
fn logits_attention_loss_and_gradients_are_pytorchs() {
    let fixture = tensors("decoder");
    let (decoder, parameters) = decoder(&fixture);
    let annotations = Var::from_tensor(&fixture["annotations"]).unwrap();
    let memory = decoder.memory(&seen(annotations.as_tensor())).unwrap();
    let forced = decoder.teacher_forced(&fixture["words"], &LENGTHS, &memory, &mut Mode::Eval).unwrap();
    // What comes out beyond a caption's end means nothing.
    for (row, length) in LENGTHS.into_iter().enumerate() {
        let told = |tensor: &Tensor| tensor.get(row).unwrap().narrow(0, 0, length).unwrap();
        assert_close("logits", &told(&forced.logits), &told(&fixture["logits"]), 1e-5);
        assert_close("alpha", &told(forced.alpha.as_ref().unwrap()), &told(&fixture["alpha"]), 1e-5);
    }

    let settings = LossConfig { doubly_stochastic: 0.7, label_smoothing: 0.1, ..Default::default() };
    let loss = caption_loss(&forced, &fixture["targets"], &settings, 0).unwrap();
    for (found, name) in
        [(&loss.total, "loss"), (&loss.words, "loss.words"), (loss.attention.as_ref().unwrap(), "loss.attention")]
    {
        assert_close(name, &found.reshape(1).unwrap(), &fixture[name], 1e-5);
    }

    let gradients = loss.total.backward().unwrap();
    assert_close(
        "annotations",
        gradients.get(annotations.as_tensor()).unwrap(),
        &fixture["gradient.annotations"],
        1e-4,
    );
    let trained = parameters.trainable();
    assert!(trained.len() >= 18, "{}", trained.len());
    for (name, var) in trained {
        let found = gradients.get(var.as_tensor()).unwrap_or_else(|| panic!("{name} has no gradient"));
        assert_close(&name, found, &fixture[&format!("gradient.{name}")], 1e-4);
    }
}

#[test]
fn reading_a_whole_sentence_equals_reading_it_word_by_word() {
    let fixture = tensors("decoder");
    let (decoder, _) = decoder(&fixture);
    let memory = decoder.memory(&seen(&fixture["annotations"])).unwrap();
    let words = &fixture["words"];
    let forced = decoder.teacher_forced(words, &[4; 3], &memory, &mut Mode::Eval).unwrap();
    let mut state = decoder.start(&memory, &mut Mode::Eval).unwrap();
    for t in 0..4 {
        let word = words.narrow(1, t, 1).unwrap().squeeze(1).unwrap();
        let step = decoder.step(&word, &state, &memory, &mut Mode::Eval).unwrap();
        assert_close("logits", &step.logits, &forced.logits.narrow(1, t, 1).unwrap().squeeze(1).unwrap(), 1e-6);
        state = step.state;
    }
    // Rows of state and memory move together.
    let rows = Tensor::new(&[2u32, 0], &Device::Cpu).unwrap();
    let one = decoder.step(
        &rows,
        &state.select(&rows).unwrap(),
        &decoder.select_memory(&memory, &rows).unwrap(),
        &mut Mode::Eval,
    );
    let all =
        decoder.step(&Tensor::new(&[0u32, 5, 2], &Device::Cpu).unwrap(), &state, &memory, &mut Mode::Eval).unwrap();
    assert_close("selected", &one.unwrap().logits, &all.logits.index_select(&rows, 0).unwrap(), 1e-6);
}

#[test]
fn without_gate_and_deep_output_the_words_come_from_the_hidden_state() {
    let plain = AttentionDecoderConfig { gate: false, deep_output: false, ..config() };
    let parameters = Parameters::new(1);
    let decoder = AttentionDecoder::new(7, 11, &plain, parameters.builder(&Device::Cpu)).unwrap();
    let names = parameters.names();
    assert!(!names.iter().any(|name| name.starts_with("f_beta") || name.starts_with("output_")));
    assert!(names.contains(&"decode_step.weight_ih".to_owned()));
    let memory = decoder.memory(&seen(&tensors("decoder")["annotations"])).unwrap();
    let sentences = generate(&decoder, &memory, 3, &GenerationConfig::beam(2)).unwrap();
    assert_eq!(sentences.len(), 3);
}

#[test]
fn dropout_changes_training_and_not_evaluation() {
    let fixture = tensors("decoder");
    let parameters = Parameters::new(1);
    let dropped = AttentionDecoderConfig { dropout: 0.5, ..config() };
    let decoder = AttentionDecoder::new(7, 11, &dropped, parameters.builder(&Device::Cpu)).unwrap();
    let memory = decoder.memory(&seen(&fixture["annotations"])).unwrap();
    let logits = |mode: &mut Mode| {
        let forced = decoder.teacher_forced(&fixture["words"], &LENGTHS, &memory, mode).unwrap();
        flat(&forced.logits)
    };
    assert_eq!(logits(&mut Mode::Eval), logits(&mut Mode::Eval));
    let train = |index| logits(&mut Mode::Train(&mut Rng::derive(1, "dropout", index)));
    assert_eq!(train(0), train(0));
    assert_ne!(train(0), train(1));
}
