//! Additive attention in f32 on the CPU: one pass over keys and annotations for each row, rows in parallel.

pub(crate) mod rows;

use super::{NAME, Rows};
use crate::cpu::gemm::gemv::{self, RowMajor};
use crate::cpu::reduce::add_scaled;
use crate::cpu::simd_math::dot;
use crate::node::{Call, Operation, Value, apply_array, with_f32s, with_optional};
use candle_core::{Result, Tensor};
use rayon::prelude::*;
use rows::{attention_weights, key_gradient, weighted_mean};

/// [`super::additive_rows`].
pub fn additive(
    keys: &Tensor,
    query: &Tensor,
    v: &Tensor,
    annotations: &Tensor,
    Rows { source, counts }: Rows,
) -> Result<(Tensor, Tensor)> {
    let node = Additive { source: source.cloned(), counts: counts.map(|counts| counts.tensor().clone()) };
    apply_array(node, &[keys, query, v, annotations]).map(|[context, alpha]| (context, alpha))
}

/// On keys, query, v and annotations.
struct Additive {
    source: Option<Tensor>,
    counts: Option<Tensor>,
}

impl Additive {
    fn with_sources<R>(&self, f: impl FnOnce(Sources) -> R) -> Result<R> {
        with_optional(NAME, self.source.as_ref(), |source| {
            with_optional(NAME, self.counts.as_ref(), |counts| f(Sources { source, counts }))
        })?
    }
}

/// The source of each row, and how many annotations each source has.
#[derive(Clone, Copy)]
struct Sources<'a> {
    source: Option<&'a [u32]>,
    counts: Option<&'a [u32]>,
}

impl Sources<'_> {
    fn of(self, row: usize) -> usize {
        self.source.map_or(row, |source| source[row] as usize)
    }

    /// How many of `p` annotations a source has.
    fn count(self, source: usize, p: usize) -> usize {
        self.counts.map_or(p, |counts| counts[source] as usize)
    }

    /// The gradients of the rows (N, P, ·), summed over those of each source (M, P, ·).
    fn sum(self, of_rows: Vec<f32>, m: usize) -> Vec<f32> {
        let Some(source) = self.source else { return of_rows };
        let stride = of_rows.len() / source.len().max(1);
        let mut sums = vec![0f32; m * stride];
        for (row, &source) in of_rows.chunks_exact(stride.max(1)).zip(source) {
            add_scaled(row, 1.0, &mut sums[source as usize * stride..][..stride]);
        }
        sums
    }
}

impl Operation for Additive {
    // The tangents are computed again on the way back: that takes less time than writing and reading them.
    const NAME: &'static str = NAME;
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        self.with_sources(|sources| sources.forward(inputs))?
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        self.with_sources(|sources| sources.backward(call, gradients))?
    }
}

