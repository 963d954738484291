//! The adding problem (Hochreiter and Schmidhuber 1997, "Long short-term memory"): a long memory is wanted, and nothing else.
//!
//! ```text
//! x_t = (u_t, m_t)      u_t uniform in [0, 1), m_t = 1 at one step of each half of the sequence, 0 elsewhere
//! y = Σ_t m_t u_t       always telling 1 has the mean squared error 1/6
//! ```

use super::Series;
use crate::split::Split;
use candlewick_parameters::Rng;

/// How many numbers a step has.
pub const WIDTH: usize = 2;

/// The sequence of this number in a split, of `steps` T, at least 2; it depends on these and the seed alone.
pub fn sequence(steps: usize, seed: u64, split: Split, index: usize) -> Series {
    let mut rng = Rng::derive(seed, &format!("adding {split}"), index as u64);
    let half = steps / 2;
    let marked = [rng.below(half.max(1)), half + rng.below((steps - half).max(1))];
    let numbers: Vec<f32> = (0..steps).map(|_| rng.uniform()).collect();
    let sum = marked.iter().filter_map(|&at| numbers.get(at)).sum();
    let step = |(at, &number): (usize, &f32)| [number, if marked.contains(&at) { 1.0 } else { 0.0 }];
    let values = numbers.iter().enumerate().flat_map(step).collect();
    Series { name: format!("{split}[{index}]"), values, labels: Vec::new(), targets: vec![sum] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_are_marked_and_their_sum_is_told() {
        let mut squares = 0.0;
        for index in 0..2000 {
            let one = sequence(9, 3, Split::Train, index);
            let marked: Vec<usize> = (0..9).filter(|at| one.values[2 * at + 1] == 1.0).collect();
            assert!(marked.len() == 2 && marked[0] < 4 && marked[1] >= 4, "{marked:?}");
            let sum: f32 = marked.iter().map(|at| one.values[2 * at]).sum();
            assert!((one.targets[0] - sum).abs() < 1e-6);
            squares += (f64::from(sum) - 1.0).powi(2) / 2000.0;
        }
        assert!((squares - 1.0 / 6.0).abs() < 0.015, "{squares}");
        let one = sequence(9, 3, Split::Train, 0);
        assert!(one == sequence(9, 3, Split::Train, 0) && one != sequence(9, 3, Split::Dev, 0));
    }
}
