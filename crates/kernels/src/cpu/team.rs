//! Fork-join over phases, with a spinning barrier after each phase.
//!
//! A recurrence is a long sequence of short pieces of work, each of which needs the one before. Handing each piece to the
//! thread pool costs more than the piece; a team is formed once, and waits by spinning after every phase.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Turns of a spinning wait before the thread yields.
const SPINS: usize = 4096;

/// How many members pay for phases of this much work: all threads from `enough` on.
pub fn members(work: usize, enough: usize) -> usize {
    if work < enough { 1 } else { rayon::current_num_threads() }
}

/// Runs `work(phase, chunk)` for all of `chunks(phase)` chunks of each of `phases` phases; no chunk starts before the
/// phase before is done.
///
/// The caller works too and waits for nobody: members come from rayon's pool when one is free, and a chunk belongs to the first
/// that takes it. Each member begins with its own share of the chunks, the same in every phase, so that what it read
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
        let guard = PanicGuard(&self.broken);
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
                if turns < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
            }
        }
        std::mem::forget(guard);
    }
}

/// Tells the team when it is dropped by a panic.
struct PanicGuard<'a>(&'a AtomicBool);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
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
