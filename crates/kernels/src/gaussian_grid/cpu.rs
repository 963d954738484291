//! The Gaussian grid of f32 on the CPU: each operation one node; maps that are read or written are shared out
//! among rayon's threads.

use crate::cpu::simd_math::{multiply_add, vectorised};
use crate::node::{Call, Operation, Value, apply_one, with_f32s};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// F (N, K, size).
pub fn filters(centre: &Tensor, stride: &Tensor, variance: &Tensor, points: usize, size: usize) -> Result<Tensor> {
    apply_one(Filters { points, size }, &[centre, stride, variance])
}

/// F_Y x F_Xᵀ.
pub fn read(xs: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    apply_one(Read, &[xs, rows, columns])
}

/// F_Yᵀ p F_X.
pub fn write(patches: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<Tensor> {
    apply_one(Write, &[patches, rows, columns])
}

struct Filters {
    points: usize,
    size: usize,
}

impl Filters {
    /// How far point i lies from the centre, in strides.
    fn step(&self, point: usize) -> f32 {
        point as f32 - (self.points - 1) as f32 / 2.0
    }
}

impl Operation for Filters {
    const NAME: &'static str = "gaussian_grid filters";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let n = inputs[0].dims1()?;
        let mut filters = vec![0f32; n * self.points * self.size];
        with_f32s(Self::NAME, inputs, |[centre, stride, variance]| {
            for (at, filter) in filters.chunks_exact_mut(self.size).enumerate() {
                let (row, point) = (at / self.points, at % self.points);
                gaussian(filter, centre[row] + self.step(point) * stride[row], variance[row]);
            }
        })?;
        Ok((vec![Value::new(filters, (n, self.points, self.size))], ()))
    }

    /// With e = −(a − μ)² / 2v and F = softmax(e): de = F (dF − Σ F dF), dμ = Σ de (a − μ) / v, dv = Σ de (a − μ)² / 2v².
    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (n, tensors) = (call.inputs[0].dims1()?, call.inputs.iter().chain(call.outputs).chain(gradients));
        let [mut dcentre, mut dstride, mut dvariance] = [(); 3].map(|()| vec![0f32; n]);
        with_f32s(Self::NAME, tensors, |[centre, stride, variance, filters, dfilters]: [&[f32]; 5]| {
            let pairs = filters.chunks_exact(self.size).zip(dfilters.chunks_exact(self.size));
            for (at, (filter, dfilter)) in pairs.enumerate() {
                let (row, step) = (at / self.points, self.step(at % self.points));
                let mean: f32 = filter.iter().zip(dfilter).map(|(f, df)| f * df).sum();
                let (mu, v) = (centre[row] + step * stride[row], variance[row]);
                let (mut first, mut second) = (0.0, 0.0);
                for (pixel, (f, df)) in filter.iter().zip(dfilter).enumerate() {
                    let (de, distance) = (f * (df - mean), pixel as f32 - mu);
                    first += de * distance;
                    second += de * distance * distance;
                }
                dcentre[row] += first / v;
                dstride[row] += step * first / v;
                dvariance[row] += second / (2.0 * v * v);
            }
        })?;
        call.gradients([Some(dcentre), Some(dstride), Some(dvariance)])
    }
}

/// A filter with this mean and variance, as a softmax over its pixels.
fn gaussian(filter: &mut [f32], mean: f32, variance: f32) {
    let exponent = |pixel: usize| -(pixel as f32 - mean).powi(2) / (2.0 * variance);
    filter.iter_mut().enumerate().for_each(|(pixel, value)| *value = exponent(pixel));
    let largest = filter.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    filter.iter_mut().for_each(|value| *value = (*value - largest).exp());
    let sum: f32 = filter.iter().sum();
    filter.iter_mut().for_each(|value| *value /= sum);
}

/// N, C and the three sides of a product: K points on h × w pixels.
struct Sides {
    n: usize,
    c: usize,
    k: (usize, usize),
    h: usize,
    w: usize,
}

