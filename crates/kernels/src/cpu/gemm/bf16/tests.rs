#![allow(clippy::unwrap_used)]
use super::*;
use crate::cpu::disjoint::DisjointSlice;
use crate::cpu::gemm::{GemmShape, PackedB, packed_gemm};
use crate::test_values::test_values;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Every isa that this machine can take.
fn every_isa() -> Vec<Isa> {
    [Isa::Portable].into_iter().chain(isas()).collect()
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default() }
}

/// The value that is left of this one.
fn kept(value: f32) -> f64 {
    f64::from(f32::from_bits(portable::rounded(value) << 16))
}

#[test]
fn rounding_is_to_the_nearest_and_of_two_to_the_even() {
    let cases = [
        (1.0, 1.0),
        (-0.0, -0.0),
        (1.0 + 2f32.powi(-8), 1.0),
        (1.0 + 3.0 * 2f32.powi(-8), 1.0 + 2f32.powi(-6)),
        (1.0 + 2f32.powi(-8) + 2f32.powi(-20), 1.0 + 2f32.powi(-7)),
        (-3.0e38, -3.004_055_3e38),
        (f32::MAX, f32::INFINITY),
        (f32::INFINITY, f32::INFINITY),
        (f32::NEG_INFINITY, f32::NEG_INFINITY),
    ];
    for isa in every_isa() {
        for (value, wanted) in cases.map(|(value, wanted)| ([value], wanted)) {
            for by_term in [true, false] {
                let strip = Strip { matrix: Strided::rows(&value, 1), count: 1, terms: 1, by_term };
                let mut into = [MaybeUninit::uninit(); LINES];
                isa.round_strip(strip, &mut into, LINES);
                // SAFETY: rounding writes whole tiles, of which this is the first line.
                let found = unsafe { into[0].assume_init() }.0[0];
                assert_eq!(f32::from_bits(found << 16), wanted, "{isa:?}: {value:?}");
                assert_eq!(f32::from_bits(found << 16).is_sign_negative(), value[0].is_sign_negative());
            }
        }
        let mut buffer = Vec::new();
        let nan = isa.round(A::rows(&[f32::NAN], 1, 1), 1, &mut buffer);
        assert!(f32::from_bits(nan.tiles[0].0[0] << 16).is_nan(), "{isa:?}");
    }
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn every_path_rounds_to_the_same_bits(
        count in 0usize..17, terms in 0usize..100, gap in 0usize..3, beside: bool, by_term: bool, between in 0usize..40,
        seed in 0u64..1000,
    ) {
        let strides = if beside { (1, count.max(1) + gap) } else { (terms.max(1) + gap, 1) };
        let values = test_values(seed, count.saturating_sub(1) * strides.0 + terms.saturating_sub(1) * strides.1 + 1);
        let strip = Strip { matrix: Strided { values: &values, row: strides.0, column: strides.1 }, count, terms, by_term };
        let step = LINES + between;
        let round = |isa: Isa| {
            let mut into = vec![MaybeUninit::new(Pairs([7; LINES])); tiles(terms) * step];
            isa.round_strip(strip, &mut into, step);
            // SAFETY: all were written when the vector was made.
            into.into_iter().map(|pairs| unsafe { pairs.assume_init() }.0).collect::<Vec<_>>()
        };
        let wanted = round(Isa::Portable);
        for i in 0..count {
            for k in 0..terms {
                let pair = match by_term {
                    true => wanted[k / TERMS * step + i][k % TERMS / 2],
                    false => wanted[k / TERMS * step + k % TERMS / 2][i],
                };
                prop_assert_eq!(pair >> (k % 2 * 16) & 0xffff, portable::rounded(values[i * strides.0 + k * strides.1]));
            }
        }
        for isa in every_isa() {
            prop_assert_eq!(&round(isa), &wanted);
        }
    }

    /// With few rows and with many, on either side as it lies or turned.
    #[test]
    fn whole_products_are_sums_of_rounded_values(
        m in 1usize..150, n in 1usize..70, k in 1usize..90, long: bool, many: bool, a_turned: bool, b_turned: bool,
        gap in 0usize..3, seed in 0u64..1000,
    ) {
        let k = if long { 13 * k } else { k };
        let m = if many { m + crate::cpu::gemm::PACKED_AS_READ } else { m };
        let a_strides = if a_turned { (1, m + gap) } else { (k + gap, 1) };
        let b_strides = if b_turned { (1, k + gap) } else { (n + gap, 1) };
        let a = test_values(seed, (m - 1) * a_strides.0 + (k - 1) * a_strides.1 + 1);
        let b = test_values(seed + 1, (k - 1) * b_strides.0 + (n - 1) * b_strides.1 + 1);
        let (a_kept, b_kept): (Vec<f64>, Vec<f64>) =
            (a.iter().map(|&a| kept(a)).collect(), b.iter().map(|&b| kept(b)).collect());
        let mut wanted = vec![(0f64, 0f64, 0f64); m * n];
        for (at, (sum, exact, size)) in wanted.iter_mut().enumerate() {
            for t in 0..k {
                let (i, j) = (at / n * a_strides.0 + t * a_strides.1, t * b_strides.0 + at % n * b_strides.1);
                *sum += a_kept[i] * b_kept[j];
                *exact += f64::from(a[i]) * f64::from(b[j]);
                *size += f64::from(a[i] * b[j]).abs();
            }
        }
        let shape = GemmShape { m, n, k };
        let a = Strided { values: &a, row: a_strides.0, column: a_strides.1 };
        let b = Strided { values: &b, row: b_strides.0, column: b_strides.1 };
        for isa in every_isa() {
            let mut into = vec![f32::NAN; m * n];
            packed_gemm(Some(isa), &DisjointSlice::new(&mut into), a, b, shape, |into, sums, _| {
                into.copy_from_slice(sums);
            });
            for (found, (sum, exact, size)) in into.iter().zip(&wanted) {
                // What the values themselves give lies within the bound that is documented.
                prop_assert!((exact - sum).abs() <= size * (2f64.powi(-7) + 2f64.powi(-16)));
                prop_assert!((f64::from(*found) - sum).abs() < 1e-6 * size + 1e-6, "{:?}: {} for {}", isa, found, sum);
            }
        }
        let mut full = vec![f32::NAN; m * n];
        packed_gemm(None, &DisjointSlice::new(&mut full), a, b, shape, |into, sums, _| {
            into.copy_from_slice(sums);
        });
        for (full, (_, exact, size)) in full.iter().zip(&wanted) {
            prop_assert!((f64::from(*full) - exact).abs() < 1e-6 * size + 1e-6, "{} for {}", full, exact);
        }
    }

    #[test]
    fn panels_multiply_few_rows(
        rows in 1usize..70, depth in 1usize..100, columns in 1usize..100, gap in 0usize..3, add: bool, back: bool,
        seed in 0u64..1000,
    ) {
        let (a, b) = (test_values(seed, rows * (depth + gap)), test_values(seed + 1, depth * columns));
        let strides = if back { (columns, 1) } else { (1, depth) };
        let stride = PANEL + gap;
        let before = test_values(seed + 2, rows * stride + PANEL);
        for isa in every_isa() {
            let packed = PackedB::new(Some(isa), Strided { values: &b, row: strides.0, column: strides.1 }, depth, columns);
            for panel in 0..packed.panels() {
                let (start, width) = packed.span(panel);
                let mut into = before.clone();
                packed.multiply(A::rows(&a, rows, depth + gap), panel, &mut into, stride, add);
                for r in 0..rows {
                    for j in 0..width {
                        let term = |k: usize| {
                            kept(a[r * (depth + gap) + k]) * kept(b[k * strides.0 + (start + j) * strides.1])
                        };
                        let sum: f64 = (0..depth).map(term).sum();
                        let wanted = sum + if add { f64::from(before[r * stride + j]) } else { 0.0 };
                        prop_assert!((f64::from(into[r * stride + j]) - wanted).abs() < 2e-5, "{:?}", isa);
                    }
                    let behind = r * stride + PANEL..(r + 1) * stride;
                    prop_assert_eq!(&into[behind.clone()], &before[behind]);
                }
            }
        }
    }
}

