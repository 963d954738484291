//! RNN, LSTM and GRU, f32, CUDA: a product and a gate kernel a step, rows sorted by length, weight gradients one product for all steps.

pub(crate) mod run;

use super::steps::Steps;
use super::{Cell, Gru, Input, Lstm, Nonlinearity, Recurrence, Rnn};
use crate::cuda::{Argument, Gpu, Memory, Module, module};
use crate::node::{Call, Operation, Value, apply_array};
use candle_core::{Result, Tensor};
use run::{Layout, NULL, Run, plain, rows, transposed};

pub(crate) static MODULE: Module = module!("recurrence");

/// The gate kernels of a cell.
pub trait GateKernels: Cell {
    /// Blocks of H in the projected inputs and in W_hh.
    const GATES: usize;
    /// Whether W_hh h stays apart from the projected input, and has a gradient of its own.
    const APART: bool = false;
    /// The names of the kernels of a step and of a step back.
    const KERNELS: [&'static str; 2];

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
    /// The sorted rows, see `recurrence.cu`.
    table: Option<Memory>,
    /// x (R, D), where the node projects it.
    xs: Option<Memory>,
    /// (R, G·H).
    gates: Memory,
    /// W_hh h (R, G·H), where it stays apart.
    apart: Option<Memory>,
    /// h before each step (R, H).
    h: Memory,
    /// c before each step (R, H).
    c: Option<Memory>,
}

impl<K: GateKernels> Operation for SequenceOp<K> {
    const NAME: &'static str = K::NAME;
    type Saved = Saved;

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, Self::Saved)> {
        let (gpu, on, layout) = (self.gpu, self.inputs(inputs)?, self.layout(inputs)?);
        let table = layout.table(gpu, &self.steps)?;
        let run = Run { gpu, layout: &layout, table: table.as_ref() };
        let (&Layout { n, t, d, h, packed, .. }, wide) = (&layout, K::GATES * layout.h);
        let (xs, gates) = match &on.w_ih {
            None => (None, run.packed(&on.xs, wide)?),
            Some(w_ih) => {
                let (xs, gates) = (run.packed(&on.xs, d)?, gpu.alloc(packed * wide)?);
                run.product((packed, wide, d), plain(&xs, 0, d), transposed(w_ih, 0, d), rows(&gates, 0, wide), false)?;
                (Some(xs), gates)
            }
        };
        let only = |there: bool, count: usize| if there { gpu.alloc(count).map(Some) } else { Ok(None) };
        let (apart, out) = (only(K::APART, packed * wide)?, run.outputs(h)?);
        let (before_h, last_h) = (gpu.alloc(packed * h)?, gpu.alloc(n * h)?);
        let (before_c, last_c) = (only(K::HAS_C, packed * h)?, only(K::HAS_C, n * h)?);
        let at = |memory: &Option<Memory>, start| memory.as_ref().map_or(NULL, |memory| memory.at(start));
        let from = [on.h.at(0), at(&on.c, 0)];
        run.start([from, [before_h.at(0), at(&before_c, 0)], [last_h.at(0), at(&last_c, 0)]])?;
        for step in 0..layout.count() {
            let (first, next) = layout.rows_of(step);
            let sum = rows(apart.as_ref().unwrap_or(&gates), first * wide, wide);
            let before = plain(&before_h, first * h, h);
            run.product((next - first, wide, h), before, transposed(&on.w_hh, 0, h), sum, !K::APART)?;
            let mut arguments = vec![gates.at(first * wide)];
            if K::HAS_C {
                arguments.extend([NULL, 0usize.into()]);
            }
            arguments.push(at(&on.b_ih, 0));
            let (h_before, h_next) = (before_h.at(first * h), before_h.at(next * h));
            match (&apart, &before_c) {
                (Some(apart), _) => arguments.extend([apart.at(first * wide), at(&on.b_hh, 0), h_before, h_next]),
                (None, Some(c)) => arguments.extend([c.at(first * h), h_next, c.at(next * h)]),
                (None, None) => arguments.push(h_next),
            }
            arguments.extend([out.at(0), last_h.at(0)]);
            arguments.extend(last_c.as_ref().map(|last| last.at(0)));
            arguments.extend(self.cell.setting().map(Argument::from));
            run.step(K::KERNELS[0], step, &arguments)?;
        }
        let mut outputs = vec![gpu.value(out, (n, t, h).into())?, gpu.value(last_h, (n, h).into())?];
        outputs.extend(last_c.map(|last| gpu.value(last, (n, h).into())).transpose()?);
        Ok((outputs, Saved { table, xs, gates, apart, h: before_h, c: before_c }))
    }

