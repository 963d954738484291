//! Optimiser steps and the norm of gradients on CUDA: a launch over a table of all tensors.

use super::Update;
use super::rule::{Now, Rule, adam_factors};
use crate::cuda::{Argument, Gpu, Launch, Memory, Module, THREADS, module};
use candle_core::{Result, Tensor};

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

/// The entries and their pieces on the device: both in one upload.
struct Table {
    words: Memory,
    /// Where the pieces start.
    pieces_start: usize,
    pieces: usize,
}

impl Table {
    fn new(gpu: &dyn Gpu, entries: &[Entry]) -> Result<Self> {
        let mut words: Vec<u32> = entries.iter().flat_map(Entry::words).collect();
        let pieces_start = words.len();
        for (i, entry) in entries.iter().enumerate() {
            words.extend((0..entry.count).step_by(PIECE).flat_map(|start| [i as u32, start as u32]));
        }
        let pieces = (words.len() - pieces_start) / 2;
        Ok(Self { words: gpu.upload(&words)?, pieces_start, pieces })
    }

    /// What kernels take of it, and what more they take.
    fn arguments(&self, more: &[Argument]) -> Vec<Argument> {
        [&[self.words.at(0), self.words.at(self.pieces_start)], more].concat()
    }
}

/// One step over all parameters.
pub fn step(gpu: &dyn Gpu, rule: Rule, updates: &mut [Update], scale: f64) -> Result<()> {
    let entries = updates.iter().map(|update| entry(gpu, rule, update)).collect::<Result<Vec<_>>>()?;
    let table = Table::new(gpu, &entries)?;
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
    let mut arguments = vec![PIECE.into(), Argument::Float(scale as f32), Argument::Int(kind)];
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

/// √(Σ g²), in f64: two launches and one number back.
pub fn global_norm(gpu: &dyn Gpu, gradients: &[&Tensor]) -> Result<f64> {
    let of = |tensor: &&Tensor| {
        let memory = [None, Some(gpu.of(tensor)?), None, None, None];
        Ok(Entry { memory, count: tensor.elem_count(), ..Entry::default() })
    };
    let entries = gradients.iter().map(of).collect::<Result<Vec<_>>>()?;
    let table = Table::new(gpu, &entries)?;
    if table.pieces == 0 {
        return Ok(0.0);
    }
    // Two words for each f64.
    let (sums, total) = (gpu.alloc(2 * table.pieces)?, gpu.alloc(2)?);
    let (grid, arguments) = ((table.pieces, 1), table.arguments(&[sums.at(0), PIECE.into()]));
    gpu.launch(&Launch::new(&MODULE, "squares_of_pieces", grid, &arguments).with_shared::<f64>())?;
    let arguments = [sums.at(0), total.at(0), table.pieces.into()];
    gpu.launch(&Launch::new(&MODULE, "sum_of_pieces", (1, 1), &arguments).with_shared::<f64>())?;
    match gpu.read(&total)?[..] {
        [low, high] => Ok(f64::from_bits(u64::from(high) << 32 | u64::from(low)).sqrt()),
        _ => candle_core::bail!("global_norm: the device gave another number of words than two"),
    }
}
