//! Depthwise convolution, where each channel has one kernel of its own: sums over the kernel's elements, channels side by side.
//!
//! There is no product of matrices in it. A few positions that lie beside each other read each weight once, and their sums
//! stay in registers.

use super::Geometry;
use super::cpu::After;
use super::layout::transpose;
use crate::recurrence::smooth::{multiply_add, vectorised};
use crate::team::{Shared, SharedRows, filled};
use rayon::prelude::*;
use std::ops::Range;

/// Channels of a step.
const LANES: usize = 16;

/// Positions of a step.
const POSITIONS: usize = 4;

/// One pass over maps (N, h, w, C): y\[first + (i, j)·step\] = Σ w\[element\] ⊙ x\[(i, j)·stride + place\] over the taps, with 0 outside.
struct Pass {
    channels: usize,
    /// Rows and columns of x.
    source: (usize, usize),
    /// The kernel's elements, and where each reads for (0, 0).
    taps: Vec<(usize, (isize, isize))>,
    stride: (usize, usize),
    /// Rows and columns of (i, j).
    size: (usize, usize),
    /// Rows and columns of y.
    target: (usize, usize),
    first: (usize, usize),
    step: (usize, usize),
}

impl Pass {
    /// Stretches of columns j in which each tap lies either within x or outside of it.
    fn stretches(&self) -> Vec<Range<usize>> {
        let mut ends = vec![0, self.size.1];
        for (_, (_, column)) in &self.taps {
            // The first j that reads from the column `limit` on.
            let from = |limit: isize| (limit - column).max(0).cast_unsigned().div_ceil(self.stride.1).min(self.size.1);
            ends.extend([from(0), from(self.source.1 as isize)]);
        }
        ends.sort_unstable();
        ends.dedup();
        ends.windows(2).map(|ends| ends[0]..ends[1]).collect()
    }

    /// Where position (i, j) of one picture reads x, and with which element, for taps that lie within x.
    fn present(&self, (i, j): (usize, usize), into: &mut Vec<(usize, usize)>) {
        let within = |at: usize, stride: usize, place: isize, size: usize| {
            (at * stride).checked_add_signed(place).filter(|&place| place < size)
        };
        into.clear();
        into.extend(self.taps.iter().filter_map(|&(element, (row, column))| {
            let row = within(i, self.stride.0, row, self.source.0)?;
            let column = within(j, self.stride.1, column, self.source.1)?;
            Some(((row * self.source.1 + column) * self.channels, element * self.channels))
        }));
    }

    /// The pass with weights (taps, C); `after` is told where in y its sums go.
    ///
    /// # Safety
    /// Nobody else touches the rows of y that the pass writes.
    unsafe fn run(&self, xs: &[f32], weights: &[f32], after: After, ys: &Shared) {
        let (from, into) = (self.source.0 * self.source.1 * self.channels, self.target.0 * self.target.1);
        let stretches = self.stretches();
        let lines = xs.len() / from * self.size.0;
        (0..lines).into_par_iter().for_each_init(Vec::new, |taps, line| {
            let (picture, i) = (line / self.size.0, line % self.size.0);
            let row = (self.first.0 + i * self.step.0) * self.target.1 + self.first.1;
            for stretch in &stretches {
                self.present((i, stretch.start), taps);
                let at = (picture * into + row + stretch.start * self.step.1) * self.channels;
                let stride = self.step.1 * self.channels;
                // SAFETY: the positions of this line belong to this task alone.
                let ys = unsafe { ys.rows(at, stride, self.channels) };
                let read = Read { xs: &xs[picture * from..][..from], step: self.stride.1 * self.channels, taps };
                let after = After { add: after.add.map(|add| &add[at..]), ..after };
                sums(read, weights, after, stretch.len(), ys, stride);
            }
        });
    }
}

/// What positions beside each other read: each tap's first value, which lies `step` values further for each next position.
#[derive(Clone, Copy)]
struct Read<'a> {
    xs: &'a [f32],
    step: usize,
    taps: &'a [(usize, usize)],
}

vectorised! {
    /// The sums of `count` positions beside each other; what is added to them lies `stride` values apart.
    fn sums(read: Read, weights: &[f32], after: After, count: usize, ys: SharedRows, stride: usize) {
        let (channels, mut ys, mut channel) = (ys.width(), ys, 0);
        while channel + LANES <= channels {
            of_channels::<FUSED, LANES>(read, weights, after, channel, count, &mut ys, stride);
            channel += LANES;
        }
        while channel + 4 <= channels {
            of_channels::<FUSED, 4>(read, weights, after, channel, count, &mut ys, stride);
            channel += 4;
        }
        while channel < channels {
            of_channels::<FUSED, 1>(read, weights, after, channel, count, &mut ys, stride);
            channel += 1;
        }
    }
}

