//! −log p(x | c), in nats a picture.

use super::config::Likelihood;
use candle_core::{Result, Tensor};
use candlewick_kernels::activation::{sigmoid, softplus};
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
    /// Of black and white Σ softplus(c) − x c. Of 256 values Σ −log(F(a) − F(b)) with F the logistic function and a, b the ends of the value's
    /// interval, less σ(c) and over the width: F(a) − F(b) = F(a) F(−b) (1 − exp(b − a)), so that it is softplus(−a) + softplus(b) − log(1 −
    /// exp(b − a)), which no distance makes 0. The lowest value has no lower end, the highest no upper one.
    pub fn nats(&self, pictures: &Tensor, canvas: &Tensor) -> Result<Tensor> {
        let each = match &self.log_width {
            None => (softplus(canvas)? - (pictures * canvas)?)?,
            Some(log_width) => {
                let scale = log_width.neg()?.exp()?;
                let far = (pictures - sigmoid(canvas)?)?;
                let end = |half: f64| (&far + half)?.broadcast_mul(&scale);
                let number = |holds: Tensor| holds.to_dtype(far.dtype());
                let (has_lower, has_upper) = (number(pictures.gt(HALF)?)?, number(pictures.lt(1.0 - HALF)?)?);
                let upper = (softplus(&end(HALF)?.neg()?)? * &has_upper)?;
                let lower = (softplus(&end(-HALF)?)? * &has_lower)?;
                let between = ((&scale * (-2.0 * HALF))?.exp()?.neg()? + 1.0)?.log()?;
                ((upper + lower)? - (has_lower * has_upper)?.broadcast_mul(&between)?)?
            }
        };
        each.flatten_from(1)?.sum(1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{Device, Var};
    use candlewick_parameters::Parameters;

    #[test]
    fn the_probabilities_of_all_values_sum_to_one() {
        let device = &Device::Cpu;
        for (likelihood, values, log_width) in
            [(Likelihood::Binary, 2usize, 0f32), (Likelihood::Grey, 256, -2.0), (Likelihood::Grey, 256, -6.0)]
        {
            let mut pixels = PixelLikelihood::new(likelihood, Parameters::new(1).builder(device)).unwrap();
            pixels.log_width =
                pixels.log_width.map(|own| own.ones_like().unwrap().affine(f64::from(log_width), 0.0).unwrap());
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

    /// However far a pixel is from the canvas, and however narrow the distribution, the canvas is drawn to it.
    #[test]
    fn the_gradient_reaches_from_black_to_white() {
        let device = &Device::Cpu;
        let mut pixels = PixelLikelihood::new(Likelihood::Grey, Parameters::new(1).builder(device)).unwrap();
        pixels.log_width = Some(Tensor::full(-6f32, (1, 1, 1), device).unwrap());
        for (pixel, canvas, sign) in [(1.0f32, -2.5f32, -1.0f32), (0.0, 2.5, 1.0), (0.75, -2.0, -1.0), (0.25, 2.0, 1.0)]
        {
            let canvas = Var::from_tensor(&Tensor::full(canvas, (1, 1, 1, 1), device).unwrap()).unwrap();
            let picture = Tensor::full(pixel, (1, 1, 1, 1), device).unwrap();
            let nats = pixels.nats(&picture, &canvas).unwrap();
            let gradient = nats.backward().unwrap().get(canvas.as_tensor()).unwrap().flatten_all().unwrap();
            let gradient = gradient.to_vec1::<f32>().unwrap()[0];
            assert!(gradient * sign > 5.0 && gradient.is_finite(), "{pixel}: {gradient}");
        }
    }
}
