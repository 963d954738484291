//! Max and average pooling of NHWC maps, f32, CPU.

use crate::channels_last::to_nchw;
use crate::cpu::fill::{Spare, par_fill};
use crate::cpu::reduce::add_scaled;
use crate::cpu::simd_math::vectorised;
use crate::node::{Call, Operation, Value, apply_one, with_f32};
use crate::pool::{Pool2d, Window, Windows};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// [`crate::channels_last::max_pool2d`].
pub fn max_pool2d(xs: &Tensor, pool: &Pool2d) -> Result<Tensor> {
    apply_one(Max(Windows::fixed("max_pool2d", &to_nchw(xs)?, pool)?), &[xs])
}

/// [`crate::channels_last::avg_pool2d`].
pub fn avg_pool2d(xs: &Tensor, pool: &Pool2d) -> Result<Tensor> {
    apply_one(Average(Windows::fixed("avg_pool2d", &to_nchw(xs)?, pool)?), &[xs])
}

/// [`crate::channels_last::mean`].
pub fn mean(xs: &Tensor) -> Result<Tensor> {
    apply_one(Mean { area: xs.dim(1)? * xs.dim(2)? }, &[xs])
}

struct Mean {
    area: usize,
}

impl Operation for Mean {
    const NAME: &'static str = "mean";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let (n, _, _, c) = inputs[0].dims4()?;
        let mut means = vec![0f32; n * c];
        with_f32(Self::NAME, &inputs[0], |xs| {
            let images = means.par_chunks_mut(c.max(1)).zip(xs.par_chunks((self.area * c).max(1)));
            images.for_each(|(means, xs)| {
                xs.chunks_exact(c).for_each(|xs| means.iter_mut().zip(xs).for_each(|(mean, x)| *mean += x));
                means.iter_mut().for_each(|mean| *mean /= self.area as f32);
            });
        })?;
        Ok((vec![Value::new(means, (n, c))], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (n, _, _, c) = call.inputs[0].dims4()?;
        let share = (gradients[0].reshape((n, 1, 1, c))? / self.area as f64)?;
        Ok(vec![Some(share.broadcast_as(call.inputs[0].shape())?.contiguous()?)])
    }
}

struct Average(Windows);

impl Average {
    /// Calls `each` for all positions of the window of each value of a line of the result: the value's place in the line, that of the
    /// position in its map, and what a mean multiplies by.
    fn line(&self, row: &Window, mut each: impl FnMut(usize, usize, f32)) {
        for (j, column) in self.0.columns.iter().enumerate() {
            let share = 1.0 / (row.divisor * column.divisor) as f32;
            for i in row.span.clone() {
                column.span.clone().for_each(|at| each(j, i * self.0.input.1 + at, share));
            }
        }
    }
}

impl Operation for Average {
    const NAME: &'static str = "avg_pool2d";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let (n, h, w, c) = inputs[0].dims4()?;
        let (rows, columns) = (&self.0.rows, self.0.columns.len());
        let mut ys = vec![0f32; n * rows.len() * columns * c];
        with_f32(Self::NAME, &inputs[0], |xs| {
            ys.par_chunks_mut((columns * c).max(1)).enumerate().for_each(|(unit, ys)| {
                let xs = &xs[unit / rows.len() * h * w * c..][..h * w * c];
                self.line(&rows[unit % rows.len()], |j, at, share| {
                    add_scaled(&xs[at * c..][..c], share, &mut ys[j * c..][..c]);
                });
            });
        })?;
        Ok((vec![Value::new(ys, (n, rows.len(), columns, c))], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (_, h, w, c) = call.inputs[0].dims4()?;
        let line = (self.0.columns.len() * c).max(1);
        let mut dxs = vec![0f32; call.inputs[0].elem_count()];
        with_f32(Self::NAME, &gradients[0], |dys| {
            let images = dxs.par_chunks_mut((h * w * c).max(1)).zip(dys.par_chunks(self.0.rows.len() * line));
            images.for_each(|(dxs, dys)| {
                for (row, dys) in self.0.rows.iter().zip(dys.chunks_exact(line)) {
                    self.line(row, |j, at, share| {
                        add_scaled(&dys[j * c..][..c], share, &mut dxs[at * c..][..c]);
                    });
                }
            });
        })?;
        call.gradients([Some(dxs)])
    }
}

struct Max(Windows);

impl Operation for Max {
    const NAME: &'static str = "max_pool2d";
    /// For each value of the result, the position in its map that it was found at.
    type Saved = Vec<u32>;

