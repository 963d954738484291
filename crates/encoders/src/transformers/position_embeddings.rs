//! Position embeddings: bicubic interpolation to another image size, and rotary ones in two dimensions.

use candle_core::{Device, Result, Tensor};

/// The kinds of bicubic interpolation in PyTorch's `interpolate`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bicubic {
    /// Without antialiasing, with the scale factor (to + this) / side.
    Plain(f64),
    /// With antialiasing, so that a smaller grid has means.
    Antialiased,
}

/// (side², C) in rows → (to², C), interpolated bicubically.
///
/// Keys 1981, "Cubic convolution interpolation for digital image processing".
pub(super) fn resized(embeddings: &Tensor, side: usize, to: usize, bicubic: Bicubic) -> Result<Tensor> {
    if side == to {
        return Ok(embeddings.clone());
    }
    let channels = embeddings.dim(1)?;
    let weights = match bicubic {
        Bicubic::Plain(offset) => weights(side, to, offset),
        Bicubic::Antialiased => antialiased_weights(side, to),
    };
    let weights = Tensor::from_vec(weights, (to, side), embeddings.device())?.to_dtype(embeddings.dtype())?;
    // Down the rows, with columns and channels as one axis, and then across.
    let down = weights.matmul(&embeddings.reshape((side, side * channels))?)?.reshape((to, side, channels))?;
    weights.broadcast_matmul(&down)?.reshape((to * to, channels))
}

/// The weights of `side` old positions in each of `to` new ones, (to, side).
fn weights(side: usize, to: usize, offset: f64) -> Vec<f32> {
    let ratio = side as f64 / (to as f64 + offset);
    let mut weights = vec![0f32; to * side];
    for (new, row) in weights.chunks_exact_mut(side).enumerate() {
        let at = (new as f64 + 0.5) * ratio - 0.5;
        let before = at.floor();
        for tap in -1..=2 {
            // Beyond the edge its value counts.
            let old = (before + f64::from(tap)).clamp(0.0, side as f64 - 1.0) as usize;
            if let Some(weight) = row.get_mut(old) {
                *weight += cubic(at - before - f64::from(tap), -0.75) as f32;
            }
        }
    }
    weights
}

/// The same with a kernel as wide as the new positions lie apart, cut off at the edges.
fn antialiased_weights(side: usize, to: usize) -> Vec<f32> {
    let ratio = side as f64 / to as f64;
    let width = ratio.max(1.0);
    let mut weights = Vec::with_capacity(to * side);
    for new in 0..to {
        let centre = (new as f64 + 0.5) * ratio;
        let row: Vec<f64> = (0..side).map(|old| cubic((old as f64 + 0.5 - centre) / width, -0.5)).collect();
        let sum: f64 = row.iter().sum();
        weights.extend(row.into_iter().map(|weight| (weight / sum) as f32));
    }
    weights
}

/// Keys' kernel with his coefficient a.
fn cubic(distance: f64, a: f64) -> f64 {
    let x = distance.abs();
    match x {
        x if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
        x if x < 2.0 => a * (((x - 5.0) * x + 8.0) * x - 4.0),
        _ => 0.0,
    }
}

/// The sines and after them the cosines of side × side positions in heads of size H, (side², 2H): pairs of channels turn by
/// row · b and after them by column · b, for frequencies b = 10000^(−4i/H); a side counts as `reference` positions.
///
/// Su et al. 2021, "RoFormer: enhanced transformer with rotary position embedding", in two dimensions as EVA-02 has it.
pub(super) fn rotary(side: usize, reference: usize, head_size: usize, device: &Device) -> Result<Tensor> {
    let bands = head_size / 4;
    let angle = |at: usize, band: usize| {
        let position = at as f64 / side as f64 * reference as f64;
        position / 10_000f64.powf(band as f64 / bands as f64)
    };
    let mut values = Vec::with_capacity(side * side * 2 * head_size);
    for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
        let angles: Vec<f64> =
            [row, column].iter().flat_map(|&at| (0..bands).map(move |band| angle(at, band))).collect();
        for function in [f64::sin, f64::cos] {
            values.extend(angles.iter().flat_map(|&angle| [function(angle) as f32; 2]));
        }
    }
    Tensor::from_vec(values, (side * side, 2 * head_size), device)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn weights_sum_to_1_and_the_same_size_changes_nothing() {
        for (side, to, offset) in [(37, 16, 0.1), (4, 7, 0.0), (14, 24, 0.0)] {
            for row in weights(side, to, offset).chunks_exact(side) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            }
        }
        for weights in [weights(8, 8, 0.0), antialiased_weights(8, 8)] {
            assert_eq!(weights[3 * 8..4 * 8], [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        }
        for row in antialiased_weights(37, 16).chunks_exact(37) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }
}