impl Sides {
    fn of(first: &Tensor, rows: &Tensor, columns: &Tensor) -> Result<Self> {
        let (n, c, ..) = first.dims4()?;
        let (k_y, h) = (rows.dim(1)?, rows.dim(2)?);
        let (k_x, w) = (columns.dim(1)?, columns.dim(2)?);
        Ok(Self { n, c, k: (k_y, k_x), h, w })
    }

    fn patch(&self) -> usize {
        self.k.0 * self.k.1
    }

    fn map(&self) -> usize {
        self.h * self.w
    }

    /// Gradients of `first`, rows and columns, from one closure for each of N that adds to its own.
    fn gradients(
        &self,
        first: usize,
        each: impl Fn(usize, &mut [f32], &mut [f32], &mut [f32]) + Sync,
    ) -> [Option<Vec<f32>>; 3] {
        let lengths = [self.c * first, self.k.0 * self.h, self.k.1 * self.w];
        let [mut dfirst, mut drows, mut dcolumns] = lengths.map(|length| vec![0f32; self.n * length]);
        (dfirst.par_chunks_mut(lengths[0].max(1)))
            .zip(drows.par_chunks_mut(lengths[1].max(1)))
            .zip(dcolumns.par_chunks_mut(lengths[2].max(1)))
            .enumerate()
            .for_each(|(at, ((dfirst, drows), dcolumns))| each(at, dfirst, drows, dcolumns));
        [Some(dfirst), Some(drows), Some(dcolumns)]
    }
}

struct Read;

