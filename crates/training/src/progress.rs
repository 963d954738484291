//! What a run tells while it goes on.

use crate::Scores;
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::borrow::Cow;
use std::fmt::Write;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Something that happened in a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The run begins, or goes on after `step` steps.
    Started {
        /// Steps taken before.
        step: usize,
        /// Steps of the whole run.
        total_steps: usize,
        /// The first epoch, counted from 0.
        epoch: usize,
        /// Epochs of the whole run.
        epochs: usize,
        /// What a loss is a mean over, as [`crate::Task::items`] tells it.
        items: &'static str,
    },
    /// Parameters that the first step's gradient did not reach.
    Unreached {
        /// Their names.
        names: &'a [String],
    },
    /// A step was taken.
    Step {
        /// Steps taken.
        step: usize,
        /// The epoch, counted from 0.
        epoch: usize,
        /// The mean loss of the step's batches.
        loss: f64,
        /// The parts of the loss.
        parts: &'a [(&'static str, f64)],
        /// The learning rate before the parameters' factors.
        learning_rate: f64,
        /// The norm of all gradients before clipping.
        gradient_norm: f64,
        /// Items of the loss (words, pictures) a second over this step.
        items_per_second: f64,
        /// Seconds of the whole run, the earlier parts of a resumed one included.
        seconds: f64,
    },
    /// An epoch was finished.
    Epoch {
        /// The epoch, counted from 0.
        epoch: usize,
        /// The mean loss over the epoch's items, from where this part of the run began.
        loss: f64,
        /// Items of the loss a second over the epoch, validation not counted.
        items_per_second: f64,
    },
    /// The task is being validated.
    Validating {
        /// Items done.
        done: usize,
        /// Items to do, once the task tells.
        total: Option<usize>,
    },
    /// The task was validated.
    Validated {
        /// Steps taken.
        step: usize,
        /// The epoch, counted from 0.
        epoch: usize,
        /// What it scored.
        scores: &'a Scores,
        /// Whether this is the best so far.
        best: bool,
        /// How long it took.
        took: Duration,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Steps taken.
        step: usize,
        /// Where it lies.
        folder: &'a Path,
    },
    /// A number was no longer finite: the run went back to an earlier state and goes on at half the rate.
    Recovered {
        /// The step in which it happened, counted from 1.
        step: usize,
        /// Which number it was.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The step to which the run went back.
        back_to: usize,
        /// The factor on the learning rate from here on, 1/2 to the number of times that this has happened.
        factor: f64,
    },
    /// A gradient of the scaled loss was beyond f16's range: the step changed nothing, and the loss is scaled less.
    Overflowed {
        /// The step in which it happened, counted from 1.
        step: usize,
        /// The scale from here on.
        loss_scale: f64,
    },
    /// The run is over.
    Finished {
        /// Steps taken.
        step: usize,
        /// Why it ended.
        reason: crate::StopReason,
    },
}

/// Who listens to a run; any `FnMut(&Event)` does.
pub trait Observer {
    /// Takes note of an event.
    fn event(&mut self, event: &Event);

    /// Whether the run is to stop after the step that it is at: it then writes a checkpoint, from which another call of [`crate::fit`]
    /// goes on.
    fn stops(&self) -> bool {
        false
    }
}

impl<F: FnMut(&Event)> Observer for F {
    fn event(&mut self, event: &Event) {
        self(event);
    }
}

/// An observer that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: &Event) {}
}

/// A bar on standard error: what is done, how far it is, and whatever message it is given. It moves also where what it tells of does
/// not; it is hidden where `quiet`, or where standard error is no terminal.
pub fn bar(total: Option<u64>, what: impl Into<Cow<'static, str>>, quiet: bool) -> ProgressBar {
    styled(total, what, "{spinner} {prefix} {bar:30} {human_pos}/{human_len} · {msg}", quiet)
}

/// A bar of pictures, with how many are done a second and how long the rest takes.
pub fn picture_bar(total: usize, what: impl Into<Cow<'static, str>>, quiet: bool) -> ProgressBar {
    const STYLE: &str = "{spinner} {prefix} {bar:30} {human_pos}/{human_len} · {rate} pictures/s · {eta} left";
    styled(Some(total as u64), what, STYLE, quiet)
}

/// A sign on standard error that something goes on of which nobody knows how long it takes; hidden as [`bar`] is.
pub fn spinner(what: impl Into<Cow<'static, str>>, quiet: bool) -> ProgressBar {
    styled(None, what, "{spinner} {prefix} · {elapsed}", quiet)
}

