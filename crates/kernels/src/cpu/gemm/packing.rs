//! The packed B operand of a GEMM, in panels.

use super::bf16::{self, Isa, LINES, Pairs, TERMS, tiles};
use super::panel::{Kernels, Line, pack_columns, pack_rows, written};
use super::scratch::{Scratch, with_scratch};
use super::{A, PANEL, Strided, multiply};
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

/// A matrix (depth, columns) in panels of [`PANEL`] columns; the last one is filled up with zeros.
pub struct PackedB {
    panels: Panels,
    depth: usize,
    columns: usize,
}

enum Panels {
    /// Two lines for each row of a panel.
    Full(Vec<Line>),
    /// Tiles in bf16. Each `run` rows begin a tile.
    Rounded { pairs: Vec<Pairs>, isa: Isa, run: usize },
}

/// The B operand in a slice, one of whose strides is 1, to be packed a part at a time, and with an ISA rounded to bf16.
pub struct StridedB<'a> {
    pub matrix: Strided<'a>,
    pub columns: usize,
    pub isa: Option<Isa>,
}

/// `count` channels, from `first` on, of maps (images, channels, area).
#[derive(Clone, Copy)]
pub struct NchwChannels<'a> {
    pub maps: &'a [f32],
    pub images: usize,
    pub channels: usize,
    pub area: usize,
    pub first: usize,
    pub count: usize,
}

impl<'a> NchwChannels<'a> {
    /// The values from one of these channels of an image on.
    pub fn of(&self, image: usize, channel: usize) -> &'a [f32] {
        &self.maps[(image * self.channels + self.first + channel) * self.area..]
    }
}

/// The B operand of a large product, which is read in parts of panels.
pub trait PanelB: Sync {
    fn columns(&self) -> usize;

    /// The instructions that round both operands and multiply them; without them the product is f32.
    fn isa(&self) -> Option<Isa>;

    /// Some rows of a panel in f32, in place or packed into `buffer`.
    fn panel<'a>(&'a self, panel: usize, rows: Range<usize>, buffer: &'a mut Vec<Line>) -> &'a [Line];

    /// The same, or nothing where it is yet to be packed.
    fn in_place(&self, _panel: usize, _rows: Range<usize>) -> &[Line] {
        &[]
    }

    /// Some rows of a panel in bf16, where there is an ISA; the rows begin with a tile.
    fn rounded<'a>(&'a self, panel: usize, rows: Range<usize>, buffer: &'a mut Vec<Pairs>) -> &'a [Pairs];
}

impl PanelB for PackedB {
    fn columns(&self) -> usize {
        self.columns
    }

    fn isa(&self) -> Option<Isa> {
        match self.panels {
            Panels::Full(_) => None,
            Panels::Rounded { isa, .. } => Some(isa),
        }
    }

    fn panel<'a>(&'a self, panel: usize, rows: Range<usize>, _: &'a mut Vec<Line>) -> &'a [Line] {
        self.lines(panel, rows)
    }

    fn in_place(&self, panel: usize, rows: Range<usize>) -> &[Line] {
        self.lines(panel, rows)
    }

    fn rounded<'a>(&'a self, panel: usize, rows: Range<usize>, _: &'a mut Vec<Pairs>) -> &'a [Pairs] {
        self.pairs(panel, rows)
    }
}

impl PanelB for StridedB<'_> {
    fn columns(&self) -> usize {
        self.columns
    }

    fn isa(&self) -> Option<Isa> {
        self.isa
    }

    fn panel<'a>(&'a self, panel: usize, rows: Range<usize>, buffer: &'a mut Vec<Line>) -> &'a [Line] {
        let (part, width, count) = (self.part(panel, &rows), self.width(panel), rows.len() * 2);
        buffer.clear();
        buffer.reserve(count);
        let lines = &mut buffer.spare_capacity_mut()[..count];
        match part.column {
            1 => pack_rows(part.values, part.row, width, lines),
            stride => pack_columns(part.values, stride, width, lines),
        }
        // SAFETY: there is room for so many lines, and either way of packing has written each of those that it was given.
        unsafe { buffer.set_len(count) };
        buffer
    }

    fn rounded<'a>(&'a self, panel: usize, rows: Range<usize>, buffer: &'a mut Vec<Pairs>) -> &'a [Pairs] {
        let count = tiles(rows.len()) * 2 * LINES;
        buffer.clear();
        let Some(isa) = self.isa else { return buffer };
        buffer.reserve(count);
        let into = &mut buffer.spare_capacity_mut()[..count];
        isa.round_panel(self.part(panel, &rows), rows.len(), self.width(panel), into);
        // SAFETY: there is room for `count` lines, which are the tiles of so many rows, and `round_panel` has written all of them.
        unsafe { buffer.set_len(count) };
        buffer
    }
}

