//! NHWC operations of f32 on the CPU.

pub mod concat;
pub mod norm;
pub mod pool;
pub mod scale;

use super::to_nchw;
use crate::conv::cpu::layout;
use crate::node::{Call, Operation, Value, apply_one, with_f32};
use candle_core::{Result, Tensor};

/// Maps (N, C, h, w) as contiguous (N, h, w, C).
pub fn to_nhwc(xs: &Tensor) -> Result<Tensor> {
    let (_, channels, height, width) = xs.dims4()?;
    apply_one(ToNhwc { channels, size: (height, width) }, &[xs])
}

struct ToNhwc {
    channels: usize,
    size: (usize, usize),
}

impl Operation for ToNhwc {
    const NAME: &'static str = "to_nhwc";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let (height, width) = self.size;
        let turn = |xs: &[f32]| layout::to_nhwc(xs, self.channels, height * width);
        let rows = with_f32(Self::NAME, &inputs[0], turn)?;
        Ok((vec![Value::new(rows, (inputs[0].dim(0)?, height, width, self.channels))], ()))
    }

    fn backward(&self, _: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(to_nchw(&gradients[0])?.contiguous()?)])
    }
}
