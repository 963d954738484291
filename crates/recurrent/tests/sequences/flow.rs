//! How gradients flow back through a cell: vanishing, exploding, carried on, clipped.

use super::{D, H, build, normal};
use candle_core::{DType, Device, Tensor, Var};
use candlewick_parameters::Parameters;
use candlewick_recurrent::{
    BuildCell, Cell, GruCell, GruConfig, LstmCell, LstmConfig, RnnCell, RnnConfig, Settings, gradient_flow,
    has_setting, largest_singular_value, sequence_layers,
};
use candlewick_testing::flat;

#[test]
fn power_iteration_finds_the_largest_singular_value() {
    let of = |rows: &[[f64; 2]]| {
        let matrix = Tensor::from_vec(rows.concat(), (rows.len(), 2), &Device::Cpu).unwrap();
        largest_singular_value(&matrix).unwrap()
    };
    // σ² are the eigenvalues of WᵀW = [[25, 20], [20, 25]]: 45 and 5.
    assert!((of(&[[3.0, 0.0], [4.0, 5.0]]) - 45f64.sqrt()).abs() < 1e-8);
    assert!((of(&[[0.0, 2.0], [0.0, 0.0], [0.0, 1.0]]) - 5f64.sqrt()).abs() < 1e-8);
    assert_eq!(of(&[[0.0, 0.0]]), 0.0);
    assert!(largest_singular_value(&Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap()).is_err());
}

/// A cell whose recurrent matrix is multiplied by a factor, whose biases are 0, or where it is said as the configuration has them.
fn scaled<C: BuildCell>(factor: f64, config: &C::Config, forget_bias: bool) -> C {
    let parameters = Parameters::new(1);
    let cell = C::new(D, 16, config, parameters.builder(&Device::Cpu)).unwrap();
    for (name, var) in parameters.trainable() {
        match name.as_str() {
            "weight_hh" => var.set(&(var.as_detached_tensor() * factor).unwrap()).unwrap(),
            "bias_ih" if forget_bias => {}
            _ if name.starts_with("bias") => var.set(&var.zeros_like().unwrap()).unwrap(),
            _ => {}
        }
    }
    cell
}

fn scaled_rnn(factor: f64) -> RnnCell {
    scaled(factor, &RnnConfig { orthogonal: true, ..RnnConfig::default() }, false)
}

fn scaled_lstm(factor: f64) -> LstmCell {
    let config = LstmConfig { orthogonal: true, forget_bias: Some(6.0), ..LstmConfig::default() };
    scaled(factor, &config, true)
}

#[test]
fn the_plain_networks_gradient_vanishes_or_explodes_while_the_lstm_carries_on() {
    const STEPS: usize = 60;
    // Activations near 0, where tanh is nearly the identity.
    let xs = (normal("x", &[2, STEPS, D]) * 1e-4).unwrap();
    for factor in [0.8, 1.0, 1.1] {
        let cell = scaled_rnn(factor);
        let flow =
            gradient_flow(&cell, &xs, &cell.zero_state(2, DType::F32, &Device::Cpu).unwrap(), None, None).unwrap();
        assert_eq!((flow.norms.len(), flow.norms[0].len(), flow.singular_values.len()), (1, STEPS, 1));
        assert!((flow.singular_values[0] - factor).abs() < 1e-5, "{flow:?}");
        let last = flow.norms[0][STEPS - 1];
        assert!((last - 32f64.sqrt()).abs() < 1e-6);
        for (t, norm) in flow.norms[0].iter().enumerate() {
            let wanted = factor.powi((STEPS - 1 - t) as i32) * last;
            assert!((norm / wanted - 1.0).abs() < 0.01, "factor {factor}, step {t}: {norm} instead of {wanted}");
        }
    }
    // Without W_hh the memory is the whole way back: each step costs the forget gate's σ(6) and nothing else.
    let lstm = |factor: f64| {
        let cell = scaled_lstm(factor);
        gradient_flow(&cell, &xs, &cell.zero_state(2, DType::F32, &Device::Cpu).unwrap(), None, None).unwrap()
    };
    let flow = lstm(0.0);
    assert_eq!((flow.norms.len(), flow.singular_values.len()), (2, 4));
    let (memory, forget) = (&flow.norms[1], 1.0 / (1.0 + (-6f64).exp()));
    assert_eq!(memory[STEPS - 1], 0.0, "the loss reads h alone");
    for (t, norm) in memory[..STEPS - 1].iter().enumerate() {
        let wanted = forget.powi((STEPS - 2 - t) as i32) * memory[STEPS - 2];
        assert!((norm / wanted - 1.0).abs() < 1e-3, "step {t}: {norm} instead of {wanted}");
    }
    // With the plain network's W_hh, which cost it a factor of 0.8^58, the other ways help and hinder by less than ten.
    let memory = &lstm(0.8).norms[1];
    let (least, most) = memory[..STEPS - 1].iter().fold((f64::MAX, 0f64), |(a, b), &m| (a.min(m), b.max(m)));
    assert!(least > 0.1 * most, "{memory:?}");
}

