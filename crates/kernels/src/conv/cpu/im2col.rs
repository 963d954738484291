//! im2col of NHWC maps, a few rows at a time: what a convolution reads at each position.
//!
//! What one row of the kernel reads is one run of values, and a row of the matrix is a few such runs, with zeros where they reach
//! over the edge.

use crate::cpu::gemm::blocked::{GAP, copy_runs};
use std::ops::Range;

/// The matrix A with a row for each position (n, i, j) of the result and a column for each tap t and channel c:
/// `A[(n, i, j), (t, c)] = x[n, stride·i + taps[t].0, stride·j + taps[t].1, c]`, x being 0 outside the map.
#[derive(Debug, Clone)]
pub struct Im2col {
    /// Rows and columns of x.
    source: (usize, usize),
    /// All channels of x: values from one position to the next.
    pixel: usize,
    /// The first of the channels that are read.
    first: usize,
    /// Rows and columns of the result.
    size: (usize, usize),
    stride: (usize, usize),
    runs: Vec<Run>,
    depth: usize,
}

/// Values that are contiguous in x and in A.
#[derive(Debug, Clone)]
struct Run {
    /// Where in x it begins for position (0, 0).
    row: isize,
    column: isize,
    columns_of_matrix: Range<usize>,
}

/// Maps that a [`Im2col`] reads.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// Rows and columns.
    pub size: (usize, usize),
    /// All channels.
    pub channels: usize,
    /// The first of the channels that are read, and their number.
    pub first: usize,
    pub count: usize,
}

/// Up to so many values are a short run, such as what a row of a kernel reads of an image's three channels.
const SHORT: usize = 32;

impl Im2col {
    pub fn new(source: Source, size: (usize, usize), stride: (usize, usize), taps: &[(isize, isize)]) -> Self {
        let Source { size: of_source, channels: pixel, first, count: channels } = source;
        let mut runs: Vec<Run> = Vec::new();
        for (t, &(row, column)) in taps.iter().enumerate() {
            let end = (t + 1) * channels;
            match runs.last_mut() {
                // The tap beside the last one goes on where it ended.
                Some(run)
                    if pixel == channels
                        && run.row == row
                        && run.column + (run.columns_of_matrix.len() / channels) as isize == column =>
                {
                    run.columns_of_matrix.end = end;
                }
                _ => runs.push(Run { row, column, columns_of_matrix: end - channels..end }),
            }
        }
        Self { source: of_source, pixel, first, size, stride, runs, depth: taps.len() * channels }
    }

    /// Columns of the matrix.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Rows of the matrix for one image.
    pub fn area(&self) -> usize {
        self.size.0 * self.size.1
    }

    /// Rows and columns of the result.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Whether each position reads the channels at its own place and nothing else.
    pub fn is_pointwise(&self) -> bool {
        let [run] = &self.runs[..] else { return false };
        (run.row, run.column) == (0, 0)
            && run.columns_of_matrix.len() <= self.pixel
            && self.stride == (1, 1)
            && self.size == self.source
    }

    /// Some rows and columns of the matrix, and the stride of its rows; they lie in the maps where these need not be copied, as
    /// `copies` says of the stride between positions, or else in `buffer`.
    pub fn rows<'a>(
        &self,
        maps: &'a [f32],
        positions: Range<usize>,
        columns: Range<usize>,
        buffer: &'a mut Vec<f32>,
        copies: impl Fn(usize) -> bool,
    ) -> (&'a [f32], usize) {
        if self.is_pointwise() {
            let values = &maps[positions.start * self.pixel + self.first + columns.start..];
            if !copies(self.pixel) {
                return (values, self.pixel);
            }
            copy_runs(values, self.pixel, columns.len(), positions.len(), buffer);
            return (buffer, columns.len() + GAP);
        }
        // Not a power of two, for the cache.
        let stride = columns.len() + GAP;
        buffer.resize(positions.len() * stride, 0.0);
        let line = self.source.1 * self.pixel;
        let (area, width) = (self.area(), self.size.1);
        for (position, into) in positions.zip(buffer.chunks_exact_mut(stride)) {
            let (image, i, j) = (position / area, position % area / width, position % width);
            let image = &maps[image * self.source.0 * line..][..self.source.0 * line];
            for run in &self.runs {
                let start = run.columns_of_matrix.start.max(columns.start);
                let end = run.columns_of_matrix.end.min(columns.end);
                if start >= end {
                    continue;
                }
                let (into, count) = (&mut into[start - columns.start..], end - start);
                let y = (i * self.stride.0) as isize + run.row;
                if y < 0 || y >= self.source.0 as isize {
                    into[..count].fill(0.0);
                    continue;
                }
                let column = (j * self.stride.1) as isize + run.column;
                let from = column * self.pixel as isize + (self.first + start - run.columns_of_matrix.start) as isize;
                let line = &image[y as usize * line..][..line];
                // A copy of fixed size, without a call: what is too much is overwritten by the next run, or is between rows.
                let values = usize::try_from(from).ok().and_then(|from| line.get(from..)?.first_chunk::<SHORT>());
                match (values, into.first_chunk_mut::<SHORT>()) {
                    (Some(values), Some(into)) if count <= SHORT => *into = *values,
                    _ => clipped(line, from, &mut into[..count]),
                }
            }
        }
        (buffer, stride)
    }

    /// Calls `each` for what position (i, j) of an image reads within the map: its first column of the matrix, and
    /// the values.
    pub fn read(&self, image: &[f32], i: usize, j: usize, mut each: impl FnMut(usize, &[f32])) {
        let line = self.source.1 * self.pixel;
        for run in &self.runs {
            let y = (i * self.stride.0) as isize + run.row;
            if y < 0 || y >= self.source.0 as isize {
                continue;
            }
            let from = ((j * self.stride.1) as isize + run.column) * self.pixel as isize + self.first as isize;
            let before = (-from).max(0) as usize;
            let end = (line as isize - from).clamp(0, run.columns_of_matrix.len() as isize) as usize;
            if before < end {
                let at = y as usize * line + (from + before as isize) as usize;
                each(run.columns_of_matrix.start + before, &image[at..][..end - before]);
            }
        }
    }
}

/// Copies the values from `from` on, and zeros where there are none.
fn clipped(line: &[f32], from: isize, into: &mut [f32]) {
    let before = ((-from).max(0) as usize).min(into.len());
    let there = (line.len() as isize - from.max(0)).max(0) as usize;
    let end = (before + there).min(into.len());
    into[..before].fill(0.0);
    into[end..].fill(0.0);
    if before < end {
        into[before..end].copy_from_slice(&line[from.max(0) as usize..][..end - before]);
    }
}
