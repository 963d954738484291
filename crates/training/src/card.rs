//! The card of an exported model: what it is, what it learned from, what it scored, how it is used, under the hub's headings.

use crate::{Scores, Session, TrainerState};
use candle_core::DType;
use serde_json::Value;
use std::fmt;

/// What a model's kind says of itself for its card.
#[derive(Clone, Debug)]
pub struct About {
    /// Its kind for a title, such as `An image captioner`.
    pub kind: &'static str,
    /// What it is made of, in sentences.
    pub made_of: String,
    /// What it is for and what it does not know, in sentences.
    pub limits: String,
    /// The hub's word for what it does, such as `image-to-text`.
    pub pipeline_tag: &'static str,
    /// Further words to find it by.
    pub tags: Vec<String>,
    /// Commands that use it, where the model's folder is called `MODEL`.
    pub commands: Vec<&'static str>,
    /// The same in Rust.
    pub code: &'static str,
}

/// A card; its `Display` is the `README.md`.
pub(crate) struct Card {
    pub about: About,
    pub dtype: DType,
    pub state: Option<TrainerState>,
    pub scores: Option<Scores>,
    pub sessions: Vec<Session>,
    pub files: Vec<String>,
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let About { kind, made_of, limits, pipeline_tag, tags, commands, code } = &self.about;
        writeln!(f, "---\nlibrary_name: candlewick\npipeline_tag: {pipeline_tag}")?;
        writeln!(f, "tags: [{}]", tags.join(", "))?;
        if let Some(scores) = self.scores.as_ref().filter(|scores| !scores.is_empty()) {
            let names: Vec<&str> = scores.iter().map(|(name, _)| name).collect();
            writeln!(f, "metrics: [{}]", names.join(", "))?;
        }
        writeln!(f, "---\n\n# {kind}\n\n## Model description\n\n{made_of} The weights are {}.\n", self.dtype.as_str())?;
        writeln!(f, "## Intended use and limits\n\n{limits}\n\n## How to use\n")?;
        commands.iter().try_for_each(|command| writeln!(f, "    {command}"))?;
        writeln!(f, "\n```rust\n{code}\n```\n")?;
        self.training(f)?;
        self.results(f)?;
        writeln!(
            f,
            "## Licence\n\nNot said yet. Whoever publishes this model says here, and as `license:` at the top, under what"
        )?;
        writeln!(f, "terms it and the data that it learned from come.")
    }
}

impl Card {
    fn training(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(state) = &self.state else { return Ok(()) };
        writeln!(f, "## Training data\n")?;
        match self.sessions.last().map(|session| &session.data).and_then(Value::as_object) {
            Some(parts) => {
                parts.iter().try_for_each(|(part, data)| writeln!(f, "- {part}: {}", told(data)))?;
                writeln!(f)?;
            }
            None => writeln!(f, "Not recorded.\n")?,
        }
        writeln!(f, "## Training procedure\n")?;
        let (steps, seconds) = (state.step, state.seconds);
        write!(f, "{steps} steps in {seconds:.0} s")?;
        if let Some(Session { machine, device, ended, version, .. }) = self.sessions.last() {
            write!(f, ", on {} cores of {}", machine.cores, machine.cpu)?;
            if let Some(device) = device.as_deref().filter(|device| *device != "cpu") {
                write!(f, " and {device}")?;
            }
            write!(f, ", until {}", ended.get(..10).unwrap_or(ended))?;
            if let Some(version) = version {
                write!(f, ", with {version}")?;
            }
        }
        match self.files.first() {
            Some(recipe) => writeln!(f, ". `{recipe}` has every setting.\n"),
            None => writeln!(f, ".\n"),
        }
    }

    fn results(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(scores) = self.scores.as_ref().filter(|scores| !scores.is_empty()) else { return Ok(()) };
        writeln!(f, "## Results\n\nOf the run's validation pictures, one run, as training measured it:\n")?;
        writeln!(f, "| score | value |\n| --- | --- |")?;
        scores.iter().try_for_each(|(name, value)| writeln!(f, "| {name} | {value:.4} |"))?;
        writeln!(f)
    }
}

/// `{"pictures": 6000, "captions": 30000, "sha256": "…"}` as words.
fn told(data: &Value) -> String {
    let Some(data) = data.as_object() else { return data.to_string() };
    let word = |(name, value): (&String, &Value)| match value {
        Value::Number(number) => format!("{number} {name}"),
        Value::String(text) => format!("{name} `{text}`"),
        other => format!("{name} {other}"),
    };
    let (texts, numbers): (Vec<_>, Vec<_>) = data.iter().partition(|(_, value)| value.is_string());
    numbers.into_iter().chain(texts).map(word).collect::<Vec<_>>().join(", ")
}
