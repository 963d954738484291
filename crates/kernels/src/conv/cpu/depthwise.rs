//! Depthwise convolution of NHWC maps, where each channel has one kernel of its own: sums over the kernel's elements, vectorised over
//! channels.

use super::output::Epilogue;
use crate::conv::Geometry;
use crate::cpu::disjoint::{self, DisjointRows, DisjointSlice};
use crate::cpu::simd_math::{multiply_add, vectorised};
use crate::cpu::transpose::transpose;
use rayon::prelude::*;
use std::ops::Range;

/// Channels of a step: their weights, or the sums of their weights' gradients, stay in the first-level cache.
const BLOCK: usize = 32;

/// Products that are added to sums at a time.
const TERMS: usize = 4;

/// The factors of missing products.
static ZEROS: [f32; BLOCK] = [0.0; BLOCK];

/// What a function gives for the terms from one on.
macro_rules! terms {
    ($of:ident, $first:expr) => {
        [$of($first), $of($first + 1), $of($first + 2), $of($first + 3)]
    };
}

/// One pass over maps (N, h, w, C): y\[first + (i, j)·step\] = Σ w\[element\] ⊙ x\[(i, j)·stride + place\] over the taps, with 0 outside.
struct DepthwisePass {
    channels: usize,
    /// Rows and columns of x.
    source: (usize, usize),
    /// The kernel's elements, and where each reads for (0, 0).
    taps: Vec<(usize, (isize, isize))>,
    stride: (usize, usize),
    /// Rows and columns of (i, j).
    size: (usize, usize),
    /// Rows and columns of y.
    result: (usize, usize),
    first: (usize, usize),
    step: (usize, usize),
}

impl DepthwisePass {
    /// Stretches of columns j in which each tap is either within x or outside of it.
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

    /// Where position (i, j) of one image reads x, and with which element, for taps within x.
    fn taps_within(&self, i: usize, j: usize, into: &mut Vec<(usize, usize)>) {
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

    /// The pass with weights (taps, C).
    ///
    /// # Safety
    /// Nobody else reads or writes the positions of y that the pass writes.
    unsafe fn run(&self, xs: &[f32], weights: &[f32], epilogue: Epilogue, ys: &DisjointSlice) {
        let (from, into) = (self.source.0 * self.source.1 * self.channels, self.result.0 * self.result.1);
        let stretches = self.stretches();
        let lines = xs.len() / from * self.size.0;
        (0..lines).into_par_iter().for_each_init(Vec::new, |taps, line| {
            let (image, i) = (line / self.size.0, line % self.size.0);
            let row = (self.first.0 + i * self.step.0) * self.result.1 + self.first.1;
            for stretch in &stretches {
                self.taps_within(i, stretch.start, taps);
                let at = (image * into + row + stretch.start * self.step.1) * self.channels;
                let stride = self.step.1 * self.channels;
                // SAFETY: each line (image, i) is one task's, and each stretch of it other positions, from `at` on every `step`; nobody
                // outside of the pass touches them, as the caller promises.
                let ys = unsafe { ys.rows(at, stride, stretch.len(), self.channels) };
                let read = Read { xs: &xs[image * from..][..from], step: self.stride.1 * self.channels, taps };
                let epilogue = Epilogue { add: epilogue.add.map(|add| &add[at..]), ..epilogue };
                sums(read, weights, epilogue, stretch.len(), ys, stride);
            }
        });
    }
}

/// What neighbouring positions read: each tap's first value, which is `step` values further on for each next position.
#[derive(Clone, Copy)]
struct Read<'a> {
    xs: &'a [f32],
    step: usize,
    taps: &'a [(usize, usize)],
}

