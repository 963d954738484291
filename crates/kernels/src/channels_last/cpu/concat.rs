//! Concatenation of NHWC maps along their channels, f32, CPU.

use crate::cpu::fill::{Spare, par_fill};
use crate::node::{Call, Operation, Value, apply_one, with_all_f32, with_f32};
use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

const NAME: &str = "concat_channels";

/// Positions that one thread works through at a time.
const POSITIONS: usize = 128;

/// [`crate::channels_last::concat_channels`].
pub fn concat_channels(maps: &[&Tensor]) -> Result<Tensor> {
    let (n, h, w, _) = maps[0].dims4()?;
    let channels = maps.iter().map(|map| map.dim(3)).collect::<Result<_>>()?;
    apply_one(Concat { channels, size: (n, h, w) }, maps)
}

struct Concat {
    channels: Vec<usize>,
    size: (usize, usize, usize),
}

impl Operation for Concat {
    const NAME: &'static str = NAME;
    type Saved = ();

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

impl Concat {
    /// Maps with so many channels, of which `each` writes those of one position.
    fn positions(&self, channels: usize, each: impl Fn(usize, &mut Spare) + Sync) -> Vec<f32> {
        let (n, h, w) = self.size;
        let (positions, size) = (n * h * w, POSITIONS * channels);
        let starts = (0..if size > 0 { positions } else { 0 }).into_par_iter().step_by(POSITIONS);
        par_fill(positions * channels, size, starts, |start, into| {
            (start..positions.min(start + POSITIONS)).for_each(|position| each(position, into));
        })
    }
}
