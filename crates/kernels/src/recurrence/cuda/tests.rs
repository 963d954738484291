#![allow(clippy::unwrap_used)]
use crate::cuda::Half;
use crate::cuda::emulator::{Mode, emulated_as, emulated_in};
use crate::precision::Precision;
use crate::recurrence::tests::{KINDS, Kind, gradients, nonlinearity, tensor};
use crate::recurrence::{Input, gru, lstm, rnn};
use candle_core::{DType, Tensor, Var};

/// The largest difference to the largest value.
fn apart(found: &Tensor, wanted: &Tensor) -> f32 {
    let largest =
        |tensor: Tensor| tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_vec0::<f32>().unwrap();
    largest((found - wanted).unwrap()) / largest(wanted.clone())
}

#[test]
fn products_of_half_precision_come_close() {
    let (n, t, d, h) = (7, 5, 20, 30);
    let lengths: Vec<usize> = (0..n).map(|row| t - row % 3).collect();
    for (i, kind) in KINDS.into_iter().enumerate() {
        let wide = kind.gates() * h;
        let shapes: [&[usize]; 6] = [&[n, t, d], &[wide, d], &[wide], &[wide, h], &[n, h], &[n, h]];
        let seeded = |(at, shape): (usize, &&[usize])| {
            Var::from_tensor(&(tensor((10 * i + at) as u64, shape, DType::F32) * 0.3).unwrap()).unwrap()
        };
        let vars: Vec<Var> = shapes.iter().enumerate().map(seeded).collect();
        let x: Vec<&Tensor> = vars.iter().map(|var| var.as_tensor()).collect();
        let run = || {
            let input = Input::Sequence { xs: x[0], weight: x[1], bias: Some(x[2]) };
            let outputs: Vec<Tensor> = match kind {
                Kind::Lstm => lstm(input, x[3], x[4], x[5], Some(&lengths), false).map(|(out, h, c)| vec![out, h, c]),
                Kind::Gru => gru(input, x[3], None, x[4], Some(&lengths), false).map(|(out, h)| vec![out, h]),
                _ => rnn(input, x[3], x[4], nonlinearity(kind), Some(&lengths), false).map(|(out, h)| vec![out, h]),
            }
            .unwrap();
            let used = if kind == Kind::Lstm { 6 } else { 5 };
            let (_, gradients) = gradients(&vars[..used], &outputs);
            [outputs, gradients].concat()
        };
        let wanted = run();
        for (precision, near) in [(Precision::Bf16, 1e-5..2e-2), (Precision::F16, 1e-6..3e-3)] {
            let Some(found) = emulated_in(precision, i as u64, run).unwrap() else { return };
            for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                let apart = apart(found, wanted);
                assert!(near.contains(&apart), "{kind:?} in {precision}: {apart} apart in {at}");
            }
        }
    }
}

#[test]
fn a_whole_sequence_in_one_launch_is_that_of_its_steps() {
    for (seed, (n, t, d, h)) in [(7, 5, 9, 32), (20, 3, 16, 64), (1, 1, 3, 16), (33, 4, 5, 128)].into_iter().enumerate()
    {
        for reverse in [false, true] {
            let wide = 4 * h;
            let shapes: [&[usize]; 6] = [&[n, t, d], &[wide, d], &[wide], &[wide, h], &[n, h], &[n, h]];
            let seeded = |(at, shape): (usize, &&[usize])| {
                Var::from_tensor(&(tensor((20 * seed + at) as u64, shape, DType::F32) * 0.3).unwrap()).unwrap()
            };
            let vars: Vec<Var> = shapes.iter().enumerate().map(seeded).collect();
            let x: Vec<&Tensor> = vars.iter().map(|var| var.as_tensor()).collect();
            let lengths: Vec<usize> = (0..n).map(|row| (row * 5 + t) % (t + 1)).collect();
            let lengths = reverse.then_some(&lengths[..]);
            let run = || {
                let input = Input::Sequence { xs: x[0], weight: x[1], bias: Some(x[2]) };
                let (out, h, c) = lstm(input, x[3], x[4], x[5], lengths, reverse).unwrap();
                let outputs = vec![out, h, c];
                let (_, gradients) = gradients(&vars, &outputs);
                [outputs, gradients].concat()
            };
            for half in [Half::Bf16, Half::F16] {
                let of = |whole: bool| emulated_as(Mode { half: Some(half), whole }, seed as u64, run).unwrap();
                let (Some(wanted), Some(found)) = (of(false), of(true)) else { return };
                for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                    // Sums in another order may round a factor of the next step the other way.
                    let apart = apart(found, wanted);
                    assert!(apart < 2e-3, "N {n} T {t} H {h} in {half:?}: {apart} apart in {at}");
                }
            }
        }
    }
}
