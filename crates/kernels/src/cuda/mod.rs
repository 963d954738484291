//! What CUDA forms of operations share: the device as the host side of a kernel sees it.
//!
//! A kernel is CUDA C++ in a `.cu` beside the operation's `reference.rs`. nvcc makes PTX of it where the feature `cuda` is on; for tests a
//! C++ compiler makes a library of the same file, whose threads the [`emulator`] plays. Everything around the kernels, such as loops
//! over steps, offsets and the order of launches, is written against [`Gpu`] and so runs in tests as it runs on a device.

#[cfg(feature = "cuda")]
mod candle_device;
#[cfg(any(test, feature = "emulator"))]
pub(crate) mod emulator;
#[cfg(feature = "cuda")]
mod uploads;

use crate::node::Value;
use crate::precision::Precision;
use candle_core::{DType, Result, Shape, Tensor};
use std::any::Any;

/// A source of kernels.
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "the emulator has all kernels in one library"))]
pub(crate) struct Module {
    /// Its name among the modules.
    pub name: &'static str,
    /// What nvcc made of it.
    #[cfg(feature = "cuda")]
    pub ptx: &'static str,
    /// What nvcc made of it for f16, and its name then, where it has to do with half precision.
    #[cfg(feature = "cuda")]
    pub f16: Option<(&'static str, &'static str)>,
}

/// The module of a source in this crate, by the name of its file.
macro_rules! module {
    ($name:literal) => {
        $crate::cuda::Module {
            name: $name,
            #[cfg(feature = "cuda")]
            ptx: include_str!(concat!(env!("OUT_DIR"), "/", $name, ".ptx")),
            #[cfg(feature = "cuda")]
            f16: None,
        }
    };
    ($name:literal of half precision) => {
        $crate::cuda::Module {
            #[cfg(feature = "cuda")]
            f16: Some((concat!($name, "_f16"), include_str!(concat!(env!("OUT_DIR"), "/f16/", $name, ".ptx")))),
            ..$crate::cuda::module!($name)
        }
    };
}
pub(crate) use module;

/// One argument of a kernel.
#[derive(Clone, Copy)]
pub(crate) enum Argument {
    /// An address, or 0.
    Address(u64),
    /// `int`.
    Int(i32),
    /// `long long`.
    Long(i64),
    /// `float`.
    Float(f32),
    /// A struct of 16 `int`.
    Ints([i32; 16]),
}

impl From<usize> for Argument {
    fn from(value: usize) -> Self {
        Self::Int(i32::try_from(value).unwrap_or(i32::MAX))
    }
}

impl From<bool> for Argument {
    fn from(value: bool) -> Self {
        Self::Int(value.into())
    }
}

/// A kernel to run: on each of `grid`'s blocks so many `threads`.
pub(crate) struct Launch<'a> {
    #[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "the emulator has all kernels in one library"))]
    pub module: &'static Module,
    pub kernel: &'static str,
    pub grid: (usize, usize),
    pub threads: usize,
    /// Bytes of dynamic shared memory.
    pub shared: usize,
    /// Whether all blocks run at the same time, and so may wait for each other.
    pub whole_grid: bool,
    pub arguments: &'a [Argument],
}

impl<'a> Launch<'a> {
    /// A kernel on blocks of [`THREADS`] threads that wait for no other block and share nothing.
    pub fn new(module: &'static Module, kernel: &'static str, grid: (usize, usize), arguments: &'a [Argument]) -> Self {
        Self { module, kernel, grid, threads: THREADS, shared: 0, whole_grid: false, arguments }
    }

    /// The same with a value of type T for each thread in shared memory.
    pub fn with_shared<T>(self) -> Self {
        Self { shared: self.threads * size_of::<T>(), ..self }
    }
}

/// Threads of a block where each takes one value.
pub(crate) const THREADS: usize = 256;

/// Four-byte values on a device.
pub(crate) struct Memory {
    /// Where they start.
    pub address: u64,
    /// How many they are.
    pub count: usize,
    /// What keeps them there.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "only a device looks into it"))]
    pub owner: Box<dyn Any + Send + Sync>,
}

impl Memory {
    /// An error unless there are as many values as a shape has.
    pub fn fits(&self, shape: &Shape) -> Result<()> {
        if self.count != shape.elem_count() {
            candle_core::bail!("{} values do not make {shape:?}", self.count)
        }
        Ok(())
    }

    /// Where value number `start` lies.
    pub fn at(&self, start: usize) -> Argument {
        Argument::Address(self.address + 4 * start as u64)
    }
}

/// Rows of f32 values, one behind the other.
pub(crate) struct Matrix {
    pub memory: Memory,
    /// The same values in half precision, where products are of these.
    pub half: Option<Memory>,
    /// Values of a row.
    pub width: usize,
}

impl Matrix {
    /// Values which may be anything.
    pub fn new(gpu: &dyn Gpu, rows: usize, width: usize) -> Result<Self> {
        Ok(Self { memory: gpu.alloc(rows * width)?, half: None, width })
    }

