//! The thread pool, rayon's, which all operations on the CPU share.

use candle_core::{Device, Tensor};
use std::sync::Once;

/// Bytes of stack of a thread of the pool: candle recurses through a graph, for which a program's first thread mostly has 8 MiB
/// and others have 2.
pub const STACK: usize = 32 << 20;

/// Runs work of many operations on one of rayon's threads where the device is the CPU, and as it is on any other.
///
/// Each operation shares its parts out among rayon's threads. A thread from outside is put to sleep for each of them and woken
/// again; one of their own takes part. Training, searches, backward passes and networks do so by themselves; a loop of one's own
/// over small operations is worth it.
///
/// The first call builds rayon's global pool with [`STACK`] bytes a thread, unless there is one: a program that wants its own calls
/// `build_global` before.
///
/// ```
/// use candle_core::{Device, Result, Tensor};
/// use candlewick_kernels::{softmax::softmax, thread_pool};
///
/// # fn main() -> Result<()> {
/// let logits = Tensor::new(&[[0f32, 0.0]], &Device::Cpu)?;
/// let shares = thread_pool::install(logits.device(), || softmax(&logits, 1))?;
/// assert_eq!(shares.to_vec2::<f32>()?, [[0.5, 0.5]]);
/// # Ok(())
/// # }
/// ```
pub fn install<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    static POOL: Once = Once::new();
    if !device.is_cpu() {
        return work();
    }
    // A pool that is there already stays as it is.
    POOL.call_once(|| _ = rayon::ThreadPoolBuilder::new().stack_size(STACK).build_global());
    #[cfg(any(test, feature = "emulator"))]
    let work = crate::cuda::emulator::carried(work);
    rayon::scope(|_| work())
}

/// The same for the work of one operation, where an input is so large that there is something to share out.
pub(crate) fn install_for<R: Send>(inputs: &[Tensor], work: impl FnOnce() -> R + Send) -> R {
    /// Values of an input that promise more than one part.
    const LARGE: usize = 1 << 15;
    match inputs.iter().find(|input| input.elem_count() >= LARGE) {
        Some(input) => install(input.device(), work),
        None => work(),
    }
}
