#![allow(clippy::unwrap_used)]
use super::slices::CHUNK;
use super::*;
use crate::cuda::emulator::emulated;
use crate::test_values::test_values;
use candle_core::{DType, Device};

const ADAM: Rule = Rule::Adam { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.1, decoupled: false };
const RULES: [Rule; 6] = [
    ADAM,
    Rule::Adam { betas: (0.9, 0.95), eps: 1e-6, weight_decay: 0.1, decoupled: true },
    Rule::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.1 },
    Rule::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.1 },
    Rule::RmsProp { alpha: 0.99, eps: 1e-8, momentum: 0.0, weight_decay: 0.0 },
    Rule::RmsProp { alpha: 0.9, eps: 1e-8, momentum: 0.5, weight_decay: 0.1 },
];

/// Longer than a chunk, so that the seams are tested too, and shorter than a warp.
const COUNTS: [usize; 3] = [CHUNK + 100, 7, 300];

fn values(seed: u64, count: usize) -> Tensor {
    Tensor::from_vec(test_values(seed, count), count, &Device::Cpu).unwrap()
}

/// A parameter with its state and its average.
struct Slot {
    parameter: Var,
    state: Vec<Tensor>,
    average: Tensor,
}

/// What three steps make of parameters, their state and their averages; the last parameter has no gradient.
fn three_steps(rule: Rule, dtype: DType) -> Vec<Vec<f32>> {
    let slot = |(i, &count): (usize, &usize)| {
        let start = values(i as u64, count).to_dtype(dtype).unwrap();
        let state = rule.state_names().iter().map(|_| start.zeros_like().unwrap()).collect();
        Slot { parameter: Var::from_tensor(&start).unwrap(), state, average: start.copy().unwrap() }
    };
    let mut slots: Vec<Slot> = COUNTS.iter().enumerate().map(slot).collect();
    for at in 1..=3 {
        let gradients = COUNTS.map(|count| values(10 * at + count as u64, count).to_dtype(dtype).unwrap());
        let mut updates: Vec<Update> = slots
            .iter_mut()
            .zip(&gradients)
            .enumerate()
            .map(|(i, (slot, gradient))| Update {
                parameter: &slot.parameter,
                gradient: (i < 2).then_some(gradient),
                state: &mut slot.state,
                average: Some((&mut slot.average, 0.3)),
                learning_rate: 0.01 * (i + 1) as f64,
                step: at as usize,
            })
            .collect();
        step(rule, &mut updates, 0.5).unwrap();
    }
    let all = slots.into_iter().flat_map(|slot| [vec![slot.parameter.into_inner(), slot.average], slot.state].concat());
    all.map(|tensor| tensor.to_dtype(DType::F32).unwrap().to_vec1().unwrap()).collect()
}

#[test]
fn every_form_takes_the_same_steps() {
    for (seed, rule) in RULES.into_iter().enumerate() {
        // f64 goes by candle's operations.
        let wanted = three_steps(rule, DType::F64);
        let fast = three_steps(rule, DType::F32);
        let on_cuda = emulated(seed as u64, || three_steps(rule, DType::F32)).unwrap();
        for (form, found) in [("CPU", Some(fast)), ("CUDA", on_cuda)] {
            let Some(found) = found else { continue };
            for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                for (f, w) in found.iter().zip(wanted) {
                    assert!((f - w).abs() < 2e-6, "{rule:?}, {form}: {f} instead of {w} in tensor {i}");
                }
            }
        }
    }
    let first = values(0, COUNTS[0]).to_vec1::<f32>().unwrap();
    assert!(three_steps(ADAM, DType::F32)[0].iter().zip(&first).all(|(moved, start)| moved != start));
}

