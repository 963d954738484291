//! Weights and inputs made of a name and an index, as scripts/fixtures/encoders.py makes them; nothing is stored.

use crate::flat;
use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// FNV-1a.
pub fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

/// `count` numbers in [−1, 1): FNV-1a of the name, then SplitMix64 of the index, 24 bits of it.
pub fn hashed(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let seed = fnv(name);
    (1..=count as u64).map(move |index| {
        let mut z = index.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 40) as f64 / 8_388_608.0 - 1.0
    })
}

fn weights(name: &str, shape: &Shape) -> Tensor {
    let (dims, values) = (shape.dims(), hashed(name, shape.elem_count()));
    let scaled: Vec<f32> = if dims.len() > 1 {
        let bound = (6.0 / dims[1..].iter().product::<usize>() as f64).sqrt();
        values.map(|v| (v * bound) as f32).collect()
    } else if name.ends_with("running_var") {
        values.map(|v| (1.0 + 0.5 * v) as f32).collect()
    } else if name.ends_with("weight") {
        values.map(|v| (0.75 + 0.25 * v) as f32).collect()
    } else {
        values.map(|v| (0.1 * v) as f32).collect()
    };
    Tensor::from_vec(scaled, shape, &Device::Cpu).unwrap()
}

/// Two pictures, (2, 3, height, width).
pub fn images(height: usize, width: usize) -> Tensor {
    let values: Vec<f32> = hashed("images", 6 * height * width).map(|v| (2.0 * v) as f32).collect();
    Tensor::from_vec(values, (2, 3, height, width), &Device::Cpu).unwrap()
}

/// A builder that gives hashed variables, and remembers what was asked for.
#[derive(Clone, Default)]
pub struct Hashed {
    /// Names and shapes only: all values are 0 and not shared.
    pub empty: bool,
    /// The variables that were asked for, by name.
    pub variables: Arc<Mutex<BTreeMap<String, Var>>>,
    /// The shapes that were asked for, by name.
    pub shapes: Arc<Mutex<BTreeMap<String, Vec<usize>>>>,
}

impl Hashed {
    /// A builder of f32 variables.
    pub fn builder(&self) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), DType::F32, Device::Cpu)
    }

    /// The same values with twice the digits.
    pub fn wide_builder(&self) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), DType::F64, Device::Cpu)
    }

    /// The variable of this name, which was asked for before.
    pub fn variable(&self, name: &str) -> Var {
        self.variables.lock().unwrap()[name].clone()
    }
}

impl SimpleBackend for Hashed {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        self.shapes.lock().unwrap().insert(name.to_owned(), shape.dims().to_vec());
        if self.empty {
            // One value seen everywhere, so that the largest network takes no memory; candle wants norms' own whole, and tables.
            let zeros = Tensor::zeros(1, dtype, device)?.broadcast_as(shape)?;
            let whole = zeros.rank() == 1 || name.ends_with("_table");
            return if whole { zeros.contiguous() } else { Ok(zeros) };
        }
        // Networks of one builder share what has the same name and shape, running statistics included.
        let known = self.variables.lock().unwrap().get(name).cloned();
        if let Some(variable) = known.filter(|variable| variable.shape() == &shape) {
            return Ok(variable.as_tensor().clone());
        }
        let variable = Var::from_tensor(&weights(name, &shape).to_dtype(dtype)?)?;
        self.variables.lock().unwrap().insert(name.to_owned(), variable.clone());
        Ok(variable.as_tensor().clone())
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("{name}: has no shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        false
    }
}

/// 64 values spread over the tensor, and its norm.
pub fn digest(tensor: &Tensor) -> Vec<f32> {
    let values = flat(tensor);
    let norm = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt() as f32;
    (0..64).map(|k| values[k * 7919 % values.len()]).chain([norm]).collect()
}
