//! Hard attention: one position at each word, drawn from α (Xu et al. 2015, section 4.1).
//!
//! z_t = a_{s_t} with s_t ~ α_t while the decoder learns, and the likeliest position when it tells. A position is no
//! differentiable choice; α learns by REINFORCE (Williams 1992), as `loss::with_positions` says. The words that a decoder tells may be
//! those of several positions, p(y) = Σ_k α_k p(y | a_k) over the likeliest (Deng et al. 2018, "Latent alignment and variational
//! attention"), while its state goes on from the likeliest alone.

use crate::decoder::Drawn;
use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops::log_softmax;
use candlewick_recurrent::attention::{Attended, AttentionMemory};

/// Looks at one position of each row alone: alpha becomes 1 there and 0 elsewhere.
pub(crate) fn alone(positions: &Tensor, attended: &Attended, annotations: &AttentionMemory) -> Result<Attended> {
    Ok(Attended { context: annotations.gather_position(positions)?, alpha: one_hot(&attended.alpha, positions)? })
}

/// The `count` likeliest positions of each row, the likeliest first: (N, count), or (N, P) where there are fewer.
pub(crate) fn likeliest(alpha: &Tensor, count: usize) -> Result<Tensor> {
    match count {
        1 => alpha.argmax_keepdim(D::Minus1),
        _ => alpha.contiguous()?.arg_sort_last_dim(false)?.narrow(1, 0, count.min(alpha.dim(1)?))?.contiguous(),
    }
}

/// log Σ_k α_k p(y | a_k) (N, V), but for a constant of each row, from the `logits` (N, V) after a look at each of K positions and the `weights` α_k (N, K).
pub(crate) fn expected(logits: &[Tensor], weights: &Tensor) -> Result<Tensor> {
    let log_weights = (weights + 1e-20)?.log()?;
    let joint: Vec<Tensor> = (logits.iter().enumerate())
        .map(|(k, logits)| log_softmax(logits, D::Minus1)?.broadcast_add(&log_weights.narrow(1, k, 1)?))
        .collect::<Result<_>>()?;
    Tensor::stack(&joint, 0)?.log_sum_exp(0)
}

/// What is said of the positions (N, T) that were drawn from alpha (N, T, P).
pub(crate) fn drawn(alpha: &Tensor, positions: &Tensor) -> Result<Drawn> {
    // Keeps the logarithm finite where a weight has underflowed, and beyond a caption's end.
    let log_alpha = (alpha + 1e-20)?.log()?;
    let log_probability = log_alpha.gather(&positions.unsqueeze(2)?, 2)?.squeeze(2)?;
    Ok(Drawn { log_probability, entropy: (alpha * &log_alpha)?.sum(2)?.neg()? })
}

/// The matrix (P, P) that takes the annotations of a map of `height` × `width` = P positions to what a look at each takes in: the mean over the
/// `glimpse` × `glimpse` positions around it, as far as the map goes, at 1 − `periphery`, and the mean over all of them at `periphery`.
pub(crate) fn look((height, width): (usize, usize), glimpse: usize, periphery: f64, device: &Device) -> Result<Tensor> {
    let (p, reach) = (height * width, glimpse / 2);
    let window = |at: usize, side: usize| at.saturating_sub(reach)..(at + glimpse - reach).min(side);
    let mut weights = vec![(periphery / p as f64) as f32; p * p];
    for (at, weights) in weights.chunks_exact_mut(p.max(1)).enumerate() {
        let (rows, columns) = (window(at / width, height), window(at % width, width));
        let share = ((1.0 - periphery) / (rows.len() * columns.len()) as f64) as f32;
        rows.for_each(|row| weights[row * width..][columns.clone()].iter_mut().for_each(|weight| *weight += share));
    }
    Tensor::from_vec(weights, (p, p), device)
}

