//! Row-major operands of skinny GEMMs.

/// Rows that start every `stride` values.
#[derive(Clone, Copy)]
pub struct RowMajor<'a> {
    pub values: &'a [f32],
    pub stride: usize,
    pub count: usize,
}

impl<'a> RowMajor<'a> {
    /// One row.
    pub fn one(values: &'a [f32]) -> Self {
        Self { values, stride: values.len(), count: 1 }
    }

    /// The first `terms` values of a row.
    pub fn line(self, row: usize, terms: usize) -> &'a [f32] {
        &self.values[row * self.stride..][..terms]
    }

    /// Whether all rows have so many values.
    pub fn fit(self, terms: usize) -> bool {
        self.count == 0 || (self.count - 1) * self.stride + terms <= self.values.len()
    }

    /// The rows from `start` to `end`.
    pub fn part(self, start: usize, end: usize) -> Self {
        Self { values: &self.values[start * self.stride..], count: end - start, ..self }
    }
}

/// The most rows and rows of weights of one microkernel call.
pub const ROWS: usize = 6;
pub const WEIGHTS: usize = 4;

/// Its sums, row by row.
pub type Dots = [[f32; WEIGHTS]; ROWS];
