//! Elementwise activations, each one autograd node.

pub(crate) mod cpu;
pub(crate) mod reference;

use crate::backend::{Backend, Op};
use crate::node::{Call, Operation, Value, apply_one, check_float};
use candle_core::{Result, Tensor};

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident = $activation:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// The result has the shape of `xs`.
        ///
        /// # Errors
        /// When `xs` is not of a floating-point type.
        pub fn $name(xs: &Tensor) -> Result<Tensor> {
            Activation::$activation.of(xs)
        }
    )*};
}

activations! {
    /// max(x, 0). Its gradient at exactly 0 is 0, as in PyTorch; candle's own passes it on there.
    relu = Relu;
    /// 1 / (1 + exp(−x)).
    sigmoid = Sigmoid;
    /// The hyperbolic tangent.
    tanh = Tanh;
    /// x · Φ(x) with the normal distribution's Φ(x) = (1 + erf(x / √2)) / 2, not its tanh approximation (Hendrycks and Gimpel 2016,
    /// "Gaussian error linear units"); f32 on the CPU is within 3·10⁻⁷ · |x| of the exact value.
    gelu = Gelu;
    /// x / (1 + exp(−x)), also called swish (Elfwing et al. 2017, "Sigmoid-weighted linear units").
    silu = Silu;
    /// log(1 + exp(x)), without overflow; −log of the logistic function of −x.
    softplus = Softplus;
}

/// An activation by its name, for operations that end with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// [`relu`].
    Relu,
    /// [`sigmoid`].
    Sigmoid,
    /// [`tanh`].
    Tanh,
    /// [`gelu`].
    Gelu,
    /// [`silu`].
    Silu,
    /// [`softplus`].
    Softplus,
}

impl Activation {
    /// The activation of every element.
    ///
    /// # Errors
    /// When `xs` is not of a floating-point type.
    pub fn of(self, xs: &Tensor) -> Result<Tensor> {
        check_float(self.name(), xs)?;
        apply_one(Elementwise { activation: self, backend: Backend::choose(Op::Activation, &[xs]) }, &[xs])
    }

    fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
            Self::Softplus => "softplus",
        }
    }
}

/// The normal distribution's density at 0, 1 / √(2π).
const DENSITY_AT_0: f64 = 0.398_942_280_401_432_7;

struct Elementwise {
    activation: Activation,
    backend: Backend,
}

impl Operation for Elementwise {
    const NAME: &'static str = "activation";
    type Saved = ();

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let ys = match self.backend {
            Backend::Cpu => cpu::forward(self.activation, &inputs[0])?,
            Backend::Reference => reference::forward(self.activation, &inputs[0])?,
        };
        Ok((vec![ys], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (xs, ys, dys) = (&call.inputs[0], &call.outputs[0], &gradients[0]);
        let dxs = match self.backend {
            Backend::Cpu => cpu::backward(self.activation, xs, ys, dys)?,
            Backend::Reference => reference::backward(self.activation, xs, ys, dys)?,
        };
        Ok(vec![Some(dxs)])
    }
}
