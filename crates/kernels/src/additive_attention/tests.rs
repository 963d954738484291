#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::test_values::test_values;
use candle_core::{DType, Device, Var};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Values in [−scale, scale).
fn values(seed: u64, count: usize, scale: f32) -> Vec<f32> {
    test_values(seed, count).into_iter().map(|value| scale * value).collect()
}

fn variables(seed: u64, (n, p, a, c): (usize, usize, usize, usize)) -> Vec<Var> {
    let shapes: [&[usize]; 4] = [&[n, p, a], &[n, a], &[a], &[n, p, c]];
    let make = |(i, shape): (usize, &&[usize])| {
        let count = shape.iter().product();
        Var::from_vec(values(seed + i as u64, count, 1.5), *shape, &Device::Cpu).unwrap()
    };
    shapes.iter().enumerate().map(make).collect()
}

/// A loss of both outputs, and its gradients.
fn gradients(variables: &[Var], context: &Tensor, alpha: &Tensor) -> (f64, Vec<Tensor>) {
    let weigh = |tensor: &Tensor, seed| {
        let weights = Tensor::from_vec(values(seed, tensor.elem_count(), 1.0), tensor.shape(), &Device::Cpu).unwrap();
        (tensor * weights.to_dtype(tensor.dtype()).unwrap()).unwrap().sum_all().unwrap()
    };
    let loss = (weigh(context, 90) + weigh(alpha, 91)).unwrap();
    let store = loss.backward().unwrap();
    let value = loss.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap();
    (value, variables.iter().map(|var| store.get(var.as_tensor()).unwrap().clone()).collect())
}

fn counts(counts: &[u32], p: usize) -> Counts {
    Counts::new(counts, p, &Device::Cpu).unwrap()
}

