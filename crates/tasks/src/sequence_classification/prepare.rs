//! From a recipe to a task that is ready to train.

use super::classifier::{SequenceClassifier, SequenceClassifierInit};
use super::clip_source::{ClipsConfig, FramesConfig, MovingConfig};
use super::config::{InputKind, OutputKind};
use super::evaluate::evaluate;
use super::labelled::{Input, Labelled, LabelledSequences};
use super::preprocessing::{AddingConfig, SequencePreprocessing, ValuesConfig};
use super::recipe::{BatchConfig, DataConfig, SequenceClassificationRecipe};
use super::start;
use super::task::{SequenceClassificationTask, Settings};
use crate::language_model::LanguageModel;
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::clips::moving::best_of_next;
use candlewick_data::text::Text;
use candlewick_data::tokens::{TextTokenizer, Units};
use candlewick_data::{Note, Split};
use candlewick_recurrent::SequenceEncoderConfig;
use candlewick_training::{FitConfig, Inputs, Outcome, Recipe, Report};
use std::collections::BTreeMap;
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
        let fault = |fault: String| Err(Error::Setting(fault));
        let SequenceEncoderConfig { dropout, word_dropout, hidden_size, embedding_size, .. } = self.model;
        let DataConfig { least_count, dev_share, max_share, .. } = &self.data;
        for (key, value, most) in [
            ("data.dev_share", *dev_share, 0.9),
            ("data.max_share", *max_share, 1.0),
            ("model.dropout", dropout, 1.0),
            ("model.word_dropout", word_dropout, 1.0),
            ("label_smoothing", self.label_smoothing, 0.999),
        ] {
            if !(0.0..=most).contains(&value) {
                return fault(format!("{key} is {value}; wanted 0 to {most}"));
            }
        }
        for (key, value) in [
            ("batches.size", self.batches.size),
            ("model.hidden_size", hidden_size),
            ("model.embedding_size", embedding_size),
            ("data.least_count", *least_count),
        ] {
            if value == 0 {
                return fault(format!("{key} is 0; one is the least"));
            }
        }
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
    /// Refuses what goes with another kind of input or of output.
    fn check_kinds(&self) -> Result<()> {
        let fault = |fault: String| Err(Error::Setting(fault));
        let DataConfig { input, values, normalize, output, units, least_count, fold, .. } = &self.data;
        if *least_count > 1 && !matches!(units, Units::Words | Units::Spaces) {
            return fault("data.least_count: it is for the units words and spaces; leave it out".into());
        }
        if *input != InputKind::Words && (*least_count > 1 || self.model.word_dropout > 0.0 || fold.is_some()) {
            return fault(
                "data.least_count, data.fold and model.word_dropout are for data.input = \"words\"; leave them out"
                    .into(),
            );
        }
        if *input != InputKind::Values && (*values != ValuesConfig::default() || *normalize) {
            return fault("data.values and data.normalize are for data.input = \"values\"; leave them out".into());
        }
        if (*values == ValuesConfig::Notes) != (*output == OutputKind::Several) {
            return fault("data.output: of data.values = { kind = \"notes\" }, and of nothing else, several are told; leave the one out or add the other".into());
        }
        if let ValuesConfig::Adding(AddingConfig { steps, train, dev, test, .. }) = values {
            if *output != OutputKind::Number {
                return fault("data.output: of the adding problem a number is told; set it to \"number\"".into());
            }
            let most = 100_000_000;
            if *steps < 2 || [*train, *dev, *test].iter().any(|count| count.saturating_mul(*steps) > most) {
                return fault(format!("data.values: wanted 2 steps or more, and at most {most} in a part"));
            }
        }
        if !self.data.early.is_empty() && *output != OutputKind::Each {
            return fault(
                "data.early: it is for data.output = \"each\", where each step is told of; leave it out".into(),
            );
        }
        if self.data.early.contains(&0) {
            return fault("data.early: after 0 steps nothing is told; one is the least".into());
        }
        if *output == OutputKind::Several && self.label_smoothing > 0.0 {
            return fault("label_smoothing: it is for classes, of which one is right; leave it out".into());
        }
        self.check_frames()?;
        if *input == InputKind::Words && *output != OutputKind::One {
            return fault("data.output: of texts the class of the whole is told; leave it at \"one\"".into());
        }
        Ok(())
    }

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

    /// Refuses names of labels that there are not, and one name for two.
    fn check_names(&self, set: &LabelledSequences) -> Result<()> {
        let names = &self.data.label_names;
        // The set has the names already.
        if let Some(twice) = set.classes.iter().enumerate().find(|(at, class)| set.classes[..*at].contains(class)) {
            return Err(Error::Setting(format!("data.label_names: two labels are called {}", twice.1)));
        }
        let original = names.iter().map(|(label, name)| (name.as_str(), label.as_str())).collect::<BTreeMap<_, _>>();
        let labels: Vec<&str> =
            set.classes.iter().map(|class| original.get(class.as_str()).copied().unwrap_or(class)).collect();
        match names.keys().find(|label| !labels.contains(&label.as_str())) {
            None => Ok(()),
            Some(label) => {
                let fault = format!("data.label_names: no label is called {label}; there are {}", labels.join(", "));
                Err(Error::Setting(fault))
            }
        }
    }

    /// How often what comes next can be told at best, where the clips are drawn by a grammar.
    fn best(&self) -> Option<f64> {
        match (&self.data.frames, self.data.input, self.data.output) {
            (FramesConfig::Moving(moving), InputKind::Frames, OutputKind::Next) => Some(best_of_next(moving.steps)),
            _ => None,
        }
    }

    /// Refuses what no clips have, and what only they have.
    fn check_frames(&self) -> Result<()> {
        let fault = |fault: &str| Err(Error::Setting(fault.into()));
        let BatchConfig { window, mirror, .. } = self.batches;
        let DataConfig { input, output, frames, .. } = &self.data;
        if *input != InputKind::Frames && (mirror || *frames != FramesConfig::default()) {
            return fault("data.frames and batches.mirror are for data.input = \"frames\"; leave them out");
        }
        if window.is_some_and(|window| window < 2) || window.is_some() && *output == OutputKind::Number {
            return fault("batches.window: wanted two steps or more, and not where a number is told of the whole");
        }
        if *input == InputKind::Frames {
            self.encoder.check()?;
        }
        match frames {
            _ if *input != InputKind::Frames => Ok(()),
            _ if mirror && self.encoder.is_frozen() => fault(
                "batches.mirror: a network that stays what it is reads each frame once; leave it out or set encoder.fine_tune",
            ),
            _ if !matches!(output, OutputKind::One | OutputKind::Each | OutputKind::Next) => {
                fault("data.output: of clips one, each or next is told")
            }
            FramesConfig::Clips(ClipsConfig { height, width, .. })
                if !(1..=4096).contains(height) || !(1..=4096).contains(width) =>
            {
                fault("data.frames: wanted a height and a width of 1 to 4096")
            }
            FramesConfig::Clips(ClipsConfig { join: true, .. }) if *output == OutputKind::One => {
                fault("data.frames.join: of a film of several clips each frame is told; set data.output to \"each\"")
            }
            FramesConfig::Moving(MovingConfig { steps, train, dev, test, .. })
                if !(2..=1000).contains(steps) || [train, dev, test].iter().any(|&&count| count > 1_000_000) =>
            {
                fault("data.frames: wanted 2 to 1000 steps and at most a million clips in a part")
            }
            _ => Ok(()),
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
