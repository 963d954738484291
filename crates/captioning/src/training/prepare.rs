//! From a recipe to a task that is ready to train.

use super::outcome::outcome;
use super::recipe::{CaptioningRecipe, DataConfig};
use super::task::{CaptioningTask, TaskSettings};
use crate::captioner::{Captioner, CaptionerInit};
use crate::dataset::CaptionDataset;
use crate::folder::Start;
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::Note;
use candlewick_data::captions::{self, LoadOptions, Split};
use candlewick_data::regions::Regions;
use candlewick_data::scenes::Scene;
use candlewick_data::skipped::Skipped;
use candlewick_data::text::words::WordTokenizer;
use candlewick_encoders::{Preprocessing, file_hash};
use candlewick_parameters::SafetensorsFile;
use candlewick_training::{FitConfig, Inputs, Outcome, Recipe, Report};
use candlewick_vision::{
    AnnotationCache, CachedPart, EncoderConfig, PictureSource, Views, WeightsFile, cached, open_regions,
};
use image::RgbImage;
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;

impl Recipe for CaptioningRecipe {
    const TASK: &'static str = "captioning";
    type Task = CaptioningTask;

    fn name(&self) -> &str {
        &self.name
    }

    fn training(&self) -> &FitConfig {
        &self.training
    }

    fn apply_inputs(&mut self, inputs: &Inputs) -> Result<()> {
        let Inputs { data, encoder_weights, start, regions } = inputs.clone();
        self.encoder.pretrained = encoder_weights.or(self.encoder.pretrained.take());
        self.start = start.or(self.start.take());
        match &mut self.data {
            DataConfig::Photos { path, regions: features, .. } => {
                *path = data.or(path.take());
                *features = regions.or(features.take());
                Ok(())
            }
            DataConfig::Scenes { .. } => inputs.refuse(&[
                ("--data", "the recipe trains on generated scenes and reads no data; name a recipe of photos such as models/flickr8k/train.toml"),
                ("--regions", "the recipe trains on generated scenes, whose regions no file has"),
            ]),
        }
    }

    fn check(&self) -> Result<()> {
        let start = self.start.as_deref().map(Start::open).transpose()?;
        self.check_before(start.as_ref())
    }

    fn prepare(&self, out: &Path, device: &Device, note: &mut dyn FnMut(Note)) -> Result<CaptioningTask> {
        prepare(self, out, device, note)
    }

    fn outcome(
        &self,
        task: CaptioningTask,
        report: &Report,
        out: &Path,
        device: &Device,
        note: &mut dyn FnMut(Note),
    ) -> Result<Outcome> {
        outcome(self, &task, report, out, device, note)
    }
}

