//! A real card under tensors of the CPU: what tests compare on the emulator they compare on CUDA itself, where `CANDLEWICK_CARD` has its number.

use super::{Mode, words};
use crate::cuda::{Gpu, Half, Launch, Memory, Product, Reading, candle_device};
use crate::device;
use crate::node::Value;
use crate::optimizer::slices::with_slice_mut;
use candle_core::{CudaDevice, Device, Result, Shape, Tensor};
use std::env;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub(super) struct Card {
    device: &'static dyn Gpu,
    mode: Mode,
    multiprocessors: usize,
    /// How many kernels and products have run.
    pub launches: AtomicUsize,
}

impl Card {
    /// The card that the environment names; nothing where it names none.
    pub fn named(mode: Mode) -> Result<Option<Self>> {
        static DEVICE: OnceLock<Option<CudaDevice>> = OnceLock::new();
        let Some(ordinal) = env::var("CANDLEWICK_CARD").ok() else { return Ok(None) };
        let ordinal = ordinal.parse().map_err(candle_core::Error::wrap)?;
        let open = || if let Ok(Device::Cuda(device)) = device::cuda(ordinal) { Some(device) } else { None };
        let Some(device) = DEVICE.get_or_init(open) else { candle_core::bail!("there is no card {ordinal}") };
        let multiprocessors = candle_device::multiprocessors(device)?;
        Ok(Some(Self {
            device: candle_device::with_half(device, mode.half),
            mode,
            multiprocessors,
            launches: AtomicUsize::new(0),
        }))
    }

    fn floats(&self, memory: &Memory) -> Result<Vec<f32>> {
        Ok(self.device.read(memory)?.into_iter().map(f32::from_bits).collect())
    }
}

impl Gpu for Card {
    fn alloc(&self, count: usize) -> Result<Memory> {
        self.device.alloc(count)
    }

    fn zeros(&self, count: usize) -> Result<Memory> {
        self.device.zeros(count)
    }

    fn upload(&self, values: &[u32]) -> Result<Memory> {
        self.device.upload(values)
    }

    fn of(&self, tensor: &Tensor) -> Result<Memory> {
        self.upload(&words(tensor)?)
    }

    fn value(&self, memory: Memory, shape: Shape) -> Result<Value> {
        memory.fits(&shape)?;
        Ok(Value::new(self.floats(&memory)?, shape))
    }

    fn written(&self, memory: &Memory, tensor: &Tensor) -> Result<()> {
        let written = self.floats(memory)?;
        with_slice_mut(tensor, |values| {
            values.copy_from_slice(&written);
            Ok(())
        })
    }

    fn read(&self, memory: &Memory) -> Result<Vec<u32>> {
        self.device.read(memory)
    }

    fn read_later(&self, memory: Memory) -> Result<Reading> {
        self.device.read_later(memory)
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        self.launches.fetch_add(1, Relaxed);
        self.device.launch(launch)
    }

    fn half(&self) -> Option<Half> {
        self.device.half()
    }

    fn whole_grid(&self) -> usize {
        if self.mode.whole { self.multiprocessors } else { 0 }
    }

    fn product(&self, product: &Product) -> Result<()> {
        self.launches.fetch_add(1, Relaxed);
        self.device.product(product)
    }
}
