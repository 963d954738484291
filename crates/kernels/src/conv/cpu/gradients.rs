//! Gradients of the convolution's input, weight and bias.
//!
//! The gradient of the input is one implicit GEMM for each phase of the stride: the positions of the input that have the same
//! remainder by the stride meet the same elements of the kernel.

use super::im2col::{Im2col, Source};
use super::implicit_a::{ImplicitA, TransposedA};
use super::layout::{Maps, nhwc_to};
use super::output::{Epilogue, Output};
use super::winograd::Winograd;
use super::winograd_gradient;
use crate::conv::{Geometry, Layout};
use crate::cpu::disjoint::{self, DisjointSlice};
use crate::cpu::gemm::blocked::{Sums, blocked_gemm};
use crate::cpu::gemm::{NchwChannels, PACKED_AS_READ, PANEL, PackedB, Strided, StridedB, bf16};
use crate::cpu::reduce::{column_sums, sum1};
use crate::cpu::transpose::transpose;
use rayon::prelude::*;

/// Up to so many input channels, their gradient has a form of its own.
pub const FEW_CHANNELS: usize = 4;

/// Positions of the input with one remainder by the stride.
pub struct StridePhase {
    /// The first of them.
    pub first: (usize, usize),
    /// The kernel's elements that read them, the last one first, so that what they meet is in order.
    pub elements: Vec<usize>,
    /// The position of the result for which each element reads the first position.
    pub taps: Vec<(isize, isize)>,
}

impl Geometry {
    pub fn input_gradient(&self, layout: Layout, weight: &[f32], dys: &[f32]) -> Vec<f32> {
        let (maps, channels) = (self.output_maps(layout, dys), self.groups * self.channels);
        if self.is_depthwise() {
            return nhwc_to(layout, self.depthwise_input_gradient(weight, &maps.nhwc()), channels, self.area_in());
        }
        let back =
            Self { channels: self.outputs, outputs: self.channels, input: self.output, output: self.input, ..*self };
        if Winograd::suits(&back) && bf16::isa().is_none() && Winograd::is_worth_transforming(&back) {
            let weights = back.pack(&self.rotated(weight), false);
            return back.forward(layout, dys, &weights, Epilogue::default());
        }
        if layout == Layout::Nchw && self.stride.1 > 1 && !self.has_few_channels() {
            // Every other value of a map would be written one by one.
            let dxs = self.input_gradient(Layout::Nhwc, weight, &maps.nhwc());
            return nhwc_to(layout, dxs, channels, self.area_in());
        }
        let (weight, phases) = (self.taps_first(weight), self.stride_phases().collect::<Vec<_>>());
        let work = |dxs: &DisjointSlice| {
            if phases.len() < self.stride.0.min(self.input.0) * self.stride.1.min(self.input.1) {
                // SAFETY: no product has begun, and nobody else has `dxs`.
                unsafe { dxs.write(0, self.batch * channels * self.area_in()).fill(0.0) };
            }
            InputGradient { geometry: self, weight: &weight, dys: maps, dxs }.run(&phases);
        };
        // SAFETY: where each remainder by the stride has a phase, the phases are all positions, and their products, or
        // `few_channels`, write all channels of them; where one has none, all was written before. Nothing is read.
        unsafe { disjoint::fill(self.batch * channels * self.area_in(), work) }
    }

    /// Whether a panel would be empty but for these input channels.
    fn has_few_channels(&self) -> bool {
        self.channels <= FEW_CHANNELS && self.outputs >= PANEL
    }

    /// The weights (C, O, taps) of (O, C, taps), each kernel rotated by half a turn: the convolution with them is the gradient.
    fn rotated(&self, weight: &[f32]) -> Vec<f32> {
        /// Channels of a task: their kernels are contiguous.
        const CHANNELS: usize = 16;
        let (channels, outputs, taps) = (self.channels, self.outputs, self.taps());
        let mut rotated = vec![0f32; weight.len()];
        rotated.par_chunks_mut(CHANNELS * outputs * taps).enumerate().for_each(|(first, rotated)| {
            for output in 0..outputs {
                let kernels = weight[(output * channels + first * CHANNELS) * taps..].chunks_exact(taps);
                for (kernel, rotated) in kernels.zip(rotated.chunks_exact_mut(outputs * taps)) {
                    let rotated = &mut rotated[output * taps..][..taps];
                    rotated.iter_mut().zip(kernel.iter().rev()).for_each(|(rotated, value)| *rotated = *value);
                }
            }
        });
        rotated
    }

