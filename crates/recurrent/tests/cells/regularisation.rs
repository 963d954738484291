//! Zoneout, variational dropout and DropConnect, alone and in a stack.

use super::{D, H, assert_close, assign, case, check, fixture, given, named, normal, tensors};
use candle_core::{DType, Device, Module, Tensor, Var};
use candlewick_parameters::{Mode, Parameters, Rng};
use candlewick_recurrent::{
    BuildCell, Cell, Embedding, Gru, GruCell, GruConfig, Lstm, LstmCell, LstmConfig, MaskedCell, RnnCell, RnnConfig,
    SequenceLayer, Settings, StackConfig, Zoneout, drop_connect, recurrent_cell, recurrent_dropout, sequence_layers,
    variational_dropout,
};
use candlewick_testing::flat;

#[test]
fn zoneout_in_evaluation_keeps_each_units_share() {
    let wanted = case(&fixture("zoneout"), "eval");
    let parameters = Parameters::new(1);
    let cell = LstmCell::new(D, H, &LstmConfig::default(), parameters.builder(&Device::Cpu)).unwrap();
    assign(&parameters, &wanted);
    let (x, states) = given(&wanted);
    let zoneout = Zoneout { hidden: 0.25, cell: 0.5 };
    let (out, last) = zoneout.sequence(&cell, &x, &tensors(&states), None, false, &mut Mode::Eval).unwrap();
    let outputs: Vec<Tensor> = std::iter::once(out).chain(last).collect();
    check(&outputs, &named(x, states, &parameters), &wanted, "zoneout");
}

