#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::attention_lstm::tests::{variables as attention_inputs, weights as attention_weights};
use crate::attention_lstm::{Options, Sizes, attention_lstm};
use crate::cuda::{Launch, Module};
use crate::node::backward;
use crate::optimizer::{self, Checks, Rule, Update};
use crate::recurrence::{Input, lstm};
use crate::test_values::test_values;
use candle_core::Var;

static MODULE: Module = Module {
    name: "tests",
    #[cfg(feature = "cuda")]
    ptx: "",
    #[cfg(feature = "cuda")]
    f16: None,
};
const KERNELS: &str = include_str!("tests.cu");
/// Each of the three orders, twice.
const SEEDS: std::ops::Range<u64> = 1..7;

/// The test kernels with `from` replaced by `to`, which must be there once; nothing where there is no C++ compiler.
fn compiled(from: &str, to: &str, half: Half) -> Option<Arc<Library>> {
    assert_eq!(KERNELS.matches(from).count(), 1, "{from}");
    let library = Library::compile(&[("tests", &KERNELS.replace(from, to))], half);
    let library = library.unwrap_or_else(|error| panic!("{error}"));
    if library.is_none() {
        eprintln!("skipped: there is no C++ compiler");
    }
    library.map(Arc::new)
}

/// Runs a kernel on its arguments: blocks, threads of each, bytes of shared memory, whether blocks wait for each other.
fn run(
    on: &Emulator,
    kernel: &'static str,
    (grid, threads, shared, whole_grid): (usize, usize, usize, bool),
    arguments: &[Argument],
) -> Result<()> {
    on.launch(&Launch { module: &MODULE, kernel, grid: (grid, 1), threads, shared, whole_grid, arguments })
}

fn memory(on: &Emulator, values: &[f32]) -> Memory {
    on.filled(values.iter().copied().map(f32::to_bits)).unwrap()
}

/// Whether a kernel does what it should, with every seed, or what is wrong.
type Check = fn(&Emulator) -> std::result::Result<(), String>;

fn same(found: &Memory, wanted: &[f32], tolerance: f32) -> std::result::Result<(), String> {
    for (i, (found, wanted)) in floats(found).iter().zip(wanted).enumerate() {
        if found.is_nan() || (found - wanted).abs() > tolerance {
            return Err(format!("{found} instead of {wanted} at {i}"));
        }
    }
    Ok(())
}

fn block_sum(on: &Emulator) -> std::result::Result<(), String> {
    let (blocks, threads) = (3, 128);
    let values: Vec<f32> = (0..blocks * threads).map(|i| (i % 19) as f32).collect();
    let (xs, sums) = (memory(on, &values), on.alloc(blocks).unwrap());
    run(on, "block_sum", (blocks, threads, 4 * 4, false), &[xs.at(0), sums.at(0)])
        .map_err(|error| error.to_string())?;
    same(&sums, &values.chunks(threads).map(|block| block.iter().sum()).collect::<Vec<f32>>(), 0.0)
}

fn rotate(on: &Emulator) -> std::result::Result<(), String> {
    let (threads, rounds) = (96, 3);
    let mut values: Vec<f32> = (0..threads).map(|i| i as f32).collect();
    let xs = memory(on, &values);
    let shape = (1, threads, 4 * threads, false);
    run(on, "rotate", shape, &[xs.at(0), rounds.into()]).map_err(|error| error.to_string())?;
    values.rotate_left(rounds);
    same(&xs, &values, 0.0)
}

fn rotate_blocks(on: &Emulator) -> std::result::Result<(), String> {
    let (blocks, rounds) = (7, 4);
    let mut values: Vec<f32> = (0..blocks).map(|i| i as f32).collect();
    let (xs, arrived) = (on.alloc(2 * blocks).unwrap(), on.zeros(1).unwrap());
    for (i, value) in values.iter().enumerate() {
        // SAFETY: there are 2 · blocks values.
        unsafe { (xs.address as *mut f32).add(i).write(*value) };
    }
    let arguments = [xs.at(0), arrived.at(0), rounds.into()];
    run(on, "rotate_blocks", (blocks, 64, 0, true), &arguments).map_err(|error| error.to_string())?;
    values.rotate_left(rounds);
    same(&xs, &values, 0.0)
}

