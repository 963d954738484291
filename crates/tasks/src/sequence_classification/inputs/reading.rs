//! Files that are read some at a time, and how far that has come.

use rayon::prelude::*;

/// How many files are read before it is told how far it has come.
const AT_A_TIME: usize = 64;

/// A set that is being read.
pub(super) struct Reading<'a> {
    done: usize,
    total: usize,
    progress: &'a mut dyn FnMut(usize, usize),
}

impl<'a> Reading<'a> {
    /// Of so many files; `progress` is told how many of how many are read.
    pub fn new(total: usize, progress: &'a mut dyn FnMut(usize, usize)) -> Self {
        Self { done: 0, total, progress }
    }

    /// What `read` makes of each, in their order.
    pub fn read<T: Sync, R: Send>(&mut self, files: &[T], read: impl Fn(&T) -> R + Sync) -> Vec<R> {
        let mut all = Vec::with_capacity(files.len());
        for files in files.chunks(AT_A_TIME) {
            all.par_extend(files.par_iter().map(&read));
            self.done += files.len();
            (self.progress)(self.done, self.total);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_read_in_order_and_it_is_told_how_far() {
        let mut told = Vec::new();
        let mut progress = |done, total| told.push((done, total));
        let mut reading = Reading::new(150, &mut progress);
        let first: Vec<usize> = (0..100).collect();
        assert_eq!(reading.read(&first, |number| number + 1), (1..=100).collect::<Vec<_>>());
        assert_eq!(reading.read(&first[..50], |number| *number).len(), 50);
        assert_eq!(told, [(64, 150), (100, 150), (150, 150)]);
    }
}
