//! Which rows are active at which step, and in which order steps go.

use candle_core::{DType, Device, Result, Tensor};

/// The steps of a batch of sequences.
pub struct Steps {
    /// T, the steps of the tensors.
    pub count: usize,
    lengths: Option<Vec<usize>>,
    longest: usize,
    reverse: bool,
}

impl Steps {
    /// The steps of `n` rows of at most `count` steps.
    pub fn new(name: &str, n: usize, count: usize, lengths: Option<&[usize]>, reverse: bool) -> Result<Self> {
        if let Some(lengths) = lengths {
            if lengths.len() != n {
                candle_core::bail!("{name}: wants a length for each of {n} rows, got {}", lengths.len())
            }
            if let Some((row, length)) = lengths.iter().enumerate().find(|&(_, &length)| length > count) {
                candle_core::bail!("{name}: row {row} has length {length}, but there are only {count} steps")
            }
        }
        let longest = lengths.map_or(count, |lengths| lengths.iter().copied().max().unwrap_or(0));
        // Equal lengths need no masks.
        let lengths = lengths.filter(|lengths| lengths.iter().any(|&length| length < longest));
        Ok(Self { count, lengths: lengths.map(<[usize]>::to_vec), longest, reverse })
    }

    /// The steps in the order in which the recurrence takes them.
    pub fn order(&self) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator + use<> {
        let (longest, reverse) = (self.longest, self.reverse);
        (0..longest).map(move |i| if reverse { longest - 1 - i } else { i })
    }

    /// The rows from the longest to the shortest, and for each step how many of them have it.
    pub fn sorted(&self, n: usize) -> (Vec<usize>, Vec<usize>) {
        let length = |row: usize| self.lengths.as_ref().map_or(self.longest, |lengths| lengths[row]);
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|&row| std::cmp::Reverse(length(row)));
        let active = (0..self.longest).map(|t| order.partition_point(|&row| length(row) > t)).collect();
        (order, active)
    }

    /// 1 for each row that has this step and 0 for the others (N, 1); nothing where all have it.
    pub fn mask(&self, t: usize, dtype: DType, device: &Device) -> Result<Option<Tensor>> {
        let Some(lengths) = self.lengths.as_ref().filter(|lengths| lengths.iter().any(|&length| length <= t)) else {
            return Ok(None);
        };
        let mask: Vec<f32> = lengths.iter().map(|&length| if t < length { 1.0 } else { 0.0 }).collect();
        Ok(Some(Tensor::from_vec(mask, (lengths.len(), 1), device)?.to_dtype(dtype)?))
    }
}

/// Per-step tensors (N, D), given in the order of `order`, as one (N, T, D) with zeros at the steps that no row has.
pub fn in_place(steps: &Steps, order: impl Iterator<Item = usize>, values: &[Tensor], zero: &Tensor) -> Result<Tensor> {
    let mut placed = vec![zero.clone(); steps.count];
    order.zip(values).for_each(|(t, value)| placed[t] = value.clone());
    if placed.is_empty() {
        return zero.unsqueeze(1)?.narrow(1, 0, 0)?.contiguous();
    }
    Tensor::stack(&placed, 1)
}
