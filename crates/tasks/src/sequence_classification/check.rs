//! What a recipe may say: settings that go together, and those that do not.

use super::config::{InputKind, OutputKind};
use super::inputs::{
    AddingConfig, ClipsConfig, DataConfig, FramesConfig, LabelledSequences, MovingConfig, ValuesConfig,
};
use super::recipe::{BatchConfig, SequenceClassificationRecipe};
use crate::{Error, Result};
use candlewick_data::tokens::Units;
use std::collections::BTreeMap;

impl SequenceClassificationRecipe {
    /// Refuses what goes with another kind of input or of output.
    pub(super) fn check_kinds(&self) -> Result<()> {
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

    /// Refuses names of labels that there are not, and one name for two.
    pub(super) fn check_names(&self, set: &LabelledSequences) -> Result<()> {
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
}
