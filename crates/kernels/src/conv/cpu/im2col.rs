//! im2col a few rows at a time: what a convolution reads at each position.
//!
//! Maps lie with their channels together, (N, h, w, C). Then what one row of the kernel reads is one straight run of values,
//! and a row of the matrix is a few such runs, with zeros where they reach over the edge.

use crate::cpu::gemm::blocked::{GAP, copied};
use std::ops::Range;

/// The matrix A with a row for each position (n, i, j) of the result and a column for each tap t and channel c:
/// `A[(n, i, j), (t, c)] = x[n, stride·i + taps[t].0, stride·j + taps[t].1, c]`, x being 0 outside the map.
#[derive(Debug, Clone)]
pub struct Gather {
    /// Rows and columns of x.
    source: (usize, usize),
    /// Values between neighbouring columns of x: all its channels.
    pixel: usize,
    /// The first of the channels that are read.
    first: usize,
    /// Rows and columns of the result.
    size: (usize, usize),
    stride: (usize, usize),
    runs: Vec<Run>,
    depth: usize,
}

/// Values that lie together in x and in A.
#[derive(Debug, Clone)]
struct Run {
    /// Where it stands for position (0, 0).
    row: isize,
    column: isize,
    columns_of_matrix: Range<usize>,
}

/// Maps that a [`Gather`] reads.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// Rows and columns.
    pub size: (usize, usize),
    /// All channels.
    pub channels: usize,
    /// The first channel and the number of those that are read.
    pub read: (usize, usize),
}

/// Up to so many values are a short run, such as what a row of a kernel reads of a picture's three channels.
const SHORT: usize = 32;

impl Gather {
    pub fn new(source: Source, size: (usize, usize), stride: (usize, usize), taps: &[(isize, isize)]) -> Self {
        let Source { size: of_source, channels: pixel, read: (first, channels) } = source;
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

    /// Rows of the matrix for one picture.
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

    /// Some rows and columns of the matrix, each row this many values from the one before; they lie in `room` or in the maps, but
    /// not there where pixels that lie so far `apart` are to be copied.
    pub fn rows<'a>(
        &self,
        maps: &'a [f32],
        positions: Range<usize>,
        columns: Range<usize>,
        room: &'a mut Vec<f32>,
        apart: impl Fn(usize) -> bool,
    ) -> (&'a [f32], usize) {
        if self.is_pointwise() {
            let values = &maps[positions.start * self.pixel + self.first + columns.start..];
            if !apart(self.pixel) {
                return (values, self.pixel);
            }
            copied(values, self.pixel, (columns.len(), positions.len()), room);
            return (room, columns.len() + GAP);
        }
        // Rows that lie a power of two apart would push each other out of the cache.
        let stride = columns.len() + GAP;
        room.resize(positions.len() * stride, 0.0);
        let line = self.source.1 * self.pixel;
        let (area, width) = (self.area(), self.size.1);
        for (position, into) in positions.zip(room.chunks_exact_mut(stride)) {
            let (picture, i, j) = (position / area, position % area / width, position % width);
            let picture = &maps[picture * self.source.0 * line..][..self.source.0 * line];
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
                let line = &picture[y as usize * line..][..line];
                // As many as are copied without a call: what is too much is written over by the next run, or lies between rows.
                let values = usize::try_from(from).ok().and_then(|from| line.get(from..)?.first_chunk::<SHORT>());
                match (values, into.first_chunk_mut::<SHORT>()) {
                    (Some(values), Some(into)) if count <= SHORT => *into = *values,
                    _ => clipped(line, from, &mut into[..count]),
                }
            }
        }
        (room, stride)
    }
}

impl Gather {
    /// Calls `each` for what position (i, j) of a picture reads that lies within the map: its first column of the matrix, and
    /// the values.
    pub fn read(&self, picture: &[f32], (i, j): (usize, usize), mut each: impl FnMut(usize, &[f32])) {
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
                each(run.columns_of_matrix.start + before, &picture[at..][..end - before]);
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
