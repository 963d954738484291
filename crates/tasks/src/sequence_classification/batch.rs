//! Sequences as a network is given them.

use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::buckets::padded;

/// Sequences of one kind, ready for the network.
#[derive(Clone, Debug)]
pub(super) enum Sequences {
    /// Ids of tokens.
    Words(Vec<Vec<u32>>),
    /// D numbers a step, step after step.
    Values { width: usize, rows: Vec<Vec<f32>> },
}

/// Sequences and what is to be told of them.
pub struct Batch {
    /// (N, T) of ids, or (N, T, D) of numbers.
    pub(super) inputs: Tensor,
    /// How many steps each has.
    pub(super) lengths: Vec<usize>,
    /// Classes (N) or (N, T), or numbers (N).
    pub(super) targets: Tensor,
    /// How many things that are.
    pub(super) count: usize,
}

impl Sequences {
    /// T of each sequence.
    pub fn lengths(&self) -> Vec<usize> {
        match self {
            Self::Words(rows) => rows.iter().map(Vec::len).collect(),
            Self::Values { width, rows } => rows.iter().map(|row| row.len() / width.max(&1)).collect(),
        }
    }

    /// The sequences at these places with zeros behind the shorter ones, (N, T) or (N, T, D), and how many steps each has; T is at least 1.
    pub fn padded(&self, places: &[usize], device: &Device) -> Result<(Tensor, Vec<usize>)> {
        let missing = || Error::task("a sequence is missing from its set");
        match self {
            Self::Words(rows) => {
                let rows = places.iter().map(|&place| rows.get(place).map(Vec::as_slice)).collect::<Option<Vec<_>>>();
                let rows = rows.ok_or_else(missing)?;
                let lengths: Vec<usize> = rows.iter().map(|row| row.len()).collect();
                // The layers want a step, if only one that no row has.
                let inputs = match lengths.iter().any(|&length| length > 0) {
                    true => padded(&rows, 0, device)?,
                    false => Tensor::zeros((rows.len(), 1), candle_core::DType::U32, device)?,
                };
                Ok((inputs, lengths))
            }
            Self::Values { width, rows } => {
                let rows = places.iter().map(|&place| rows.get(place)).collect::<Option<Vec<_>>>();
                let rows = rows.ok_or_else(missing)?;
                let lengths: Vec<usize> = rows.iter().map(|row| row.len() / width.max(&1)).collect();
                let longest = lengths.iter().copied().max().unwrap_or(0).max(1);
                let mut numbers = Vec::with_capacity(rows.len() * longest * width);
                for (at, row) in rows.iter().enumerate() {
                    numbers.extend_from_slice(row);
                    numbers.resize((at + 1) * longest * width, 0.0);
                }
                Ok((Tensor::from_vec(numbers, (rows.len(), longest, *width), device)?, lengths))
            }
        }
    }
}
