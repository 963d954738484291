#![allow(clippy::unwrap_used)]
use super::*;
use crate::test_values::test_values;
use candle_core::{Device, Var};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// N, C, K, h and w.
type Sizes = (usize, usize, usize, usize, usize);

fn variable(seed: u64, shape: &[usize], value: impl Fn(f32) -> f32) -> Var {
    let values = test_values(seed, shape.iter().product()).into_iter().map(value).collect();
    Var::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Centre, stride and variance of the rows and of the columns, a map and a patch.
fn variables(seed: u64, (n, c, k, h, w): Sizes) -> [Var; 8] {
    let axis = |seed: u64, size: usize| {
        [
            variable(seed, &[n], |value| (0.5 + 0.6 * value) * size as f32),
            variable(seed + 1, &[n], |value| 1.5 + value),
            variable(seed + 2, &[n], |value| 1.3 + value),
        ]
    };
    let ([a, b, c_y], [d, e, f]) = (axis(seed, h), axis(seed + 3, w));
    [a, b, c_y, d, e, f, variable(seed + 6, &[n, c, h, w], |v| v), variable(seed + 7, &[n, c, k, k], |v| v)]
}

type Made = (
    fn(&Tensor, &Tensor, &Tensor, usize, usize) -> Result<Tensor>,
    [fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>; 2],
);

const CPU: Made = (cpu::filters, [cpu::read, cpu::write]);
const REFERENCE: Made = (reference::filters, [reference::read, reference::write]);

/// Filters, what was read and written with them, and the gradients of a loss of both.
fn all((filters, [read, write]): Made, variables: &[Var; 8], (_, _, k, h, w): Sizes) -> Vec<Tensor> {
    let [a, b, c, d, e, f, xs, patches] = variables.each_ref().map(Var::as_tensor);
    let (rows, columns) = (filters(a, b, c, k, h).unwrap(), filters(d, e, f, k, w).unwrap());
    let (found, written) = (read(xs, &rows, &columns).unwrap(), write(patches, &rows, &columns).unwrap());
    let weigh = |tensor: &Tensor, seed| {
        let weights = Tensor::from_vec(test_values(seed, tensor.elem_count()), tensor.shape(), &Device::Cpu).unwrap();
        (tensor * weights).unwrap().sum_all().unwrap()
    };
    let loss = (weigh(&found, 90) + weigh(&written, 91)).unwrap();
    let gradients = loss.backward().unwrap();
    let own = variables.iter().map(|var| gradients.get(var.as_tensor()).unwrap().clone());
    [rows, columns, found, written, loss].into_iter().chain(own).collect()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(found: &Tensor, wanted: &Tensor, tolerance: f32, what: &str) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    let (found, wanted) = (flat(found), flat(wanted));
    let largest = wanted.iter().fold(0.05f32, |largest, value| largest.max(value.abs()));
    for (i, (f, w)) in found.iter().zip(&wanted).enumerate() {
        assert!((f - w).abs() <= tolerance * largest, "{what}: {f} instead of {w} at {i}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_cpu_form_equals_the_reference(
        n in 1usize..4, c in 1usize..4, k in 1usize..7, h in 1usize..20, w in 1usize..40, seed in 0u64..1000,
    ) {
        let (sizes, variables) = ((n, c, k, h, w), variables(seed, (n, c, k, h, w)));
        let (fast, plain) = (all(CPU, &variables, sizes), all(REFERENCE, &variables, sizes));
        for (i, (fast, plain)) in fast.iter().zip(&plain).enumerate() {
            // The variance's gradient divides by its square, 0.1 at least.
            assert_close(fast, plain, 1e-4, &format!("{i} of filters, read, written, loss and gradients"));
        }
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let sizes = (2, 2, 3, 6, 9);
    let variables = variables(5, sizes);
    let found = all(REFERENCE, &variables, sizes);
    let loss = |variables: &[Var; 8]| f64::from(all(CPU, variables, sizes)[4].to_scalar::<f32>().unwrap());
    for (which, var) in variables.iter().enumerate() {
        let values = flat(var);
        let gradient = flat(&found[5 + which]);
        let largest = gradient.iter().fold(0.1f32, |largest, value| largest.max(value.abs()));
        for at in (0..values.len()).step_by(5) {
            const STEP: f32 = 3e-3;
            let moved = |by: f32| {
                let mut values = values.clone();
                values[at] += by;
                let mut all = variables.clone();
                all[which] = Var::from_vec(values, var.shape(), &Device::Cpu).unwrap();
                loss(&all)
            };
            let slope = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
            let wanted = f64::from(gradient[at]);
            assert!((slope - wanted).abs() < 0.01 * f64::from(largest), "{which} at {at}: {slope}, {wanted}");
        }
    }
}

#[test]
fn filters_have_the_sum_one_also_beyond_the_map() {
    let tensor = |value: f32| Tensor::new(&[value], &Device::Cpu).unwrap();
    for (centre, variance) in [(3.0, 1.0), (-50.0, 0.01), (900.0, 0.01), (3.5, 1e-6)] {
        let found = filters(&tensor(centre), &tensor(2.0), &tensor(variance), 4, 8).unwrap();
        for filter in found.to_vec3::<f32>().unwrap().concat() {
            assert!((filter.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{centre}, {variance}: {filter:?}");
        }
    }
}

/// Filters that are sharp and one pixel apart take out a patch and put it back.
#[test]
fn reading_what_was_written_gives_it_back() {
    let tensor = |value: f32| Tensor::new(&[value], &Device::Cpu).unwrap();
    let axis = |centre: f32, size: usize| filters(&tensor(centre), &tensor(1.0), &tensor(1e-3), 3, size).unwrap();
    let (rows, columns) = (axis(4.0, 8), axis(7.0, 10));
    let patch = variable(3, &[1, 2, 3, 3], |value| value);
    let map = write(&patch, &rows, &columns).unwrap();
    assert_eq!(map.dims(), [1, 2, 8, 10]);
    let inside = map.narrow(2, 3, 3).unwrap().narrow(3, 6, 3).unwrap();
    assert_close(&inside, &patch, 1e-6, "the patch in its place");
    assert!(
        (map.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()
            - patch.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap())
        .abs()
            < 1e-5
    );
    assert_close(&read(&map, &rows, &columns).unwrap(), &patch, 1e-6, "what was read");
}

#[test]
fn what_does_not_fit_is_refused() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let fault = |found: Result<Tensor>| found.unwrap_err().to_string();
    let one = zeros(&[1]);
    assert!(fault(filters(&one, &zeros(&[2]), &one, 2, 3)).contains("1 centres want a stride each, got [2]"));
    assert!(fault(filters(&one, &one, &one, 0, 3)).contains("got 0 points on 3 pixels"));
    assert!(
        fault(read(&zeros(&[1, 1, 4, 4]), &zeros(&[1, 2, 5]), &zeros(&[1, 2, 4]))).contains("does not fit filters")
    );
    assert!(fault(write(&zeros(&[1, 1, 3, 3]), &zeros(&[1, 2, 5]), &zeros(&[1, 3, 4]))).contains("a patch of 3×3"));
}
