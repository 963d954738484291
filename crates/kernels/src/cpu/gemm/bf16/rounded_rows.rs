//! Rows in bf16 that the members of a team write piece by piece, and then read as the A operand of several products.

use super::{Isa, LINES, Pairs, RoundedA, TERMS, tiles};
use std::cell::UnsafeCell;

/// Some rows of so many terms, rounded as they are written; nothing where products are f32.
pub struct RoundedRows {
    isa: Option<Isa>,
    lines: Vec<UnsafeCell<Pairs>>,
    terms: usize,
}

// SAFETY: the lines are reached by `write` and `read` alone, whose callers promise that nobody reads or writes at the same time what one
// of them writes; all else is never changed.
unsafe impl Sync for RoundedRows {}

impl RoundedRows {
    /// Room for rows that are to be multiplied with what is packed on this isa.
    pub fn new(isa: Option<Isa>, rows: usize, terms: usize) -> Self {
        let count = isa.map_or(0, |_| rows.div_ceil(LINES) * tiles(terms) * LINES);
        Self { isa, lines: (0..count).map(|_| UnsafeCell::new(Pairs([0; LINES]))).collect(), terms }
    }

    /// Terms of a row from `first` on, which begins a tile; what the last tile lacks becomes 0.
    ///
    /// # Safety
    /// Nobody else reads or writes the tiles of these terms of this row meanwhile.
    pub unsafe fn write(&self, row: usize, first: usize, values: &[f32]) {
        let Some(isa) = self.isa else { return };
        assert!(first.is_multiple_of(TERMS) && first + values.len() <= self.terms);
        for (tile, values) in values.chunks(TERMS).enumerate() {
            let tile = row / LINES * tiles(self.terms) + first / TERMS + tile;
            let line = self.lines[tile * LINES + row % LINES].get();
            // SAFETY: the line is one of `lines`, and the caller promises that nobody else reads or writes it.
            unsafe { *line = isa.round_line(values) };
        }
    }

    /// The first `rows` rows; terms that have not been written are 0.
    ///
    /// # Safety
    /// Nobody writes to them, or to the rest of the sixteen of which the last one is, as long as the result is in use.
    pub unsafe fn read(&self, rows: usize) -> Option<RoundedA<'_>> {
        self.isa?;
        let lines = &self.lines[..rows.div_ceil(LINES) * tiles(self.terms) * LINES];
        // SAFETY: an `UnsafeCell` lies in memory as what is in it does, these have held values since they were made, and the caller promises
        // that nobody writes to them.
        let tiles = unsafe { std::slice::from_raw_parts(lines.as_ptr().cast::<Pairs>(), lines.len()) };
        Some(RoundedA { tiles, rows })
    }
}
