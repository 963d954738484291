//! The im2col matrix of a convolution as the implicit A operand of a GEMM.

use super::im2col::Im2col;
use crate::cpu::gemm::blocked::{BlockedA, Blocking, GAP, beyond_prefetch, cache_conflicts, copy_runs, parts};
use crate::cpu::gemm::{A, NchwChannels};
use std::ops::Range;

/// What the positions of the result read.
#[derive(Clone, Copy)]
pub enum ImplicitA<'a> {
    /// Rows of the im2col matrix of NHWC maps.
    Im2col { im2col: &'a Im2col, maps: &'a [f32], images: usize },
    /// The transpose of NCHW channels, where each position reads its own place alone.
    Pointwise(NchwChannels<'a>),
}

impl<'a> ImplicitA<'a> {
    /// What `im2col` reads: of NHWC `rows`, or where there are none of NCHW `maps`.
    pub fn of(im2col: &'a Im2col, rows: Option<&'a [f32]>, maps: NchwChannels<'a>) -> Self {
        match rows {
            Some(rows) => ImplicitA::Im2col { im2col, maps: rows, images: maps.images },
            None => ImplicitA::Pointwise(maps),
        }
    }

    fn depth(&self) -> usize {
        match self {
            ImplicitA::Im2col { im2col, .. } => im2col.depth(),
            ImplicitA::Pointwise(maps) => maps.count,
        }
    }

    /// Some rows and columns, which may be copied to `buffer`; `transposed` where their transpose is multiplied.
    fn part<'b>(
        &'b self,
        positions: Range<usize>,
        columns: Range<usize>,
        buffer: &'b mut Vec<f32>,
        transposed: bool,
    ) -> A<'b> {
        let count = positions.len();
        match *self {
            ImplicitA::Im2col { im2col, maps, .. } => {
                let copies = if transposed { beyond_prefetch } else { cache_conflicts };
                let (values, stride) = im2col.rows(maps, positions, columns, buffer, copies);
                A::rows(values, count, stride)
            }
            ImplicitA::Pointwise(maps) => {
                let area = maps.area;
                let values = &maps.of(positions.start / area, columns.start)[positions.start % area..];
                let copies = if transposed { cache_conflicts } else { beyond_prefetch };
                if !copies(area) {
                    return A::columns(values, count, area);
                }
                copy_runs(values, area, count, columns.len(), buffer);
                A::columns(buffer, count, count + GAP)
            }
        }
    }

    /// All positions in blocks of at most so many.
    fn positions(&self, most: usize, unit: usize) -> Vec<Range<usize>> {
        match *self {
            ImplicitA::Im2col { im2col, images, .. } => parts(images * im2col.area(), most, unit),
            ImplicitA::Pointwise(NchwChannels { images, area, .. }) => {
                let within = parts(area, most, unit);
                let of_image = |n: usize| within.iter().map(move |part| n * area + part.start..n * area + part.end);
                (0..images).flat_map(of_image).collect()
            }
        }
    }
}

impl BlockedA for ImplicitA<'_> {
    fn blocks(&self, blocking: Blocking) -> Vec<Range<usize>> {
        self.positions(blocking.im2col, blocking.tile)
    }

    fn parts(&self, blocking: Blocking) -> Vec<Range<usize>> {
        parts(self.depth(), blocking.terms, blocking.step)
    }

    fn block<'a>(&'a self, positions: Range<usize>, columns: Range<usize>, buffer: &'a mut Vec<f32>) -> A<'a> {
        self.part(positions, columns, buffer, false)
    }
}

/// The transpose of an [`ImplicitA`].
pub struct TransposedA<'a>(pub ImplicitA<'a>);

impl BlockedA for TransposedA<'_> {
    fn blocks(&self, blocking: Blocking) -> Vec<Range<usize>> {
        parts(self.0.depth(), blocking.transposed, blocking.tile)
    }

    fn parts(&self, blocking: Blocking) -> Vec<Range<usize>> {
        self.0.positions(blocking.terms, blocking.step)
    }

    fn block<'a>(&'a self, columns: Range<usize>, positions: Range<usize>, buffer: &'a mut Vec<f32>) -> A<'a> {
        let count = columns.len();
        A::new(self.0.part(positions, columns, buffer, true).matrix.transposed(), count)
    }
}
