//! The matmul precision of the process.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

/// The precision of products of f32 matrices, in PyTorch's words.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// f32 throughout.
    #[default]
    Highest,
    /// Both sides are rounded to bf16 (on CUDA to TF32) and the sums are f32, on a CPU where that is faster; f32 on any other.
    Medium,
    /// As [`Self::Medium`], but on CUDA with bf16 in linear and recurrent layers, attention and convolution. Parameters, states, sums, losses and the
    /// optimiser's numbers are f32.
    Bf16,
    /// As [`Self::Bf16`], but with f16: three more bits of each factor, and a range that ends at 65,504 and in which small gradients are 0
    /// unless the loss is scaled, as training does.
    F16,
}

/// All of them.
const ALL: [Precision; 4] = [Precision::Highest, Precision::Medium, Precision::Bf16, Precision::F16];

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Precision::Highest => "highest",
            Precision::Medium => "medium",
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(word: &str) -> std::result::Result<Self, String> {
        let found = ALL.into_iter().find(|precision| precision.to_string() == word);
        found.ok_or_else(|| format!("a precision is `highest`, `medium`, `bf16` or `f16`, not `{word}`"))
    }
}

static SET: AtomicU8 = AtomicU8::new(0);

/// Sets the precision of all products that begin from now on, in the whole process.
///
/// ```
/// use candlewick_kernels::precision::{Precision, float32_matmul_precision, set_float32_matmul_precision};
///
/// set_float32_matmul_precision(Precision::Medium);
/// assert_eq!(float32_matmul_precision(), Precision::Medium);
/// ```
pub fn set_float32_matmul_precision(precision: Precision) {
    SET.store(precision as u8, Ordering::Relaxed);
    #[cfg(feature = "cuda")]
    candle_core::cuda::set_gemm_reduced_precision_f32(precision != Precision::Highest);
}

/// The precision that was set last.
pub fn float32_matmul_precision() -> Precision {
    ALL[usize::from(SET.load(Ordering::Relaxed))]
}
