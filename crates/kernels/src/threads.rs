//! Where work runs: on rayon's threads, which all operations on the CPU share.

use candle_core::{Device, Tensor};

/// Runs work of many operations on one of rayon's threads where the device is the CPU, and as it is on any other.
///
/// Each operation shares its parts out among rayon's threads. A thread from outside is put to sleep for each of them and woken
/// again; one of their own takes part. A training step, a search or a network's whole pass is worth entering for.
///
/// ```
/// use candle_core::{Device, Result, Tensor};
/// use candlewick_kernels::{softmax::softmax, threads};
///
/// # fn main() -> Result<()> {
/// let logits = Tensor::new(&[[0f32, 0.0]], &Device::Cpu)?;
/// let shares = threads::enter(logits.device(), || softmax(&logits, 1))?;
/// assert_eq!(shares.to_vec2::<f32>()?, [[0.5, 0.5]]);
/// # Ok(())
/// # }
/// ```
pub fn enter<R: Send>(device: &Device, work: impl FnOnce() -> R + Send) -> R {
    if device.is_cpu() { rayon::scope(|_| work()) } else { work() }
}

/// The same for the work of one operation, where an input is so large that there is something to share out.
pub(crate) fn enter_for<R: Send>(inputs: &[Tensor], work: impl FnOnce() -> R + Send) -> R {
    /// Values of an input that promise more than one part.
    const LARGE: usize = 1 << 15;
    match inputs.iter().find(|input| input.elem_count() >= LARGE) {
        Some(input) => enter(input.device(), work),
        None => work(),
    }
}