#[inline(always)]
fn of_channels<const FUSED: bool, const WIDTH: usize>(
    read: Read,
    weights: &[f32],
    after: After,
    channel: usize,
    count: usize,
    ys: &mut SharedRows,
    stride: usize,
) {
    let mut position = 0;
    while position + POSITIONS <= count {
        tile::<FUSED, WIDTH, POSITIONS>(read, weights, after, (channel, position), ys, stride);
        position += POSITIONS;
    }
    while position < count {
        tile::<FUSED, WIDTH, 1>(read, weights, after, (channel, position), ys, stride);
        position += 1;
    }
}

#[inline(always)]
fn tile<const FUSED: bool, const WIDTH: usize, const COUNT: usize>(
    read: Read,
    weights: &[f32],
    after: After,
    (channel, position): (usize, usize),
    ys: &mut SharedRows,
    stride: usize,
) {
    let mut sums = [[0f32; WIDTH]; COUNT];
    if let Some(bias) = after.bias {
        let bias = &bias[channel..channel + WIDTH];
        for sums in &mut sums {
            sums.copy_from_slice(bias);
        }
    }
    for &(start, element) in read.taps {
        let weights = &weights[element + channel..element + channel + WIDTH];
        let start = start + position * read.step + channel;
        for (number, sums) in sums.iter_mut().enumerate() {
            let xs = &read.xs[start + number * read.step..start + number * read.step + WIDTH];
            for lane in 0..WIDTH {
                sums[lane] = multiply_add::<FUSED>(weights[lane], xs[lane], sums[lane]);
            }
        }
    }
    for (number, sums) in sums.iter_mut().enumerate() {
        if let Some(add) = after.add {
            let add = &add[(position + number) * stride + channel..][..WIDTH];
            for lane in 0..WIDTH {
                sums[lane] += add[lane];
            }
        }
        let ys = &mut ys.row(position + number)[channel..channel + WIDTH];
        for lane in 0..WIDTH {
            // A NaN is not below 0 and stays.
            ys[lane] = if after.relu && sums[lane] <= 0.0 { 0.0 } else { sums[lane] };
        }
    }
}

