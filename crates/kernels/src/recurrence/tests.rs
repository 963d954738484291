#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::cuda::emulator::emulated;
use crate::linear::linear;
use crate::node::apply;
use crate::test_values::test_values;
use candle_core::{D, DType, Device, Var};
use candle_nn::ops::sigmoid;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Tanh,
    Relu,
    Lstm,
    Gru,
}

pub(super) const KINDS: [Kind; 4] = [Kind::Tanh, Kind::Relu, Kind::Lstm, Kind::Gru];

impl Kind {
    pub fn gates(self) -> usize {
        match self {
            Kind::Tanh | Kind::Relu => 1,
            Kind::Lstm => 4,
            Kind::Gru => 3,
        }
    }
}

pub(super) fn tensor(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    let count = shape.iter().product();
    Tensor::from_vec(test_values(seed, count), shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

/// projected, w_hh, h0 and what the kind has beyond.
fn variables(kind: Kind, (n, t, h): (usize, usize, usize), seed: u64, dtype: DType) -> Vec<Var> {
    let wide = kind.gates() * h;
    let mut shapes = vec![vec![n, t, wide], vec![wide, h], vec![n, h]];
    match kind {
        Kind::Lstm => shapes.push(vec![n, h]),
        Kind::Gru => shapes.push(vec![wide]),
        _ => {}
    }
    let make =
        |(i, shape): (usize, &Vec<usize>)| Var::from_tensor(&tensor(seed * 10 + i as u64, shape, dtype)).unwrap();
    shapes.iter().enumerate().map(make).collect()
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Chosen,
    Reference,
    Unrolled,
    /// On the emulator, with this seed; elsewhere without a C++ compiler.
    Emulated(u64),
}

fn outputs(kind: Kind, form: Form, vars: &[Var], lengths: Option<&[usize]>, reverse: bool) -> Vec<Tensor> {
    let x: Vec<&Tensor> = vars.iter().map(|var| var.as_tensor()).collect();
    let steps = || Steps::new("test", x[0].dim(0).unwrap(), x[0].dim(1).unwrap(), lengths, reverse).unwrap();
    if let Form::Emulated(seed) = form {
        let chosen = || outputs(kind, Form::Chosen, vars, lengths, reverse);
        return emulated(seed, chosen).unwrap().unwrap_or_else(chosen);
    }
    match (form, kind) {
        (Form::Emulated(_), _) => unreachable!("it has returned"),
        (Form::Chosen, Kind::Tanh | Kind::Relu) => {
            let (out, h) = rnn(x[0], x[1], x[2], nonlinearity(kind), lengths, reverse).unwrap();
            vec![out, h]
        }
        (Form::Chosen, Kind::Lstm) => {
            let (out, h, c) = lstm(x[0], x[1], x[2], x[3], lengths, reverse).unwrap();
            vec![out, h, c]
        }
        (Form::Chosen, Kind::Gru) => {
            let (out, h) = gru(x[0], x[1], Some(x[3]), x[2], lengths, reverse).unwrap();
            vec![out, h]
        }
        (Form::Reference, Kind::Lstm) => apply(reference::SequenceOp { cell: Lstm, steps: steps() }, &x).unwrap(),
        (Form::Reference, Kind::Gru) => apply(reference::SequenceOp { cell: Gru, steps: steps() }, &x).unwrap(),
        (Form::Reference, _) => {
            apply(reference::SequenceOp { cell: Rnn(nonlinearity(kind)), steps: steps() }, &x).unwrap()
        }
        (Form::Unrolled, _) => {
            let own = |i: usize| x[i].clone();
            let (state, parameters) = match kind {
                Kind::Lstm => (vec![own(2), own(3)], vec![own(1)]),
                Kind::Gru => (vec![own(2)], vec![own(1), own(3)]),
                _ => (vec![own(2)], vec![own(1)]),
            };
            let step = move |x: &Tensor, state: &[Tensor], p: &[Tensor]| written_out(kind, x, state, p);
            let (out, state) = unrolled(step, x[0], &state, &parameters, lengths, reverse).unwrap();
            std::iter::once(out).chain(state).collect()
        }
    }
}

pub(super) fn nonlinearity(kind: Kind) -> Nonlinearity {
    if kind == Kind::Relu { Nonlinearity::Relu } else { Nonlinearity::Tanh }
}

/// One step by candle's differentiable operations, independent of the kernels' formulas.
fn written_out(kind: Kind, x: &Tensor, state: &[Tensor], parameters: &[Tensor]) -> Result<Vec<Tensor>> {
    let u = state[0].matmul(&parameters[0].t()?)?;
    Ok(match kind {
        Kind::Tanh => vec![(x + u)?.tanh()?],
        Kind::Relu => vec![(x + u)?.relu()?],
        Kind::Lstm => {
            let gates = (x + u)?.chunk(4, D::Minus1)?;
            let c = ((sigmoid(&gates[1])? * &state[1])? + (sigmoid(&gates[0])? * gates[2].tanh()?)?)?;
            vec![(sigmoid(&gates[3])? * c.tanh()?)?, c]
        }
        Kind::Gru => {
            let (p, u) = (x.chunk(3, D::Minus1)?, u.broadcast_add(&parameters[1])?.chunk(3, D::Minus1)?);
            let (r, z) = (sigmoid(&(&p[0] + &u[0])?)?, sigmoid(&(&p[1] + &u[1])?)?);
            let n = (&p[2] + (r * &u[2])?)?.tanh()?;
            vec![(&n + (z * (&state[0] - &n)?)?)?]
        }
    })
}

/// A loss of every output, and the gradients of all inputs.
pub(super) fn gradients(vars: &[Var], outputs: &[Tensor]) -> (f64, Vec<Tensor>) {
    let parts = outputs.iter().enumerate().map(|(i, output)| {
        (output * tensor(900 + i as u64, output.dims(), output.dtype())).unwrap().sum_all().unwrap()
    });
    let loss = parts.reduce(|a, b| (a + b).unwrap()).unwrap();
    let store = loss.backward().unwrap();
    let value = loss.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap();
    let gradient = |var: &Var| store.get(var.as_tensor()).map_or_else(|| var.zeros_like().unwrap(), Tensor::clone);
    (value, vars.iter().map(gradient).collect())
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(found: &Tensor, wanted: &Tensor, what: &str) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    let (found, wanted) = (flat(found), flat(wanted));
    let largest = wanted.iter().fold(0.1f64, |largest, value| largest.max(value.abs()));
    for (i, (f, w)) in found.iter().zip(&wanted).enumerate() {
        assert!((f - w).abs() <= 1e-5 * largest, "{what}: {f} instead of {w} at {i}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn all_paths_agree(
        kind in proptest::sample::select(&KINDS[..]),
        n in 1usize..5, t in 1usize..6, h in 1usize..20, seed in 0u64..1000,
        ragged in any::<bool>(), reverse in any::<bool>(),
    ) {
        let vars = variables(kind, (n, t, h), seed, DType::F32);
        let lengths: Vec<usize> = test_values(seed, n).iter().map(|v| (v.abs() * (t + 1) as f32) as usize).collect();
        let lengths = ragged.then_some(&lengths[..]);
        let fast = outputs(kind, Form::Chosen, &vars, lengths, reverse);
        let (_, fast_gradients) = gradients(&vars, &fast);
        for form in [Form::Reference, Form::Unrolled, Form::Emulated(seed)] {
            let plain = outputs(kind, form, &vars, lengths, reverse);
            for (i, (fast, plain)) in fast.iter().zip(&plain).enumerate() {
                assert_close(fast, plain, &format!("{kind:?} {form:?} output {i}"));
            }
            let (_, plain) = gradients(&vars, &plain);
            for (i, (fast, plain)) in fast_gradients.iter().zip(&plain).enumerate() {
                assert_close(fast, plain, &format!("{kind:?} {form:?} gradient of input {i}"));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 30, rng_seed: RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default()
    })]

    /// So many rows that each thread takes some through all steps, and of so different lengths that one may have none in the end.
    #[test]
    fn a_batch_in_parts_is_one_in_one(
        kind in proptest::sample::select(&KINDS[..]),
        n in 24usize..60, t in 2usize..9, h in 38usize..70, seed in 0u64..1000,
        ragged in any::<bool>(), reverse in any::<bool>(),
    ) {
        let parts = cpu::partition::<Rnn>(cpu::Sizes { n, t, d: h, h }).parts;
        prop_assert!(parts > 1);
        let mut vars = variables(kind, (n, t, h), seed, DType::F32);
        // With larger weights a recurrence makes much of every rounding.
        vars[1] = Var::from_tensor(&(vars[1].as_tensor() * 0.1).unwrap()).unwrap();
        let lengths: Vec<usize> = test_values(seed, n).iter().map(|v| (v.abs() * (t + 1) as f32) as usize).collect();
        let lengths = ragged.then_some(&lengths[..]);
        let [fast, plain] = [Form::Chosen, Form::Reference].map(|form| {
            let outputs = outputs(kind, form, &vars, lengths, reverse);
            let (_, gradients) = gradients(&vars, &outputs);
            [outputs, gradients].concat()
        });
        for (i, (fast, plain)) in fast.iter().zip(&plain).enumerate() {
            assert_close(fast, plain, &format!("{kind:?} output or gradient {i}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 60, rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn a_product_within_the_node_is_one_before_it(
        kind in proptest::sample::select(&KINDS[..]),
        n in 1usize..20, t in 1usize..6, d in 1usize..40, h in 1usize..40, seed in 0u64..1000,
        ragged in any::<bool>(), reverse in any::<bool>(), bias in any::<bool>(),
    ) {
        let mut vars = variables(kind, (n, t, h), seed, DType::F32);
        let wide = kind.gates() * h;
        let shapes: [&[usize]; 3] = [&[n, t, d], &[wide, d], &[wide]];
        let more = shapes.iter().enumerate().map(|(i, shape)| tensor(seed + 70 + i as u64, shape, DType::F32));
        let more: Vec<Var> = more.map(|tensor| Var::from_tensor(&tensor).unwrap()).collect();
        let lengths: Vec<usize> = test_values(seed, n).iter().map(|v| (v.abs() * (t + 1) as f32) as usize).collect();
        let lengths = ragged.then_some(&lengths[..]);
        let (xs, weight) = (more[0].as_tensor(), more[1].as_tensor());
        let bias = bias.then_some(more[2].as_tensor());
        let rest: Vec<Tensor> = vars.drain(1..).map(|var| var.into_inner()).collect();
        let all = |input: Input| match kind {
            Kind::Lstm => {
                let (out, h, c) = lstm(input, &rest[0], &rest[1], &rest[2], lengths, reverse).unwrap();
                vec![out, h, c]
            }
            Kind::Gru => <[Tensor; 2]>::from(gru(input, &rest[0], Some(&rest[2]), &rest[1], lengths, reverse).unwrap()).into(),
            _ => <[Tensor; 2]>::from(rnn(input, &rest[0], &rest[1], nonlinearity(kind), lengths, reverse).unwrap()).into(),
        };
        let projected = linear(&xs.reshape((n * t, d)).unwrap(), weight, bias).unwrap().reshape((n, t, wide)).unwrap();
        let sequence = || all(Input::Sequence { xs, weight, bias });
        let before = all(Input::Projected(&projected));
        let (_, gradients_before) = gradients(&more, &before);
        for (form, within) in [("CPU", Some(sequence())), ("emulated", emulated(seed, sequence).unwrap())] {
            let Some(within) = within else { continue };
            for (i, (within, before)) in within.iter().zip(&before).enumerate() {
                assert_close(within, before, &format!("{kind:?} {form} output {i}"));
            }
            let (_, within) = gradients(&more, &within);
            for (i, (within, before)) in within.iter().zip(&gradients_before).enumerate() {
                assert_close(within, before, &format!("{kind:?} {form} gradient {i}"));
            }
        }
    }
}

#[test]
fn cuda_kernels_serve_sizes_that_fill_no_block() {
    for (i, (n, t, h)) in [(1, 3, 1), (7, 4, 30), (64, 2, 128), (2, 2, 1000), (3, 0, 5)].into_iter().enumerate() {
        for (kind, reverse) in KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
            let mut vars = variables(kind, (n, t, h), i as u64, DType::F32);
            // With larger weights a recurrence makes much of every rounding.
            vars[1] = Var::from_tensor(&(vars[1].as_tensor() / (h as f64).sqrt()).unwrap()).unwrap();
            let lengths: Vec<usize> = (0..n).map(|row| (row * 7 + 1) % (t + 1)).collect();
            let lengths = reverse.then_some(&lengths[..]);
            let [fast, emulated] = [Form::Chosen, Form::Emulated(i as u64)].map(|form| {
                let outputs = outputs(kind, form, &vars, lengths, reverse);
                let (_, gradients) = gradients(&vars, &outputs);
                [outputs, gradients].concat()
            });
            for (found, wanted) in emulated.iter().zip(&fast) {
                assert_close(found, wanted, &format!("{kind:?} N {n} T {t} H {h} reverse {reverse}"));
            }
        }
    }
}

#[test]
fn gradients_meet_finite_differences() {
    for (kind, form) in KINDS.iter().flat_map(|&kind| [(kind, Form::Chosen), (kind, Form::Unrolled)]) {
        let vars = variables(kind, (2, 3, 2), 4, DType::F64);
        let run = |vars: &[Var]| gradients(vars, &outputs(kind, form, vars, Some(&[3, 1]), true));
        let (_, found) = run(&vars);
        for (input, gradient) in found.iter().enumerate() {
            let start = flat(&vars[input]);
            for (i, slope) in flat(gradient).into_iter().enumerate() {
                let at = |step: f64| {
                    let mut moved = start.clone();
                    moved[i] += step;
                    let mut vars = vars.clone();
                    let moved = Tensor::from_vec(moved, vars[input].shape(), &Device::Cpu).unwrap();
                    vars[input] = Var::from_tensor(&moved).unwrap();
                    run(&vars).0
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!(
                    (difference - slope).abs() < 1e-7,
                    "{kind:?} {form:?} input {input} at {i}: {slope} {difference}"
                );
            }
        }
    }
}

#[test]
fn five_thousand_steps_fit_on_a_small_stack() {
    let work = || {
        for (kind, form) in [(Kind::Lstm, Form::Chosen), (Kind::Gru, Form::Reference), (Kind::Tanh, Form::Unrolled)] {
            let vars = variables(kind, (1, 5000, 2), 3, DType::F32);
            let (_, found) = gradients(&vars, &outputs(kind, form, &vars, None, false));
            assert!(flat(&found[0])[0] != 0.0 || flat(&found[1])[0] != 0.0);
            assert!(found.iter().all(|gradient| flat(gradient).iter().all(|value| value.is_finite())));
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let bits = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            // In one part and in two.
            let bits = |n: usize| {
                let vars = variables(Kind::Gru, (n, 4, 96), 2, DType::F32);
                let outputs = outputs(Kind::Gru, Form::Chosen, &vars, None, false);
                let (_, found) = gradients(&vars, &outputs);
                outputs.iter().chain(&found).flat_map(flat).map(f64::to_bits).collect::<Vec<_>>()
            };
            [bits(17), bits(30)]
        })
    };
    assert_eq!(bits(1), bits(3));
}

#[test]
fn only_wanted_gradients_are_computed_and_none_without_a_graph() {
    let vars = variables(Kind::Lstm, (2, 3, 4), 1, DType::F32);
    let cut: Vec<Tensor> = vars.iter().map(|var| var.as_detached_tensor()).collect();
    let (out, ..) = lstm(&cut[0], &cut[1], &cut[2], &cut[3], None, false).unwrap();
    assert!(!out.track_op());
    let (out, ..) = lstm(&vars[0], &cut[1], &cut[2], &cut[3], None, false).unwrap();
    let store = out.sum_all().unwrap().backward().unwrap();
    let (all, ..) = lstm(&vars[0], &vars[1], &vars[2], &vars[3], None, false).unwrap();
    let full = all.sum_all().unwrap().backward().unwrap();
    assert_eq!(flat(store.get(&vars[0]).unwrap()), flat(full.get(&vars[0]).unwrap()));
    assert!(store.get(&vars[1]).is_none());
}

#[test]
fn wrong_arguments_are_named() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let (x, w, h) = (zeros(&[2, 3, 8]), zeros(&[8, 2]), zeros(&[2, 2]));
    let message = |result: Result<(Tensor, Tensor, Tensor)>| result.unwrap_err().to_string();
    assert!(message(lstm(&x, &zeros(&[8, 3]), &h, &h, None, false)).contains("w_hh (4H, H)"));
    assert!(message(lstm(&x, &w, &h, &zeros(&[3, 2]), None, false)).contains("[3, 2]"));
    assert!(message(lstm(&x, &w, &h, &h, Some(&[1]), false)).contains("2 rows"));
    assert!(message(lstm(&x, &w, &h, &h, Some(&[1, 4]), false)).contains("row 1 has length 4"));
    let nothing = Input::Sequence { xs: &zeros(&[2, 3, 0]), weight: &zeros(&[8, 0]), bias: None };
    assert!(message(lstm(nothing, &w, &h, &h, None, false)).contains("D of at least 1"));
    let (out, last, _) = lstm(&x.narrow(1, 0, 0).unwrap(), &w, &h, &h, None, true).unwrap();
    assert_eq!((out.dims(), last.dims()), (&[2, 0, 2][..], &[2, 2][..]));
}

#[test]
fn steps_one_by_one_have_the_sequences_gradients() {
    let (n, t, d, h) = (3, 4, 6, 5);
    let shapes: [&[usize]; 6] = [&[n, t, d], &[4 * h, d], &[4 * h], &[4 * h, h], &[n, h], &[n, h]];
    let make = |(i, shape): (usize, &&[usize])| Var::from_tensor(&tensor(70 + i as u64, shape, DType::F32)).unwrap();
    let vars: Vec<Var> = shapes.iter().enumerate().map(make).collect();
    let x: Vec<&Tensor> = vars.iter().map(|var| var.as_tensor()).collect();
    let over = |xs: &Tensor, h: &Tensor, c: &Tensor| {
        lstm(Input::Sequence { xs, weight: x[1], bias: Some(x[2]) }, x[3], h, c, None, false).unwrap()
    };
    let (whole, ..) = over(x[0], x[4], x[5]);
    let (mut out, mut state) = (Vec::new(), (x[4].clone(), x[5].clone()));
    for step in 0..t {
        let (new, h, c) = over(&x[0].narrow(1, step, 1).unwrap(), &state.0, &state.1);
        out.push(new);
        state = (h, c);
    }
    let gradients = |out: &Tensor| {
        let loss = (out * tensor(900, out.dims(), out.dtype())).unwrap().sum_all().unwrap();
        let store = crate::node::backward(&loss).unwrap();
        x.iter().map(|var| store.get(var).unwrap().clone()).collect::<Vec<_>>()
    };
    let (whole, steps) = (gradients(&whole), gradients(&Tensor::cat(&out, 1).unwrap()));
    for (i, (steps, whole)) in steps.iter().zip(&whole).enumerate() {
        assert_close(steps, whole, &format!("gradient of input {i}"));
    }
}

#[test]
fn nan_in_padding_spoils_nothing() {
    let lengths = [1, 3, 0, 2];
    let forms = [(Form::Chosen, DType::F32), (Form::Chosen, DType::F64), (Form::Unrolled, DType::F64)];
    for (kind, (form, dtype)) in KINDS.iter().flat_map(|&kind| forms.map(|form| (kind, form))) {
        for reverse in [false, true] {
            let result = |beyond: f64| {
                let mut vars = variables(kind, (4, 4, 3), 5, dtype);
                let wide = vars[0].dim(2).unwrap();
                let value = |(at, x): (usize, f64)| if at / wide % 4 < lengths[at / wide / 4] { x } else { beyond };
                let values: Vec<f64> = flat(&vars[0]).into_iter().enumerate().map(value).collect();
                let xs = Tensor::from_vec(values, vars[0].shape(), &Device::Cpu).unwrap();
                vars[0] = Var::from_tensor(&xs.to_dtype(dtype).unwrap()).unwrap();
                let outputs = outputs(kind, form, &vars, Some(&lengths), reverse);
                let (_, found) = gradients(&vars, &outputs);
                outputs.iter().chain(&found).flat_map(flat).collect::<Vec<f64>>()
            };
            let wanted = result(0.0);
            assert!(wanted.iter().all(|value| value.is_finite()));
            for beyond in [f64::NAN, f64::INFINITY] {
                assert_eq!(result(beyond), wanted, "{kind:?} {form:?} {dtype:?} {beyond} {reverse}");
            }
        }
    }
}

#[test]
fn a_nan_passes_the_relu_of_a_recurrence_both_ways() {
    for (form, dtype) in [(Form::Chosen, DType::F32), (Form::Reference, DType::F64)] {
        let var = |values: &[f32], shape: &[usize]| {
            let tensor = Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            Var::from_tensor(&tensor).unwrap()
        };
        let vars = [var(&[f32::NAN, -1.0, 2.0], &[3, 1, 1]), var(&[0.0], &[1, 1]), var(&[0.0; 3], &[3, 1])];
        let outputs = outputs(Kind::Relu, form, &vars, None, false);
        let h = flat(&outputs[1]);
        assert!(h[0].is_nan() && h[1..] == [0.0, 2.0], "{form:?}: {h:?}");
        let store = outputs[1].sum_all().unwrap().backward().unwrap();
        assert_eq!(flat(store.get(&vars[0]).unwrap()), [1.0, 0.0, 1.0], "{form:?}");
    }
}

#[test]
fn nan_in_the_padding_of_what_is_projected_spoils_nothing() {
    let (n, t, d, h) = (3, 4, 2, 3);
    for (dtype, lengths) in [DType::F32, DType::F64].into_iter().flat_map(|dtype| [(dtype, [1, 3, 0]), (dtype, [2; 3])])
    {
        let result = |beyond: f64| {
            let value = |(at, x): (usize, f64)| if at / d % t < lengths[at / d / t] { x } else { beyond };
            let values: Vec<f64> = flat(&tensor(1, &[n, t, d], dtype)).into_iter().enumerate().map(value).collect();
            let xs = Tensor::from_vec(values, (n, t, d), &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let rest = [
                tensor(2, &[3 * h, d], dtype),
                tensor(3, &[3 * h], dtype),
                tensor(4, &[3 * h, h], dtype),
                tensor(5, &[n, h], dtype),
            ];
            let vars: Vec<Var> =
                std::iter::once(&xs).chain(&rest).map(|tensor| Var::from_tensor(tensor).unwrap()).collect();
            let input = Input::Sequence { xs: &vars[0], weight: &vars[1], bias: Some(vars[2].as_tensor()) };
            let (out, last) = gru(input, &vars[3], None, &vars[4], Some(&lengths), false).unwrap();
            let (_, found) = gradients(&vars, &[out.clone(), last.clone()]);
            [out, last].iter().chain(&found).flat_map(flat).collect::<Vec<f64>>()
        };
        assert_eq!(result(f64::NAN), result(0.0), "{dtype:?} {lengths:?}");
    }
}
