//! The decoders without attention and with top-down attention against PyTorch, and every kind against itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candle_core::{Device, Tensor};
use candle_nn::ops::softmax;
use candlewick_captioning::{
    Annotations, AnyDecoder, AttentionDecoderConfig, AttentionKind, DecoderConfig, HardAttention, LossConfig, Source,
    SourceDecoder as _, TopDownConfig, VectorDecoderConfig, VectorInput, caption_loss, source,
};
use candlewick_generation::{Decoder, GenerationConfig, SelectRows, generate};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::Settings;
use candlewick_testing::{assert_close, flat, tensors};
use fixture::weights;
use std::collections::HashMap;

mod fixture;

const LENGTHS: [usize; 3] = [4, 2, 3];

fn show_tell(cell: &str, vector: VectorInput, num_layers: usize) -> DecoderConfig {
    DecoderConfig::ShowTell(VectorDecoderConfig {
        cell: cell.into(),
        vector,
        embedding_size: 6,
        hidden_size: 5,
        tied: false,
        dropout: 0.0,
        stack: Settings::default().with("num_layers", num_layers),
    })
}

fn top_down(cell: &str) -> DecoderConfig {
    let (embedding_size, hidden_size, attention_size) = (6, 5, 4);
    DecoderConfig::TopDown(TopDownConfig {
        cell: cell.into(),
        embedding_size,
        hidden_size,
        attention_size,
        dropout: 0.0,
    })
}

fn attending(attention: AttentionKind) -> DecoderConfig {
    attending_with("lstm", attention)
}

/// Hard attention that writes each word from so many positions.
fn hard(num_positions: usize) -> AttentionKind {
    AttentionKind::Hard(HardAttention { num_positions, soft_probability: 0.0, ..HardAttention::default() })
}

fn attending_with(cell: &str, attention: AttentionKind) -> DecoderConfig {
    DecoderConfig::ShowAttendTell(AttentionDecoderConfig {
        cell: cell.into(),
        embedding_size: 6,
        hidden_size: 5,
        attention_size: 4,
        attention,
        dropout: 0.0,
        ..Default::default()
    })
}

/// The decoder with the fixture's weights.
fn decoder(config: &DecoderConfig, fixture: &HashMap<String, Tensor>) -> (AnyDecoder, Parameters) {
    let parameters = weights(fixture);
    let decoder = config.build(7, 11, parameters.builder(&Device::Cpu)).unwrap();
    parameters.verify().unwrap();
    (decoder, parameters)
}

fn seen(annotations: &Tensor) -> Source {
    source(&Annotations::set(annotations.clone()).unwrap()).unwrap()
}

#[test]
fn logits_attention_loss_and_gradients_are_pytorchs() {
    for (name, config) in [
        ("each_step", show_tell("rnn", VectorInput::EachStep, 1)),
        ("first_word", show_tell("lstm", VectorInput::FirstWord, 2)),
        ("initial_state", show_tell("gru", VectorInput::InitialState, 1)),
        ("top_down", top_down("lstm")),
    ] {
        let fixture = tensors(name);
        let (decoder, parameters) = decoder(&config, &fixture);
        let memory = decoder.memory(&seen(&fixture["annotations"])).unwrap();
        let forced = decoder.teacher_forced(&fixture["words"], &LENGTHS, &memory, &mut Mode::Eval).unwrap();
        // What comes out beyond a caption's end means nothing.
        for (row, length) in LENGTHS.into_iter().enumerate() {
            let told = |tensor: &Tensor| tensor.get(row).unwrap().narrow(0, 0, length).unwrap();
            assert_close(name, &told(&forced.logits), &told(&fixture["logits"]), 1e-5);
            if let Some(alpha) = &forced.alpha {
                assert_close(name, &told(alpha), &told(&fixture["alpha"]), 1e-5);
            }
        }
        let settings = LossConfig { doubly_stochastic: 0.7, label_smoothing: 0.1, ..Default::default() };
        let loss = caption_loss(&forced, &fixture["targets"], &settings, 0).unwrap();
        assert_close(name, &loss.total.reshape(1).unwrap(), &fixture["loss"], 1e-5);
        let gradients = loss.total.backward().unwrap();
        for (parameter, var) in parameters.trainable() {
            let found = gradients.get(var.as_tensor()).unwrap_or_else(|| panic!("{parameter} has no gradient"));
            assert_close(&format!("{name}: {parameter}"), found, &fixture[&format!("gradient.{parameter}")], 1e-4);
        }
    }
}