vectorised! {
    /// The sums of `count` neighbouring positions; what is added to them starts every `stride` values.
    fn sums(read: Read, weights: &[f32], epilogue: Epilogue, count: usize, ys: DisjointRows, stride: usize) {
        let (channels, mut ys) = (ys.width(), ys);
        for first in (0..channels).step_by(BLOCK) {
            let width = BLOCK.min(channels - first);
            let block = first..first + width;
            for position in 0..count {
                let mut sums = [0f32; BLOCK];
                let sums = &mut sums[..width];
                if let Some(bias) = epilogue.bias {
                    sums.copy_from_slice(&bias[block.clone()]);
                }
                let weights = |tap: usize| match read.taps.get(tap) {
                    Some((_, element)) => &weights[element + first..][..width],
                    None => &ZEROS[..width],
                };
                let xs = |tap: usize| match read.taps.get(tap) {
                    Some((start, _)) => &read.xs[start + position * read.step + first..][..width],
                    None => &ZEROS[..width],
                };
                for tap in (0..read.taps.len()).step_by(TERMS) {
                    add_products::<FUSED>(sums, terms!(weights, tap), terms!(xs, tap));
                }
                if let Some(add) = epilogue.add {
                    let add = &add[position * stride + first..][..width];
                    sums.iter_mut().zip(add).for_each(|(sum, add)| *sum += add);
                }
                if let Some(activation) = epilogue.activation {
                    activation.each::<FUSED>(sums);
                }
                ys.write(position, first, sums);
            }
        }
    }
}

/// sums += Σ a_k ⊙ b_k, of slices that are as long as the sums.
#[inline(always)]
fn add_products<const FUSED: bool>(sums: &mut [f32], a: [&[f32]; TERMS], b: [&[f32]; TERMS]) {
    // A length that the compiler knows needs no remainder loop.
    match sums.len() {
        BLOCK => add::<FUSED, BLOCK>(sums, a, b),
        _ => add::<FUSED, 0>(sums, a, b),
    }
}

/// [`add_products`] of `COUNT` values, or of any number for 0.
#[inline(always)]
fn add<const FUSED: bool, const COUNT: usize>(sums: &mut [f32], a: [&[f32]; TERMS], b: [&[f32]; TERMS]) {
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (a, b);
    let count = if COUNT > 0 { COUNT } else { sums.len() };
    let (a0, a1, a2, a3) = (&a0[..count], &a1[..count], &a2[..count], &a3[..count]);
    let (b0, b1, b2, b3) = (&b0[..count], &b1[..count], &b2[..count], &b3[..count]);
    let sums = &mut sums[..count];
    for i in 0..count {
        // A sum waits for one addition only, not for four products.
        let (first, last) = (a0[i] * b0[i], a2[i] * b2[i]);
        sums[i] += multiply_add::<FUSED>(a1[i], b1[i], first) + multiply_add::<FUSED>(a3[i], b3[i], last);
    }
}

