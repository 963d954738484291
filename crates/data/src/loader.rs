//! Worker threads that work ahead of whoever consumes, and keep the order.

use crate::error::{Error, one_line};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How many threads work, and how far ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderConfig {
    /// Worker threads; with 0 every job is done by the consumer's own thread when it is asked for.
    pub workers: usize,
    /// How many results may be under way or wait at most; at least one a worker is useful.
    pub prefetch: usize,
}

impl Default for LoaderConfig {
    /// One worker for each processor but one, at most eight, and twice as many results ahead.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = processors.saturating_sub(1).clamp(1, 8);
        Self { workers, prefetch: 2 * workers }
    }
}

/// An iterator over the results of a function on a list of jobs, in the jobs' order, computed ahead by worker threads.
///
/// The results do not depend on the number of workers. A job whose function panics gives [`Error::Panic`] in its place,
/// and the others go on. Dropping the loader drops the jobs that were not begun and waits for those that were.
pub struct Loader<J, R, E> {
    shared: Arc<Shared<J, R, E>>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared<J, R, E> {
    work: Box<dyn Fn(J) -> Result<R, E> + Send + Sync>,
    queue: Mutex<Queue<J, R, E>>,
    /// Told when the consumer took a result, or left.
    room: Condvar,
    /// Told when a result is there.
    done: Condvar,
    prefetch: usize,
}

struct Queue<J, R, E> {
    jobs: VecDeque<J>,
    begun: usize,
    taken: usize,
    results: HashMap<usize, Result<R, E>>,
    closed: bool,
}

impl<J, R, E> Loader<J, R, E>
where
    J: Send + 'static,
    R: Send + 'static,
    E: From<Error> + Send + 'static,
{
    /// Begins to work on `jobs` with `work`, which runs on several threads at once.
    pub fn new(
        jobs: impl IntoIterator<Item = J>,
        config: LoaderConfig,
        work: impl Fn(J) -> Result<R, E> + Send + Sync + 'static,
    ) -> Self {
        let jobs: VecDeque<J> = jobs.into_iter().collect();
        let count = config.workers.min(jobs.len());
        let queue = Queue { jobs, begun: 0, taken: 0, results: HashMap::new(), closed: false };
        let shared = Arc::new(Shared {
            work: Box::new(work),
            queue: Mutex::new(queue),
            room: Condvar::new(),
            done: Condvar::new(),
            prefetch: config.prefetch.max(1),
        });
        // Where the system gives no more threads, the consumer's own thread does the work.
        let workers = (0..count).map_while(|index| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("loader-{index}")).spawn(move || shared.serve()).ok()
        });
        Self { workers: workers.collect(), shared }
    }
}

impl<J, R, E: From<Error>> Shared<J, R, E> {
    /// A worker's life: waits for room, takes the next job, does it outside the lock.
    fn serve(&self) {
        let mut queue = self.lock();
        loop {
            while !queue.closed && !queue.jobs.is_empty() && queue.begun >= queue.taken + self.prefetch {
                queue = self.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            let Some((index, job)) = queue.begin() else { return };
            drop(queue);
            let result = self.run(index, job);
            queue = self.lock();
            queue.results.insert(index, result);
            self.done.notify_all();
        }
    }

    fn run(&self, index: usize, job: J) -> Result<R, E> {
        catch_unwind(AssertUnwindSafe(|| (self.work)(job))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
            Err(Error::Panic { job: index, message: one_line(text.unwrap_or("it did not say why")) }.into())
        })
    }

    fn lock(&self) -> MutexGuard<'_, Queue<J, R, E>> {
        // No job runs under the lock, so the queue is whole even if a thread died with it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J, R, E> Queue<J, R, E> {
    fn begin(&mut self) -> Option<(usize, J)> {
        if self.closed {
            return None;
        }
        let job = self.jobs.pop_front()?;
        self.begun += 1;
        Some((self.begun - 1, job))
    }
}

impl<J, R, E: From<Error>> Iterator for Loader<J, R, E> {
    type Item = Result<R, E>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut queue = self.shared.lock();
        if self.workers.is_empty() {
            let (index, job) = queue.begin()?;
            queue.taken += 1;
            drop(queue);
            return Some(self.shared.run(index, job));
        }
        loop {
            let wanted = queue.taken;
            if let Some(result) = queue.results.remove(&wanted) {
                queue.taken += 1;
                self.shared.room.notify_all();
                return Some(result);
            }
            if queue.jobs.is_empty() && wanted == queue.begun {
                return None;
            }
            queue = self.shared.done.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let queue = self.shared.lock();
        let left = queue.begun - queue.taken + queue.jobs.len();
        (left, Some(left))
    }
}

impl<J, R, E: From<Error>> ExactSizeIterator for Loader<J, R, E> {}

impl<J, R, E> Drop for Loader<J, R, E> {
    fn drop(&mut self) {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.room.notify_all();
        for worker in self.workers.drain(..) {
            // A worker's panics were caught; there is nothing to hear from it.
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn squares(config: LoaderConfig) -> Vec<usize> {
        // Early jobs take longest, so that results come out of order unless the loader keeps it.
        let work = |job: usize| {
            std::thread::sleep(Duration::from_micros(500 - 5 * job as u64));
            Ok::<_, Error>(job * job)
        };
        Loader::new(0..100, config, work).map(|result| result.unwrap()).collect()
    }

    #[test]
    fn order_and_results_do_not_depend_on_the_workers() {
        let wanted: Vec<usize> = (0..100).map(|job| job * job).collect();
        for (workers, prefetch) in [(0, 1), (1, 1), (1, 8), (3, 2), (4, 16), (200, 1000)] {
            assert_eq!(squares(LoaderConfig { workers, prefetch }), wanted, "{workers} workers");
        }
        assert_eq!(Loader::new(Vec::<u8>::new(), LoaderConfig::default(), Ok::<_, Error>).count(), 0);
    }

    #[test]
    fn never_more_than_prefetch_results_are_ahead() {
        let begun = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&begun);
        let mut loader = Loader::new(0..50usize, LoaderConfig { workers: 4, prefetch: 6 }, move |job| {
            seen.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Error>(job)
        });
        for taken in 0..50 {
            std::thread::sleep(Duration::from_millis(1));
            assert!(begun.load(Ordering::SeqCst) <= taken + 6);
            assert_eq!(loader.len(), 50 - taken);
            assert_eq!(loader.next().unwrap().unwrap(), taken);
        }
        assert!(loader.next().is_none());
    }

    #[test]
    fn a_panic_is_the_error_of_its_job_alone() {
        for workers in [0, 3] {
            let results: Vec<_> = Loader::new(0..10, LoaderConfig { workers, prefetch: 4 }, |job: i32| {
                assert!(job != 4, "four is\nbroken");
                Ok::<_, Error>(job)
            })
            .collect();
            assert_eq!(results.len(), 10);
            for (job, result) in results.into_iter().enumerate() {
                match result {
                    Ok(value) => assert_eq!(value, job as i32),
                    Err(error) => assert_eq!(error.to_string(), "job 4: the worker panicked: four is broken"),
                }
            }
        }
    }

    #[test]
    fn dropping_the_loader_ends_its_threads() {
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let mut loader = Loader::new(0..10_000, LoaderConfig { workers: 4, prefetch: 8 }, move |job: i32| {
            let _ = &held;
            Ok::<_, Error>(job)
        });
        assert_eq!(loader.next().unwrap().unwrap(), 0);
        drop(loader);
        assert_eq!(Arc::strong_count(&alive), 1, "a thread still holds the function");
    }
}
