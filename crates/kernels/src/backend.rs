//! Which form of an operation runs.

use crate::cuda::{self, Gpu};
use candle_core::{DType, Tensor};

/// The operations that have more than one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Activation,
    AdditiveAttention,
    AttentionLstm,
    BatchNorm,
    ConcatChannels,
    Conv2d,
    CrossEntropy,
    Embedding,
    GaussianGrid,
    LayerNorm,
    Linear,
    OptimizerStep,
    Pool2d,
    Recurrence,
    ResidualAdd,
    SamplePositions,
    ScaleChannels,
    ScaleRows,
    /// The sum of two gradients.
    SumGradients,
    ToNhwc,
    TopK,
    /// A deferred weight gradient.
    WeightGradient,
}

/// The forms of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// This crate's f32 kernels on the CPU.
    Cpu,
    /// candle's tensor operations, on any device and in any type of float.
    Reference,
}

impl Backend {
    /// The form of an operation for these tensors: the only place that decides it.
    pub fn choose(op: Op, tensors: &[&Tensor]) -> Self {
        let has_kernel = match op {
            // The kernel takes xs, weight and bias.
            Op::LayerNorm => tensors.len() == 3,
            // The kernels share out rows, of which there must be one.
            Op::GaussianGrid | Op::ResidualAdd | Op::ScaleChannels | Op::ScaleRows => tensors[0].elem_count() > 0,
            _ => true,
        };
        let on_cpu_f32 = |tensor: &&Tensor| tensor.device().is_cpu() && tensor.dtype() == DType::F32;
        if has_kernel && tensors.iter().all(on_cpu_f32) { Self::Cpu } else { Self::Reference }
    }

    /// The device that runs an operation's CUDA kernels on these tensors, where there are such; it comes before the forms.
    pub fn gpu(op: Op, tensors: &[&Tensor]) -> Option<&'static dyn Gpu> {
        let has_kernel = match op {
            // A block takes a row, of which there must be one.
            Op::CrossEntropy | Op::TopK => tensors[0].elem_count() > 0,
            // cuDNN convolves faster, but candle has only its way forward.
            Op::Conv2d => {
                let tracked = tensors.iter().any(|tensor| tensor.track_op());
                tensors[0].elem_count() > 0 && (tracked || !cfg!(feature = "cudnn"))
            }
            Op::BatchNorm | Op::Pool2d => tensors[0].elem_count() > 0,
            // A product has no empty side.
            Op::Linear | Op::WeightGradient => tensors.iter().all(|tensor| tensor.elem_count() > 0),
            Op::AttentionLstm | Op::Embedding | Op::OptimizerStep | Op::Recurrence => true,
            _ => false,
        };
        if has_kernel { cuda::device_of(tensors) } else { None }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    #[test]
    fn kernels_run_where_all_tensors_are_f32_on_the_cpu_and_they_serve() {
        let zeros = |shape: &[usize], dtype: DType| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
        let (single, double, empty) = (zeros(&[2], DType::F32), zeros(&[2], DType::F64), zeros(&[0], DType::F32));
        for (op, tensors, wanted) in [
            (Op::Linear, vec![&single, &single], Backend::Cpu),
            (Op::Linear, vec![&single, &double], Backend::Reference),
            (Op::LayerNorm, vec![&single, &single, &single], Backend::Cpu),
            (Op::LayerNorm, vec![&single, &single], Backend::Reference),
            (Op::Activation, vec![&empty], Backend::Cpu),
            (Op::ScaleRows, vec![&empty, &empty], Backend::Reference),
        ] {
            assert_eq!(Backend::choose(op, &tensors), wanted, "{op:?}");
        }
    }
}