impl Geometry {
    /// Whether each channel of the result reads one channel of its own.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.channels == 1 && self.outputs == 1
    }

    fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// The weights (taps, C) of (C, taps).
    pub fn elements_first(&self, weight: &[f32]) -> Vec<f32> {
        let mut turned = vec![0f32; weight.len()];
        transpose(weight, self.taps(), (self.groups, self.taps()), &mut turned, self.groups);
        turned
    }

    /// The result for maps (N, h, w, C) and weights (taps, C).
    pub fn depthwise(&self, xs: &[f32], weights: &[f32], after: After) -> Vec<f32> {
        let pass = Pass {
            channels: self.groups,
            source: self.input,
            taps: self.elements().map(|(u, v)| self.tap(u, v)).enumerate().collect(),
            stride: self.stride,
            size: self.output,
            target: self.output,
            first: (0, 0),
            step: (1, 1),
        };
        let count = self.batch * self.groups * self.area_out();
        // SAFETY: the pass writes all positions, and nothing else does.
        unsafe { filled(count, |ys| pass.run(xs, weights, after, ys)) }
    }

    /// The gradient (N, h, w, C) of the maps, from that of the result: a pass for each phase of the stride.
    pub fn depthwise_gradient_of_input(&self, weight: &[f32], dys: &[f32]) -> Vec<f32> {
        let weights = self.elements_first(weight);
        let mut dxs = vec![0f32; self.batch * self.groups * self.area_in()];
        let shared = Shared::new(&mut dxs);
        for (first, elements, taps) in self.phases() {
            let along = |size: usize, first: usize, step: usize| (size - first).div_ceil(step);
            let pass = Pass {
                channels: self.groups,
                source: self.output,
                taps: elements.into_iter().zip(taps).collect(),
                stride: (1, 1),
                size: (along(self.input.0, first.0, self.stride.0), along(self.input.1, first.1, self.stride.1)),
                target: self.input,
                first,
                step: self.stride,
            };
            // SAFETY: each phase has positions of its own.
            unsafe { pass.run(dys, &weights, After::default(), &shared) };
        }
        dxs
    }

    /// The gradient (C, taps) of the weight from maps (N, h, w, C).
    pub fn depthwise_gradient_of_weight(&self, xs: &[f32], dys: &[f32]) -> Vec<f32> {
        let (channels, taps) = (self.groups, self.taps());
        let (from, into) = (self.area_in() * channels, self.area_out() * channels);
        let blocks = channels.div_ceil(LANES);
        let mut dweight = vec![0f32; channels * taps];
        dweight.par_chunks_mut(LANES * taps).enumerate().take(blocks).for_each(|(block, dweight)| {
            let (first, width) = (block * LANES, dweight.len() / taps);
            let mut total = vec![[0f64; LANES]; taps];
            for (xs, dys) in xs.chunks_exact(from).zip(dys.chunks_exact(into)) {
                for ((u, v), total) in self.elements().zip(&mut total) {
                    let sums = self.element(xs, dys, self.tap(u, v), first..first + width);
                    total.iter_mut().zip(sums).for_each(|(total, sum)| *total += f64::from(sum));
                }
            }
            for (channel, dweight) in dweight.chunks_exact_mut(taps).enumerate() {
                dweight.iter_mut().zip(&total).for_each(|(into, total)| *into = total[channel] as f32);
            }
        });
        dweight
    }

    /// Σ dy · x for one element of the kernel, some channels and one picture.
    fn element(&self, xs: &[f32], dys: &[f32], tap: (isize, isize), channels: Range<usize>) -> [f32; LANES] {
        // Positions of the result that read x within its edges.
        let range = |place: isize, stride: usize, source: usize, size: usize| {
            let from = |limit: isize| (limit - place).max(0).cast_unsigned().div_ceil(stride).min(size);
            from(0)..from(source as isize)
        };
        let rows = range(tap.0, self.stride.0, self.input.0, self.output.0);
        let columns = range(tap.1, self.stride.1, self.input.1, self.output.1);
        let mut sums = [0f32; LANES];
        let Some(start) = (columns.start * self.stride.1).checked_add_signed(tap.1).filter(|_| !columns.is_empty())
        else {
            return sums;
        };
        for i in rows {
            let row = (i * self.stride.0).saturating_add_signed(tap.0);
            let xs = &xs[(row * self.input.1 + start) * self.groups..];
            let dys = &dys[(i * self.output.1 + columns.start) * self.groups..];
            let steps = (self.stride.1 * self.groups, self.groups);
            accumulate(xs, dys, steps, columns.len(), channels.clone(), &mut sums);
        }
        sums
    }
}

vectorised! {
    /// Adds Σ x · dy over `count` positions, whose values lie `steps` apart, to a sum for each of the channels.
    fn accumulate(xs: &[f32], dys: &[f32], steps: (usize, usize), count: usize, channels: Range<usize>, sums: &mut [f32; LANES]) {
        let (first, width) = (channels.start, channels.len());
        if width < LANES {
            for position in 0..count {
                let xs = &xs[position * steps.0 + first..][..width];
                let dys = &dys[position * steps.1 + first..][..width];
                for lane in 0..width {
                    sums[lane] = multiply_add::<FUSED>(xs[lane], dys[lane], sums[lane]);
                }
            }
            return;
        }
        // Two sums at a time, so that one does not wait for the other.
        let (mut even, mut odd) = (*sums, [0f32; LANES]);
        for pair in 0..count / 2 {
            let (x, dy) = (2 * pair * steps.0 + first, 2 * pair * steps.1 + first);
            let (x0, x1) = (&xs[x..x + LANES], &xs[x + steps.0..x + steps.0 + LANES]);
            let (dy0, dy1) = (&dys[dy..dy + LANES], &dys[dy + steps.1..dy + steps.1 + LANES]);
            for lane in 0..LANES {
                even[lane] = multiply_add::<FUSED>(x0[lane], dy0[lane], even[lane]);
                odd[lane] = multiply_add::<FUSED>(x1[lane], dy1[lane], odd[lane]);
            }
        }
        if count % 2 == 1 {
            let (x, dy) = ((count - 1) * steps.0 + first, (count - 1) * steps.1 + first);
            let (xs, dys) = (&xs[x..x + LANES], &dys[dy..dy + LANES]);
            for lane in 0..LANES {
                even[lane] = multiply_add::<FUSED>(xs[lane], dys[lane], even[lane]);
            }
        }
        for lane in 0..LANES {
            sums[lane] = even[lane] + odd[lane];
        }
    }
}
