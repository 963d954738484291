//! Optimiser steps and the norm of gradients on CUDA: a launch over a table of all tensors.

use super::rule::{Now, Rule, adam_factors};
use super::{Checks, Outcome, Seen, Update};
use crate::cuda::{Argument, Gpu, Launch, Memory, Module, THREADS, module};
use candle_core::{DType, Result, Tensor};

static MODULE: Module = module!("optimizer");

/// Values of a piece, of which each thread takes some.
const PIECE: usize = 64 * THREADS;

/// A row of the table, as `Entry` has it.
#[derive(Default)]
struct Entry {
    /// The parameter, its gradient, its first and second state, and its average.
    memory: [Option<Memory>; 5],
    count: usize,
    /// Learning rate, shrink, size, root, share.
    factors: [f32; 5],
}

impl Entry {
    fn words(&self) -> impl Iterator<Item = u32> {
        let addresses = self.memory.iter().flat_map(|memory| {
            let address = memory.as_ref().map_or(0, |memory| memory.address);
            [address as u32, (address >> 32) as u32]
        });
        addresses.chain([self.count as u32]).chain(self.factors.iter().map(|factor| factor.to_bits()))
    }
}

/// The entries, their pieces, and numbers that lie somewhere: all in one upload.
struct Table {
    words: Memory,
    /// Where the pieces start, and where the numbers' addresses do.
    pieces_start: usize,
    numbers_start: usize,
    pieces: usize,
    numbers: usize,
}

impl Table {
    fn new(gpu: &dyn Gpu, entries: &[Entry], numbers: &[Memory]) -> Result<Self> {
        let mut words: Vec<u32> = entries.iter().flat_map(Entry::words).collect();
        let pieces_start = words.len();
        for (i, entry) in entries.iter().enumerate() {
            words.extend((0..entry.count).step_by(PIECE).flat_map(|start| [i as u32, start as u32]));
        }
        let (numbers_start, pieces) = (words.len(), (words.len() - pieces_start) / 2);
        words.extend(numbers.iter().flat_map(|number| [number.address as u32, (number.address >> 32) as u32]));
        Ok(Self { words: gpu.upload(&words)?, pieces_start, numbers_start, pieces, numbers: numbers.len() })
    }

    /// What kernels take of it, and what more they take.
    fn arguments(&self, more: &[Argument]) -> Vec<Argument> {
        [&[self.words.at(0), self.words.at(self.pieces_start)], more].concat()
    }

    /// The norm of all gradients, the factor that clips it, and the numbers: what `norm_and_factor` tells, in two launches.
    fn told(&self, gpu: &dyn Gpu, checks: &Checks) -> Result<Memory> {
        // Two words for each f64.
        let (sums, told) = (gpu.alloc(2 * self.pieces)?, gpu.alloc(2 + self.numbers)?);
        let (grid, arguments) = ((self.pieces, 1), self.arguments(&[sums.at(0), PIECE.into()]));
        gpu.launch(&Launch::new(&MODULE, "squares_of_pieces", grid, &arguments).with_shared::<f64>())?;
        let limit = checks.max_norm.map_or(f32::INFINITY, |limit| limit as f32);
        let factors = [limit, (1.0 / checks.loss_scale) as f32].map(Argument::Float);
        let numbers = [self.words.at(self.numbers_start), self.numbers.into(), checks.losses.len().into()];
        let arguments = [&[sums.at(0), self.pieces.into()][..], &numbers, &factors, &[told.at(0)]].concat();
        gpu.launch(&Launch::new(&MODULE, "norm_and_factor", (1, 1), &arguments).with_shared::<f64>())?;
        Ok(told)
    }
}

/// One step over all parameters.
pub fn step(gpu: &dyn Gpu, rule: Rule, updates: &mut [Update], scale: f64) -> Result<()> {
    let entries = updates.iter().map(|update| entry(gpu, rule, update)).collect::<Result<Vec<_>>>()?;
    let table = Table::new(gpu, &entries, &[])?;
    change(gpu, rule, &table, &entries, updates, (None, scale))
}

/// One step over all parameters, clipped, where all is finite: three launches, and nothing that the host waits for.
pub fn checked_step(gpu: &dyn Gpu, rule: Rule, updates: &mut [Update], checks: &Checks) -> Result<Outcome> {
    let entries = updates.iter().map(|update| entry(gpu, rule, update)).collect::<Result<Vec<_>>>()?;
    let Some(device) = updates.first().map(|update| update.parameter.device().clone()) else {
        candle_core::bail!("optimizer: there is nothing to step")
    };
    // What a task only tells may lie on the host.
    let number = |tensor: &Tensor| gpu.of(&tensor.to_dtype(DType::F32)?.to_device(&device)?);
    let numbers = checks.losses.iter().chain(checks.parts).map(number).collect::<Result<Vec<_>>>()?;
    let table = Table::new(gpu, &entries, &numbers)?;
    if table.pieces == 0 {
        candle_core::bail!("optimizer: there is nothing to step")
    }
    let told = table.told(gpu, checks)?;
    change(gpu, rule, &table, &entries, updates, (Some(&told), 1.0))?;
    let told = gpu.read_later(told)?;
    Ok(Outcome::Later(Box::new(move || {
        let words = told()?.into_iter().map(|word| f64::from(f32::from_bits(word)));
        let values: Vec<f64> = words.collect();
        match values[..] {
            [_, norm, ref numbers @ ..] => Ok(Seen { norm, numbers: numbers.to_vec() }),
            _ => candle_core::bail!("optimizer: the device told less than the norm"),
        }
    })))
}

