//! NHWC convolution for inference, its weights packed once.

use crate::activation::Activation;
use crate::backend::{Backend, Op};
use crate::conv::cpu::PackedWeights;
use crate::conv::cpu::output::Epilogue;
use crate::conv::{Conv2d, Geometry, Layout};
use crate::node::with_f32;
use candle_core::{Device, Result, Tensor, bail};
use std::sync::Arc;

/// y = f(conv2d(x) + bias + add), f an activation or none, on NHWC maps, without gradients, in f32 on the CPU.
///
/// The weights are packed when it is made; bias, addition and activation are the product's epilogue.
#[derive(Clone)]
pub struct PackedConv2d {
    /// (O, C/groups, kh, kw).
    shape: [usize; 4],
    bias: Option<Vec<f32>>,
    options: Conv2d,
    packed: Arc<PackedWeights>,
}

impl PackedConv2d {
    /// Packs weight (O, C/groups, kh, kw) and bias (O).
    ///
    /// # Errors
    /// When they are not f32 on the CPU, or their shapes do not fit each other.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>, options: &Conv2d) -> Result<Self> {
        let (outputs, per_group, kh, kw) = weight.dims4()?;
        let extent =
            |kernel: usize, dilation: usize| dilation.saturating_mul(kernel.saturating_sub(1)).saturating_add(1);
        let smallest = [
            1,
            per_group.saturating_mul(options.groups),
            extent(kh, options.dilation.0),
            extent(kw, options.dilation.1),
        ];
        let geometry = Geometry::new(&smallest, weight.dims(), bias, options)?;
        let packed = Arc::new(with_f32("conv2d", weight, |weight| geometry.pack(weight, true))?);
        let bias = bias.map(|bias| with_f32("conv2d", bias, <[f32]>::to_vec)).transpose()?;
        Ok(Self { shape: [outputs, per_group, kh, kw], bias, options: *options, packed })
    }

    /// The channels O of the result.
    pub fn out_channels(&self) -> usize {
        self.shape[0]
    }

    /// From (N, h, w, C) to (N, h', w', O); `add` has the result's shape.
    ///
    /// # Errors
    /// When the input is not f32 on the CPU, has another number of channels, or `add` has another shape.
    pub fn forward(&self, xs: &Tensor, add: Option<&Tensor>, activation: Option<Activation>) -> Result<Tensor> {
        if Backend::choose(Op::Conv2d, &[xs]) != Backend::Cpu {
            bail!("conv2d: is packed for f32 on the CPU, got {:?} on {:?}", xs.dtype(), xs.device().location());
        }
        let geometry = super::geometry(xs, &self.shape, None, &self.options)?;
        let shape = geometry.output_shape(Layout::Nhwc);
        if let Some(add) = add.filter(|add| add.dims() != [shape.0, shape.1, shape.2, shape.3]) {
            bail!("conv2d: the result is {shape:?}, what is added to it {:?}", add.dims());
        }
        let run = |add: Option<&[f32]>| {
            let epilogue = Epilogue { bias: self.bias.as_deref(), add, activation };
            with_f32("conv2d", xs, |xs| geometry.forward(Layout::Nhwc, xs, &self.packed, epilogue))
        };
        let ys = match add {
            Some(add) => with_f32("conv2d", add, |add| run(Some(add)))??,
            None => run(None)?,
        };
        Tensor::from_vec(ys, shape, &Device::Cpu)
    }
}

impl std::fmt::Debug for PackedConv2d {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("PackedConv2d").field("weight", &self.shape).field("options", &self.options).finish()
    }
}
