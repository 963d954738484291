//! Ten steps of each optimiser equal PyTorch's (`scripts/fixtures/training.py`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candle_core::{Device, Tensor, Var};
use candlewick_parameters::SafetensorsFile;
use candlewick_testing::fixture;
use candlewick_training::optim::{AdamConfig, AdamWConfig, Optimizer, OptimizerConfig, RmsPropConfig, SgdConfig};

const RATE: f64 = 1e-2;

fn configs() -> Vec<(&'static str, OptimizerConfig)> {
    let adam = AdamConfig { learning_rate: RATE, betas: (0.8, 0.99), eps: 1e-6, weight_decay: 0.1 };
    let adamw = AdamWConfig { learning_rate: RATE, weight_decay: 0.1, ..AdamWConfig::default() };
    let momentum = SgdConfig { learning_rate: RATE, momentum: 0.9, weight_decay: 0.1, nesterov: false };
    let nesterov = SgdConfig { learning_rate: RATE, momentum: 0.9, weight_decay: 0.0, nesterov: true };
    let rmsprop = RmsPropConfig { learning_rate: RATE, alpha: 0.9, eps: 1e-6, momentum: 0.5, weight_decay: 0.1 };
    vec![
        ("adam", OptimizerConfig::adam(RATE)),
        ("adam_decay", OptimizerConfig::Adam(adam)),
        ("adamw", OptimizerConfig::AdamW(adamw)),
        ("sgd", OptimizerConfig::sgd(RATE, 0.0)),
        ("sgd_momentum", OptimizerConfig::Sgd(momentum)),
        ("sgd_nesterov", OptimizerConfig::Sgd(nesterov)),
        ("rmsprop", OptimizerConfig::rmsprop(RATE)),
        ("rmsprop_momentum", OptimizerConfig::RmsProp(rmsprop)),
    ]
}

struct Fixture(SafetensorsFile);

impl Fixture {
    fn open() -> Self {
        Self(SafetensorsFile::open(fixture("optimizers.safetensors")).unwrap())
    }

    fn tensor(&self, name: &str) -> Tensor {
        self.0.tensor(name, &Device::Cpu).unwrap()
    }

    fn vars(&self) -> Vec<(String, Var)> {
        let var = |name: &str| Var::from_tensor(&self.tensor(&format!("start.{name}"))).unwrap();
        vec![("weight".into(), var("weight")), ("bias".into(), var("bias"))]
    }

    /// The bias gets no gradient at the first two steps. Half the gradient, doubled by the scale, is the gradient.
    fn gradients(&self, step: usize) -> Vec<Option<Tensor>> {
        let half = |name: &str| (self.tensor(&format!("gradient.{step}.{name}")) * 0.5).unwrap();
        vec![Some(half("weight")), (step >= 2).then(|| half("bias"))]
    }
}

fn factor(name: &str) -> f64 {
    if name == "bias" { 0.1 } else { 1.0 }
}

fn gap(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_vec0().unwrap()
}

#[test]
fn ten_steps_equal_pytorchs() {
    let fixture = Fixture::open();
    let folder = tempfile::tempdir().unwrap();
    for (name, config) in configs() {
        let vars = fixture.vars();
        let mut optimizer = Optimizer::new(&config, vars.clone(), factor).unwrap();
        for step in 0..10 {
            optimizer.step(&fixture.gradients(step), RATE, 2.0).unwrap();
        }
        for (parameter, var) in &vars {
            let gap = gap(var.as_tensor(), &fixture.tensor(&format!("{name}.{parameter}")));
            assert!(gap < 1e-6, "{name}: {parameter} is off by {gap}");
        }
        let path = folder.path().join("optimizer.safetensors");
        optimizer.save(&path).unwrap();
        let saved = SafetensorsFile::open(&path).unwrap();
        let prefix = format!("{name}.weight.");
        let wanted: Vec<&str> = fixture.0.names().filter_map(|entry| entry.strip_prefix(prefix.as_str())).collect();
        for what in &wanted {
            let state = saved.tensor(&format!("weight.{what}"), &Device::Cpu).unwrap();
            let gap = gap(&state, &fixture.tensor(&format!("{name}.weight.{what}")));
            assert!(gap < 1e-6, "{name}: {what} is off by {gap}");
        }
        assert_eq!(saved.names().filter(|entry| entry.starts_with("weight.")).count(), wanted.len() + 1, "{name}");
        let steps = |entry: &str| saved.tensor(entry, &Device::Cpu).unwrap().to_vec0::<i64>().unwrap();
        assert_eq!((steps("weight.step"), steps("bias.step")), (10, 8));
    }
}

