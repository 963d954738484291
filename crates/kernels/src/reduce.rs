//! Sums in a fixed order, written so that the compiler uses vectors.

const LANES: usize = 16;

/// The sum of `f` over positions of equally long slices, in [`LANES`] partial sums that are added in order at the end.
#[inline(always)]
pub(crate) fn sum2(xs: &[f32], ys: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (xs, ys) = (xs.chunks_exact(LANES), ys.chunks_exact(LANES));
    let rest: f32 = xs.remainder().iter().zip(ys.remainder()).map(|(&x, &y)| f(x, y)).sum();
    for (x, y) in xs.zip(ys) {
        for i in 0..LANES {
            lanes[i] += f(x[i], y[i]);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// The sum of `f` over a slice; see [`sum2`].
#[inline(always)]
pub(crate) fn sum1(xs: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum2(xs, xs, |x, _| f(x))
}