/// Reads data and weights as the recipe says and builds the captioner; `out` is the run's folder.
///
/// # Errors
/// One line that names the file or the setting and the fault.
pub fn prepare(
    recipe: &CaptioningRecipe,
    out: &Path,
    device: &Device,
    note: &mut dyn FnMut(Note),
) -> Result<CaptioningTask> {
    let start = recipe.start.as_deref().map(Start::open).transpose()?;
    recipe.check_before(start.as_ref())?;
    check_self_critical(recipe, start.as_ref())?;
    let preprocessing = recipe.preprocessing()?;
    let (train, dev) = pictures(recipe, &preprocessing, note)?;
    let (min_count, longest) = match &recipe.data {
        DataConfig::Scenes { .. } => (1, usize::MAX),
        DataConfig::Photos { min_count, longest, .. } => (*min_count, *longest),
    };
    let tokenizer = match &start {
        Some(start) => start.tokenizer.clone(),
        None => recipe.words.tokenizer(train.references.iter().flatten(), min_count)?,
    };
    note(Note::Line(format!(
        "{} pictures to train on, {} to validate on, {} words",
        train.pictures.len(),
        dev.pictures.len(),
        tokenizer.vocab_size()
    )));
    let regions = regions(recipe, start.as_ref())?;
    let known = recipe.encoder.pretrained.is_some() || start.as_ref().is_some_and(|start| start.has_encoder());
    let frozen = known && recipe.encoder.fine_tune.is_none();
    let channels = regions.as_ref().map(|regions| regions.features());
    let captioner =
        captioner(recipe, Known { frozen, regions: channels }, preprocessing, tokenizer, start.as_ref(), device)?;
    let (train, dev) = match (&recipe.data, &regions) {
        (DataConfig::Photos { max_share, .. }, Some(regions)) => {
            let faults = Skipped::new("photos", train.pictures.len() + dev.pictures.len(), *max_share);
            let sets = (train.with_regions(regions, &faults)?, dev.with_regions(regions, &faults)?);
            faults.report().into_iter().for_each(|line| note(Note::Line(line)));
            sets
        }
        (DataConfig::Photos { features: folder, max_share, .. }, None) => {
            let faults = Skipped::new("photos", train.pictures.len() + dev.pictures.len(), *max_share);
            let folder = folder.clone().unwrap_or_else(|| out.parent().unwrap_or(out).join("features"));
            let sets = [train, dev];
            let [train, dev] = match frozen {
                true => {
                    let cache = AnnotationCache { folder, weights: encoder_hash(&captioner, start.as_ref())? };
                    let paths = [sets[0].pictures.paths(), sets[1].pictures.paths()];
                    let found = cached(captioner.encoder(), paths, &recipe.views.all()?, &cache, &faults, note)?;
                    with_annotations(sets, found)
                }
                false => readable_both(sets, &faults, note)?,
            };
            faults.report().into_iter().for_each(|line| note(Note::Line(line)));
            (train, dev)
        }
        (DataConfig::Scenes { .. }, _) => (train, dev),
    };
    let settings = TaskSettings {
        views: recipe.views.all()?,
        batches: recipe.batches.clone(),
        loss: recipe.loss.clone(),
        scheduled_sampling: recipe.scheduled_sampling.clone(),
        self_critical: recipe.self_critical.clone(),
        seed: recipe.training.seed,
        train_statistics: !known && channels.is_none(),
        longest: longest.min(10_000),
        encoder_rate: recipe.encoder.learning_rate_factor.unwrap_or(1.0),
    };
    let task = CaptioningTask::new(captioner, train, dev, settings)?;
    task.left_out().into_iter().for_each(|line| note(Note::Skipped(line)));
    task.cut_short().into_iter().for_each(|line| note(Note::Line(line)));
    Ok(task)
}

/// The pictures to train on and to validate on.
fn pictures(
    recipe: &CaptioningRecipe,
    preprocessing: &Preprocessing,
    note: &mut dyn FnMut(Note),
) -> Result<(CaptionDataset, CaptionDataset)> {
    match &recipe.data {
        DataConfig::Scenes { .. } if recipe.views != Views::default() => {
            let fault = "views: scenes say where things are, which is true of the whole scene only; leave views out";
            Err(Error::Setting(fault.into()))
        }
        DataConfig::Scenes { train, dev, seed } => {
            let (mut done, total) = (0, *train + *dev);
            note(Note::progress("scenes", done, total));
            let mut set = |split, count| {
                let scenes = drawn(*seed, split, count, &mut |more| {
                    done += more;
                    note(Note::progress("scenes", done, total));
                });
                CaptionDataset::drawn(scenes, preprocessing.clone())
            };
            Ok((set(Split::Train, *train), set(Split::Dev, *dev)))
        }
        DataConfig::Photos { path: Some(path), max_share, dev_share, .. } => {
            let options = LoadOptions { max_share: *max_share, dev_share: *dev_share, ..LoadOptions::default() };
            photos(path, &options, preprocessing, note)
        }
        DataConfig::Photos { path: None, .. } => {
            Err(Error::NoData("no data: say where photos and captions are with --data DIR".into()))
        }
    }
}

