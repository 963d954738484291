//! Safe parallel initialisation of vectors, without a pass that clears them before.

use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A vector of `count` values, all of which `write` writes.
pub fn fill(count: usize, write: impl FnOnce(&mut Spare)) -> Vec<f32> {
    let mut values = Vec::with_capacity(count);
    let mut spare = Spare::new(&mut values.spare_capacity_mut()[..count]);
    write(&mut spare);
    spare.assert_full();
    // SAFETY: the room of all `count` values was `spare`'s, and the assertion says that each has been written.
    unsafe { values.set_len(count) };
    values
}

/// A vector of `count` values in chunks of `size`, of which the last may be shorter: each chunk is written by a task of its own,
/// with its own one of `items`.
pub fn par_fill<I: IndexedParallelIterator>(
    count: usize,
    size: usize,
    items: I,
    write: impl Fn(I::Item, &mut Spare) + Sync,
) -> Vec<f32> {
    fill(count, |spare| spare.par_chunks(size, items, write))
}

/// Room for values, which is written from the first to the last.
pub struct Spare<'a> {
    values: &'a mut [MaybeUninit<f32>],
    /// How many of them have been written.
    written: usize,
}

impl<'a> Spare<'a> {
    fn new(values: &'a mut [MaybeUninit<f32>]) -> Self {
        Self { values, written: 0 }
    }

    #[inline(always)]
    fn assert_full(&self) {
        // Copies, so that what is counted may stay in registers.
        let (written, count) = (self.written, self.values.len());
        assert!(written == count, "{written} of {count} values were written");
    }

    /// What has not been written.
    #[inline(always)]
    pub fn unwritten(&mut self) -> &mut [MaybeUninit<f32>] {
        &mut self.values[self.written..]
    }

    /// Counts the first `count` values of [`Self::unwritten`] as written.
    ///
    /// # Safety
    /// They have been written.
    #[inline(always)]
    pub unsafe fn advance(&mut self, count: usize) {
        self.written += count;
    }

    /// Writes these values.
    #[inline(always)]
    pub fn extend_from_slice(&mut self, values: &[f32]) {
        self.extend_from_slices(std::iter::once(values));
    }

    /// Writes the values of all slices, one after the other.
    #[inline(always)]
    pub fn extend_from_slices<'s>(&mut self, slices: impl Iterator<Item = &'s [f32]>) {
        let mut rest = self.unwritten();
        let whole = rest.len();
        for values in slices {
            let (into, behind) = rest.split_at_mut(values.len());
            // SAFETY: both are as many floats, and `into` overlaps nothing else, since it is borrowed to be written.
            unsafe { into.as_mut_ptr().cast::<f32>().copy_from_nonoverlapping(values.as_ptr(), into.len()) };
            rest = behind;
        }
        let count = whole - rest.len();
        // SAFETY: what is no longer left was written just now.
        unsafe { self.advance(count) };
    }

    /// Writes `count` times the same value, and lends them to be changed.
    #[inline(always)]
    pub fn extend_with(&mut self, count: usize, value: f32) -> &mut [f32] {
        let start = self.written;
        push_each!(self, count, |_i| value);
        let values: *mut [MaybeUninit<f32>] = &mut self.values[start..self.written];
        // SAFETY: these values were written just now, and they are lent for as long as `self` is.
        unsafe { &mut *(values as *mut [f32]) }
    }

    /// Writes all that is left, in chunks of `size`, of which the last may be shorter: each is written by a task of its own, with its
    /// own one of `items`.
    pub fn par_chunks<I: IndexedParallelIterator>(
        &mut self,
        size: usize,
        items: I,
        write: impl Fn(I::Item, &mut Spare) + Sync,
    ) {
        let chunks = self.unwritten().par_chunks_mut(size.max(1));
        let (count, full) = (chunks.len(), AtomicUsize::new(0));
        assert!(items.len() == count, "{} items for {count} chunks", items.len());
        chunks.zip(items).for_each(|(values, item)| {
            let mut spare = Spare::new(values);
            write(item, &mut spare);
            spare.assert_full();
            full.fetch_add(1, Ordering::Relaxed);
        });
        assert!(full.into_inner() == count);
        let rest = self.values.len() - self.written;
        // SAFETY: the chunks are all that was left, and as many tasks as there are chunks, each with one of its own, have asserted that
        // theirs is written.
        unsafe { self.advance(rest) };
    }
}

/// `push_each!(spare, count, |i| value)` writes the next `count` values of a [`Spare`]. The loop is here, and not in a function that
/// takes a closure, because only the body of `vectorised!` is sure to be compiled for wide instructions.
macro_rules! push_each {
    ($spare:expr, $count:expr, |$i:ident| $value:expr) => {{
        let spare: &mut $crate::cpu::fill::Spare = $spare;
        let count: usize = $count;
        let values = &mut spare.unwritten()[..count];
        let mut at = 0;
        while at < count {
            let $i = at;
            values[at].write($value);
            at += 1;
        }
        // A `break` in the expression would come here as well.
        assert!(at == count);
        // SAFETY: the loop goes from 0 to `count`, and counts on only after it has written a value.
        unsafe { spare.advance(count) };
    }};
}
pub(crate) use push_each;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_every_size_are_filled_in_order() {
        for (count, size) in [(0, 3), (1, 1), (7, 3), (9, 3), (1000, 7), (5, 100), (4, 0)] {
            let chunks = (0..usize::div_ceil(count, size.max(1))).into_par_iter();
            let values = par_fill(count, size, chunks, |chunk, spare| {
                let (start, count) = (chunk * size.max(1), spare.unwritten().len());
                push_each!(spare, count, |i| (start + i) as f32);
            });
            assert_eq!(values, (0..count).map(|i| i as f32).collect::<Vec<_>>(), "{count} by {size}");
        }
    }

    #[test]
    fn pieces_follow_each_other() {
        let values = fill(9, |spare| {
            spare.extend_from_slice(&[1.0, 2.0]);
            spare.extend_with(3, 5.0)[1] = 6.0;
            spare.par_chunks(2, (0..2u8).into_par_iter(), |i, spare| spare.extend_with(2, 0.0)[1] = f32::from(i));
        });
        assert_eq!(values, [1.0, 2.0, 5.0, 6.0, 5.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    #[should_panic(expected = "2 of 3 values were written")]
    fn what_was_not_written_is_not_given_out() {
        fill(3, |spare| spare.extend_from_slice(&[1.0, 2.0]));
    }

    #[test]
    #[should_panic(expected = "1 of 2 values were written")]
    fn a_chunk_that_was_not_written_is_not_given_out() {
        par_fill(4, 2, (0..2).into_par_iter(), |chunk, spare| _ = spare.extend_with(2 - chunk, 0.0));
    }

    #[test]
    #[should_panic(expected = "1 items for 2 chunks")]
    fn there_is_an_item_for_each_chunk() {
        par_fill(4, 2, (0..1).into_par_iter(), |_, spare| _ = spare.extend_with(2, 0.0));
    }

    #[test]
    #[should_panic(expected = "at == count")]
    #[allow(clippy::never_loop)]
    fn a_loop_that_is_left_counts_for_nothing() {
        fill(2, |spare| push_each!(spare, 2, |i| if i == 1 { break } else { 0.0 }));
    }
}
