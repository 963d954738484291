//! Slices that several threads write in disjoint pieces.

use std::marker::PhantomData;

/// A slice that the members of a team, or the tasks of a parallel loop, read and write in turns; that of [`fill`] holds no values until
/// somebody writes them.
pub struct DisjointSlice<'a> {
    start: *mut f32,
    count: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a mutable borrow of floats, which may go to another thread.
unsafe impl Send for DisjointSlice<'_> {}
// SAFETY: through a shared reference floats are reached by `read`, `write` and `rows` alone, whose callers promise that nobody reads or
// writes at the same time what one of them writes.
unsafe impl Sync for DisjointSlice<'_> {}

impl<'a> DisjointSlice<'a> {
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
    /// Nobody else reads or writes these rows as long as the result is in use; what is between them may be anyone's.
    pub unsafe fn rows(&self, start: usize, stride: usize, count: usize, width: usize) -> DisjointRows<'_> {
        DisjointRows { shared: self, start, stride, count, width }
    }
}

/// `shared` of a struct of vectors `Struct<S = Vec<f32>>`: the same struct of [`DisjointSlice`], for as long as it is borrowed.
macro_rules! share {
    ($name:ident { $($field:ident),+ }) => {
        impl $name {
            fn shared(&mut self) -> $name<$crate::cpu::disjoint::DisjointSlice<'_>> {
                $name { $($field: $crate::cpu::disjoint::DisjointSlice::new(&mut self.$field)),+ }
            }
        }
    };
}
pub(crate) use share;

/// Some rows of a [`DisjointSlice`], to be written.
pub struct DisjointRows<'a> {
    shared: &'a DisjointSlice<'a>,
    start: usize,
    stride: usize,
    count: usize,
    width: usize,
}

impl DisjointRows<'_> {
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

/// A vector of `count` values that `write` writes.
///
/// It is for results that are written in scattered pieces; [`crate::cpu::fill`] makes all others safely.
///
/// # Safety
/// `write` writes all of them and reads none before.
pub unsafe fn fill(count: usize, write: impl FnOnce(&DisjointSlice)) -> Vec<f32> {
    let mut values: Vec<f32> = Vec::with_capacity(count);
    write(&DisjointSlice { start: values.as_mut_ptr(), count, slice: PhantomData });
    // SAFETY: the vector was made with room for `count` values, and the caller promises that `write` has written them.
    unsafe { values.set_len(count) };
    values
}