    fn backward(&self, call: &Call<Self::Saved>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let (gpu, on, layout) = (self.gpu, self.inputs(call.inputs)?, self.layout(call.inputs)?);
        let (run, saved) = (Run { gpu, layout: &layout, table: call.saved.table.as_ref() }, call.saved);
        let (&Layout { n, d, h, packed, .. }, wide) = (&layout, K::GATES * layout.h);
        let all: Vec<Memory> = gradients.iter().map(|gradient| gpu.of(gradient)).collect::<Result<_>>()?;
        let only = |there: bool, count: usize| if there { gpu.alloc(count).map(Some) } else { Ok(None) };
        let (d_gates, d_apart) = (gpu.alloc(packed * wide)?, only(K::APART, packed * wide)?);
        let (dh, dc) = (gpu.alloc(n * h)?, only(K::HAS_C, n * h)?);
        let at = |memory: Option<&Memory>, start| memory.map_or(NULL, |memory| memory.at(start));
        let (running, last) = ([dh.at(0), at(dc.as_ref(), 0)], [all[1].at(0), at(all.get(2), 0)]);
        let states = 1 + usize::from(K::HAS_C);
        for step in (0..layout.count()).rev() {
            let (first, next) = layout.rows_of(step);
            let mut arguments = vec![saved.gates.at(first * wide)];
            match (&saved.apart, &saved.c) {
                (Some(apart), _) => arguments.extend([apart.at(first * wide), saved.h.at(first * h)]),
                (None, c) => arguments.extend(c.as_ref().map(|c| c.at(first * h))),
            }
            arguments.extend(running[..states].iter().chain(&last[..states]));
            arguments.extend([all[0].at(0), d_gates.at(first * wide)]);
            arguments.extend(d_apart.as_ref().map(|apart| apart.at(first * wide)));
            if K::HAS_C {
                arguments.push(wide.into());
            }
            arguments.extend(self.cell.setting().map(Argument::from));
            run.step(K::KERNELS[1], step, &arguments)?;
            let d_sum = plain(d_apart.as_ref().unwrap_or(&d_gates), first * wide, wide);
            run.product((next - first, h, wide), d_sum, plain(&on.w_hh, 0, h), rows(&dh, 0, h), K::APART)?;
        }
        let d_hidden = d_apart.as_ref().unwrap_or(&d_gates);
        let of_xs = || match &on.w_ih {
            None => run.unpacked(&d_gates, wide),
            Some(w_ih) => {
                let dxs = gpu.alloc(packed * d)?;
                run.product((packed, d, wide), plain(&d_gates, 0, wide), plain(w_ih, 0, d), rows(&dxs, 0, d), false)?;
                run.unpacked(&dxs, d)
            }
        };
        let value = |input: usize, gradient: &dyn Fn() -> Result<Memory>| {
            let shape = || call.inputs[input].shape().clone();
            call.wants(input).then(|| gpu.value(gradient()?, shape()).map(Value::tensor)).transpose()
        };
        let mut found = vec![value(0, &of_xs)?, value(1, &|| run.weight(d_hidden, wide, &saved.h, h))?];
        let (dh0, dc0) = (gpu.alloc(n * h)?, only(K::HAS_C, n * h)?);
        run.start_gradients([running, last, [dh0.at(0), at(dc0.as_ref(), 0)]])?;
        for state in [Some(dh0), dc0].into_iter().flatten() {
            found.push(Some(gpu.value(state, (n, h).into())?.tensor()));
        }
        // The two biases share a launch: b_hh comes before W_ih, and b_ih behind it.
        let (of_b_hh, of_b_ih) = (found.len(), call.inputs.len() - 1);
        let biases =
            [(self.bias_hh && call.wants(of_b_hh), d_hidden), (on.b_ih.is_some() && call.wants(of_b_ih), &d_gates)];
        let wanted: Vec<&Memory> = biases.iter().filter(|(wanted, _)| *wanted).map(|(_, of)| *of).collect();
        let mut sums = run.sums(&wanted, wide)?.into_iter();
        let mut next = |wanted: bool| {
            let sum = if wanted { sums.next() } else { None };
            sum.map(|sum| gpu.value(sum, wide.into()).map(Value::tensor)).transpose()
        };
        if self.bias_hh {
            found.push(next(biases[0].0)?);
        }
        if let Some(xs) = &saved.xs {
            found.push(value(found.len(), &|| run.weight(&d_gates, wide, xs, d))?);
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
