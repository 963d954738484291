#![allow(clippy::unwrap_used)]
use super::positions::Constants;
use super::*;
use crate::cuda::emulator::{emulated, emulated_in};
use crate::precision::Precision;
use crate::test_values::test_values;
use candle_core::{DType, Device, Var};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Inputs in the order of the operation.
pub(crate) fn variables(seed: u64, sizes: Sizes, beta: bool, dtype: DType) -> Vec<Var> {
    let count = if beta { 13 } else { 11 };
    let make = |(i, (_, shape)): (usize, (&str, Vec<usize>))| {
        let tensor =
            Tensor::from_vec(test_values(seed + i as u64, shape.iter().product()), &shape[..], &Device::Cpu).unwrap();
        Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap()
    };
    sizes.shapes().into_iter().take(count).enumerate().map(make).collect()
}

pub(crate) fn weights<'a>(inputs: &[&'a Tensor]) -> Weights<'a> {
    Weights {
        input: inputs[5],
        hidden: inputs[6],
        bias: inputs[7],
        query: (inputs[8], inputs[9]).into(),
        v: inputs[10],
        beta: (inputs.len() > 11).then(|| (inputs[11], inputs[12]).into()),
    }
}

fn run(inputs: &[&Tensor], lengths: &[usize]) -> Sequence {
    attend(inputs, Options { lengths: Some(lengths), ..Options::default() })
}

fn attend(inputs: &[&Tensor], options: Options) -> Sequence {
    attention_lstm(inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], weights(inputs), options).unwrap()
}

