//! From a recipe to a task that is ready to train.

use super::config::RecurrentAttentionConfig;
use super::evaluate::evaluate;
use super::model::RecurrentAttentionModel;
use super::recipe::GlimpseRecipe;
use super::task::{GlimpseTask, Settings};
use crate::labelled_pictures::{load, readable};
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::image_classes::Examples;
use candlewick_data::placed::PlacedPictures;
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
        let set = load(self.data.path.as_ref(), self.data.dev_share, note)?;
        let train = self.placed(&set.train, Split::Train, note)?;
        let dev = self.placed(&set.dev, Split::Dev, note)?;
        let first = train.item(0)?.picture;
        let size = (first.height(), first.width());
        let config = RecurrentAttentionConfig::new(self.model.clone(), size, self.data.placing.clone(), set.classes);
        let model = RecurrentAttentionModel::init(config, self.training.seed, device)?;
        note(Note::Line(format!(
            "{} pictures to train on, {} to validate on, {} to test on, {} classes, {} looks, {} parameters",
            train.len(),
            dev.len(),
            set.test.len(),
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
        // What is to be known of the set was told before training.
        let test = load(self.data.path.as_ref(), self.data.dev_share, &mut |_| ())?.test;
        let (split, set) = match test.is_empty() {
            true => ("dev", task.dev().clone()),
            false => ("test", self.placed(&test, Split::Test, note)?),
        };
        let told = &mut |done, total| note(Note::progress("looking", done, total));
        let scores = evaluate(task.model(), &set, (1, 0), told)?;
        let lines = vec![format!("on {} pictures of the {split} split:", set.len())];
        Ok(Outcome { lines, scores, split: Some(split), ..Outcome::default() })
    }
}

impl GlimpseRecipe {
    fn placed(&self, examples: &Examples, split: Split, note: &mut dyn FnMut(Note)) -> Result<PlacedPictures> {
        let examples = readable(examples, self.data.max_share, note)?;
        Ok(PlacedPictures::new(examples, self.data.placing.clone(), split)?)
    }
}
