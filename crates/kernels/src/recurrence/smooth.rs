//! exp, tanh and the logistic function in plain f32 arithmetic that compilers turn into vector code.
//!
//! The standard library's are calls that no compiler vectorises. These are branch-free and use no fused multiply-add, so
//! that every instruction set gives the same bits. Errors against exact values over the whole range, as the tests check:
//! exp 2e-7 relative, tanh 2e-7 and logistic 1e-7 absolute. A NaN stays a NaN.

/// Compiles a function for AVX-512 and AVX2 as well, and calls the widest that the machine has.
macro_rules! vectorised {
    ($(#[$note:meta])* $visible:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$note])*
        $visible fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn plain($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    plain($($argument),*)
                }
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
                fn avx512($($argument: $type),*) $(-> $result)? {
                    plain($($argument),*)
                }
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                {
                    // SAFETY: the machine was just asked whether it has all four.
                    return unsafe { avx512($($argument),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the machine was just asked whether it has AVX2.
                    return unsafe { avx2($($argument),*) };
                }
            }
            plain($($argument),*)
        }
    };
}
pub(crate) use vectorised;

/// eˣ for x in [−87, 88]; below and above, the value at the end of that range.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Comparisons rather than min and max, which would lose a NaN.
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    // Adding 1.5·2²³ rounds to an integer n, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // x − n ln 2 in two parts, the first of them exact.
    let r = (x - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let tail = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0))));
    let mantissa = 1.0 + (r + r * r * (0.5 + r * tail));
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    mantissa * power
}

/// tanh x = (1 − e^(−2|x|)) / (1 + e^(−2|x|)) with the sign of x.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let decay = exp(-2.0 * x.abs());
    ((1.0 - decay) / (1.0 + decay)).copysign(x)
}

/// The logistic function 1 / (1 + e^(−x)).
#[inline(always)]
pub(crate) fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

vectorised! {
    /// Σ aᵢ bᵢ, always in the same order.
    pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
        const LANES: usize = 16;
        let mut sums = [0f32; LANES];
        let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
        for (a, b) in a_chunks.zip(b_chunks) {
            for lane in 0..LANES {
                sums[lane] += a[lane] * b[lane];
            }
        }
        sums.iter().sum::<f32>() + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 97th float between these two, of both signs.
    fn floats(low: f32, high: f32) -> impl Iterator<Item = f32> {
        (low.to_bits()..=high.to_bits()).step_by(97).map(f32::from_bits).flat_map(|x| [x, -x])
    }

    #[test]
    fn errors_stay_within_their_bounds_over_the_whole_range() {
        let (mut worst_exp, mut worst_tanh, mut worst_logistic) = (0f64, 0f64, 0f64);
        for x in floats(1e-10, 100.0) {
            let wide = f64::from(x);
            if x > -87.0 && x < 88.0 {
                worst_exp = worst_exp.max((f64::from(exp(x)) / wide.exp() - 1.0).abs());
            }
            worst_tanh = worst_tanh.max((f64::from(tanh(x)) - wide.tanh()).abs());
            worst_logistic = worst_logistic.max((f64::from(logistic(x)) - 1.0 / (1.0 + (-wide).exp())).abs());
        }
        assert!(worst_exp < 2e-7, "exp: {worst_exp:e}");
        assert!(worst_tanh < 2e-7, "tanh: {worst_tanh:e}");
        assert!(worst_logistic < 1e-7, "logistic: {worst_logistic:e}");
    }

    #[test]
    fn ends_zeros_and_nans_are_exact() {
        assert_eq!((tanh(0.0), logistic(0.0), exp(0.0)), (0.0, 0.5, 1.0));
        assert_eq!((tanh(f32::INFINITY), tanh(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!(logistic(f32::INFINITY), 1.0);
        assert!(logistic(f32::NEG_INFINITY) < 1e-37);
        assert!(tanh(f32::NAN).is_nan() && logistic(f32::NAN).is_nan() && exp(f32::NAN).is_nan());
    }

    #[test]
    fn dot_takes_every_length() {
        for n in 0..40u16 {
            let values: Vec<f32> = (0..n).map(f32::from).collect();
            let exact = (0..n).map(|i| f32::from(i) * f32::from(i)).sum::<f32>();
            assert_eq!(dot(&values, &values), exact, "{n}");
        }
    }
}
