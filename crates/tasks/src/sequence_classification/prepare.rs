//! From a recipe to a task that is ready to train.

use super::classifier::{SequenceClassifier, SequenceClassifierInit};
use super::config::{InputKind, OutputKind};
use super::evaluate::evaluate;
use super::inputs::{DataConfig, FramesConfig, Input, Labelled, LabelledSequences, SequencePreprocessing};
use super::recipe::SequenceClassificationRecipe;
use super::start;
use super::task::{SequenceClassificationTask, Settings};
use crate::language_model::LanguageModel;
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::clips::moving::best_of_next;
use candlewick_data::text::Text;
use candlewick_data::tokens::TextTokenizer;
use candlewick_data::{Note, Split};
use candlewick_recurrent::SequenceEncoderConfig;
use candlewick_training::{FitConfig, Inputs, Outcome, Recipe, Report, check_shares, check_sizes};
use std::path::Path;

impl Recipe for SequenceClassificationRecipe {
    const TASK: &'static str = "sequence_classification";
    type Task = SequenceClassificationTask;

    fn name(&self) -> &str {
        &self.name
    }

    fn training(&self) -> &FitConfig {
        &self.training
    }

    fn apply_inputs(&mut self, inputs: &Inputs) -> Result<()> {
        inputs.refuse(&[("--regions", "a classifier of sequences looks at no pictures; leave it out")])?;
        if self.data.input != InputKind::Frames {
            let fault = "a network with pretrained weights is for data.input = \"frames\"; leave it out";
            inputs.refuse(&[("--encoder-weights", fault)])?;
        }
        self.encoder.pretrained = inputs.encoder_weights.clone().or(self.encoder.pretrained.take());
        self.start = inputs.start.clone().or(self.start.take());
        if self.data.drawn_as().is_some() {
            inputs.refuse(&[("--data", "the sequences of this recipe are drawn; leave it out")])?;
        }
        self.data.path = inputs.data.clone().or(self.data.path.take());
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let SequenceEncoderConfig { dropout, word_dropout, hidden_size, embedding_size, .. } = self.model;
        let DataConfig { least_count, dev_share, max_share, .. } = self.data;
        check_shares(&[
            ("data.dev_share", dev_share, 0.9),
            ("data.max_share", max_share, 1.0),
            ("model.dropout", dropout, 1.0),
            ("model.word_dropout", word_dropout, 1.0),
            ("label_smoothing", self.label_smoothing, 0.999),
        ])?;
        check_sizes(&[
            ("batches.size", self.batches.size),
            ("model.hidden_size", hidden_size),
            ("model.embedding_size", embedding_size),
            ("data.least_count", least_count),
        ])?;
        self.check_kinds()?;
        self.training.check().map_err(|error| error.under("training"))
    }

    fn prepare(&self, _: &Path, device: &Device, note: &mut dyn FnMut(Note)) -> Result<SequenceClassificationTask> {
        self.check()?;
        let start = self.start_model(device)?;
        let set = self.load(note)?;
        self.check_names(&set)?;
        set.notes.iter().cloned().for_each(|line| note(Note::Skipped(line)));
        let tokenizer = match (self.data.input, &start) {
            (InputKind::Words, Some(model)) => Some(model.tokenizer().clone()),
            (InputKind::Words, None) => Some(tokenizer(&self.data, &set.parts.train)?),
            _ => None,
        };
        let init = SequenceClassifierInit {
            network: self.model.clone(),
            input: self.data.input,
            tokenizer,
            encoder: (self.data.input == InputKind::Frames).then(|| self.encoder.clone()),
            width: set.width.unwrap_or_default(),
            preprocessing: preprocessing(&self.data, &set),
            output: self.data.output,
            early: self.data.early.clone(),
            label_names: self.data.label_names.clone(),
            classes: if self.data.output == OutputKind::Number { Vec::new() } else { set.classes.clone() },
            seed: self.training.seed,
        };
        let classifier = SequenceClassifier::init(init, device)?;
        if let (Some(model), Some(folder)) = (&start, &self.start) {
            classifier.start_from(model, folder)?;
        }
        let parameters = classifier.parameter_count();
        let kinds = classifier.tokenizer().map(|own| format!(" of {} kinds of words", own.vocab_size()));
        let (train, dev, test) = (set.parts.train.len(), set.parts.dev.len(), set.parts.test.len());
        let settings =
            Settings { batches: self.batches.clone(), label_smoothing: self.label_smoothing, seed: self.training.seed };
        let task = SequenceClassificationTask::new(classifier, &set.parts.train, &set.parts.dev, settings)?;
        note(Note::Line(format!(
            "{train} sequences{} to train on, {dev} to validate on, {test} to test on, {} classes, {parameters} parameters",
            kinds.unwrap_or_default(),
            set.classes.len(),
        )));
        match task.empty() {
            0 => {}
            empty => note(Note::Skipped(format!("{empty} sequences to train on have no words that count"))),
        }
        Ok(task)
    }

