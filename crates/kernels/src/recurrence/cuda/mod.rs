//! RNN, LSTM and GRU, f32, CUDA: a product and a gate kernel a step, rows sorted by length, weight gradients one product for all steps.
//! Where products are of half precision, the kernels write their sides in that too, and all steps of an LSTM may be one launch.

pub(crate) mod run;
#[cfg(test)]
mod tests;
mod whole;

use super::steps::Steps;
use super::{Cell, Gru, Input, Lstm, Nonlinearity, Recurrence, Rnn};
use crate::cuda::{
    Argument, Gpu, Half, Matrix, Memory, Module, Rows, Side, check_half, column_sums, in_half, module, two_column_sums,
};
use crate::node::{Call, Operation, Value, apply_array};
use candle_core::{Result, Tensor};
use run::{Layout, NULL, Run};
use whole::Whole;

pub(crate) static MODULE: Module = module!("recurrence" of half precision);

/// The gate kernels of a cell.
pub trait GateKernels: Cell {
    /// Blocks of H in the projected inputs and in W_hh.
    const GATES: usize;
    /// Whether W_hh h stays apart from the projected input, and has a gradient of its own.
    const APART: bool = false;
    /// The names of the kernels of a step and of a step back.
    const KERNELS: [&'static str; 2];
    /// Kernels of all steps at once.
    const WHOLE: Option<Whole> = None;

    /// What the kernels take before the step: whether the nonlinearity is a ReLU.
    fn setting(self) -> Option<bool> {
        None
    }
}

impl GateKernels for Rnn {
    const GATES: usize = 1;
    const KERNELS: [&'static str; 2] = ["rnn_forward", "rnn_backward"];

    fn setting(self) -> Option<bool> {
        Some(self.0 == Nonlinearity::Relu)
    }
}

impl GateKernels for Lstm {
    const GATES: usize = 4;
    const KERNELS: [&'static str; 2] = ["lstm_forward", "lstm_backward"];
    const WHOLE: Option<Whole> =
        Some(Whole { forward: "lstm_sequence", backward: "lstm_sequence_gradients", gates: Self::GATES });
}

impl GateKernels for Gru {
    const GATES: usize = 3;
    const APART: bool = true;
    const KERNELS: [&'static str; 2] = ["gru_forward", "gru_backward"];
}

/// The whole sequence as one node.
pub fn recurrence<K: GateKernels, const N: usize>(
    gpu: &'static dyn Gpu,
    cell: K,
    steps: Steps,
    call: &Recurrence,
) -> Result<[Tensor; N]> {
    let weight_ih = matches!(call.input, Input::Sequence { .. });
    apply_array(SequenceOp { gpu, cell, steps, bias_hh: call.b_hh.is_some(), weight_ih }, &call.inputs())
}

/// The whole sequence on xs, w_hh, h0, then c0 or b_hh, then w_ih and its bias. Without w_ih, xs are projected already.
struct SequenceOp<K> {
    gpu: &'static dyn Gpu,
    cell: K,
    steps: Steps,
    bias_hh: bool,
    weight_ih: bool,
}

/// The inputs on the device.
struct Inputs {
    xs: Memory,
    w_hh: Memory,
    h: Memory,
    c: Option<Memory>,
    b_hh: Option<Memory>,
    w_ih: Option<Memory>,
    b_ih: Option<Memory>,
}

/// What the steps leave for the backward pass, packed: step behind step with its rows, R in all.
pub struct Saved {
    /// The sorted rows, see `steps.h`.
    table: Option<Memory>,
    /// x (R, D), where the node projects it.
    xs: Option<Matrix>,
    /// (R, G·H).
    gates: Matrix,
    /// W_hh h (R, G·H), where it stays apart.
    apart: Option<Matrix>,
    /// h before each step (R, H).
    h: Matrix,
    /// c before each step (R, H).
    c: Option<Matrix>,
    /// W_hh and W_ih in half precision, where products are of that.
    halves: [Option<Memory>; 2],
    half: Option<Half>,
}

/// Rows of any values, if they are wanted.
fn only(gpu: &dyn Gpu, wanted: bool, rows: usize, width: usize) -> Result<Option<Matrix>> {
    wanted.then(|| Matrix::new(gpu, rows, width)).transpose()
}

/// Where a row lies, or no address.
fn row(matrix: Option<&Matrix>, row: usize) -> Argument {
    matrix.map_or(NULL, |matrix| matrix.row(row))
}

fn start(memory: Option<&Memory>) -> Argument {
    memory.map_or(NULL, |memory| memory.at(0))
}

impl<K: GateKernels> Operation for SequenceOp<K> {
    const NAME: &'static str = K::NAME;
    type Saved = Saved;

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, Self::Saved)> {
        let (gpu, on, layout) = (self.gpu, self.inputs(inputs)?, self.layout(inputs)?);
        let table = layout.table(gpu, &self.steps)?;
        let run = Run { gpu, layout: &layout, table: table.as_ref() };
        let (&Layout { n, t, d, h, packed, .. }, wide) = (&layout, K::GATES * layout.h);
        let halves = in_half(gpu, &on.w_hh, on.w_ih.as_ref())?;
        let w_hh = || Side::Transposed(Rows { memory: &on.w_hh, half: halves[0].as_ref(), start: 0, stride: h });
        let (xs, gates) = match &on.w_ih {
            None => (None, run.packed(&on.xs, run.matrix(packed, wide)?)?),
            Some(w_ih) => {
                let (xs, gates) = (run.packed(&on.xs, run.factor(packed, d)?)?, run.matrix(packed, wide)?);
                let w_ih = Side::Transposed(Rows { memory: w_ih, half: halves[1].as_ref(), start: 0, stride: d });
                run.gpu.multiply((packed, wide, d), Side::Plain(xs.rows(0)), w_ih, gates.rows(0), false)?;
                (Some(xs), gates)
            }
        };
        let (apart, out) = (only(gpu, K::APART, packed, wide)?, run.outputs(h)?);
        let (before_h, last_h) = (run.factor(packed, h)?, gpu.alloc(n * h)?);
        let (before_c, last_c) = (only(gpu, K::HAS_C, packed, h)?, only(gpu, K::HAS_C, n, h)?);
        let from = [on.h.at(0), start(on.c.as_ref())];
        let (onto, last) = ([before_h.row(0), row(before_c.as_ref(), 0)], [last_h.at(0), row(last_c.as_ref(), 0)]);
        run.start([from, onto, last], before_h.half(0, 0))?;
        let whole = K::WHOLE.filter(|whole| whole.serves(&run)).zip(halves[0].as_ref());
        if let Some((whole, w_hh)) = whole {
            let from = [gates.row(0), w_hh.at(0), start(on.b_ih.as_ref()), before_h.row(0), before_h.half(0, 0)];
            let onto = [row(before_c.as_ref(), 0), out.at(0), last_h.at(0), row(last_c.as_ref(), 0)];
            whole.forward(&run, &[&from[..], &onto].concat())?;
        }
        let steps = if whole.is_some() { 0 } else { layout.count() };
        for step in 0..steps {
            let (first, next) = layout.rows_of(step);
            let sums = apart.as_ref().unwrap_or(&gates);
            run.gpu.multiply(
                (next - first, wide, h),
                Side::Plain(before_h.rows(first)),
                w_hh(),
                sums.rows(first),
                !K::APART,
            )?;
            let mut arguments = vec![gates.row(first)];
            let next_h = [before_h.row(next), before_h.half(next, 0)];
            match (&apart, &before_c) {
                (Some(apart), _) => {
                    arguments.extend([start(on.b_ih.as_ref()), apart.row(first), start(on.b_hh.as_ref())]);
                    arguments.extend([&[before_h.row(first)], &next_h[..]].concat());
                }
                (None, Some(before_c)) => {
                    // There are no sums in other rows.
                    arguments.extend([NULL, 0usize.into(), start(on.b_ih.as_ref())]);
                    arguments.extend([&[before_c.row(first)], &next_h[..], &[before_c.row(next)]].concat());
                }
                (None, None) => arguments.extend([&[start(on.b_ih.as_ref())], &next_h[..]].concat()),
            }
            arguments.extend([out.at(0), last_h.at(0)]);
            arguments.extend(last_c.as_ref().map(|last| last.row(0)));
            arguments.extend(self.cell.setting().map(Argument::from));
            run.step(K::KERNELS[0], step, &arguments)?;
        }
        let mut outputs = vec![gpu.value(out, (n, t, h).into())?, gpu.value(last_h, (n, h).into())?];
        outputs.extend(last_c.map(|last| gpu.value(last.memory, (n, h).into())).transpose()?);
        Ok((outputs, Saved { table, xs, gates, apart, h: before_h, c: before_c, halves, half: gpu.half() }))
    }

