//! Loss scale: what the loss is multiplied by before it is gone back through, so that f16 does not round small gradients to 0 (Micikevicius et
//! al. 2018, "Mixed precision training").

use candle_core::Tensor;
use candlewick_kernels::optimizer::wants_loss_scale;
use serde::{Deserialize, Serialize};

/// S, a power of two: halved where a gradient overflows, doubled after [`CALM`] steps in which none does.
///
/// What a step saw is known when the next one is queued. What follows from it is [settled](Self::settle) then, and not where a run that stops
/// sees its last step early: so a run that goes on takes the steps that it would have taken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LossScale {
    /// S of the next step.
    factor: f64,
    /// S of those after it.
    later: f64,
    /// Steps since it last changed.
    calm: u32,
    /// Steps that overflowed and have not been settled.
    unsettled: usize,
    /// The first step of those that have overflowed without one between that did not.
    since: Option<usize>,
}

const FIRST: f64 = 65_536.0;
const CALM: u32 = 2_000;

impl LossScale {
    /// The first one, where these parameters' products want one.
    pub fn begin(parameters: &[&Tensor]) -> Option<Self> {
        wants_loss_scale(parameters).then_some(Self::new(FIRST))
    }

    fn new(factor: f64) -> Self {
        Self { factor, later: factor, calm: 0, unsettled: 0, since: None }
    }

    /// S of the next step.
    pub fn factor(self) -> f64 {
        self.factor
    }

    /// S of the steps after it, as far as is known.
    pub fn later(self) -> f64 {
        self.later
    }

    /// The first step of those that overflowed one after the other.
    pub fn since(self) -> Option<usize> {
        self.since
    }

    /// A step had a finite gradient.
    pub fn calm(&mut self) {
        self.since = None;
        self.calm += 1;
        if self.calm >= CALM {
            (self.later, self.calm) = (self.later * 2.0, 0);
        }
    }

    /// This step, taken with the scale `used`, overflowed. Whether a smaller scale is left to go on with.
    pub fn overflow(&mut self, step: usize, used: f64) -> bool {
        self.since.get_or_insert(step);
        self.unsettled += 1;
        // The step after it was queued before this was known, and may have overflowed for the same reason.
        (self.later, self.calm) = ((used / 2.0).min(self.later).max(1.0), 0);
        used > 1.0
    }

    /// What has been seen holds from here on. How many steps are not to be counted as taken.
    pub fn settle(&mut self) -> usize {
        self.factor = self.later;
        std::mem::take(&mut self.unsettled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_halved_once_for_steps_that_overflow_together_and_doubled_in_the_calm() {
        let mut scale = LossScale::new(8.0);
        assert!(scale.overflow(3, 8.0) && scale.overflow(4, 8.0));
        assert_eq!((scale.factor(), scale.later(), scale.since()), (8.0, 4.0, Some(3)));
        assert_eq!((scale.settle(), scale.settle(), scale.factor()), (2, 0, 4.0));
        (1..CALM).for_each(|_| scale.calm());
        assert_eq!((scale.later(), scale.since()), (4.0, None));
        scale.calm();
        assert_eq!((scale.factor(), scale.later()), (4.0, 8.0));
        assert!(scale.overflow(9, 2.0));
        assert_eq!(scale.later(), 1.0);
        assert!(!scale.overflow(10, 1.0), "there is no smaller one");
    }
}