/// Scenes of a split and their pictures; `progress` is told now and then how many more are drawn.
fn drawn(seed: u64, split: Split, count: usize, progress: &mut dyn FnMut(usize)) -> Vec<(Scene, RgbImage)> {
    const TOGETHER: usize = 256;
    let draw = |index: usize| {
        let scene = Scene::generate(seed, index as u64, split);
        let picture = scene.draw();
        (scene, picture)
    };
    let mut scenes = Vec::with_capacity(count);
    for first in (0..count).step_by(TOGETHER) {
        let last = (first + TOGETHER).min(count);
        scenes.par_extend((first..last).into_par_iter().map(draw));
        progress(last - first);
    }
    scenes
}

fn check_self_critical(recipe: &CaptioningRecipe, start: Option<&Start>) -> Result<()> {
    let fault = match &recipe.self_critical {
        Some(_) if start.is_none() => "wants a captioner that learned from people's captions; name it with --start",
        Some(_) if recipe.decoder.draws_positions() => {
            "does not teach hard attention where to look; take a captioner with soft attention"
        }
        _ => return Ok(()),
    };
    Err(Error::Setting(format!("self_critical: {fault}")))
}

/// The file of regions, where a recipe reads one in an encoder's place.
fn regions(recipe: &CaptioningRecipe, start: Option<&Start>) -> Result<Option<Arc<Regions>>> {
    let DataConfig::Photos { regions: Some(path), .. } = &recipe.data else { return Ok(None) };
    let regions = open_regions(path, None)?;
    let encoder = &recipe.encoder;
    let unfit = [
        ("the encoder's weights (--encoder-weights)", encoder.pretrained.is_some()),
        ("encoder.layer", encoder.layer.is_some()),
        ("encoder.coordinates", encoder.coordinates),
        ("encoder.fine_tune", encoder.fine_tune.is_some()),
        ("views (--set 'views={}')", recipe.views != Views::default()),
        ("a start that has an encoder of its own", start.is_some_and(Start::has_encoder)),
    ];
    match unfit.iter().find(|(_, given)| *given) {
        Some((setting, _)) => {
            Err(Error::Setting(format!("data.regions: no encoder sees the photos; leave out {setting}")))
        }
        None => Ok(Some(regions)),
    }
}

/// The hash of the weights of an encoder that does not learn.
fn encoder_hash(captioner: &Captioner, start: Option<&Start>) -> Result<String> {
    Ok(match (&captioner.config.encoder.weights, start) {
        (Some(file), _) => file.sha256.clone(),
        (None, Some(start)) => file_hash(&start.model)?,
        (None, None) => String::new(),
    })
}

/// What is known of the encoder before it is built.
struct Known {
    /// Whether its weights stay as they are.
    frozen: bool,
    /// The features of a region, where regions take its place.
    regions: Option<usize>,
}

fn captioner(
    recipe: &CaptioningRecipe,
    Known { frozen, regions }: Known,
    preprocessing: Preprocessing,
    tokenizer: WordTokenizer,
    start: Option<&Start>,
    device: &Device,
) -> Result<Captioner> {
    let encoder = &recipe.encoder;
    let weights = match &encoder.pretrained {
        Some(file) if frozen => {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            Some(WeightsFile { sha256: file_hash(&file)?, file })
        }
        _ => None,
    };
    let settings = CaptionerInit {
        encoder: EncoderConfig {
            network: encoder.network.clone(),
            layer: encoder.layer.clone(),
            coordinates: encoder.coordinates,
            config: encoder.config.clone(),
            weights,
            regions,
        },
        fine_tune: encoder.fine_tune.clone(),
        decoder: recipe.decoder.clone(),
        preprocessing,
        generation: recipe.generation.clone(),
        seed: recipe.training.seed,
    };
    if let Some(start) = start {
        start.check_encoder(&settings.encoder, encoder.pretrained.as_deref())?;
    }
    let pretrained = match (&encoder.pretrained, start) {
        (Some(file), _) => Some(SafetensorsFile::open(file)?),
        (None, Some(start)) if start.has_encoder() => Some(start.encoder()?),
        _ => None,
    };
    let captioner = Captioner::init(settings, tokenizer, pretrained, device)?;
    if let Some(start) = start {
        captioner.start_from(start)?;
    }
    Ok(captioner)
}

