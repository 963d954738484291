//! The packed B operand of a GEMM, in panels.

use super::bf16::{self, LINES, Pairs, Path, TERMS, tiles};
use super::blocked::{Scratch, with_scratch};
use super::{Left, PANEL, multiply};
use crate::cpu::transpose::{Places, transpose_into};
use rayon::prelude::*;
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

/// A matrix (depth, columns) in panels of [`PANEL`] columns; the last one is filled up with zeros.
pub struct Packed {
    panels: Panels,
    depth: usize,
    columns: usize,
}

enum Panels {
    /// Two lines for each row of a panel.
    Full(Vec<Line>),
    /// Tiles in bf16. Each `run` rows begin a tile.
    Rounded { pairs: Vec<Pairs>, path: Path, run: usize },
}

/// Half a row of a panel, as a cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Line(pub [f32; 16]);

/// A matrix whose value (k, j) stands at k·`strides.0` + j·`strides.1`, one of which is 1, to be packed a part at a time, and with a
/// path rounded.
pub struct Lying<'a> {
    pub values: &'a [f32],
    pub strides: (usize, usize),
    pub columns: usize,
    pub path: Option<Path>,
}

/// The right side of a large product, which is read in parts of panels.
pub trait Right: Sync {
    fn columns(&self) -> usize;

    /// How both sides are rounded and multiplied; without a path the product is f32.
    fn path(&self) -> Option<Path>;

    /// Some rows of a panel in f32, which lie where they lay or in `room`.
    fn panel<'a>(&'a self, panel: usize, rows: Range<usize>, room: &'a mut Vec<Line>) -> &'a [Line];

    /// The same where it lies already.
    fn lying(&self, _panel: usize, _rows: Range<usize>) -> &[Line] {
        &[]
    }

    /// Some rows of a panel rounded, where there is a path; the rows begin with a tile.
    fn rounded<'a>(&'a self, panel: usize, rows: Range<usize>, room: &'a mut Vec<Pairs>) -> &'a [Pairs];
}

impl Right for Packed {
    fn columns(&self) -> usize {
        self.columns
    }

    fn path(&self) -> Option<Path> {
        match self.panels {
            Panels::Full(_) => None,
            Panels::Rounded { path, .. } => Some(path),
        }
    }

    fn panel<'a>(&'a self, panel: usize, rows: Range<usize>, _: &'a mut Vec<Line>) -> &'a [Line] {
        self.lines(panel, rows)
    }

    fn lying(&self, panel: usize, rows: Range<usize>) -> &[Line] {
        self.lines(panel, rows)
    }

    fn rounded<'a>(&'a self, panel: usize, rows: Range<usize>, _: &'a mut Vec<Pairs>) -> &'a [Pairs] {
        self.pairs(panel, rows)
    }
}

impl Right for Lying<'_> {
    fn columns(&self) -> usize {
        self.columns
    }

    fn path(&self) -> Option<Path> {
        self.path
    }

    fn panel<'a>(&'a self, panel: usize, rows: Range<usize>, room: &'a mut Vec<Line>) -> &'a [Line] {
        let (values, width) = self.part(panel, &rows);
        room.clear();
        room.reserve(rows.len() * 2);
        let lines = &mut room.spare_capacity_mut()[..rows.len() * 2];
        match self.strides {
            (stride, 1) => pack_rows(values, stride, width, lines),
            (_, stride) => pack_columns(values, stride, width, lines),
        }
        // SAFETY: there is room for so many lines, and either way of packing has written each of those that it was given.
        unsafe { room.set_len(rows.len() * 2) };
        room
    }

    fn rounded<'a>(&'a self, panel: usize, rows: Range<usize>, room: &'a mut Vec<Pairs>) -> &'a [Pairs] {
        let (values, width) = self.part(panel, &rows);
        let count = tiles(rows.len()) * 2 * LINES;
        room.clear();
        let Some(path) = self.path else { return room };
        room.reserve(count);
        path.round_panel(values, self.strides, (rows.len(), width), &mut room.spare_capacity_mut()[..count]);
        // SAFETY: there is room for `count` lines, which are the tiles of so many rows, and `round_panel` has written all of them.
        unsafe { room.set_len(count) };
        room
    }
}

impl Lying<'_> {
    /// Where some rows of a panel begin, and how many columns it has.
    fn part(&self, panel: usize, rows: &Range<usize>) -> (&[f32], usize) {
        let start = panel * PANEL;
        (&self.values[rows.start * self.strides.0 + start * self.strides.1..], PANEL.min(self.columns - start))
    }
}

