//! From a recipe to a task that is ready to train.

use super::config::NetworkConfig;
use super::model::{LanguageModel, LanguageModelInit};
use super::recipe::{BatchConfig, LanguageModelRecipe};
use super::samples::SAMPLES;
use super::task::{LanguageModelTask, StreamedText};
use super::unrolled::{Unrolled, UnrolledStep};
use crate::{Error, Result};
use candle_core::Device;
use candlewick_data::Note;
use candlewick_data::text::{Corpus, Text};
use candlewick_data::tokens::{Streams, TextTokenizer, Units};
use candlewick_generation::Decoder as _;
use candlewick_pages::{DrawingFormat, DrawnSteps, UnrolledDrawing};
use candlewick_training::{FitConfig, Inputs, Outcome, Recipe, Report, check_shares, check_sizes};
use std::path::{Path, PathBuf};

/// Streams that a dev text is read as: few, so that all but a few of its characters are told with what came before them.
const DEV_STREAMS: usize = 16;

impl Recipe for LanguageModelRecipe {
    const TASK: &'static str = "language_model";
    type Task = LanguageModelTask;

    fn name(&self) -> &str {
        &self.name
    }

    fn training(&self) -> &FitConfig {
        &self.training
    }

    fn apply_inputs(&mut self, inputs: &Inputs) -> Result<()> {
        inputs.refuse(&[
            ("--encoder-weights", "a language model has no encoder; leave it out"),
            ("--regions", "a language model looks at no pictures; leave it out"),
            ("--start", "a language model begins anew; leave it out"),
        ])?;
        if self.data.text.is_some() {
            inputs.refuse(&[("--data", "the recipe brings its own text, data.text; leave one of the two out")])?;
        }
        self.data.path = inputs.data.clone().or(self.data.path.take());
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let NetworkConfig { dropout, word_dropout, hidden_size, embedding_size, .. } = self.model;
        let BatchConfig { size, steps, passes, .. } = self.batches;
        check_shares(&[
            ("data.dev_share", self.data.dev_share, 0.9),
            ("model.dropout", dropout, 1.0),
            ("model.word_dropout", word_dropout, 1.0),
        ])?;
        check_sizes(&[
            ("batches.size", size),
            ("batches.steps", steps),
            ("batches.passes", passes),
            ("model.hidden_size", hidden_size),
            ("model.embedding_size", embedding_size),
        ])?;
        self.generation.validate()?;
        self.training.check().map_err(|error| error.under("training"))
    }

    fn prepare(&self, out: &Path, device: &Device, note: &mut dyn FnMut(Note)) -> Result<LanguageModelTask> {
        self.check()?;
        let (corpus, tokenizer) = self.corpus()?;
        std::fs::create_dir_all(out).map_err(Error::file(out, "cannot be created"))?;
        let dev_rows = DEV_STREAMS.min(1 + corpus.dev.characters() / 1000);
        let train = streamed(&corpus.train, &tokenizer, &out.join("train.tokens"), self.batches.size)?;
        let dev = streamed(&corpus.dev, &tokenizer, &out.join("dev.tokens"), dev_rows)?;
        let network = self.model.clone();
        let init =
            LanguageModelInit { network, tokenizer, generation: self.generation.clone(), seed: self.training.seed };
        let model = LanguageModel::init(init, device)?;
        note(Note::Line(format!(
            "{} tokens of {} kinds to train on, {} to validate on, {} parameters",
            train.streams.tokens(),
            model.vocab_size(),
            dev.streams.tokens(),
            model.parameter_count()
        )));
        let unrolled = self.data.text.as_ref().map(|text| model.unroll(text)).transpose()?;
        let mut task = LanguageModelTask::new(model, [train, dev], self.batches.clone(), self.training.seed, out)?;
        task.unrolled = unrolled;
        Ok(task)
    }

    fn outcome(
        &self,
        task: LanguageModelTask,
        report: &Report,
        out: &Path,
        device: &Device,
        _: &mut dyn FnMut(Note),
    ) -> Result<Outcome> {
        let best = LanguageModel::from_pretrained(&report.best, device)?;
        let scores = report.best_scores.clone().unwrap_or_default();
        if let (Some(text), Some(before)) = (&self.data.text, task.unrolled) {
            let after = best.unroll(text)?;
            let lines = format!("before training\n{before}\n\nafter training\n{after}\n");
            return Ok(Outcome {
                lines: lines.lines().map(str::to_owned).collect(),
                scores,
                files: vec![("drawing", drawn(&before, &after, &out.join(format!("{}.svg", self.name)))?)],
                ..Outcome::default()
            });
        }
        let sample: String = best.sample("", &best.generation)?.collect::<Result<_>>()?;
        Ok(Outcome {
            lines: sample.lines().map(str::to_owned).collect(),
            scores,
            split: Some("dev"),
            files: vec![("samples", out.join(SAMPLES))],
            ..Outcome::default()
        })
    }
}

impl LanguageModelRecipe {
    /// The text, and what cuts it into tokens.
    fn corpus(&self) -> Result<(Corpus, TextTokenizer)> {
        if let Some(text) = &self.data.text {
            let tokenizer = match self.data.units {
                // All that there is to know stands in the recipe.
                Units::Characters => TextTokenizer::closed(text)?,
                units => TextTokenizer::train(units, &Text::of(text.as_str()))?,
            };
            return Ok((Corpus { train: Text::of(text.as_str()), dev: Text::of(text.as_str()) }, tokenizer));
        }
        let Some(path) = &self.data.path else {
            return Err(Error::NoData("no text is named; name it with --data FILE".into()));
        };
        let corpus = Corpus::open(path, &self.data.encoding, self.data.dev_share)?;
        let tokenizer = TextTokenizer::train(self.data.units, &corpus.train)?;
        Ok((corpus, tokenizer))
    }
}

/// Draws the network before and after training into a file, and gives it.
fn drawn(before: &Unrolled, after: &Unrolled, path: &Path) -> Result<PathBuf> {
    fn time<'a>(when: &str, network: &'a Unrolled) -> DrawnSteps<'a> {
        let (right, of, nats) = (network.right(), network.steps.len(), network.score().nats);
        let title = format!("{when} training: {right} of {of} right, L = {nats:.2} nats");
        DrawnSteps { title, steps: network.steps.iter().map(UnrolledStep::drawn).collect() }
    }
    let times = vec![time("before", before), time("after", after)];
    let drawing = UnrolledDrawing { vocabulary: &after.vocabulary, times };
    let file = drawing.file(DrawingFormat::Svg)?;
    std::fs::write(path, file).map_err(Error::file(path, "cannot be written"))?;
    Ok(path.to_owned())
}

fn streamed(text: &Text, tokenizer: &TextTokenizer, path: &Path, rows: usize) -> Result<StreamedText> {
    Ok(StreamedText {
        streams: Streams::write(text, tokenizer, path, rows)?,
        characters: text.characters(),
        hash: text.hash()?,
    })
}