fn photos(
    path: &Path,
    options: &LoadOptions,
    preprocessing: &Preprocessing,
    note: &mut dyn FnMut(Note),
) -> Result<(CaptionDataset, CaptionDataset)> {
    let all = captions::load(path, options)?;
    all.left_out().into_iter().for_each(|line| note(Note::Skipped(line)));
    let set = |split| CaptionDataset::photos(all.split(split), preprocessing.clone());
    let (train, dev) = (set(Split::Train), set(Split::Dev));
    for (set, split) in [(&train, "train"), (&dev, "dev")] {
        if set.pictures.is_empty() {
            let fault = format!("{}: the {split} split has no photos; training needs train and dev", path.display());
            return Err(Error::NoData(fault));
        }
    }
    Ok((train, dev))
}

/// The sets with annotations from the cache in their photos' place, without photos that have none.
fn with_annotations(sets: [CaptionDataset; 2], found: [CachedPart; 2]) -> [CaptionDataset; 2] {
    let mut found = found.into_iter();
    sets.map(|set| match found.next() {
        Some(CachedPart { annotations, known }) => {
            CaptionDataset { pictures: PictureSource::Cached(annotations), ..set }
                .retain(|row| known.get(row).copied().unwrap_or(false))
        }
        None => set,
    })
}

fn readable_both(
    [train, dev]: [CaptionDataset; 2],
    faults: &Skipped,
    note: &mut dyn FnMut(Note),
) -> Result<[CaptionDataset; 2]> {
    let (mut done, total) = (0, train.pictures.len() + dev.pictures.len());
    note(Note::progress("photos read", done, total));
    let mut progress = || {
        done += 1;
        if done % TOLD == 0 || done == total {
            note(Note::progress("photos read", done, total));
        }
    };
    Ok([readable(train, faults, &mut progress)?, readable(dev, faults, &mut progress)?])
}

/// Photos after which it is told how many were read.
const TOLD: usize = 16;

/// The set without photos that cannot be decoded, which are recorded; `progress` is called for each photo.
fn readable(set: CaptionDataset, faults: &Skipped, progress: &mut dyn FnMut()) -> Result<CaptionDataset> {
    let good = candlewick_vision::readable(set.pictures.paths(), faults, progress)?;
    Ok(set.retain(|row| good.get(row).copied().unwrap_or(false)))
}

impl CaptionDataset {
    /// Photos of a split as a set.
    pub fn photos<'a>(
        images: impl Iterator<Item = &'a captions::CaptionedImage>,
        preprocessing: Preprocessing,
    ) -> Self {
        let (mut names, mut paths, mut references) = (Vec::new(), Vec::new(), Vec::new());
        for image in images {
            names.push(image.id.clone());
            paths.push(image.path.clone());
            references.push(image.captions.clone());
        }
        Self { names, pictures: PictureSource::Photos(paths, preprocessing), references }
    }

    /// The set without the photos that cannot be decoded, and a line that names them; too large a share is an error.
    ///
    /// # Errors
    /// When more than the share `max_share` of the photos cannot be decoded.
    pub fn readable(self, max_share: f64) -> Result<(Self, Option<String>)> {
        let faults = Skipped::new("photos", self.pictures.len(), max_share);
        let set = readable(self, &faults, &mut || ())?;
        Ok((set, faults.report()))
    }
}
