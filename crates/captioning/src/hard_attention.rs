//! Hard attention: one position at each word, drawn from α (Xu et al. 2015, section 4.1).
//!
//! z_t = a_{s_t} with s_t ~ α_t while the decoder learns, and the likeliest position when it tells. A position is no
//! differentiable choice; α learns by REINFORCE (Williams 1992), as [`crate::caption_loss`] says.

use crate::decoder::Drawn;
use candle_core::{D, Result, Tensor};
use candlewick_parameters::Rng;
use candlewick_recurrent::attention::Attended;

/// Looks at the likeliest position alone: alpha becomes 1 there and 0 elsewhere.
pub(crate) fn likeliest(attended: &Attended, annotations: &Tensor) -> Result<Attended> {
    let positions = attended.alpha.argmax(D::Minus1)?;
    Ok(Attended { context: at(annotations, &positions)?, alpha: one_hot(&attended.alpha, &positions)? })
}

/// Looks at one position for each row, drawn from alpha (N, P), which stays what it was; says what was drawn, (N) each.
pub(crate) fn draw(attended: Attended, annotations: &Tensor, rng: &mut Rng) -> Result<(Attended, Drawn)> {
    let Attended { alpha, .. } = attended;
    let rows = alpha.detach().to_dtype(candle_core::DType::F32)?.to_vec2::<f32>()?;
    let positions: Vec<u32> = rows.iter().map(|weights| rng.categorical(weights) as u32).collect();
    let positions = Tensor::new(positions, alpha.device())?;
    // Keeps the logarithm finite where a weight has underflowed.
    let log_alpha = (&alpha + 1e-20)?.log()?;
    let log_probability = log_alpha.gather(&positions.unsqueeze(1)?, 1)?.squeeze(1)?;
    let entropy = (&alpha * &log_alpha)?.sum(1)?.neg()?;
    Ok((Attended { context: at(annotations, &positions)?, alpha }, Drawn { log_probability, entropy }))
}

/// Row n of (N, C) is position `positions[n]` of the annotations (N, P, C).
fn at(annotations: &Tensor, positions: &Tensor) -> Result<Tensor> {
    let (n, p, c) = annotations.dims3()?;
    let first = Tensor::arange_step(0, (n * p) as u32, p as u32, annotations.device())?;
    annotations.reshape((n * p, c))?.index_select(&(first + positions)?, 0)
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
    use candle_core::Device;

    fn attended() -> (Attended, Tensor) {
        let annotations = Tensor::arange(0f32, 12., &Device::Cpu).unwrap().reshape((2, 3, 2)).unwrap();
        let alpha = Tensor::new(&[[0.2f32, 0.5, 0.3], [0.7, 0.1, 0.2]], &Device::Cpu).unwrap();
        (Attended { context: annotations.mean(1).unwrap(), alpha }, annotations)
    }

    #[test]
    fn the_likeliest_position_is_seen_alone() {
        let (attended, annotations) = attended();
        let found = likeliest(&attended, &annotations).unwrap();
        assert_eq!(found.alpha.to_vec2::<f32>().unwrap(), [[0., 1., 0.], [1., 0., 0.]]);
        assert_eq!(found.context.to_vec2::<f32>().unwrap(), [[2., 3.], [6., 7.]]);
    }

    #[test]
    fn positions_are_drawn_as_often_as_alpha_says() {
        let (attended, annotations) = attended();
        let mut counts = [0usize; 3];
        for index in 0..4000 {
            let mut rng = Rng::derive(1, "draw", index);
            let (seen, said) = draw(attended.clone(), &annotations, &mut rng).unwrap();
            let context = seen.context.to_vec2::<f32>().unwrap();
            let position = (context[0][0] / 2.0) as usize;
            counts[position] += 1;
            let wanted = [0.2f32, 0.5, 0.3][position].ln();
            assert!((said.log_probability.to_vec1::<f32>().unwrap()[0] - wanted).abs() < 1e-6);
        }
        for (count, wanted) in counts.into_iter().zip([800.0, 2000.0, 1200.0]) {
            assert!((count as f64 - wanted).abs() < 120.0, "{counts:?}");
        }
        let (_, said) = draw(attended, &annotations, &mut Rng::derive(1, "draw", 0)).unwrap();
        let entropy = -(0.2f32 * 0.2f32.ln() + 0.5 * 0.5f32.ln() + 0.3 * 0.3f32.ln());
        assert!((said.entropy.to_vec1::<f32>().unwrap()[0] - entropy).abs() < 1e-6);
    }
}
