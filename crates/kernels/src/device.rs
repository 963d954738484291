//! A CUDA device as all of this project opens it.

use candle_core::{Device, Result, Tensor};

/// Opens a CUDA device: one stream for all threads, no events for each tensor, and a pool that keeps freed memory.
///
/// candle's own [`Device::new_cuda`] has a stream for each thread, which nothing orders, makes two events for each tensor, and gives freed
/// memory back to the driver whenever the host waits.
///
/// # Errors
/// When there is no such device, or the program was built without the feature `cuda`.
pub fn cuda(ordinal: usize) -> Result<Device> {
    let device = Device::new_cuda_with_stream(ordinal)?;
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = &device {
        // SAFETY: every tensor of this device is used on its one stream.
        unsafe { device.disable_event_tracking() };
        keep_freed_memory(device)?;
    }
    Ok(device)
}

/// A batch on a device: [`Tensor::to_device`], but sooner.
///
/// On a device of [`cuda`] f32 values of 64 KiB and more go through pinned memory on a stream of their own: the host goes on at once, and the copy is
/// done while the device is at the batch before. Otherwise the host would wait for all work that it has asked for.
/// Values that gradients go back to take the other way.
///
/// # Errors
/// When memory cannot be had.
pub fn upload(batch: &Tensor, device: &Device) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if let (Device::Cpu, Device::Cuda(cuda), false) = (batch.device(), device, batch.track_op())
        && let Some(tensor) = crate::cuda::upload(batch, cuda)?
    {
        return Ok(tensor);
    }
    batch.to_device(device)
}

/// The pool of the device gives nothing back to the driver.
#[cfg(feature = "cuda")]
fn keep_freed_memory(device: &candle_core::CudaDevice) -> Result<()> {
    use candle_core::Error;
    use candle_core::cuda_backend::cudarc::driver::{result, sys};

    let (device, mut threshold) = (device.cuda_stream().context().cu_device(), u64::MAX);
    let release = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the device is open, and the attribute is a number of 64 bits.
    unsafe {
        let pool = result::device::get_default_mem_pool(device).map_err(Error::wrap)?;
        result::mem_pool::set_attribute(pool, release, (&raw mut threshold).cast()).map_err(Error::wrap)
    }
}
