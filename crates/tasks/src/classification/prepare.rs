//! From a recipe to a task that is ready to train.

use super::classifier::Classifier;
use super::recipe::NetworkRecipe;
use super::source::{Source, tried};
use super::task::{ClassificationTask, Settings};
use super::{Augmentation, ClassificationRecipe};
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::Note;
use candlewick_data::image_classes::{self, Examples};
use candlewick_encoders::{Architecture, Preprocessing};
use candlewick_parameters::{Parameters, SafetensorsFile};
use candlewick_training::{FitConfig, Inputs, Outcome, Recipe, Report, Task as _, check_shares};
use candlewick_vision::check_stage;
use std::path::Path;

impl Recipe for ClassificationRecipe {
    const TASK: &'static str = "classification";
    type Task = ClassificationTask;

    fn name(&self) -> &str {
        &self.name
    }

    fn training(&self) -> &FitConfig {
        &self.training
    }

    fn apply_inputs(&mut self, inputs: &Inputs) -> Result<()> {
        inputs.refuse(&[
            ("--start", "a classifier starts from --encoder-weights"),
            ("--regions", "a classifier looks at pictures; leave the file of regions out"),
        ])?;
        self.data.path = inputs.data.clone().or(self.data.path.take());
        self.network.pretrained = inputs.encoder_weights.clone().or(self.network.pretrained.take());
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let fault = |fault: String| Err(Error::Setting(fault));
        let NetworkRecipe { name, fine_tune, pretrained, .. } = &self.network;
        if fine_tune.is_some() && pretrained.is_none() {
            return fault(
                "network.fine_tune: there are no pretrained weights to go on from; name them with --encoder-weights"
                    .into(),
            );
        }
        check_stage(name, fine_tune.as_deref(), "network.name", "network.fine_tune")?;
        check_shares(&[
            ("data.max_share", self.data.max_share, 1.0),
            ("data.dev_share", self.data.dev_share, 0.9),
            ("label_smoothing", self.label_smoothing, 0.999),
        ])?;
        if self.augmentation.shift > 100_000
            || self.augmentation.resized_crop.is_some_and(|least| !(least > 0.0 && least <= 1.0))
        {
            return fault(
                "augmentation: wanted a resized_crop above 0 and at most 1, and a shift of at most 100000".into(),
            );
        }
        if self.batches.size == 0 || self.batches.size > 100_000 || self.batches.workers > 256 {
            return fault("batches: wanted a size from 1 to 100000 and at most 256 workers".into());
        }
        self.preprocessing()?;
        self.training.check().map_err(|error| error.under("training"))
    }

    fn prepare(&self, _: &Path, device: &Device, note: &mut dyn FnMut(Note)) -> Result<ClassificationTask> {
        let task = prepare(self, device, note)?;
        let set = task.set();
        set.notes.iter().cloned().chain(task.skipped()).for_each(|line| note(Note::Skipped(line)));
        let (train, dev, test, classes) = (set.train.len(), set.dev.len(), set.test.len(), set.classes.len());
        note(Note::Line(format!(
            "{train} pictures to train on, {dev} to validate on, {test} to test on, {classes} classes"
        )));
        Ok(task)
    }

    fn outcome(
        &self,
        mut task: ClassificationTask,
        report: &Report,
        _: &Path,
        _: &Device,
        note: &mut dyn FnMut(Note),
    ) -> Result<Outcome> {
        task.load(&report.best)?;
        let set = task.set();
        let (split, examples) = if set.test.is_empty() { ("dev", &set.dev) } else { ("test", &set.test) };
        let scores = task.scores(examples, &mut |done, total| note(Note::progress("classifying", done, total)))?;
        let lines = vec![format!("on {} pictures of the {split} split:", examples.len())];
        Ok(Outcome { lines, scores, split: Some(split), ..Outcome::default() })
    }
}

/// Reads the pictures and builds the network as the recipe says.
///
/// Every picture that is a file of its own is tried once; the task skips those that cannot be read.
///
/// # Errors
/// One line that names the file or the setting and the fault; also when more than the share `data.max_share` of the pictures cannot be
/// read.
pub fn prepare(
    recipe: &ClassificationRecipe,
    device: &Device,
    note: &mut dyn FnMut(Note),
) -> Result<ClassificationTask> {
    recipe.check()?;
    let path = recipe.data.path.as_deref();
    let path = path.ok_or_else(|| Error::NoData("no data: say where the pictures are with --data DIR".into()))?;
    let set = image_classes::load(path, recipe.data.dev_share)?;
    let preprocessing = recipe.preprocessing()?;
    let classifier = classifier(recipe, &set.classes, &preprocessing, device)?;
    let mut progress = |done, total| note(Note::progress("pictures read", done, total));
    let faults = tried(&[&set.train, &set.dev, &set.test], &preprocessing, recipe.data.max_share, &mut progress)?;
    let source = |examples: &Examples, augmentation: Augmentation| {
        Source::new(examples, &faults, preprocessing.clone(), augmentation)
    };
    let (train, dev) = (source(&set.train, recipe.augmentation.clone()), source(&set.dev, Augmentation::default()));
    ClassificationTask::new(classifier, set, train, dev, faults, settings(recipe))
}

/// The network, fresh or with pretrained weights up to the head.
fn classifier(
    recipe: &ClassificationRecipe,
    classes: &[String],
    preprocessing: &Preprocessing,
    device: &Device,
) -> Result<Classifier> {
    let (name, config, seed) = (&recipe.network.name, &recipe.network.config, recipe.training.seed);
    let classifier = Classifier::fresh(name, config, classes, preprocessing.clone(), seed, device)?;
    let Some(file) = &recipe.network.pretrained else {
        return Ok(classifier);
    };
    let architecture = Architecture::find(name)?;
    let file = architecture.canonical_weights(SafetensorsFile::open(file)?)?;
    let parameters = Parameters::new(seed);
    if let Some(from) = &recipe.network.fine_tune {
        architecture.frozen_prefixes(Some(from))?.into_iter().for_each(|prefix| parameters.freeze(prefix));
    }
    let network = architecture.build(&classifier.config.config, parameters.builder(device))?;
    // Heads that were not wanted, such as auxiliary ones, may be in the file all the same.
    let built = parameters.names();
    let absent = |part: &&&str| !built.iter().any(|name| is_under(name, part));
    let file =
        architecture.head_prefixes().iter().filter(absent).fold(file, |file, part| file.without(&format!("{part}.")));
    // Auxiliary heads that were wanted and are not in the file begin fresh.
    let lacking = |part: &&&str| !file.names().any(|name| is_under(name, part));
    let mut fresh: Vec<&str> = architecture.auxiliary_prefixes().iter().filter(lacking).copied().collect();
    if architecture.head_classes(&file) != Some(classes.len()) {
        fresh.extend(architecture.logit_prefixes());
    }
    parameters.assign_without(&file, &fresh)?;
    Ok(classifier.with(network, parameters))
}

/// Whether a parameter is one of this part of the network.
fn is_under(name: &str, part: &str) -> bool {
    name.strip_prefix(part).is_some_and(|rest| rest.starts_with('.'))
}

/// The settings that a recipe has for the task.
fn settings(recipe: &ClassificationRecipe) -> Settings {
    Settings {
        size: recipe.batches.size,
        workers: recipe.batches.workers,
        label_smoothing: recipe.label_smoothing,
        seed: recipe.training.seed,
        statistics: recipe.network.fine_tune.is_none(),
    }
}
