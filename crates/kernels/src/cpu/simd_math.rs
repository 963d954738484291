//! SIMD math: exp, tanh and the logistic function in plain f32 arithmetic that compilers vectorise.
//!
//! The standard library's are calls that no compiler vectorises. These are branch-free. From the float nearest to the exact value
//! they are at most 1 (exp) and 2 floats away (tanh, logistic), with and without fused multiply-adds, for all x from −87 to 87, as
//! the tests check. A NaN stays a NaN.

/// Compiles a function for AVX-512 and AVX2 as well, and calls the widest that the machine has. In its body the constant
/// `FUSED` says whether a fused multiply-add is one instruction there. Loops are `for`: what a closure does is not compiled for
/// those instructions unless it happens to be inlined.
macro_rules! vectorised {
    ($(#[$note:meta])* $visible:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$note])*
        // Arguments that are handed on through the stack in larger pieces than they were written wait for all stores before them.
        #[inline(always)]
        $visible fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn plain<const FUSED: bool>($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    plain::<true>($($argument),*)
                }
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
                fn avx512($($argument: $type),*) $(-> $result)? {
                    plain::<true>($($argument),*)
                }
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                {
                    // SAFETY: the machine was just asked whether it has all four.
                    return unsafe { avx512($($argument),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                    // SAFETY: the machine was just asked whether it has both.
                    return unsafe { avx2($($argument),*) };
                }
            }
            plain::<{ cfg!(target_feature = "fma") || cfg!(target_arch = "aarch64") }>($($argument),*)
        }
    };
}
pub(crate) use vectorised;

/// a · b + c.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    // Without the instruction it would be a call.
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// eˣ as (power, tail) with eˣ = power · (1 + tail), |tail| below 0.42, for x in [−87, 88]; below and above, as at the end of that range.
#[inline(always)]
fn exp_parts<const FUSED: bool>(x: f32) -> (f32, f32) {
    // Comparisons rather than min and max, which would lose a NaN.
    let x = if x < -87.0 { -87.0 } else { x };
    exp_parts_within::<FUSED>(if x > 88.0 { 88.0 } else { x })
}

/// [`exp_parts`] for x in [−87, 88] alone.
#[inline(always)]
fn exp_parts_within<const FUSED: bool>(x: f32) -> (f32, f32) {
    // Adding 1.5·2²³ rounds to an integer n, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = multiply_add::<FUSED>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    // x − n ln 2 in two parts, the first of them exact.
    let r = multiply_add::<FUSED>(n, 2.121_944_4e-4, multiply_add::<FUSED>(n, -0.693_359_4, x));
    let mut tail = 1.0 / 5040.0;
    for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5] {
        tail = multiply_add::<FUSED>(r, tail, term);
    }
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    (power, multiply_add::<FUSED>(r * r, tail, r))
}

/// eˣ for x in [−87, 88] alone.
#[inline(always)]
pub(crate) fn exp_within<const FUSED: bool>(x: f32) -> f32 {
    let (power, tail) = exp_parts_within::<FUSED>(x);
    (1.0 + tail) * power
}

/// eˣ for x in [−87, 88]; below and above, the value at the end of that range.
#[inline(always)]
pub(crate) fn exp<const FUSED: bool>(x: f32) -> f32 {
    let (power, tail) = exp_parts::<FUSED>(x);
    (1.0 + tail) * power
}

/// tanh x = −d / (2 + d) with d = e^(−2|x|) − 1, and the sign of x.
#[inline(always)]
pub(crate) fn tanh<const FUSED: bool>(x: f32) -> f32 {
    let (power, tail) = exp_parts::<FUSED>(-2.0 * x.abs());
    // Near 0 the power is 1, so that nothing cancels.
    let d = multiply_add::<FUSED>(power, tail, power - 1.0);
    (-d / (2.0 + d)).copysign(x)
}

/// x and its logistic function, for their product: below −88, where the exponential ends, those of −88, since what is left there
/// would not be little times a larger x.
#[inline(always)]
pub(crate) fn with_logistic<const FUSED: bool>(x: f32) -> (f32, f32) {
    let x = if x < -88.0 { -88.0 } else { x };
    (x, 1.0 / (1.0 + exp_within::<FUSED>(if x > 87.0 { -87.0 } else { -x })))
}

/// The logistic function 1 / (1 + e^(−x)).
#[inline(always)]
pub(crate) fn logistic<const FUSED: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FUSED>(-x))
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

    /// How many floats away from the one nearest to the exact value.
    fn ulps(found: f32, exact: f64) -> u32 {
        found.to_bits().abs_diff((exact as f32).to_bits())
    }

    fn errors<const FUSED: bool>() {
        let (mut worst_exp, mut worst_tanh, mut worst_logistic) = (0, 0, 0);
        for x in floats(1e-30, 87.0) {
            let wide = f64::from(x);
            worst_exp = worst_exp.max(ulps(exp::<FUSED>(x), wide.exp()));
            worst_tanh = worst_tanh.max(ulps(tanh::<FUSED>(x), wide.tanh()));
            worst_logistic = worst_logistic.max(ulps(logistic::<FUSED>(x), 1.0 / (1.0 + (-wide).exp())));
        }
        assert!(worst_exp <= 1 && worst_tanh <= 2 && worst_logistic <= 2, "{worst_exp} {worst_tanh} {worst_logistic}");
    }

    #[test]
    fn errors_stay_within_their_bounds_over_the_whole_range() {
        errors::<false>();
        errors::<true>();
    }

    fn ends<const FUSED: bool>() {
        assert_eq!((tanh::<FUSED>(0.0), logistic::<FUSED>(0.0), exp::<FUSED>(0.0)), (0.0, 0.5, 1.0));
        assert_eq!((tanh::<FUSED>(f32::INFINITY), tanh::<FUSED>(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!(logistic::<FUSED>(f32::INFINITY), 1.0);
        assert!(logistic::<FUSED>(f32::NEG_INFINITY) < 1e-37);
        assert!([tanh::<FUSED>, logistic::<FUSED>, exp::<FUSED>].iter().all(|f| f(f32::NAN).is_nan()));
    }

    #[test]
    fn ends_zeros_and_nans_are_exact() {
        ends::<false>();
        ends::<true>();
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
