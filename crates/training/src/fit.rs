//! Training a task, from the first batch to the last checkpoint.

use crate::checkpoint::{self, Checkpoint, TrainerState};
use crate::gradients::{self, Gradients};
use crate::logs::StepRecord;
use crate::loss_scale::LossScale;
use crate::recovery;
use crate::run::{Run, Unseen};
use crate::{
    Error, Event, FitConfig, Metric, Observer, Patience, Position, Record, Report, Result, Schedule, Scores, Shard,
    StopReason, Task, Unreached, clip,
};
use candle_core::Var;
use candlewick_kernels::optimizer::{Checks, Outcome, Seen};
use candlewick_kernels::precision::{float32_matmul_precision, set_float32_matmul_precision};
use candlewick_kernels::thread_pool;
use candlewick_parameters::{Mode, Rng};
use std::path::Path;
use std::time::Instant;

/// Trains a task in the run folder `out`, or goes on with the run that lies there.
///
/// A step is the gradient of the mean loss over the items of `accumulate` batches, clipped by value and then by norm, and
/// the optimiser's formula at the schedule's rate. After each epoch the task is validated and a checkpoint is written. A
/// run that was stopped at any moment and goes on ends with the same weights, bit for bit, on the same machine.
///
/// # Errors
/// When the configuration cannot be used, the folder holds another run, a file cannot be read or written, the task
/// fails, or numbers are no longer finite although the rate was halved. What was written before stays as it was.
///
/// Where the loss, the gradient or a weight is no longer finite, the run goes back to its last good state and on from there with half
/// the learning rate, at most three times. Products of f16 on CUDA have the loss scaled, by what the checkpoint keeps; a step whose scaled
/// gradient is beyond f16's range changes nothing, and the loss is scaled less.
///
/// With `average`, the weights that are validated, written as the model and left in the task are the averaged ones; those
/// that training goes on with lie beside the optimiser's state.
pub fn fit<T: Task>(task: &mut T, config: &FitConfig, out: &Path, observer: &mut dyn Observer) -> Result<Report> {
    fit_recorded(task, config, out, &Record::default(), observer)
}

/// [`fit`], with what the run's folder keeps of how it came about.
///
/// # Errors
/// As [`fit`] says.
pub fn fit_recorded<T: Task>(
    task: &mut T,
    config: &FitConfig,
    out: &Path,
    record: &Record,
    observer: &mut dyn Observer,
) -> Result<Report> {
    let mut run = Run::open(task, config, out, record)?;
    let before = float32_matmul_precision();
    set_float32_matmul_precision(config.precision.map_or(before, Into::into));
    let report = run.train(task, observer);
    set_float32_matmul_precision(before);
    report
}

/// Where the steps of an epoch came to an end.
enum EpochEnd {
    /// All were taken.
    Whole,
    /// The time was up.
    TimeUp,
    /// The observer asked for it.
    Interrupted,
}

