//! Texts read by any layer, alone and in batches.

use candle_core::{Device, Tensor};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::{
    Encoded, Pooling, SequenceEncoderConfig, Settings, TextEncoder, sequence_layer, sequence_layers,
};
use candlewick_testing::{assert_close, bits, values};

const IDS: [[u32; 5]; 3] = [[4, 2, 6, 0, 0], [1, 5, 3, 2, 4], [0; 5]];
const LENGTHS: [usize; 3] = [3, 5, 0];

fn config(cell: &str) -> SequenceEncoderConfig {
    SequenceEncoderConfig {
        embedding_size: 3,
        cell: cell.into(),
        hidden_size: 4,
        pooling: vec![Pooling::Last, Pooling::Max, Pooling::Attention],
        stack: Settings::default().with("bidirectional", true),
        ..SequenceEncoderConfig::default()
    }
}

fn encoder(config: &SequenceEncoderConfig) -> TextEncoder {
    TextEncoder::new(7, config, Parameters::new(2).builder(&Device::Cpu)).unwrap()
}

fn encode(encoder: &TextEncoder, ids: &[u32], mode: &mut Mode) -> Encoded {
    let row = Tensor::new(ids, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    encoder.encode(&row, &[ids.len()], mode).unwrap()
}

#[test]
fn a_row_alone_is_what_it_is_among_others() {
    for cell in sequence_layers() {
        let encoder = encoder(&config(cell));
        let ids = Tensor::new(&IDS, &Device::Cpu).unwrap();
        let all = encoder.encode(&ids, &LENGTHS, &mut Mode::Eval).unwrap();
        let size = encoder.encoder().vector_size();
        assert_eq!((all.vector.dims(), size), (&[3, size][..], 3 * encoder.encoder().annotation_size()));
        for row in 0..2 {
            let alone = encode(&encoder, &IDS[row][..LENGTHS[row]], &mut Mode::Eval);
            let among = |tensor: &Tensor| values(&tensor.get(row).unwrap());
            assert_close(cell, &values(&alone.vector), &among(&all.vector), 1e-5);
            let alpha = among(all.alpha.as_ref().unwrap());
            assert_close(cell, &values(&alone.alpha.unwrap()), &alpha[..LENGTHS[row]], 1e-5);
        }
        assert!(values(&all.vector.get(2).unwrap()).iter().all(|&value| value == 0.0), "{cell}");
    }
}

#[test]
fn the_last_step_of_both_ways_is_the_state_that_each_ends_in() {
    let config = SequenceEncoderConfig { pooling: vec![Pooling::Last], ..config("gru") };
    let parameters = Parameters::new(2);
    let vb = parameters.builder(&Device::Cpu);
    let encoder = TextEncoder::new(7, &config, vb.clone()).unwrap();
    let layer = sequence_layer("gru", 3, 4, &config.stack, vb.pp("gru")).unwrap();
    let ids = Tensor::new(&IDS, &Device::Cpu).unwrap();
    let xs = encoder.embedding().word_dropout(&ids, 0.0, &mut Mode::Eval).unwrap();
    let (_, last) = layer.forward(&xs, None, Some(&LENGTHS), &mut Mode::Eval).unwrap();
    let wanted = Tensor::cat(&[&last[0][0], &last[1][0]], 1).unwrap();
    let found = encoder.encode(&ids, &LENGTHS, &mut Mode::Eval).unwrap().vector;
    assert_eq!(values(&found), values(&wanted));
}

#[test]
fn dropout_is_training_s_alone() {
    let plain = config("lstm");
    let dropped = SequenceEncoderConfig { dropout: 0.5, word_dropout: 0.3, ..plain.clone() };
    let seen = |config: &SequenceEncoderConfig, mode: &mut Mode| bits(&encode(&encoder(config), &IDS[1], mode).vector);
    assert_eq!(seen(&plain, &mut Mode::Eval), seen(&dropped, &mut Mode::Eval));
    let mut rng = Rng::derive(1, "dropout", 0);
    assert_ne!(seen(&plain, &mut Mode::Eval), seen(&dropped, &mut Mode::Train(&mut rng)));
    for (wrong, name) in [
        (SequenceEncoderConfig { dropout: 1.5, ..plain.clone() }, "dropout is 1.5"),
        (SequenceEncoderConfig { word_dropout: -0.1, ..plain.clone() }, "word_dropout is -0.1"),
        (SequenceEncoderConfig { pooling: Vec::new(), ..plain }, "pooling"),
    ] {
        let refused = TextEncoder::new(7, &wrong, Parameters::new(2).builder(&Device::Cpu)).err().unwrap();
        assert!(refused.to_string().contains(name), "{refused}");
    }
}
