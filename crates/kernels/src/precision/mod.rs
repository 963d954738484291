//! Matmul precision: how precisely the large products of f32 matrices are formed.
//!
//! Tensors stay f32. [`Precision::Medium`] lets the products round both their sides to bf16 and sum in f32, with the CPU's
//! instructions for that, AMX or AVX512-BF16: the same trade as `torch.set_float32_matmul_precision("medium")`. The setting is
//! one for the whole process, is read whenever weights are packed or a product begins, and is [`Precision::Highest`] until it is
//! set; then every product is what it is without this module, bit for bit.
//!
//! bf16 has eight significant bits, so that a factor x becomes x·(1 + δ) with |δ| ≤ 2⁻⁸, and a sum of products `Σ aₖ bₖ` comes out
//! with an error of at most `(2⁻⁷ + 2⁻¹⁶) Σ |aₖ bₖ|` in addition to that of summing in f32; in a long sum most of it cancels. Exponents
//! have the range of f32's; values below 1.2e-38 count as 0, and those above 3.39e38 as infinite.
//!
//! **What it changes**, where tensors are f32 on the CPU: [`linear`](crate::linear) and its gradients; the products of
//! [`recurrence`](crate::recurrence) and [`attention_lstm`](crate::attention_lstm) with their weights, step by step and for all steps, and
//! those that give the weights' gradients; [`conv2d`](crate::conv::conv2d), its gradients, and
//! [`channels_last`](crate::channels_last), where 3×3 kernels then are plain sums rather than Winograd's products.
//! A [`PackedConv2d`](crate::channels_last::PackedConv2d) keeps the precision at which it was packed. **What stays f32**: products
//! of [`linear`](crate::linear) with fewer than twelve rows, recurrences over fewer than eight rows and steps in all, the gradient
//! of a convolution's input where that has up to four channels, the scores and means of attention, everything that is not a
//! product, what candle multiplies itself, and every other type.
//!
//! **Which CPUs**: AMD's with AVX512-BF16 (from Zen 4 on), and Intel's with AMX (from Sapphire Rapids on) under Linux, where the machine
//! offers it; Intel's AVX512-BF16 is slower than f32. On any other, products stay f32 whatever the setting: see [`available`].
//!
//! **On a CUDA device** [`Precision::Medium`] lets all products of f32 matrices round both their sides to TF32, which has eleven significant
//! bits, and sum in f32. [`Precision::Bf16`] lets those of [`linear`](crate::linear), of [`recurrence`](crate::recurrence), of
//! [`attention_lstm`](crate::attention_lstm) and of [`conv2d`](crate::conv::conv2d), and of their gradients, round to bf16 instead: the
//! kernels write the sides of the products in bf16 beside f32 or in its place, and weights are rounded once a call. States, gates,
//! gradients and sums stay f32. [`Precision::F16`] does the same with f16, whose eleven bits are TF32's; as it rounds
//! what is below 6e-8 to 0 and ends at 65,504, a loss wants a scale that gradients are divided by
//! ([`Checks::loss_scale`](crate::optimizer::Checks)), which training sees to. On a CPU both are [`Precision::Medium`].

pub(crate) mod setting;

pub use setting::{Precision, float32_matmul_precision, set_float32_matmul_precision};

use crate::cpu::gemm::bf16;
use candle_core::{DType, Result, Tensor};

/// Whether this CPU has instructions by which [`Precision::Medium`] is faster; where it has not, products stay f32.
///
/// Where there is AMX, asking has the operating system permit it to this process.
pub fn available() -> bool {
    bf16::best().is_some()
}

/// Half precision as f32, in which sums and means of it are to be formed: candle adds bf16 in bf16, where 256 + 1 is 256.
pub(crate) fn wide(xs: &Tensor) -> Result<Tensor> {
    match xs.dtype() {
        DType::F16 | DType::BF16 => xs.to_dtype(DType::F32),
        _ => Ok(xs.clone()),
    }
}
