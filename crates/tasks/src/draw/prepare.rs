//! From a recipe to a task that is ready to train.

use super::config::DrawConfig;
use super::evaluate::evaluate;
use super::model::Draw;
use super::pictures::Pictures;
use super::recipe::DrawRecipe;
use super::task::{DrawTask, Settings};
use crate::labelled_pictures::{load, readable};
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::Note;
use candlewick_data::image_classes::Examples;
use candlewick_training::{FitConfig, Inputs, Outcome, Recipe, Report, Task as _, check_shares, check_sizes};
use std::path::Path;

impl Recipe for DrawRecipe {
    const TASK: &'static str = "draw";
    type Task = DrawTask;

    fn name(&self) -> &str {
        &self.name
    }

    fn training(&self) -> &FitConfig {
        &self.training
    }

    fn apply_inputs(&mut self, inputs: &Inputs) -> Result<()> {
        inputs.refuse(&[
            ("--encoder-weights", "the network that draws learns its own encoder; leave it out"),
            ("--regions", "drawings are of whole pictures; leave the file of regions out"),
            ("--start", "a network that draws begins anew; leave it out"),
        ])?;
        self.data.path = inputs.data.clone().or(self.data.path.take());
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let model = &self.model;
        check_shares(&[("data.dev_share", self.data.dev_share, 0.9), ("data.max_share", self.data.max_share, 1.0)])?;
        check_sizes(&[
            ("model.steps", model.steps),
            ("model.hidden_size", model.hidden_size),
            ("model.latent_size", model.latent_size),
            ("model.read", model.read),
            ("model.write", model.write),
            ("batches.size", self.batches.size),
        ])?;
        self.training.check().map_err(|error| error.under("training"))
    }

    fn prepare(&self, _: &Path, device: &Device, note: &mut dyn FnMut(Note)) -> Result<DrawTask> {
        self.check()?;
        let set = load(self.data.path.as_ref(), self.data.dev_share, note)?;
        let train = self.pictures(&set.train, "train", note)?;
        let dev = self.pictures(&set.dev, "dev", note)?;
        let config = DrawConfig::new(self.model.clone(), train.size());
        let model = Draw::init(config, self.training.seed, device)?;
        note(Note::Line(format!(
            "{} pictures to train on, {} to validate on, {} to test on, {} steps, {} parameters",
            train.len(),
            dev.len(),
            set.test.len(),
            self.model.steps,
            model.parameter_count()
        )));
        let settings = Settings { size: self.batches.size, seed: self.training.seed };
        Ok(DrawTask::new(model, train, dev, settings))
    }

    fn outcome(
        &self,
        mut task: DrawTask,
        report: &Report,
        _: &Path,
        _: &Device,
        note: &mut dyn FnMut(Note),
    ) -> Result<Outcome> {
        task.load(&report.best)?;
        // What is to be known of the set was told before training.
        let test = load(self.data.path.as_ref(), self.data.dev_share, &mut |_| ())?.test;
        let (split, pictures) = match test.is_empty() {
            true => ("dev", task.dev().clone()),
            false => ("test", self.pictures(&test, "test", note)?),
        };
        let told = &mut |done, total| note(Note::progress("drawing", done, total));
        let scores = evaluate(task.model(), &pictures, (1, 0), told)?;
        let lines = vec![format!("on {} pictures of the {split} split, nats a picture:", pictures.len())];
        Ok(Outcome { lines, scores, split: Some(split), ..Outcome::default() })
    }
}

impl DrawRecipe {
    fn pictures(&self, examples: &Examples, part: &str, note: &mut dyn FnMut(Note)) -> Result<Pictures> {
        let examples = readable(examples, self.data.max_share, note)?;
        match examples.is_empty() {
            true => {
                Err(Error::NoData(format!("the {part} part has no pictures; choose another, or give the set some")))
            }
            false => Pictures::of(&examples, self.model.likelihood),
        }
    }
}
