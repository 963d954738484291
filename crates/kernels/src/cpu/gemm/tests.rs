#![allow(clippy::unwrap_used)]
use super::*;
use crate::test_values::test_values;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

type Multiply = fn(Tile, usize, &mut [f32]);

/// Every kernel that this machine can run, with the most rows that it takes.
fn kernels() -> Vec<(usize, Multiply)> {
    let mut kernels: Vec<(usize, Multiply)> = vec![(4, portable::multiply)];
    #[cfg(target_arch = "x86_64")]
    {
        use x86::Level;
        if Level::Avx512.is_available() {
            kernels.push((Level::Avx512.rows(), |tile, rows, into| x86::multiply(Level::Avx512, tile, rows, into)));
        }
        if Level::Avx2.is_available() {
            kernels.push((Level::Avx2.rows(), |tile, rows, into| x86::multiply(Level::Avx2, tile, rows, into)));
        }
    }
    kernels
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() })]

    /// With few rows and with many, on either side as it lies or turned.
    #[test]
    fn whole_products_are_plain_sums(
        m in 1usize..40, n in 1usize..70, k in 0usize..70, a_turned: bool, b_turned: bool, large: bool,
        seed in 0u64..1000,
    ) {
        let n = if large { 40 * n } else { n };
        let (a, b, bias) = (test_values(seed, m * k), test_values(seed + 1, k * n), test_values(seed + 2, n));
        let a_strides = if a_turned { (1, m) } else { (k, 1) };
        let b_strides = if b_turned { (1, k) } else { (n, 1) };
        let a_matrix = Strided { values: &a, row: a_strides.0, column: a_strides.1 };
        let b_matrix = Strided { values: &b, row: b_strides.0, column: b_strides.1 };
        let plain = gemm(a_matrix, b_matrix, GemmShape { m, n, k }, None);
        let biased = gemm(a_matrix, b_matrix, GemmShape { m, n, k }, Some(&bias));
        for i in 0..m {
            for j in 0..n {
                let product = |t: usize| {
                    f64::from(a[i * a_strides.0 + t * a_strides.1]) * f64::from(b[t * b_strides.0 + j * b_strides.1])
                };
                let sum: f64 = (0..k).map(product).sum();
                prop_assert!((f64::from(plain[i * n + j]) - sum).abs() < 2e-5);
                prop_assert!((f64::from(biased[i * n + j]) - sum - f64::from(bias[j])).abs() < 2e-5);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_kernel_equals_plain_sums(
        rows in 1usize..30, depth in 0usize..80, columns in 1usize..100, gap in 0usize..3, add: bool, back: bool, turned: bool,
        seed in 0u64..1000,
    ) {
        let left_stride = if turned { rows } else { depth } + gap;
        let (a, b) = (test_values(seed, rows.max(depth) * left_stride + depth), test_values(seed + 1, depth * columns));
        let a_rows = if turned { A::columns(&a, rows, left_stride) } else { A::rows(&a, rows, left_stride) };
        let strides = (a_rows.matrix.row, a_rows.matrix.column);
        let packed = if back { PackedB::rows(&b, depth, columns) } else { PackedB::transposed(&b, columns, depth) };
        let value = |k: usize, j: usize| if back { b[k * columns + j] } else { b[j * depth + k] };
        let stride = PANEL + gap;
        let before = test_values(seed + 2, rows * stride + PANEL);
        for panel in 0..packed.panels() {
            let (start, width) = packed.span(panel);
            for (most, kernel) in kernels() {
                let mut into = before.clone();
                let mut buffer = Vec::new();
                let lines = packed.panel(panel, 0..depth, &mut buffer);
                let tile = Tile { a: a_rows.matrix, lines, next: packed.in_place(panel + 1, 0..depth), stride, add };
                tile.split_rows(rows, most, &mut into, kernel);
                for r in 0..rows {
                    for j in 0..width {
                        let sum: f64 = (0..depth).map(|k| f64::from(a[r * strides.0 + k * strides.1]) * f64::from(value(k, start + j))).sum();
                        let wanted = sum + if add { f64::from(before[r * stride + j]) } else { 0.0 };
                        prop_assert!((f64::from(into[r * stride + j]) - wanted).abs() < 2e-5);
                    }
                }
            }
            let mut into = before.clone();
            packed.multiply(a_rows, panel, &mut into, stride, add);
            for r in 0..rows {
                prop_assert_eq!(&into[r * stride + PANEL..(r + 1) * stride], &before[r * stride + PANEL..(r + 1) * stride]);
            }
            let (middle, whole) = (depth / 3, into);
            let mut into = before.clone();
            let mut buffer = Vec::new();
            multiply(a_rows, packed.panel(panel, 0..middle, &mut buffer), &[], &mut into, stride, add);
            let values = &a[(middle * strides.1).min(a.len())..];
            let rest = A::new(Strided { values, ..a_rows.matrix }, rows);
            multiply(rest, packed.panel(panel, middle..depth, &mut buffer), &[], &mut into, stride, true);
            into.iter().zip(&whole).for_each(|(part, whole)| assert!((part - whole).abs() < 2e-5));
        }
    }
}

/// Deeper than what is read at a time.
#[test]
fn deep_panels_are_plain_sums() {
    let (rows, depth, columns) = (7, 450, 40);
    let (a, b) = (test_values(1, rows * depth), test_values(2, depth * columns));
    let packed = PackedB::rows(&b, depth, columns);
    for (a_rows, add) in [(A::rows(&a, rows, depth), true), (A::columns(&a, rows, rows), false)] {
        let before = test_values(3, rows * PANEL);
        let mut into = before.clone();
        packed.multiply(a_rows, 1, &mut into, PANEL, add);
        for (at, found) in into.iter().enumerate().filter(|(at, _)| at % PANEL < columns - PANEL) {
            let (r, j) = (at / PANEL, PANEL + at % PANEL);
            let term = |k: usize| {
                f64::from(a[r * a_rows.matrix.row + k * a_rows.matrix.column]) * f64::from(b[k * columns + j])
            };
            let wanted = (0..depth).map(term).sum::<f64>() + if add { f64::from(before[at]) } else { 0.0 };
            assert!((f64::from(*found) - wanted).abs() < 2e-5, "{found} instead of {wanted}");
        }
    }
}

/// Rows, or columns, that lie such a distance apart that they are copied together first.
#[test]
fn products_of_rows_that_would_collide_are_plain_sums() {
    for (m, n, k, turned) in [(200, 256, 1024, false), (1024, 260, 50, true)] {
        let (a, b) = (test_values(1, m * k), test_values(2, k * n));
        let strides = if turned { (1, m) } else { (k, 1) };
        let matrix = Strided { values: &a, row: strides.0, column: strides.1 };
        let found = gemm(matrix, Strided::rows(&b, n), GemmShape { m, n, k }, None);
        for (at, found) in found.into_iter().enumerate() {
            let term = |t: usize| f64::from(a[at / n * strides.0 + t * strides.1]) * f64::from(b[t * n + at % n]);
            let wanted: f64 = (0..k).map(term).sum();
            assert!((f64::from(found) - wanted).abs() < 1e-4, "{found} instead of {wanted}");
        }
    }
}