    fn outcome(
        &self,
        task: SequenceClassificationTask,
        report: &Report,
        _: &Path,
        device: &Device,
        note: &mut dyn FnMut(Note),
    ) -> Result<Outcome> {
        drop(task);
        let best = SequenceClassifier::from_pretrained(&report.best, device)?;
        let set = self.load(note)?;
        let (name, split) = if set.parts.test.is_empty() { ("dev", Split::Dev) } else { ("test", Split::Test) };
        let told = &mut |done, total| note(Note::progress("classifying", done, total));
        let scores = evaluate(&best, &set, split, told)?;
        let mut lines = vec![format!("on {} sequences of the {name} split:", set.parts.of(split).len())];
        lines.extend(
            self.best().map(|best| format!("the grammar lets no one tell more than {best:.4} of what comes next")),
        );
        Ok(Outcome { lines, scores, split: Some(name), ..Outcome::default() })
    }
}

impl SequenceClassificationRecipe {
    /// The language model that training begins with.
    fn start_model(&self, device: &Device) -> Result<Option<LanguageModel>> {
        let Some(folder) = &self.start else { return Ok(None) };
        if self.data.input != InputKind::Words || self.data.least_count > 1 {
            let fault = "start: a language model has read texts and has its words: set data.input to \"words\" and leave data.least_count out";
            return Err(Error::Setting(fault.into()));
        }
        let model = LanguageModel::from_pretrained(folder, device)?;
        start::check(&model, &self.model)?;
        Ok(Some(model))
    }

    /// How often what comes next can be told at best, where the clips are drawn by a grammar.
    fn best(&self) -> Option<f64> {
        match (&self.data.frames, self.data.input, self.data.output) {
            (FramesConfig::Moving(moving), InputKind::Frames, OutputKind::Next) => Some(best_of_next(moving.steps)),
            _ => None,
        }
    }

    fn load(&self, note: &mut dyn FnMut(Note)) -> Result<LabelledSequences> {
        if let Some(drawn) = LabelledSequences::drawn(&self.data) {
            return Ok(drawn);
        }
        let Some(path) = &self.data.path else {
            return Err(Error::NoData("no data: say where the sequences are with --data DIR".into()));
        };
        let told = &mut |done, total| note(Note::progress("files read", done, total));
        LabelledSequences::load_told(path, &self.data, told)
    }
}

/// What is done to the numbers of a set.
fn preprocessing(config: &DataConfig, set: &LabelledSequences) -> SequencePreprocessing {
    let (values, frames) = (set.values.clone(), config.frames.clone());
    let preprocessing = SequencePreprocessing { values, frames, ..SequencePreprocessing::default() };
    let values = set.parts.train.iter().filter_map(|one| match &one.input {
        Input::Values(values) => Some(values.as_slice()),
        _ => None,
    });
    match (config.normalize, set.width) {
        (true, Some(width)) => preprocessing.normalizing(width, values),
        _ => preprocessing,
    }
}

/// The tokens of the texts to train on.
fn tokenizer(config: &DataConfig, train: &[Labelled]) -> Result<TextTokenizer> {
    let text = train.iter().filter_map(|one| match &one.input {
        Input::Words(text) => Some(text.as_str()),
        _ => None,
    });
    let text = Text::of(text.collect::<Vec<_>>().join("\n"));
    Ok(TextTokenizer::train_frequent(config.units, &text, config.least_count)?)
}
