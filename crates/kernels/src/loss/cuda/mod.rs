//! Cross-entropy of f32 logits on CUDA: a block for each row, two launches and one on the way back.

use super::{Reduction, Targets};
use crate::cuda::{Argument, Gpu, Launch, Memory, Module, module};
use crate::node::{Call, Operation, Value, apply_one};
use candle_core::{DType, Result, Tensor};

static MODULE: Module = module!("loss");

/// [`super::cross_entropy`] of checked targets, of which there is at least one.
pub fn cross_entropy(gpu: &'static dyn Gpu, logits: &Tensor, mut targets: Targets) -> Result<Tensor> {
    targets.mask = targets.mask.map(|mask| mask.to_dtype(DType::F32)).transpose()?;
    apply_one(Loss { gpu, targets }, &[logits])
}

struct Loss {
    gpu: &'static dyn Gpu,
    targets: Targets,
}

/// What the backward pass needs.
struct Saved {
    /// Of each row the largest logit and log Σ exp(x − largest), (M, 2).
    normalisers: Memory,
    /// What each row's weight is divided by.
    divisor: Memory,
}

impl Loss {
    /// A kernel with a block for each row.
    fn launch(&self, kernel: &'static str, arguments: &[Argument]) -> Result<()> {
        let Targets { classes, targets, mask, ignore, smoothing, .. } = &self.targets;
        let (targets, mask) = (self.gpu.of(targets)?, mask.as_ref().map(|mask| self.gpu.of(mask)).transpose()?);
        let mask = mask.as_ref().map_or(Argument::Address(0), |mask| mask.at(0));
        let of_targets = [
            targets.at(0),
            mask,
            (*classes).into(),
            ignore.is_some().into(),
            Argument::Long(ignore.unwrap_or_default()),
            Argument::Float(*smoothing as f32),
        ];
        let (grid, arguments) = ((self.targets.targets.elem_count(), 1), [arguments, &of_targets].concat());
        self.gpu.launch(&Launch::new(&MODULE, kernel, grid, &arguments).with_shared::<f32>())
    }
}

impl Operation for Loss {
    const NAME: &'static str = "cross_entropy";
    type Saved = Saved;

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, Saved)> {
        let (gpu, rows) = (self.gpu, self.targets.targets.elem_count());
        let (logits, losses, weights) = (gpu.of(&inputs[0])?, gpu.alloc(rows)?, gpu.alloc(rows)?);
        let (normalisers, divisor) = (gpu.alloc(2 * rows)?, gpu.alloc(1)?);
        let arguments = [logits.at(0), losses.at(0), weights.at(0), normalisers.at(0)];
        self.launch("cross_entropy_rows", &arguments)?;
        if !self.targets.reduced() {
            let value = gpu.value(losses, self.targets.shape.as_slice().into())?;
            return Ok((vec![value], Saved { normalisers, divisor }));
        }
        let loss = gpu.alloc(1)?;
        let mean = self.targets.reduction == Reduction::Mean;
        let all = [losses.at(0), weights.at(0), loss.at(0), divisor.at(0), rows.into(), mean.into()];
        gpu.launch(&Launch::new(&MODULE, "cross_entropy_total", (1, 1), &all).with_shared::<f32>())?;
        Ok((vec![gpu.value(loss, ().into())?], Saved { normalisers, divisor }))
    }

    fn backward(&self, call: &Call<Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let gpu = self.gpu;
        let (logits, outer) = (gpu.of(&call.inputs[0])?, gpu.of(&gradients[0])?);
        let found = gpu.alloc(call.inputs[0].elem_count())?;
        let Saved { normalisers, divisor } = call.saved;
        let arguments = [logits.at(0), normalisers.at(0), outer.at(0), divisor.at(0), found.at(0)];
        let reduced = self.targets.reduced().into();
        self.launch("cross_entropy_gradients", &[&arguments[..], &[reduced]].concat())?;
        Ok(vec![Some(gpu.value(found, call.inputs[0].shape().clone())?.tensor())])
    }
}