fn styled(total: Option<u64>, what: impl Into<Cow<'static, str>>, style: &str, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    // Nothing is drawn before all is said.
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden()).with_prefix(what);
    if let Ok(style) = ProgressStyle::with_template(style) {
        let rate = |state: &ProgressState, f: &mut dyn Write| {
            let _ = write!(f, "{}", told_rate(state.per_sec()));
        };
        bar.set_style(style.progress_chars("━╸ ").with_key("rate", rate));
    }
    bar.set_draw_target(ProgressDrawTarget::stderr());
    bar.enable_steady_tick(TICK);
    bar
}

/// How often a bar moves by itself.
const TICK: Duration = Duration::from_millis(200);

/// A rate with as many digits as are of use.
fn told_rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.1}") } else { HumanCount(per_second as u64).to_string() }
}

/// A bar with loss, words or pictures a second and time left on a terminal; a line an epoch on standard error elsewhere; nothing but
/// warnings when quiet.
pub struct ProgressBarObserver {
    bar: ProgressBar,
    lines: bool,
    items: &'static str,
    epochs: usize,
    first_step: usize,
    started: Instant,
    loss: Option<f64>,
    items_per_second: Option<f64>,
}

impl ProgressBarObserver {
    /// A bar for one run.
    pub fn new(quiet: bool) -> Self {
        let bar = bar(None, "training", quiet);
        let (loss, items_per_second) = (None, None);
        let lines = !quiet && bar.is_hidden();
        let (epochs, first_step, started) = (0, 0, Instant::now());
        Self { bar, lines, items: "items", epochs, first_step, started, loss, items_per_second }
    }

    /// A line that stays: above the bar, or by itself.
    fn line(&self, text: &str) {
        if self.lines { to_stderr(text) } else { self.bar.println(text) }
    }

    /// A line that stays, also where nothing else is told.
    fn warn(&self, text: &str) {
        self.bar.suspend(|| to_stderr(text));
    }

    fn step(&mut self, step: usize, epoch: usize, loss: f64, items_per_second: f64) {
        self.loss = Some(calmed(self.loss, loss));
        self.items_per_second = Some(calmed(self.items_per_second, items_per_second));
        let done = step.saturating_sub(self.first_step).max(1);
        let left = self.bar.length().unwrap_or(0).saturating_sub(step as u64);
        let left = self.started.elapsed().mul_f64(left as f64 / done as f64);
        self.bar.set_position(step as u64);
        self.bar.set_prefix(format!("epoch {}/{}", epoch + 1, self.epochs));
        self.bar.set_message(format!(
            "loss {:.3} · {} {}/s · {} left",
            self.loss.unwrap_or(loss),
            told_rate(self.items_per_second.unwrap_or(0.0)),
            self.items,
            HumanDuration(Duration::from_secs(left.as_secs()))
        ));
    }
}

/// A line on standard error; a run goes on where that is closed or full.
fn to_stderr(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A number that does not flicker.
fn calmed(before: Option<f64>, now: f64) -> f64 {
    before.map_or(now, |before| 0.9 * before + 0.1 * now)
}

impl Observer for ProgressBarObserver {
    fn event(&mut self, event: &Event) {
        match *event {
            Event::Started { step, total_steps, epochs, items, .. } => {
                (self.epochs, self.first_step, self.started, self.items) = (epochs, step, Instant::now(), items);
                self.bar.set_length(total_steps as u64);
                self.bar.set_position(step as u64);
                if step > 0 {
                    self.line(&format!("going on after step {step}"));
                }
            }
            Event::Unreached { names } => {
                self.warn(&format!("warning: no gradient reaches {}", names.join(", ")));
            }
            Event::Step { step, epoch, loss, items_per_second, .. } => self.step(step, epoch, loss, items_per_second),
            Event::Epoch { epoch, loss, items_per_second } => {
                let (rate, items, epoch) = (told_rate(items_per_second), self.items, epoch + 1);
                self.line(&format!("epoch {epoch}/{}: loss {loss:.4}, {rate} {items}/s", self.epochs));
            }
            Event::Validating { done, total } => {
                let far = total.map_or(String::new(), |total| {
                    format!(" {}/{}", HumanCount(done as u64), HumanCount(total as u64))
                });
                self.bar.set_message(format!("validating{far}"));
            }
            Event::Validated { scores, best, .. } => {
                self.line(&format!("  {scores}{}", if best { " (best)" } else { "" }));
            }
            Event::Recovered { step, what, value, back_to, factor } => {
                self.warn(&format!(
                    "step {step}: the {what} is {value}; going on from step {back_to} with the learning rate times {factor}"
                ));
            }
            Event::Overflowed { step, loss_scale } => {
                self.line(&format!(
                    "step {step}: a gradient was beyond f16's range; the loss is scaled by {loss_scale} from here on"
                ));
            }
            Event::Finished { .. } => self.bar.finish_and_clear(),
            Event::Checkpoint { .. } => {}
        }
    }
}