impl Geometry {
    /// Whether each channel of the result reads one channel of its own.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.channels == 1 && self.outputs == 1
    }

    /// The weights (taps, C) of (C, taps).
    pub fn elements_first(&self, weight: &[f32]) -> Vec<f32> {
        let mut elements = vec![0f32; weight.len()];
        transpose(weight, self.taps(), self.groups, self.taps(), &mut elements, self.groups);
        elements
    }

    /// The result for maps (N, h, w, C) and weights (taps, C).
    pub fn depthwise(&self, xs: &[f32], weights: &[f32], epilogue: Epilogue) -> Vec<f32> {
        let pass = DepthwisePass {
            channels: self.groups,
            source: self.input,
            taps: self.elements().map(|(u, v)| self.tap(u, v)).enumerate().collect(),
            stride: self.stride,
            size: self.output,
            result: self.output,
            first: (0, 0),
            step: (1, 1),
        };
        let count = self.batch * self.groups * self.area_out();
        // SAFETY: the lines of all images and the stretches of each are all positions of the result, of which the pass writes all
        // channels and reads none; nobody but the pass has the vector.
        unsafe { disjoint::fill(count, |ys| pass.run(xs, weights, epilogue, ys)) }
    }

    /// The gradient (N, h, w, C) of the maps, from that of the result: a pass for each phase of the stride.
    pub fn depthwise_input_gradient(&self, weight: &[f32], dys: &[f32]) -> Vec<f32> {
        let weights = self.elements_first(weight);
        let mut dxs = vec![0f32; self.batch * self.groups * self.area_in()];
        let shared = DisjointSlice::new(&mut dxs);
        for phase in self.stride_phases() {
            let pass = DepthwisePass {
                channels: self.groups,
                source: self.output,
                stride: (1, 1),
                size: self.phase_size(&phase),
                result: self.input,
                first: phase.first,
                step: self.stride,
                taps: phase.elements.into_iter().zip(phase.taps).collect(),
            };
            // SAFETY: nobody else has `dxs`, and the phases' passes run one after the other.
            unsafe { pass.run(dys, &weights, Epilogue::default(), &shared) };
        }
        dxs
    }

    /// The gradient (C, taps) of the weight from maps (N, h, w, C).
    pub fn depthwise_weight_gradient(&self, xs: &[f32], dys: &[f32]) -> Vec<f32> {
        /// Enough to keep all threads busy to the end.
        const TASKS: usize = 16;
        let (channels, taps) = (self.groups, self.taps());
        let (from, into) = (self.area_in() * channels, self.area_out() * channels);
        let blocks = channels.div_ceil(BLOCK);
        // A task takes a block of channels and, where there are few blocks, some of the images.
        let images = self.batch.div_ceil(TASKS.div_ceil(blocks)).max(1);
        let shares = self.batch.div_ceil(images);
        let tasks = (0..blocks * shares).into_par_iter().map(|task| {
            let first = task / shares * BLOCK;
            let block = first..channels.min(first + BLOCK);
            let mut total = vec![0f64; taps * block.len()];
            for image in (task % shares * images..self.batch).take(images) {
                let sums = self.correlate(&xs[image * from..][..from], &dys[image * into..][..into], block.clone());
                total.iter_mut().zip(sums).for_each(|(total, sum)| *total += f64::from(sum));
            }
            total
        });
        let mut dweight = vec![0f32; channels * taps];
        for (block, shares) in tasks.collect::<Vec<_>>().chunks(shares.max(1)).enumerate() {
            let into = &mut dweight[block * BLOCK * taps..];
            let width = BLOCK.min(channels - block * BLOCK);
            for (at, into) in into[..width * taps].iter_mut().enumerate() {
                let (channel, element) = (at / taps, at % taps);
                *into = shares.iter().map(|total| total[element * width + channel]).sum::<f64>() as f32;
            }
        }
        dweight
    }

    /// Σ dy · x of one image for each element of the kernel and some channels, (taps, channels): a row of dy is in the cache for all
    /// elements that read it.
    fn correlate(&self, xs: &[f32], dys: &[f32], channels: Range<usize>) -> Vec<f32> {
        let (line_in, line_out, width) = (self.input.1 * self.groups, self.output.1 * self.groups, channels.len());
        let mut sums = vec![0f32; self.taps() * width];
        for (i, dys) in dys.chunks_exact(line_out).enumerate() {
            for ((u, v), sums) in self.elements().zip(sums.chunks_exact_mut(width)) {
                let (row, column) = self.tap(u, v);
                let row = (i * self.stride.0).checked_add_signed(row).filter(|&row| row < self.input.0);
                let Some(xs) = row.map(|row| &xs[row * line_in..][..line_in]) else { continue };
                // Positions of the result that read x within its edges.
                let reach =
                    |limit: isize| (limit - column).max(0).cast_unsigned().div_ceil(self.stride.1).min(self.output.1);
                let (start, end) = (reach(0), reach(self.input.1 as isize));
                let Some(first) = (start * self.stride.1).checked_add_signed(column).filter(|_| start < end) else {
                    continue;
                };
                let (xs, dys) = (&xs[first * self.groups..], &dys[start * self.groups..]);
                let (x_step, dy_step) = (self.stride.1 * self.groups, self.groups);
                add_correlation(xs, dys, x_step, dy_step, end - start, channels.clone(), sums);
            }
        }
        sums
    }
}

vectorised! {
    /// Adds Σ x · dy over `count` positions, a step apart each, to a sum for each of the channels.
    fn add_correlation(xs: &[f32], dys: &[f32], x_step: usize, dy_step: usize, count: usize, channels: Range<usize>, into: &mut [f32]) {
        let (first, width) = (channels.start, channels.len());
        let mut sums = [0f32; BLOCK];
        let sums = &mut sums[..width];
        let x = |position: usize| match position < count {
            true => &xs[position * x_step + first..][..width],
            false => &ZEROS[..width],
        };
        let dy = |position: usize| match position < count {
            true => &dys[position * dy_step + first..][..width],
            false => &ZEROS[..width],
        };
        for position in (0..count).step_by(TERMS) {
            add_products::<FUSED>(sums, terms!(x, position), terms!(dy, position));
        }
        into.iter_mut().zip(&*sums).for_each(|(into, sum)| *into += sum);
    }
}
