//! candle's CUDA device as [`Gpu`]: allocation and launches on its stream, products by cuBLAS.

use super::uploads::{self, Uploads};
use super::{Argument, Gpu, Half, Launch, Memory, Module, Product, Reading, Side};
use crate::node::Value;
use crate::precision::{Precision, float32_matmul_precision};
use crate::recurrence::whole_sequences;
use candle_core::cuda_backend::cudarc::cublas::{result, sys};
use candle_core::cuda_backend::cudarc::driver::sys::{CUdevice_attribute, CUevent_flags, CUfunction_attribute};
use candle_core::cuda_backend::cudarc::driver::{
    CudaEvent, CudaSlice, CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PinnedHostSlice, PushKernelArg,
};
use candle_core::cuda_backend::{CudaDevice, CudaStorage, DeviceId};
use candle_core::op::BackpropOp;
use candle_core::{DType, Error, Result, Shape, Storage, Tensor};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Bytes of shared memory that a block has without asking.
const WITHOUT_ASKING: usize = 48 << 10;

/// A device of candle's.
struct Cuda {
    device: CudaDevice,
    pinned: Arc<Pinned>,
    uploads: Uploads,
    /// What sides of products are rounded to, where that is not the process's precision.
    half: Option<Option<Half>>,
}

/// Host memory that no copy is on its way to.
type Pinned = Mutex<Vec<Landing>>;

/// Host memory into which the device copies, and the event behind the last copy.
struct Landing {
    host: PinnedHostSlice<u32>,
    event: CudaEvent,
}

impl Landing {
    fn new(stream: &CudaStream, count: usize) -> Result<Self> {
        let context = stream.context();
        let untimed = Some(CUevent_flags::CU_EVENT_DISABLE_TIMING);
        // SAFETY: it is read once the event behind a copy to it has come.
        let host = unsafe { context.alloc_pinned_with_flags(count, 0) }.map_err(Error::wrap)?;
        Ok(Self { host, event: context.new_event(untimed).map_err(Error::wrap)? })
    }
}

/// A copy on its way, whose memory is free again once it has come.
struct Flight {
    landing: Option<Landing>,
    pool: Arc<Pinned>,
}

impl Flight {
    /// Waits for the words.
    fn landed(&self) -> Result<Vec<u32>> {
        let Some(Landing { host, event }) = &self.landing else { candle_core::bail!("a copy has no destination") };
        event.synchronize().map_err(Error::wrap)?;
        Ok(host.as_slice().map_err(Error::wrap)?.to_vec())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(landing) = self.landing.take()
            && landing.event.synchronize().is_ok()
        {
            self.pool.lock().unwrap_or_else(PoisonError::into_inner).push(landing);
        }
    }
}

/// The device as [`Gpu`], one for each as long as the program runs.
pub fn of(device: &CudaDevice) -> &'static dyn Gpu {
    known(device)
}

fn known(device: &CudaDevice) -> &'static Cuda {
    static DEVICES: OnceLock<Mutex<HashMap<DeviceId, &'static Cuda>>> = OnceLock::new();
    let mut devices = DEVICES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    *devices.entry(device.id()).or_insert_with(|| Box::leak(Box::new(Cuda::new(device, None))))
}

/// A tensor of the host on the device, where it is one that the host would wait for. A device whose tensors have events is left alone: with a
/// second stream every operation would record and wait for them.
pub fn upload(tensor: &Tensor, device: &CudaDevice) -> Result<Option<Tensor>> {
    if tensor.dtype() != DType::F32 || tensor.elem_count() < uploads::LARGE || device.is_event_tracking() {
        return Ok(None);
    }
    let contiguous = tensor.contiguous()?;
    let (storage, layout) = contiguous.storage_and_layout();
    let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else { return Ok(None) };
    let Some(slice) = known(device).uploads.upload(&storage.as_slice::<f32>()?[start..end], device)? else {
        return Ok(None);
    };
    let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(slice, device.clone()));
    Ok(Some(Tensor::from_storage(storage, tensor.shape(), BackpropOp::none(), false)))
}

/// The device with sides of products rounded to this, whatever the process's precision is.
#[cfg(any(test, feature = "emulator"))]
pub fn with_half(device: &CudaDevice, half: Option<Half>) -> &'static dyn Gpu {
    Box::leak(Box::new(Cuda::new(device, Some(half))))
}

/// How many multiprocessors a device has.
pub fn multiprocessors(device: &CudaDevice) -> Result<usize> {
    let stream = device.cuda_stream();
    let count = stream.context().attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    usize::try_from(count.map_err(Error::wrap)?).map_err(Error::wrap)
}