    fn backward(&self, call: &Call<Self::Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (gpu, on, layout) = (self.gpu, self.inputs(call.inputs)?, self.layout(call.inputs)?);
        let (run, saved) = (Run { gpu, layout: &layout, table: call.saved.table.as_ref() }, call.saved);
        check_half(gpu, saved.half)?;
        let (&Layout { n, d, h, packed, .. }, wide) = (&layout, K::GATES * layout.h);
        let all: Vec<Memory> = gradients.iter().map(|gradient| gpu.of(gradient)).collect::<Result<_>>()?;
        let d_gates = run.factor(packed, wide)?;
        let d_apart = K::APART.then(|| run.factor(packed, wide)).transpose()?;
        let (dh, dc) = (run.matrix(n, h)?, only(gpu, K::HAS_C, n, h)?);
        let (running, last) = ([dh.row(0), row(dc.as_ref(), 0)], [all[1].at(0), start(all.get(2))]);
        let states = 1 + usize::from(K::HAS_C);
        let d_hidden = d_apart.as_ref().unwrap_or(&d_gates);
        let whole = K::WHOLE.filter(|whole| whole.serves(&run)).zip(saved.halves[0].as_ref()).zip(saved.c.as_ref());
        if let Some(((whole, w_hh), c)) = whole {
            let from = [saved.gates.row(0), c.row(0), w_hh.at(0), all[0].at(0), last[0], last[1]];
            let onto = [running[0], running[1], d_gates.row(0), d_gates.half(0, 0)];
            whole.backward(&run, &[from.as_slice(), &onto].concat())?;
        }
        let steps = if whole.is_some() { 0 } else { layout.count() };
        for step in (0..steps).rev() {
            let (first, next) = layout.rows_of(step);
            let mut arguments = vec![saved.gates.row(first)];
            match (&saved.apart, &saved.c) {
                (Some(apart), _) => arguments.extend([apart.row(first), saved.h.row(first)]),
                (None, c) => arguments.extend(c.as_ref().map(|c| c.row(first))),
            }
            arguments.extend(running[..states].iter().chain(&last[..states]));
            arguments.extend([all[0].at(0), d_gates.row(first), d_gates.half(first, 0)]);
            arguments.extend(d_apart.iter().flat_map(|apart| [apart.row(first), apart.half(first, 0)]));
            if K::HAS_C {
                arguments.push(wide.into());
            }
            arguments.extend(self.cell.setting().map(Argument::from));
            run.step(K::KERNELS[1], step, &arguments)?;
            let w_hh = Side::Plain(Rows { memory: &on.w_hh, half: saved.halves[0].as_ref(), start: 0, stride: h });
            run.gpu.multiply((next - first, h, wide), Side::Plain(d_hidden.rows(first)), w_hh, dh.rows(0), K::APART)?;
        }
        let of_xs = || match &on.w_ih {
            None => run.unpacked(&d_gates),
            Some(w_ih) => {
                let w_ih = Side::Plain(Rows { memory: w_ih, half: saved.halves[1].as_ref(), start: 0, stride: d });
                let dxs = run.matrix(packed, d)?;
                run.gpu.multiply((packed, d, wide), Side::Plain(d_gates.rows(0)), w_ih, dxs.rows(0), false)?;
                run.unpacked(&dxs)
            }
        };
        let value = |input: usize, gradient: &dyn Fn() -> Result<Memory>| {
            let shape = || call.inputs[input].shape().clone();
            call.wants(input).then(|| gpu.value(gradient()?, shape()).map(Value::tensor)).transpose()
        };
        let mut found = vec![value(0, &of_xs)?, value(1, &|| run.weight(d_hidden, &saved.h))?];
        let (dh0, dc0) = (gpu.alloc(n * h)?, only(gpu, K::HAS_C, n, h)?);
        run.start_gradients([running, last, [dh0.at(0), row(dc0.as_ref(), 0)]])?;
        for state in [Some(dh0), dc0.map(|dc0| dc0.memory)].into_iter().flatten() {
            found.push(Some(gpu.value(state, (n, h).into())?.tensor()));
        }
        // The two biases share a launch: b_hh comes before W_ih, and b_ih behind it.
        let (of_b_hh, of_b_ih) = (found.len(), call.inputs.len() - 1);
        let biases =
            [(self.bias_hh && call.wants(of_b_hh), d_hidden), (on.b_ih.is_some() && call.wants(of_b_ih), &d_gates)];
        let wanted: Vec<&Matrix> = biases.iter().filter(|(wanted, _)| *wanted).map(|(_, of)| *of).collect();
        let sums = match wanted[..] {
            [one, other] => two_column_sums(gpu, [one, other], packed)?,
            [one] => vec![column_sums(gpu, one, packed)?],
            _ => vec![],
        };
        let mut sums = sums.into_iter();
        let mut next = |wanted: bool| {
            let sum = if wanted { sums.next() } else { None };
            sum.map(|sum| gpu.value(sum, wide.into()).map(Value::tensor)).transpose()
        };
        if self.bias_hh {
            found.push(next(biases[0].0)?);
        }
        if let Some(xs) = &saved.xs {
            found.push(value(found.len(), &|| run.weight(&d_gates, xs))?);
        }
        if on.b_ih.is_some() {
            found.push(next(biases[1].0)?);
        }
        Ok(found)
    }
}

impl<K: GateKernels> SequenceOp<K> {
    fn layout(&self, inputs: &[Tensor]) -> Result<Layout> {
        Ok(Layout::new(inputs[0].dims3()?, inputs[1].dim(1)?, &self.steps))
    }

    fn inputs(&self, inputs: &[Tensor]) -> Result<Inputs> {
        let mut all = inputs.iter().map(|input| self.gpu.of(input));
        let mut next = |there: bool| if there { all.next().transpose() } else { Ok(None) };
        let missing = || candle_core::Error::Msg(format!("{}: an input is missing", K::NAME));
        let [xs, w_hh, h] = [next(true)?, next(true)?, next(true)?].map(|input| input.ok_or_else(missing));
        let (c, b_hh) = (next(K::HAS_C)?, next(self.bias_hh)?);
        Ok(Inputs { xs: xs?, w_hh: w_hh?, h: h?, c, b_hh, w_ih: next(self.weight_ih)?, b_ih: next(true)? })
    }
}