fn multiplied(on: &Emulator, kernel: &'static str, k: usize, tolerance: f32) -> std::result::Result<(), String> {
    let (a, b) = (test_values(1, 16 * k), test_values(2, 8 * k));
    let c = on.alloc(16 * 8).unwrap();
    let arguments = [memory(on, &a), memory(on, &b)];
    let addresses = [arguments[0].at(0), arguments[1].at(0), c.at(0)];
    run(on, kernel, (1, 32, 0, false), &addresses).map_err(|error| error.to_string())?;
    let dot = |row: usize, column: usize| (0..k).map(|i| a[row * k + i] * b[column * k + i]).sum::<f32>();
    same(&c, &(0..128).map(|i| dot(i / 8, i % 8)).collect::<Vec<f32>>(), tolerance)
}

fn twice(on: &Emulator) -> std::result::Result<(), String> {
    let values = test_values(5, 1001);
    let (xs, ys) = (memory(on, &values), on.alloc(values.len()).unwrap());
    let arguments = [xs.at(0), ys.at(0), values.len().into()];
    run(on, "twice", (4, 256, 0, false), &arguments).map_err(|error| error.to_string())?;
    same(&ys, &values.iter().map(|x| 2.0 * x).collect::<Vec<f32>>(), 0.0)
}

const CHECKS: [Check; 6] = [
    block_sum,
    rotate,
    rotate_blocks,
    |on| multiplied(on, "multiply_half", 16, 0.05),
    |on| multiplied(on, "multiply_tf32", 8, 0.01),
    twice,
];

#[test]
fn right_kernels_are_right_in_every_order() {
    for half in [Half::Bf16, Half::F16] {
        let Some(library) = compiled("REGISTER(twice);", "REGISTER(twice);", half) else { return };
        for seed in SEEDS {
            CHECKS.iter().for_each(|check| check(&Emulator::new(&library, seed)).unwrap());
        }
    }
}

#[test]
fn half_precision_is_rounded_as_the_types_have_it() {
    for (half, dtype) in [(Half::Bf16, DType::BF16), (Half::F16, DType::F16)] {
        let Some(library) = compiled("REGISTER(twice);", "REGISTER(twice);", half) else { return };
        let on = Emulator::new(&library, 1);
        let sizes = [-140, -30, -25, -24, -15, -14, 0, 15, 16, 100].map(|exponent| 2f32.powi(exponent));
        let near = sizes.iter().flat_map(|size| (0..4100).map(move |i| size * (1.0 + i as f32 / 4096.0)));
        let values: Vec<f32> = near.flat_map(|x| [x, -x]).chain([0.0, 65_519.99, 65_520.0, f32::INFINITY]).collect();
        let (xs, ys) = (memory(&on, &values), on.alloc(values.len()).unwrap());
        let arguments = [xs.at(0), ys.at(0), values.len().into()];
        run(&on, "rounded", (values.len().div_ceil(256), 256, 0, false), &arguments).unwrap();
        let tensor = Tensor::new(&values[..], &candle_core::Device::Cpu).unwrap();
        let wanted = tensor.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        for (i, (found, wanted)) in floats(&ys).iter().zip(&wanted).enumerate() {
            assert_eq!(found.to_bits(), wanted.to_bits(), "{half:?}: {} becomes {found}, not {wanted}", values[i]);
        }
    }
}

#[test]
fn every_planted_fault_is_found() {
    let barrier = "__syncthreads();";
    for (check, from, to, wanted) in [
        (0, format!("{barrier} // before the parts are read"), "", "instead of"),
        (1, format!("{barrier} // all have read"), "", "instead of"),
        (1, format!("{barrier} // all have written"), "", "instead of"),
        (2, "grid_barrier(arrived, round + 1);".into(), "", "instead of"),
        (2, "grid_barrier(arrived, round + 1);".into(), "grid_barrier(arrived, round + 2);", "wait for ever"),
        (2, "grid_barrier(arrived, round + 1);".into(), "__syncthreads();", "instead of"),
        (
            3,
            "c[(g + i / 2 * 8) * 8 + 2 * q + i % 2] = d[i];\n}\nREGISTER(multiply_half)".into(),
            "c[((g + 1) % 8 + i / 2 * 8) * 8 + 2 * q + i % 2] = d[i];\n}\nREGISTER(multiply_half)",
            "instead of",
        ),
        (4, "to_tf32(b[g * 8 + q + 4])".into(), "to_tf32(b[g * 8 + q])", "instead of"),
        (5, "if (i < count)".into(), "if (i <= count)", "goes beyond its memory"),
        (5, "ys[i] = 2.f * xs[i]".into(), "ys[i] = 2.f * xs[i + 1]", "goes beyond its memory"),
        (5, "ys[i] = 2.f * xs[i]".into(), "if (i) ys[i] = 2.f * xs[i]", "instead of"),
    ] {
        let Some(library) = compiled(&from, to, Half::Bf16) else { return };
        let found: Vec<String> = SEEDS.filter_map(|seed| CHECKS[check](&Emulator::new(&library, seed)).err()).collect();
        assert!(found.iter().any(|message| message.contains(wanted)), "{from} → {to}: {found:?}");
    }
}

