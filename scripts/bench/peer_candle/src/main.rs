//! candle-nn's side of `scripts/bench.sh`: the cases of `crates/candlewick/benches/cases.rs` that it can run, by the same names.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::rnn::{GRUConfig, LSTMConfig, RNN, gru, lstm};
use candle_nn::{VarBuilder, VarMap};
use std::io::BufRead;
use std::time::{Duration, Instant};

/// How long a case runs each time.
const TURN: Duration = Duration::from_millis(400);

type Case = Box<dyn FnMut() -> Result<()>>;

const SEQUENCES: [(&str, [usize; 4]); 3] = [
    ("n32t64h512", [32, 64, 512, 512]),
    ("n64t20h512", [64, 20, 512, 512]),
    ("n50t50h128", [50, 50, 128, 128]),
];

const CONVOLUTIONS: [(&str, [usize; 5]); 5] = [
    ("3x3-64-64-56", [64, 64, 3, 1, 56]),
    ("3x3-256-256-14", [256, 256, 3, 1, 14]),
    ("7x7s2-3-64-224", [3, 64, 7, 2, 224]),
    ("1x1-256-64-56", [256, 64, 1, 1, 56]),
    ("3x3s2-128-128-56", [128, 128, 3, 2, 56]),
];

fn main() -> Result<()> {
    let argument = std::env::args().nth(1).unwrap_or_default();
    match argument.as_str() {
        "--version" => println!("candle-nn 0.11.1"),
        "--list" => names().iter().for_each(|name| println!("{name}")),
        name => {
            let mut case = build(name)?;
            for _ in std::io::stdin().lock().lines() {
                case()?;
                let (start, mut runs) = (Instant::now(), 0);
                while start.elapsed() < TURN {
                    case()?;
                    runs += 1;
                }
                println!("{:.4}", start.elapsed().as_secs_f64() * 1e3 / f64::from(runs));
            }
            println!("0");
        }
    }
    Ok(())
}

fn names() -> Vec<String> {
    let recurrent = ["lstm", "gru"].iter().flat_map(|cell| {
        SEQUENCES.iter().map(move |(name, _)| format!("recurrent/{cell}-{name}-train"))
    });
    let conv = CONVOLUTIONS.iter().flat_map(|(name, _)| {
        [8, 1].into_iter().flat_map(move |n| ["inference", "train"].map(|mode| format!("conv/{name}-n{n}-{mode}")))
    });
    recurrent.chain(conv).collect()
}

fn build(name: &str) -> Result<Case> {
    match name.split_once('/') {
        Some(("recurrent", case)) => recurrent(case),
        Some(("conv", case)) => convolution(case),
        _ => candle_core::bail!("no case is called {name}"),
    }
}

fn recurrent(case: &str) -> Result<Case> {
    let Some((_, [n, t, d, h])) = SEQUENCES.iter().find(|(name, _)| case.contains(name)) else {
        candle_core::bail!("no case is called {case}")
    };
    let device = Device::Cpu;
    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &device);
    let xs = Var::randn(0f32, 1., (*n, *t, *d), &device)?;
    fn run(xs: &Var, outputs: impl Fn(&Tensor) -> Result<Vec<Tensor>>) -> Result<()> {
        Tensor::stack(&outputs(xs.as_tensor())?, 1)?.sum_all()?.backward().map(|_| ())
    }
    if case.starts_with("lstm") {
        let layer = lstm(*d, *h, LSTMConfig::default(), vb)?;
        let outputs = move |xs: &Tensor| Ok(layer.seq(xs)?.iter().map(|state| state.h().clone()).collect());
        // candle's backward recurses over the steps.
        return Ok(Box::new(move || run(&xs, &outputs)));
    }
    let layer = gru(*d, *h, GRUConfig::default(), vb)?;
    let outputs = move |xs: &Tensor| Ok(layer.seq(xs)?.iter().map(|state| state.h().clone()).collect());
    Ok(Box::new(move || run(&xs, &outputs)))
}

fn convolution(case: &str) -> Result<Case> {
    let Some((_, [inputs, outputs, kernel, stride, side])) =
        CONVOLUTIONS.iter().find(|(name, _)| case.starts_with(name))
    else {
        candle_core::bail!("no case is called {case}")
    };
    let n = if case.contains("-n8-") { 8 } else { 1 };
    let xs = Var::randn(0f32, 1., (n, *inputs, *side, *side), &Device::Cpu)?;
    let weight = Var::randn(0f32, 1., (*outputs, *inputs, *kernel, *kernel), &Device::Cpu)?;
    let (padding, stride, train) = (kernel / 2, *stride, case.ends_with("train"));
    Ok(Box::new(move || {
        if train {
            xs.conv2d(&weight, padding, stride, 1, 1)?.sum_all()?.backward()?;
        } else {
            xs.as_detached_tensor().conv2d(&weight.as_detached_tensor(), padding, stride, 1, 1)?;
        }
        Ok(())
    }))
}