impl Packed {
    /// Packs the matrix whose value (k, j) stands at k·`strides.0` + j·`strides.1`, with a path in bf16 unless neither its rows
    /// nor its columns lie together.
    pub fn new(path: Option<Path>, values: &[f32], strides: (usize, usize), depth: usize, columns: usize) -> Self {
        match path {
            Some(path) if strides.0 == 1 || strides.1 == 1 => Self::rounded(path, values, strides, depth, columns),
            _ => Self::full(values, strides, depth, columns),
        }
    }

    fn rounded(path: Path, values: &[f32], strides: (usize, usize), depth: usize, columns: usize) -> Self {
        let pack = |panel: usize, pairs: &mut [MaybeUninit<Pairs>]| {
            let start = panel * PANEL;
            path.round_panel(&values[start * strides.1..], strides, (depth, PANEL.min(columns - start)), pairs);
        };
        let size = tiles(depth) * 2 * LINES;
        // SAFETY: a unit is a panel, and `round_panel` writes all tiles of its `depth` rows.
        let pairs = unsafe { written(columns.div_ceil(PANEL) * size, size, pack) };
        Self { panels: Panels::Rounded { pairs, path, run: depth }, depth, columns }
    }

    fn full(values: &[f32], strides: (usize, usize), depth: usize, columns: usize) -> Self {
        let pack = |panel: usize, lines: &mut [MaybeUninit<Line>]| {
            let start = panel * PANEL;
            let width = PANEL.min(columns - start);
            match strides {
                (stride, 1) => pack_rows(&values[start..], stride, width, lines),
                (1, stride) => pack_columns(&values[start * stride..], stride, width, lines),
                _ => {
                    for (k, row) in lines.chunks_exact_mut(2).enumerate() {
                        let value =
                            |j: usize| if j < width { values[k * strides.0 + (start + j) * strides.1] } else { 0.0 };
                        for (half, line) in row.iter_mut().enumerate() {
                            line.write(Line(std::array::from_fn(|j| value(half * 16 + j))));
                        }
                    }
                }
            }
        };
        // SAFETY: a unit is a panel, of which each of the three ways writes all lines: two for each of its `depth` rows.
        let lines = unsafe { written(columns.div_ceil(PANEL) * depth * 2, depth * 2, pack) };
        Self { panels: Panels::Full(lines), depth, columns }
    }

    /// The transpose of a row-major matrix (columns, depth), as weights (out, in) are used going forward, in the precision that
    /// is set.
    pub fn transposed(values: &[f32], columns: usize, depth: usize) -> Self {
        Self::new(bf16::path(), values, (1, depth), depth, columns)
    }

    /// The matrix (taps · channels, outputs) of kernels (outputs, channels, taps), in f32.
    pub fn kernels(values: &[f32], outputs: usize, (channels, taps): (usize, usize)) -> Self {
        let (kernels, depth) = (Kernels::new(values, outputs, (channels, taps)), channels * taps);
        let pack = |panel: usize, lines: &mut [MaybeUninit<Line>]| kernels.pack(panel, lines);
        // SAFETY: a unit is a panel, and `Kernels::pack` writes all its lines, since each row has a place of its own.
        let lines = unsafe { written(outputs.div_ceil(PANEL) * depth * 2, depth * 2, pack) };
        Self { panels: Panels::Full(lines), depth, columns: outputs }
    }

    /// The matrix (depth, outputs) whose panels `turn` makes of those of [`Packed::kernels`].
    ///
    /// # Safety
    /// `turn` writes all that it is given.
    pub unsafe fn turned_kernels(
        values: &[f32],
        outputs: usize,
        (channels, taps): (usize, usize),
        depth: usize,
        turn: impl Fn(&[Line], &mut [MaybeUninit<Line>]) + Sync,
    ) -> Self {
        let kernels = Kernels::new(values, outputs, (channels, taps));
        let pack = |panel: usize, lines: &mut [MaybeUninit<Line>]| {
            with_scratch(|Scratch { lines: room, .. }| {
                let count = channels * taps * 2;
                room.clear();
                room.reserve(count);
                kernels.pack(panel, &mut room.spare_capacity_mut()[..count]);
                // SAFETY: there is room for `count` lines, and `Kernels::pack` has written all that it was given.
                unsafe { room.set_len(count) };
                turn(room, lines);
            });
        };
        // SAFETY: a unit is a panel, and the caller promises that `turn` writes all lines of it.
        let lines = unsafe { written(outputs.div_ceil(PANEL) * depth * 2, depth * 2, pack) };
        Self { panels: Panels::Full(lines), depth, columns: outputs }
    }

