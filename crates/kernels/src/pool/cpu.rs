//! Pooling of f32 maps on the CPU: maps are shared out among rayon's threads.

use super::{Window, Windows};
use crate::node::{Call, Operation, Value, apply_one, with_f32};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// The largest value of each window.
pub fn max(xs: &Tensor, windows: Windows) -> Result<Tensor> {
    apply_one(Max(windows), &[xs])
}

/// The mean of each window.
pub fn average(xs: &Tensor, windows: Windows) -> Result<Tensor> {
    apply_one(Average(windows), &[xs])
}

struct Max(Windows);

impl Operation for Max {
    const NAME: &'static str = "max_pool2d";
    /// The position of each window's largest value in its map.
    type Saved = Vec<u32>;

    fn forward(&self, inputs: &[Tensor], saved: bool) -> Result<(Vec<Value>, Vec<u32>)> {
        let (windows, shape) = (&self.0, self.0.output_shape(&inputs[0])?);
        let count = shape.0 * shape.1 * windows.area_out();
        let (mut ys, mut at) = (vec![0f32; count], vec![0u32; if saved { count } else { 0 }]);
        let (size_in, size_out) = (windows.area_in(), windows.area_out());
        with_f32(Self::NAME, &inputs[0], |xs| {
            let maps = xs.par_chunks(size_in).zip(ys.par_chunks_mut(size_out));
            if saved {
                maps.zip(at.par_chunks_mut(size_out)).for_each(|((xs, ys), at)| windows.window_argmax(xs, ys, at));
            } else {
                maps.for_each(|(xs, ys)| windows.window_max(xs, ys));
            }
        })?;
        Ok((vec![Value::new(ys, shape)], at))
    }

    fn backward(&self, call: &Call<Vec<u32>>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (size_in, size_out) = (self.0.area_in(), self.0.area_out());
        let mut dxs = vec![0f32; call.inputs[0].elem_count()];
        with_f32(Self::NAME, &gradients[0], |dys| {
            let maps = dxs.par_chunks_mut(size_in).zip(dys.par_chunks(size_out)).zip(call.saved.par_chunks(size_out));
            maps.for_each(|((dxs, dys), at)| dys.iter().zip(at).for_each(|(dy, &at)| dxs[at as usize] += dy));
        })?;
        call.gradients([Some(dxs)])
    }
}

struct Average(Windows);

impl Operation for Average {
    const NAME: &'static str = "avg_pool2d";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let (windows, shape) = (&self.0, self.0.output_shape(&inputs[0])?);
        let mut ys = vec![0f32; shape.0 * shape.1 * windows.area_out()];
        with_f32(Self::NAME, &inputs[0], |xs| {
            let maps = xs.par_chunks(windows.area_in()).zip(ys.par_chunks_mut(windows.area_out()));
            maps.for_each(|(xs, ys)| windows.mean(xs, ys));
        })?;
        Ok((vec![Value::new(ys, shape)], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let windows = &self.0;
        let mut dxs = vec![0f32; call.inputs[0].elem_count()];
        with_f32(Self::NAME, &gradients[0], |dys| {
            let maps = dxs.par_chunks_mut(windows.area_in()).zip(dys.par_chunks(windows.area_out()));
            maps.for_each(|(dxs, dys)| windows.spread(dxs, dys));
        })?;
        call.gradients([Some(dxs)])
    }
}

impl Windows {
    /// All windows in row-major order.
    fn all(&self) -> impl Iterator<Item = (&Window, &Window)> {
        self.rows.iter().flat_map(|row| self.columns.iter().map(move |column| (row, column)))
    }

    fn window_max(&self, xs: &[f32], ys: &mut [f32]) {
        for ((row, column), y) in self.all().zip(ys) {
            let mut best = f32::NEG_INFINITY;
            for line in xs[row.span.start * self.input.1..row.span.end * self.input.1].chunks(self.input.1) {
                // NaN wins, as it does in the training pass.
                best = line[column.span.clone()]
                    .iter()
                    .fold(best, |best, &x| if best >= x || best.is_nan() { best } else { x });
            }
            *y = best;
        }
    }

    fn window_argmax(&self, xs: &[f32], ys: &mut [f32], argmax: &mut [u32]) {
        for (((row, column), y), index) in self.all().zip(ys).zip(argmax) {
            let start = row.span.start * self.input.1 + column.span.start;
            let (mut best, mut at) = (xs[start], start);
            for line in row.span.clone() {
                let start = line * self.input.1 + column.span.start;
                for (offset, &x) in xs[start..start + column.span.len()].iter().enumerate() {
                    if x > best || (x.is_nan() && !best.is_nan()) {
                        (best, at) = (x, start + offset);
                    }
                }
            }
            (*y, *index) = (best, at as u32);
        }
    }

    fn mean(&self, xs: &[f32], ys: &mut [f32]) {
        for ((row, column), y) in self.all().zip(ys) {
            let lines = xs[row.span.start * self.input.1..row.span.end * self.input.1].chunks(self.input.1);
            let sum: f32 = lines.map(|line| line[column.span.clone()].iter().sum::<f32>()).sum();
            *y = sum / (row.divisor * column.divisor) as f32;
        }
    }

    fn spread(&self, dxs: &mut [f32], dys: &[f32]) {
        for ((row, column), dy) in self.all().zip(dys) {
            let share = dy / (row.divisor * column.divisor) as f32;
            for line in dxs[row.span.start * self.input.1..row.span.end * self.input.1].chunks_mut(self.input.1) {
                line[column.span.clone()].iter_mut().for_each(|dx| *dx += share);
            }
        }
    }
}
