//! CUDA kernels on the CPU, for tests: a C++ compiler makes a library of the kernels' sources and of `emulator.cpp`, once for each text.

#[cfg(feature = "cuda")]
mod card;
#[cfg(test)]
mod tests;

use super::{Argument, Gpu, Half, Launch, Memory, Product, Reading, Rows, Side};
use crate::node::Value;
use crate::optimizer::slices::with_slice_mut;
use crate::precision::Precision;
use candle_core::{DType, Error, Result, Shape, Tensor};
use std::cell::Cell;
use std::collections::hash_map::DefaultHasher;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::{env, fs, process, ptr, slice};

/// The texts by the names under which they are included.
const HEADERS: [(&str, &str); 3] = [
    ("device.h", include_str!("../device.h")),
    ("emulator.h", include_str!("emulator.h")),
    ("steps.h", include_str!("../steps.h")),
];
const EMULATOR: &str = include_str!("emulator.cpp");

/// All kernels of this crate.
const SOURCES: [(&str, &str); 12] = [
    ("attention_lstm", include_str!("../../attention_lstm/cuda/attention_lstm.cu")),
    ("batch_norm", include_str!("../../channels_last/cuda/batch_norm.cu")),
    ("column_sums", include_str!("../column_sums.cu")),
    ("conv", include_str!("../../conv/cuda/conv.cu")),
    ("embedding", include_str!("../../embedding/cuda/embedding.cu")),
    ("halves", include_str!("../halves.cu")),
    ("linear", include_str!("../../linear/cuda/linear.cu")),
    ("loss", include_str!("../../loss/cuda/loss.cu")),
    ("optimizer", include_str!("../../optimizer/cuda/optimizer.cu")),
    ("pool", include_str!("../../pool/cuda/pool.cu")),
    ("recurrence", include_str!("../../recurrence/cuda/recurrence.cu")),
    ("top_k", include_str!("../../top_k/cuda/top_k.cu")),
];

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const RTLD_NOW: c_int = 2;

type Alloc = unsafe extern "C" fn(usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void, usize);
type Run = unsafe extern "C" fn(
    *const c_char,
    *const u32,
    *const u32,
    usize,
    *mut *mut c_void,
    *const usize,
    usize,
    c_int,
    u64,
    *mut c_char,
    usize,
) -> c_int;

/// Kernels that were compiled for the CPU.
pub(crate) struct Library {
    alloc: Alloc,
    free: Free,
    run: Run,
}

impl Library {
    /// This crate's kernels for a type of half precision; nothing where there is no C++ compiler.
    fn get(half: Half) -> std::result::Result<Option<&'static Arc<Self>>, String> {
        static BF16: OnceLock<std::result::Result<Option<Arc<Library>>, String>> = OnceLock::new();
        static F16: OnceLock<std::result::Result<Option<Arc<Library>>, String>> = OnceLock::new();
        let library = if half == Half::F16 { &F16 } else { &BF16 };
        let compiled = library.get_or_init(|| Ok(Self::compile(&SOURCES, half)?.map(Arc::new)));
        compiled.as_ref().map(Option::as_ref).map_err(String::clone)
    }

    /// Kernels from texts; nothing where there is no C++ compiler, which `CXX` may name.
    pub fn compile(sources: &[(&str, &str)], half: Half) -> std::result::Result<Option<Self>, String> {
        let compiler = env::var_os("CXX").unwrap_or_else(|| "c++".into());
        if Command::new(&compiler).arg("--version").output().is_err() {
            return Ok(None);
        }
        let mut hasher = DefaultHasher::new();
        (HEADERS, EMULATOR, sources, half, &compiler).hash(&mut hasher);
        let folder = env::temp_dir().join(format!("candlewick-emulator-{:016x}", hasher.finish()));
        let library = folder.join("kernels.so");
        if !library.exists() {
            build(&compiler, (sources, half), &folder, &library)?;
        }
        Self::load(&library).map(Some)
    }

    fn load(path: &std::path::Path) -> std::result::Result<Self, String> {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|error| error.to_string())?;
        // SAFETY: the library is what `build` made; loading it registers its kernels and does nothing else.
        let library = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
        let find = |name: &CStr| {
            // SAFETY: `library` is null or was loaded above, and is never closed.
            match unsafe { if library.is_null() { ptr::null_mut() } else { dlsym(library, name.as_ptr()) } } {
                // SAFETY: `dlerror` gives a text after a failure.
                none if none.is_null() => Err(unsafe { CStr::from_ptr(dlerror()) }.to_string_lossy().into_owned()),
                found => Ok(found),
            }
        };
        // SAFETY: these are the types of the functions in `emulator.cpp`.
        unsafe {
            Ok(Self {
                alloc: std::mem::transmute::<*mut c_void, Alloc>(find(c"emulator_alloc")?),
                free: std::mem::transmute::<*mut c_void, Free>(find(c"emulator_free")?),
                run: std::mem::transmute::<*mut c_void, Run>(find(c"emulator_launch")?),
            })
        }
    }
}

