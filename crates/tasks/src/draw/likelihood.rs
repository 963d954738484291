//! −log p(x | c), in nats a picture.

use super::config::Likelihood;
use candle_core::{Result, Tensor};
use candlewick_kernels::activation::sigmoid;
use candlewick_parameters::{Initial, ParameterBuilder, VarBuilder};

/// How probable the canvas makes a picture.
pub(super) struct PixelLikelihood {
    /// log of the logistic distribution's width of each channel, (C, 1, 1), where a pixel is one of 256 values.
    log_width: Option<Tensor>,
}

/// Half the distance from one of 256 values to the next, between 0 and 1.
const HALF: f64 = 0.5 / 255.0;

impl PixelLikelihood {
    pub fn new(likelihood: Likelihood, vb: VarBuilder) -> Result<Self> {
        let channels = likelihood.channels();
        let log_width = match likelihood {
            Likelihood::Binary => None,
            _ => Some(vb.parameter((channels, 1, 1), "log_width", Initial::Constant(-2.0))?),
        };
        Ok(Self { log_width })
    }

    /// −log p(x | c), (N), of pictures x and canvases c, (N, C, h, w) each.
    ///
    /// Of black and white Σ softplus(c) − x c; of 256 values Σ −log(F(x + ½) − F(x − ½)) with F the logistic distribution around σ(c), open at
    /// both ends.
    pub fn nats(&self, pictures: &Tensor, canvas: &Tensor) -> Result<Tensor> {
        let each = match &self.log_width {
            None => (softplus(canvas)? - (pictures * canvas)?)?,
            Some(log_width) => {
                let scale = log_width.neg()?.exp()?;
                let far = (pictures - sigmoid(canvas)?)?;
                let [above, below] = [HALF, -HALF].map(|half| (&far + half)?.broadcast_mul(&scale));
                // The lowest value takes all below it, the highest all above.
                let (lowest, highest) = (pictures.le(HALF)?, pictures.ge(1.0 - HALF)?);
                let whole = pictures.ones_like()?;
                let upper = highest.where_cond(&whole, &sigmoid(&above?)?)?;
                let lower = lowest.where_cond(&whole.zeros_like()?, &sigmoid(&below?)?)?;
                ((upper - lower)?.clamp(1e-12, 1.0)?).log()?.neg()?
            }
        };
        each.flatten_from(1)?.sum(1)
    }
}

/// log(1 + eˣ) = max(x, 0) + log(1 + e^−|x|).
fn softplus(xs: &Tensor) -> Result<Tensor> {
    xs.relu()? + (xs.abs()?.neg()?.exp()? + 1.0)?.log()?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;
    use candlewick_parameters::Parameters;

    #[test]
    fn the_probabilities_of_all_values_sum_to_one() {
        let device = &Device::Cpu;
        for (likelihood, values) in [(Likelihood::Binary, 2usize), (Likelihood::Grey, 256)] {
            let pixels = PixelLikelihood::new(likelihood, Parameters::new(1).builder(device)).unwrap();
            for canvas in [-3.0f32, 0.2, 5.0] {
                let pictures: Vec<f32> = (0..values).map(|value| value as f32 / (values - 1) as f32).collect();
                let pictures = Tensor::from_vec(pictures, (values, 1, 1, 1), device).unwrap();
                let canvas = Tensor::full(canvas, (values, 1, 1, 1), device).unwrap();
                let nats = pixels.nats(&pictures, &canvas).unwrap().to_vec1::<f32>().unwrap();
                let sum: f32 = nats.iter().map(|nats| (-nats).exp()).sum();
                assert!((sum - 1.0).abs() < 1e-3, "{likelihood:?}: {sum}");
            }
        }
    }
}
