//! Pooling over steps against plain sums and finite differences.

use candle_core::{DType, Device, Tensor, Var};
use candlewick_parameters::Parameters;
use candlewick_recurrent::{Pool, Pooling, pool};
use candlewick_testing::{assert_close, hashed, values};

const N: usize = 4;
const T: usize = 5;
const C: usize = 6;
const LENGTHS: [usize; N] = [3, 0, 5, 1];
const ALL: [Pooling; 4] = [Pooling::Last, Pooling::Mean, Pooling::Max, Pooling::Attention];

fn numbers(name: &str, shape: &[usize]) -> Tensor {
    let numbers: Vec<f64> = hashed(name, shape.iter().product()).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

fn at(annotations: &[f64], row: usize, step: usize, value: usize) -> f64 {
    annotations[(row * T + step) * C + value]
}

/// softmax_t(q · h_t) of one row's steps.
fn weights(annotations: &[f64], query: &[f64], row: usize, length: usize) -> Vec<f64> {
    let score = |step| (0..C).map(|value| query[value] * at(annotations, row, step, value)).sum::<f64>().exp();
    let scores: Vec<f64> = (0..length).map(score).collect();
    scores.iter().map(|score| score / scores.iter().sum::<f64>()).collect()
}

fn by_hand(annotations: &[f64], query: &[f64], pooling: Pooling, lengths: &[usize]) -> Vec<f64> {
    let value = |row: usize, value: usize| {
        let steps: Vec<f64> = (0..lengths[row]).map(|step| at(annotations, row, step, value)).collect();
        let Some(&last) = steps.last() else { return 0.0 };
        match pooling {
            Pooling::Last => last,
            Pooling::Mean => steps.iter().sum::<f64>() / steps.len() as f64,
            Pooling::Max => steps.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            _ => weights(annotations, query, row, steps.len()).iter().zip(&steps).map(|(a, h)| a * h).sum(),
        }
    };
    (0..N).flat_map(|row| (0..C).map(move |column| value(row, column))).collect()
}

#[test]
fn each_pooling_is_the_plain_sum_of_the_steps_that_a_row_has() {
    let (annotations, query) = (numbers("annotations", &[N, T, C]), numbers("query", &[C]));
    let plain = [values(&annotations), values(&query)];
    for pooling in ALL {
        for lengths in [None, Some(&LENGTHS[..])] {
            let found = pool(&annotations, lengths, pooling, Some(&query)).unwrap();
            let wanted = by_hand(&plain[0], &plain[1], pooling, lengths.unwrap_or(&[T; N]));
            assert_close(&format!("{pooling:?} {lengths:?}"), &values(&found.vector), &wanted, 1e-12);
            assert_eq!(found.alpha.is_some(), pooling == Pooling::Attention);
        }
    }
    let alpha = pool(&annotations, Some(&LENGTHS), Pooling::Attention, Some(&query)).unwrap().alpha.unwrap();
    let wanted = (0..N).flat_map(|row| {
        let mut weights = weights(&plain[0], &plain[1], row, LENGTHS[row]);
        weights.resize(T, 0.0);
        weights
    });
    assert_close("alpha", &values(&alpha), &wanted.collect::<Vec<_>>(), 1e-12);
}

#[test]
fn what_stands_behind_a_row_is_not_read() {
    let (annotations, query) = (numbers("annotations", &[N, T, C]), numbers("query", &[C]));
    let mut spoiled = values(&annotations);
    for (row, length) in LENGTHS.into_iter().enumerate() {
        spoiled[(row * T + length) * C..(row + 1) * T * C].fill(f64::NAN);
    }
    let spoiled = Var::from_tensor(&Tensor::from_vec(spoiled, (N, T, C), &Device::Cpu).unwrap()).unwrap();
    for pooling in ALL {
        let wanted = pool(&annotations, Some(&LENGTHS), pooling, Some(&query)).unwrap().vector;
        let found = pool(&spoiled, Some(&LENGTHS), pooling, Some(&query)).unwrap().vector;
        assert_eq!(values(&found), values(&wanted), "{pooling:?}");
        let gradient = found.sum_all().unwrap().backward().unwrap().get(&spoiled).map(values).unwrap();
        let behind = |(place, _): &(usize, &f64)| place / C % T >= LENGTHS[place / C / T];
        assert!(gradient.iter().enumerate().filter(behind).all(|(_, &g)| g == 0.0), "{pooling:?}");
        assert!(gradient.iter().all(|g| g.is_finite()), "{pooling:?}");
    }
}

#[test]
fn gradients_are_finite_differences() {
    let weight = numbers("weight", &[N, C]);
    for pooling in ALL {
        let vars = [numbers("annotations", &[N, T, C]), numbers("query", &[C])];
        let loss = |[annotations, query]: [&Tensor; 2]| {
            let vector = pool(annotations, Some(&LENGTHS), pooling, Some(query)).unwrap().vector;
            (vector * &weight).unwrap().sum_all().unwrap()
        };
        let tracked = vars.each_ref().map(|tensor| Var::from_tensor(tensor).unwrap());
        let gradients = loss(tracked.each_ref().map(|var| var.as_tensor())).backward().unwrap();
        for at in 0..2 {
            let Some(found) = gradients.get(&tracked[at]) else {
                assert!(at == 1 && pooling != Pooling::Attention, "{pooling:?}: no gradient of {at}");
                continue;
            };
            let difference = |place: usize| {
                let moved = |by: f64| {
                    let mut numbers = values(&vars[at]);
                    numbers[place] += by;
                    let moved = Tensor::from_vec(numbers, vars[at].dims(), &Device::Cpu).unwrap();
                    let both = if at == 0 { [&moved, &vars[1]] } else { [&vars[0], &moved] };
                    loss(both).to_scalar::<f64>().unwrap()
                };
                (moved(1e-6) - moved(-1e-6)) / 2e-6
            };
            let wanted: Vec<f64> = (0..vars[at].elem_count()).map(difference).collect();
            assert_close(&format!("{pooling:?} of {at}"), &values(found), &wanted, 1e-7);
        }
    }
}

#[test]
fn of_equal_values_one_step_has_the_gradient() {
    let ones = Var::ones((1, 3, 1), DType::F32, &Device::Cpu).unwrap();
    let loss = pool(&ones, None, Pooling::Max, None).unwrap().vector.sum_all().unwrap();
    assert_eq!(values(loss.backward().unwrap().get(&ones).unwrap()), [1.0, 0.0, 0.0]);
}

#[test]
fn poolings_stand_side_by_side_and_backwards_ends_at_the_first_step() {
    let parameters = Parameters::new(1);
    let vb = parameters.builder(&Device::Cpu);
    let annotations = numbers("annotations", &[N, T, C]).to_dtype(DType::F32).unwrap();
    let layer = Pool::new(C, &[Pooling::Last, Pooling::Attention], 2, vb.clone()).unwrap();
    let found = layer.forward(&annotations, Some(&LENGTHS)).unwrap();
    assert_eq!((found.vector.dims(), layer.output_size()), (&[N, 2 * C][..], 2 * C));
    let (plain, rows) = (values(&annotations), found.vector.to_vec2::<f32>().unwrap());
    for (row, length) in LENGTHS.into_iter().enumerate().filter(|&(_, length)| length > 0) {
        let step = |value: usize| if value < C / 2 { length - 1 } else { 0 };
        let wanted: Vec<f32> = (0..C).map(|value| at(&plain, row, step(value), value) as f32).collect();
        assert_eq!(rows[row][..C], wanted);
    }
    assert!(rows[1].iter().all(|&value| value == 0.0));
    assert_eq!(found.alpha.unwrap().sum(1).unwrap().to_vec1::<f32>().unwrap()[1], 0.0);
    let none = Tensor::zeros((2, 0, C), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(values(&layer.forward(&none, None).unwrap().vector), [0.0; 4 * C]);
    for (poolings, size, directions) in
        [(&[][..], 4, 1), (&[Pooling::Max; 2], 4, 1), (&[Pooling::Last], 3, 2), (&[Pooling::Last], 4, 3)]
    {
        assert!(Pool::new(size, poolings, directions, vb.clone()).is_err(), "{poolings:?}");
    }
    assert!(pool(&annotations, Some(&[9; N]), Pooling::Mean, None).is_err());
    assert!(pool(&annotations, Some(&[1]), Pooling::Mean, None).is_err());
    assert!(pool(&annotations, None, Pooling::Attention, None).is_err());
}