fn build(
    compiler: &std::ffi::OsStr,
    (sources, half): (&[(&str, &str)], Half),
    folder: &PathBuf,
    library: &PathBuf,
) -> std::result::Result<(), String> {
    let text = |error: std::io::Error| format!("{}: {error}", folder.display());
    // Several test programs may be at it at once: the last one's library is as good as the first one's.
    let own = folder.with_extension(format!("{}-{:?}", process::id(), std::thread::current().id()));
    fs::create_dir_all(&own).map_err(text)?;
    let mut all = String::from(if half == Half::F16 { "#define HALF_IS_F16\n" } else { "" });
    all.push_str("#include \"emulator.cpp\"\n");
    for (name, source) in sources {
        fs::write(own.join(format!("{name}.cu")), source).map_err(text)?;
        all.push_str(&format!("#include \"{name}.cu\"\n"));
    }
    for (name, source) in HEADERS.into_iter().chain([("emulator.cpp", EMULATOR), ("all.cpp", &all)]) {
        fs::write(own.join(name), source).map_err(text)?;
    }
    let output = Command::new(compiler)
        .args(["-std=c++17", "-O2", "-fPIC", "-shared", "-w", "-o", "kernels.so", "all.cpp"])
        .current_dir(&own)
        .output()
        .map_err(text)?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    fs::create_dir_all(folder).map_err(text)?;
    fs::rename(own.join("kernels.so"), library).map_err(text)?;
    fs::remove_dir_all(&own).map_err(text)
}

/// What kernels are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mode {
    /// What sides of products are rounded to.
    pub half: Option<Half>,
    /// Sequences may be one launch.
    pub whole: bool,
}

/// A device that runs its threads in an order drawn from a seed.
pub(crate) struct Emulator {
    library: Arc<Library>,
    seed: u64,
    mode: Mode,
    /// How many kernels and products have run.
    launches: AtomicUsize,
}

thread_local! {
    static CURRENT: Cell<Option<&'static dyn Gpu>> = const { Cell::new(None) };
}

/// The device on which this thread's operations on the CPU run.
pub(super) fn current() -> Option<&'static dyn Gpu> {
    CURRENT.get()
}

/// Lets the kernels that there are run on an emulated device in `work`, whose graphs go on there too; nothing without a C++ compiler.
///
/// With the feature `cuda` and a card's number in `CANDLEWICK_CARD` they run on that card.
///
/// # Errors
/// When the kernels do not compile, or the work runs none of them, so that a comparison with the CPU would be one with itself.
pub fn emulated<R>(seed: u64, work: impl FnOnce() -> R) -> std::result::Result<Option<R>, String> {
    emulated_as(Mode::default(), seed, work)
}

/// The same with products of a precision, TF32 apart.
///
/// # Errors
/// As [`emulated`].
pub fn emulated_in<R>(
    precision: Precision,
    seed: u64,
    work: impl FnOnce() -> R,
) -> std::result::Result<Option<R>, String> {
    emulated_as(Mode { half: Half::of(precision), whole: false }, seed, work)
}

/// [`emulated`] with more that is asked for.
pub(crate) fn emulated_as<R>(
    mode: Mode,
    seed: u64,
    work: impl FnOnce() -> R,
) -> std::result::Result<Option<R>, String> {
    #[cfg(feature = "cuda")]
    if let Some(card) = card::Card::named(mode).map_err(|error| error.to_string())? {
        let card: &'static card::Card = Box::leak(Box::new(card));
        let result = with(card, work);
        return if card.launches.load(Relaxed) == 0 { Err(NO_KERNEL.into()) } else { Ok(Some(result)) };
    }
    let Some(library) = Library::get(mode.half.unwrap_or(Half::Bf16))? else { return Ok(None) };
    let (result, launches) = on(Emulator { mode, ..Emulator::new(library, seed) }, work);
    if launches == 0 { Err(NO_KERNEL.into()) } else { Ok(Some(result)) }
}

