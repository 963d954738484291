//! A cell that the crate does not know: by its name it has all that ours have.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Result, Tensor};
use candlewick_parameters::{Initial, Mode, Parameters, Rng};
use candlewick_recurrent::cell::state_of;
use candlewick_recurrent::linear::project;
use candlewick_recurrent::{
    BuildCell, Cell, Linear, Settings, SuffixedBuilder, add_cell, recurrent_cell, sequence_layer, sequence_layers,
};
use candlewick_testing::assert_close;
use serde::{Deserialize, Serialize};

/// h' = a h + W x, which forgets at a rate of its own.
#[derive(Clone, Debug)]
struct Leaky {
    weight_ih: Tensor,
    rate: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LeakyConfig {
    rate: f64,
    /// A name that others have too, of another type.
    bias: String,
}

impl Default for LeakyConfig {
    fn default() -> Self {
        Self { rate: 0.5, bias: "none".into() }
    }
}

impl BuildCell for Leaky {
    type Config = LeakyConfig;

    fn named(input_size: usize, hidden_size: usize, config: &LeakyConfig, vb: &SuffixedBuilder) -> Result<Self> {
        let weight_ih = vb.parameter((hidden_size, input_size), "weight_ih", Initial::fan_in(input_size))?;
        Ok(Self { weight_ih, rate: config.rate })
    }
}

impl Cell for Leaky {
    fn state_sizes(&self) -> Vec<usize> {
        vec![self.weight_ih.dims()[0]]
    }

    fn step(&self, x: &Tensor, state: &[Tensor]) -> Result<Vec<Tensor>> {
        let [h] = state_of("leaky", state)?;
        Ok(vec![((h * self.rate)? + project(x, &self.weight_ih, None)?)?])
    }

    fn parameters_mut(&mut self) -> Vec<&mut Tensor> {
        vec![&mut self.weight_ih]
    }
}

#[test]
fn an_own_cell_is_built_by_its_name_as_ours_are() {
    let settings = r#"{"num_layers": 2, "rate": 0.25, "bias": "much"}"#;
    let unknown = serde_json::from_str::<Settings>(r#"{"rate": 0.25}"#).unwrap_err().to_string();
    assert!(unknown.contains("rate: no sequence layer has such a setting"), "{unknown}");
    add_cell::<Leaky>("leaky").unwrap();
    let again = add_cell::<Leaky>("leaky").unwrap_err().to_string();
    assert!(again.contains("leaky: there is a sequence layer of this name already"), "{again}");
    assert!(add_cell::<Leaky>("lstm").is_err());
    assert_eq!(sequence_layers().last(), Some(&"leaky"));

    let settings: Settings = serde_json::from_str(settings).unwrap();
    let fault = serde_json::from_str::<Settings>(r#"{"rate": "fast"}"#).unwrap_err().to_string();
    assert!(fault.contains("rate: invalid type"), "{fault}");
    let parameters = Parameters::new(1);
    let vb = parameters.builder(&Device::Cpu);
    let layer = sequence_layer("leaky", 3, 4, &settings, vb.clone()).unwrap();
    assert_eq!(parameters.names(), ["weight_ih_l0", "weight_ih_l1"]);
    let xs = Rng::derive(1, "xs", 0).normal_tensor(0.0, 1.0, (2, 5, 3), &Device::Cpu).unwrap();
    let (ys, last) = layer.forward(&xs, None, Some(&[5, 2]), &mut Mode::Eval).unwrap();

    // The same by hand, row by row and step by step.
    let weights: Vec<Tensor> = parameters.tensors().into_iter().map(|(_, tensor)| tensor).collect();
    for (row, length) in [(0, 5), (1, 2)] {
        let mut h = vec![Tensor::zeros((1, 4), DType::F32, &Device::Cpu).unwrap(); 2];
        for t in 0..length {
            let mut x = xs.narrow(0, row, 1).unwrap().narrow(1, t, 1).unwrap().squeeze(1).unwrap();
            for (h, weight) in h.iter_mut().zip(&weights) {
                *h = ((&*h * 0.25).unwrap() + x.matmul(&weight.t().unwrap()).unwrap()).unwrap();
                x = h.clone();
            }
            let y = ys.narrow(0, row, 1).unwrap().narrow(1, t, 1).unwrap().squeeze(1).unwrap();
            assert_close("y", &y, &x, 1e-5);
        }
        for (layer, h) in h.iter().enumerate() {
            assert_close("h", &last[layer][0].narrow(0, row, 1).unwrap(), h, 1e-5);
        }
    }

    // What it does not say of itself is refused, and not ignored.
    for (setting, told) in [("recurrent_dropout", "names no weights"), ("zoneout_cell", "has no memory")] {
        let settings = Settings::default().with(setting, 0.5);
        let built = sequence_layer("leaky", 3, 4, &settings, Parameters::new(1).builder(&Device::Cpu));
        let mut rng = Rng::derive(1, "mode", 0);
        let fault = built.and_then(|layer| layer.forward(&xs, None, None, &mut Mode::Train(&mut rng)));
        let fault = fault.err().unwrap().to_string();
        assert!(fault.contains(told), "{fault}");
    }
    assert!(sequence_layer("lstm", 3, 4, &settings, vb.clone()).err().unwrap().to_string().contains("leaky"));
    let cell = recurrent_cell("leaky", 3, 4, &Settings::default(), Parameters::new(1).builder(&Device::Cpu)).unwrap();
    assert_eq!(cell.state_sizes(), [4]);
}

#[test]
fn what_does_not_fit_is_named() {
    let vb = Parameters::new(1).builder(&Device::Cpu);
    let told = |name: &str| {
        let built = sequence_layer(name, 3, 4, &Settings::default(), vb.clone());
        built.err().unwrap().to_string()
    };
    assert!(told("lstn").contains("no sequence layer is called lstn; did you mean lstm?"));
    assert!(told("transformer").contains("there are rnn, lstm, gru"));
    let xs = Tensor::zeros((2, 5, 3), DType::F64, &Device::Cpu).unwrap();
    for name in ["lstm", "gru", "nas"] {
        let layer = sequence_layer(name, 3, 4, &Settings::default(), Parameters::new(1).builder(&Device::Cpu)).unwrap();
        let fault = layer.forward(&xs, None, None, &mut Mode::Eval).unwrap_err().to_string();
        assert!(fault.contains("stack: the weights are F32, the inputs F64; cast the inputs"), "{fault}");
    }
    let linear = Linear::new(3, 4, vb.pp("linear")).unwrap();
    let fault = candle_core::Module::forward(&linear, &xs).unwrap_err().to_string();
    assert!(fault.contains("linear: the weights are F32, the inputs F64"), "{fault}");
    let embedding = candlewick_recurrent::Embedding::new(9, 4, vb.pp("embedding")).unwrap();
    let ids = Tensor::new(&[1u32, 9], &Device::Cpu).unwrap();
    let fault = candle_core::Module::forward(&embedding, &ids).unwrap_err().to_string();
    assert!(fault.contains("embedding: wants ids below V = 9") && fault.contains("index 9"), "{fault}");
}