#[test]
fn zoneout_in_training_keeps_a_unit_or_changes_it_and_its_gradient_knows_which() {
    let parameters = Parameters::new(1);
    let cell = GruCell::new(D, 50, &GruConfig::default(), parameters.builder(&Device::Cpu)).unwrap();
    let (x, h) = (normal("x", &[20, 1, D]), Var::from_tensor(&normal("h", &[20, 50])).unwrap());
    let mut rng = Rng::derive(1, "zoneout", 0);
    let state = tensors(std::slice::from_ref(&h));
    let zoneout = |hidden| Zoneout { hidden, cell: 0.0 };
    let run = |hidden, rng: &mut Rng| {
        let mode = &mut Mode::Train(rng);
        zoneout(hidden).sequence(&cell, &x, &state, None, false, mode).unwrap().1.remove(0)
    };
    let (kept, new) = (run(0.3, &mut rng), cell.step(&x.squeeze(1).unwrap(), &state).unwrap().remove(0));
    let share = flat(&kept).iter().zip(flat(&h)).filter(|(kept, old)| kept == &old).count() as f64 / 1000.0;
    assert!((share - 0.3).abs() < 0.05, "{share}");
    for ((kept, old), new) in flat(&kept).into_iter().zip(flat(&h)).zip(flat(&new)) {
        assert!(kept == old || (kept - new).abs() < 1e-6, "{kept} is neither {old} nor {new}");
    }
    // Where everything is kept, the gradient passes as it is; where nothing is, the cell is as without zoneout.
    let all = run(1.0, &mut rng).sum_all().unwrap().backward().unwrap();
    assert!(flat(all.get(h.as_tensor()).unwrap()).iter().all(|&slope| slope == 1.0));
    assert_close(&run(0.0, &mut rng), &new, "without zoneout");
    // The backward pass meets the masks of the forward pass: a kept unit's slope in x is 0, so a difference agrees.
    let x = Var::from_tensor(&normal("x", &[3, 6, D])).unwrap();
    let zero = cell.zero_state(3, DType::F32, &Device::Cpu).unwrap();
    let loss = || {
        let mode = &mut Rng::derive(2, "zoneout", 0);
        let out = zoneout(0.5).sequence(&cell, &x, &zero, None, false, &mut Mode::Train(mode)).unwrap().0;
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
    assert!(zoneout(1.5).sequence(&cell, &x, &zero, None, false, &mut Mode::Eval).is_err());
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
    let cell = RnnCell::new(D, 40, &RnnConfig::default(), parameters.builder(&Device::Cpu)).unwrap();
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

/// A masked cell over a sequence is, row by row, the cell without a mask whose W_hh has the columns of the row's mask: W (m ⊙ h) is
/// (W diag m) h at every step, whatever else the cell does with h.
fn check_masked(cell: &dyn Cell, parameters: &Parameters) {
    const LENGTHS: [usize; 3] = [2, 4, 3];
    let x = Var::from_tensor(&normal("x", &[3, 4, D])).unwrap();
    let first: Vec<Var> = (cell.state_sizes().into_iter().enumerate())
        .map(|(k, size)| Var::from_tensor(&normal(&format!("state {k}"), &[3, size])).unwrap())
        .collect();
    let width = first[0].dim(1).unwrap();
    let mask: Vec<f32> = [0.0, 2.0, 2.0, 0.0, 2.0, 2.0, 0.0].into_iter().cycle().take(3 * width).collect();
    let mask = Tensor::from_vec(mask, (3, width), &Device::Cpu).unwrap();
    let masked = MaskedCell::new(cell.clone_cell(), mask.clone());
    let state = tensors(&first);
    for reverse in [false, true] {
        let (out, last) = masked.sequence(&x, &state, Some(&LENGTHS), reverse).unwrap();
        let squares = |tensor: &Tensor| tensor.sqr().unwrap().sum_all().unwrap();
        let loss = last.iter().fold(squares(&out), |loss, last| (loss + squares(last)).unwrap());
        let mut by_hand = Tensor::zeros((), DType::F32, &Device::Cpu).unwrap();
        for (row, &length) in LENGTHS.iter().enumerate() {
            let at = |tensor: &Tensor| tensor.narrow(0, row, 1).unwrap();
            let mut weights = cell.parameters();
            weights[1] = weights[1].broadcast_mul(&at(&mask)).unwrap();
            let alone = cell.with_parameters(&weights).unwrap();
            let start: Vec<Tensor> = first.iter().map(|state| at(state)).collect();
            let xs = at(&x).narrow(1, 0, length).unwrap();
            let (wanted, end) = alone.sequence(&xs, &start, None, reverse).unwrap();
            assert_close(&at(&out).narrow(1, 0, length).unwrap(), &wanted, "outputs");
            by_hand = (by_hand + squares(&wanted)).unwrap();
            for (found, wanted) in last.iter().zip(&end) {
                assert_close(&at(found), wanted, "last state");
                by_hand = (by_hand + squares(wanted)).unwrap();
            }
        }
        let (found, wanted) = (loss.backward().unwrap(), by_hand.backward().unwrap());
        for (name, var) in named(x.clone(), first.clone(), parameters) {
            assert_close(found.get(var.as_tensor()).unwrap(), wanted.get(var.as_tensor()).unwrap(), &name);
        }
    }
    // The step, and a mask over a mask.
    let x = x.narrow(1, 0, 1).unwrap();
    let (_, wanted) = masked.sequence(&x, &state, None, false).unwrap();
    let stepped = masked.step(&x.squeeze(1).unwrap(), &state).unwrap();
    let others = mask.affine(-1.0, 2.0).unwrap();
    let twice = MaskedCell::new(Box::new(masked), others).step(&x.squeeze(1).unwrap(), &state).unwrap();
    let none = MaskedCell::new(cell.clone_cell(), (&mask * 0.0).unwrap());
    let none = none.step(&x.squeeze(1).unwrap(), &state).unwrap();
    for (found, wanted) in [(stepped, wanted), (twice, none)] {
        assert_close(&found[0], &wanted[0], "step");
    }
}

#[test]
fn a_mask_on_the_recurrent_state_is_the_same_at_all_steps_of_every_cell() {
    let mut cells = 0;
    let mut check = |name: &str, settings: &Settings| {
        let parameters = Parameters::new(3);
        let Ok(cell) = recurrent_cell(name, D, H, settings, parameters.builder(&Device::Cpu)) else { return };
        // The minimal networks have no matrix that reads h.
        if !cell.recurrent_weights().is_empty() {
            check_masked(cell.as_ref(), &parameters);
            cells += 1;
        }
    };
    for name in sequence_layers() {
        check(name, &Settings::default());
    }
    check("lstm", &Settings::default().with("proj_size", 2));
    check("gru", &Settings::default().with("bias", false));
    assert_eq!(cells, 18);
}

#[test]
fn recurrent_dropout_has_its_formulas_values_and_gradients() {
    fn check_case<C: BuildCell>(name: &str) {
        let mut wanted = case(&fixture("recurrent_dropout"), name);
        let mask = wanted.remove("mask").unwrap();
        let parameters = Parameters::new(1);
        let cell = C::new(D, H, &C::Config::default(), parameters.builder(&Device::Cpu)).unwrap();
        assign(&parameters, &wanted);
        let (x, states) = given(&wanted);
        let masked = MaskedCell::new(Box::new(cell), mask);
        let (out, last) = masked.sequence(&x, &tensors(&states), None, false).unwrap();
        let outputs: Vec<Tensor> = std::iter::once(out).chain(last).collect();
        check(&outputs, &named(x, states, &parameters), &wanted, name);
    }
    check_case::<LstmCell>("lstm");
    check_case::<GruCell>("gru");
}

#[test]
fn recurrent_dropout_draws_one_mask_for_each_row_and_none_in_evaluation() {
    let parameters = Parameters::new(1);
    let cell = GruCell::new(D, 30, &GruConfig::default(), parameters.builder(&Device::Cpu)).unwrap();
    let state = [normal("h", &[40, 30])];
    let mut rng = Rng::derive(1, "dropout", 0);
    let masked = recurrent_dropout(&cell, 0.25, &state, &mut Mode::Train(&mut rng)).unwrap().unwrap();
    assert_eq!(masked.mask().dims(), [40, 30]);
    let mask = flat(masked.mask());
    assert!(mask.iter().all(|&m| m == 0.0 || m == 1.0 / 0.75), "{mask:?}");
    assert_ne!(mask[..30], mask[30..60], "each row has a mask of its own");
    // Its mean is 1, so that what the matrices read is h on average.
    let mean = mask.iter().sum::<f32>() / 1200.0;
    assert!((mean - 1.0).abs() < 0.05, "{mean}");
    for (p, mode) in [(0.25, &mut Mode::Eval), (0.0, &mut Mode::Train(&mut rng))] {
        assert!(recurrent_dropout(&cell, p, &state, mode).unwrap().is_none());
    }
    assert!(recurrent_dropout(&cell, 1.5, &state, &mut Mode::Eval).is_err());

    // A stack draws it once a layer, from the generator that it is given; zoneout that keeps nothing changes nothing.
    let x = normal("x", &[2, 5, D]);
    let run = |zoneout_hidden, mode: &mut Mode| {
        let config = StackConfig { recurrent_dropout: 0.5, zoneout_hidden, ..StackConfig::default() };
        let stack = Gru::new(D, H, &config, Parameters::new(2).builder(&Device::Cpu)).unwrap();
        let cell = stack.cells()[0].clone();
        (stack.forward(&x, None, Some(&[5, 3]), mode).unwrap().0, cell)
    };
    let (found, cell) = run(0.0, &mut Mode::Train(&mut Rng::derive(3, "stack", 0)));
    let zero = cell.zero_state(2, DType::F32, &Device::Cpu).unwrap();
    let mode = &mut Rng::derive(3, "stack", 0);
    let masked = recurrent_dropout(cell.as_ref(), 0.5, &zero, &mut Mode::Train(mode)).unwrap().unwrap();
    let wanted = masked.sequence(&x, &zero, Some(&[5, 3]), false).unwrap().0;
    assert_eq!(flat(&found), flat(&wanted));
    let mode = &mut Mode::Train(&mut rng);
    let zoneout = Zoneout { hidden: 0.0, cell: 0.0 };
    let beside = zoneout.sequence(&masked, &x, &zero, Some(&[5, 3]), false, mode).unwrap().0;
    assert_close(&beside, &wanted, "beside zoneout");
    let (both, _) = run(0.5, &mut Mode::Train(&mut Rng::derive(3, "stack", 0)));
    assert_ne!(flat(&both), flat(&wanted));
    let plain = cell.sequence(&x, &zero, Some(&[5, 3]), false).unwrap().0;
    assert_eq!(flat(&run(0.0, &mut Mode::Eval).0), flat(&plain));
    assert_ne!(flat(&found), flat(&plain));
}

#[test]
fn word_dropout_takes_whole_words_wherever_they_stand() {
    const V: u32 = 400;
    let parameters = Parameters::new(1);
    let embedding = Embedding::new(V as usize, 5, parameters.builder(&Device::Cpu)).unwrap();
    // Every word twice: once in each row, in another order.
    let ids: Vec<u32> = (0..V).chain((0..V).rev()).collect();
    let ids = Tensor::from_vec(ids, (2, V as usize), &Device::Cpu).unwrap();
    let whole = embedding.forward(&ids).unwrap();
    let mut rng = Rng::derive(1, "words", 0);
    let found = embedding.word_dropout(&ids, 0.2, &mut Mode::Train(&mut rng)).unwrap();
    assert_eq!(found.dims(), [2, V as usize, 5]);
    let (values, all) = (flat(&found), flat(&whole));
    let dropped: Vec<bool> = values.chunks(5).map(|vector| vector.iter().all(|&value| value == 0.0)).collect();
    for (at, (values, all)) in values.chunks(5).zip(all.chunks(5)).enumerate() {
        let kept = values.iter().zip(all).all(|(value, all)| (value - all * 1.25).abs() < 1e-6);
        assert!(kept != dropped[at], "{at}: {values:?} of {all:?}");
    }
    let backwards: Vec<bool> = dropped[V as usize..].iter().rev().copied().collect();
    assert_eq!(dropped[..V as usize], backwards, "the same words in both rows");
    let share = backwards.iter().filter(|&&dropped| dropped).count() as f64 / f64::from(V);
    assert!((share - 0.2).abs() < 0.06, "{share}");
    let gradient = found.sum_all().unwrap().backward().unwrap();
    let gradient = flat(gradient.get(embedding.weight()).unwrap());
    for (word, slopes) in gradient.chunks(5).enumerate() {
        assert!(slopes.iter().all(|&slope| slope == if dropped[word] { 0.0 } else { 2.5 }), "{word}: {slopes:?}");
    }
    let other = embedding.word_dropout(&ids, 0.2, &mut Mode::Train(&mut rng)).unwrap();
    assert_ne!(flat(&other), values, "each call draws anew");
    assert_eq!(flat(&embedding.word_dropout(&ids, 0.2, &mut Mode::Eval).unwrap()), all);
    assert!(embedding.word_dropout(&ids, 1.2, &mut Mode::Eval).is_err());
}

#[test]
fn a_stack_regularises_in_training_as_it_is_told() {
    let x = normal("x", &[2, 4, D]);
    let plain = StackConfig { num_layers: 2, ..StackConfig::default() };
    let run = |config: &StackConfig<LstmConfig>, mode: &mut Mode| {
        let parameters = Parameters::new(1);
        let stack = Lstm::new(D, H, config, parameters.builder(&Device::Cpu)).unwrap();
        flat(&stack.forward(&x, None, None, mode).unwrap().0)
    };
    let wanted = run(&plain, &mut Mode::Eval);
    let train =
        |config: &StackConfig<LstmConfig>, seed| run(config, &mut Mode::Train(&mut Rng::derive(seed, "stack", 0)));
    assert_eq!(train(&plain, 1), wanted);
    let configs = [
        StackConfig { input_dropout: 0.5, ..plain.clone() },
        StackConfig { input_dropout: 0.5, variational: true, ..plain.clone() },
        StackConfig { weight_dropout: 0.5, ..plain.clone() },
        StackConfig { recurrent_dropout: 0.5, ..plain.clone() },
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