    /// The same for a side of products: with room for its values in half precision where products are of these.
    pub fn factor(gpu: &dyn Gpu, rows: usize, width: usize) -> Result<Self> {
        let half = gpu.half().map(|_| halves(gpu, rows * width)).transpose()?;
        Ok(Self { half, ..Self::new(gpu, rows, width)? })
    }

    /// The same in half precision alone.
    pub fn halves(gpu: &dyn Gpu, rows: usize, width: usize) -> Result<Self> {
        Ok(Self { memory: gpu.alloc(0)?, half: Some(halves(gpu, rows * width)?), width })
    }

    /// Where a row lies.
    pub fn row(&self, row: usize) -> Argument {
        self.value(row, 0)
    }

    /// Where a value of a row lies.
    pub fn value(&self, row: usize, column: usize) -> Argument {
        self.memory.at(row * self.width + column)
    }

    /// Where a value of a row lies in half precision, or no address.
    pub fn half(&self, row: usize, column: usize) -> Argument {
        half_at(self.half.as_ref(), row * self.width + column)
    }

    /// The rows from this one on, for a product.
    pub fn rows(&self, row: usize) -> Rows<'_> {
        self.part(row, 0)
    }

    /// The rows from this one on, of each what begins at a column.
    pub fn part(&self, row: usize, column: usize) -> Rows<'_> {
        Rows { memory: &self.memory, half: self.half.as_ref(), start: row * self.width + column, stride: self.width }
    }
}

/// Room for so many values in half precision.
fn halves(gpu: &dyn Gpu, count: usize) -> Result<Memory> {
    gpu.alloc(count.div_ceil(2))
}

/// Where a value in half precision lies, or no address.
fn half_at(memory: Option<&Memory>, start: usize) -> Argument {
    Argument::Address(memory.map_or(0, |memory| memory.address + 2 * start as u64))
}

static HALVES: Module = module!("halves" of half precision);

/// Two memories of f32 in half precision where products are of that, in one launch; nothing of the second where there is none.
pub(crate) fn in_half(gpu: &dyn Gpu, first: &Memory, second: Option<&Memory>) -> Result<[Option<Memory>; 2]> {
    if gpu.half().is_none() {
        return Ok([None, None]);
    }
    let counts = [first.count, second.map_or(0, |second| second.count)];
    let found = [halves(gpu, counts[0])?, halves(gpu, counts[1])?];
    let from = [first.at(0), second.map_or(Argument::Address(0), |second| second.at(0))];
    let onto = [half_at(Some(&found[0]), 0), half_at(Some(&found[1]), 0)];
    let arguments = [from[0], onto[0], counts[0].into(), from[1], onto[1], counts[1].into()];
    gpu.launch_each(&HALVES, "in_half", counts[0] + counts[1], &arguments)?;
    let [one, other] = found;
    Ok([Some(one), second.map(|_| other)])
}

/// An error where halves that a way forward left are of another type than those that the way back would make.
pub(crate) fn check_half(gpu: &dyn Gpu, forward: Option<Half>) -> Result<()> {
    match (forward, gpu.half()) {
        (Some(forward), Some(backward)) if forward != backward => {
            candle_core::bail!("the precision was {forward:?} on the way forward and is {backward:?} on the way back")
        }
        _ => Ok(()),
    }
}

/// Rows of f32 values within a memory.
pub(crate) struct Rows<'a> {
    pub memory: &'a Memory,
    /// The same values in half precision.
    pub half: Option<&'a Memory>,
    /// The first value.
    pub start: usize,
    /// Values from a row to the next.
    pub stride: usize,
}

/// A side of a product.
pub(crate) enum Side<'a> {
    /// As it is stored.
    Plain(Rows<'a>),
    /// Its transpose is stored.
    Transposed(Rows<'a>),
}

impl Side<'_> {
    pub fn rows(&self) -> &Rows<'_> {
        match self {
            Self::Plain(rows) | Self::Transposed(rows) => rows,
        }
    }
}

/// C (m, n) ← A (m, k) B (k, n), added to C where `add`. `m`, `n` and `k` are at least 1. Where both sides are there in half precision, these are
/// multiplied and the sums are f32.
pub(crate) struct Product<'a> {
    pub sizes: (usize, usize, usize),
    pub a: Side<'a>,
    pub b: Side<'a>,
    pub c: Rows<'a>,
    pub add: bool,
}

impl Product<'_> {
    /// The sides' values in half precision, if both have them.
    pub fn halves(&self) -> Option<[&Memory; 2]> {
        Some([self.a.rows().half?, self.b.rows().half?])
    }
}

/// Waits for words that a device was asked for.
pub(crate) type Reading = Box<dyn FnOnce() -> Result<Vec<u32>> + Send>;

/// A type of half precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Half {
    Bf16,
    F16,
}

