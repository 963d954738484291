//! From a recipe to a task that is ready to train.

use super::classifier::Classifier;
use super::source::Source;
use super::task::ClassificationTask;
use super::{Augmentation, ClassificationRecipe};
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::image_classes::{self, Examples};
use candlewick_data::shown;
use candlewick_data::skipped::Skipped;
use candlewick_encoders::{Architecture, Preprocessing};
use candlewick_parameters::{Parameters, SafetensorsFile};
use candlewick_training::Recipe as _;
use rayon::prelude::*;
use std::path::Path;

/// Reads the pictures and builds the network as the recipe says.
///
/// Every picture that is a file of its own is tried once; the task skips those that cannot be read.
///
/// # Errors
/// One line that names the file or the setting and the fault; also when more than the share `data.max_share` of the pictures cannot be
/// read.
pub fn prepare(recipe: &ClassificationRecipe, device: &Device) -> Result<ClassificationTask> {
    recipe.check()?;
    let path = recipe.data.path.as_deref();
    let path = path.ok_or_else(|| Error::Setting("no data: say where the pictures are with --data DIR".into()))?;
    let set = image_classes::load(path, recipe.data.dev_share)?;
    let preprocessing = recipe.preprocessing()?;
    let classifier = classifier(recipe, &set.classes, &preprocessing, device)?;
    let faults = tried(&[&set.train, &set.dev, &set.test], &preprocessing, recipe.data.max_share)?;
    let source = |examples: &Examples, augmentation: Augmentation| {
        Source::new(examples, &faults, preprocessing.clone(), augmentation)
    };
    let (train, dev) = (source(&set.train, recipe.augmentation.clone()), source(&set.dev, Augmentation::default()));
    ClassificationTask::new(classifier, set, train, dev, faults, ClassificationTask::settings(recipe))
}

/// The pictures that cannot be read, or not be made an input; those in memory are whole. All that can be are of one size.
pub(crate) fn tried(parts: &[&Examples], preprocessing: &Preprocessing, max_share: f64) -> Result<Skipped> {
    let faults = Skipped::new("pictures", parts.iter().map(|part| part.len()).sum(), max_share);
    let mut first = None;
    for part in parts {
        let size = |row: usize| -> Option<(&Path, Result<(u32, u32)>)> {
            let path = part.path(row)?;
            let picture = part.picture(row).map_err(Error::from);
            Some((path, picture.and_then(|picture| Ok(preprocessing.original(&picture)?.dimensions()))))
        };
        // They are looked at in order, so that the message is always the same.
        let found: Vec<(&Path, Result<(u32, u32)>)> = (0..part.len()).into_par_iter().filter_map(size).collect();
        for (path, size) in found {
            let size = match size {
                Ok(size) => size,
                Err(fault) => {
                    faults.record(&path.display().to_string(), fault)?;
                    continue;
                }
            };
            let (other, wanted) = *first.get_or_insert((path, size));
            if size != wanted {
                let sizes = format!(
                    "{}×{} pixels as the network would see it, {} {}×{}",
                    size.0,
                    size.1,
                    shown(other),
                    wanted.0,
                    wanted.1
                );
                let advice = "set preprocessing.size = { height, width }, or preprocessing.crop_size";
                return Err(Error::Setting(format!("{}: is {sizes}; {advice}", shown(path))));
            }
        }
    }
    Ok(faults)
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
