//! Batches on their way to a CUDA device: through pinned memory, on a stream of their own, while the device is at the batch before.
//!
//! ```text
//! host                  copies batch n + 1 into a slot's pinned memory and goes on
//! stream of the copies  pinned memory → the slot's memory on the device, once batch n − 1 has left it
//! stream of the work    … batch n …, then the slot's memory → a fresh tensor, once it has come
//! ```
//!
//! Memory of the second stream's own would be freed while the first one still reads it; so tensors are the first one's, and the copy on the
//! device, a few microseconds, pays for that.

use candle_core::cuda_backend::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::sys::CUevent_flags;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaSlice, CudaStream, DriverError, PinnedHostSlice};
use candle_core::{Error, Result};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Copies that can be on their way at a time.
const SLOTS: usize = 2;

/// From so many values on, 64 KiB, a copy from ordinary memory lets the host wait for the device.
pub const LARGE: usize = (64 << 10) / size_of::<f32>();

/// What copies to one device go through.
#[derive(Default)]
pub struct Uploads(Mutex<Option<Ring>>);

struct Ring {
    copies: Arc<CudaStream>,
    /// The next one to take is the first.
    slots: VecDeque<Slot>,
}

struct Slot {
    pinned: PinnedHostSlice<f32>,
    staged: CudaSlice<f32>,
    /// Behind the copy to the device.
    arrived: CudaEvent,
    /// Behind the copy on the device, at first behind the allocation.
    left: CudaEvent,
}

impl Uploads {
    /// Values in memory of the device, for work on its own stream; the host does not wait for that.
    pub fn upload(&self, values: &[f32], device: &CudaDevice) -> Result<CudaSlice<f32>> {
        let work = device.cuda_stream();
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Ring { copies, slots } = match &mut *ring {
            Some(ring) => ring,
            empty => empty.insert(Ring::new(&work)?),
        };
        let taken = if slots.len() < SLOTS { None } else { slots.pop_front() };
        let fitting = taken.filter(|slot| slot.pinned.len() >= values.len());
        let mut slot = fitting.map_or_else(|| Slot::new(values.len(), &work), Ok)?;
        let tensor = slot.carry(values, copies, &work).map_err(Error::wrap)?;
        slots.push_back(slot);
        Ok(tensor)
    }
}

impl Ring {
    fn new(work: &CudaStream) -> Result<Self> {
        let copies = work.context().new_stream().map_err(Error::wrap)?;
        Ok(Self { copies, slots: VecDeque::new() })
    }
}

impl Slot {
    /// Of sizes that differ a little, as those of sentences, one slot serves all.
    fn new(count: usize, work: &Arc<CudaStream>) -> Result<Self> {
        let (context, count) = (work.context(), count.next_power_of_two());
        let event = || context.new_event(Some(CUevent_flags::CU_EVENT_DISABLE_TIMING)).map_err(Error::wrap);
        // SAFETY: both are written before they are read.
        let (pinned, staged) = unsafe { (context.alloc_pinned(count), work.alloc(count)) };
        let (pinned, staged) = (pinned.map_err(Error::wrap)?, staged.map_err(Error::wrap)?);
        let slot = Self { pinned, staged, arrived: event()?, left: event()? };
        slot.left.record(work).map_err(Error::wrap)?;
        Ok(slot)
    }

    fn carry(
        &mut self,
        values: &[f32],
        copies: &Arc<CudaStream>,
        work: &Arc<CudaStream>,
    ) -> std::result::Result<CudaSlice<f32>, DriverError> {
        self.wait()?;
        let pinned = &mut self.pinned.as_mut_slice()?[..values.len()];
        pinned.copy_from_slice(values);
        copies.wait(&self.left)?;
        copies.memcpy_htod(&*pinned, &mut self.staged.slice_mut(..values.len()))?;
        self.arrived.record(copies)?;
        // SAFETY: it is written before any work that follows on this stream.
        let mut tensor = unsafe { work.alloc(values.len()) }?;
        work.wait(&self.arrived)?;
        work.memcpy_dtod(&self.staged.slice(..values.len()), &mut tensor)?;
        self.left.record(work)?;
        Ok(tensor)
    }

    /// Until the last copy to the device is done; that was two batches ago.
    fn wait(&self) -> std::result::Result<(), DriverError> {
        if self.arrived.try_is_complete()? { Ok(()) } else { self.arrived.synchronize() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Where this fails the device is lost, and so is the copy.
        let _ = self.wait();
    }
}
