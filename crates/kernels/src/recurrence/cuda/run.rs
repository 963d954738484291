//! The launches of a recurrence on CUDA, and how its rows are packed.

use super::MODULE;
use crate::cuda::{Argument, Gpu, Launch, Matrix, Memory, Side, THREADS};
use crate::recurrence::steps::Steps;
use candle_core::Result;

/// No address.
pub const NULL: Argument = Argument::Address(0);

/// Sizes of a call, and where each step's rows start among the packed ones.
pub struct Layout {
    /// N.
    pub n: usize,
    /// T.
    pub t: usize,
    /// The width of xs.
    pub d: usize,
    /// H.
    pub h: usize,
    /// R, the rows of all steps.
    pub packed: usize,
    starts: Vec<usize>,
    order: Vec<usize>,
    reverse: bool,
}

impl Layout {
    pub fn new((n, t, d): (usize, usize, usize), h: usize, steps: &Steps) -> Self {
        let (order, active) = steps.sorted(n);
        let mut starts = vec![0; active.len() + 1];
        active.iter().enumerate().for_each(|(step, active)| starts[step + 1] = starts[step] + active);
        Self { n, t, d, h, packed: starts[active.len()], starts, order, reverse: steps.reverse() }
    }

    /// How many steps the longest row has.
    pub fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The first packed row of a step, and the one behind its last.
    pub fn rows_of(&self, step: usize) -> (usize, usize) {
        (self.starts[step], self.starts[step + 1])
    }

    /// The sorted rows for the kernels; nothing where all rows have all T steps.
    pub fn table(&self, gpu: &dyn Gpu, steps: &Steps) -> Result<Option<Memory>> {
        if self.packed == self.n * self.t {
            return Ok(None);
        }
        let lengths = self.order.iter().map(|&row| steps.length(row));
        let all = self.order.iter().copied().chain(lengths).chain(self.starts.iter().copied());
        gpu.upload(&all.map(|value| value as u32).collect::<Vec<_>>()).map(Some)
    }
}

/// A call on its way.
pub struct Run<'a> {
    pub gpu: &'a dyn Gpu,
    pub layout: &'a Layout,
    pub table: Option<&'a Memory>,
}

impl Run<'_> {
    /// Rows of any values.
    pub fn matrix(&self, rows: usize, width: usize) -> Result<Matrix> {
        Matrix::new(self.gpu, rows, width)
    }

    /// Rows of any values, which are a side of products.
    pub fn factor(&self, rows: usize, width: usize) -> Result<Matrix> {
        Matrix::factor(self.gpu, rows, width)
    }

    /// Outputs (N, T, width), with 0 at the steps that a row does not have.
    pub fn outputs(&self, width: usize) -> Result<Memory> {
        let count = self.layout.n * self.layout.t * width;
        if self.table.is_some() { self.gpu.zeros(count) } else { self.gpu.alloc(count) }
    }

    /// xs (N, T, width) into rows (R, width).
    pub fn packed(&self, xs: &Memory, packed: Matrix) -> Result<Matrix> {
        let width = packed.width;
        let arguments: [&[Argument]; 3] =
            [&[xs.at(0), packed.row(0), packed.half(0, 0)], &self.batch(), &[width.into()]];
        self.launch_steps("pack_steps", self.layout.count(), self.layout.n * width, &arguments)?;
        Ok(packed)
    }

    /// xs (R, width) as (N, T, width), with 0 at the steps that a row does not have.
    pub fn unpacked(&self, xs: &Matrix) -> Result<Memory> {
        let width = xs.width;
        let unpacked = self.gpu.alloc(self.layout.n * self.layout.t * width)?;
        let arguments: [&[Argument]; 3] = [&[xs.row(0), unpacked.at(0)], &self.batch(), &[width.into()]];
        self.launch_steps("unpack_steps", self.layout.t, self.layout.n * width, &arguments)?;
        Ok(unpacked)
    }

    /// h and c from (N, H) into the first step's rows, or to the last states of rows without steps.
    pub fn start(&self, from_to_last: [[Argument; 2]; 3], h_half: Argument) -> Result<()> {
        let Layout { n, t, h, .. } = *self.layout;
        let sizes = [h_half, self.table_address(), n.into(), t.into(), h.into()];
        self.launch("start_states", n * h, &[&from_to_last.concat(), &sizes])
    }

    /// Gradients of the first h and c (N, H) from those of the sorted rows, or from those of the last ones.
    pub fn start_gradients(&self, from_last_to: [[Argument; 2]; 3]) -> Result<()> {
        let Layout { n, t, h, .. } = *self.layout;
        let sizes = [self.table_address(), n.into(), t.into(), h.into()];
        self.launch("start_gradients", n * h, &[&from_last_to.concat(), &sizes])
    }

    /// How many rows have a step.
    pub fn active(&self, step: usize) -> usize {
        self.layout.starts.get(step + 1).map_or(0, |end| end - self.layout.starts[step])
    }

    /// The gate kernel of a step.
    pub fn step(&self, kernel: &'static str, step: usize, arguments: &[Argument]) -> Result<()> {
        let (active, next) = (self.active(step), self.active(step + 1));
        let sizes = [step.into(), active.into(), next.into(), self.layout.h.into()];
        self.launch(kernel, active * self.layout.h, &[arguments, &self.batch(), &sizes])
    }

    /// dW (out, in) = dYᵀ X for dY (R, out) and X (R, in).
    pub fn weight(&self, dys: &Matrix, xs: &Matrix) -> Result<Memory> {
        let (out, input, packed) = (dys.width, xs.width, self.layout.packed);
        if packed == 0 {
            return self.gpu.zeros(out * input);
        }
        let weight = self.matrix(out, input)?;
        self.gpu.multiply(
            (out, input, packed),
            Side::Transposed(dys.rows(0)),
            Side::Plain(xs.rows(0)),
            weight.rows(0),
            false,
        )?;
        Ok(weight.memory)
    }

    pub fn table_address(&self) -> Argument {
        self.table.map_or(NULL, |table| table.at(0))
    }

    /// What `Batch` is made of.
    pub fn batch(&self) -> [Argument; 4] {
        let Layout { n, t, reverse, .. } = *self.layout;
        [self.table_address(), n.into(), t.into(), reverse.into()]
    }

    /// A kernel with a thread for each value.
    fn launch(&self, kernel: &'static str, values: usize, arguments: &[&[Argument]]) -> Result<()> {
        self.gpu.launch_each(&MODULE, kernel, values, &arguments.concat())
    }

    /// A kernel with a thread for each value of each step, or nothing where there are none.
    fn launch_steps(&self, kernel: &'static str, steps: usize, values: usize, arguments: &[&[Argument]]) -> Result<()> {
        if steps * values == 0 {
            return Ok(());
        }
        self.gpu.launch(&Launch::new(&MODULE, kernel, (steps, values.div_ceil(THREADS)), &arguments.concat()))
    }
}
