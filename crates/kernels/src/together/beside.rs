//! Maps put beside each other: the channels of all, one after the other.

use crate::node::{Call, Operation, Value, apply, on_cpu_f32, with_all_f32, with_f32};
use crate::team::{Shared, filled};
use candle_core::{D, Device, Result, Tensor};
use rayon::prelude::*;

const NAME: &str = "beside";

/// Positions that one thread works through at a time.
const POSITIONS: usize = 128;

/// The channels of all maps (N, h, w, Cᵢ), one map's after the other's: (N, h, w, Σ Cᵢ).
///
/// # Errors
/// When there is no map, or they differ in N, h or w.
pub fn beside(maps: &[&Tensor]) -> Result<Tensor> {
    let Some((first, others)) = maps.split_first() else { candle_core::bail!("{NAME}: there are no maps") };
    let (n, h, w, _) = first.dims4()?;
    for other in others {
        if !other.dims4().is_ok_and(|(on, oh, ow, _)| (on, oh, ow) == (n, h, w)) {
            candle_core::bail!(
                "{NAME}: maps {:?} and {:?} differ in more than their channels",
                first.dims(),
                other.dims()
            )
        }
    }
    if !on_cpu_f32(maps) {
        return Tensor::cat(maps, D::Minus1);
    }
    let channels = maps.iter().map(|map| map.dim(3)).collect::<Result<_>>()?;
    Ok(apply(Beside { channels, size: (n, h, w) }, maps)?.swap_remove(0))
}

struct Beside {
    channels: Vec<usize>,
    size: (usize, usize, usize),
}

impl Operation for Beside {
    type Saved = ();

    fn name(&self) -> &'static str {
        NAME
    }

    fn forward(&self, inputs: &[Tensor], _: bool) -> Result<(Vec<Value>, ())> {
        let ((n, h, w), total) = (self.size, self.channels.iter().sum::<usize>());
        let all = with_all_f32(NAME, inputs, |maps| {
            let work = |into: &Shared| {
                self.blocks().for_each(|(start, count)| {
                    // SAFETY: a position belongs to one block.
                    let into = unsafe { into.write(start * total, count * total) };
                    for (position, mut into) in (start..).zip(into.chunks_exact_mut(total.max(1))) {
                        for (map, &c) in maps.iter().zip(&self.channels) {
                            let (own, rest) = into.split_at_mut(c);
                            own.copy_from_slice(&map[position * c..][..c]);
                            into = rest;
                        }
                    }
                });
            };
            // SAFETY: the blocks cover all positions, and the maps all channels of each.
            unsafe { filled(n * h * w * total, work) }
        })?;
        Ok((vec![Value::new(all, (n, h, w, total))], ()))
    }

    fn backward(&self, call: &Call<()>, gradients: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        let ((n, h, w), total) = (self.size, self.channels.iter().sum::<usize>());
        with_f32(NAME, &gradients[0], |all| {
            let mut first = 0;
            let of_map = |(&c, &wanted): (&usize, &bool)| {
                let from = first;
                first += c;
                let work = |into: &Shared| {
                    self.blocks().for_each(|(start, count)| {
                        // SAFETY: a position belongs to one block.
                        let into = unsafe { into.write(start * c, count * c) };
                        for (position, into) in (start..).zip(into.chunks_exact_mut(c.max(1))) {
                            into.copy_from_slice(&all[position * total + from..][..c]);
                        }
                    });
                };
                // SAFETY: the blocks cover all positions.
                let values = || unsafe { filled(n * h * w * c, work) };
                wanted.then(|| Tensor::from_vec(values(), (n, h, w, c), &Device::Cpu)).transpose()
            };
            self.channels.iter().zip(call.wanted).map(of_map).collect()
        })?
    }
}

impl Beside {
    /// Where the positions of each task begin, and how many they are.
    fn blocks(&self) -> impl ParallelIterator<Item = (usize, usize)> + use<> {
        let (n, h, w) = self.size;
        let positions = n * h * w;
        let block = move |number: usize| (number * POSITIONS, POSITIONS.min(positions - number * POSITIONS));
        (0..positions.div_ceil(POSITIONS)).into_par_iter().map(block)
    }
}
