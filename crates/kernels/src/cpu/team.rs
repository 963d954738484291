//! Fork-join over phases: threads that walk through one computation, with a barrier after each phase.
//!
//! A recurrence is a long row of short pieces of work, each of which needs the one before. Handing each piece to the
//! thread pool costs more than the piece; a team is called once, and its members meet after every phase by spinning.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Turns of a spinning wait before the thread lets others run.
const PATIENCE: usize = 4096;

/// How many members pay for phases of this much work: all threads from `enough` on.
pub fn members(work: usize, enough: usize) -> usize {
    if work < enough { 1 } else { rayon::current_num_threads() }
}

/// Runs `work(phase, chunk)` for all of `chunks(phase)` chunks of each of `phases` phases; no chunk starts before the
/// phase before is done.
///
/// The caller works too and needs nobody: members come from rayon's pool when one is free, and a chunk belongs to whoever
/// takes it first. Each member begins with its own share of the chunks, the same in every phase, so that what it read
/// stays in its cache.
pub fn run(members: usize, phases: usize, chunks: impl Fn(usize) -> usize + Sync, work: impl Fn(usize, usize) + Sync) {
    if members <= 1 || phases == 0 {
        for phase in 0..phases {
            (0..chunks(phase)).for_each(|chunk| work(phase, chunk));
        }
        return;
    }
    let count = || AtomicUsize::new(0);
    let team = Team {
        members,
        taken: (0..phases * members).map(|_| count()).collect(),
        done: (0..phases).map(|_| count()).collect(),
        broken: AtomicBool::new(false),
    };
    rayon::in_place_scope(|scope| {
        for member in 1..members {
            let (team, chunks, work) = (&team, &chunks, &work);
            scope.spawn(move |_| team.walk(member, chunks, work));
        }
        team.walk(0, &chunks, &work);
    });
}

struct Team {
    members: usize,
    /// For each phase and member, how many chunks of the member's share somebody has taken.
    taken: Vec<AtomicUsize>,
    /// For each phase, how many chunks are done.
    done: Vec<AtomicUsize>,
    /// Whether a member panicked: the others then stop, and the panic reaches the caller through rayon.
    broken: AtomicBool,
}

impl Team {
    fn walk(&self, member: usize, chunks: &(impl Fn(usize) -> usize + Sync), work: &(impl Fn(usize, usize) + Sync)) {
        let alarm = Alarm(&self.broken);
        for (phase, done) in self.done.iter().enumerate() {
            let total = chunks(phase);
            for owner in (member..self.members).chain(0..member) {
                let (start, end) = (owner * total / self.members, (owner + 1) * total / self.members);
                let taken = &self.taken[phase * self.members + owner];
                loop {
                    let chunk = start + taken.fetch_add(1, Ordering::Relaxed);
                    if chunk >= end {
                        break;
                    }
                    work(phase, chunk);
                    done.fetch_add(1, Ordering::Release);
                }
            }
            let mut turns = 0;
            while done.load(Ordering::Acquire) < total {
                if self.broken.load(Ordering::Relaxed) {
                    return;
                }
                turns += 1;
                if turns < PATIENCE { std::hint::spin_loop() } else { std::thread::yield_now() }
            }
        }
        std::mem::forget(alarm);
    }
}

/// Tells the team when it is dropped by a panic.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A slice that the members of a team, or the tasks of a parallel loop, read and write in turns; that of [`filled`] holds no values
/// until somebody writes them.
pub struct Shared<'a> {
    start: *mut f32,
    count: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a mutable borrow of floats, which may go to another thread.