/// An LSTM backwards over rows of different lengths and an attention LSTM, their gradients, and a step of an optimiser.
fn network() -> candle_core::Result<Vec<f32>> {
    let tensor = |seed: u64, shape: &[usize]| {
        let values = test_values(seed, shape.iter().product());
        Var::from_tensor(&Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?)
    };
    let (n, t, e, p, c, a, h) = (5, 4, 3, 40, 70, 33, 16);
    let lengths = Some(&[2, 4, 0, 4, 3][..]);
    let x = attention_inputs(0, Sizes { n, t, p, e, c, a, h }, true, DType::F32);
    let weights = attention_weights(&x.iter().map(|var| var.as_tensor()).collect::<Vec<_>>());
    let options = Options { lengths, ..Options::default() };
    let attended = attention_lstm(&x[0], &x[1], &x[2], &x[3], &x[4], weights, options)?;
    let w_ih = tensor(20, &[4 * h, c])?;
    let input = Input::Sequence { xs: &attended.context, weight: &w_ih, bias: Some(&x[7]) };
    let (out, last_h, last_c) = lstm(input, &x[6], &x[3], &x[4], lengths, true)?;
    let (all, last) = ((out.sqr()?.sum_all()? + attended.alpha.sqr()?.sum_all()?)?, (last_h * last_c)?.sum_all()?);
    let store = backward(&(all + last)?)?;
    let mut found = out.flatten_all()?.to_vec1()?;
    for var in x.iter().chain([&w_ih]) {
        found.extend(store.get(var).map_or(Ok(vec![]), |gradient| gradient.flatten_all()?.to_vec1::<f32>())?);
    }
    let gradients: Vec<&Tensor> = x.iter().filter_map(|var| store.get(var)).collect();
    found.push(optimizer::global_norm(&gradients)? as f32);
    let gradient = store.get(&w_ih);
    let update = Update { parameter: &w_ih, gradient, state: &mut vec![], average: None, learning_rate: 0.1, step: 1 };
    let rule = Rule::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
    let checks = Checks { max_norm: Some(0.5), ..Checks::default() };
    found.push(optimizer::checked_step(rule, &mut [update], &checks)?.wait()?.norm as f32);
    found.extend(w_ih.flatten_all()?.to_vec1::<f32>()?);
    Ok(found)
}

/// Whether a place in a source is within the kernels of whole sequences.
fn whole_sequence(source: &str, place: &str) -> bool {
    let kernels =
        source.find("All steps of an LSTM in one launch").zip(source.find("REGISTER(lstm_sequence_gradients)"));
    kernels.zip(source.find(place)).is_some_and(|((first, last), at)| (first..last).contains(&at))
}