#[test]
fn infinite_values_beyond_the_terms_of_a_part_do_not_spoil_it() {
    // The depth is no multiple of a tile, and what lies behind the matrix is infinite.
    let (m, n, k) = (40, 40, 37);
    let mut a = vec![1f32; m * k + 64];
    a[m * k..].fill(f32::INFINITY);
    let mut b = vec![1f32; k * n + 64];
    b[k * n..].fill(f32::NAN);
    let (a, b) = (Strided::rows(&a, k), Strided::rows(&b, n));
    for isa in every_isa() {
        let mut into = vec![0f32; m * n];
        packed_gemm(Some(isa), &DisjointSlice::new(&mut into), a, b, GemmShape { m, n, k }, |into, sums, _| {
            into.copy_from_slice(sums);
        });
        assert!(into.iter().all(|&sum| sum == k as f32), "{isa:?}");
    }
}

#[test]
fn a_product_without_terms_is_zero() {
    for isa in every_isa() {
        let packed = PackedB::new(Some(isa), Strided::rows(&[], 40), 0, 40);
        let mut into = vec![1f32; 20 * PANEL];
        packed.multiply(A::rows(&[], 20, 0), 0, &mut into, PANEL, false);
        assert!(into.iter().all(|&value| value == 0.0), "{isa:?}");
    }
}