/// A struct of 16 `int`, as it is passed to a kernel.
#[repr(transparent)]
struct Ints([i32; 16]);

// SAFETY: it is plain numbers.
unsafe impl DeviceRepr for Ints {}

impl Ints {
    fn of(values: &[i32; 16]) -> &Self {
        // SAFETY: it has the layout of what is in it.
        unsafe { &*std::ptr::from_ref(values).cast() }
    }
}

impl Cuda {
    fn new(device: &CudaDevice, half: Option<Option<Half>>) -> Self {
        Self { device: device.clone(), pinned: Arc::default(), uploads: Uploads::default(), half }
    }

    fn owned<T: Send + Sync + 'static>(&self, slice: CudaSlice<T>, count: usize) -> Memory {
        let stream = self.device.cuda_stream();
        let (address, guard) = slice.device_ptr(&stream);
        drop(guard);
        Memory { address, count, owner: Box::new(slice) }
    }
}

impl Gpu for Cuda {
    fn alloc(&self, count: usize) -> Result<Memory> {
        // CUDA allocates nothing where nothing is asked for, and calls it an error.
        // SAFETY: whoever asks for memory has a kernel or a product write it before it is read, which tests on the emulator show.
        Ok(self.owned(unsafe { self.device.alloc::<f32>(count.max(1)) }?, count))
    }

    fn zeros(&self, count: usize) -> Result<Memory> {
        Ok(self.owned(self.device.alloc_zeros::<f32>(count.max(1))?, count))
    }

    fn upload(&self, values: &[u32]) -> Result<Memory> {
        Ok(self.owned(self.device.clone_htod(values)?, values.len()))
    }

    fn of(&self, tensor: &Tensor) -> Result<Memory> {
        let tensor = tensor.contiguous()?;
        let count = tensor.elem_count();
        let address = {
            let (storage, layout) = tensor.storage_and_layout();
            let Storage::Cuda(storage) = &*storage else { candle_core::bail!("a tensor is not on the CUDA device") };
            let stream = self.device.cuda_stream();
            let start = match tensor.dtype() {
                DType::I64 => storage.as_cuda_slice::<i64>()?.device_ptr(&stream).0,
                DType::U32 => storage.as_cuda_slice::<u32>()?.device_ptr(&stream).0,
                _ => storage.as_cuda_slice::<f32>()?.device_ptr(&stream).0,
            };
            start + (tensor.dtype().size_in_bytes() * layout.start_offset()) as u64
        };
        Ok(Memory { address, count, owner: Box::new(tensor) })
    }

    fn value(&self, memory: Memory, shape: Shape) -> Result<Value> {
        memory.fits(&shape)?;
        let slice = memory.owner.downcast::<CudaSlice<f32>>();
        let slice = slice.map_err(|_| Error::Msg("only memory of this device becomes a value".into()))?;
        Ok(Value::Storage(Storage::Cuda(CudaStorage::wrap_cuda_slice(*slice, self.device.clone())), shape))
    }

    fn written(&self, _: &Memory, _: &Tensor) -> Result<()> {
        // It is the tensor's own memory.
        Ok(())
    }

    fn read(&self, memory: &Memory) -> Result<Vec<u32>> {
        let words = if let Some(slice) = memory.owner.downcast_ref::<CudaSlice<f32>>() {
            self.device.clone_dtoh(slice)?.into_iter().map(f32::to_bits).collect()
        } else if let Some(slice) = memory.owner.downcast_ref::<CudaSlice<u32>>() {
            self.device.clone_dtoh(slice)?
        } else {
            candle_core::bail!("only memory of this device can be read")
        };
        // CUDA allocates nothing where nothing is asked for, so there may be one more.
        Ok(words.into_iter().take(memory.count).collect::<Vec<u32>>())
    }