#[test]
fn the_norm_is_that_of_all_gradients_together() {
    let gradients = COUNTS.map(|count| values(count as u64, count));
    let all: Vec<&Tensor> = gradients.iter().collect();
    let squares = gradients.iter().flat_map(|gradient| gradient.to_vec1::<f32>().unwrap());
    let wanted = squares.map(|x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    let on_cuda = emulated(4, || global_norm(&all).unwrap()).unwrap();
    // The device tells an f32.
    for (found, tolerance) in [(global_norm(&all).unwrap(), 1e-12)].into_iter().chain(on_cuda.map(|norm| (norm, 1e-7)))
    {
        assert!((found / wanted - 1.0).abs() < tolerance, "{found} instead of {wanted}");
    }
    let wide: Vec<Tensor> = gradients.iter().map(|gradient| gradient.to_dtype(DType::F64).unwrap()).collect();
    let found = global_norm(&wide.iter().collect::<Vec<_>>()).unwrap();
    assert!((found / wanted - 1.0).abs() < 1e-5, "{found} instead of {wanted}");
    assert_eq!(global_norm(&[]).unwrap(), 0.0);
}

#[test]
fn what_does_not_fit_is_named() {
    let (parameter, gradient) = (Var::from_tensor(&values(1, 4)).unwrap(), values(2, 5));
    let mut state = vec![];
    let mut updates = [Update {
        parameter: &parameter,
        gradient: Some(&gradient),
        state: &mut state,
        average: None,
        learning_rate: 0.1,
        step: 1,
    }];
    let message = |updates: &mut [Update], rule| step(rule, updates, 1.0).unwrap_err().to_string();
    assert!(message(&mut updates, RULES[2]).contains("a tensor [5] for a parameter [4]"));
    assert!(message(&mut updates, ADAM).contains("0 tensors of state instead of 2"));
}

/// What a checked step with these losses, of which the second is a part, sees and makes of a parameter.
fn checked(losses: [f32; 2], limit: Option<f64>, gradient: &Tensor) -> (Seen, Vec<f32>) {
    let parameter = Var::from_tensor(&values(1, 300)).unwrap();
    let mut state = vec![parameter.zeros_like().unwrap(), parameter.zeros_like().unwrap()];
    let mut average = parameter.copy().unwrap();
    let mut updates = [Update {
        parameter: &parameter,
        gradient: Some(gradient),
        state: &mut state,
        average: Some((&mut average, 0.5)),
        learning_rate: 0.1,
        step: 1,
    }];
    let numbers = losses.map(|loss| Tensor::new(loss, &Device::Cpu).unwrap());
    let checks = Checks { losses: &numbers[..1], parts: &numbers[1..], max_norm: limit, ..Checks::default() };
    let seen = checked_step(ADAM, &mut updates, &checks).unwrap().wait().unwrap();
    let all = [vec![parameter.into_inner(), average], state].concat();
    (seen, all.iter().flat_map(|tensor| tensor.to_vec1::<f32>().unwrap()).collect())
}

#[test]
fn a_checked_step_clips_and_changes_nothing_where_a_number_is_not_finite() {
    let good = values(2, 300);
    let bad =
        Tensor::cat(&[&good.narrow(0, 0, 299).unwrap(), &Tensor::new(&[f32::INFINITY], &Device::Cpu).unwrap()], 0);
    let bad = bad.unwrap();
    let start = values(1, 300).to_vec1::<f32>().unwrap();
    for (losses, limit, gradient, moves) in [
        ([2.5, f32::NAN], None, &good, true),
        ([2.5, 1.5], Some(0.01), &good, true),
        ([f32::NAN, 1.5], Some(0.01), &good, false),
        ([2.5, 1.5], None, &bad, false),
    ] {
        let (wanted, moved) = checked(losses, limit, gradient);
        assert_eq!(moved[..300] != start[..], moves);
        let Some((seen, same)) = emulated(3, || checked(losses, limit, gradient)).unwrap() else { continue };
        let pairs = seen.numbers.iter().zip(&wanted.numbers).chain([(&seen.norm, &wanted.norm)]);
        for (found, wanted) in pairs {
            assert!(
                (found / wanted - 1.0).abs() < 1e-6 || (!found.is_finite() && !wanted.is_finite()),
                "{found} {wanted}"
            );
        }
        assert!(same.iter().zip(&moved).all(|(found, wanted)| (found - wanted).abs() < 2e-6), "{losses:?}, {limit:?}");
    }
}