const NO_KERNEL: &str = "no kernel ran on the emulator";

/// Lets kernels run on this device in `work`, and tells how many have.
fn on<R>(emulator: Emulator, work: impl FnOnce() -> R) -> (R, usize) {
    // Graphs may outlive the work.
    let emulator: &'static Emulator = Box::leak(Box::new(emulator));
    let result = with(emulator, work);
    (result, emulator.launches.load(Relaxed))
}

fn with<R>(device: &'static dyn Gpu, work: impl FnOnce() -> R) -> R {
    let before = CURRENT.replace(Some(device));
    let result = work();
    CURRENT.set(before);
    result
}

/// Work that runs on the device of this thread, on whatever thread it runs.
pub(crate) fn carried<R>(work: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let here = CURRENT.get();
    move || {
        let before = CURRENT.replace(here);
        let result = work();
        CURRENT.set(before);
        result
    }
}

impl Emulator {
    /// A device with these kernels.
    fn new(library: &Arc<Library>, seed: u64) -> Self {
        Self { library: Arc::clone(library), seed, mode: Mode::default(), launches: AtomicUsize::new(0) }
    }

    fn words(&self, count: usize) -> Result<Memory> {
        // SAFETY: it allocates; `Words` frees what it got.
        let start = unsafe { (self.library.alloc)(count * 4) };
        if start.is_null() {
            candle_core::bail!("emulator: no memory for {count} values")
        }
        let address = start as u64;
        Ok(Memory { address, count, owner: Box::new(Words { library: Arc::clone(&self.library), address, count }) })
    }

    fn filled(&self, values: impl ExactSizeIterator<Item = u32>) -> Result<Memory> {
        let memory = self.words(values.len())?;
        for (i, value) in values.enumerate() {
            // SAFETY: there are as many values as the memory was made for.
            unsafe { (memory.address as *mut u32).add(i).write(value) };
        }
        Ok(memory)
    }
}

/// Four-byte values, NaN until they are written, with a page behind them that nobody may touch.
struct Words {
    library: Arc<Library>,
    address: u64,
    count: usize,
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: it was allocated with so many bytes, and nobody else has it.
        unsafe { (self.library.free)(self.address as *mut c_void, self.count * 4) }
    }
}

/// The values of a tensor of f32, u32 or i64 in row-major order; an i64 is two words.
fn words(tensor: &Tensor) -> Result<Vec<u32>> {
    let values = tensor.flatten_all()?;
    Ok(match tensor.dtype() {
        DType::U32 => values.to_vec1()?,
        DType::I64 => {
            values.to_vec1::<i64>()?.into_iter().flat_map(|value| [value as u32, (value >> 32) as u32]).collect()
        }
        _ => values.to_vec1::<f32>()?.into_iter().map(f32::to_bits).collect(),
    })
}

/// The values of emulated memory.
fn floats(memory: &Memory) -> &[f32] {
    // SAFETY: there are so many four-byte values, of which every pattern is an f32, and no kernel runs between two launches.
    unsafe { slice::from_raw_parts(memory.address as *const f32, memory.count) }
}

impl Gpu for Emulator {
    fn alloc(&self, count: usize) -> Result<Memory> {
        self.words(count)
    }

    fn zeros(&self, count: usize) -> Result<Memory> {
        self.filled((0..count).map(|_| 0))
    }

    fn upload(&self, values: &[u32]) -> Result<Memory> {
        self.filled(values.iter().copied())
    }

    fn of(&self, tensor: &Tensor) -> Result<Memory> {
        self.upload(&words(tensor)?)
    }

    fn value(&self, memory: Memory, shape: Shape) -> Result<Value> {
        memory.fits(&shape)?;
        Ok(Value::new(floats(&memory).to_vec(), shape))
    }

    fn written(&self, memory: &Memory, tensor: &Tensor) -> Result<()> {
        with_slice_mut(tensor, |values| {
            values.copy_from_slice(floats(memory));
            Ok(())
        })
    }

    fn read(&self, memory: &Memory) -> Result<Vec<u32>> {
        Ok(floats(memory).iter().map(|value| value.to_bits()).collect())
    }

    fn read_later(&self, memory: Memory) -> Result<Reading> {
        let words = self.read(&memory)?;
        Ok(Box::new(move || Ok(words)))
    }

