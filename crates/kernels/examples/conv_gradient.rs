//! A convolution and a loss with gradients that PyTorch would give, on candle's tensors.
//!
//! `cargo run -p candlewick-kernels --example conv_gradient`

#![allow(clippy::print_stdout)]

use candle_core::{DType, Device, Result, Tensor, Var};
use candlewick_kernels::activation::relu;
use candlewick_kernels::conv::{Conv2d, conv2d};
use candlewick_kernels::loss::{CrossEntropy, cross_entropy};
use candlewick_kernels::node::backward;

fn main() -> Result<()> {
    let device = Device::Cpu;
    // Two images of 8 × 8 with 3 channels; a bank of 4 kernels of 3 × 3 with stride 2, and a class for each image.
    let images = Tensor::randn(0f32, 1.0, (2, 3, 8, 8), &device)?;
    let weight = Var::from_tensor(&Tensor::randn(0f32, 0.2, (4, 3, 3, 3), &device)?)?;
    let bias = Var::from_tensor(&Tensor::zeros(4, DType::F32, &device)?)?;
    let labels = Tensor::new(&[1u32, 3], &device)?;
    let options = Conv2d { stride: (2, 2), padding: (1, 1), ..Conv2d::default() };

    for step in 0..5 {
        let map = relu(&conv2d(&images, &weight, Some(&bias), &options)?)?;
        let logits = map.mean((2, 3))?;
        let loss = cross_entropy(&logits, &labels, &CrossEntropy::default(), None)?;
        let gradients = backward(&loss)?;
        println!("step {step}: loss {:.4}", loss.to_vec0::<f32>()?);
        for parameter in [&weight, &bias] {
            if let Some(gradient) = gradients.get(parameter) {
                parameter.set(&(parameter.as_tensor() - (gradient * 0.5)?)?)?;
            }
        }
    }
    Ok(())
}
