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
    copies: Arc<CudaStream>,
}

impl Uploads {
    /// Values in memory of the device, for work on its own stream; the host does not wait for that. Nothing where there is no memory to go
    /// through.
    pub fn upload(&self, values: &[f32], device: &CudaDevice) -> Result<Option<CudaSlice<f32>>> {
        let work = device.cuda_stream();
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = match &mut *ring {
            Some(ring) => ring,
            empty => empty.insert(Ring::new(&work).map_err(Error::wrap)?),
        };
        let Some(mut slot) = ring.slot(values.len(), &work) else { return Ok(None) };
        let tensor = slot.carry(values, &work).map_err(Error::wrap)?;
        ring.slots.push_back(slot);
        Ok(Some(tensor))
    }
}

impl Ring {
    fn new(work: &CudaStream) -> std::result::Result<Self, DriverError> {
        Ok(Self { copies: work.context().new_stream()?, slots: VecDeque::new() })
    }

    /// One that so many values fit into, if there is memory for it.
    fn slot(&mut self, count: usize, work: &Arc<CudaStream>) -> Option<Slot> {
        let taken = if self.slots.len() < SLOTS { None } else { self.slots.pop_front() };
        taken.filter(|slot| slot.pinned.len() >= count).or_else(|| Slot::new(count, &self.copies, work).ok())
    }
}

impl Slot {
    fn new(count: usize, copies: &Arc<CudaStream>, work: &Arc<CudaStream>) -> std::result::Result<Self, DriverError> {
        /// Values that sizes are multiples of, 1 MiB: batches of sentences differ a little.
        const STEP: usize = (1 << 20) / size_of::<f32>();
        let (context, count) = (work.context(), count.next_multiple_of(STEP));
        let event = || context.new_event(Some(CUevent_flags::CU_EVENT_DISABLE_TIMING));
        // SAFETY: both are written before they are read.
        let (pinned, staged) = unsafe { (context.alloc_pinned(count)?, work.alloc(count)?) };
        let slot = Self { pinned, staged, arrived: event()?, left: event()?, copies: Arc::clone(copies) };
        slot.left.record(work)?;
        Ok(slot)
    }

    fn carry(&mut self, values: &[f32], work: &Arc<CudaStream>) -> std::result::Result<CudaSlice<f32>, DriverError> {
        self.wait()?;
        let (pinned, copies) = (&mut self.pinned.as_mut_slice()?[..values.len()], &self.copies);
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
        self.copies.context().bind_to_thread()?;
        if self.arrived.try_is_complete()? { Ok(()) } else { self.arrived.synchronize() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // An error that something else left behind would be given instead of waiting.
        let _ = self.copies.context().check_err();
        let _ = self.copies.synchronize();
    }
}
