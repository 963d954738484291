//! Tensors of f32 on the CPU as slices.

use candle_core::{CpuStorage, DType, Error, InplaceOp1, Layout, Result, Storage, Tensor};
use rayon::prelude::*;
use std::cell::RefCell;

/// Values that one thread works on at a time; sums over them are taken in order, whatever thread took which.
pub(super) const CHUNK: usize = 16 * 1024;

/// Whether the loops over slices can run: f32 on the CPU.
fn is_plain(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && tensor.dtype() == DType::F32
}

/// Calls `f` with the values of a contiguous f32 tensor on the CPU.
pub(super) fn with_slice<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { candle_core::bail!("a tensor on the CPU is wanted") };
    let values = storage.as_slice::<f32>()?;
    let range = contiguous(layout)?;
    values.get(range).map(f).ok_or_else(|| Error::msg("the layout reaches beyond its storage"))
}

/// Calls `f` with the values of a contiguous f32 tensor on the CPU, to change them in place.
pub(crate) fn with_slice_mut<R>(tensor: &Tensor, f: impl FnOnce(&mut [f32]) -> Result<R>) -> Result<R> {
    let change = Change { f: RefCell::new(Some(f)), result: RefCell::new(None) };
    tensor.inplace_op1(&change)?;
    change.result.into_inner().ok_or_else(|| Error::msg("the change was not made"))
}

/// Whether no value is NaN or infinite.
///
/// # Errors
/// When the device fails.
pub fn is_finite(tensor: &Tensor) -> Result<bool> {
    if is_plain(tensor) && tensor.is_contiguous() {
        return with_slice(tensor, |values| values.par_chunks(CHUNK).all(|part| part.iter().all(|x| x.is_finite())));
    }
    if !tensor.dtype().is_float() {
        return Ok(true);
    }
    // 0·x is 0, but for NaN and infinities.
    Ok((tensor.to_dtype(DType::F32)? * 0.0)?.sum_all()?.to_vec0::<f32>()? == 0.0)
}

fn contiguous(layout: &Layout) -> Result<std::ops::Range<usize>> {
    layout
        .contiguous_offsets()
        .map(|(start, end)| start..end)
        .ok_or_else(|| Error::msg("a contiguous tensor is wanted"))
}

/// candle lends a tensor's storage for writing to operations in place only.
struct Change<F, R> {
    f: RefCell<Option<F>>,
    result: RefCell<Option<R>>,
}

impl<R, F: FnOnce(&mut [f32]) -> Result<R>> InplaceOp1 for Change<F, R> {
    fn name(&self) -> &'static str {
        "optimizer step"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(values) = storage else { candle_core::bail!("an f32 tensor is wanted") };
        let values = values.get_mut(contiguous(layout)?);
        if let (Some(values), Some(f)) = (values, self.f.take()) {
            self.result.replace(Some(f(values)?));
        }
        Ok(())
    }
}
