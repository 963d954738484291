//! Zoneout, variational dropout and DropConnect, alone and in a stack.

use super::{D, H, assert_close, assign, case, check, fixture, flat, given, named, normal, tensors};
use candle_core::{DType, Device, Tensor, Var};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::{
    Cell, CellConfig, CellState, GruCell, Lstm, LstmCell, RnnCell, StackConfig, drop_connect, variational_dropout,
    zoneout,
};

#[test]
fn zoneout_in_evaluation_keeps_each_units_share() {
    let wanted = case(&fixture("zoneout"), "eval");
    let parameters = Parameters::new(1);
    let cell = LstmCell::new(D, H, &CellConfig::default(), parameters.builder(&Device::Cpu)).unwrap();
    assign(&parameters, &wanted);
    let (x, states) = given(&wanted);
    let state = CellState::from_tensors(&tensors(&states)).unwrap();
    let (out, last) = zoneout(&cell, (0.25, 0.5), &x, &state, None, false, &mut Mode::Eval).unwrap();
    check(&[out, last.h, last.c], &named(x, states, &parameters), &wanted, "zoneout");
}

#[test]
fn zoneout_in_training_keeps_a_unit_or_changes_it_and_its_gradient_knows_which() {
    let parameters = Parameters::new(1);
    let cell = GruCell::new(D, 50, &CellConfig::default(), parameters.builder(&Device::Cpu)).unwrap();
    let (x, h) = (normal("x", &[20, 1, D]), Var::from_tensor(&normal("h", &[20, 50])).unwrap());
    let mut rng = Rng::derive(1, "zoneout", 0);
    let run = |rates, rng: &mut Rng| zoneout(&cell, rates, &x, &h, None, false, &mut Mode::Train(rng)).unwrap().1;
    let (kept, new) = (run((0.3, 0.0), &mut rng), cell.step(&x.squeeze(1).unwrap(), &h).unwrap());
    let share = flat(&kept).iter().zip(flat(&h)).filter(|(kept, old)| kept == &old).count() as f64 / 1000.0;
    assert!((share - 0.3).abs() < 0.05, "{share}");
    for ((kept, old), new) in flat(&kept).into_iter().zip(flat(&h)).zip(flat(&new)) {
        assert!(kept == old || (kept - new).abs() < 1e-6, "{kept} is neither {old} nor {new}");
    }
    // Where everything is kept, the gradient passes as it is; where nothing is, the cell is as without zoneout.
    let all = run((1.0, 0.0), &mut rng).sum_all().unwrap().backward().unwrap();
    assert!(flat(all.get(h.as_tensor()).unwrap()).iter().all(|&slope| slope == 1.0));
    assert_close(&run((0.0, 0.0), &mut rng), &new, "without zoneout");
    // The backward pass meets the masks of the forward pass: a kept unit's slope in x is 0, so a difference agrees.
    let x = Var::from_tensor(&normal("x", &[3, 6, D])).unwrap();
    let h = Tensor::zeros((3, 50), DType::F32, &Device::Cpu).unwrap();
    let loss = || {
        let mut rng = Rng::derive(2, "zoneout", 0);
        let out = zoneout(&cell, (0.5, 0.0), &x, &h, None, false, &mut Mode::Train(&mut rng)).unwrap().0;
        out.sqr().unwrap().sum_all().unwrap()
    };
    let gradient = loss().backward().unwrap().remove(x.as_tensor()).unwrap();
    let (values, direction) = (x.as_detached_tensor().copy().unwrap(), normal("direction", &[3, 6, D]));
    let moved = |step: f64| {
        x.set(&(&values + (&direction * step).unwrap()).unwrap()).unwrap();
        f64::from(loss().to_scalar::<f32>().unwrap())
    };
    let difference = (moved(1e-2) - moved(-1e-2)) / 2e-2;
    let slope = f64::from((gradient * direction).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap());
    assert!((difference - slope).abs() < 1e-2 * slope.abs(), "{difference} instead of {slope}");
    assert!(zoneout(&cell, (1.5, 0.0), &x, &h, None, false, &mut Mode::Eval).is_err());
}