    /// A row-major matrix (depth, columns), as weights (out, in) are used going back, in the precision that is set.
    pub fn rows(values: &[f32], depth: usize, columns: usize) -> Self {
        Self::new(bf16::path(), values, (columns, 1), depth, columns)
    }

    /// The matrix with a row for each position of each picture and a column for each of `read` (first, count) channels, of
    /// maps (pictures, channels, area); with a path in bf16.
    pub fn maps(
        path: Option<Path>,
        values: &[f32],
        (pictures, channels, area): (usize, usize, usize),
        read: (usize, usize),
    ) -> Self {
        let (first, columns) = read;
        if let Some(path) = path {
            return Self::rounded_maps(path, values, (pictures, channels, area), read);
        }
        let pack = |unit: usize, lines: &mut [MaybeUninit<Line>]| {
            let (panel, picture) = (unit / pictures, unit % pictures);
            let start = panel * PANEL;
            let maps = &values[(picture * channels + first + start) * area..];
            pack_columns(maps, area, PANEL.min(columns - start), lines);
        };
        // SAFETY: a unit is the part of a panel that one picture has, and `pack_columns` writes all its lines.
        let lines = unsafe { written(columns.div_ceil(PANEL) * pictures * area * 2, area * 2, pack) };
        Self { panels: Panels::Full(lines), depth: pictures * area, columns }
    }

    /// The same in bf16.
    fn rounded_maps(
        path: Path,
        values: &[f32],
        (pictures, channels, area): (usize, usize, usize),
        (first, columns): (usize, usize),
    ) -> Self {
        let pack = |unit: usize, pairs: &mut [MaybeUninit<Pairs>]| {
            let (panel, picture) = (unit / pictures, unit % pictures);
            let start = panel * PANEL;
            let values = &values[(picture * channels + first + start) * area..];
            path.round_panel(values, (1, area), (area, PANEL.min(columns - start)), pairs);
        };
        let size = tiles(area) * 2 * LINES;
        // SAFETY: a unit is the part of a panel that one picture has, and `round_panel` writes all tiles of its `area` rows.
        let pairs = unsafe { written(columns.div_ceil(PANEL) * pictures * size, size, pack) };
        Self { panels: Panels::Rounded { pairs, path, run: area }, depth: pictures * area, columns }
    }

    /// How many panels there are.
    pub fn panels(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    /// The first column of a panel, and how many of its columns are the matrix's own.
    pub fn span(&self, panel: usize) -> (usize, usize) {
        let start = panel * PANEL;
        (start, PANEL.min(self.columns - start))
    }

    /// `into` (rows, 32), row r at r·`stride`, becomes `left` times the panel, or plus what it holds with `add`.
    pub fn multiply(&self, left: Left, panel: usize, into: &mut [f32], stride: usize, add: bool) {
        thread_local! {
            static ROOM: RefCell<Vec<Pairs>> = const { RefCell::new(Vec::new()) };
        }
        match self.path() {
            None => {
                let [lines, next] = [panel, panel + 1].map(|panel| self.lines(panel, 0..self.depth));
                multiply(left, lines, next, into, stride, add);
            }
            Some(path) => ROOM.with_borrow_mut(|room| {
                let rounded = left.rounded.unwrap_or_else(|| path.rounded(left, self.depth, room));
                path.multiply(rounded, self.pairs(panel, 0..self.depth), into, stride, add);
            }),
        }
    }

    /// `into` (rows, 32) becomes `left` times some rows of a panel, in f32; the rows after them come next.
    pub fn multiply_rows(&self, left: Left, panel: usize, rows: Range<usize>, into: &mut [f32]) {
        let next = match rows.end < self.depth {
            true => self.lines(panel, rows.end..self.depth.min(rows.end + rows.len())),
            false => self.lines(panel + 1, 0..rows.len()),
        };
        multiply(left, self.lines(panel, rows), next, into, PANEL, false);
    }

    /// Some rows of a panel in f32, two lines each; none of a panel that is not there.
    fn lines(&self, panel: usize, rows: Range<usize>) -> &[Line] {
        match &self.panels {
            Panels::Full(lines) if panel < self.panels() => {
                &lines[panel * self.depth * 2..][..self.depth * 2][2 * rows.start..2 * rows.end]
            }
            _ => &[],
        }
    }

    /// Some rows of a panel in bf16, all of one run, which begin with a tile.
    fn pairs(&self, panel: usize, rows: Range<usize>) -> &[Pairs] {
        let Panels::Rounded { pairs, run, .. } = &self.panels else { return &[] };
        if rows.is_empty() {
            return &[];
        }
        let (first, within) = (rows.start / run, rows.start % run);
        assert!(within.is_multiple_of(TERMS) && within + rows.len() <= *run);
        let tiles_before = (panel * (self.depth / run) + first) * tiles(*run) + within / TERMS;
        &pairs[tiles_before * 2 * LINES..][..tiles(rows.len()) * 2 * LINES]
    }
}

/// Kernels (outputs, channels, taps), to be packed with a row for each tap's channel.
struct Kernels<'a> {
    values: &'a [f32],
    outputs: usize,
    /// Where each row goes, written down: to divide for each square takes longer than to turn it.
    places: Vec<usize>,
}

