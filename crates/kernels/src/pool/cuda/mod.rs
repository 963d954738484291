//! Pooling of f32 maps on CUDA, NCHW and NHWC: a launch each way.

use super::{Window, Windows};
use crate::conv::Layout;
use crate::cuda::{Argument, Gpu, Memory, Module, module};
use crate::node::{Call, Operation, Value, apply_one};
use candle_core::{Result, Tensor};

static MODULE: Module = module!("pool");

/// The largest value, or the mean, of each window.
pub fn pool(gpu: &'static dyn Gpu, xs: &Tensor, windows: Windows, layout: Layout, largest: bool) -> Result<Tensor> {
    apply_one(Pool { gpu, windows, layout, largest }, &[xs])
}

struct Pool {
    gpu: &'static dyn Gpu,
    windows: Windows,
    layout: Layout,
    /// Whether it is the largest value.
    largest: bool,
}

/// What the backward pass needs: the windows, and where each one's largest value is.
struct Saved {
    windows: Memory,
    largest: Option<Memory>,
}

impl Operation for Pool {
    const NAME: &'static str = "pool2d";
    type Saved = Saved;

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, Saved)> {
        let (gpu, windows) = (self.gpu, self.gpu.upload(&self.table())?);
        let (height, width) = (self.windows.rows.len(), self.windows.columns.len());
        let (n, channels) = self.channels(&inputs[0])?;
        let count = n * channels * height * width;
        let (xs, ys) = (gpu.of(&inputs[0])?, gpu.alloc(count)?);
        let largest = if self.largest { Some(gpu.alloc(count)?) } else { None };
        let mut from_to = vec![xs.at(0), ys.at(0)];
        from_to.extend(largest.as_ref().map(|largest| largest.at(0)));
        self.launch(if self.largest { "max_pool" } else { "avg_pool" }, &from_to, &windows, channels, count)?;
        let shape = match self.layout {
            Layout::Nchw => (n, channels, height, width),
            Layout::Nhwc => (n, height, width, channels),
        };
        Ok((vec![gpu.value(ys, shape.into())?], Saved { windows, largest }))
    }

    fn backward(&self, call: &Call<Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (gpu, xs) = (self.gpu, &call.inputs[0]);
        let Saved { windows, largest } = call.saved;
        let (d_ys, d_xs) = (gpu.of(&gradients[0])?, gpu.alloc(xs.elem_count())?);
        let largest = largest.as_ref().map_or(Argument::Address(0), |largest| largest.at(0));
        let (_, channels) = self.channels(xs)?;
        self.launch("pool_gradients", &[d_ys.at(0), largest, d_xs.at(0)], windows, channels, xs.elem_count())?;
        Ok(vec![Some(gpu.value(d_xs, xs.shape().clone())?.tensor())])
    }
}

impl Pool {
    /// N and C.
    fn channels(&self, xs: &Tensor) -> Result<(usize, usize)> {
        let (n, second, _, last) = xs.dims4()?;
        Ok((n, if self.layout == Layout::Nchw { second } else { last }))
    }

    /// What the kernels call `windows`.
    fn table(&self) -> Vec<u32> {
        let Windows { rows, columns, input } = &self.windows;
        let each = |window: &Window| [window.span.start, window.span.end, window.divisor];
        let first = |windows: &[Window], position: usize| windows.partition_point(|window| window.span.end <= position);
        let firsts = (0..input.0).map(|y| first(rows, y)).chain((0..input.1).map(|x| first(columns, x)));
        rows.iter().chain(columns).flat_map(each).chain(firsts).map(|value| value as u32).collect()
    }

    /// A kernel with a thread for each of `count` values.
    fn launch(
        &self,
        kernel: &'static str,
        from_to: &[Argument],
        windows: &Memory,
        channels: usize,
        count: usize,
    ) -> Result<()> {
        let Windows { rows, columns, input } = &self.windows;
        let sizes = [channels, input.0, input.1, rows.len(), columns.len()].map(Argument::from);
        let last = [(self.layout == Layout::Nhwc).into(), count.into()];
        let arguments = [from_to, &[windows.at(0)], &sizes, &last].concat();
        self.gpu.launch_each(&MODULE, kernel, count, &arguments)
    }
}
