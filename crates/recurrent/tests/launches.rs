//! What a training step of the captioning decoder asks a CUDA driver for. `tests/driver/run.sh` runs this with a driver that counts and computes
//! nothing.
#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{DType, Tensor};
use candlewick_generation::Decoder;
use candlewick_kernels::device;
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_kernels::node::backward;
use candlewick_kernels::optimizer::{self, Checks, Rule, Update};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::decoders::{AttentionDecoder, AttentionDecoderConfig, Source, SourceDecoder as _};
use counts::{DRIVER, asked};
use std::sync::Mutex;

#[path = "../../../tests/driver/counts.rs"]
mod counts;

#[test]
fn a_training_step_asks_for_few_launches() {
    let _turn = DRIVER.lock();
    let device = &device::cuda(0).unwrap();
    let (n, t, p, c, v) = (32, 20, 49, 2048, 2500);
    let parameters = Parameters::new(1);
    let decoder = AttentionDecoder::new(c, v, &AttentionDecoderConfig::default(), parameters.builder(device)).unwrap();
    let rule = Rule::Adam { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, decoupled: false };
    let slots = parameters.trainable().into_iter().map(|(_, var)| {
        let copy = || var.as_tensor().zeros_like().unwrap();
        let (state, average) = (vec![copy(), copy()], copy());
        (var, state, average)
    });
    let slots = Mutex::new(slots.collect::<Vec<_>>());
    // What a frozen encoder saw.
    let annotations = Tensor::zeros((n, p, c), DType::F32, device).unwrap();
    let words = Tensor::zeros((n, t), DType::U32, device).unwrap();
    let lengths: Vec<usize> = (0..n).map(|row| t - row % 8).collect();
    let settings = CrossEntropy { ignore_index: Some(0), label_smoothing: 0.1, ..CrossEntropy::default() };
    let step = asked(|| {
        let source = Source::new(annotations.clone(), annotations.mean(1)?)?;
        let memory = decoder.memory(&source)?;
        let mut rng = Rng::derive(1, "dropout", 0);
        let forced = decoder.teacher_forced(&words, &lengths, &memory, &mut Mode::Train(&mut rng))?;
        let of_words = cross_entropy(&forced.logits, &words, &settings, None)?;
        // The doubly stochastic term.
        let alpha = forced.alpha.unwrap();
        let of_alpha = (1.0 - alpha.sum(1)?)?.sqr()?.mean_all()?;
        let loss = (&of_words + &of_alpha)?;
        let store = backward(&loss)?;
        let mut slots = slots.lock().unwrap();
        let gradients: Vec<Tensor> = slots.iter().map(|(var, ..)| store.get(var).cloned().unwrap()).collect();
        let mut updates = Vec::new();
        for ((parameter, state, average), gradient) in slots.iter_mut().zip(&gradients) {
            let (gradient, average) = (Some(gradient), Some((average, 0.998)));
            updates.push(Update { parameter, gradient, state, average, learning_rate: 1e-3, step: 1 });
        }
        let (losses, parts) = ([loss.detach()], [of_words.detach(), of_alpha.detach()]);
        optimizer::checked_step(
            rule,
            &mut updates,
            &Checks { losses: &losses, parts: &parts, max_norm: Some(5.0), ..Checks::default() },
        )
    });
    println!("{step:?}");
    assert!(step.launches + step.products <= 350, "{step:?}");
    // Norm, loss and its parts come together, and nothing waits for them.
    assert_eq!((step.downloads, step.waits), (1, 0), "{step:?}");
}
