#![allow(clippy::unwrap_used)]
use super::*;
use crate::channels_last;
use crate::cuda::emulator::emulated_in;
use crate::precision::Precision;
use crate::test_values::test_values;
use candle_core::{Device, Var};

fn var(seed: u64, shape: &[usize]) -> Var {
    Var::from_tensor(&Tensor::from_vec(test_values(seed, shape.iter().product()), shape, &Device::Cpu).unwrap())
        .unwrap()
}

/// What a convolution gives, and the gradients of all inputs.
fn outcome(vars: &[Var], ys: &Tensor) -> Vec<Vec<f32>> {
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let weights = Tensor::from_vec(test_values(90, ys.elem_count()), ys.shape(), &Device::Cpu).unwrap();
    let store = (ys * weights).unwrap().sum_all().unwrap().backward().unwrap();
    [flat(ys)].into_iter().chain(vars.iter().map(|var| flat(store.get(var).unwrap()))).collect()
}

#[test]
fn cuda_kernels_give_what_the_cpu_gives() {
    for (seed, (n, groups, channels, outputs, (h, w), kernel, options)) in [
        (2, 1, 3, 5, (6, 7), (3, 3), ((1, 1), (1, 1), (1, 1))),
        (3, 2, 2, 3, (5, 9), (3, 2), ((2, 1), (1, 2), (1, 2))),
        (1, 1, 4, 6, (8, 8), (1, 1), ((1, 1), (0, 0), (1, 1))),
        (2, 4, 1, 2, (7, 7), (5, 5), ((3, 2), (2, 2), (1, 1))),
        (3, 40, 1, 1, (9, 6), (3, 3), ((2, 2), (1, 1), (1, 1))),
        // More positions than a block takes for a weight.
        (2, 3, 1, 1, (60, 40), (3, 3), ((1, 1), (1, 1), (1, 1))),
        (5, 1, 33, 40, (4, 3), (1, 1), ((2, 2), (0, 0), (1, 1))),
    ]
    .into_iter()
    .enumerate()
    {
        let (stride, padding, dilation) = options;
        let options = Conv2d { stride, padding, dilation, groups };
        let weight = var(2, &[groups * outputs, channels, kernel.0, kernel.1]);
        let bias = var(3, &[groups * outputs]);
        let apart = vec![var(1, &[n, groups * channels, h, w]), weight.clone(), bias.clone()];
        let together = vec![var(1, &[n, h, w, groups * channels]), weight, bias];
        let nchw = || outcome(&apart, &conv2d(&apart[0], &apart[1], Some(&apart[2]), &options).unwrap());
        let nhwc = || {
            let ys = channels_last::conv2d_relu(&together[0], &together[1], Some(&together[2]), &options).unwrap();
            outcome(&together, &ys)
        };
        // Without a ReLU, which rounding lets pass here and there what it did not.
        let linear = || {
            outcome(
                &together,
                &channels_last::conv2d(&together[0], &together[1], Some(&together[2]), &options).unwrap(),
            )
        };
        let cases: [(&dyn Fn() -> Vec<Vec<f32>>, Precision, f32); 6] = [
            (&nchw, Precision::Highest, 1e-5),
            (&nhwc, Precision::Highest, 1e-5),
            (&nchw, Precision::Bf16, 2e-2),
            (&linear, Precision::Bf16, 2e-2),
            (&nchw, Precision::F16, 3e-3),
            (&linear, Precision::F16, 3e-3),
        ];
        for (run, precision, tolerance) in cases {
            let (wanted, Some(found)) = (run(), emulated_in(precision, seed as u64, run).unwrap()) else { return };
            for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                let largest = wanted.iter().fold(0.1f32, |largest, value| largest.max(value.abs()));
                for (f, w) in found.iter().zip(wanted) {
                    assert!((f - w).abs() <= tolerance * largest, "case {seed}, tensor {i}: {f} instead of {w}");
                }
            }
        }
    }
}
