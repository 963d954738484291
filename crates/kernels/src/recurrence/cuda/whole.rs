//! A whole sequence as one launch of the whole grid, which no step has to wait for the host in: the LSTM with products of half precision.

use super::MODULE;
use super::run::Run;
use crate::cuda::{Argument, Launch};
use candle_core::Result;

/// Units of a block, and its warps, as the kernels have them.
const UNITS: usize = 8;
const WARPS: usize = 8;

/// Bytes of shared memory that a block of a recent card can ask for.
const SHARED: usize = 227 << 10;

/// The kernels of a cell's whole sequence, there and back.
#[derive(Clone, Copy)]
pub struct Whole {
    pub forward: &'static str,
    pub backward: &'static str,
    /// G.
    pub gates: usize,
}

impl Whole {
    /// Whether the kernels serve these sizes: all blocks run at once, each with its part of W_hh in shared memory.
    pub fn serves(self, run: &Run) -> bool {
        let (h, n) = (run.layout.h, run.layout.n);
        let blocks = run.gpu.whole_grid();
        let fits = self.forward_bytes(h).max(self.backward_bytes(h, n)) <= SHARED;
        run.gpu.half().is_some() && h.is_multiple_of(16) && h / UNITS <= blocks && fits && run.layout.count() > 0
    }

    /// Sums of all warps and the rows of W_hh.
    fn forward_bytes(self, h: usize) -> usize {
        let width = self.gates * UNITS;
        4 * WARPS * 16 * width + 2 * width * (h + 8)
    }

    /// Sums of all warps, the gradients of h, and the columns of W_hh.
    fn backward_bytes(self, h: usize, n: usize) -> usize {
        4 * UNITS * (WARPS * 16 + n) + 2 * UNITS * (self.gates * h + 8)
    }

    /// All steps.
    pub fn forward(self, run: &Run, arguments: &[Argument]) -> Result<()> {
        self.launch(run, self.forward, self.forward_bytes(run.layout.h), arguments)
    }

    /// All steps back.
    pub fn backward(self, run: &Run, arguments: &[Argument]) -> Result<()> {
        self.launch(run, self.backward, self.backward_bytes(run.layout.h, run.layout.n), arguments)
    }

    fn launch(self, run: &Run, kernel: &'static str, shared: usize, arguments: &[Argument]) -> Result<()> {
        let arrived = run.gpu.zeros(1)?;
        let sizes = [run.layout.count().into(), run.layout.h.into()];
        run.gpu.launch(&Launch {
            module: &MODULE,
            kernel,
            grid: (run.layout.h / UNITS, 1),
            threads: 32 * WARPS,
            shared,
            whole_grid: true,
            arguments: &[arguments, &[arrived.at(0)], &run.batch(), &sizes].concat(),
        })
    }
}
