//! The gradient of a few input channels, such as a picture's three: sums over what each position reads, as it lies.

use super::Geometry;
use super::cpu::Layout;
use super::gather::Gather;
use crate::recurrence::smooth::{multiply_add, vectorised};
use crate::team::Shared;
use rayon::prelude::*;

/// Up to so many input channels, their gradient has a way of its own.
pub const NARROW: usize = 4;

/// Partial sums of each.
const LANES: usize = 16;

vectorised! {
    /// Adds the products of `xs` with each of four others.
    fn accumulate(xs: &[f32], others: [&[f32]; NARROW], sums: &mut [[f32; LANES]; NARROW]) {
        let (chunks, rest) = xs.as_chunks::<LANES>();
        let [a, b, c, d] = others;
        let [(a, _), (b, _), (c, _), (d, _)] = [a, b, c, d].map(|other| other.as_chunks::<LANES>());
        let mut all = *sums;
        for ((((x, a), b), c), d) in chunks.iter().zip(a).zip(b).zip(c).zip(d) {
            for lane in 0..LANES {
                all[0][lane] = multiply_add::<FUSED>(x[lane], a[lane], all[0][lane]);
                all[1][lane] = multiply_add::<FUSED>(x[lane], b[lane], all[1][lane]);
                all[2][lane] = multiply_add::<FUSED>(x[lane], c[lane], all[2][lane]);
                all[3][lane] = multiply_add::<FUSED>(x[lane], d[lane], all[3][lane]);
            }
        }
        *sums = all;
        for (sums, other) in sums.iter_mut().zip(others) {
            for (lane, x) in rest.iter().enumerate() {
                sums[lane] += x * other[xs.len() - rest.len() + lane];
            }
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
        // Rows of the matrix's columns, one for each channel; missing ones are the last again.
        let weights: [Vec<f32>; NARROW] = std::array::from_fn(|channel| {
            let channel = channel.min(channels - 1);
            let of_element = |&element: &usize| {
                let outputs = group * outputs..(group + 1) * outputs;
                outputs.map(move |o| weight[(o * taps + element) * channels + channel])
            };
            elements.iter().flat_map(of_element).collect()
        });
        let (size, picture_out) = (gather.size(), self.groups * outputs * self.area_out());
        (0..self.batch * size.0).into_par_iter().for_each(|line| {
            let (picture, i) = (line / size.0, line % size.0);
            let dys = &dys[picture * picture_out..][..picture_out];
            for j in 0..size.1 {
                let mut sums = [[0f32; LANES]; NARROW];
                gather.read(dys, (i, j), |column, values| {
                    accumulate(values, weights.each_ref().map(|weights| &weights[column..][..values.len()]), &mut sums);
                });
                let place = (first.0 + i * self.stride.0) * self.input.1 + first.1 + j * self.stride.1;
                for (channel, sum) in (group * channels..).zip(&sums[..channels]) {
                    let at = match layout {
                        Layout::Together => (picture * self.area_in() + place) * all + channel,
                        Layout::Apart => (picture * all + channel) * self.area_in() + place,
                    };
                    // SAFETY: each position and channel is met once.
                    unsafe { dxs.write(at, 1)[0] = sum.iter().sum() };
                }
            }
        });
    }
}
