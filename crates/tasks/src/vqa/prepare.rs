//! From a recipe to a task that is ready to train.

use super::dataset::{PictureQuestion, SceneWorld, VqaDataset};
use super::evaluate::{Evaluation, evaluate, open_wordnet, scored};
use super::model::{VqaInit, VqaModel};
use super::recipe::{DataConfig, VqaRecipe};
use super::task::{Settings, VqaTask};
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::questions::{self, LoadOptions, QuestionSet};
use candlewick_data::skipped::Skipped;
use candlewick_data::text::Text;
use candlewick_data::tokens::{TextTokenizer, Units};
use candlewick_data::{Note, Split};
use candlewick_encoders::file_hash;
use candlewick_parameters::SafetensorsFile;
use candlewick_training::{FitConfig, Inputs, Outcome, Recipe, Report, Task as _};
use candlewick_vision::{AnnotationCache, CachedPart, EncoderConfig, PictureSource, WeightsFile, cached, readable};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

impl Recipe for VqaRecipe {
    const TASK: &'static str = "vqa";
    type Task = VqaTask;

    fn name(&self) -> &str {
        &self.name
    }

    fn training(&self) -> &FitConfig {
        &self.training
    }

    fn apply_inputs(&mut self, inputs: &Inputs) -> Result<()> {
        inputs.refuse(&[
            ("--regions", "questions are asked about pictures; leave the file of regions out"),
            ("--start", "a model that answers questions begins anew; leave it out"),
        ])?;
        self.encoder.pretrained = inputs.encoder_weights.clone().or(self.encoder.pretrained.take());
        match &mut self.data {
            DataConfig::Photos { path, .. } => {
                *path = inputs.data.clone().or(path.take());
                Ok(())
            }
            DataConfig::Scenes { .. } => inputs.refuse(&[(
                "--data",
                "the recipe asks about generated scenes and reads no data; name a recipe of photos such as flickr8k_questions",
            )]),
        }
    }

    fn check(&self) -> Result<()> {
        self.check_all()
    }

    fn prepare(&self, out: &Path, device: &Device, note: &mut dyn FnMut(Note)) -> Result<VqaTask> {
        self.check()?;
        let wordnet = match &self.data {
            DataConfig::Photos { wordnet: Some(folder), .. } => Some(open_wordnet(folder)?),
            _ => None,
        };
        let [train, dev] = self.sets(note)?;
        let model = self.model(&train, device)?;
        let [train, dev] = self.seen([train, dev], &model, out, note)?;
        let (pictures, questions, validated) = (train.pictures.len(), train.questions.len(), dev.questions.len());
        let settings = Settings {
            batches: self.batches.clone(),
            label_smoothing: self.label_smoothing,
            pointing: self.pointing,
            views: self.views.all()?,
            seed: self.training.seed,
            statistics: self.encoder.pretrained.is_none(),
            encoder_rate: self.encoder.learning_rate_factor.unwrap_or(1.0),
        };
        let task = VqaTask::new(model, train, dev, wordnet, settings)?;
        let model = task.model();
        note(Note::Line(format!(
            "{questions} questions about {pictures} pictures to train on, {validated} to validate on, {} words, {} answers, {} parameters",
            model.config().vocab_size,
            model.config().id2label.len(),
            model.parameter_count()
        )));
        match task.unknown() {
            0 => {}
            unknown => {
                note(Note::Skipped(format!(
                    "{unknown} questions to train on have answers that are too rare (data.least_answers)"
                )));
            }
        }
        Ok(task)
    }

    fn outcome(
        &self,
        mut task: VqaTask,
        report: &Report,
        _: &Path,
        _: &Device,
        note: &mut dyn FnMut(Note),
    ) -> Result<Outcome> {
        task.load(&report.best)?;
        let test = self.test(note)?;
        let told = &mut |done, total| note(Note::progress("answering", done, total));
        let (split, found) = match test {
            Some(test) => ("test", evaluate(task.model(), test.into(), task.wordnet(), told)?),
            None => ("dev", scored(task.model(), task.dev_items(), task.wordnet(), told)?),
        };
        let mut lines: Vec<String> = found.kind_lines();
        lines.push(format!("on {} questions of the {split} split:", found.questions));
        Ok(Outcome { lines, scores: found.scores, split: Some(split), ..Outcome::default() })
    }
}

