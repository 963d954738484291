//! From a recipe to a task that is ready to train.

use super::classifier::Classifier;
use super::task::{ClassificationTask, Source};
use super::{Augmentation, Recipe};
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::labelled::{self, Labelled};
use candlewick_encoders::{classes_in, frozen_prefixes, head_prefixes, logit_prefixes, network, own_weights};
use candlewick_parameters::{Parameters, SafetensorsFile};

/// Reads the pictures and builds the network as the recipe says; gives the task and the set.
///
/// # Errors
/// One line that names the file or the setting and the fault.
pub fn prepare(recipe: &Recipe, device: &Device) -> Result<(ClassificationTask, Labelled)> {
    if recipe.task != "classification" {
        return Err(Error::Config(format!("task is {}; this is the task classification", recipe.task)));
    }
    let path = recipe.data.path.as_deref();
    let path = path.ok_or_else(|| Error::Config("no data: say where the pictures are with --data DIR".into()))?;
    let set = labelled::load(path, recipe.data.dev_share)?;
    let classifier = classifier(recipe, &set.classes, device)?;
    let source = |examples: &labelled::Examples, augmentation: Augmentation| Source {
        examples: examples.clone(),
        preprocessing: recipe.preprocessing.clone(),
        augmentation,
    };
    let train = source(&set.train, recipe.augmentation.clone());
    let dev = source(&set.dev, Augmentation::default());
    let task = ClassificationTask::new(classifier, train, dev, ClassificationTask::settings(recipe))?;
    Ok((task, set))
}

/// The network, fresh or with pretrained weights up to the head.
fn classifier(recipe: &Recipe, classes: &[String], device: &Device) -> Result<Classifier> {
    let (name, config, seed) = (&recipe.network.name, &recipe.network.config, recipe.training.seed);
    let classifier = Classifier::fresh(name, config, classes, recipe.preprocessing.clone(), seed, device)?;
    let Some(file) = &recipe.network.pretrained else {
        if recipe.network.fine_tune.is_some() {
            let fault =
                "network.fine_tune: there are no pretrained weights to go on from; name them with --encoder-weights";
            return Err(Error::Config(fault.into()));
        }
        return Ok(classifier);
    };
    let file = own_weights(name, SafetensorsFile::open(file)?)?;
    let parameters = Parameters::new(seed);
    if let Some(from) = &recipe.network.fine_tune {
        frozen_prefixes(name, Some(from))?.into_iter().for_each(|prefix| parameters.freeze(prefix));
    }
    let network = network(name, &classifier.config.config, parameters.builder(device))?;
    // Heads that were not wanted, such as auxiliary ones, may be in the file all the same.
    let built = parameters.names();
    let absent = |part: &&&str| !built.iter().any(|name| name.starts_with(&format!("{part}.")));
    let file = head_prefixes(name)?.iter().filter(absent).fold(file, |file, part| file.without(&format!("{part}.")));
    match classes_in(name, &file)? == Some(classes.len()) {
        true => parameters.assign(&file, "")?,
        false => parameters.assign_without(&file, logit_prefixes(name)?)?,
    }
    Ok(classifier.with(network, parameters))
}