    fn forward(&self, inputs: &[Tensor], saved: bool) -> Result<(Vec<Value>, Vec<u32>)> {
        let (n, h, w, c) = inputs[0].dims4()?;
        let (rows, columns) = (&self.0.rows, &self.0.columns);
        let line = columns.len() * c;
        let count = n * rows.len() * line;
        let mut argmax = vec![0u32; if saved { count } else { 0 }];
        let work = |xs: &[f32], unit: usize, argmax: &mut [u32], ys: &mut Spare| {
            let (image, row) = (unit / rows.len(), &rows[unit % rows.len()]);
            let xs = &xs[image * h * w * c..][..h * w * c];
            let mut window = Vec::new();
            for (j, column) in columns.iter().enumerate() {
                window.clear();
                window.extend(row.span.clone().flat_map(|i| column.span.clone().map(move |j| i * w + j)));
                match argmax.get_mut(j * c..(j + 1) * c) {
                    Some(argmax) => window_argmax(xs, &window, ys, argmax),
                    None => window_max(xs, &window, c, ys),
                }
            }
        };
        let ys = with_f32(Self::NAME, &inputs[0], |xs| match saved {
            true => {
                let units = argmax.par_chunks_mut(line.max(1)).enumerate();
                par_fill(count, line, units, |(unit, argmax), ys| work(xs, unit, argmax, ys))
            }
            false => {
                let units = (0..if line > 0 { n * rows.len() } else { 0 }).into_par_iter();
                par_fill(count, line, units, |unit, ys| work(xs, unit, &mut [], ys))
            }
        })?;
        Ok((vec![Value::new(ys, (n, rows.len(), columns.len(), c))], argmax))
    }

    fn backward(&self, call: &Call<Vec<u32>>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (_, h, w, c) = call.inputs[0].dims4()?;
        let mut dxs = vec![0f32; call.inputs[0].elem_count()];
        let size_out = self.0.area_out() * c;
        with_f32(Self::NAME, &gradients[0], |dys| {
            let images = dxs.par_chunks_mut((h * w * c).max(1)).zip(dys.par_chunks(size_out.max(1)));
            images.zip(call.saved.par_chunks(size_out.max(1))).for_each(|((dxs, dys), argmax)| {
                for (dys, argmax) in dys.chunks_exact(c.max(1)).zip(argmax.chunks_exact(c.max(1))) {
                    for (j, (dy, &index)) in dys.iter().zip(argmax).enumerate() {
                        dxs[index as usize * c + j] += dy;
                    }
                }
            });
        })?;
        call.gradients([Some(dxs)])
    }
}

/// Positions of a window that are taken at a time.
const TAPS: usize = 3;

/// The next positions of a window, the last of them again where there are fewer, and the channels of each.
#[inline(always)]
fn taps<'a>(xs: &'a [f32], channels: usize, window: &[usize]) -> ([usize; TAPS], [&'a [f32]; TAPS]) {
    let taps = std::array::from_fn(|k| window[k.min(window.len() - 1)]);
    (taps, taps.map(|at| &xs[at * channels..][..channels]))
}

/// The larger value, the first where they are equal; a NaN is the largest.
#[inline(always)]
fn larger<P>(y: (f32, P), x: (f32, P)) -> (f32, P) {
    if (y.0 >= x.0) | y.0.is_nan() { y } else { x }
}

vectorised! {
    /// The largest value of each channel at some positions of a map; a NaN is the largest value.
    fn window_max(xs: &[f32], window: &[usize], channels: usize, ys: &mut Spare) {
        let ys = ys.extend_with(channels, f32::NEG_INFINITY);
        // Of a choice between what stands there and one value more the compiler makes a masked store, which is slow with AVX2.
        for window in window.chunks(TAPS) {
            let (_, [a, b, c]) = taps(xs, channels, window);
            for j in 0..channels {
                let first = larger(larger((ys[j], ()), (a[j], ())), (b[j], ()));
                (ys[j], ()) = larger(first, (c[j], ()));
            }
        }
    }
}

vectorised! {
    /// The same, and its position: the first, where several have it.
    fn window_argmax(xs: &[f32], window: &[usize], ys: &mut Spare, argmax: &mut [u32]) {
        let channels = argmax.len();
        let ys = ys.extend_with(channels, f32::NEG_INFINITY);
        argmax.fill(window.first().map_or(0, |&at| at as u32));
        for window in window.chunks(TAPS) {
            let (at, [a, b, c]) = taps(xs, channels, window);
            let at = at.map(|at| at as u32);
            for j in 0..channels {
                let first = larger(larger((ys[j], argmax[j]), (a[j], at[0])), (b[j], at[1]));
                (ys[j], argmax[j]) = larger(first, (c[j], at[2]));
            }
        }
    }
}