#[test]
fn a_loaded_state_goes_on_bit_for_bit() {
    let fixture = Fixture::open();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optimizer.safetensors");
    for (name, config) in configs() {
        let vars = fixture.vars();
        let mut optimizer = Optimizer::new(&config, vars.clone(), factor).unwrap();
        // Saved while the bias has no state yet, too.
        for saved_at in [1, 5] {
            let vars = fixture.vars();
            let mut first = Optimizer::new(&config, vars.clone(), factor).unwrap();
            (0..saved_at).for_each(|step| first.step(&fixture.gradients(step), RATE, 2.0).unwrap());
            first.save(&path).unwrap();
            let mut second = Optimizer::new(&config, vars.clone(), factor).unwrap();
            second.load(&path).unwrap();
            (saved_at..10).for_each(|step| second.step(&fixture.gradients(step), RATE, 2.0).unwrap());
            let whole = fixture.vars();
            let mut third = Optimizer::new(&config, whole.clone(), factor).unwrap();
            (0..10).for_each(|step| third.step(&fixture.gradients(step), RATE, 2.0).unwrap());
            for ((_, a), (_, b)) in vars.iter().zip(&whole) {
                assert_eq!(gap(a.as_tensor(), b.as_tensor()), 0.0, "{name} saved at {saved_at}");
            }
        }
        // Another optimiser's state is refused and named.
        let other =
            if name.starts_with("adam") { OptimizerConfig::sgd(RATE, 0.9) } else { OptimizerConfig::adam(RATE) };
        let mut other = Optimizer::new(&other, vars, factor).unwrap();
        let error = other.load(&path).unwrap_err().to_string();
        assert!(error.contains("optimizer.safetensors") && !error.contains('\n'), "{error}");
        optimizer.load(&path).unwrap();
    }
}

#[test]
fn a_gradient_of_another_shape_is_named() {
    let fixture = Fixture::open();
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), fixture.vars(), factor).unwrap();
    let wrong = vec![None, Some(fixture.tensor("gradient.0.weight"))];
    let error = optimizer.step(&wrong, RATE, 1.0).unwrap_err().to_string();
    assert!(error.contains("bias") && error.contains("[5]") && error.contains("[3, 4]"), "{error}");
}

#[test]
fn impossible_numbers_are_refused() {
    let nesterov = SgdConfig { nesterov: true, ..SgdConfig::default() };
    let betas = AdamConfig { betas: (0.9, 1.0), ..AdamConfig::default() };
    for (config, name) in [
        (OptimizerConfig::Sgd(nesterov), "nesterov"),
        (OptimizerConfig::Adam(betas), "betas"),
        (OptimizerConfig::adam(-1.0), "learning_rate"),
    ] {
        assert!(config.check().unwrap_err().to_string().contains(name));
    }
    let wrong = serde_json::json!({ "name": "adam", "momentum": 0.9 });
    assert!(serde_json::from_value::<OptimizerConfig>(wrong).unwrap_err().to_string().contains("momentum"));
    let right = serde_json::json!({ "name": "adamw", "learning_rate": 0.5 });
    assert_eq!(serde_json::from_value::<OptimizerConfig>(right).unwrap(), OptimizerConfig::adamw(0.5));
}