    fn launch(&self, launch: &Launch) -> Result<()> {
        self.launches.fetch_add(1, Relaxed);
        let name = CString::new(launch.kernel).map_err(Error::wrap)?;
        let mut values: Vec<([u32; 16], usize)> = launch.arguments.iter().map(bits).collect();
        let sizes: Vec<usize> = values.iter().map(|&(_, size)| size).collect();
        let mut addresses: Vec<*mut c_void> = values.iter_mut().map(|(bits, _)| ptr::from_mut(bits).cast()).collect();
        let grid = [launch.grid.0 as u32, launch.grid.1 as u32, 1];
        let mut message = [0u8; 400];
        // SAFETY: the emulator checks number and sizes of the arguments and reports what goes out of bounds; all pointers outlive the call.
        let failed = unsafe {
            (self.library.run)(
                name.as_ptr(),
                grid.as_ptr(),
                [launch.threads as u32, 1, 1].as_ptr(),
                launch.shared,
                addresses.as_mut_ptr(),
                sizes.as_ptr(),
                sizes.len(),
                launch.whole_grid.into(),
                self.seed,
                message.as_mut_ptr().cast(),
                message.len(),
            )
        };
        if failed != 0 {
            let message = CStr::from_bytes_until_nul(&message).map_err(Error::wrap)?;
            candle_core::bail!("emulator: {}", message.to_string_lossy())
        }
        Ok(())
    }

    fn half(&self) -> Option<Half> {
        self.mode.half
    }

    fn whole_grid(&self) -> usize {
        // An H200's multiprocessors.
        if self.mode.whole { 132 } else { 0 }
    }

    fn product(&self, product: &Product) -> Result<()> {
        self.launches.fetch_add(1, Relaxed);
        let (m, n, k) = product.sizes;
        let at = |rows: &Rows, row: usize, column: usize| rows.start + row * rows.stride + column;
        let halves = product.halves().is_some();
        if let (Some(half), false) = (self.mode.half, halves) {
            candle_core::bail!("emulator: a side of a product is not in {half:?}")
        }
        let number = |rows: &Rows, at: usize| match rows.half {
            Some(half) if halves => {
                let bits = floats(half)[at / 2].to_bits() >> (16 * (at % 2)) & 0xffff;
                if self.mode.half == Some(Half::F16) { of_f16(bits) } else { f32::from_bits(bits << 16) }
            }
            _ => floats(rows.memory)[at],
        };
        let value = |side: &Side, row: usize, column: usize| match side {
            Side::Plain(rows) => number(rows, at(rows, row, column)),
            Side::Transposed(rows) => number(rows, at(rows, column, row)),
        };
        let a: Vec<f32> = (0..m * k).map(|i| value(&product.a, i / k, i % k)).collect();
        let b: Vec<f32> = (0..n * k).map(|i| value(&product.b, i % k, i / k)).collect();
        for (row, xs) in a.chunks_exact(k).enumerate() {
            for (column, ys) in b.chunks_exact(k).enumerate() {
                let sum: f64 = xs.iter().zip(ys).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                let at = at(&product.c, row, column);
                let before = floats(product.c.memory)[at];
                let sum = sum as f32 + if product.add { before } else { 0.0 };
                // SAFETY: the same index has just been read, and the slice that it was read from is gone.
                unsafe { (product.c.memory.address as *mut f32).add(at).write(sum) };
            }
        }
        Ok(())
    }
}

/// The number that an f16's sixteen bits are.
fn of_f16(bits: u32) -> f32 {
    let (sign, size) = ((bits & 0x8000) << 16, (bits & 0x7fff) << 13);
    let infinite = size >= 0x0f80_0000;
    let size = if infinite { size | 0x7f80_0000 } else { (f32::from_bits(size) * 112f32.exp2()).to_bits() };
    f32::from_bits(sign | size)
}

/// An argument's words, and how many bytes they are.
fn bits(argument: &Argument) -> ([u32; 16], usize) {
    let mut words = [0; 16];
    let size = match *argument {
        Argument::Address(address) => {
            (words[0], words[1]) = (address as u32, (address >> 32) as u32);
            8
        }
        Argument::Int(value) => {
            words[0] = value as u32;
            4
        }
        Argument::Long(value) => {
            (words[0], words[1]) = (value as u32, (value >> 32) as u32);
            8
        }
        Argument::Float(value) => {
            words[0] = value.to_bits();
            4
        }
        Argument::Ints(values) => {
            words = values.map(|value| value as u32);
            64
        }
    };
    (words, size)
}