fn sources(sources: &[u32]) -> Tensor {
    Tensor::new(sources, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(found: &Tensor, wanted: &Tensor, tolerance: f64, what: &str) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    let (found, wanted) = (flat(found), flat(wanted));
    // Sums that cancel are only as exact as their terms.
    let largest = wanted.iter().fold(0.05f64, |largest, value| largest.max(value.abs()));
    for (i, (f, w)) in found.iter().zip(&wanted).enumerate() {
        assert!((f - w).abs() <= tolerance * largest, "{what}: {f} instead of {w} at {i}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cpu_kernels_equal_the_reference(
        n in 1usize..5, p in 1usize..10, a in 1usize..40, c in 1usize..40, counted: bool, seed in 0u64..1000,
    ) {
        let variables = variables(seed, (n, p, a, c));
        let inputs: Vec<&Tensor> = variables.iter().map(|var| var.as_tensor()).collect();
        let count = |row: u64| 1 + ((seed + 7 * row) % p as u64) as u32;
        let counts = counted.then(|| counts(&(0..n as u64).map(count).collect::<Vec<_>>(), p));
        let rows = Rows { source: None, counts: counts.as_ref() };
        let fast = cpu::additive(inputs[0], inputs[1], inputs[2], inputs[3], rows).unwrap();
        let plain = reference::additive(inputs[0], inputs[1], inputs[2], inputs[3], rows).unwrap();
        assert_close(&fast.0, &plain.0, 1e-5, "context");
        assert_close(&fast.1, &plain.1, 1e-5, "alpha");
        let (_, fast) = gradients(&variables, &fast.0, &fast.1);
        let (_, plain) = gradients(&variables, &plain.0, &plain.1);
        for (i, (fast, plain)) in fast.iter().zip(&plain).enumerate() {
            assert_close(fast, plain, 1e-5, &format!("gradient of input {i}"));
        }
    }
}

#[test]
fn gradients_meet_finite_differences() {
    let doubles: Vec<Var> = variables(5, (2, 3, 4, 5))
        .iter()
        .map(|var| Var::from_tensor(&var.as_detached_tensor().to_dtype(DType::F64).unwrap()).unwrap())
        .collect();
    let run = |inputs: &[Var]| {
        let (context, alpha) = additive(&inputs[0], &inputs[1], &inputs[2], &inputs[3]).unwrap();
        gradients(inputs, &context, &alpha)
    };
    let (_, found) = run(&doubles);
    for (input, gradient) in found.iter().enumerate() {
        let start = flat(&doubles[input]);
        for (i, slope) in flat(gradient).into_iter().enumerate() {
            let at = |step: f64| {
                let mut moved = start.clone();
                moved[i] += step;
                let moved = Tensor::from_vec(moved, doubles[input].shape(), &Device::Cpu).unwrap();
                let mut inputs = doubles.clone();
                inputs[input] = Var::from_tensor(&moved).unwrap();
                run(&inputs).0
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((difference - slope).abs() < 1e-7, "input {input} at {i}: {slope} instead of {difference}");
        }
    }
}

#[test]
fn frozen_annotations_change_no_other_gradient_and_strided_inputs_serve() {
    let variables = variables(3, (3, 5, 6, 4));
    let frozen = variables[3].as_detached_tensor();
    let strided = frozen.transpose(1, 2).unwrap().contiguous().unwrap().transpose(1, 2).unwrap();
    let (context, alpha) = additive(&variables[0], &variables[1], &variables[2], &variables[3]).unwrap();
    let (_, all) = gradients(&variables, &context, &alpha);
    let (context, alpha) = additive(&variables[0], &variables[1], &variables[2], &strided).unwrap();
    let (_, some) = gradients(&variables[..3], &context, &alpha);
    for (some, all) in some.iter().zip(&all) {
        assert_eq!(flat(some), flat(all));
    }
}

#[test]
fn large_energies_do_not_overflow_and_wrong_shapes_are_named() {
    let device = Device::Cpu;
    let keys = Tensor::new(&[[[100f32], [-100.0]]], &device).unwrap();
    let (query, v) = (Tensor::zeros((1, 1), DType::F32, &device).unwrap(), Tensor::new(&[500f32], &device).unwrap());
    let annotations = Tensor::new(&[[[1f32, 2.0], [3.0, 4.0]]], &device).unwrap();
    let (context, alpha) = additive(&keys, &query, &v, &annotations).unwrap();
    assert_close(&alpha, &Tensor::new(&[[1f32, 0.0]], &device).unwrap(), 1e-6, "alpha");
    assert_close(&context, &Tensor::new(&[[1f32, 2.0]], &device).unwrap(), 1e-6, "context");
    let message = additive(&keys, &query, &v, &query).unwrap_err().to_string();
    assert!(message.contains("additive attention") && message.contains("[1, 2, 1]"), "{message}");
    let nothing = annotations.narrow(1, 0, 0).unwrap();
    assert!(additive(&keys.narrow(1, 0, 0).unwrap(), &query, &v, &nothing).is_err());
}

#[test]
fn rows_of_one_source_share_its_annotations() {
    let (p, a, c, rows) = (5, 20, 33, sources(&[1, 1, 0, 1, 2, 0]));
    let (of_sources, of_rows) = (variables(3, (3, p, a, c)), variables(4, (6, p, a, c)));
    let all = [of_sources[0].clone(), of_rows[1].clone(), of_sources[2].clone(), of_sources[3].clone()];
    let inputs: Vec<&Tensor> = all.iter().map(|var| var.as_tensor()).collect();
    let (context, alpha) = attend(&inputs, Rows { source: Some(&rows), counts: None }).unwrap();
    let (_, shared) = gradients(&all, &context, &alpha);
    let apart = |tensor: &Tensor| tensor.index_select(&rows, 0).unwrap();
    let (wanted, weights) = additive(&apart(inputs[0]), inputs[1], inputs[2], &apart(inputs[3])).unwrap();
    assert_eq!((flat(&context), flat(&alpha)), (flat(&wanted), flat(&weights)));
    let (_, apart) = gradients(&all, &wanted, &weights);
    for (i, (shared, apart)) in shared.iter().zip(&apart).enumerate() {
        assert_close(shared, apart, 1e-6, &format!("gradient of input {i}"));
    }
    let fault =
        |rows: &[u32]| attend(&inputs, Rows { source: Some(&sources(rows)), counts: None }).unwrap_err().to_string();
    assert!(fault(&[0, 3, 0, 0, 0, 0]).contains("source 3, but there are only 3"));
    assert!(fault(&[0, 1]).contains("6 rows, but the sources of 2"));
}

fn attend(inputs: &[&Tensor], rows: Rows) -> Result<(Tensor, Tensor)> {
    additive_rows(inputs[0], inputs[1], inputs[2], inputs[3], rows)
}

#[test]
fn annotations_that_a_source_does_not_have_change_nothing() {
    let (n, p, a, c) = (3, 6, 20, 33);
    let (numbers, of_rows) = ([2u32, 6, 1], [2u32, 0, 1, 0]);
    let all = variables(3, (n, p, a, c));
    let rows = variables(4, (of_rows.len(), p, a, c));
    let of_double = |var: &Var| Var::from_tensor(&var.to_dtype(DType::F64).unwrap()).unwrap();
    for (tolerance, all, query) in
        [(1e-6, all.clone(), rows[1].clone()), (1e-12, all.iter().map(of_double).collect(), of_double(&rows[1]))]
    {
        let inputs = [all[0].clone(), query, all[2].clone(), all[3].clone()];
        let tensors: Vec<&Tensor> = inputs.iter().map(|var| var.as_tensor()).collect();
        let (source, counted) = (sources(&of_rows), counts(&numbers, p));
        let (context, alpha) = attend(&tensors, Rows { source: Some(&source), counts: Some(&counted) }).unwrap();
        let (_, found) = gradients(&inputs, &context, &alpha);
        for (row, &source) in of_rows.iter().enumerate() {
            let count = numbers[source as usize] as usize;
            let own = |i: usize| tensors[i].narrow(0, source as usize, 1).unwrap().narrow(1, 0, count).unwrap();
            let asked = tensors[1].narrow(0, row, 1).unwrap();
            let (wanted, weights) = additive(&own(0), &asked, tensors[2], &own(3)).unwrap();
            assert_close(&context.narrow(0, row, 1).unwrap(), &wanted, tolerance, "context");
            assert_close(&alpha.narrow(0, row, 1).unwrap().narrow(1, 0, count).unwrap(), &weights, tolerance, "alpha");
            let rest = flat(&alpha.narrow(0, row, 1).unwrap().narrow(1, count, p - count).unwrap());
            assert!(rest.iter().all(|&weight| weight == 0.0));
        }
        for (source, &count) in numbers.iter().enumerate() {
            for i in [0, 3] {
                let rest =
                    found[i].narrow(0, source, 1).unwrap().narrow(1, count as usize, p - count as usize).unwrap();
                assert!(flat(&rest).iter().all(|&gradient| gradient == 0.0), "input {i}");
            }
        }
        for (numbers, p) in [(&[1, 1][..], p), (&[1, 1, 1], p - 1)] {
            let fault =
                attend(&tensors, Rows { source: Some(&source), counts: Some(&counts(numbers, p)) }).unwrap_err();
            assert!(fault.to_string().contains("wanted those of [3, 6]"), "{fault}");
        }
    }
}

#[test]
fn a_source_has_at_least_one_annotation_and_at_most_all() {
    for (numbers, part) in [([1u32, 7, 1], "7 annotations, wanted from 1 to 6"), ([1, 0, 1], "0 annotations")] {
        let fault = Counts::new(&numbers, 6, &Device::Cpu).unwrap_err().to_string();
        assert!(fault.contains(part), "{fault}");
    }
}

#[test]
fn counts_are_the_mask_and_the_shares_of_a_mean() {
    let all = counts(&[2, 3, 1], 3);
    let selected = all.select(&sources(&[2, 0])).unwrap();
    for (counts, numbers, mask, shares) in [
        (
            &all,
            vec![2, 3, 1],
            vec![[1, 1, 0], [1; 3], [1, 0, 0]],
            vec![[0.25, 0.25, 0.0], [1f32 / 6.0; 3], [0.5, 0.0, 0.0]],
        ),
        (&selected, vec![1, 2], vec![[1, 0, 0], [1, 1, 0]], vec![[0.5, 0.0, 0.0], [0.25, 0.25, 0.0]]),
    ] {
        assert_eq!(counts.tensor().to_vec1::<u32>().unwrap(), numbers);
        assert_eq!(counts.mask().to_vec2::<u8>().unwrap(), mask);
        assert_eq!(counts.shares(2).unwrap().to_vec2::<f32>().unwrap(), shares);
    }
    assert!(all.select(&sources(&[3])).is_err());
}

#[test]
fn one_position_of_each_row_is_there_or_named() {
    let annotations = Tensor::from_vec(values(1, 2 * 3 * 4, 1.0), (2, 3, 4), &Device::Cpu).unwrap();
    let positions = sources;
    let found = gather_position(&annotations, &positions(&[2, 0]), None).unwrap();
    let row = |source: usize, position: usize| annotations.get(source).unwrap().get(position).unwrap();
    assert_eq!(flat(&found), [flat(&row(0, 2)), flat(&row(1, 0))].concat());
    let found = gather_position(&annotations, &positions(&[2, 0, 1]), Some(&sources(&[1, 1, 0]))).unwrap();
    assert_eq!(flat(&found), [flat(&row(1, 2)), flat(&row(1, 0)), flat(&row(0, 1))].concat());
    let fault = |all: &[u32], rows: Option<&[u32]>| {
        let rows = rows.map(sources);
        gather_position(&annotations, &positions(all), rows.as_ref()).unwrap_err().to_string()
    };
    assert!(fault(&[5, 0], None).contains("position 5"));
    assert!(fault(&[0, 3], None).contains("position 3"));
    assert!(fault(&[0, 0], Some(&[0, 2])).contains("source 2"));
    assert!(fault(&[0, 0, 0], None).contains("3 positions"));
    assert!(fault(&[0], Some(&[0, 1])).contains("1 positions"));
}

#[test]
fn nan_beyond_a_sources_annotations_spoils_nothing() {
    let (n, p, a, c, numbers) = (3, 5, 18, 7, [2u32, 5, 1]);
    for dtype in [DType::F32, DType::F64] {
        let all: Vec<Tensor> = variables(3, (n, p, a, c)).iter().map(|var| var.to_dtype(dtype).unwrap()).collect();
        let run = |beyond: f64| {
            let fill = |tensor: &Tensor| {
                let (_, _, width) = tensor.dims3().unwrap();
                let there = |at: usize| (at / width % p) < numbers[at / width / p] as usize;
                let values = flat(tensor).into_iter().enumerate().map(|(at, x)| if there(at) { x } else { beyond });
                Tensor::from_iter(values, &Device::Cpu)
                    .unwrap()
                    .reshape(tensor.shape())
                    .unwrap()
                    .to_dtype(dtype)
                    .unwrap()
            };
            let inputs = [fill(&all[0]), all[1].clone(), all[2].clone(), fill(&all[3])];
            let inputs: Vec<Var> = inputs.iter().map(|tensor| Var::from_tensor(tensor).unwrap()).collect();
            let tensors: Vec<&Tensor> = inputs.iter().map(|var| var.as_tensor()).collect();
            let counts = counts(&numbers, p);
            let (context, alpha) = attend(&tensors, Rows { source: None, counts: Some(&counts) }).unwrap();
            let (_, found) = gradients(&inputs, &context, &alpha);
            [context, alpha].iter().chain(&found).flat_map(flat).collect::<Vec<f64>>()
        };
        let wanted = run(0.0);
        for beyond in [f64::NAN, f64::INFINITY] {
            assert_eq!(run(beyond), wanted, "{dtype:?} {beyond}");
        }
    }
}