unsafe impl Send for Shared<'_> {}
// SAFETY: through a shared reference floats are reached by `read`, `write` and `rows` alone, whose callers promise that nobody reads or
// writes at the same time what one of them writes.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// Shares a slice for as long as it is borrowed.
    pub fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), count: slice.len(), slice: PhantomData }
    }

    /// `count` values from `start` on.
    ///
    /// # Safety
    /// They have been written, and nobody writes them as long as the result is in use.
    pub unsafe fn read(&self, start: usize, count: usize) -> &[f32] {
        assert!(start <= self.count && count <= self.count - start);
        // SAFETY: the assertion keeps them within the slice, which is borrowed for longer than the result; the caller promises that they
        // have been written and that nobody writes them meanwhile.
        unsafe { std::slice::from_raw_parts(self.start.add(start), count) }
    }

    /// `count` values from `start` on.
    ///
    /// # Safety
    /// Nobody else reads or writes them as long as the result is in use, and what has not been written is not read.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub unsafe fn write(&self, start: usize, count: usize) -> &mut [f32] {
        assert!(start <= self.count && count <= self.count - start);
        // SAFETY: the assertion keeps them within the slice, which is borrowed for longer than the result; the caller promises that nobody
        // else reads or writes them meanwhile.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), count) }
    }

    /// `count` rows of `width` values, the first at `start` and each `stride` after the one before.
    ///
    /// # Safety
    /// Nobody else reads or writes these rows as long as the result is in use; what lies between them may be anyone's.
    pub unsafe fn rows(&self, start: usize, stride: usize, (count, width): (usize, usize)) -> SharedRows<'_> {
        SharedRows { shared: self, start, stride, count, width }
    }
}

/// `shared` of a struct of vectors `Struct<S = Vec<f32>>`: the same struct of [`Shared`], for as long as it is borrowed.
macro_rules! share {
    ($name:ident { $($field:ident),+ }) => {
        impl $name {
            fn shared(&mut self) -> $name<$crate::cpu::team::Shared<'_>> {
                $name { $($field: $crate::cpu::team::Shared::new(&mut self.$field)),+ }
            }
        }
    };
}
pub(crate) use share;

/// Some rows of a [`Shared`], to be written.
pub struct SharedRows<'a> {
    shared: &'a Shared<'a>,
    start: usize,
    stride: usize,
    count: usize,
    width: usize,
}

impl SharedRows<'_> {
    /// Values of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Writes the values of a row from the `first` on.
    #[inline(always)]
    pub fn write(&mut self, row: usize, first: usize, values: &[f32]) {
        assert!(row < self.count && first <= self.width && values.len() <= self.width - first);
        // SAFETY: these values are of one of the rows, as was asserted, which by the promise that `rows` was given nobody else touches;
        // they are written and not read.
        unsafe { self.shared.write(self.start + row * self.stride + first, values.len()).copy_from_slice(values) };
    }
}

/// A vector of `count` values that `fill` writes.
///
/// It is for results that are written in pieces that do not lie together; of all others [`crate::cpu::fill`] makes vectors without a promise.
///
/// # Safety
/// `fill` writes all of them and reads none before.
pub unsafe fn filled(count: usize, fill: impl FnOnce(&Shared)) -> Vec<f32> {
    let mut values: Vec<f32> = Vec::with_capacity(count);
    fill(&Shared { start: values.as_mut_ptr(), count, slice: PhantomData });
    // SAFETY: the vector was made with room for `count` values, and the caller promises that `fill` has written them.
    unsafe { values.set_len(count) };
    values
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    #[test]
    fn every_chunk_is_done_once_and_after_the_phase_before() {
        let phases = 500;
        let log: Vec<AtomicUsize> = (0..phases).map(|_| AtomicUsize::new(0)).collect();
        run(
            3,
            phases,
            |phase| phase % 7,
            |phase, chunk| {
                assert!(chunk < phase % 7);
                if phase > 0 {
                    assert_eq!(log[phase - 1].load(Ordering::SeqCst), (1 << ((phase - 1) % 7)) - 1);
                }
                assert_eq!(log[phase].fetch_or(1 << chunk, Ordering::SeqCst) >> chunk & 1, 0);
            },
        );
        for (phase, bits) in log.iter().enumerate() {
            assert_eq!(bits.load(Ordering::SeqCst), (1 << (phase % 7)) - 1);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let broken = || {
            run(
                2,
                100,
                |_| 8,
                |phase, chunk| {
                    if (phase, chunk) == (50, 7) {
                        panic!("as planned")
                    }
                },
            )
        };
        assert!(std::panic::catch_unwind(broken).is_err());
    }

    #[test]
    fn teams_work_beside_and_within_each_other() {
        let total = AtomicUsize::new(0);
        let inner = || run(2, 20, |_| 3, |_, _| _ = total.fetch_add(1, Ordering::Relaxed));
        rayon::scope(|scope| (0..8).for_each(|_| scope.spawn(|_| run(2, 10, |_| 2, |_, _| inner()))));
        assert_eq!(total.into_inner(), 8 * 10 * 2 * 20 * 3);
    }
}
