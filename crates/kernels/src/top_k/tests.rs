#![allow(clippy::unwrap_used)]
use super::*;
use crate::cuda::emulator::emulated;
use crate::test_values::test_values;
use candle_core::Device;

const NONE: f32 = f32::NEG_INFINITY;

fn rows(values: &[f32], width: usize) -> Tensor {
    Tensor::from_vec(values.to_vec(), (values.len() / width, width), &Device::Cpu).unwrap()
}

#[test]
fn the_largest_come_first_and_the_lower_index_of_equal_ones() {
    let xs = rows(&[1.0, 3.0, 2.0, 3.0, NONE, NONE, NONE, NONE, NONE, f32::NAN, 0.5, NONE], 4);
    let found = top_k(&xs, 3).unwrap();
    assert_eq!(found.indices, [1, 3, 2, 0, 1, 2, 2, 0, 3]);
    assert_eq!(found.values, [3.0, 3.0, 2.0, NONE, NONE, NONE, 0.5, NONE, NONE]);
    assert_eq!(found.log_sum_exps[1], NONE);
    assert!(found.log_sum_exps[2].is_nan());
    assert_eq!(top_k(&rows(&[f32::NAN, 2.0], 2), 9).unwrap().indices, [1, u32::MAX]);
}

#[test]
fn cuda_kernels_find_what_the_host_finds() {
    let mut wide = test_values(1, 3 * 1000);
    // Equal ones on both sides of a block's width.
    (wide[700], wide[1003], wide[1900]) = (9.0, 9.0, 9.0);
    let hard =
        [1.0, NONE, f32::NAN, 2.0, NONE, NONE, NONE, NONE, f32::INFINITY, 1.0, NONE, 3.0, f32::NAN, NONE, NONE, NONE];
    for (seed, (xs, k)) in
        [(rows(&wide, 1000), 10), (rows(&wide, 1000), 1), (rows(&wide[..30], 5), 9), (rows(&hard, 4), 3)]
            .into_iter()
            .enumerate()
    {
        let wanted = top_k(&xs, k).unwrap();
        let Some(found) = emulated(seed as u64, || top_k(&xs, k).unwrap()).unwrap() else { return };
        assert_eq!(
            (&found.indices, &found.values, found.k),
            (&wanted.indices, &wanted.values, wanted.k),
            "case {seed}"
        );
        for (found, wanted) in found.log_sum_exps.iter().zip(&wanted.log_sum_exps) {
            let same =
                found == wanted || !found.is_finite() && !wanted.is_finite() && (*found == NONE) == (*wanted == NONE);
            assert!(same || (found - wanted).abs() < 1e-5, "case {seed}: {found} instead of {wanted}");
        }
    }
}
