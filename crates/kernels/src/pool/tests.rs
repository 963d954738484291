#![allow(clippy::unwrap_used)]
use super::*;
use crate::channels_last;
use crate::cuda::emulator::emulated;
use crate::test_values::test_values;
use candle_core::{Device, Var};

/// What a pooling gives, and its gradient.
fn outcome(xs: &Var, ys: &Tensor) -> [Vec<f32>; 2] {
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let weights = Tensor::from_vec(test_values(90, ys.elem_count()), ys.shape(), &Device::Cpu).unwrap();
    let store = (ys * weights).unwrap().sum_all().unwrap().backward().unwrap();
    [flat(ys), flat(store.get(xs).unwrap())]
}

#[test]
fn cuda_kernels_give_what_the_cpu_gives() {
    let pool = |kernel, stride, padding, ceil_mode| Pool2d {
        padding,
        ceil_mode,
        count_include_pad: ceil_mode,
        ..Pool2d::new(kernel, stride)
    };
    for (seed, (shape, pool)) in [
        ([2, 3, 6, 7], pool((3, 3), (2, 2), (1, 1), false)),
        ([1, 5, 9, 8], pool((2, 3), (1, 2), (0, 1), true)),
        ([3, 2, 5, 5], pool((5, 5), (1, 1), (2, 2), false)),
        ([2, 33, 4, 4], pool((2, 2), (3, 3), (0, 0), true)),
    ]
    .into_iter()
    .enumerate()
    {
        // Of equal values the first one has the gradient, and a NaN is the largest.
        let mut values: Vec<f32> = test_values(seed as u64, shape.iter().product());
        values.iter_mut().for_each(|value| *value = (*value * 4.0).round());
        if seed == 2 {
            values[7] = f32::NAN;
        }
        let xs = Var::from_vec(values, &shape, &Device::Cpu).unwrap();
        let runs: [&dyn Fn() -> [Vec<f32>; 2]; 5] = [
            &|| outcome(&xs, &max_pool2d(&xs, &pool).unwrap()),
            &|| outcome(&xs, &avg_pool2d(&xs, &pool).unwrap()),
            &|| outcome(&xs, &adaptive_avg_pool2d(&xs, (2, 3)).unwrap()),
            &|| outcome(&xs, &channels_last::max_pool2d(&xs, &Pool2d { padding: (0, 0), ..pool }).unwrap()),
            &|| {
                outcome(
                    &xs,
                    &channels_last::avg_pool2d(&xs, &Pool2d { kernel: (1, 2), padding: (0, 0), ..pool }).unwrap(),
                )
            },
        ];
        for (i, run) in runs.into_iter().enumerate() {
            // A map of three rows has no window of five.
            if seed == 2 && i == 3 {
                continue;
            }
            let (wanted, Some(found)) = (run(), emulated(seed as u64, run).unwrap()) else { return };
            for (found, wanted) in found.iter().flatten().zip(wanted.iter().flatten()) {
                let near = (found - wanted).abs() < 1e-5 || found.is_nan() && wanted.is_nan();
                assert!(near, "case {seed}, pooling {i}: {found} instead of {wanted}");
            }
        }
    }
}