/// Numbers in [0, 1), (N, T).
fn draws(seed: u64, shape: (usize, usize)) -> Tensor {
    let numbers: Vec<f32> = test_values(seed, shape.0 * shape.1).iter().map(|number| number / 2.0 + 0.5).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

fn counts(counts: &[u32], p: usize) -> Counts {
    Counts::new(counts, p, &Device::Cpu).unwrap()
}

/// The outputs, and the gradients of a loss of all of them.
fn outcome(variables: &[Var], sequence: &Sequence) -> Vec<Tensor> {
    let weigh = |tensor: &Tensor, seed| {
        let weights = Tensor::from_vec(test_values(seed, tensor.elem_count()), tensor.shape(), &Device::Cpu).unwrap();
        (tensor * weights.to_dtype(tensor.dtype()).unwrap()).unwrap().sum_all().unwrap()
    };
    let Sequence { hidden, context, alpha, .. } = sequence;
    let loss = ((weigh(hidden, 90) + weigh(context, 91)).unwrap() + weigh(alpha, 92)).unwrap();
    let store = loss.backward().unwrap();
    let gradient = |var: &Var| store.get(var.as_tensor()).cloned().unwrap_or(var.zeros_like().unwrap());
    [hidden, context, alpha].into_iter().cloned().chain(variables.iter().map(gradient)).collect()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(found: &[Tensor], wanted: &[Tensor], tolerance: f64) {
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert_eq!(found.dims(), wanted.dims(), "tensor {i}");
        let (found, wanted) = (flat(found), flat(wanted));
        let largest = wanted.iter().fold(0.05f64, |largest, value| largest.max(value.abs()));
        for (f, w) in found.iter().zip(&wanted) {
            assert!((f - w).abs() <= tolerance * largest, "tensor {i}: {f} instead of {w}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cpu_kernels_equal_the_reference(
        lengths in prop::collection::vec(0usize..6, 1..7), p in 1usize..6, e in 1usize..20, c in 1usize..80,
        a in 1usize..40, h in 1usize..70, beta: bool, hard: bool, counted: bool, beyond in 0usize..3, seed in 0u64..1000,
    ) {
        let t = lengths.iter().copied().max().unwrap() + beyond;
        let variables = variables(seed, Sizes { n: lengths.len(), t, p, e, c, a, h }, beta, DType::F32);
        let inputs: Vec<&Tensor> = variables.iter().map(|var| var.as_tensor()).collect();
        let draws = hard.then(|| draws(seed + 50, (lengths.len(), t)));
        let count = |row: usize| 1 + ((seed + 7 * row as u64) % p as u64) as u32;
        let counts = counted.then(|| counts(&(0..lengths.len()).map(count).collect::<Vec<_>>(), p));
        let options = Options { lengths: Some(&lengths), counts: counts.as_ref(), draws: draws.as_ref() };
        let drawn = attend(&inputs, options);
        let fast = outcome(&variables, &drawn);
        let on_cuda = emulated(seed, || attend(&inputs, options)).unwrap();
        let positions = |sequence: &Sequence| sequence.positions.as_ref().map(|all| all.to_vec2::<u32>().unwrap());
        on_cuda.iter().for_each(|found| assert_eq!(positions(found), positions(&drawn)));
        let on_cuda = on_cuda.map(|sequence| outcome(&variables, &sequence));
        // In f64, so that its own rounding, which such weights multiply, does not count.
        let wide = |var: &Var| Var::from_tensor(&var.to_dtype(DType::F64).unwrap()).unwrap();
        let variables: Vec<Var> = variables.iter().map(wide).collect();
        let inputs: Vec<&Tensor> = variables.iter().map(|var| var.as_tensor()).collect();
        let steps = Steps::new(NAME, lengths.len(), t, Some(&lengths), false).unwrap();
        let plain = reference::attention_lstm(&inputs, Sizes::of(&inputs).unwrap(), steps, options).unwrap();
        prop_assert_eq!(positions(&drawn), positions(&plain));
        let plain = outcome(&variables, &plain);
        assert_close(&fast, &plain, 1e-5);
        on_cuda.iter().for_each(|found| assert_close(found, &plain, 1e-5));
    }
}

#[test]
fn cuda_kernels_serve_sizes_that_fill_no_block() {
    for (i, (n, t, p, c, a, h)) in
        [(1, 1, 1, 1, 1, 1), (7, 3, 49, 300, 130, 30), (3, 2, 196, 70, 33, 64), (2, 0, 3, 4, 5, 6)]
            .into_iter()
            .enumerate()
    {
        let mut variables = variables(i as u64, Sizes { n, t, p, e: 5, c, a, h }, true, DType::F32);
        for var in &mut variables {
            // With larger weights a recurrence makes much of every rounding.
            *var = Var::from_tensor(&(var.as_tensor() * 0.3).unwrap()).unwrap();
        }
        let inputs: Vec<&Tensor> = variables.iter().map(|var| var.as_tensor()).collect();
        let lengths: Vec<usize> = (0..n).map(|row| (row * 5 + t) % (t + 1)).collect();
        let wanted = outcome(&variables, &run(&inputs, &lengths));
        let Some(found) = emulated(i as u64, || run(&inputs, &lengths)).unwrap() else { return };
        assert_close(&outcome(&variables, &found), &wanted, 1e-5);
    }
}

#[test]
fn products_of_half_precision_come_close() {
    let mut variables = variables(3, Sizes { n: 5, t: 4, p: 9, e: 20, c: 33, a: 17, h: 24 }, true, DType::F32);
    for var in &mut variables {
        *var = Var::from_tensor(&(var.as_tensor() * 0.3).unwrap()).unwrap();
    }
    let inputs: Vec<&Tensor> = variables.iter().map(|var| var.as_tensor()).collect();
    let of = || outcome(&variables, &run(&inputs, &[4, 1, 3, 4, 2]));
    let wanted = of();
    for (precision, tolerance) in [(Precision::Bf16, 2e-2), (Precision::F16, 3e-3)] {
        let Some(found) = emulated_in(precision, 1, of).unwrap() else { return };
        assert_close(&found, &wanted, tolerance);
        let same = |(found, wanted): (&Tensor, &Tensor)| flat(found) == flat(wanted);
        assert!(!found.iter().zip(&wanted).any(same), "something was not rounded");
    }
}

#[test]
fn gradients_meet_finite_differences() {
    let sizes = Sizes { n: 2, t: 3, p: 2, e: 2, c: 3, a: 2, h: 2 };
    let variables = variables(7, sizes, true, DType::F64);
    let inputs: Vec<&Tensor> = variables.iter().map(|var| var.as_tensor()).collect();
    let found = outcome(&variables, &run(&inputs, &[3, 2]));
    let loss = |inputs: &[Tensor]| {
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let Sequence { hidden, context, alpha, .. } = run(&inputs, &[3, 2]);
        let weigh = |tensor: &Tensor, seed| -> f64 {
            flat(tensor).iter().zip(test_values(seed, tensor.elem_count())).map(|(x, w)| x * f64::from(w)).sum()
        };
        weigh(&hidden, 90) + weigh(&context, 91) + weigh(&alpha, 92)
    };
    let fixed: Vec<Tensor> = variables.iter().map(|var| var.as_detached_tensor()).collect();
    for (input, gradient) in found[3..].iter().enumerate() {
        let start = flat(&fixed[input]);
        for (i, slope) in flat(gradient).into_iter().enumerate() {
            let at = |step: f64| {
                let mut moved = fixed.clone();
                let mut values = start.clone();
                values[i] += step;
                moved[input] = Tensor::from_vec(values, fixed[input].shape(), &Device::Cpu).unwrap();
                loss(&moved)
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((difference - slope).abs() < 1e-7, "input {input} at {i}: {slope} instead of {difference}");
        }
    }
}

#[test]
fn a_frozen_input_changes_no_other_gradient() {
    let lengths = [4, 1, 3];
    let sizes = Sizes { n: 3, t: 4, p: 5, e: 3, c: 6, a: 4, h: 5 };
    let variables = variables(3, sizes, true, DType::F32);
    let inputs: Vec<&Tensor> = variables.iter().map(|var| var.as_tensor()).collect();
    let all = outcome(&variables, &run(&inputs, &lengths));
    let without = |frozen: &dyn Fn(usize) -> bool| {
        let detached: Vec<Tensor> = variables.iter().map(|var| var.as_detached_tensor()).collect();
        let some = (0..inputs.len()).map(|i| if frozen(i) { &detached[i] } else { inputs[i] }).collect::<Vec<_>>();
        let some = outcome(&variables, &run(&some, &lengths));
        for (i, (some, all)) in some.iter().zip(&all).enumerate() {
            let wanted = if i >= 3 && frozen(i - 3) { vec![0.0; all.elem_count()] } else { flat(all) };
            assert_eq!(flat(some), wanted, "tensor {i}");
        }
    };
    for input in 0..inputs.len() {
        without(&|i| i == input);
        without(&|i| i != input);
    }
}

#[test]
fn what_is_not_kept_for_a_gradient_changes_no_output() {
    let (lengths, counts) = ([4, 1, 3], counts(&[5, 2, 4], 5));
    for (beta, hard) in [(true, false), (false, true)] {
        let variables = variables(3, Sizes { n: 3, t: 4, p: 5, e: 3, c: 70, a: 4, h: 40 }, beta, DType::F32);
        let tracked: Vec<&Tensor> = variables.iter().map(|var| var.as_tensor()).collect();
        let detached: Vec<Tensor> = variables.iter().map(|var| var.as_detached_tensor()).collect();
        let draws = hard.then(|| draws(5, (3, 4)));
        let options = Options { lengths: Some(&lengths), counts: Some(&counts), draws: draws.as_ref() };
        let outputs = |inputs: &[&Tensor]| {
            let Sequence { hidden, context, alpha, .. } = attend(inputs, options);
            [hidden, context, alpha].iter().flat_map(flat).collect::<Vec<f64>>()
        };
        assert_eq!(outputs(&detached.iter().collect::<Vec<_>>()), outputs(&tracked));
    }
}

#[test]
fn one_thread_gives_the_same_bits_as_many() {
    let lengths = [9, 4, 9, 2, 7];
    let sizes = Sizes { n: 5, t: 9, p: 7, e: 20, c: 100, a: 50, h: 70 };
    let result = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let variables = variables(11, sizes, true, DType::F32);
            let inputs: Vec<&Tensor> = variables.iter().map(|var| var.as_tensor()).collect();
            outcome(&variables, &run(&inputs, &lengths)).iter().flat_map(flat).collect::<Vec<f64>>()
        })
    };
    assert_eq!(result(1), result(3));
}

#[test]
fn wrong_shapes_and_lengths_are_named() {
    let sizes = Sizes { n: 2, t: 3, p: 2, e: 2, c: 3, a: 2, h: 2 };
    let variables = variables(1, sizes, true, DType::F32);
    let inputs: Vec<&Tensor> = variables.iter().map(|var| var.as_tensor()).collect();
    let given = weights(&inputs);
    let call = |weights, options: Options| {
        attention_lstm(inputs[0], inputs[1], inputs[2], inputs[3], inputs[4], weights, options).unwrap_err().to_string()
    };
    let lengths = |lengths| Options { lengths: Some(lengths), ..Options::default() };
    assert!(call(Weights { v: inputs[7], ..given }, lengths(&[3, 3])).contains("v has shape [8], wanted [2]"));
    assert!(call(given, lengths(&[4, 3])).contains("row 0 has length 4, but there are only 3 steps"));
    let drawn = call(given, Options { draws: Some(&draws(1, (3, 2))), ..Options::default() });
    assert!(drawn.contains("draws of shape [3, 2], wanted one for each of 2 × 3 steps"), "{drawn}");
    let counted = call(given, Options { counts: Some(&counts(&[1, 3], 3)), ..Options::default() });
    assert!(counted.contains("the counts of [2, 3] sources and annotations, wanted those of [2, 2]"), "{counted}");
}

#[test]
fn a_number_chooses_the_position_whose_share_it_falls_into() {
    let alpha = [0.25f32, 0.0, 0.5, 0.25, 0.0];
    let draws = [0.0, 0.24, 0.25, 0.74, 0.76, 0.999_999];
    let rows = Tensor::new(&alpha, &Device::Cpu).unwrap().repeat((draws.len(), 1)).unwrap();
    let by_reference =
        |alpha: &Tensor, draws: &Tensor| Constants::new(alpha.dim(1)?, &Device::Cpu)?.choose(alpha, draws);
    let sampled =
        |alpha: &Tensor, draws: &Tensor| PositionSampler::new(alpha.dim(1)?, &Device::Cpu)?.choose(alpha, draws);
    let forms: [&dyn Fn(&Tensor, &Tensor) -> Result<Tensor>; 2] = [&by_reference, &sampled];
    for positions in forms {
        let chosen = |alpha: &Tensor, draws: &[f32]| {
            positions(alpha, &Tensor::new(draws, &Device::Cpu).unwrap()).unwrap().to_vec1::<u32>().unwrap()
        };
        assert_eq!(chosen(&rows, &draws), [0, 0, 2, 2, 3, 3]);
        // Where the weights come out below the number, the last that has any.
        let short = Tensor::new(&[[0.5f32, 0.499, 0.0]], &Device::Cpu).unwrap();
        assert_eq!(chosen(&short, &[0.9999]), [1]);
    }
    let fault = sampled(&rows, &Tensor::new(&[0.5f32], &Device::Cpu).unwrap()).unwrap_err().to_string();
    assert!(fault.contains("a number for each row of [6, 5], got [1]"), "{fault}");
}

#[test]
fn nan_in_padding_spoils_nothing() {
    let (lengths, numbers) = ([3, 0, 2], [2u32, 4, 1]);
    let counts = counts(&numbers, 4);
    let sizes = Sizes { n: 3, t: 4, p: 4, e: 3, c: 6, a: 4, h: 5 };
    for (dtype, hard) in [(DType::F32, false), (DType::F64, false), (DType::F32, true), (DType::F64, true)] {
        let draws = hard.then(|| draws(5, (3, 4)));
        let result = |beyond: f64| {
            let mut variables = variables(3, sizes, true, dtype);
            let lacks = |i: usize, row: usize, place: usize| match i {
                0 => place >= lengths[row],
                _ => place >= numbers[row] as usize,
            };
            for (i, var) in variables.iter_mut().enumerate().take(3) {
                let (_, places, width) = var.dims3().unwrap();
                let value =
                    |(at, x): (usize, f64)| if lacks(i, at / width / places, at / width % places) { beyond } else { x };
                let values: Vec<f64> = flat(var).into_iter().enumerate().map(value).collect();
                let tensor = Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap();
                *var = Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap();
            }
            let inputs: Vec<&Tensor> = variables.iter().map(|var| var.as_tensor()).collect();
            let options = Options { lengths: Some(&lengths), counts: Some(&counts), draws: draws.as_ref() };
            outcome(&variables, &attend(&inputs, options)).iter().flat_map(flat).collect::<Vec<f64>>()
        };
        let wanted = result(0.0);
        assert!(wanted.iter().all(|value| value.is_finite()));
        for beyond in [f64::NAN, f64::INFINITY] {
            assert_eq!(result(beyond), wanted, "{dtype:?} {beyond} {hard}");
        }
    }
}