impl<'a> Kernels<'a> {
    fn new(values: &'a [f32], outputs: usize, (channels, taps): (usize, usize)) -> Self {
        let places = (0..channels * taps).map(|k| k % taps * channels + k / taps).collect();
        Self { values, outputs, places }
    }

    /// Writes a panel.
    fn pack(&self, panel: usize, lines: &mut [MaybeUninit<Line>]) {
        let (start, depth) = (panel * PANEL, self.places.len());
        let size = (PANEL.min(self.outputs - start), depth);
        pack_permuted(&self.values[start * depth..], depth, size, lines, Places::Listed(&self.places, PANEL));
    }
}

/// So many lines, of which `fill` writes those of each unit, `size` of them.
///
/// # Safety
/// `fill` writes all that it is given.
unsafe fn written<T: Send>(count: usize, size: usize, fill: impl Fn(usize, &mut [MaybeUninit<T>]) + Sync) -> Vec<T> {
    let mut lines: Vec<T> = Vec::with_capacity(count);
    if size > 0 {
        let room = &mut lines.spare_capacity_mut()[..count];
        room.par_chunks_mut(size).enumerate().for_each(|(unit, lines)| fill(unit, lines));
        // SAFETY: the chunks are all `count` lines, for which there is room, and the caller promises that `fill` has written each chunk.
        unsafe { lines.set_len(count) };
    }
    lines
}

/// Has what lies there brought into the first cache.
#[inline(always)]
fn bring_near(values: &[f32], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE, to which the instruction belongs, is part of x86-64; it is a hint that may be given any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(at.min(values.len())).cast()) };
    }
}

/// Packs the first `width` columns of rows that start every `stride` values.
fn pack_rows(values: &[f32], stride: usize, width: usize, lines: &mut [MaybeUninit<Line>]) {
    /// So many rows after this one are brought near: they lie too far apart for the machine to foresee them.
    const AHEAD: usize = 8;
    for (k, row) in lines.chunks_exact_mut(2).enumerate() {
        bring_near(values, (k + AHEAD) * stride);
        bring_near(values, (k + AHEAD) * stride + 16);
        let values = &values[k * stride..][..width];
        let (halves, rest) = values.as_chunks::<16>();
        for (half, line) in row.iter_mut().enumerate() {
            line.write(Line(halves.get(half).copied().unwrap_or_else(|| {
                let rest = if half == halves.len() { rest } else { &[] };
                std::array::from_fn(|j| rest.get(j).copied().unwrap_or(0.0))
            })));
        }
    }
}

/// Packs the transpose of `width` rows that start every `stride` values.
fn pack_columns(values: &[f32], stride: usize, width: usize, lines: &mut [MaybeUninit<Line>]) {
    let depth = lines.len() / 2;
    pack_permuted(values, stride, (width, depth), lines, Places::Every(PANEL));
}

/// The same with the rows of the panel at these places, each of which is taken once.
fn pack_permuted(
    values: &[f32],
    stride: usize,
    (width, depth): (usize, usize),
    lines: &mut [MaybeUninit<Line>],
    places: Places,
) {
    let count = lines.len() * 16;
    // SAFETY: a `Line` is 16 floats and nothing else (64 bytes, aligned to 64), so that the lines, which are borrowed for as long, are
    // 16 times as many floats that may or may not have been written.
    let panel = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<MaybeUninit<f32>>(), count) };
    transpose_into(values, stride, (width, depth), panel, places);
    if width < PANEL {
        panel.chunks_exact_mut(PANEL).for_each(|row| row[width..].fill(MaybeUninit::new(0.0)));
    }
}
