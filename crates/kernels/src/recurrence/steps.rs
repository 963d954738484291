//! Which rows are active at which step, and in which order steps go.

use candle_core::{Device, Result, Tensor};

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
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|&row| std::cmp::Reverse(self.length(row)));
        let active = (0..self.longest).map(|t| order.partition_point(|&row| self.length(row) > t)).collect();
        (order, active)
    }

    /// Whether each row starts at its own last step.
    pub fn reverse(&self) -> bool {
        self.reverse
    }

    /// How many steps a row has.
    pub fn length(&self, row: usize) -> usize {
        self.lengths.as_ref().map_or(self.longest, |lengths| lengths[row])
    }

    /// `xs` (N, T, ·) with 0 at the steps that a row does not have: a gradient of 0 times what is there may be NaN.
    pub fn zero_padding(&self, xs: &Tensor) -> Result<Tensor> {
        let (n, t, _) = xs.dims3()?;
        if (0..n).all(|row| self.length(row) == t) {
            return Ok(xs.clone());
        }
        let has = |row: usize| (0..t).map(move |step| u8::from(step < self.length(row)));
        let mask = Tensor::from_vec((0..n).flat_map(has).collect::<Vec<u8>>(), (n, t, 1), xs.device())?;
        mask.broadcast_as(xs.shape())?.where_cond(xs, &xs.zeros_like()?)
    }

    /// The masks of all steps, copied to the device once.
    pub fn masks(&self, device: &Device) -> Result<Masks> {
        let Some(lengths) = &self.lengths else { return Ok(Masks { all: None, shortest: self.longest }) };
        let has = |t: usize| lengths.iter().map(move |&length| u8::from(t < length));
        let all = (0..self.longest).flat_map(has).collect::<Vec<u8>>();
        let all = Some(Tensor::from_vec(all, (self.longest, lengths.len()), device)?);
        Ok(Masks { all, shortest: lengths.iter().copied().min().unwrap_or(0) })
    }
}

/// Which rows have each step.
pub struct Masks {
    /// (T, N).
    all: Option<Tensor>,
    /// The steps that all rows have.
    shortest: usize,
}

impl Masks {
    /// Which rows have step t; nothing where all have it.
    pub fn of(&self, t: usize) -> Result<Option<Mask>> {
        let all = self.all.as_ref().filter(|_| t >= self.shortest);
        all.map(|all| Ok(Mask(all.get(t)?))).transpose()
    }

    /// The output of step t, 0 in the rows that do not have it, and the state after it, in those rows as before.
    pub fn advance(&self, t: usize, new: Vec<Tensor>, old: &[Tensor]) -> Result<(Tensor, Vec<Tensor>)> {
        let Some(mask) = self.of(t)? else { return Ok((new[0].clone(), new)) };
        let state = new.iter().zip(old).map(|(new, old)| mask.select(new, old)).collect::<Result<Vec<_>>>()?;
        Ok((mask.present(&state[0])?, state))
    }
}

/// The rows that have a step. It chooses and does not multiply: what it leaves out may be NaN.
pub struct Mask(Tensor);

impl Mask {
    /// Of the rows that have the step the first's, of the others the second's.
    pub fn select(&self, those: &Tensor, others: &Tensor) -> Result<Tensor> {
        let mut shape = vec![1; those.rank()];
        shape[0] = self.0.elem_count();
        self.0.reshape(shape)?.broadcast_as(those.shape())?.where_cond(those, others)
    }

    /// With 0 in the rows that do not have the step.
    pub fn present(&self, tensor: &Tensor) -> Result<Tensor> {
        self.select(tensor, &tensor.zeros_like()?)
    }

    /// With 0 in the rows that have it.
    pub fn absent(&self, tensor: &Tensor) -> Result<Tensor> {
        self.select(&tensor.zeros_like()?, tensor)
    }
}

/// Step t of (N, T, D), as (N, D).
pub fn step_of(xs: &Tensor, t: usize) -> Result<Tensor> {
    xs.narrow(1, t, 1)?.squeeze(1)
}

/// Per-step tensors (N, D), given in the order of `order`, as one (N, T, D) with zeros at the steps that no row has.
pub fn stack_steps(
    steps: &Steps,
    order: impl Iterator<Item = usize>,
    values: &[Tensor],
    zero: &Tensor,
) -> Result<Tensor> {
    let mut placed = vec![zero.clone(); steps.count];
    order.zip(values).for_each(|(t, value)| placed[t] = value.clone());
    if placed.is_empty() {
        return zero.unsqueeze(1)?.narrow(1, 0, 0)?.contiguous();
    }
    Tensor::stack(&placed, 1)
}