    /// The phases of the stride, but for those that nothing reads.
    pub fn stride_phases(&self) -> impl Iterator<Item = StridePhase> {
        let firsts = (0..self.stride.0.min(self.input.0)).flat_map(|i| (0..self.stride.1).map(move |j| (i, j)));
        let phases = firsts.filter(|first| first.1 < self.input.1).map(|first| self.stride_phase(first));
        phases.filter(|phase| !phase.elements.is_empty())
    }

    fn stride_phase(&self, first: (usize, usize)) -> StridePhase {
        let exact = |distance: isize, stride: usize| {
            (distance.rem_euclid(stride as isize) == 0).then(|| distance.div_euclid(stride as isize))
        };
        let elements: Vec<_> = self.elements().collect();
        let meets = elements.into_iter().rev().filter_map(|(u, v)| {
            let tap = self.tap(u, v);
            let row = exact(first.0 as isize - tap.0, self.stride.0)?;
            let column = exact(first.1 as isize - tap.1, self.stride.1)?;
            Some((u * self.kernel.1 + v, (row, column)))
        });
        let (elements, taps) = meets.unzip();
        StridePhase { first, elements, taps }
    }

    /// Rows and columns of the positions of a phase.
    pub fn phase_size(&self, phase: &StridePhase) -> (usize, usize) {
        let along = |size: usize, first: usize, step: usize| (size - first).div_ceil(step);
        let (input, first, stride) = (self.input, phase.first, self.stride);
        (along(input.0, first.0, stride.0), along(input.1, first.1, stride.1))
    }

    pub fn weight_gradient(&self, layout: Layout, xs: &[f32], dys: &[f32]) -> Vec<f32> {
        let (xs, dys) = (self.input_maps(layout, xs), self.output_maps(layout, dys));
        if self.is_depthwise() {
            return self.depthwise_weight_gradient(&xs.nhwc(), &dys.nhwc());
        }
        if winograd_gradient::suits(self) && bf16::isa().is_none() {
            return winograd_gradient::gradient(self, &xs.nhwc(), &dys.nhwc());
        }
        let rows = xs.nhwc_unless_pointwise(&self.im2col(0));
        // Maps in bf16 begin a tile with each image, as blocks of positions do only in NCHW.
        let turned = (layout == Layout::Nchw && rows.is_some() && bf16::isa().is_some()).then(|| dys.nhwc());
        let dys = turned.as_deref().map_or(dys, |values| Maps { values, layout: Layout::Nhwc, ..dys });
        let mut dweight = vec![0f32; self.groups * self.outputs * self.depth()];
        for (group, into) in dweight.chunks_exact_mut((self.outputs * self.depth()).max(1)).enumerate() {
            let im2col = self.im2col(group);
            let a = TransposedA(ImplicitA::of(&im2col, rows.as_deref(), self.group_channels(xs.values, group)));
            self.group_weight_gradient(&a, dys, group, &DisjointSlice::new(into));
        }
        self.taps_last(&mut dweight);
        dweight
    }

    /// The gradient (O/groups, taps · C/groups) of one group's weights.
    fn group_weight_gradient(&self, a: &TransposedA, dys: Maps, group: usize, into: &DisjointSlice) {
        /// At least as many as a block has rows.
        const ROWS: usize = 256;
        let (isa, depth, first) = (bf16::isa(), self.depth(), group * self.outputs);
        let write = |sums: Sums| {
            let mut columns = [[0f32; ROWS]; PANEL];
            let count = sums.rows.len();
            transpose(sums.values, PANEL, count, PANEL, columns.as_flattened_mut(), ROWS);
            for (o, values) in sums.columns.zip(&columns) {
                // SAFETY: a product hands out each block once (`blocked_gemm`): row o of the gradient from `rows.start` on is in no
                // other, and nobody else has `into`.
                let into = unsafe { into.write(o * depth + sums.rows.start, count) };
                into.copy_from_slice(&values[..count]);
            }
        };
        if dys.layout == Layout::Nchw {
            let Maps { values, channels, area, .. } = dys;
            let maps = NchwChannels { maps: values, images: self.batch, channels, area, first, count: self.outputs };
            return blocked_gemm(a, &PackedB::channels(isa, maps), usize::MAX, write);
        }
        let matrix = Strided::rows(dys.values.get(first..).unwrap_or_default(), dys.channels);
        if depth <= PACKED_AS_READ {
            blocked_gemm(a, &StridedB { matrix, columns: self.outputs, isa }, usize::MAX, write);
        } else {
            let packed = PackedB::new(isa, matrix, self.batch * self.area_out(), self.outputs);
            blocked_gemm(a, &packed, usize::MAX, write);
        }
    }