impl Operation for Read {
    const NAME: &'static str = "gaussian_grid read";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let sides @ Sides { n, c, k, h, w } = &Sides::of(&inputs[0], &inputs[1], &inputs[2])?;
        let mut patches = vec![0f32; n * c * sides.patch()];
        with_f32s(Self::NAME, inputs, |[xs, rows, columns]| {
            patches.par_chunks_mut(sides.patch().max(1)).enumerate().for_each(|(at, patch)| {
                let of = at / c;
                let mut half = vec![0f32; k.0 * w];
                product(&mut half, &rows[of * k.0 * h..][..k.0 * h], &xs[at * sides.map()..][..sides.map()], *w);
                product_transposed(patch, &half, &columns[of * k.1 * w..][..k.1 * w], *w);
            });
        })?;
        Ok((vec![Value::new(patches, (*n, *c, k.0, k.1))], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let sides @ Sides { c, k, h, w, .. } = &Sides::of(&call.inputs[0], &call.inputs[1], &call.inputs[2])?;
        let wants_xs = call.wants(0);
        let tensors = call.inputs.iter().chain(gradients);
        let found = with_f32s(Self::NAME, tensors, |[xs, rows, columns, dys]: [&[f32]; 4]| {
            sides.gradients(sides.map(), |of, dxs, drows, dcolumns| {
                let (rows, columns) = (&rows[of * k.0 * h..][..k.0 * h], &columns[of * k.1 * w..][..k.1 * w]);
                for (channel, dxs) in dxs.chunks_exact_mut(sides.map()).enumerate() {
                    let at = of * c + channel;
                    let (xs, dys) =
                        (&xs[at * sides.map()..][..sides.map()], &dys[at * sides.patch()..][..sides.patch()]);
                    let [mut half, mut dhalf] = [(); 2].map(|()| vec![0f32; k.0 * w]);
                    product(&mut half, rows, xs, *w);
                    product(&mut dhalf, dys, columns, *w);
                    transposed_product(dcolumns, dys, &half, *w);
                    product_transposed(drows, &dhalf, xs, *w);
                    if wants_xs {
                        transposed_product(dxs, rows, &dhalf, *w);
                    }
                }
            })
        })?;
        call.gradients(found)
    }
}

struct Write;

impl Operation for Write {
    const NAME: &'static str = "gaussian_grid write";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let sides @ Sides { n, c, k, h, w } = &Sides::of(&inputs[0], &inputs[1], &inputs[2])?;
        let mut maps = vec![0f32; n * c * sides.map()];
        with_f32s(Self::NAME, inputs, |[patches, rows, columns]| {
            maps.par_chunks_mut(sides.map().max(1)).enumerate().for_each(|(at, map)| {
                let of = at / c;
                let mut half = vec![0f32; k.0 * w];
                let patch = &patches[at * sides.patch()..][..sides.patch()];
                product(&mut half, patch, &columns[of * k.1 * w..][..k.1 * w], *w);
                transposed_product(map, &rows[of * k.0 * h..][..k.0 * h], &half, *w);
            });
        })?;
        Ok((vec![Value::new(maps, (*n, *c, *h, *w))], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let sides @ Sides { c, k, h, w, .. } = &Sides::of(&call.inputs[0], &call.inputs[1], &call.inputs[2])?;
        let tensors = call.inputs.iter().chain(gradients);
        let found = with_f32s(Self::NAME, tensors, |[patches, rows, columns, dys]: [&[f32]; 4]| {
            sides.gradients(sides.patch(), |of, dpatches, drows, dcolumns| {
                let (rows, columns) = (&rows[of * k.0 * h..][..k.0 * h], &columns[of * k.1 * w..][..k.1 * w]);
                for (channel, dpatch) in dpatches.chunks_exact_mut(sides.patch()).enumerate() {
                    let at = of * c + channel;
                    let patch = &patches[at * sides.patch()..][..sides.patch()];
                    let dys = &dys[at * sides.map()..][..sides.map()];
                    let [mut half, mut dhalf] = [(); 2].map(|()| vec![0f32; k.0 * w]);
                    product(&mut half, patch, columns, *w);
                    product(&mut dhalf, rows, dys, *w);
                    product_transposed(drows, &half, dys, *w);
                    product_transposed(dpatch, &dhalf, columns, *w);
                    transposed_product(dcolumns, patch, &dhalf, *w);
                }
            })
        })?;
        call.gradients(found)
    }
}

vectorised! {
    /// y (m, w) += a (m, k) b (k, w).
    fn product(y: &mut [f32], a: &[f32], b: &[f32], w: usize) {
        let k = b.len() / w.max(1);
        for (y, a) in y.chunks_exact_mut(w).zip(a.chunks_exact(k)) {
            for (&a, b) in a.iter().zip(b.chunks_exact(w)) {
                for (y, &b) in y.iter_mut().zip(b) {
                    *y = multiply_add::<FUSED>(a, b, *y);
                }
            }
        }
    }
}

vectorised! {
    /// y (m, n) += a (m, w) b (n, w)ᵀ.
    fn product_transposed(y: &mut [f32], a: &[f32], b: &[f32], w: usize) {
        let n = b.len() / w.max(1);
        for (y, a) in y.chunks_exact_mut(n).zip(a.chunks_exact(w)) {
            for (y, b) in y.iter_mut().zip(b.chunks_exact(w)) {
                let mut lanes = [0f32; 8];
                let (mut a, mut b) = (a.chunks_exact(8), b.chunks_exact(8));
                for (a, b) in a.by_ref().zip(b.by_ref()) {
                    for lane in 0..8 {
                        lanes[lane] = multiply_add::<FUSED>(a[lane], b[lane], lanes[lane]);
                    }
                }
                let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
                *y += rest + lanes.iter().sum::<f32>();
            }
        }
    }
}

vectorised! {
    /// y (m, w) += a (k, m)ᵀ b (k, w).
    fn transposed_product(y: &mut [f32], a: &[f32], b: &[f32], w: usize) {
        let m = y.len() / w.max(1);
        for (a, b) in a.chunks_exact(m).zip(b.chunks_exact(w)) {
            for (&a, y) in a.iter().zip(y.chunks_exact_mut(w)) {
                for (y, &b) in y.iter_mut().zip(b) {
                    *y = multiply_add::<FUSED>(a, b, *y);
                }
            }
        }
    }
}