impl Half {
    /// That of a precision's products, where they are of half precision.
    #[cfg_attr(not(any(feature = "cuda", feature = "emulator", test)), allow(dead_code, reason = "only a device asks"))]
    pub fn of(precision: Precision) -> Option<Self> {
        match precision {
            Precision::Highest | Precision::Medium => None,
            Precision::Bf16 => Some(Self::Bf16),
            Precision::F16 => Some(Self::F16),
        }
    }
}

/// What a kernel's host side asks of a device. All that is asked runs in that order.
pub(crate) trait Gpu: Send + Sync {
    /// So many f32 values, which may be anything.
    fn alloc(&self, count: usize) -> Result<Memory>;

    /// So many f32 zeros.
    fn zeros(&self, count: usize) -> Result<Memory>;

    /// Copies integers there.
    fn upload(&self, values: &[u32]) -> Result<Memory>;

    /// The values of a tensor of this device, of f32, u32 or i64, in row-major order; an i64 counts as two.
    fn of(&self, tensor: &Tensor) -> Result<Memory>;

    /// Memory that was allocated here, as a value of the graph.
    fn value(&self, memory: Memory, shape: Shape) -> Result<Value>;

    /// Says that a kernel wrote into a contiguous tensor's own memory.
    fn written(&self, memory: &Memory, tensor: &Tensor) -> Result<()>;

    /// The words of a memory, for which the host waits.
    fn read(&self, memory: &Memory) -> Result<Vec<u32>>;

    /// The words of a memory as they are at this point, for which the host waits only when it calls.
    fn read_later(&self, memory: Memory) -> Result<Reading>;

    /// Runs a kernel. Nothing is checked: the host side of each kernel is tested on the emulator, which finds what is out of bounds.
    fn launch(&self, launch: &Launch) -> Result<()>;

    /// What sides of products are rounded to, where they are.
    fn half(&self) -> Option<Half>;

    /// How many blocks run at the same time, a multiprocessor each, for kernels that are a whole sequence; 0 where these are not wanted.
    fn whole_grid(&self) -> usize;

    /// Multiplies.
    fn product(&self, product: &Product) -> Result<()>;
}

impl dyn Gpu + '_ {
    /// A kernel with a thread for each of so many values; nothing where there are none.
    pub fn launch_each(
        &self,
        module: &'static Module,
        kernel: &'static str,
        values: usize,
        arguments: &[Argument],
    ) -> Result<()> {
        if values == 0 {
            return Ok(());
        }
        self.launch(&Launch::new(module, kernel, (values.div_ceil(THREADS), 1), arguments))
    }

    /// A product, or nothing where a side is empty.
    pub fn multiply(&self, sizes: (usize, usize, usize), a: Side, b: Side, c: Rows, add: bool) -> Result<()> {
        if sizes.0 * sizes.1 * sizes.2 == 0 {
            return Ok(());
        }
        self.product(&Product { sizes, a, b, c, add })
    }
}

static COLUMNS: Module = module!("column_sums");

/// The sums of the columns of so many rows.
pub(crate) fn column_sums(gpu: &dyn Gpu, xs: &Matrix, rows: usize) -> Result<Memory> {
    Ok(columns_added(gpu, [xs, xs], 1, rows)?.swap_remove(0))
}

/// The sums of the columns of two matrices of the same shape, in one launch.
pub(crate) fn two_column_sums(gpu: &dyn Gpu, xs: [&Matrix; 2], rows: usize) -> Result<Vec<Memory>> {
    columns_added(gpu, xs, 2, rows)
}

fn columns_added(gpu: &dyn Gpu, xs: [&Matrix; 2], count: usize, rows: usize) -> Result<Vec<Memory>> {
    let width = xs[0].width;
    let sums = (0..count).map(|_| gpu.alloc(width)).collect::<Result<Vec<_>>>()?;
    let into = [sums[0].at(0), sums[count - 1].at(0)];
    let arguments = [&xs.map(|xs| xs.row(0))[..], &into, &[rows.into(), width.into()]].concat();
    let grid = (width.div_ceil(32), count);
    gpu.launch(&Launch::new(&COLUMNS, "column_sums", grid, &arguments).with_shared::<f32>())?;
    Ok(sums)
}

/// A tensor of the host on a CUDA device by its copying stream, where that is of use.
#[cfg(feature = "cuda")]
pub(crate) use candle_device::upload;

/// The one device of these tensors, if it runs kernels and they are f32.
pub(crate) fn device_of(tensors: &[&Tensor]) -> Option<&'static dyn Gpu> {
    let device = tensors.first()?.device();
    if !tensors.iter().all(|tensor| tensor.dtype() == DType::F32 && tensor.device().same_device(device)) {
        return None;
    }
    match device {
        #[cfg(any(test, feature = "emulator"))]
        candle_core::Device::Cpu => emulator::current(),
        #[cfg(feature = "cuda")]
        candle_core::Device::Cuda(device) => Some(candle_device::of(device)),
        _ => None,
    }
}