#[test]
fn faults_in_our_own_kernels_are_found() {
    let wanted = network().unwrap();
    let run = |sources: &[(&str, &str)], mode: Mode| -> Option<Vec<String>> {
        let library = Library::compile(sources, mode.half.unwrap_or(Half::Bf16))
            .unwrap_or_else(|error| panic!("{error}"))
            .map(Arc::new)?;
        let outcome = |seed| match on(Emulator { mode, ..Emulator::new(&library, seed) }, network).0 {
            Err(error) => Some(error.to_string()),
            Ok(found) => {
                let tolerance = if mode.half.is_some() { 0.1 } else { 1e-4 };
                let near = |(found, wanted): (&f32, &f32)| (found - wanted).abs() <= tolerance * wanted.abs().max(1.0);
                (!found.iter().zip(&wanted).all(near)).then(|| "other values".into())
            }
        };
        Some(SEEDS.filter_map(outcome).collect())
    };
    for (half, whole) in [(None, false), (Some(Half::Bf16), false), (Some(Half::Bf16), true), (Some(Half::F16), true)] {
        let Some(found) = run(&SOURCES, Mode { half, whole }) else {
            return eprintln!("skipped: there is no C++ compiler");
        };
        assert_eq!(found, Vec::<String>::new(), "without a fault");
    }
    let barrier = "__syncthreads();\n";
    for (name, from, to) in [
        ("attention_lstm", format!("    {barrier}    if (draws) {{"), "    if (draws) {"),
        ("attention_lstm", format!("    {barrier}    if (a >= width) return;"), "    if (a >= width) return;"),
        ("attention_lstm", format!("    {barrier}    const int lane"), "    const int lane"),
        ("attention_lstm", "p < r.has && !draws; p++) mean +=".into(), "p <= r.has && !draws; p++) mean +="),
        ("attention_lstm", "i - first_count - second_count]".into(), "i - first_count]"),
        ("attention_lstm", "by = 16; by; by /= 2) x += ".into(), "by = 8; by; by /= 2) x += "),
        (
            "column_sums",
            format!("    {barrier}    if (warp || column >= width) return;"),
            "    if (warp || column >= width) return;",
        ),
        (
            "recurrence",
            "const bool has = step < batch.length(sorted);".into(),
            "const bool has = step <= batch.length(sorted);",
        ),
        (
            "recurrence",
            "if (sorted >= rows || step >= batch.length(sorted)) return;".into(),
            "if (step >= batch.length(sorted)) return;",
        ),
        ("recurrence", "s.pass_on(cell, c_next, c_last);".into(), "s.pass_on(cell, c_next, h_last);"),
        (
            "optimizer",
            format!("entry.gradient[i];\n    parts[threadIdx.x] = sum;\n    {barrier}"),
            "entry.gradient[i];\n    parts[threadIdx.x] = sum;\n",
        ),
        (
            "optimizer",
            "i < pieces; i += blockDim.x) sum += sums[i];".into(),
            "i <= pieces; i += blockDim.x) sum += sums[i];",
        ),
        ("optimizer", "if (factor) scale = *factor;".into(), ""),
        ("attention_lstm", "halve(gated_half, at, b * mean);".into(), ""),
        ("attention_lstm", "halve(d_gate_half, onto, d_gate[onto]);".into(), ""),
        ("recurrence", "halve(half, at, packed[at]);".into(), ""),
        ("recurrence", "halve(dp_half, at, d[k]);".into(), "halve(dp_half, at + 1, d[k]);"),
        ("halves", "second_half[i - first_count]".into(), "second_half[i]"),
        ("recurrence", "grid_barrier(arrived, step + 1);".into(), "__syncthreads();"),
        ("recurrence", "grid_barrier(arrived, step + 1);".into(), "grid_barrier(arrived, step + 2);"),
        ("recurrence", "grid_barrier(arrived, count - step);".into(), "__syncthreads();"),
        ("recurrence", format!("{barrier}            Step s(STEP_ARGUMENTS);"), "            Step s(STEP_ARGUMENTS);"),
        ("recurrence", "const int row = g + i % 2 * 8;".into(), "const int row = g + i % 2 * 8 + 1;"),
        ("recurrence", "fresh(x + size_t(row) * terms + k + i / 2 * 8)".into(), "fresh(x + size_t(row) * terms + k)"),
        ("recurrence", "(s.sorted < next_active ? own[i] : last)".into(), "own[i]"),
        (
            "optimizer",
            "e.count - piece.start < unsigned(length) ? e.count : piece.start + length".into(),
            "piece.start + length",
        ),
    ] {
        let original = SOURCES.iter().find(|source| source.0 == name).unwrap().1;
        assert_eq!(original.matches(&from).count(), 1, "{from}");
        let mutant = original.replace(&from, to);
        let sources = SOURCES.map(|(other, text)| (other, if other == name { &mutant } else { text }));
        // What belongs to half precision is found in that, and what to whole sequences in these.
        let whole = whole_sequence(original, &from);
        let half = (whole || from.contains("half")).then_some(Half::Bf16);
        let found = run(&sources, Mode { half, whole });
        let found = found.unwrap_or_default();
        assert!(!found.is_empty(), "{from} → {to} is not found");
    }
}

#[test]
fn wrong_launches_are_told() {
    let Some(library) = compiled("REGISTER(twice);", "REGISTER(twice);", Half::Bf16) else { return };
    let on = Emulator::new(&library, 1);
    let xs = memory(&on, &[1.0]);
    let message = |kernel, shape, arguments: &[Argument]| run(&on, kernel, shape, arguments).unwrap_err().to_string();
    assert!(message("thrice", (1, 32, 0, false), &[]).contains("there is no kernel thrice"));
    assert!(message("twice", (1, 32, 0, false), &[xs.at(0), xs.at(0)]).contains("takes 3 arguments"));
    assert!(message("twice", (1, 32, 0, false), &[xs.at(0), xs.at(0), xs.at(0)]).contains("of other sizes"));
    assert!(message("twice", (1, 2048, 0, false), &[xs.at(0), xs.at(0), 1.into()]).contains("2048 threads"));
    assert!(message("block_sum", (1, 32, 1 << 20, false), &[xs.at(0), xs.at(0)]).contains("bytes of shared memory"));
    assert!(Library::compile(&[("wrong", "#include \"device.h\"\nKERNEL(wrong)(int x) { y; }")], Half::Bf16).is_err());
}
