//! Loss scale: what the loss is multiplied by before it is gone back through, so that f16 does not round small gradients to 0 (Micikevicius et
//! al. 2018, "Mixed precision training").

use candle_core::Tensor;
use candlewick_kernels::optimizer::wants_loss_scale;
use serde::{Deserialize, Serialize};

/// S, a power of two: halved where a gradient overflows, doubled after [`CALM`] steps in which none does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LossScale {
    factor: f64,
    /// Steps since it last changed.
    calm: u32,
}

const FIRST: f64 = 65_536.0;
const CALM: u32 = 2_000;

impl LossScale {
    /// The first one, where these parameters' products want one.
    pub fn begin(parameters: &[&Tensor]) -> Option<Self> {
        wants_loss_scale(parameters).then_some(Self { factor: FIRST, calm: 0 })
    }

    /// S.
    pub fn factor(self) -> f64 {
        self.factor
    }

    /// A step had a finite gradient.
    pub fn calm(&mut self) {
        self.calm += 1;
        if self.calm >= CALM {
            *self = Self { factor: self.factor * 2.0, calm: 0 };
        }
    }

    /// A step taken with the scale `used` overflowed. Whether a smaller one is left to go on with.
    pub fn overflow(&mut self, used: f64) -> bool {
        // The step after it was queued before this was known, and may have overflowed for the same reason.
        let next = (used / 2.0).min(self.factor);
        *self = Self { factor: next.max(1.0), calm: 0 };
        used > 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_halved_once_for_steps_that_overflow_together_and_doubled_in_the_calm() {
        let mut scale = LossScale { factor: 8.0, calm: 0 };
        assert!(scale.overflow(8.0) && scale.overflow(8.0));
        assert_eq!(scale.factor(), 4.0);
        (1..CALM).for_each(|_| scale.calm());
        assert_eq!(scale.factor(), 4.0);
        scale.calm();
        assert_eq!(scale.factor(), 8.0);
        assert!(scale.overflow(2.0));
        assert_eq!(scale.factor(), 1.0);
        assert!(!scale.overflow(1.0), "there is no smaller one");
    }
}