    /// From (O, taps, C/groups) to PyTorch's (O, C/groups, taps).
    fn taps_last(&self, weight: &mut [f32]) {
        let (channels, taps) = (self.channels, self.taps());
        if taps > 1 {
            weight.par_chunks_exact_mut(channels * taps).for_each_init(Vec::new, |scratch, kernel| {
                scratch.clear();
                scratch.extend_from_slice(kernel);
                transpose(scratch, channels, taps, channels, kernel, taps);
            });
        }
    }

    pub fn bias_gradient(&self, layout: Layout, dys: &[f32]) -> Vec<f32> {
        let (area, outputs) = (self.area_out(), self.groups * self.outputs);
        if layout == Layout::Nhwc {
            return column_sums(dys, outputs, outputs);
        }
        let sum = |o: usize| {
            let maps = (0..self.batch).map(|n| &dys[(n * outputs + o) * area..][..area]);
            maps.map(|map| f64::from(sum1(map, |dy| dy))).sum::<f64>() as f32
        };
        (0..outputs).into_par_iter().map(sum).collect()
    }
}

/// What the products of all phases share.
pub struct InputGradient<'a> {
    pub geometry: &'a Geometry,
    /// (O, taps, C/groups).
    pub weight: &'a [f32],
    pub dys: Maps<'a>,
    pub dxs: &'a DisjointSlice<'a>,
}

impl InputGradient<'_> {
    fn run(&self, phases: &[StridePhase]) {
        let (g, channels) = (self.geometry, self.dys.channels);
        let mut rows = None;
        for phase in phases {
            for group in 0..g.groups {
                let (first, count) = (group * g.outputs, g.outputs);
                let source = Source { size: g.output, channels, first, count };
                let im2col = Im2col::new(source, g.phase_size(phase), (1, 1), &phase.taps);
                if rows.is_none() {
                    rows = self.dys.nhwc_unless_pointwise(&im2col);
                }
                if g.has_few_channels()
                    && let Some(rows) = &rows
                {
                    self.few_channels(phase, group, &im2col, rows);
                    continue;
                }
                let output = Output {
                    layout: self.dys.layout,
                    channels: g.groups * g.channels,
                    first_channel: group * g.channels,
                    epilogue: Epilogue::default(),
                    size: g.input,
                    first: phase.first,
                    step: g.stride,
                    values: self.dxs,
                };
                let area = im2col.area();
                let maps = NchwChannels { maps: self.dys.values, images: g.batch, channels, area, first, count };
                let a = ImplicitA::of(&im2col, rows.as_deref(), maps);
                let weights = self.phase_weights(phase, group);
                blocked_gemm(&a, &weights, output.write_rows(), |sums| output.write(&im2col, sums));
            }
        }
    }

    /// One group's weights (elements · O/groups, C/groups).
    fn phase_weights(&self, phase: &StridePhase, group: usize) -> PackedB {
        let (Geometry { outputs, channels, .. }, taps) = (self.geometry, self.geometry.taps());
        if taps == 1 {
            return PackedB::rows(&self.weight[group * outputs * channels..], *outputs, *channels);
        }
        let mut rows = Vec::with_capacity(phase.elements.len() * outputs * channels);
        for &element in &phase.elements {
            for o in group * outputs..(group + 1) * outputs {
                rows.extend_from_slice(&self.weight[(o * taps + element) * channels..][..*channels]);
            }
        }
        PackedB::rows(&rows, phase.elements.len() * outputs, *channels)
    }
}
