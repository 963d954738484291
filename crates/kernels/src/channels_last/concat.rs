//! Concatenation of NHWC maps along their channels.

use crate::cpu::fill::{Spare, par_filled};
use crate::node::{Call, Operation, Value, apply, on_cpu_f32, with_all_f32, with_f32};
use candle_core::{D, Device, Result, Tensor};
use rayon::prelude::*;

const NAME: &str = "concat_channels";

/// Positions that one thread works through at a time.
const POSITIONS: usize = 128;

/// The channels of all maps (N, h, w, Cᵢ), one map's after the other's: (N, h, w, Σ Cᵢ).
///
/// # Errors
/// When there is no map, or they differ in N, h or w.
pub fn concat_channels(maps: &[&Tensor]) -> Result<Tensor> {
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
            self.positions(total, |position, into| {
                let pieces = maps.iter().zip(&self.channels).map(|(map, &c)| &map[position * c..][..c]);
                into.extend_from_slices(pieces);
            })
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
                let copy = |position: usize, into: &mut Spare| {
                    into.extend_from_slice(&all[position * total + from..][..c]);
                };
                let values = || self.positions(c, copy);
                wanted.then(|| Tensor::from_vec(values(), (n, h, w, c), &Device::Cpu)).transpose()
            };
            self.channels.iter().zip(call.wanted).map(of_map).collect()
        })?
    }
}

impl Beside {
    /// Maps with so many channels, of which `each` writes those of one position.
    fn positions(&self, channels: usize, each: impl Fn(usize, &mut Spare) + Sync) -> Vec<f32> {
        let (n, h, w) = self.size;
        let (positions, size) = (n * h * w, POSITIONS * channels);
        let starts = (0..if size > 0 { positions } else { 0 }).into_par_iter().step_by(POSITIONS);
        par_filled(positions * channels, size, starts, |start, into| {
            (start..positions.min(start + POSITIONS)).for_each(|position| each(position, into));
        })
    }
}
