//! The matmul precision of the process.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

/// The precision of products of f32 matrices, in PyTorch's words.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// f32 throughout.
    #[default]
    Highest,
    /// Both sides are rounded to bf16 (on CUDA to TF32) and the sums are f32, on a CPU where that is faster; f32 on any other.
    Medium,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Precision::Highest => "highest",
            Precision::Medium => "medium",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(word: &str) -> std::result::Result<Self, String> {
        let all = [Precision::Highest, Precision::Medium];
        let found = all.into_iter().find(|precision| precision.to_string() == word);
        found.ok_or_else(|| format!("a precision is `highest` or `medium`, not `{word}`"))
    }
}

static MEDIUM: AtomicBool = AtomicBool::new(false);

/// Sets the precision of all products that begin from now on, in the whole process.
///
/// ```
/// use candlewick_kernels::precision::{Precision, float32_matmul_precision, set_float32_matmul_precision};
///
/// set_float32_matmul_precision(Precision::Medium);
/// assert_eq!(float32_matmul_precision(), Precision::Medium);
/// ```
pub fn set_float32_matmul_precision(precision: Precision) {
    let medium = precision == Precision::Medium;
    MEDIUM.store(medium, Ordering::Relaxed);
    #[cfg(feature = "cuda")]
    candle_core::cuda::set_gemm_reduced_precision_f32(medium);
}

/// The precision that was set last.
pub fn float32_matmul_precision() -> Precision {
    if MEDIUM.load(Ordering::Relaxed) { Precision::Medium } else { Precision::Highest }
}
