//! The discrete Fourier transform of a power of two of points, by halves (Cooley and Tukey 1965).

use std::f64::consts::TAU;

/// |X_k|² of X_k = Σ_n x_n e^(−2πikn/M) for k = 0 … M/2, of M real numbers; M is a power of two.
pub(super) fn power(x: &[f64]) -> Vec<f64> {
    let m = x.len();
    let bits = m.trailing_zeros();
    let place = |n: usize| if bits == 0 { n } else { n.reverse_bits() >> (usize::BITS - bits) };
    let (mut re, mut im): (Vec<f64>, Vec<f64>) = (0..m).map(|n| (x[place(n)], 0.0)).unzip();
    let mut half = 1;
    while half < m {
        for k in 0..half {
            let (sin, cos) = (-TAU * k as f64 / (2 * half) as f64).sin_cos();
            for even in (k..m).step_by(2 * half) {
                let odd = even + half;
                let (a, b) = (re[odd] * cos - im[odd] * sin, re[odd] * sin + im[odd] * cos);
                (re[odd], im[odd]) = (re[even] - a, im[even] - b);
                (re[even], im[even]) = (re[even] + a, im[even] + b);
            }
        }
        half *= 2;
    }
    re.iter().zip(&im).take(m / 2 + 1).map(|(re, im)| re * re + im * im).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_sum_of_its_formula() {
        for m in [1, 2, 8, 64] {
            let x: Vec<f64> = (0..m).map(|n| ((n * n * 7 + 3 * n + 1) % 11) as f64 - 5.0).collect();
            let found = power(&x);
            assert_eq!(found.len(), m / 2 + 1);
            for (k, found) in found.into_iter().enumerate() {
                let part = |of: fn(f64) -> f64| -> f64 {
                    (0..m).map(|n| x[n] * of(-TAU * (k * n) as f64 / m as f64)).sum::<f64>().powi(2)
                };
                let wanted = part(f64::cos) + part(f64::sin);
                assert!((found - wanted).abs() < 1e-8, "{m} {k}: {found} is not {wanted}");
            }
        }
    }
}
