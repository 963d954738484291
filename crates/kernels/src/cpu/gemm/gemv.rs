//! GEMV and skinny GEMM with row-major weights: a weight that was read serves several rows.

pub use super::row_major::RowMajor;
use super::row_major::{Dots, WEIGHTS};
#[cfg(target_arch = "x86_64")]
use super::x86;

/// Adds `Σₖ rows[i, k] weights[j, k]` over so many `terms` to value j of row i of `into`, whose rows are `stride` apart. A sum's
/// order does not depend on the number of rows.
pub fn add(into: &mut [f32], stride: usize, rows: RowMajor, weights: RowMajor, terms: usize) {
    assert!(rows.fit(terms) && weights.fit(terms));
    let parts = rows.count.div_ceil(max_rows());
    for j in (0..weights.count).step_by(WEIGHTS) {
        let weights = weights.part(j, weights.count.min(j + WEIGHTS));
        for part in 0..parts {
            let (start, end) = (part * rows.count / parts, (part + 1) * rows.count / parts);
            let sums = microkernel(rows.part(start, end), weights, terms);
            for (i, sums) in (start..end).zip(&sums) {
                let into = &mut into[i * stride + j..][..weights.count];
                into.iter_mut().zip(sums).for_each(|(into, sum)| *into += sum);
            }
        }
    }
}

/// The most rows that [`microkernel`] takes.
fn max_rows() -> usize {
    #[cfg(target_arch = "x86_64")]
    if let Some(level) = x86::level() {
        return level.gemv_rows();
    }
    PORTABLE_ROWS
}

/// The sums of up to [`max_rows`] rows and [`WEIGHTS`] rows of weights.
fn microkernel(rows: RowMajor, weights: RowMajor, terms: usize) -> Dots {
    #[cfg(target_arch = "x86_64")]
    if let Some(level) = x86::level() {
        return x86::gemv(level, rows, weights, terms);
    }
    portable(rows, weights, terms)
}

/// The most rows that [`portable`] takes.
const PORTABLE_ROWS: usize = 4;

/// [`microkernel`] in plain Rust, which compilers vectorise.
fn portable(rows: RowMajor, weights: RowMajor, terms: usize) -> Dots {
    const LANES: usize = 16;
    let whole = terms / LANES * LANES;
    // Rows that are missing are the last one again.
    let rows: [&[f32]; PORTABLE_ROWS] = std::array::from_fn(|i| rows.line(i.min(rows.count - 1), terms));
    let mut found = Dots::default();
    for j in 0..weights.count {
        let weights = weights.line(j, terms);
        let mut sums = [[0f32; LANES]; PORTABLE_ROWS];
        for k in (0..whole).step_by(LANES) {
            let weights = &weights[k..][..LANES];
            for (sums, row) in sums.iter_mut().zip(rows) {
                let row = &row[k..][..LANES];
                for lane in 0..LANES {
                    sums[lane] += weights[lane] * row[lane];
                }
            }
        }
        for ((found, sums), row) in found.iter_mut().zip(&sums).zip(rows) {
            let rest: f32 = weights[whole..].iter().zip(&row[whole..]).map(|(x, y)| x * y).sum();
            found[j] = sums.iter().sum::<f32>() + rest;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small integers, whose sums are exact.
    fn integers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7 + seed) % 13) as f32 - 6.0).collect()
    }

    #[test]
    fn every_number_of_rows_weights_and_terms() {
        for terms in (0..40).chain([64, 100]) {
            for rows in 0..14 {
                for weights in 0..10 {
                    let (a_stride, b_stride, stride) = (terms + 3, terms + 1, weights + 2);
                    let (a, b) = (integers(rows * a_stride, 1), integers(weights * b_stride, 5));
                    let mut found = vec![1f32; rows * stride];
                    let a = RowMajor { values: &a, stride: a_stride, count: rows };
                    let b = RowMajor { values: &b, stride: b_stride, count: weights };
                    add(&mut found, stride, a, b, terms);
                    for (at, found) in found.into_iter().enumerate() {
                        let (i, j) = (at / stride, at % stride);
                        let exact = match j < weights {
                            true => a.line(i, terms).iter().zip(b.line(j, terms)).map(|(a, b)| a * b).sum(),
                            false => 0f32,
                        };
                        assert_eq!(found, 1.0 + exact, "{rows} rows, {weights} weights, {terms} terms: {i}, {j}");
                    }
                }
            }
        }
    }

    /// Checks one microkernel with every number of rows that it takes.
    fn check(most: usize, microkernel: impl Fn(RowMajor, RowMajor, usize) -> Dots) {
        for (rows, weights) in (1..=most).flat_map(|rows| (1..=WEIGHTS).map(move |weights| (rows, weights))) {
            for terms in [0, 1, 7, 8, 15, 16, 17, 37, 64] {
                let (a, b) = (integers(rows * terms, 2), integers(weights * terms, 3));
                let a = RowMajor { values: &a, stride: terms, count: rows };
                let b = RowMajor { values: &b, stride: terms, count: weights };
                let found = microkernel(a, b, terms);
                for (i, j) in (0..rows).flat_map(|i| (0..weights).map(move |j| (i, j))) {
                    let exact: f32 = a.line(i, terms).iter().zip(b.line(j, terms)).map(|(a, b)| a * b).sum();
                    assert_eq!(found[i][j], exact, "{rows} rows, {weights} weights, {terms} terms: {i}, {j}");
                }
            }
        }
    }

    #[test]
    fn every_microkernel_is_exact() {
        check(PORTABLE_ROWS, portable);
        #[cfg(target_arch = "x86_64")]
        for level in [x86::Level::Avx512, x86::Level::Avx2].into_iter().filter(|level| level.is_available()) {
            check(level.gemv_rows(), |rows, weights, terms| x86::gemv(level, rows, weights, terms));
        }
    }

    #[test]
    fn a_sum_does_not_depend_on_what_is_beside_it() {
        let (terms, count) = (333, 11);
        let values: Vec<f32> = (0..count * terms).map(|i| (i as f32 * 0.37).sin()).collect();
        let rows = RowMajor { values: &values, stride: terms, count };
        let mut all = vec![0f32; count * count];
        add(&mut all, count, rows, rows, terms);
        for (at, all) in all.into_iter().enumerate() {
            let mut alone = [0f32];
            let (i, j) = (rows.line(at / count, terms), rows.line(at % count, terms));
            add(&mut alone, 1, RowMajor::one(i), RowMajor::one(j), terms);
            assert_eq!(alone[0].to_bits(), all.to_bits(), "{at}");
        }
    }
}
