//! Additive attention of one row, f32, CPU.

use crate::cpu::simd_math::{exp, tanh, vectorised};

/// α of one row from its keys.
pub fn attention_weights(keys: &[f32], query: &[f32], v: &[f32], alpha: &mut [f32]) {
    for (keys, alpha) in keys.chunks_exact(v.len()).zip(alpha.iter_mut()) {
        *alpha = energy(keys, query, v);
    }
    softmax(alpha);
}

vectorised! {
    fn softmax(energies: &mut [f32]) {
        let mut largest = f32::NEG_INFINITY;
        for energy in energies.iter() {
            largest = largest.max(*energy);
        }
        for energy in energies.iter_mut() {
            *energy = exp::<FUSED>(*energy - largest);
        }
        let sum: f32 = energies.iter().sum();
        for energy in energies {
            *energy /= sum;
        }
    }
}

vectorised! {
    /// v · tanh(keys + query) of one position.
    fn energy(keys: &[f32], query: &[f32], v: &[f32]) -> f32 {
        const LANES: usize = 16;
        let mut sums = [0f32; LANES];
        let whole = v.len() / LANES * LANES;
        let chunks = keys.chunks_exact(LANES).zip(query.chunks_exact(LANES)).zip(v.chunks_exact(LANES));
        for ((keys, query), v) in chunks {
            for lane in 0..LANES {
                sums[lane] += v[lane] * tanh::<FUSED>(keys[lane] + query[lane]);
            }
        }
        let rest = keys[whole..].iter().zip(&query[whole..]).zip(&v[whole..]);
        sums.iter().sum::<f32>() + rest.map(|((key, query), v)| v * tanh::<FUSED>(key + query)).sum::<f32>()
    }
}

vectorised! {
    /// Adds Σ_p α_p annotations_p of one row to `context`, four positions at a time.
    pub fn weighted_mean(annotations: &[f32], alpha: &[f32], context: &mut [f32]) {
        let c = context.len();
        let mut blocks = annotations.chunks_exact(4 * c);
        let mut weights = alpha.chunks_exact(4);
        for (block, weights) in (&mut blocks).zip(&mut weights) {
            let (first, second) = block.split_at(2 * c);
            let ((a0, a1), (a2, a3)) = (first.split_at(c), second.split_at(c));
            for (i, sum) in context.iter_mut().enumerate() {
                *sum += weights[0] * a0[i] + weights[1] * a1[i] + (weights[2] * a2[i] + weights[3] * a3[i]);
            }
        }
        for (annotation, &weight) in blocks.remainder().chunks_exact(c).zip(weights.remainder()) {
            for (sum, value) in context.iter_mut().zip(annotation) {
                *sum += weight * value;
            }
        }
    }
}

vectorised! {
    /// With t = tanh(keys + query): adds ∂L/∂e v (1 − t²) to ∂L/∂keys and ∂L/∂query, and ∂L/∂e t to ∂L/∂v.
    pub fn key_gradient(
        keys: &[f32],
        query: &[f32],
        v: &[f32],
        d_energy: f32,
        d_keys: &mut [f32],
        d_query: &mut [f32],
        d_v: &mut [f32],
    ) {
        let a = v.len();
        let (keys, query, d_keys) = (&keys[..a], &query[..a], &mut d_keys[..a]);
        let (d_query, d_v) = (&mut d_query[..a], &mut d_v[..a]);
        for i in 0..a {
            let t = tanh::<FUSED>(keys[i] + query[i]);
            let slope = d_energy * v[i] * (1.0 - t * t);
            d_keys[i] += slope;
            d_query[i] += slope;
            d_v[i] += d_energy * t;
        }
    }
}