impl Sources<'_> {
    fn forward(self, inputs: &[Tensor]) -> Result<(Vec<Value>, ())> {
        let (_, p, a) = inputs[0].dims3()?;
        let (n, c) = (inputs[1].dim(0)?, inputs[3].dim(2)?);
        let (mut context, mut alpha) = (vec![0f32; n * c], vec![0f32; n * p]);
        with_f32s(NAME, inputs, |[keys, query, v, annotations]| {
            let rows = alpha.par_chunks_mut(p).zip(context.par_chunks_mut(c));
            rows.enumerate().for_each(|(row, (alpha, context))| {
                let source = self.of(row);
                let count = self.count(source, p);
                // α stays 0 at the others, and with it all their gradients.
                let alpha = &mut alpha[..count];
                attention_weights(&keys[source * p * a..][..count * a], &query[row * a..][..a], v, alpha);
                weighted_mean(&annotations[source * p * c..][..count * c], alpha, context);
            });
        })?;
        Ok((vec![Value::new(context, (n, c)), Value::new(alpha, (n, p))], ()))
    }

    fn backward(self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let d_annotations = call.wanted[3].then(|| self.annotation_gradient(call, &gradients[0])).transpose()?;
        if !call.wanted[..3].contains(&true) {
            return Ok(vec![None, None, None, d_annotations]);
        }
        let (m, p, a) = call.inputs[0].dims3()?;
        let n = call.inputs[1].dim(0)?;
        let d_energies = self.energy_gradient(call, gradients)?;
        let (mut d_keys, mut d_query, mut d_v) = (vec![0f32; n * p * a], vec![0f32; n * a], vec![0f32; n * a]);
        with_f32s(NAME, &call.inputs[..3], |[keys, query, v]| {
            let rows = d_keys.par_chunks_mut(p * a).zip(d_query.par_chunks_mut(a)).zip(d_v.par_chunks_mut(a));
            rows.enumerate().for_each(|(row, ((d_keys, d_query), d_v))| {
                let source = self.of(row);
                let positions = keys[source * p * a..].chunks_exact(a).zip(d_keys.chunks_exact_mut(a));
                // Annotations beyond the source's count may be NaN.
                let d_energies = &d_energies[row * p..][..self.count(source, p)];
                for ((keys, d_keys), &d_energy) in positions.zip(d_energies) {
                    key_gradient(keys, &query[row * a..][..a], v, d_energy, d_keys, d_query, d_v);
                }
            });
        })?;
        // Row after row, so that the order of the sum does not depend on threads.
        let mut total = vec![0f32; a];
        d_v.chunks_exact(a).for_each(|row| total.iter_mut().zip(row).for_each(|(sum, value)| *sum += value));
        let device = call.inputs[0].device();
        let d_keys = Tensor::from_vec(self.sum(d_keys, m), (m, p, a), device)?;
        let d_query = Tensor::from_vec(d_query, (n, a), device)?;
        Ok(vec![Some(d_keys), Some(d_query), Some(Tensor::from_vec(total, a, device)?), d_annotations])
    }

    /// ∂L/∂e = α ⊙ (∂L/∂α − Σ α ∂L/∂α), where the context adds annotations · ∂L/∂context to ∂L/∂α.
    fn energy_gradient(self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<f32>> {
        let (_, p, c) = call.inputs[3].dims3()?;
        let mut d_energies = vec![0f32; call.inputs[1].dim(0)? * p];
        let all = [&call.inputs[3], &call.outputs[1], &gradients[0], &gradients[1]];
        with_f32s(NAME, all, |[annotations, alpha, d_context, d_alpha]| {
            d_energies.par_chunks_mut(p).enumerate().for_each(|(row, d_energies)| {
                let source = self.of(row);
                let count = self.count(source, p);
                let (alpha, d_alpha) = (&alpha[row * p..][..count], &d_alpha[row * p..][..count]);
                let (d_energies, d_context) = (&mut d_energies[..count], &d_context[row * c..][..c]);
                let annotations = RowMajor { values: &annotations[source * p * c..], stride: c, count };
                d_energies.copy_from_slice(d_alpha);
                gemv::add(d_energies, count, RowMajor::one(d_context), annotations, c);
                let mean = dot(alpha, d_energies);
                d_energies.iter_mut().zip(alpha).for_each(|(value, alpha)| *value = alpha * (*value - mean));
            });
        })?;
        Ok(d_energies)
    }

    /// ∂L/∂annotations = α ⊗ ∂L/∂context.
    fn annotation_gradient(self, call: &Call<()>, d_context: &Tensor) -> Result<Tensor> {
        let (m, p, c) = call.inputs[3].dims3()?;
        let mut found = vec![0f32; call.inputs[1].dim(0)? * p * c];
        with_f32s(NAME, [&call.outputs[1], d_context], |[alpha, d_context]| {
            found.par_chunks_mut(c).enumerate().for_each(|(position, found)| {
                let d_context = &d_context[position / p * c..][..c];
                found.iter_mut().zip(d_context).for_each(|(found, gradient)| *found = alpha[position] * gradient);
            });
        })?;
        Tensor::from_vec(self.sum(found, m), (m, p, c), d_context.device())
    }
}