fn every_kind() -> Vec<DecoderConfig> {
    vec![
        show_tell("rnn", VectorInput::EachStep, 1),
        show_tell("lstm", VectorInput::FirstWord, 2),
        show_tell("mut1", VectorInput::InitialState, 1),
        show_tell("nas", VectorInput::FirstWord, 1),
        top_down("lstm"),
        top_down("mut2"),
        attending(AttentionKind::Soft),
        attending_with("gru", AttentionKind::Soft),
        attending_with("lstm_fgr", hard(2)),
        attending(hard(1)),
        attending(hard(3)),
    ]
}

#[test]
fn reading_a_whole_sentence_equals_reading_it_word_by_word() {
    let annotations = Rng::derive(1, "annotations", 0).normal_tensor(0.0, 1.0, (3, 6, 7), &Device::Cpu).unwrap();
    let words = Tensor::new(&[[1u32, 5, 7, 2], [1, 4, 4, 9], [1, 10, 3, 3]], &Device::Cpu).unwrap();
    for config in every_kind() {
        let parameters = Parameters::new(1);
        let decoder = config.build(7, 11, parameters.builder(&Device::Cpu)).unwrap();
        let memory = decoder.memory(&seen(&annotations)).unwrap();
        let forced = decoder.teacher_forced(&words, &[4; 3], &memory, &mut Mode::Eval).unwrap();
        let mut state = decoder.start(&memory, &mut Mode::Eval).unwrap();
        for t in 0..4 {
            let word = words.narrow(1, t, 1).unwrap().squeeze(1).unwrap();
            let step = decoder.step(&word, &state, &memory, &mut Mode::Eval).unwrap();
            let wanted = forced.logits.narrow(1, t, 1).unwrap().squeeze(1).unwrap();
            assert_close(&format!("{config:?}"), &step.logits, &wanted, 1e-5);
            state = step.state;
        }
        // Rows of state and memory move together.
        let rows = Tensor::new(&[2u32, 0], &Device::Cpu).unwrap();
        let (word, one) = (Tensor::new(&[0u32, 5, 2], &Device::Cpu).unwrap(), state.select(&rows).unwrap());
        let expanded = decoder.select_memory(&memory, &rows).unwrap();
        let chosen = Tensor::new(&[2u32, 0], &Device::Cpu).unwrap();
        let some = decoder.step(&chosen, &one, &expanded, &mut Mode::Eval).unwrap();
        let all = decoder.step(&word, &state, &memory, &mut Mode::Eval).unwrap();
        assert_close("selected", &some.logits, &all.logits.index_select(&rows, 0).unwrap(), 1e-5);
        assert_eq!(generate(&decoder, &memory, 3, &GenerationConfig::beam(2)).unwrap().len(), 3);
    }
}

#[test]
fn a_state_of_another_decoder_is_refused() {
    let build = |config: DecoderConfig| config.build(7, 11, Parameters::new(1).builder(&Device::Cpu)).unwrap();
    let annotations = Tensor::ones((1, 2, 7), candle_core::DType::F32, &Device::Cpu).unwrap();
    let memory = build(top_down("lstm")).memory(&seen(&annotations)).unwrap();
    let error = build(attending(AttentionKind::Soft)).start(&memory, &mut Mode::Eval).err().unwrap();
    assert!(error.to_string().contains("the memory of another decoder"), "{error}");
}

