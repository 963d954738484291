//! Batches of like length, so that little of a batch is padding.

use crate::error::Result;
use candle_core::{Device, Tensor};
use candlewick_parameters::Rng;

/// How many batches are sorted by length together: enough for little padding, few enough for a random order.
const POOL: usize = 100;

/// The batches of one epoch: indices into `lengths`, like lengths together, every index exactly once.
///
/// The indices are shuffled, cut into pools of 100 batches, each pool sorted by length and cut into batches of
/// `batch_size` (the last of a pool may be smaller), and the batches shuffled. The result depends on `seed` and `epoch`
/// alone. A `batch_size` of 0 counts as 1.
pub fn batches(lengths: &[usize], batch_size: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
    let batch_size = batch_size.max(1);
    let mut rng = Rng::derive(seed, "batches", epoch as u64);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    rng.shuffle(&mut order);
    let mut batches = Vec::with_capacity(lengths.len().div_ceil(batch_size));
    for pool in order.chunks_mut(batch_size.saturating_mul(POOL)) {
        // The sort is stable: among equal lengths the shuffled order stands.
        pool.sort_by_key(|&index| lengths.get(index).copied());
        batches.extend(pool.chunks(batch_size).map(<[usize]>::to_vec));
    }
    rng.shuffle(&mut batches);
    batches
}

/// Sequences as one tensor (N, T), T being the longest's length, with `padding` behind the shorter ones.
pub fn padded<S: AsRef<[u32]>>(sequences: &[S], padding: u32, device: &Device) -> Result<Tensor> {
    let longest = sequences.iter().map(|sequence| sequence.as_ref().len()).max().unwrap_or(0);
    let mut ids = Vec::with_capacity(sequences.len() * longest);
    for (row, sequence) in sequences.iter().enumerate() {
        ids.extend_from_slice(sequence.as_ref());
        ids.resize((row + 1) * longest, padding);
    }
    Ok(Tensor::from_vec(ids, (sequences.len(), longest), device)?)
}

/// [`padded`], but (N, 1) of padding where no sequence has a step: for layers that want one.
pub fn padded_to_a_step<S: AsRef<[u32]>>(sequences: &[S], padding: u32, device: &Device) -> Result<Tensor> {
    match sequences.iter().any(|sequence| !sequence.as_ref().is_empty()) {
        true => padded(sequences, padding, device),
        false => Ok(Tensor::from_vec(vec![padding; sequences.len()], (sequences.len(), 1), device)?),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_index_comes_exactly_once(
            lengths in prop::collection::vec(0usize..30, 0..500), size in 0usize..40, seed: u64, epoch in 0usize..5
        ) {
            let batches = batches(&lengths, size, seed, epoch);
            prop_assert!(batches.iter().all(|batch| !batch.is_empty() && batch.len() <= size.max(1)));
            let mut all: Vec<usize> = batches.concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..lengths.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn order_depends_on_seed_and_epoch_alone_and_lengths_lie_together() {
        let lengths: Vec<usize> = (0..20_000).map(|index| 5 + (index * 7919) % 20).collect();
        let first = batches(&lengths, 32, 1, 0);
        assert_eq!(first, batches(&lengths, 32, 1, 0));
        assert_ne!(first, batches(&lengths, 32, 1, 1));
        assert_ne!(first, batches(&lengths, 32, 2, 0));
        let padded: usize = first.iter().map(|b| b.len() * b.iter().map(|&i| lengths[i]).max().unwrap()).sum();
        let words: usize = lengths.iter().sum();
        assert!((padded as f64) < 1.03 * words as f64, "{padded} slots for {words} words");
        // Neither short nor long batches come first.
        let mean = |part: &[Vec<usize>]| {
            let part = part.concat();
            part.iter().map(|&i| lengths[i]).sum::<usize>() as f64 / part.len() as f64
        };
        let (head, tail) = first.split_at(first.len() / 2);
        assert!((mean(head) - mean(tail)).abs() < 1.5);
    }

    #[test]
    fn padding_stands_behind_the_words() {
        let padded = |sequences: &[Vec<u32>]| super::padded(sequences, 0, &Device::Cpu).unwrap();
        let rows = padded(&[vec![1, 7, 2], vec![1, 2], vec![]]).to_vec2::<u32>().unwrap();
        assert_eq!(rows, [[1, 7, 2], [1, 2, 0], [0, 0, 0]]);
        assert_eq!(padded(&[]).dims(), [0, 0]);
        let stepped = |rows: &[Vec<u32>]| padded_to_a_step(rows, 9, &Device::Cpu).unwrap().to_vec2::<u32>().unwrap();
        assert_eq!(stepped(&[vec![], vec![]]), [[9], [9]]);
        assert_eq!(stepped(&[vec![], vec![1, 2]]), [[9, 9], [1, 2]]);
    }
}