#[test]
fn variational_dropout_takes_the_same_units_at_all_steps() {
    let x = Tensor::ones((40, 5, 30), DType::F32, &Device::Cpu).unwrap();
    let mut rng = Rng::derive(1, "dropout", 0);
    let y = variational_dropout(&x, 0.25, &mut Mode::Train(&mut rng)).unwrap();
    let first = flat(&y.narrow(1, 0, 1).unwrap().contiguous().unwrap());
    for t in 1..5 {
        assert_eq!(flat(&y.narrow(1, t, 1).unwrap().contiguous().unwrap()), first);
    }
    let dropped = first.iter().filter(|&&value| value == 0.0).count() as f64 / 1200.0;
    assert!((dropped - 0.25).abs() < 0.05 && first.contains(&(1.0 / 0.75)), "{dropped}");
    assert_ne!(first[..30], first[30..60], "each row has a mask of its own");
    assert_eq!(flat(&variational_dropout(&x, 0.25, &mut Mode::Eval).unwrap()), flat(&x));
    assert!(variational_dropout(&x, -0.1, &mut Mode::Eval).is_err());
}

#[test]
fn drop_connect_drops_from_the_recurrent_matrix_alone_and_trains_what_stayed() {
    let parameters = Parameters::new(1);
    let cell = RnnCell::new(D, 40, &CellConfig::default(), parameters.builder(&Device::Cpu)).unwrap();
    let mut rng = Rng::derive(1, "weights", 0);
    let dropped = drop_connect(&cell, 0.5, &mut Mode::Train(&mut rng)).unwrap();
    let (before, after) = (cell.parameters(), dropped.parameters());
    for k in [0, 2, 3] {
        assert_eq!(flat(&before[k]), flat(&after[k]));
    }
    let pairs: Vec<(f32, f32)> = flat(&before[1]).into_iter().zip(flat(&after[1])).collect();
    assert!(pairs.iter().all(|&(w, d)| d == 0.0 || d == 2.0 * w));
    let share = pairs.iter().filter(|&&(_, d)| d == 0.0).count() as f64 / 1600.0;
    assert!((share - 0.5).abs() < 0.05, "{share}");
    let zero = cell.zero_state(2, DType::F32, &Device::Cpu).unwrap();
    let (out, _) = dropped.sequence(&normal("x", &[2, 4, D]), &zero, None, false).unwrap();
    let store = out.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let weight = &parameters.trainable()[1].1;
    let gradient = flat(store.get(weight.as_tensor()).unwrap());
    assert!(gradient.iter().zip(&pairs).all(|(&g, &(_, d))| (g == 0.0) == (d == 0.0)));
    assert_eq!(flat(&drop_connect(&cell, 0.5, &mut Mode::Eval).unwrap().parameters()[1]), flat(&before[1]));
}

#[test]
fn a_stack_regularises_in_training_as_it_is_told() {
    let x = normal("x", &[2, 4, D]);
    let plain = StackConfig { num_layers: 2, ..StackConfig::default() };
    let run = |config: &StackConfig, mode: &mut Mode| {
        let parameters = Parameters::new(1);
        let stack = Lstm::new(D, H, config, parameters.builder(&Device::Cpu)).unwrap();
        flat(&stack.forward(&x, None, None, mode).unwrap().0)
    };
    let wanted = run(&plain, &mut Mode::Eval);
    let train = |config: &StackConfig, seed| run(config, &mut Mode::Train(&mut Rng::derive(seed, "stack", 0)));
    assert_eq!(train(&plain, 1), wanted);
    let configs = [
        StackConfig { input_dropout: 0.5, ..plain.clone() },
        StackConfig { input_dropout: 0.5, variational: true, ..plain.clone() },
        StackConfig { weight_dropout: 0.5, ..plain.clone() },
        StackConfig { zoneout_hidden: 0.5, ..plain.clone() },
        StackConfig { zoneout_cell: 0.5, ..plain.clone() },
    ];
    for config in &configs {
        assert_ne!(train(config, 1), wanted, "{config:?}");
        assert_ne!(train(config, 1), train(config, 2), "{config:?}");
        assert_eq!(train(config, 1), train(config, 1), "{config:?}");
        // Zoneout alone is there in evaluation too.
        let zoneout = config.zoneout_hidden + config.zoneout_cell > 0.0;
        assert_eq!(run(config, &mut Mode::Eval) == wanted, !zoneout, "{config:?}");
    }
    let wild = StackConfig { zoneout_cell: 1.5, ..plain };
    let message = Lstm::new(D, H, &wild, Parameters::new(1).builder(&Device::Cpu)).unwrap_err().to_string();
    assert!(message.contains("zoneout_cell is 1.5"), "{message}");
}