impl Evaluation {
    /// A line for each of the most frequent kinds of questions.
    pub fn kind_lines(&self) -> Vec<String> {
        let shown = self.by_kind.iter().take(KINDS);
        shown.map(|kind| format!("{:<17} {:>5} questions: {}", kind.kind, kind.questions, kind.scores)).collect()
    }
}

/// Kinds of questions that are told one by one.
const KINDS: usize = 12;

impl VqaRecipe {
    /// What is trained on and what is validated on, with pictures as they are.
    fn sets(&self, note: &mut dyn FnMut(Note)) -> Result<[VqaDataset; 2]> {
        let preprocessing = self.preprocessing()?;
        match &self.data {
            DataConfig::Scenes { train, dev, questions, seed } => {
                let world = SceneWorld { seed: *seed, questions: *questions };
                let (mut done, total) = (0, *train + *dev);
                note(Note::progress("scenes", done, total));
                let mut progress = |more| {
                    done += more;
                    note(Note::progress("scenes", done, total));
                };
                let train = VqaDataset::scenes(&world, Split::Train, *train, preprocessing.clone(), &mut progress);
                Ok([train, VqaDataset::scenes(&world, Split::Dev, *dev, preprocessing, &mut progress)])
            }
            DataConfig::Photos { .. } => {
                let set = self.load()?;
                set.skipped.report().into_iter().for_each(|line| note(Note::Skipped(line)));
                let of = |split| VqaDataset::photos(set.parts.of(split), preprocessing.clone());
                Ok([of(Split::Train), of(Split::Dev)])
            }
        }
    }

    /// What is tested on; nothing where the set has no such part.
    fn test(&self, note: &mut dyn FnMut(Note)) -> Result<Option<VqaDataset>> {
        let preprocessing = self.preprocessing()?;
        match &self.data {
            DataConfig::Scenes { dev, questions, seed, .. } => {
                let world = SceneWorld { seed: *seed, questions: *questions };
                Ok(Some(VqaDataset::scenes(&world, Split::Test, *dev, preprocessing, &mut |_| ())))
            }
            DataConfig::Photos { max_share, .. } => {
                let test = VqaDataset::photos(self.load()?.parts.of(Split::Test), preprocessing);
                if test.questions.is_empty() {
                    return Ok(None);
                }
                if !self.model.sees() {
                    return Ok(Some(test));
                }
                let (test, skipped) = test.readable(*max_share)?;
                skipped.into_iter().for_each(|line| note(Note::Skipped(line)));
                Ok(Some(test))
            }
        }
    }

    fn load(&self) -> Result<QuestionSet> {
        let DataConfig::Photos { path: Some(path), images, dev_share, max_share, .. } = &self.data else {
            return Err(Error::NoData("no data: say where photos and questions are with --data DIR".into()));
        };
        let need_files = self.model.sees();
        let options = LoadOptions { images: images.clone(), dev_share: *dev_share, max_share: *max_share, need_files };
        Ok(questions::load(path, &options)?)
    }

    /// The model, fresh, with the words and answers of the questions to train on.
    fn model(&self, train: &VqaDataset, device: &Device) -> Result<VqaModel> {
        let (least_count, least_answers) = match self.data {
            DataConfig::Scenes { .. } => (1, 1),
            DataConfig::Photos { least_count, least_answers, .. } => (least_count, least_answers),
        };
        let encoder = &self.encoder;
        let frozen = encoder.pretrained.as_ref().filter(|_| self.model.sees() && encoder.fine_tune.is_none());
        let weights = |file: &PathBuf| -> Result<WeightsFile> {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            Ok(WeightsFile { sha256: file_hash(&file)?, file })
        };
        let init = VqaInit {
            network: self.model.clone(),
            encoder: EncoderConfig {
                network: encoder.network.clone(),
                layer: encoder.layer.clone(),
                coordinates: encoder.coordinates,
                config: encoder.config.clone(),
                weights: frozen.map(weights).transpose()?,
                regions: None,
            },
            fine_tune: encoder.fine_tune.clone(),
            preprocessing: self.preprocessing()?,
            tokenizer: tokenizer(&train.questions, self.model.read_choices, least_count)?,
            answers: answers(&train.questions, least_answers),
            seed: self.training.seed,
        };
        let pretrained = encoder.pretrained.as_ref().filter(|_| self.model.sees());
        VqaModel::init(init, pretrained.map(SafetensorsFile::open).transpose()?, device)
    }

