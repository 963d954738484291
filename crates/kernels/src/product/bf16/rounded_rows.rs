//! Rows that the members of a team write piece by piece, and then read as the left side of several products.

use super::{LINES, Pairs, Path, Rounded, TERMS, tiles};
use std::cell::UnsafeCell;

/// Some rows of so many terms, rounded as they are written; nothing where products are f32.
pub struct RoundedRows {
    path: Option<Path>,
    lines: Vec<UnsafeCell<Pairs>>,
    terms: usize,
}

// SAFETY: all access goes through `write` and `read`, whose callers keep the members apart.
unsafe impl Sync for RoundedRows {}

impl RoundedRows {
    /// Room for rows that are to be multiplied with what is packed on this path.
    pub fn new(path: Option<Path>, rows: usize, terms: usize) -> Self {
        let count = path.map_or(0, |_| rows.div_ceil(LINES) * tiles(terms) * LINES);
        Self { path, lines: (0..count).map(|_| UnsafeCell::new(Pairs([0; LINES]))).collect(), terms }
    }

    /// Terms of a row from `first` on, which begins a tile; what the last tile lacks becomes 0.
    ///
    /// # Safety
    /// Nobody else reads or writes these terms meanwhile.
    pub unsafe fn write(&self, row: usize, first: usize, values: &[f32]) {
        let Some(path) = self.path else { return };
        assert!(first.is_multiple_of(TERMS) && first + values.len() <= self.terms);
        for (tile, values) in values.chunks(TERMS).enumerate() {
            let tile = row / LINES * tiles(self.terms) + first / TERMS + tile;
            let line = self.lines[tile * LINES + row % LINES].get();
            // SAFETY: the caller promises that the line is nobody else's.
            unsafe { *line = path.round_line(values) };
        }
    }

    /// The first `rows` rows, all of whose terms have been written.
    ///
    /// # Safety
    /// Nobody writes them meanwhile.
    pub unsafe fn read(&self, rows: usize) -> Option<Rounded<'_>> {
        self.path?;
        let lines = &self.lines[..rows.div_ceil(LINES) * tiles(self.terms) * LINES];
        // SAFETY: a cell is what is in it, and the caller promises that nobody writes to these.
        let tiles = unsafe { std::slice::from_raw_parts(lines.as_ptr().cast::<Pairs>(), lines.len()) };
        Some(Rounded { tiles, rows })
    }
}
