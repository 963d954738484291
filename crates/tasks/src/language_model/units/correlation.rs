//! How much two rows of values go together, from −1 to 1.
//!
//! ```text
//! r(x, y) = Σ (x − mean x) (y − mean y) / √(Σ (x − mean x)² Σ (y − mean y)²)
//! ```
//!
//! With y of 0 and 1 it is the point-biserial correlation; of ranks it is Spearman's, where equal values have the mean of their ranks.
//!
//! Spearman 1904, "The proof and measurement of association between two things"; Tate 1954, "Correlation between a discrete and a
//! continuous variable".

/// How many products are summed in f32 before they go into an f64.
const SUMMED: usize = 256;

/// Lanes that a sum is kept in, so that it is a vector's.
const LANES: usize = 16;

/// Pearson's correlation r; 0 where one of the two does not vary.
///
/// With 0 and 1 for no and yes it is the point-biserial correlation.
pub fn pearson(xs: &[f32], ys: &[f32]) -> f64 {
    let standard = |values: &[f32]| standardised(values.to_vec());
    standard(xs).zip(standard(ys)).map_or(0.0, |(xs, ys)| dot(&xs, &ys))
}

/// Spearman's correlation: r of the ranks; 0 where one of the two does not vary.
pub fn spearman(xs: &[f32], ys: &[f32]) -> f64 {
    pearson(&ranks(xs), &ranks(ys))
}

/// The values less their mean, over the root of the sum of their squares; nothing where they do not vary.
pub(super) fn standardised(mut values: Vec<f32>) -> Option<Vec<f32>> {
    let first = *values.first()?;
    if values.iter().all(|&value| value == first) {
        return None;
    }
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64;
    let norm = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>().sqrt();
    if norm == 0.0 {
        return None;
    }
    values.iter_mut().for_each(|value| *value = ((f64::from(*value) - mean) / norm) as f32);
    Some(values)
}

/// Σ x y.
pub(super) fn dot(xs: &[f32], ys: &[f32]) -> f64 {
    let part = |xs: &[f32], ys: &[f32]| -> f64 {
        let ((xs, x_rest), (ys, y_rest)) = (xs.as_chunks::<LANES>(), ys.as_chunks::<LANES>());
        let mut lanes = [0f32; LANES];
        for (xs, ys) in xs.iter().zip(ys) {
            (0..LANES).for_each(|lane| lanes[lane] += xs[lane] * ys[lane]);
        }
        let rest: f32 = x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum();
        f64::from(lanes.iter().sum::<f32>() + rest)
    };
    xs.chunks(SUMMED).zip(ys.chunks(SUMMED)).map(|(xs, ys)| part(xs, ys)).sum()
}

/// The place of each value in their order, from 0; equal values have the mean of their places.
pub(super) fn ranks(values: &[f32]) -> Vec<f32> {
    // The value's order in the upper half, its place in the lower one. −0 is 0.
    let key = |(at, &value): (usize, &f32)| {
        let bits = (value + 0.0).to_bits();
        let order = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
        u64::from(order) << 32 | at as u64
    };
    let mut order: Vec<u64> = values.iter().enumerate().map(key).collect();
    order.sort_unstable();
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|a, b| a >> 32 == b >> 32) {
        let mean = before as f32 + (equal.len() - 1) as f32 / 2.0;
        equal.iter().for_each(|&key| ranks[key as u32 as usize] = mean);
        before += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-6, "{found} and {wanted}");
    }

    #[test]
    fn equal_values_have_the_mean_of_their_ranks() {
        assert_eq!(ranks(&[0.5, -2.0, 0.5, 7.0, -0.0, 0.0]), [3.5, 0.0, 3.5, 5.0, 1.5, 1.5]);
        assert_eq!(ranks(&[]), [0f32; 0]);
    }

    #[test]
    fn correlations_are_those_of_the_formula() {
        // The ranks are 1, 2.5, 2.5, 4 and 2.5, 1, 2.5, 4: less their mean of 2.5 the sum of products is 2.25, of squares 4.5 and 4.5.
        near(spearman(&[1.0, 2.0, 2.0, 9.0], &[5.0, -3.0, 5.0, 6.0]), 0.5);
        near(spearman(&[1.0, 2.0, 3.0], &[-1.0, -8.0, -9.0]), -1.0);
        // (M₁ − M₀) / s · √(p q), with the groups' means 3 and 1 and s = √2.
        let (xs, ys) = ([0.0, 2.0, 2.0, 4.0], [0.0, 0.0, 1.0, 1.0]);
        near(pearson(&xs, &ys), 2.0 / 2f64.sqrt() * 0.5);
        near(pearson(&[1.0; 4], &ys), 0.0);
        near(pearson(&[], &[]), 0.0);
        let long: Vec<f32> = (0..1003).map(|at| (at * 37 % 101) as f32).collect();
        near(pearson(&long, &long), 1.0);
    }
}