#[test]
fn the_flow_is_the_gradient_of_candles_own_graph() {
    fn check<C: BuildCell>() {
        let parameters = Parameters::new(1);
        let cell = C::new(D, H, &C::Config::default(), parameters.builder(&Device::Cpu)).unwrap();
        let (xs, d_last) = (normal("x", &[2, 5, D]), normal("d", &[2, H]));
        let zero = cell.zero_state(2, DType::F32, &Device::Cpu).unwrap();
        let flow = gradient_flow(&cell, &xs, &zero, Some(&d_last), None).unwrap();
        for t in 1..=5 {
            let state = cell.sequence(&xs.narrow(1, 0, t).unwrap(), &zero, None, false).unwrap().1;
            let vars: Vec<Var> = state.iter().map(|tensor| Var::from_tensor(tensor).unwrap()).collect();
            let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
            let rest = xs.narrow(1, t, 5 - t).unwrap();
            let last = if t < 5 { cell.sequence(&rest, &tensors, None, false).unwrap().1 } else { tensors };
            let loss = (&last[0] * &d_last).unwrap().sum_all().unwrap();
            let store = loss.backward().unwrap();
            for (k, var) in vars.iter().enumerate() {
                let norm = |gradient: &Tensor| flat(gradient).iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
                let wanted = store.get(var.as_tensor()).map_or(0.0, norm);
                let found = flow.norms[k][t - 1];
                assert!((found - wanted).abs() < 1e-5 * wanted.max(1.0), "{k} {t}: {found} instead of {wanted}");
            }
        }
    }
    check::<RnnCell>();
    check::<GruCell>();
    check::<LstmCell>();
    check::<candlewick_recurrent::NasCell>();
}

#[test]
fn a_clipped_gradient_neither_explodes_nor_loses_its_way() {
    const STEPS: usize = 60;
    let xs = (normal("x", &[2, STEPS, D]) * 1e-4).unwrap();
    fn follow(cell: &dyn Cell, xs: &Tensor, clip: Option<f64>) -> candle_core::Result<Vec<Vec<f64>>> {
        let zero = cell.zero_state(2, DType::F32, &Device::Cpu)?;
        Ok(gradient_flow(cell, xs, &zero, None, clip)?.norms)
    }
    // It grows by a tenth a step from √32 until it meets X, and stays there.
    let rnn = scaled_rnn(1.1);
    let norms = &follow(&rnn, &xs, Some(8.0)).unwrap()[0];
    for (back, norm) in norms.iter().rev().enumerate() {
        let wanted = (32f64.sqrt() * 1.1f64.powi(back as i32)).min(8.0);
        assert!((norm / wanted - 1.0).abs() < 1e-2, "{back} back: {norm} instead of {wanted}");
        assert!(*norm <= 8.0 * (1.0 + 1e-6) && (back < 5 || *norm >= 8.0 * (1.0 - 1e-6)), "{back} back: {norm}");
    }
    assert!(follow(&rnn, &xs, None).unwrap()[0][0] > 1e3);
    // Below X nothing is touched.
    let lstm = scaled_lstm(0.8);
    let free = follow(&lstm, &xs, None).unwrap();
    let whole = |norms: &[Vec<f64>], t: usize| norms.iter().map(|norms| norms[t].powi(2)).sum::<f64>().sqrt();
    let most = (0..STEPS).map(|t| whole(&free, t)).fold(0.0, f64::max);
    assert_eq!(follow(&lstm, &xs, Some(most * 1.001)).unwrap(), free);
    // X is that of h and c together, which both grow towards the first steps here.
    let wild = scaled_lstm(3.0);
    let held = follow(&wild, &xs, Some(1.0)).unwrap();
    for t in 0..STEPS {
        assert!(whole(&held, t) < 1.0 + 1e-6, "step {t}: {held:?}");
    }
    assert!(whole(&held, 0) > 1.0 - 1e-6 && held[0][0] > 0.1 && held[1][0] > 0.1, "{held:?}");
    // A step back is linear: what is cut once, at the last step, is the same gradient all the way, only shorter.
    let gru: GruCell = scaled(1.1, &GruConfig { orthogonal: true, ..GruConfig::default() }, false);
    let (free, held) = (follow(&gru, &xs, None).unwrap(), follow(&gru, &xs, Some(0.5)).unwrap());
    for (t, (held, free)) in held[0].iter().zip(&free[0]).enumerate() {
        let wanted = free * 0.5 / 32f64.sqrt();
        assert!((held / wanted - 1.0).abs() < 1e-4, "step {t}: {held} instead of {wanted}");
    }
    for wrong in [0.0, -1.0, f64::NAN] {
        let message = follow(&rnn, &xs, Some(wrong)).unwrap_err().to_string();
        assert!(message.contains("clip is"), "{message}");
    }
}

#[test]
fn every_layer_by_name_tells_its_flow() {
    let x = normal("x", &[2, 4, D]);
    let settings = Settings::default().with("num_layers", 2).with("bidirectional", true);
    for name in sequence_layers() {
        let flows = build(name, &settings, &Parameters::new(1)).gradient_flow(&x, None).unwrap();
        let recurrent = !["convolution", "self_attention"].contains(&name);
        assert_eq!(flows.len(), if recurrent { 4 } else { 0 }, "{name}");
        for flow in flows {
            assert!(flow.norms[0].iter().all(|norm| norm.is_finite() && *norm > 0.0), "{name}: {flow:?}");
            // The minimal networks have no matrix that reads h.
            assert_eq!(flow.singular_values.is_empty(), !has_setting(name, "recurrent_dropout"), "{name}");
            assert!(flow.singular_values.iter().all(|value| *value > 0.0), "{name}");
        }
    }
    // A layer that reads backwards is measured in its own order: with x reversed it is what reads forwards.
    let layer = build("gru", &Settings::default().with("bidirectional", true), &Parameters::new(1));
    let order = Tensor::new(&[3u32, 2, 1, 0], &Device::Cpu).unwrap();
    let turned = layer.gradient_flow(&x.index_select(&order, 1).unwrap(), None).unwrap();
    assert_ne!(turned[1], layer.gradient_flow(&x, None).unwrap()[1]);
    assert!(layer.gradient_flow(&x.narrow(1, 0, 0).unwrap(), None).is_err());
}
