//! Position embeddings for pictures of another size.

use candle_core::{Result, Tensor};

/// Keys' coefficient in PyTorch's bicubic interpolation.
const A: f64 = -0.75;

/// (side², C) in rows → (to², C), interpolated bicubically as PyTorch's `interpolate` does without antialiasing; for another
/// size than before the ratio of sizes is (to + offset) / side.
///
/// Keys 1981, "Cubic convolution interpolation for digital image processing".
pub(super) fn resized(embeddings: &Tensor, side: usize, to: usize, offset: f64) -> Result<Tensor> {
    if side == to {
        return Ok(embeddings.clone());
    }
    let channels = embeddings.dim(1)?;
    let weights = weights(side, to, offset);
    let weights = Tensor::from_vec(weights, (to, side), embeddings.device())?.to_dtype(embeddings.dtype())?;
    // Down, with columns and channels beside each other, and then across.
    let down = weights.matmul(&embeddings.reshape((side, side * channels))?)?.reshape((to, side, channels))?;
    weights.broadcast_matmul(&down)?.reshape((to * to, channels))
}

/// What each of `side` old positions gives to each of `to` new ones, (to, side).
fn weights(side: usize, to: usize, offset: f64) -> Vec<f32> {
    let ratio = side as f64 / (to as f64 + offset);
    let mut weights = vec![0f32; to * side];
    for (new, row) in weights.chunks_exact_mut(side).enumerate() {
        let at = (new as f64 + 0.5) * ratio - 0.5;
        let before = at.floor();
        for tap in -1..=2 {
            // What lies outside is as the edge.
            let old = (before + f64::from(tap)).clamp(0.0, side as f64 - 1.0) as usize;
            if let Some(weight) = row.get_mut(old) {
                *weight += cubic(at - before - f64::from(tap)) as f32;
            }
        }
    }
    weights
}

fn cubic(distance: f64) -> f64 {
    let x = distance.abs();
    match x {
        x if x <= 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => A * (((x - 5.0) * x + 8.0) * x - 4.0),
        _ => 0.0,
    }
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
        let row = &weights(8, 8, 0.0)[3 * 8..4 * 8];
        assert_eq!(row, [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
