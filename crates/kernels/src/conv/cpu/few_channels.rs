//! The gradient of a few input channels, such as an image's three: a panel would be empty but for these, so that it is summed over
//! what each position reads.

use super::gradients::{FEW_CHANNELS, InputGradient, StridePhase};
use super::im2col::Im2col;
use crate::conv::Layout;
use crate::cpu::simd_math::{multiply_add, vectorised};
use rayon::prelude::*;

/// Partial sums of each.
const LANES: usize = 16;

vectorised! {
    /// Adds the products of `xs` with what begins at `start` in each of up to four others.
    fn accumulate(xs: &[f32], others: &[Vec<f32>], start: usize, sums: &mut [[f32; LANES]; FEW_CHANNELS]) {
        match others {
            [a] => products::<FUSED, 1>(xs, [a], start, sums),
            [a, b] => products::<FUSED, 2>(xs, [a, b], start, sums),
            [a, b, c] => products::<FUSED, 3>(xs, [a, b, c], start, sums),
            [a, b, c, d] => products::<FUSED, 4>(xs, [a, b, c, d], start, sums),
            _ => {}
        }
    }
}

#[inline(always)]
fn products<const FUSED: bool, const COUNT: usize>(
    xs: &[f32],
    others: [&Vec<f32>; COUNT],
    start: usize,
    sums: &mut [[f32; LANES]; FEW_CHANNELS],
) {
    let others = others.map(|other| &other[start..start + xs.len()]);
    let (whole, mut all) = (xs.len() / LANES * LANES, [[0f32; LANES]; COUNT]);
    for at in (0..whole).step_by(LANES) {
        let x = &xs[at..at + LANES];
        for (sums, other) in all.iter_mut().zip(others) {
            let other = &other[at..at + LANES];
            for lane in 0..LANES {
                sums[lane] = multiply_add::<FUSED>(x[lane], other[lane], sums[lane]);
            }
        }
    }
    for ((sums, all), other) in sums.iter_mut().zip(&all).zip(others) {
        for lane in 0..LANES {
            sums[lane] += all[lane];
        }
        for (sum, (x, other)) in sums.iter_mut().zip(xs[whole..].iter().zip(&other[whole..])) {
            *sum += x * other;
        }
    }
}

impl InputGradient<'_> {
    /// The gradient of up to [`FEW_CHANNELS`] channels at the positions of a phase, from NHWC `dys`.
    pub fn few_channels(&self, phase: &StridePhase, group: usize, im2col: &Im2col, dys: &[f32]) {
        let g = self.geometry;
        let (channels, outputs, taps, all) = (g.channels, g.outputs, g.taps(), g.groups * g.channels);
        // Of each channel what a row of the im2col matrix is multiplied with.
        let weights = (0..channels).map(|channel| {
            let of_element = |&element: &usize| {
                let outputs = group * outputs..(group + 1) * outputs;
                outputs.map(move |o| self.weight[(o * taps + element) * channels + channel])
            };
            phase.elements.iter().flat_map(of_element).collect()
        });
        let weights: Vec<Vec<f32>> = weights.collect();
        let (size, image_out) = (im2col.size(), g.groups * outputs * g.area_out());
        (0..g.batch * size.0).into_par_iter().for_each(|line| {
            let (image, i) = (line / size.0, line % size.0);
            let dys = &dys[image * image_out..][..image_out];
            for j in 0..size.1 {
                let mut sums = [[0f32; LANES]; FEW_CHANNELS];
                im2col.read(dys, i, j, |column, values| accumulate(values, &weights, column, &mut sums));
                let place = (phase.first.0 + i * g.stride.0) * g.input.1 + phase.first.1 + j * g.stride.1;
                for (channel, sum) in (group * channels..).zip(&sums[..channels]) {
                    let at = match self.dys.layout {
                        Layout::Nhwc => (image * g.area_in() + place) * all + channel,
                        Layout::Nchw => (image * all + channel) * g.area_in() + place,
                    };
                    // SAFETY: a line is one task's, each j of it another position and each channel another value, and this is the only
                    // thing that is written to `dxs` at the time.
                    unsafe { self.dxs.write(at, 1)[0] = sum.iter().sum() };
                }
            }
        });
    }
}
