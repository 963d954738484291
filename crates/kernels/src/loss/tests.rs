#![allow(clippy::unwrap_used)]
use super::*;
use crate::cuda::emulator::emulated;
use crate::test_values::test_values;
use candle_core::{Device, Var};

/// The losses and the gradient of the logits.
fn outcome(logits: &Var, targets: &Tensor, options: &CrossEntropy, mask: Option<&Tensor>) -> Vec<f32> {
    let loss = cross_entropy(logits, targets, options, mask).unwrap();
    let store = loss.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    [values(&loss), values(store.get(logits).unwrap())].concat()
}

#[test]
fn cuda_kernels_give_what_the_cpu_gives() {
    for (seed, (rows, classes)) in [(1, 1), (5, 3), (7, 300), (640, 40)].into_iter().enumerate() {
        let values = test_values(seed as u64, rows * classes).into_iter().map(|x| 4.0 * x).collect();
        let logits = Var::from_vec(values, (rows, classes), &Device::Cpu).unwrap();
        let targets: Vec<i64> = (0..rows).map(|i| (i * 7 % (classes + 1)) as i64).collect();
        // One target in some is the one that does not count.
        let options = |reduction, smoothing| CrossEntropy {
            ignore_index: Some(classes as i64),
            label_smoothing: smoothing,
            reduction,
        };
        let targets = Tensor::new(targets, &Device::Cpu).unwrap();
        let mask = Tensor::new(test_values(9, rows), &Device::Cpu).unwrap().abs().unwrap();
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
            for (smoothing, mask) in [(0.0, None), (0.1, Some(&mask))] {
                let run = || outcome(&logits, &targets, &options(reduction, smoothing), mask);
                let (wanted, Some(found)) = (run(), emulated(seed as u64, run).unwrap()) else { return };
                for (found, wanted) in found.iter().zip(&wanted) {
                    let near = (found - wanted).abs() <= 1e-5 * wanted.abs().max(1.0);
                    assert!(
                        near || found.is_nan() && wanted.is_nan(),
                        "{reduction:?} {rows} {classes}: {found} {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn cuda_kernels_read_no_logits_of_targets_that_do_not_count_and_tell_of_those_that_are_none() {
    let rows = [[f32::NAN, f32::NAN], [1.0, 2.0], [3.0, 1.0]];
    let logits = Var::new(&rows, &Device::Cpu).unwrap();
    // Of more bits than an i32 has.
    let options = CrossEntropy { ignore_index: Some(-1 << 40), reduction: Reduction::None, ..CrossEntropy::default() };
    // Nobody looks at targets on the host, as on a device.
    let run = |targets: [i64; 3]| {
        let targets = Tensor::new(&targets, &Device::Cpu).unwrap();
        let gpu = crate::cuda::device_of(&[&logits]).unwrap();
        let (shape, mask) = (vec![3], None);
        let CrossEntropy { ignore_index: ignore, label_smoothing: smoothing, reduction } = options;
        let targets = Targets { classes: 2, targets, mask, ignore, smoothing, reduction, shape };
        let loss = cuda::cross_entropy(gpu, &logits, targets).unwrap();
        let store = loss.sum_all().unwrap().backward().unwrap();
        (loss.to_vec1::<f32>().unwrap(), store.get(&logits).unwrap().to_vec2::<f32>().unwrap())
    };
    let Some((losses, gradient)) = emulated(1, || run([-1 << 40, 0, 2])).unwrap() else { return };
    assert_eq!((losses[0], &gradient[0][..]), (0.0, &[0.0, 0.0][..]));
    assert!((losses[1] - 1.313_261_7).abs() < 1e-6 && losses[2].is_nan(), "{losses:?}");
}