/// Changes parameters, states and averages by the gradients times a factor, which lies on the device or is a number.
fn change(
    gpu: &dyn Gpu,
    rule: Rule,
    table: &Table,
    entries: &[Entry],
    updates: &[Update],
    (factor, scale): (Option<&Memory>, f64),
) -> Result<()> {
    if table.pieces == 0 {
        return Ok(());
    }
    let rate = |beta: f64| (1.0 - beta) as f32;
    // 1−β₁, β₂, 1−β₂, ε, λ, μ.
    let (kind, numbers, nesterov) = match rule {
        Rule::Adam { betas, eps, weight_decay, decoupled } => {
            let decay = if decoupled { 0.0 } else { weight_decay };
            (0, [rate(betas.0), betas.1 as f32, rate(betas.1), eps as f32, decay as f32, 0.0], false)
        }
        Rule::Sgd { momentum, nesterov, weight_decay } => {
            (1, [0.0, 0.0, 0.0, 0.0, weight_decay as f32, momentum as f32], nesterov)
        }
        Rule::RmsProp { alpha, eps, momentum, weight_decay } => {
            (2, [0.0, alpha as f32, rate(alpha), eps as f32, weight_decay as f32, momentum as f32], false)
        }
    };
    let factor = factor.map_or(Argument::Address(0), |factor| factor.at(0));
    let mut arguments = vec![PIECE.into(), factor, Argument::Float(scale as f32), Argument::Int(kind)];
    arguments.extend(numbers.map(Argument::Float));
    arguments.push(nesterov.into());
    let (grid, arguments) = ((table.pieces, 1), table.arguments(&arguments));
    gpu.launch(&Launch::new(&MODULE, "optimizer_step", grid, &arguments))?;
    for (entry, update) in entries.iter().zip(updates) {
        let [parameter, _, first, second, average] = &entry.memory;
        let tensors = [Some(update.parameter.as_tensor()), update.state.first(), update.state.get(1)];
        let average_tensor = update.average.as_ref().map(|(average, _)| &**average);
        for (memory, tensor) in
            [parameter, first, second, average].into_iter().zip(tensors.into_iter().chain([average_tensor]))
        {
            if let (Some(memory), Some(tensor)) = (memory, tensor) {
                gpu.written(memory, tensor)?;
            }
        }
    }
    Ok(())
}

fn entry(gpu: &dyn Gpu, rule: Rule, update: &Update) -> Result<Entry> {
    let Update { learning_rate, step, .. } = *update;
    let of = |tensor: Option<&Tensor>| tensor.map(|tensor| gpu.of(tensor)).transpose();
    let state = |i: usize| if update.gradient.is_some() { of(update.state.get(i)) } else { Ok(None) };
    let average = update.average.as_ref();
    let memory = [
        of(Some(update.parameter.as_tensor()))?,
        of(update.gradient)?,
        state(0)?,
        state(1)?,
        of(average.map(|(average, _)| &**average))?,
    ];
    let (mut shrink, mut size, mut root) = (1.0, 0.0, 1.0);
    if let Rule::Adam { betas, weight_decay, decoupled, .. } = rule {
        (size, root) = adam_factors(betas, Now { learning_rate, step, scale: 1.0 });
        shrink = if decoupled { 1.0 - learning_rate * weight_decay } else { 1.0 };
    }
    let share = average.map_or(0.0, |(_, share)| *share);
    let factors = [learning_rate, shrink, size, root, share].map(|factor| factor as f32);
    Ok(Entry { memory, count: update.parameter.elem_count(), factors })
}

/// √(Σ g²), summed in f64: two launches and one number back.
pub fn global_norm(gpu: &dyn Gpu, gradients: &[&Tensor]) -> Result<f64> {
    let of = |tensor: &&Tensor| {
        let memory = [None, Some(gpu.of(tensor)?), None, None, None];
        Ok(Entry { memory, count: tensor.elem_count(), ..Entry::default() })
    };
    let entries = gradients.iter().map(of).collect::<Result<Vec<_>>>()?;
    let table = Table::new(gpu, &entries, &[])?;
    if table.pieces == 0 {
        return Ok(0.0);
    }
    match gpu.read(&table.told(gpu, &Checks::default())?)?[..] {
        [_, norm] => Ok(f64::from(f32::from_bits(norm))),
        _ => candle_core::bail!("global_norm: the device gave another number of words than two"),
    }
}
