//! From a recipe to a task that is ready to train.

use super::evaluate::evaluate;
use super::pairs::Pairs;
use super::recipe::{DataConfig, TranslationRecipe};
use super::task::{Settings, TranslationTask};
use super::translator::{Translator, TranslatorInit};
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::parallel::Pair;
use candlewick_data::text::Text;
use candlewick_data::tokens::TextTokenizer;
use candlewick_data::{Note, Split};
use candlewick_training::{FitConfig, Inputs, Outcome, Recipe, Report, check_shares, check_sizes};
use std::path::Path;

/// Translations that are shown after training.
const SHOWN: usize = 5;

impl Recipe for TranslationRecipe {
    const TASK: &'static str = "translation";
    type Task = TranslationTask;

    fn name(&self) -> &str {
        &self.name
    }

    fn training(&self) -> &FitConfig {
        &self.training
    }

    fn apply_inputs(&mut self, inputs: &Inputs) -> Result<()> {
        inputs.refuse(&[
            ("--encoder-weights", "a translator learns its encoder; leave it out"),
            ("--regions", "a translator looks at no pictures; leave it out"),
            ("--start", "a translator begins anew; leave it out"),
        ])?;
        self.data.path = inputs.data.clone().or(self.data.path.take());
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let DataConfig { source, target, longest, dev_share, max_share, .. } = &self.data;
        if source == target {
            let fault = format!("data.source and data.target are both {source}; name two languages");
            return Err(Error::Setting(fault));
        }
        let encoder = &self.model.encoder;
        check_shares(&[
            ("data.dev_share", *dev_share, 0.9),
            ("data.max_share", *max_share, 1.0),
            ("model.encoder.dropout", encoder.dropout, 1.0),
            ("model.encoder.word_dropout", encoder.word_dropout, 1.0),
            ("label_smoothing", self.label_smoothing, 0.999),
        ])?;
        check_sizes(&[
            ("batches.size", self.batches.size),
            ("data.longest", *longest),
            ("model.encoder.hidden_size", encoder.hidden_size),
            ("model.encoder.embedding_size", encoder.embedding_size),
        ])?;
        check_sizes(&self.model.decoder.sizes())?;
        self.generation.validate()?;
        self.training.check().map_err(|error| error.under("training"))
    }

    fn prepare(&self, _: &Path, device: &Device, note: &mut dyn FnMut(Note)) -> Result<TranslationTask> {
        self.check()?;
        let Pairs { train, dev, test, notes, .. } = self.load()?;
        notes.into_iter().for_each(|line| note(Note::Skipped(line)));
        let init = TranslatorInit {
            network: self.model.clone(),
            tokenizer: self.tokenizer(&train)?,
            source: self.data.source.clone(),
            target: self.data.target.clone(),
            generation: self.generation.clone(),
            seed: self.training.seed,
        };
        let translator = Translator::init(init, device)?;
        note(Note::Line(format!(
            "{} pairs to train on, {} to validate on, {} to test on, {} tokens, {} parameters",
            train.len(),
            dev.len(),
            test.len(),
            translator.config().vocab_size,
            translator.parameter_count(),
        )));
        let settings = Settings {
            size: self.batches.size,
            longest: self.data.longest,
            label_smoothing: self.label_smoothing,
            seed: self.training.seed,
        };
        let task = TranslationTask::new(translator, &train, dev, settings)?;
        match task.left_out() {
            0 => {}
            count => {
                let longest = self.data.longest;
                note(Note::Skipped(format!("{count} pairs have more than {longest} tokens and are not trained on")));
            }
        }
        Ok(task)
    }

    fn outcome(
        &self,
        task: TranslationTask,
        report: &Report,
        _: &Path,
        device: &Device,
        note: &mut dyn FnMut(Note),
    ) -> Result<Outcome> {
        drop(task);
        let best = Translator::from_pretrained(&report.best, device)?;
        let pairs = self.load()?;
        let (name, split) = if pairs.test.is_empty() { ("dev", Split::Dev) } else { ("test", Split::Test) };
        let told = &mut |done, total| note(Note::progress("translating", done, total));
        let part = pairs.split(split)?;
        let found = evaluate(part, |texts| best.translate(texts, best.generation()), told)?;
        let shown = part.iter().zip(&found.translations).take(SHOWN);
        let mut lines: Vec<String> = shown
            .flat_map(|(pair, told)| {
                [format!("  {}", pair.source), format!("→ {}", told.text), format!("= {}", pair.target), String::new()]
            })
            .collect();
        lines.push(format!("on {} pairs of the {name} split, {}:", part.len(), found.signatures[0]));
        Ok(Outcome { lines, scores: found.scores, split: Some(name), ..Outcome::default() })
    }
}

impl TranslationRecipe {
    fn load(&self) -> Result<Pairs> {
        let Some(folder) = &self.data.path else {
            return Err(Error::NoData("no data: say where the sentences are with --data DIR".into()));
        };
        Pairs::load(folder, &self.data)
    }

    /// The tokens of both languages together.
    fn tokenizer(&self, train: &[Pair]) -> Result<TextTokenizer> {
        let lines: Vec<&str> = train.iter().flat_map(|pair| [pair.source.as_str(), pair.target.as_str()]).collect();
        Ok(TextTokenizer::train(self.data.units, &Text::of(lines.join("\n")))?)
    }
}
