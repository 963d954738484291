//! The gradient of a few input channels, such as a picture's three: sums over what each position reads, as it lies.

use super::im2col::Gather;
use crate::conv::Geometry;
use crate::conv::Layout;
use crate::cpu::simd_math::{multiply_add, vectorised};
use crate::cpu::team::Shared;
use rayon::prelude::*;

/// Up to so many input channels, their gradient has a way of its own.
pub const NARROW: usize = 4;

/// Partial sums of each.
const LANES: usize = 16;

vectorised! {
    /// Adds the products of `xs` with what begins at `start` in each of up to four others.
    fn accumulate(xs: &[f32], others: &[Vec<f32>], start: usize, sums: &mut [[f32; LANES]; NARROW]) {
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
    sums: &mut [[f32; LANES]; NARROW],
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

impl Geometry {
    /// The input's gradient at `first` and every stride from there on, for up to [`NARROW`] channels: as sums over what each
    /// position reads, since a panel would be empty but for these.
    pub fn narrow(
        &self,
        layout: Layout,
        gather: &Gather,
        dys: &[f32],
        weight: &[f32],
        (group, elements): (usize, &[usize]),
        first: (usize, usize),
        dxs: &Shared,
    ) {
        let (channels, outputs, taps) = (self.channels, self.outputs, self.kernel.0 * self.kernel.1);
        let all = self.groups * channels;
        // Rows of the matrix's columns, one for each channel.
        let weights = (0..channels).map(|channel| {
            let of_element = |&element: &usize| {
                let outputs = group * outputs..(group + 1) * outputs;
                outputs.map(move |o| weight[(o * taps + element) * channels + channel])
            };
            elements.iter().flat_map(of_element).collect()
        });
        let weights: Vec<Vec<f32>> = weights.collect();
        let (size, picture_out) = (gather.size(), self.groups * outputs * self.area_out());
        (0..self.batch * size.0).into_par_iter().for_each(|line| {
            let (picture, i) = (line / size.0, line % size.0);
            let dys = &dys[picture * picture_out..][..picture_out];
            for j in 0..size.1 {
                let mut sums = [[0f32; LANES]; NARROW];
                gather.read(dys, (i, j), |column, values| accumulate(values, &weights, column, &mut sums));
                let place = (first.0 + i * self.stride.0) * self.input.1 + first.1 + j * self.stride.1;
                for (channel, sum) in (group * channels..).zip(&sums[..channels]) {
                    let at = match layout {
                        Layout::Nhwc => (picture * self.area_in() + place) * all + channel,
                        Layout::Nchw => (picture * all + channel) * self.area_in() + place,
                    };
                    // SAFETY: a line is one task's, each j of it another position and each channel another value, and this is the only
                    // thing that is written to `dxs` at the time.
                    unsafe { dxs.write(at, 1)[0] = sum.iter().sum() };
                }
            }
        });
    }
}
