//! How well a network tells pictures.

use super::drawing::Bound;
use super::model::Draw;
use super::pictures::Pictures;
use crate::Result;
use candlewick_training::Scores;

/// Pictures that are told together.
const BATCH: usize = 100;

/// Scores a model on pictures, in nats a picture, lower is better: `bound`, the bound of −log p(x) from `samples` draws; `likelihood`, its part
/// −log p(x | z); `kl`, Σ KL.
///
/// Pictures in black and white are binarised once, by `seed` and their numbers; `progress` is told how many of how many are done.
///
/// # Errors
/// When the pictures are of another size than the model's, or the bound is no number.
pub fn evaluate(
    model: &Draw,
    pictures: &Pictures,
    (samples, seed): (usize, u64),
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Scores> {
    let rows: Vec<usize> = (0..pictures.len()).collect();
    let (mut sums, mut done) = ([0.0; 3], 0);
    progress(done, rows.len());
    for rows in rows.chunks(BATCH) {
        for Bound { nats, likelihood, kl } in model.bound_of(pictures, rows, (samples, seed))? {
            let own = [nats, likelihood, kl.iter().sum()];
            sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        }
        done += rows.len();
        progress(done, pictures.len());
    }
    let count = rows.len().max(1) as f64;
    Ok(SCORES.into_iter().zip(sums).map(|(name, sum)| (name, sum / count)).collect())
}

/// The names of the scores, the main one first.
pub(super) const SCORES: [&str; 3] = ["bound", "likelihood", "kl"];
