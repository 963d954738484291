//! Rows of an f32 table on CUDA: a launch each way, without a sum whose order is not known.

use crate::cuda::{Argument, Gpu, Launch, Memory, Module, THREADS, module};
use crate::node::{Call, Operation, Value, apply_one};
use candle_core::{DType, Result, Tensor};

static MODULE: Module = module!("embedding");

/// [`super::embedding`] of ids (N) in a row, of which there is one at least.
pub fn embedding(gpu: &'static dyn Gpu, weight: &Tensor, ids: Tensor) -> Result<Tensor> {
    if ![DType::U32, DType::I64].contains(&ids.dtype()) {
        candle_core::bail!("these are of type {:?}", ids.dtype())
    }
    apply_one(Embedding { gpu, ids }, &[weight])
}

struct Embedding {
    gpu: &'static dyn Gpu,
    ids: Tensor,
}

impl Embedding {
    /// The ids, words from one to the next, and their number.
    fn ids(&self) -> Result<(Memory, [Argument; 2])> {
        let words = if self.ids.dtype() == DType::I64 { 2usize } else { 1 };
        Ok((self.gpu.of(&self.ids)?, [words.into(), self.ids.elem_count().into()]))
    }
}

impl Operation for Embedding {
    const NAME: &'static str = "embedding";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let (gpu, (rows, width), count) = (self.gpu, inputs[0].dims2()?, self.ids.elem_count());
        let ((ids, of_ids), weight, found) = (self.ids()?, gpu.of(&inputs[0])?, gpu.alloc(count * width)?);
        let arguments = [weight.at(0), ids.at(0), of_ids[0], of_ids[1], found.at(0), rows.into(), width.into()];
        gpu.launch_each(&MODULE, "embedding_rows", count * width, &arguments)?;
        Ok((vec![gpu.value(found, (count, width).into())?], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (gpu, (rows, width)) = (self.gpu, call.inputs[0].dims2()?);
        let ((ids, of_ids), outer, found) = (self.ids()?, gpu.of(&gradients[0])?, gpu.alloc(rows * width)?);
        let arguments = [outer.at(0), ids.at(0), of_ids[0], of_ids[1], found.at(0), width.into()];
        if rows * width > 0 {
            let grid = (rows, width.div_ceil(THREADS));
            gpu.launch(&Launch::new(&MODULE, "embedding_gradients", grid, &arguments))?;
        }
        Ok(vec![Some(gpu.value(found, (rows, width).into())?.tensor())])
    }
}
