//! From a recipe to a task that is ready to train.

use super::config::RecurrentAttentionConfig;
use super::evaluate::evaluate;
use super::model::RecurrentAttentionModel;
use super::recipe::GlimpseRecipe;
use super::task::{GlimpseTask, Settings};
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::image_classes::{self, Examples, LabelledImages};
use candlewick_data::placed::PlacedPictures;
use candlewick_data::skipped::Skipped;
use candlewick_data::{Note, Split};
use candlewick_training::{FitConfig, Inputs, Outcome, Recipe, Report, Task as _, check_shares, check_sizes};
use std::path::Path;

impl Recipe for GlimpseRecipe {
    const TASK: &'static str = "glimpses";
    type Task = GlimpseTask;

    fn name(&self) -> &str {
        &self.name
    }

    fn training(&self) -> &FitConfig {
        &self.training
    }

    fn apply_inputs(&mut self, inputs: &Inputs) -> Result<()> {
        inputs.refuse(&[
            ("--encoder-weights", "looks are seen without an encoder; leave it out"),
            ("--regions", "looks go anywhere in a picture; leave the file of regions out"),
            ("--start", "a recurrent attention model begins anew; leave it out"),
        ])?;
        self.data.path = inputs.data.clone().or(self.data.path.take());
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let (model, loss) = (&self.model, &self.loss);
        check_shares(&[("data.dev_share", self.data.dev_share, 0.9), ("data.max_share", self.data.max_share, 1.0)])?;
        check_sizes(&[
            ("data.placing.pictures", self.data.placing.pictures),
            ("model.looks", model.looks),
            ("model.patch", model.patch),
            ("model.scales", model.scales),
            ("model.what_size", model.what_size),
            ("model.where_size", model.where_size),
            ("model.glimpse_size", model.glimpse_size),
            ("model.hidden_size", model.hidden_size),
            ("model.location_size", model.location_size),
            ("batches.size", self.batches.size),
        ])?;
        for (key, value, least) in [
            ("model.std", model.std, f64::MIN_POSITIVE),
            ("loss.reinforce", loss.reinforce, 0.0),
            ("loss.baseline", loss.baseline, 0.0),
        ] {
            if !(value.is_finite() && value >= least) {
                let wanted = if least > 0.0 { "more than 0" } else { "at least 0" };
                return Err(Error::Setting(format!("{key} is {value}; wanted {wanted}")));
            }
        }
        if self.batches.workers > 256 {
            return Err(Error::Setting("batches.workers: 256 are the most".into()));
        }
        self.training.check().map_err(|error| error.under("training"))
    }

    fn prepare(&self, _: &Path, device: &Device, note: &mut dyn FnMut(Note)) -> Result<GlimpseTask> {
        self.check()?;
        let LabelledImages { classes, train, dev, test, notes } = self.load()?;
        notes.into_iter().for_each(|line| note(Note::Skipped(line)));
        let skipped = Skipped::new("pictures", train.len() + dev.len(), self.data.max_share);
        let tested = test.len();
        let train = self.placed(&train.readable(&skipped)?, Split::Train)?;
        let dev = self.placed(&dev.readable(&skipped)?, Split::Dev)?;
        skipped.report().into_iter().for_each(|line| note(Note::Skipped(line)));
        let first = train.item(0)?.picture;
        let size = (first.height(), first.width());
        let config = RecurrentAttentionConfig::new(self.model.clone(), size, self.data.placing.clone(), classes);
        let model = RecurrentAttentionModel::init(config, self.training.seed, device)?;
        note(Note::Line(format!(
            "{} pictures to train on, {} to validate on, {tested} to test on, {} classes, {} looks, {} parameters",
            train.len(),
            dev.len(),
            model.config().id2label.len(),
            model.config().looks(),
            model.parameter_count()
        )));
        let settings = Settings { batches: self.batches.clone(), loss: self.loss.clone(), seed: self.training.seed };
        GlimpseTask::new(model, train, dev, settings)
    }

    fn outcome(
        &self,
        mut task: GlimpseTask,
        report: &Report,
        _: &Path,
        _: &Device,
        note: &mut dyn FnMut(Note),
    ) -> Result<Outcome> {
        task.load(&report.best)?;
        let test = self.load()?.test;
        let (split, set) = match test.is_empty() {
            true => ("dev", task.dev().clone()),
            false => {
                let skipped = Skipped::new("pictures", test.len(), self.data.max_share);
                let test = self.placed(&test.readable(&skipped)?, Split::Test)?;
                skipped.report().into_iter().for_each(|line| note(Note::Skipped(line)));
                ("test", test)
            }
        };
        let told = &mut |done, total| note(Note::progress("looking", done, total));
        let scores = evaluate(task.model(), &set, (1, 0), told)?;
        let lines = vec![format!("on {} pictures of the {split} split:", set.len())];
        Ok(Outcome { lines, scores, split: Some(split), ..Outcome::default() })
    }
}

impl GlimpseRecipe {
    fn load(&self) -> Result<LabelledImages> {
        let Some(path) = &self.data.path else {
            return Err(Error::NoData("no data: say where the pictures are with --data DIR".into()));
        };
        Ok(image_classes::load(path, self.data.dev_share)?)
    }

    fn placed(&self, examples: &Examples, split: Split) -> Result<PlacedPictures> {
        Ok(PlacedPictures::new(examples.clone(), self.data.placing.clone(), split)?)
    }
}