/// 1 at the position of each row and 0 elsewhere, in the shape of alpha (N, P).
fn one_hot(alpha: &Tensor, positions: &Tensor) -> Result<Tensor> {
    let p = alpha.dim(1)?;
    let all = Tensor::arange(0, p as u32, alpha.device())?.broadcast_as(alpha.shape())?;
    all.eq(&positions.unsqueeze(1)?.broadcast_as(alpha.shape())?)?.to_dtype(alpha.dtype())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candlewick_parameters::Parameters;
    use candlewick_recurrent::attention::AdditiveAttention;

    fn attended() -> (Attended, Tensor) {
        let annotations = Tensor::arange(0f32, 12., &Device::Cpu).unwrap().reshape((2, 3, 2)).unwrap();
        let alpha = Tensor::new(&[[0.2f32, 0.5, 0.3], [0.7, 0.1, 0.2]], &Device::Cpu).unwrap();
        (Attended { context: annotations.mean(1).unwrap(), alpha }, annotations)
    }

    #[test]
    fn the_likeliest_position_is_seen_alone() {
        let (attended, annotations) = attended();
        let attention = AdditiveAttention::new(2, 1, 1, Parameters::new(1).builder(&Device::Cpu)).unwrap();
        let annotations = attention.memory(&annotations).unwrap();
        let likeliest = |attended: &Attended| likeliest(&attended.alpha, 1).unwrap().squeeze(1).unwrap();
        let found = alone(&likeliest(&attended), &attended, &annotations).unwrap();
        assert_eq!(found.alpha.to_vec2::<f32>().unwrap(), [[0., 1., 0.], [1., 0., 0.]]);
        assert_eq!(found.context.to_vec2::<f32>().unwrap(), [[2., 3.], [6., 7.]]);
        // Rows of another order, both of the second picture.
        let both = annotations.select(&Tensor::new(&[1u32, 1], &Device::Cpu).unwrap()).unwrap();
        let found = alone(&likeliest(&attended), &attended, &both).unwrap();
        assert_eq!(found.context.to_vec2::<f32>().unwrap(), [[8., 9.], [6., 7.]]);
    }

    #[test]
    fn the_likeliest_come_first_and_tell_by_their_weights() {
        let alpha = attended().0.alpha;
        assert_eq!(likeliest(&alpha, 2).unwrap().to_vec2::<u32>().unwrap(), [[1, 2], [0, 2]]);
        assert_eq!(likeliest(&alpha, 9).unwrap().to_vec2::<u32>().unwrap(), [[1, 2, 0], [0, 2, 1]]);
        // p(y | a) of two words is 1/2, 1/2 after one look and 1/4, 3/4 after the other, which weigh 0.2 and 0.6.
        let logits = [[0f32, 0.0], [5.0, 5.0 + 3f32.ln()]].map(|row| Tensor::new(&[row], &Device::Cpu).unwrap());
        let weights = Tensor::new(&[[0.2f32, 0.6]], &Device::Cpu).unwrap();
        let p = expected(&logits, &weights).unwrap().exp().unwrap().to_vec2::<f32>().unwrap();
        assert!((p[0][0] - (0.1 + 0.15)).abs() < 1e-6 && (p[0][1] - (0.1 + 0.45)).abs() < 1e-6, "{p:?}");
    }

    #[test]
    fn a_glimpse_is_the_mean_of_what_lies_around() {
        let found = look((3, 3), 3, 0.0, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        let (third, quarter, sixth) = (1.0 / 9.0, 0.25, 1.0 / 6.0);
        assert_eq!(found[4], [third; 9]);
        assert_eq!(found[0], [quarter, quarter, 0., quarter, quarter, 0., 0., 0., 0.]);
        assert_eq!(found[5], [0., sixth, sixth, 0., sixth, sixth, 0., sixth, sixth]);
        let wide = look((2, 3), 3, 0.0, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(wide[0], [quarter, quarter, 0., quarter, quarter, 0.]);
        assert_eq!(wide[4], [sixth; 6]);
    }

    #[test]
    fn the_corner_of_the_eye_takes_in_the_whole_map() {
        let found = look((1, 4), 1, 0.5, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(found[1], [0.125, 0.625, 0.125, 0.125]);
        let all = look((2, 3), 3, 1.0, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(all, vec![vec![1.0 / 6.0; 6]; 6]);
    }

    #[test]
    fn what_was_drawn_is_told_with_its_probability_and_the_entropy() {
        let alpha = attended().0.alpha.unsqueeze(0).unwrap();
        let found = drawn(&alpha, &Tensor::new(&[[1u32, 0]], &Device::Cpu).unwrap()).unwrap();
        let log_probability = found.log_probability.to_vec2::<f32>().unwrap();
        let entropy = -(0.2f32 * 0.2f32.ln() + 0.5 * 0.5f32.ln() + 0.3 * 0.3f32.ln());
        assert!((log_probability[0][0] - 0.5f32.ln()).abs() < 1e-6);
        assert!((log_probability[0][1] - 0.7f32.ln()).abs() < 1e-6);
        assert!((found.entropy.to_vec2::<f32>().unwrap()[0][0] - entropy).abs() < 1e-6);
    }
}