impl Run<'_> {
    fn train<T: Task>(&mut self, task: &mut T, observer: &mut dyn Observer) -> Result<Report> {
        let TrainerState { step, epoch, .. } = self.state;
        let (total_steps, epochs) = (self.total_steps(), self.config.epochs);
        observer.event(&Event::Started { step, total_steps, epoch, epochs, items: task.items() });
        let reason = loop {
            let over = if self.state.batch == 0 { self.over()? } else { None };
            if let Some(reason) = over.or_else(|| self.time_up()).or_else(|| self.interrupted(observer)) {
                break reason;
            }
            match self.part(task, observer) {
                Ok(None) => {}
                Ok(Some(reason)) => break reason,
                Err(fault @ Error::NotFinite { .. }) => self.recover(task, fault, observer)?,
                Err(error) => return Err(error),
            }
        };
        self.optimizer.swap_average()?;
        self.prove()?;
        observer.event(&Event::Finished { step: self.state.step, reason });
        self.report(reason)
    }

    /// An epoch, or what the time allows of it, to its checkpoint.
    fn part<T: Task>(&mut self, task: &mut T, observer: &mut dyn Observer) -> Result<Option<StopReason>> {
        let end = self.epoch(task, observer)?;
        self.check_weights()?;
        match end {
            EpochEnd::Whole => self.end_epoch(task, observer),
            EpochEnd::TimeUp => self.pause(task, observer),
            EpochEnd::Interrupted => {
                self.checkpoint(task, observer)?;
                Ok(Some(StopReason::Interrupted))
            }
        }
    }

    /// The last checkpoint is good: what came before it goes, as far as it is not kept.
    fn prove(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.unproven) {
            return Ok(());
        }
        self.beginning = None;
        checkpoint::prune(self.out, self.state.best_folder.as_deref(), self.config.keep)
    }

    fn report(&self, reason: StopReason) -> Result<Report> {
        let state = &self.state;
        if state.step == 0 {
            return Err(Error::Setting("nothing was trained: epochs is 0".into()));
        }
        let last = self.out.join(checkpoint::folder_name(state.step));
        let best = state.best_folder.as_ref().map(|best| self.out.join(best)).filter(|best| best.is_dir());
        Ok(Report {
            steps: state.step,
            epochs: state.epoch,
            seconds: self.seconds(),
            reason,
            last_scores: self.interim_scores.clone().or_else(|| state.last_scores.clone()),
            best_scores: state.best_scores.clone(),
            best: best.unwrap_or_else(|| last.clone()),
            last,
        })
    }

    /// Takes the steps of an epoch from where the run stands.
    fn epoch<T: Task>(&mut self, task: &T, observer: &mut dyn Observer) -> Result<EpochEnd> {
        let (items, seconds) = (self.state.epoch_items, self.seconds());
        let end = self.steps(task, observer)?;
        self.see_last(observer)?;
        if !matches!(end, EpochEnd::Whole) {
            return Ok(end);
        }
        if self.state.batch == 0 {
            return Err(Error::NoData("the task gave no batch in a whole epoch; is its training set empty?".into()));
        }
        let took = self.seconds() - seconds;
        observer.event(&Event::Epoch {
            epoch: self.state.epoch,
            loss: self.state.epoch_loss / self.state.epoch_items as f64,
            items_per_second: (self.state.epoch_items - items) as f64 / took.max(1e-9),
        });
        Ok(EpochEnd::Whole)
    }

    fn steps<T: Task>(&mut self, task: &T, observer: &mut dyn Observer) -> Result<EpochEnd> {
        let begin = LossScale::begin(&self.optimizer.vars().map(Var::as_tensor).collect::<Vec<_>>());
        self.state.loss_scale = begin.map(|first| self.state.loss_scale.unwrap_or(first));
        let mut batches = task.batches(self.state.epoch, self.state.batch, Shard::WHOLE)?.peekable();
        self.last_step = Instant::now();
        while batches.peek().is_some() {
            self.step(task, &mut batches, observer)?;
            // The end of an epoch has a checkpoint of its own.
            if batches.peek().is_none() {
                break;
            }
            if self.time_up().is_some() {
                return Ok(EpochEnd::TimeUp);
            }
            if observer.stops() {
                return Ok(EpochEnd::Interrupted);
            }
            let every = self.config.checkpoint_every;
            if every > 0 && self.state.step.is_multiple_of(every) {
                self.see_last(observer)?;
                self.check_weights()?;
                self.checkpoint(task, observer)?;
            }
        }
        Ok(EpochEnd::Whole)
    }

    /// One step over up to `accumulate` batches. Where the device tells what a step saw only later, the one before is told of when this
    /// one is queued, so that the device never waits for the host.
    fn step<T: Task>(
        &mut self,
        task: &T,
        batches: &mut dyn Iterator<Item = Result<T::Batch>>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let loss_scale = self.state.loss_scale.map_or(1.0, LossScale::factor);
        let gradients = match self.gradients(task, batches, loss_scale) {
            Ok(gradients) => gradients,
            // What the step before saw may be why.
            Err(error) => return self.see_last(observer).and(Err(error)),
        };
        let (mut gradients, batches) = gradients.finish()?;
        self.report_unreached(&gradients, observer)?;
        let (config, learning_rate) = (self.config, self.learning_rate());
        let optimizer = &mut self.optimizer;
        if let Some(limit) = config.clip_value {
            gradients = thread_pool::install(&optimizer.device(), || clip::by_value(&gradients, limit * loss_scale))?;
        }
        let checks = Checks { losses: &batches.losses, parts: &batches.parts, max_norm: config.clip_norm, loss_scale };
        let outcome = optimizer.checked_step(&gradients, learning_rate, &checks)?;
        self.state.step += 1;
        let (step, epoch, known) = (self.state.step, self.state.epoch, matches!(outcome, Outcome::Seen(_)));
        let took = self.last_step.elapsed();
        self.last_step = Instant::now();
        if let Some(earlier) =
            self.unseen.replace(Unseen { outcome, batches, step, epoch, learning_rate, loss_scale, took })
        {
            self.see(earlier, observer)?;
        }
        if known {
            self.see_last(observer)?;
        }
        if let Some(scale) = &mut self.state.loss_scale {
            self.optimizer.uncount(scale.settle());
        }
        Ok(())
    }

    /// Goes back through the losses of up to `accumulate` batches.
    fn gradients<T: Task>(
        &mut self,
        task: &T,
        batches: &mut dyn Iterator<Item = Result<T::Batch>>,
        loss_scale: f64,
    ) -> Result<Gradients> {
        let mut gradients = Gradients::new(self.config.accumulate > 1);
        let later = self.optimizer.tells_later();
        for batch in batches.take(self.config.accumulate) {
            let batch = batch?;
            let index = self.state.epoch as u64 * self.batches_per_epoch as u64 + self.state.batch as u64;
            let mut rng = Rng::derive(self.config.seed, "dropout", index);
            let optimizer = &self.optimizer;
            let gradients = &mut gradients;
            // The batch goes along, since it need not be one that threads can share.
            let fault = thread_pool::install(&optimizer.device(), move || {
                let loss = task.loss(&batch, &mut Mode::Train(&mut rng))?;
                gradients::check(&loss)?;
                // A loss that is not finite is not gone back through where it is known.
                let value = if later { 0.0 } else { gradients::scalar(&loss.value, "loss")? };
                if !value.is_finite() {
                    return Ok(Some(value));
                }
                gradients.add(&loss, loss_scale, optimizer.vars())?;
                Ok::<_, Error>(None)
            })?;
            if let Some(value) = fault {
                return Err(recovery::not_finite(self.state.step + 1, "loss", value));
            }
            self.state.batch += 1;
        }
        Ok(gradients)
    }

    /// Waits for what the last step saw, and tells of it.
    fn see_last(&mut self, observer: &mut dyn Observer) -> Result<()> {
        self.unseen.take().map_or(Ok(()), |unseen| self.see(unseen, observer))
    }

    /// Tells of a step, unless its numbers are not finite, so that it changed nothing.
    fn see(&mut self, unseen: Unseen, observer: &mut dyn Observer) -> Result<()> {
        let Unseen { outcome, batches, step, epoch, learning_rate, loss_scale, took } = unseen;
        let Seen { norm: gradient_norm, numbers } = outcome.wait()?;
        if let Some(&loss) = numbers[..batches.losses.len()].iter().find(|loss| !loss.is_finite()) {
            return Err(recovery::not_finite(step, "loss", loss));
        }
        if !gradient_norm.is_finite() {
            if let Some(scale) = &mut self.state.loss_scale
                && scale.overflow(step, loss_scale)
            {
                let loss_scale = scale.later();
                self.logs.overflow(step, loss_scale)?;
                observer.event(&Event::Overflowed { step, loss_scale });
                return Ok(());
            }
            // Where no scale helped, it began with the first of the steps that overflowed.
            let first = self.state.loss_scale.and_then(LossScale::since).unwrap_or(step);
            return Err(recovery::not_finite(first, "norm of the gradients", gradient_norm));
        }
        if let Some(scale) = &mut self.state.loss_scale {
            scale.calm();
        }
        self.prove()?;
        let ((loss, parts), items) = (batches.means(&numbers), batches.items());
        self.state.epoch_loss += loss * items as f64;
        self.state.epoch_items += items;
        let items_per_second = items as f64 / took.as_secs_f64().max(1e-9);
        let seconds = self.seconds();
        self.tell(
            StepRecord { step, epoch, loss, parts, learning_rate, gradient_norm, items_per_second, seconds },
            observer,
        )
    }

    /// Logs a step and tells the observer of it.
    fn tell(&mut self, record: StepRecord, observer: &mut dyn Observer) -> Result<()> {
        if record.step.is_multiple_of(self.config.log_every) {
            self.logs.step(&record)?;
        }
        let StepRecord { step, epoch, loss, ref parts, learning_rate, gradient_norm, items_per_second, seconds } =
            record;
        observer.event(&Event::Step {
            step,
            epoch,
            loss,
            parts,
            learning_rate,
            gradient_norm,
            items_per_second,
            seconds,
        });
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        let TrainerState { step, epoch, .. } = self.state;
        let at = Position { step, epoch, total_steps: self.total_steps() };
        let factor = self.config.schedule.factor(at, self.config.warmup_steps, &self.state.plateau);
        self.config.optimizer.learning_rate() * factor * recovery::factor(self.state.recoveries)
    }

    fn total_steps(&self) -> usize {
        self.config.epochs * self.batches_per_epoch.div_ceil(self.config.accumulate)
    }

    fn report_unreached(
        &mut self,
        gradients: &[Option<candle_core::Tensor>],
        observer: &mut dyn Observer,
    ) -> Result<()> {
        if std::mem::replace(&mut self.reported_unreached, true) {
            return Ok(());
        }
        let missing = self.optimizer.names().zip(gradients).filter(|(_, gradient)| gradient.is_none());
        let names: Vec<String> = missing.map(|(name, _)| name.to_owned()).collect();
        if names.len() == gradients.len() || (!names.is_empty() && self.config.unreached == Unreached::Error) {
            let fault = "the loss's gradient does not reach them; freeze them, or mend the graph that was cut";
            return Err(Error::Setting(format!("parameters {}: {fault}", names.join(", "))));
        }
        if !names.is_empty() {
            observer.event(&Event::Unreached { names: &names });
        }
        Ok(())
    }

    /// Validates where it is due, and writes the checkpoint of the epoch's end.
    fn end_epoch<T: Task>(&mut self, task: &mut T, observer: &mut dyn Observer) -> Result<Option<StopReason>> {
        let (epoch, every) = (self.state.epoch, self.config.validate_every);
        let due = every > 0 && ((epoch + 1).is_multiple_of(every) || epoch + 1 >= self.config.epochs);
        if due {
            let scores = self.validate(task, observer)?;
            if let Schedule::Plateau { metric, .. } = &self.config.schedule {
                let score = self.score(metric.as_ref(), &scores)?;
                self.config.schedule.observe(score, &mut self.state.plateau);
            }
            if let Some(stopping) = &self.config.early_stopping {
                let score = self.score(stopping.metric.as_ref(), &scores)?;
                // Scores of two kinds cannot be compared.
                if self.state.stopping_metric != stopping.metric {
                    self.state.stopping = Patience::default();
                    self.state.stopping_metric = stopping.metric.clone();
                }
                self.state.stopping.observe(score, stopping.min_delta);
            }
            self.state.last_scores = Some(scores);
        }
        self.state.epoch += 1;
        (self.state.batch, self.state.epoch_loss, self.state.epoch_items) = (0, 0.0, 0);
        self.state.finished = self.over()?.or_else(|| self.time_up());
        self.checkpoint(task, observer)?;
        self.logs.draw(self.out)?;
        Ok(self.state.finished)
    }

    /// Ends within an epoch. The scores tell which checkpoint is the best, but neither schedule nor early stopping sees
    /// them, so that the run, once it goes on, is the same as if it had never paused.
    fn pause<T: Task>(&mut self, task: &mut T, observer: &mut dyn Observer) -> Result<Option<StopReason>> {
        if self.config.validate_every > 0 {
            self.interim_scores = Some(self.validate(task, observer)?);
        }
        self.state.finished = Some(StopReason::MaxSeconds);
        self.checkpoint(task, observer)?;
        self.logs.draw(self.out)?;
        Ok(self.state.finished)
    }

    fn validate<T: Task>(&mut self, task: &mut T, observer: &mut dyn Observer) -> Result<Scores> {
        let started = Instant::now();
        let TrainerState { step, epoch, .. } = self.state;
        self.optimizer.swap_average()?;
        observer.event(&Event::Validating { done: 0, total: None });
        let mut told = |done, total| observer.event(&Event::Validating { done, total: Some(total) });
        let scores = task.validate_told(epoch, &mut told).map_err(|error| recovery::of_output(step, error))?;
        self.optimizer.swap_average()?;
        let score = self.score(None, &scores)?;
        // An epoch of which nothing was seen wins no tie.
        let items = self.state.epoch_items as f64;
        let loss = if items > 0.0 { self.state.epoch_loss / items } else { f64::INFINITY };
        let tied = |best: f64| score == best && self.state.best_loss.is_some_and(|least| loss < least);
        let best = !score.is_nan() && self.state.best.is_none_or(|best| score > best || tied(best));
        if best {
            self.state.best = Some(score);
            self.state.best_loss = Some(loss);
            self.state.best_folder = Some(checkpoint::folder_name(step));
            self.state.best_scores = Some(scores.clone());
        }
        self.logs.validation(step, epoch, &scores, best, self.seconds())?;
        observer.event(&Event::Validated { step, epoch, scores: &scores, best, took: started.elapsed() });
        Ok(scores)
    }

    /// The score of this name, or of the run's metric, or the first.
    fn score(&self, metric: Option<&Metric>, scores: &Scores) -> Result<f64> {
        match (metric.or(self.config.metric.as_ref()), scores.iter().next()) {
            (Some(metric), _) => metric.of(scores),
            (None, Some((_, first))) => Ok(first),
            (None, None) => Err(Error::task("the task's validation gave no score")),
        }
    }

    /// Whether the run is over at the end of an epoch.
    fn over(&self) -> Result<Option<StopReason>> {
        if let (Some(target), Some(scores)) = (&self.config.target, &self.state.last_scores) {
            let sign = match target.metric.as_ref().or(self.config.metric.as_ref()) {
                Some(metric) if metric.0.starts_with('-') => -1.0,
                _ => 1.0,
            };
            if self.score(target.metric.as_ref(), scores)? >= sign * target.value {
                return Ok(Some(StopReason::Target));
            }
        }
        let waited = self.state.stopping.waited;
        if self.config.early_stopping.as_ref().is_some_and(|stopping| waited > 0 && waited >= stopping.patience) {
            return Ok(Some(StopReason::EarlyStopping));
        }
        Ok((self.state.epoch >= self.config.epochs).then_some(StopReason::Epochs))
    }

    /// Whether the time is up; a run takes one step at least, so that there is something to show.
    fn time_up(&self) -> Option<StopReason> {
        let up = self.state.step > 0 && self.config.max_seconds.is_some_and(|limit| self.seconds() >= limit);
        up.then_some(StopReason::MaxSeconds)
    }

    /// Whether somebody asked the run to stop; it takes one step at least, so that there is something to go on from.
    fn interrupted(&self, observer: &dyn Observer) -> Option<StopReason> {
        (self.state.step > 0 && observer.stops()).then_some(StopReason::Interrupted)
    }

    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    fn checkpoint<T: Task>(&mut self, task: &T, observer: &mut dyn Observer) -> Result<()> {
        self.state.seconds = self.seconds();
        self.state.task = task.state();
        self.state.sessions = self.sessions.at(self.state.step);
        self.logs.sync(&mut self.state)?;
        self.optimizer.swap_average()?;
        let folder = Checkpoint::write(self.out, &self.state, task, &self.optimizer)?;
        self.unproven = true;
        self.optimizer.swap_average()?;
        observer.event(&Event::Checkpoint { step: self.state.step, folder: &folder });
        self.last_step = Instant::now();
        Ok(())
    }
}