#[test]
fn layers_that_cannot_write_word_by_word_are_refused() {
    for (cell, wanted) in [("self_attention", "carries no state"), ("shout", "no sequence layer is called shout")] {
        let config = show_tell(cell, VectorInput::FirstWord, 1);
        let error = config.build(7, 11, Parameters::new(1).builder(&Device::Cpu)).err().unwrap();
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn hard_attention_looks_at_one_position_and_equals_soft_attention_where_there_is_only_one() {
    let annotations = Rng::derive(1, "annotations", 0).normal_tensor(0.0, 1.0, (3, 6, 7), &Device::Cpu).unwrap();
    let words = Tensor::new(&[[1u32, 5, 7, 2], [1, 4, 4, 9], [1, 10, 3, 3]], &Device::Cpu).unwrap();
    let build = |attention| attending(attention).build(7, 11, Parameters::new(1).builder(&Device::Cpu)).unwrap();
    let (soft, hard) = (build(AttentionKind::Soft), build(hard(1)));
    let memory = hard.memory(&seen(&annotations)).unwrap();
    let forced = hard.teacher_forced(&words, &[4; 3], &memory, &mut Mode::Eval).unwrap();
    for weights in forced.alpha.unwrap().flatten_to(1).unwrap().to_vec2::<f32>().unwrap() {
        let ones = weights.iter().filter(|&&weight| weight == 1.0).count();
        assert_eq!((ones, weights.iter().sum::<f32>()), (1, 1.0), "{weights:?}");
    }
    let one = annotations.narrow(1, 0, 1).unwrap();
    let read = |decoder: &AnyDecoder| {
        let memory = decoder.memory(&seen(&one)).unwrap();
        let mut rng = Rng::derive(1, "read", 0);
        decoder.read(&words, &[4; 3], &memory, &mut Mode::Train(&mut rng)).unwrap()
    };
    let (softly, hardly) = (read(&soft), read(&hard));
    assert_close("logits", &hardly.forced.logits, &softly.forced.logits, 1e-5);
    assert!(softly.sampled.is_none());
    let sampled = hardly.sampled.unwrap();
    for tensor in [sampled.log_probability, sampled.entropy] {
        assert!(flat(&tensor).iter().all(|x| x.abs() < 1e-6));
    }
}

#[test]
fn looks_at_all_positions_tell_what_is_expected_of_one() {
    let annotations = Rng::derive(1, "annotations", 0).normal_tensor(0.0, 1.0, (1, 6, 7), &Device::Cpu).unwrap();
    let build = |config: DecoderConfig| config.build(7, 11, Parameters::new(1).builder(&Device::Cpu)).unwrap();
    let soft = build(attending(AttentionKind::Soft));
    let memory = |decoder: &AnyDecoder, annotations: &Tensor| decoder.memory(&seen(annotations)).unwrap();
    let whole = memory(&soft, &annotations);
    let (state, word) = (soft.start(&whole, &mut Mode::Eval).unwrap(), Tensor::new(&[4u32], &Device::Cpu).unwrap());
    let step = |decoder: &AnyDecoder, memory: &_| decoder.step(&word, &state, memory, &mut Mode::Eval).unwrap();
    let alpha = step(&soft, &whole).alpha.unwrap().to_vec2::<f32>().unwrap().swap_remove(0);
    // One position alone is what both kinds of attention see when the picture has no other.
    let told =
        |position: usize| softmax(&step(&soft, &memory(&soft, &annotations.narrow(1, position, 1).unwrap())).logits, 1);
    let each = (0..6).map(|position| told(position).unwrap() * f64::from(alpha[position]));
    let expected = each.reduce(|sum, one| sum? + one?).unwrap().unwrap();
    let found = step(&build(attending(hard(6))), &whole);
    assert_close("p(y)", &softmax(&found.logits, 1).unwrap(), &expected, 1e-6);
    // What is shown, and where the state goes on from, is the likeliest position.
    let one = step(&build(attending(hard(1))), &whole);
    assert_close("alpha", &found.alpha.unwrap(), &one.alpha.unwrap(), 0.0);
    let after = |state| build(attending(hard(1))).step(&word, state, &whole, &mut Mode::Eval).unwrap().logits;
    assert_close("next", &after(&found.state), &after(&one.state), 1e-6);
}

#[test]
fn regions_that_a_photo_does_not_have_are_not_told_of() {
    let annotations = Rng::derive(1, "annotations", 0).normal_tensor(0.0, 1.0, (2, 6, 7), &Device::Cpu).unwrap();
    let words = Tensor::new(&[[1u32, 5, 7, 2], [1, 4, 4, 9]], &Device::Cpu).unwrap();
    let counts = [2usize, 5];
    for config in every_kind() {
        let decoder = config.build(7, 11, Parameters::new(1).builder(&Device::Cpu)).unwrap();
        let both = Annotations::set(annotations.clone()).unwrap();
        let both = source(&both.with_counts(counts.map(|count| count as u32).to_vec()).unwrap()).unwrap();
        let memory = decoder.memory(&both).unwrap();
        let forced = decoder.teacher_forced(&words, &[4; 2], &memory, &mut Mode::Eval).unwrap();
        let told = generate(&decoder, &memory, 2, &GenerationConfig::beam(3)).unwrap();
        for (row, count) in counts.into_iter().enumerate() {
            let own = annotations.narrow(0, row, 1).unwrap().narrow(1, 0, count).unwrap();
            let memory = decoder.memory(&seen(&own)).unwrap();
            let alone =
                decoder.teacher_forced(&words.narrow(0, row, 1).unwrap(), &[4], &memory, &mut Mode::Eval).unwrap();
            assert_close(&format!("{config:?}"), &forced.logits.narrow(0, row, 1).unwrap(), &alone.logits, 1e-5);
            let found = generate(&decoder, &memory, 1, &GenerationConfig::beam(3)).unwrap();
            assert_eq!(told[row][0].words, found[0][0].words, "{config:?}");
        }
    }
}