    /// The sets as the network is given them: with the annotations of a frozen encoder, without photos that cannot be read.
    fn seen(
        &self,
        sets: [VqaDataset; 2],
        model: &VqaModel,
        out: &Path,
        note: &mut dyn FnMut(Note),
    ) -> Result<[VqaDataset; 2]> {
        let (DataConfig::Photos { features, max_share, .. }, Some(encoder)) = (&self.data, model.encoder()) else {
            return Ok(sets);
        };
        let faults = Skipped::new("photos", sets.iter().map(|set| set.pictures.len()).sum(), *max_share);
        let seen = match &encoder.config().weights {
            Some(weights) => {
                let folder = features.clone().unwrap_or_else(|| out.parent().unwrap_or(out).join("features"));
                let cache = AnnotationCache { folder, weights: weights.sha256.clone() };
                let paths = [sets[0].pictures.paths(), sets[1].pictures.paths()];
                let found = cached(encoder, paths, &self.views.all()?, &cache, &faults, note)?;
                let [train, dev] = sets;
                let [of_train, of_dev] = found;
                [train.annotated(of_train), dev.annotated(of_dev)]
            }
            None => {
                let (mut done, total) = (0, sets.iter().map(|set| set.pictures.len()).sum());
                note(Note::progress("photos read", done, total));
                let mut progress = || {
                    done += 1;
                    if done % TOLD == 0 || done == total {
                        note(Note::progress("photos read", done, total));
                    }
                };
                let mut kept = Vec::with_capacity(2);
                for set in sets {
                    let good = readable(set.pictures.paths(), &faults, &mut progress)?;
                    kept.push(set.retain(|row| good.get(row).copied().unwrap_or(false)));
                }
                kept.try_into().map_err(|_| Error::task("two sets were read, and not two are left"))?
            }
        };
        faults.report().into_iter().for_each(|line| note(Note::Skipped(line)));
        Ok(seen)
    }
}

/// Photos after which it is told how many were read.
const TOLD: usize = 16;

impl VqaDataset {
    /// The set with annotations in its photos' place, without photos that have none.
    fn annotated(self, CachedPart { annotations, known }: CachedPart) -> Self {
        Self { pictures: PictureSource::Cached(annotations), ..self }
            .retain(|row| known.get(row).copied().unwrap_or(false))
    }

    /// The set without the photos that cannot be decoded, and a line that names them; too large a share is an error.
    ///
    /// # Errors
    /// When more than the share `max_share` of the photos cannot be decoded.
    pub fn readable(self, max_share: f64) -> Result<(Self, Option<String>)> {
        let faults = Skipped::new("photos", self.pictures.len(), max_share);
        let good = readable(self.pictures.paths(), &faults, &mut || ())?;
        Ok((self.retain(|row| good.get(row).copied().unwrap_or(false)), faults.report()))
    }
}

/// The words of the questions to train on, and of the choices where they are read.
fn tokenizer(train: &[PictureQuestion], read_choices: bool, least_count: usize) -> Result<TextTokenizer> {
    let texts = train.iter().flat_map(|one| {
        let choices = one.choices.iter().filter(move |_| read_choices);
        std::iter::once(&one.question).chain(choices).map(String::as_str)
    });
    let text = Text::of(texts.collect::<Vec<_>>().join("\n"));
    Ok(TextTokenizer::train_frequent(Units::Words, &text, least_count)?)
}

/// The answers that come at least so often, the most frequent first, of equally frequent ones the first in the order of letters.
fn answers(train: &[PictureQuestion], least: usize) -> Vec<String> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    train.iter().flat_map(|one| &one.answers).for_each(|answer| *counts.entry(answer).or_default() += 1);
    let mut known: Vec<(&str, usize)> = counts.into_iter().filter(|(_, count)| *count >= least).collect();
    known.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    known.into_iter().map(|(answer, _)| answer.to_owned()).collect()
}
