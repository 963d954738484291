//! Numbers that are no longer finite: the run goes back to its last good state and on from there at half the rate.

use crate::checkpoint::{self, Checkpoint, TrainerState};
use crate::logs::Logs;
use crate::run::{Run, optimizer};
use crate::{Error, Event, Observer, Result, Task};

/// What a step leaves behind: these are found after it, the others before it.
const WEIGHTS: &str = "largest weight";
const OUTPUT: &str = "output in the validation";

/// How often a run goes back before it ends.
const MOST: u32 = 3;

/// The factor on the learning rate after so many recoveries.
pub(crate) fn factor(recoveries: u32) -> f64 {
    0.5f64.powi(recoveries as i32)
}

/// A number that is not finite, before anybody has said what to do about it.
pub(crate) fn not_finite(step: usize, what: &'static str, value: f64) -> Error {
    Error::NotFinite { step, what, value, advice: String::new() }
}

/// A validation's error; where the network gave NaN, the weights after this step are of no use.
pub(crate) fn of_output(step: usize, error: Error) -> Error {
    match error {
        Error::NotNumbers(_) => not_finite(step, OUTPUT, f64::NAN),
        other => other,
    }
}

impl Run<'_> {
    /// Refuses weights that are not finite, before anything is made of them.
    pub(crate) fn check_weights(&self) -> Result<()> {
        match self.optimizer.not_finite()? {
            Some(_) => Err(not_finite(self.state.step, WEIGHTS, f64::NAN)),
            None => Ok(()),
        }
    }

    /// Goes back to the last good state, or ends the run with the fault and what to do about it.
    pub(crate) fn recover<T: Task>(&mut self, task: &mut T, fault: Error, observer: &mut dyn Observer) -> Result<()> {
        let Error::NotFinite { step, what, value, .. } = fault else { return Err(fault) };
        let ended = |advice: String| Err(Error::NotFinite { step, what, value, advice });
        // A loss that its own checkpoint's weights give is no better at another rate: that checkpoint is of no use.
        let limit = if [WEIGHTS, OUTPUT].contains(&what) { step } else { step - 1 };
        let mut last = Checkpoint::load_before(self.out, limit)?;
        if let Some(last) = &mut last {
            last.state.sessions = self.sessions.at(last.state.step);
        }
        if last.is_none() && (self.beginning.is_none() || limit == 0) {
            return ended(match step {
                1 => {
                    "the run has only begun, so it comes from the data, the preprocessing or the weights it starts from"
                        .into()
                }
                _ => format!("no state before it is left; train anew into another folder (--out) {LOWER}"),
            });
        }
        // Whatever follows, what gives such numbers is not what the run goes on from.
        checkpoint::discard(self.out, limit, last.as_ref().map(|last| &last.state))?;
        let recoveries = self.state.recoveries + 1;
        if recoveries > MOST {
            let kept = last.map_or("no checkpoint was written".into(), |last| {
                let folder = last.folder.display();
                format!("the last good checkpoint is {folder}, whose model.safetensors a new run can start from")
            });
            return ended(format!(
                "the rate was halved {MOST} times; {kept}; train into another folder (--out) {LOWER}"
            ));
        }
        self.optimizer = optimizer(task, self.config)?;
        let unproven = last.is_some();
        let config = self.state.config.clone();
        self.state = match (last, &self.beginning) {
            (Some(last), _) => {
                last.restore(task, &mut self.optimizer)?;
                last.state
            }
            (None, Some(beginning)) => {
                beginning.restore(task)?;
                TrainerState::default()
            }
            (None, None) => TrainerState::default(),
        };
        self.state.config = config;
        self.state.recoveries = recoveries;
        self.interim_scores = None;
        self.unseen = None;
        self.unproven = unproven;
        self.logs = Logs::open(self.out, &self.state)?;
        let (back_to, factor) = (self.state.step, factor(recoveries));
        self.logs.recovery(step, what, value, back_to, factor)?;
        observer.event(&Event::Recovered { step, what, value, back_to, factor });
        Ok(())
    }
}

const LOWER: &str = "with a lower training.optimizer.learning_rate or with training.clip_norm";
