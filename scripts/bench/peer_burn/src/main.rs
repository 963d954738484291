//! burn's side of `scripts/bench.sh`, on its backend flex, the fastest of those that are Rust alone: the recurrent cases of
//! `crates/candlewick/benches/cases.rs` that it has layers for, by the same names.

use burn::nn::gru::GruConfig;
use burn::nn::{LstmConfig, RnnConfig};
use burn::tensor::{Device, Distribution, Tensor};
use std::io::BufRead;
use std::time::{Duration, Instant};

/// How long a case runs each time.
const TURN: Duration = Duration::from_millis(400);

type Case = Box<dyn FnMut()>;

/// N, T, D and H.
const SEQUENCES: [(&str, [usize; 4]); 3] = [
    ("n32t64h512", [32, 64, 512, 512]),
    ("n64t20h512", [64, 20, 512, 512]),
    ("n50t50h128", [50, 50, 128, 128]),
];

const CELLS: [&str; 3] = ["lstm", "gru", "rnn"];

fn main() {
    let argument = std::env::args().nth(1).unwrap_or_default();
    match argument.as_str() {
        "--version" => println!("burn 0.22.1 flex"),
        "--list" => names().iter().for_each(|name| println!("{name}")),
        name => {
            let mut case = build(name);
            for _ in std::io::stdin().lock().lines() {
                case();
                let (start, mut runs) = (Instant::now(), 0);
                while start.elapsed() < TURN {
                    case();
                    runs += 1;
                }
                println!("{:.4}", start.elapsed().as_secs_f64() * 1e3 / f64::from(runs));
            }
            println!("0");
        }
    }
}

fn names() -> Vec<String> {
    let of = |cell: &'static str| SEQUENCES.iter().map(move |(name, _)| format!("recurrent/{cell}-{name}-train"));
    CELLS.into_iter().flat_map(of).collect()
}

fn build(case: &str) -> Case {
    let (_, [n, t, d, h]) = *SEQUENCES.iter().find(|(name, _)| case.contains(name)).expect("a case of the table");
    let device = Device::flex().autodiff();
    let xs = Tensor::<3>::random([n, t, d], Distribution::Normal(0.0, 1.0), &device);
    let train = move |outputs: &dyn Fn(Tensor<3>) -> Tensor<3>| {
        let xs = xs.clone().detach().require_grad();
        let gradients = outputs(xs.clone()).sum().backward();
        assert!(xs.grad(&gradients).is_some());
    };
    match case.trim_start_matches("recurrent/").split('-').next() {
        Some("lstm") => {
            let layer = LstmConfig::new(d, h, true).init(&device);
            Box::new(move || train(&|xs| layer.forward(xs, None).0))
        }
        Some("gru") => {
            let layer = GruConfig::new(d, h, true).init(&device);
            Box::new(move || train(&|xs| layer.forward(xs, None)))
        }
        _ => {
            let layer = RnnConfig::new(d, h, true).init(&device);
            Box::new(move || train(&|xs| layer.forward(xs, None).0))
        }
    }
}
