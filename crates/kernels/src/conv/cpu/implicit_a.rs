//! The im2col matrix of a convolution as the implicit A operand of a GEMM.

use super::im2col::Gather;
use crate::cpu::gemm::Left;
use crate::cpu::gemm::blocked::{Cut, GAP, Rows, collide, copied, far, parts};
use std::ops::Range;

/// What the positions of the result read.
#[derive(Clone, Copy)]
pub enum Matrix<'a> {
    /// Rows that are gathered from maps with the channels together.
    Gathered { gather: &'a Gather, maps: &'a [f32], pictures: usize },
    /// The transpose of some channels of maps with the channels apart, where each position reads its own place alone.
    Apart { maps: &'a [f32], pictures: usize, area: usize, channels: usize, read: (usize, usize) },
}

impl<'a> Matrix<'a> {
    /// What `gather` reads: of `rows`, with the channels together, or where there are none of `maps`, with these
    /// (pictures, channels, the first channel that is read and how many).
    pub fn of(
        gather: &'a Gather,
        rows: Option<&'a [f32]>,
        maps: &'a [f32],
        (pictures, channels, read): (usize, usize, (usize, usize)),
    ) -> Self {
        match rows {
            Some(maps) => Matrix::Gathered { gather, maps, pictures },
            None => Matrix::Apart { maps, pictures, area: gather.area(), channels, read },
        }
    }

    fn depth(&self) -> usize {
        match self {
            Matrix::Gathered { gather, .. } => gather.depth(),
            Matrix::Apart { read, .. } => read.1,
        }
    }

    /// Some rows and columns, which may be copied; `across` where their transpose is multiplied.
    fn part<'b>(
        &'b self,
        positions: Range<usize>,
        columns: Range<usize>,
        room: &'b mut Vec<f32>,
        across: bool,
    ) -> Left<'b> {
        let count = positions.len();
        match *self {
            Matrix::Gathered { gather, maps, .. } => {
                let (values, stride) = gather.rows(maps, positions, columns, room, if across { far } else { collide });
                Left::rows(values, count, stride)
            }
            Matrix::Apart { maps, area, channels, read, .. } => {
                let (picture, start) = (positions.start / area, positions.start % area);
                let values = &maps[(picture * channels + read.0 + columns.start) * area + start..];
                let apart = if across { collide } else { far };
                if !apart(area) {
                    return Left::columns(values, count, area);
                }
                copied(values, area, (count, columns.len()), room);
                Left::columns(room, count, count + GAP)
            }
        }
    }

    /// All positions in blocks of at most so many.
    fn positions(&self, most: usize, unit: usize) -> Vec<Range<usize>> {
        match *self {
            Matrix::Gathered { gather, pictures, .. } => parts(pictures * gather.area(), most, unit),
            Matrix::Apart { pictures, area, .. } => {
                let within = parts(area, most, unit);
                let of_picture = |n: usize| within.iter().map(move |part| n * area + part.start..n * area + part.end);
                (0..pictures).flat_map(of_picture).collect()
            }
        }
    }
}

impl Rows for Matrix<'_> {
    fn blocks(&self, cut: Cut) -> Vec<Range<usize>> {
        self.positions(cut.positions, cut.tile)
    }

    fn parts(&self, cut: Cut) -> Vec<Range<usize>> {
        parts(self.depth(), cut.terms, cut.step)
    }

    fn block<'a>(&'a self, positions: Range<usize>, columns: Range<usize>, room: &'a mut Vec<f32>) -> Left<'a> {
        self.part(positions, columns, room, false)
    }
}

/// The transpose of a [`Matrix`].
pub struct Transposed<'a>(pub Matrix<'a>);

impl Rows for Transposed<'_> {
    fn blocks(&self, cut: Cut) -> Vec<Range<usize>> {
        parts(self.0.depth(), cut.columns, cut.tile)
    }

    fn parts(&self, cut: Cut) -> Vec<Range<usize>> {
        self.0.positions(cut.terms, cut.step)
    }

    fn block<'a>(&'a self, columns: Range<usize>, positions: Range<usize>, room: &'a mut Vec<f32>) -> Left<'a> {
        let count = columns.len();
        self.0.part(positions, columns, room, true).transposed(count)
    }
}
