//! The output of an implicit-GEMM convolution: where sums are written, with bias, addition and activation as epilogue.

use super::im2col::Im2col;
use crate::activation::Activation;
use crate::activation::cpu::floor;
use crate::conv::Layout;
use crate::cpu::disjoint::{DisjointRows, DisjointSlice};
use crate::cpu::gemm::blocked::Sums;
use crate::cpu::gemm::{PANEL, Strided, WRITTEN_ROWS};
use crate::cpu::simd_math::vectorised;
use crate::cpu::transpose::transpose;
use std::ops::Range;

/// What is done to each value of a product before it is written: y = x + bias\[channel\] + add, and then an activation or none.
#[derive(Clone, Copy, Default)]
pub struct Epilogue<'a> {
    pub bias: Option<&'a [f32]>,
    /// Maps of the result's shape in NHWC.
    pub add: Option<&'a [f32]>,
    pub activation: Option<Activation>,
}

/// Maps that a product is written to: position (i, j) to `first` + (i, j)·`step`.
pub struct Output<'a> {
    pub layout: Layout,
    pub channels: usize,
    pub first_channel: usize,
    pub epilogue: Epilogue<'a>,
    pub size: (usize, usize),
    pub first: (usize, usize),
    pub step: (usize, usize),
    pub values: &'a DisjointSlice<'a>,
}

impl Output<'_> {
    /// How many positions are written at a time.
    pub fn write_rows(&self) -> usize {
        match self.layout {
            Layout::Nchw => usize::MAX,
            Layout::Nhwc => WRITTEN_ROWS,
        }
    }

    pub fn write(&self, im2col: &Im2col, sums: Sums) {
        match self.layout {
            Layout::Nchw => self.write_nchw(im2col, sums),
            Layout::Nhwc => self.write_nhwc(im2col, sums),
        }
    }

    /// Calls `each` for what is written to one line of a map, or to one map where all positions are written side by side: with the
    /// first position, how many, the image, and the place of the first in its map.
    fn pieces(&self, im2col: &Im2col, positions: Range<usize>, mut each: impl FnMut(usize, usize, usize, usize)) {
        let (area, width) = (im2col.area(), im2col.size().1);
        let whole = self.step == (1, 1) && self.size == im2col.size();
        let line = if whole { area } else { width };
        let mut position = positions.start;
        while position < positions.end {
            let (image, within) = (position / area, position % area);
            let count = (positions.end - position).min(line - position % line);
            let row = self.first.0 + within / width * self.step.0;
            let column = self.first.1 + within % width * self.step.1;
            each(position, count, image, row * self.size.1 + column);
            position += count;
        }
    }

    fn write_nhwc(&self, im2col: &Im2col, sums: Sums) {
        let (width, column) = (sums.columns.len(), self.first_channel + sums.columns.start);
        let bias = self.epilogue.bias.map_or(&[0.0; PANEL][..width], |bias| &bias[column..][..width]);
        self.pieces(im2col, sums.rows.clone(), |position, count, image, place| {
            let row = image * self.size.0 * self.size.1 + place;
            let (at, stride) = (row * self.channels + column, self.step.1 * self.channels);
            // SAFETY: a product hands out each block of positions and columns once (`blocked_gemm`), different positions stand at
            // different places of the maps, and no other product is written to them at the same time.
            let into = unsafe { self.values.rows(at, stride, count, width) };
            let sums = &sums.values[(position - sums.rows.start) * PANEL..][..count * PANEL];
            finish(
                sums,
                bias,
                self.epilogue.add.map(|add| Strided::rows(&add[at..], stride)),
                self.epilogue.activation,
                into,
            );
        });
    }

    fn write_nchw(&self, im2col: &Im2col, sums: Sums) {
        /// At least as many as a block has rows.
        const ROWS: usize = 128;
        let mut columns = [[0f32; ROWS]; PANEL];
        transpose(sums.values, PANEL, sums.rows.len(), PANEL, columns.as_flattened_mut(), ROWS);
        for (channel, values) in sums.columns.clone().zip(&columns) {
            let channel = self.first_channel + channel;
            let bias = self.epilogue.bias.map_or(0.0, |bias| bias[channel]);
            self.pieces(im2col, sums.rows.clone(), |position, count, image, place| {
                let map = (image * self.channels + channel) * self.size.0 * self.size.1;
                // SAFETY: a product hands out each block of positions and columns once (`blocked_gemm`), so that these positions of
                // this map belong to this block alone. What is between them belongs to other phases of the stride, whose products run
                // before or after this one. All that is done with it is to write the positions.
                let into = unsafe { self.values.write(map + place, (count - 1) * self.step.1 + 1) };
                let values = &values[position - sums.rows.start..][..count];
                if self.step.1 == 1 {
                    into.iter_mut().zip(values).for_each(|(into, sum)| *into = sum + bias);
                } else {
                    into.iter_mut().step_by(self.step.1).zip(values).for_each(|(into, sum)| *into = sum + bias);
                }
            });
        }
    }
}

vectorised! {
    /// Rows of `into` = rows of a panel + bias + rows of `add`, and then an activation or none.
    pub fn finish(
        sums: &[f32],
        bias: &[f32],
        add: Option<Strided>,
        activation: Option<Activation>,
        into: DisjointRows,
    ) {
        let mut into = into;
        let floor = floor(activation == Some(Activation::Relu));
        let activation = activation.filter(|activation| *activation != Activation::Relu);
        if let (Some(bias), None) = (bias.first_chunk::<PANEL>(), add) {
            for (row, sums) in sums.as_chunks::<PANEL>().0.iter().enumerate() {
                let mut ys = [0f32; PANEL];
                for j in 0..PANEL {
                    let y = sums[j] + bias[j];
                    ys[j] = if y < floor { floor } else { y };
                }
                if let Some(activation) = activation {
                    activation.each::<FUSED>(&mut ys);
                }
                into.write(row, 0, &ys);
            }
            return;
        }
        for (row, sums) in sums.as_chunks::<PANEL>().0.iter().enumerate() {
            let (width, mut ys) = (into.width(), *sums);
            let (sums, bias) = (&mut ys[..width], &bias[..width]);
            match add {
                Some(add) => {
                    let add = &add.values[row * add.row..][..width];
                    for j in 0..width {
                        let y = sums[j] + bias[j] + add[j];
                        sums[j] = if y < floor { floor } else { y };
                    }
                }
                None => {
                    for j in 0..width {
                        let y = sums[j] + bias[j];
                        sums[j] = if y < floor { floor } else { y };
                    }
                }
            }
            if let Some(activation) = activation {
                activation.each::<FUSED>(&mut ys);
            }
            into.write(row, 0, &ys[..width]);
        }
    }
}
