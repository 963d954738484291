//! Buffers that each thread keeps.

use super::bf16::Pairs;
use super::panel::Line;
use std::cell::RefCell;

/// A thread's buffers, which it keeps from call to call.
#[derive(Default)]
pub struct Scratch {
    pub buffer: Vec<f32>,
    pub lines: Vec<Line>,
    pub sums: Vec<f32>,
    /// A block of A and a part of a panel in bf16.
    pub a: Vec<Pairs>,
    pub pairs: Vec<Pairs>,
}

/// Runs `work` with what this thread keeps.
pub fn with_scratch(work: impl FnOnce(&mut Scratch)) {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(work);
}
