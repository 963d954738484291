//! Optimiser steps in place, f32, CPU: one pass over pieces that threads share out.

use super::Update;
use super::rule::{Now, Rule, adam_factors};
use super::slices::{CHUNK, with_slice, with_slice_mut};
use candle_core::{Result, Tensor};
use rayon::prelude::*;

/// A piece of a parameter with its gradient and its state; state that the rule does not have is empty.
struct Chunk<'a> {
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

/// One step of one parameter, and of its average.
pub fn update(rule: Rule, update: &mut Update, scale: f64) -> Result<()> {
    if let Some(gradient) = update.gradient {
        let now = Now { learning_rate: update.learning_rate, step: update.step, scale };
        let run = |first: &mut [f32], second: &mut [f32]| {
            with_slice_mut(update.parameter, |parameter| {
                with_slice(&gradient.contiguous()?, |gradient| by_chunks(rule, parameter, gradient, first, second, now))
            })
        };
        match update.state.as_slice() {
            [] => run(&mut [], &mut []),
            [first] => with_slice_mut(first, |first| run(first, &mut [])),
            [first, second, ..] => with_slice_mut(first, |first| with_slice_mut(second, |second| run(first, second))),
        }?;
    }
    let Some((average, share)) = &update.average else { return Ok(()) };
    with_slice_mut(average, |average| {
        with_slice(update.parameter, |parameter| {
            average.par_chunks_mut(CHUNK).zip(parameter.par_chunks(CHUNK)).for_each(|(average, parameter)| {
                average.iter_mut().zip(parameter).for_each(|(a, p)| *a += *share as f32 * (p - *a));
            });
        })
    })
}

fn by_chunks(rule: Rule, p: &mut [f32], g: &[f32], first: &mut [f32], second: &mut [f32], now: Now) {
    let (mut firsts, mut seconds) = (first.chunks_mut(CHUNK), second.chunks_mut(CHUNK));
    let chunks: Vec<Chunk> = p
        .chunks_mut(CHUNK)
        .zip(g.chunks(CHUNK))
        .map(|(parameter, gradient)| Chunk {
            parameter,
            gradient,
            first: firsts.next().unwrap_or_default(),
            second: seconds.next().unwrap_or_default(),
        })
        .collect();
    chunks.into_par_iter().for_each(|chunk| step(rule, chunk, now));
}

/// One step over a piece, in place.
fn step(rule: Rule, chunk: Chunk, now: Now) {
    let Chunk { parameter, gradient, first, second } = chunk;
    let (scale, lr) = (now.scale as f32, now.learning_rate as f32);
    match rule {
        Rule::Adam { betas, eps, weight_decay, decoupled } => {
            let shrink = if decoupled { (1.0 - now.learning_rate * weight_decay) as f32 } else { 1.0 };
            let decay = if decoupled { 0.0 } else { weight_decay as f32 };
            let (rate1, beta2, rate2) = ((1.0 - betas.0) as f32, betas.1 as f32, (1.0 - betas.1) as f32);
            let (size, root) = adam_factors(betas, now);
            let (size, root, eps) = (size as f32, root as f32, eps as f32);
            for (((p, &g), m), v) in parameter.iter_mut().zip(gradient).zip(first).zip(second) {
                *p *= shrink;
                let g = g * scale + decay * *p;
                *m += rate1 * (g - *m);
                *v = beta2 * *v + rate2 * g * g;
                *p -= size * *m / (v.sqrt() / root + eps);
            }
        }
        Rule::Sgd { momentum, nesterov, weight_decay } => {
            let (momentum, decay) = (momentum as f32, weight_decay as f32);
            if momentum == 0.0 {
                for (p, &g) in parameter.iter_mut().zip(gradient) {
                    *p -= lr * (g * scale + decay * *p);
                }
                return;
            }
            for ((p, &g), b) in parameter.iter_mut().zip(gradient).zip(first) {
                let g = g * scale + decay * *p;
                *b = momentum * *b + g;
                *p -= lr * if nesterov { g + momentum * *b } else { *b };
            }
        }
        Rule::RmsProp { alpha, eps, momentum, weight_decay } => {
            let (rate, alpha, eps) = ((1.0 - alpha) as f32, alpha as f32, eps as f32);
            let (momentum, decay) = (momentum as f32, weight_decay as f32);
            let mut buffer = second.iter_mut();
            for ((p, &g), s) in parameter.iter_mut().zip(gradient).zip(first) {
                let g = g * scale + decay * *p;
                *s = alpha * *s + rate * g * g;
                let mut direction = g / (s.sqrt() + eps);
                if let Some(b) = buffer.next() {
                    *b = momentum * *b + direction;
                    direction = *b;
                }
                *p -= lr * direction;
            }
        }
    }
}

/// Σ g², in f64 over pieces of a fixed size in a fixed order: it does not depend on the number of threads.
pub fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    const LANES: usize = 8;
    let piece = |piece: &[f32]| {
        // Eight sums side by side keep the order fixed and leave the compiler room.
        let mut sums = [0f64; LANES];
        let (blocks, rest) = piece.as_chunks::<LANES>();
        for block in blocks {
            sums.iter_mut().zip(block).for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
        }
        sums.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
    };
    with_slice(&gradient.contiguous()?, |values| values.par_chunks(CHUNK).map(piece).collect::<Vec<f64>>().iter().sum())
}