impl StridedB<'_> {
    /// Some rows of a panel.
    fn part(&self, panel: usize, rows: &Range<usize>) -> Strided<'_> {
        self.matrix.from(rows.start, panel * PANEL)
    }

    /// The columns of a panel.
    fn width(&self, panel: usize) -> usize {
        PANEL.min(self.columns - panel * PANEL)
    }
}

impl PackedB {
    /// Packs a matrix, with an ISA in bf16 if one of its strides is 1.
    pub fn new(isa: Option<Isa>, matrix: Strided, depth: usize, columns: usize) -> Self {
        match isa {
            Some(isa) if matrix.row == 1 || matrix.column == 1 => Self::rounded(isa, matrix, depth, columns),
            _ => Self::full(matrix, depth, columns),
        }
    }

    fn rounded(isa: Isa, matrix: Strided, depth: usize, columns: usize) -> Self {
        let pack = |panel: usize, pairs: &mut [MaybeUninit<Pairs>]| {
            let start = panel * PANEL;
            isa.round_panel(matrix.from(0, start), depth, PANEL.min(columns - start), pairs);
        };
        let size = tiles(depth) * 2 * LINES;
        // SAFETY: a unit is a panel, and `round_panel` writes all tiles of its `depth` rows.
        let pairs = unsafe { written(columns.div_ceil(PANEL) * size, size, pack) };
        Self { panels: Panels::Rounded { pairs, isa, run: depth }, depth, columns }
    }

    fn full(matrix: Strided, depth: usize, columns: usize) -> Self {
        let pack = |panel: usize, lines: &mut [MaybeUninit<Line>]| {
            let start = panel * PANEL;
            let width = PANEL.min(columns - start);
            match (matrix.row, matrix.column) {
                (stride, 1) => pack_rows(&matrix.values[start..], stride, width, lines),
                (1, stride) => pack_columns(&matrix.values[start * stride..], stride, width, lines),
                (row, column) => {
                    let at = |k: usize, j: usize| matrix.values[k * row + (start + j) * column];
                    for (k, lines) in lines.chunks_exact_mut(2).enumerate() {
                        let value = |j: usize| if j < width { at(k, j) } else { 0.0 };
                        for (half, line) in lines.iter_mut().enumerate() {
                            line.write(Line(std::array::from_fn(|j| value(half * 16 + j))));
                        }
                    }
                }
            }
        };
        // SAFETY: a unit is a panel, of which each of the three ways writes all lines: two for each of its `depth` rows.
        unsafe { Self::lines_of(1, depth, columns, pack) }
    }

    /// `units` parts of each panel, `depth` rows each, which `pack` writes.
    ///
    /// # Safety
    /// `pack` writes all that it is given.
    unsafe fn lines_of(
        units: usize,
        depth: usize,
        columns: usize,
        pack: impl Fn(usize, &mut [MaybeUninit<Line>]) + Sync,
    ) -> Self {
        // SAFETY: the caller promises it.
        let lines = unsafe { written(columns.div_ceil(PANEL) * units * depth * 2, depth * 2, pack) };
        Self { panels: Panels::Full(lines), depth: units * depth, columns }
    }

    /// The transpose of a row-major matrix (columns, depth), as weights (out, in) are used going forward, in the precision that
    /// is set.
    pub fn transposed(values: &[f32], columns: usize, depth: usize) -> Self {
        Self::new(bf16::isa(), Strided::columns(values, depth), depth, columns)
    }

    /// A row-major matrix (depth, columns), as weights (out, in) are used going back, in the precision that is set.
    pub fn rows(values: &[f32], depth: usize, columns: usize) -> Self {
        Self::new(bf16::isa(), Strided::rows(values, columns), depth, columns)
    }