    fn read_later(&self, memory: Memory) -> Result<Reading> {
        let Some(slice) = memory.owner.downcast_ref::<CudaSlice<f32>>() else {
            candle_core::bail!("only memory of this device can be read")
        };
        let (stream, count) = (self.device.cuda_stream(), memory.count);
        let mut kept = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        // A copy fills the whole of its destination.
        let fitting = kept.iter().position(|landing| landing.host.len() == count);
        let mut landing = match fitting {
            Some(at) => kept.swap_remove(at),
            None => Landing::new(&stream, count)?,
        };
        drop(kept);
        // SAFETY: every pattern of an f32 is a u32.
        let words = unsafe { slice.transmute::<u32>(count) };
        let Some(words) = words else { candle_core::bail!("a device's memory is smaller than what is read of it") };
        stream.memcpy_dtoh(&words, &mut landing.host).map_err(Error::wrap)?;
        // Of its own accord cudarc records no event where tensors have none.
        landing.event.record(&stream).map_err(Error::wrap)?;
        let flight = Flight { landing: Some(landing), pool: Arc::clone(&self.pinned) };
        Ok(Box::new(move || flight.landed()))
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        let Module { name, ptx, f16 } = launch.module;
        let (name, ptx) = f16.filter(|_| self.half() == Some(Half::F16)).unwrap_or((name, ptx));
        let kernel = self.device.get_or_load_custom_func(launch.kernel, name, ptx)?;
        let size = |value: usize| u32::try_from(value).map_err(Error::wrap);
        let config = LaunchConfig {
            grid_dim: (size(launch.grid.0)?, size(launch.grid.1)?, 1),
            block_dim: (size(launch.threads)?, 1, 1),
            shared_mem_bytes: size(launch.shared)?,
        };
        if launch.shared > WITHOUT_ASKING {
            let most = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            kernel.set_attribute(most, i32::try_from(launch.shared).map_err(Error::wrap)?).map_err(Error::wrap)?;
        }
        let mut builder = kernel.builder();
        for argument in launch.arguments {
            match argument {
                Argument::Address(address) => builder.arg(address),
                Argument::Int(value) => builder.arg(value),
                Argument::Long(value) => builder.arg(value),
                Argument::Float(value) => builder.arg(value),
                Argument::Ints(values) => builder.arg(Ints::of(values)),
            };
        }
        // SAFETY: number, sizes and bounds of the arguments are those that tests on the emulator run with.
        let launched =
            unsafe { if launch.whole_grid { builder.launch_cooperative(config) } else { builder.launch(config) } };
        launched.map(|_| ()).map_err(|error| Error::Msg(format!("{}: {error}", launch.kernel)))
    }

    fn half(&self) -> Option<Half> {
        self.half.unwrap_or_else(|| Half::of(float32_matmul_precision()))
    }

    fn whole_grid(&self) -> usize {
        if whole_sequences() { multiprocessors(&self.device).unwrap_or_default() } else { 0 }
    }

    fn product(&self, product: &Product) -> Result<()> {
        // cuBLAS reads columns where we write rows, and so forms Cᵀ = Bᵀ Aᵀ.
        let (m, n, k) = product.sizes;
        let size = |value: usize| i32::try_from(value).map_err(Error::wrap);
        let half = self.half().filter(|_| product.halves().is_some());
        let (of, bytes) = match half {
            Some(Half::Bf16) => (sys::cudaDataType_t::CUDA_R_16BF, 2),
            Some(Half::F16) => (sys::cudaDataType_t::CUDA_R_16F, 2),
            None => (sys::cudaDataType_t::CUDA_R_32F, 4),
        };
        let side = |side: &Side| {
            let (rows, operation) = match side {
                Side::Plain(rows) => (rows, sys::cublasOperation_t::CUBLAS_OP_N),
                Side::Transposed(rows) => (rows, sys::cublasOperation_t::CUBLAS_OP_T),
            };
            let memory = rows.half.filter(|_| half.is_some()).unwrap_or(rows.memory);
            Ok::<_, Error>((
                (memory.address + bytes * rows.start as u64) as *const c_void,
                size(rows.stride)?,
                operation,
            ))
        };
        let ((a, a_stride, a_operation), (b, b_stride, b_operation)) = (side(&product.a)?, side(&product.b)?);
        let c = (product.c.memory.address + 4 * product.c.start as u64) as *mut c_void;
        let (one, beta) = (1f32, if product.add { 1f32 } else { 0.0 });
        let compute = match float32_matmul_precision() {
            Precision::Medium | Precision::Bf16 | Precision::F16 if half.is_none() => {
                sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32
            }
            _ => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        };
        let float = sys::cudaDataType_t::CUDA_R_32F;
        let handle = self.device.cublas_handle();
        // SAFETY: tests on the emulator show that sides and sizes lie within their memory.
        let done = unsafe {
            result::gemm_ex(
                *handle.handle(),
                b_operation,
                a_operation,
                size(n)?,
                size(m)?,
                size(k)?,
                (&raw const one).cast(),
                b,
                of,
                b_stride,
                a,
                of,
                a_stride,
                (&raw const beta).cast(),
                c,
                float,
                size(product.c.stride)?,
                compute,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        };
        done.map_err(Error::wrap)
    }
}