    /// The matrix (taps · channels, outputs) of kernels (outputs, channels, taps), in f32.
    pub fn kernels(values: &[f32], outputs: usize, channels: usize, taps: usize) -> Self {
        let kernels = Kernels::new(values, outputs, channels, taps);
        let pack = |panel: usize, lines: &mut [MaybeUninit<Line>]| kernels.pack(panel, lines);
        // SAFETY: a unit is a panel, and `Kernels::pack` writes all its lines, since each row has a place of its own.
        unsafe { Self::lines_of(1, channels * taps, outputs, pack) }
    }

    /// The matrix (depth, outputs) whose panels `transform` makes of those of [`PackedB::kernels`].
    ///
    /// # Safety
    /// `transform` writes all that it is given.
    pub unsafe fn transformed_kernels(
        values: &[f32],
        outputs: usize,
        channels: usize,
        taps: usize,
        depth: usize,
        transform: impl Fn(&[Line], &mut [MaybeUninit<Line>]) + Sync,
    ) -> Self {
        let kernels = Kernels::new(values, outputs, channels, taps);
        let pack = |panel: usize, lines: &mut [MaybeUninit<Line>]| {
            with_scratch(|Scratch { lines: buffer, .. }| {
                let count = channels * taps * 2;
                buffer.clear();
                buffer.reserve(count);
                kernels.pack(panel, &mut buffer.spare_capacity_mut()[..count]);
                // SAFETY: there is room for `count` lines, and `Kernels::pack` has written all that it was given.
                unsafe { buffer.set_len(count) };
                transform(buffer, lines);
            });
        };
        // SAFETY: a unit is a panel, and the caller promises that `transform` writes all lines of it.
        unsafe { Self::lines_of(1, depth, outputs, pack) }
    }

    /// The matrix with a row for each position of each image and a column for each channel; with an ISA in bf16.
    pub fn channels(isa: Option<Isa>, maps: NchwChannels) -> Self {
        let NchwChannels { images, area, count: columns, .. } = maps;
        let part = |unit: usize| {
            let (panel, image) = (unit / images, unit % images);
            (maps.of(image, panel * PANEL), PANEL.min(columns - panel * PANEL))
        };
        let Some(isa) = isa else {
            let pack = |unit: usize, lines: &mut [MaybeUninit<Line>]| {
                let (values, width) = part(unit);
                pack_columns(values, area, width, lines);
            };
            // SAFETY: a unit is the part of a panel that one image has, and `pack_columns` writes all its lines.
            return unsafe { Self::lines_of(images, area, columns, pack) };
        };
        let pack = |unit: usize, pairs: &mut [MaybeUninit<Pairs>]| {
            let (values, width) = part(unit);
            isa.round_panel(Strided::columns(values, area), area, width, pairs);
        };
        let size = tiles(area) * 2 * LINES;
        // SAFETY: a unit is the part of a panel that one image has, and `round_panel` writes all tiles of its `area` rows.
        let pairs = unsafe { written(columns.div_ceil(PANEL) * images * size, size, pack) };
        Self { panels: Panels::Rounded { pairs, isa, run: area }, depth: images * area, columns }
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

    /// `into` (rows, 32), row r at r·`stride`, becomes A times the panel, or plus what it holds with `add`.
    pub fn multiply(&self, a: A, panel: usize, into: &mut [f32], stride: usize, add: bool) {
        thread_local! {
            static ROOM: RefCell<Vec<Pairs>> = const { RefCell::new(Vec::new()) };
        }
        match self.isa() {
            None => {
                let [lines, next] = [panel, panel + 1].map(|panel| self.lines(panel, 0..self.depth));
                multiply(a, lines, next, into, stride, add);
            }
            Some(isa) => ROOM.with_borrow_mut(|buffer| {
                let rounded = a.rounded.unwrap_or_else(|| isa.round(a, self.depth, buffer));
                isa.multiply(rounded, self.pairs(panel, 0..self.depth), into, stride, add);
            }),
        }
    }

    /// `into` (rows, 32) becomes A times some rows of a panel, in f32; the rows after them are prefetched.
    pub fn multiply_rows(&self, a: A, panel: usize, rows: Range<usize>, into: &mut [f32]) {
        let next = match rows.end < self.depth {
            true => self.lines(panel, rows.end..self.depth.min(rows.end + rows.len())),
            false => self.lines(panel + 1, 0..rows.len()),
        };
        multiply(a, self.lines(panel, rows), next, into, PANEL, false);
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
