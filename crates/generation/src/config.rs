//! How sentences are generated, under the names and in the file format of transformers.

use crate::hypothesis::penalised;
use crate::phrases::{MOST_STATES, states};
use candle_core::{Error, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::path::Path;

/// When a beam search is done with a source of which `num_beams` hypotheses have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum EarlyStopping {
    /// `false` in the file: when the best running hypothesis, scored at its present length, is no better than the worst
    /// ended one.
    #[default]
    False,
    /// `true` in the file: at once.
    True,
    /// `"never"` in the file: when no running hypothesis can become better than the worst ended one; with a positive
    /// length penalty it is scored as if the rest, up to `max_new_tokens`, came for free.
    Never,
}

impl JsonSchema for EarlyStopping {
    fn schema_name() -> Cow<'static, str> {
        "BeamSearchStopping".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "When a beam search is done with a source.", "enum": [false, true, "never"] })
    }
}

impl TryFrom<Value> for EarlyStopping {
    type Error = String;
    fn try_from(value: Value) -> std::result::Result<Self, String> {
        match value {
            Value::Bool(false) => Ok(Self::False),
            Value::Bool(true) => Ok(Self::True),
            Value::String(word) if word == "never" => Ok(Self::Never),
            other => Err(format!("early_stopping is {other}; wanted true, false or \"never\"")),
        }
    }
}

impl From<EarlyStopping> for Value {
    fn from(stopping: EarlyStopping) -> Self {
        match stopping {
            EarlyStopping::False => Value::Bool(false),
            EarlyStopping::True => Value::Bool(true),
            EarlyStopping::Never => Value::String("never".into()),
        }
    }
}

/// How sentences are generated: the keys of transformers' `generation_config.json`.
///
/// The default is greedy. Keys that are not listed here are ignored when a file is read, as transformers does; keys
/// that a file lacks, or has as null, take the default. `max_length` and `min_length` are read as `max_new_tokens` and
/// `min_new_tokens` where a file lacks these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct GenerationConfig {
    /// The largest number of words, the end counted; a sentence cut off there is returned with `finished` false. 20.
    pub max_new_tokens: usize,
    /// The end is not taken before this many words. 0.
    pub min_new_tokens: usize,
    /// Hypotheses kept for each source; 1 means no beams. 1.
    pub num_beams: usize,
    /// Groups into which the beams are parted, each searched for itself; 1 means plain beam search. 1.
    pub num_beam_groups: usize,
    /// By how much a word ranks lower for each beam of an earlier group that took it at the same step. 0.
    pub diversity_penalty: f64,
    /// Whether words are drawn at random instead of taking the likeliest. false.
    pub do_sample: bool,
    /// Sampling divides the logits by it: below 1 keener, above 1 more even. 1.
    pub temperature: f64,
    /// Sampling draws among this many likeliest words; 0 means all. 50.
    pub top_k: usize,
    /// Sampling draws among the fewest likeliest words whose probabilities reach this sum; 1 means all. 1.
    pub top_p: f64,
    /// Sampling draws among the words whose surprise is nearest to the entropy, until their probabilities reach this sum; 1 means all. 1.
    #[serde(skip_serializing_if = "is_one")]
    pub typical_p: f64,
    /// Scores are Σ log p / length^length_penalty: above 0 favours long sentences, below 0 short ones. 1.
    pub length_penalty: f64,
    /// When a beam search stops. false.
    pub early_stopping: EarlyStopping,
    /// No n words of this n come twice in a sentence; 0 means that they may. 0.
    pub no_repeat_ngram_size: usize,
    /// Scores of words already written are divided (above 0) or multiplied (below 0) by it; 1 means none. 1.
    pub repetition_penalty: f64,
    /// Hypotheses returned for each source: at most `num_beams`, or the number of samples. 1.
    pub num_return_sequences: usize,
    /// Sequences of words that never come; the end alone is not banned by it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bad_words_ids: Vec<Vec<u32>>,
    /// Sets of sequences of words, of each of which one comes; they are searched for by [`crate::ConstrainedBeamSearch`], which wants more
    /// than one beam. In the file a set of one may be written as its sequence.
    #[serde(skip_serializing_if = "Vec::is_empty", with = "forced")]
    #[schemars(with = "Vec<Value>")]
    pub force_words_ids: Vec<Vec<Vec<u32>>>,
    /// Words that never come, such as the one for unknown words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suppress_tokens: Vec<u32>,
    /// The word before the first; null where there is none, and sentences go on from prompts ([`crate::generate_after`]). 1.
    pub bos_token_id: Option<u32>,
    /// The word that ends a sentence; null where none does. 2.
    pub eos_token_id: Option<u32>,
    /// The word that fills rows of a batch; searches do not use it. 0.
    pub pad_token_id: u32,
    /// The seed of sampling; not a key of transformers, which ignores it. 0.
    pub seed: u64,
}

/// More words, or sentences, than are written in one go, and more beams than any search is better with: without a bound a
/// setting could ask for more memory and time than there is.
const MOST_WORDS: usize = 100_000;
const MOST_BEAMS: usize = 10_000;

fn is_one(share: &f64) -> bool {
    *share == 1.0
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            max_new_tokens: 20,
            min_new_tokens: 0,
            num_beams: 1,
            num_beam_groups: 1,
            diversity_penalty: 0.0,
            do_sample: false,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            typical_p: 1.0,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::False,
            no_repeat_ngram_size: 0,
            repetition_penalty: 1.0,
            num_return_sequences: 1,
            bad_words_ids: Vec::new(),
            force_words_ids: Vec::new(),
            suppress_tokens: Vec::new(),
            bos_token_id: Some(1),
            eos_token_id: Some(2),
            pad_token_id: 0,
            seed: 0,
        }
    }
}

impl GenerationConfig {
    /// The likeliest word at each step.
    pub fn greedy() -> Self {
        Self::default()
    }

    /// A beam search with this many beams.
    pub fn beam(num_beams: usize) -> Self {
        Self { num_beams, ..Self::default() }
    }

    /// Words drawn at random: temperature first, then the `top_k` likeliest (0: all), then those that reach `top_p`.
    pub fn sample(temperature: f64, top_k: usize, top_p: f64) -> Self {
        Self { do_sample: true, temperature, top_k, top_p, ..Self::default() }
    }

    /// These settings with those that are given, by their keys, in their places.
    ///
    /// # Errors
    /// When a key is none of the settings', or a value is not of its kind.
    pub fn with_given(&self, given: serde_json::Map<String, Value>) -> Result<Self> {
        let schema = schemars::schema_for!(Self);
        let known = |key: &str| schema.pointer(&format!("/properties/{key}")).is_some();
        if let Some(key) = given.keys().find(|key| !known(key)) {
            return Err(Error::msg(format!("{key}: no such setting")));
        }
        let mut whole = serde_json::to_value(self).map_err(Error::msg)?;
        if let Some(object) = whole.as_object_mut() {
            object.extend(given);
        }
        serde_json::from_value(whole).map_err(Error::msg)
    }

    /// Reads and validates a `generation_config.json`.
    ///
    /// # Errors
    /// When the file cannot be read, is no JSON object, or has a value that is not valid: one line that names file and
    /// key.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let read = std::fs::read_to_string(path).map_err(|e| e.to_string());
        read.and_then(|text| Self::parse(&text)).map_err(|fault| Error::msg(format!("{}: {fault}", path.display())))
    }

    /// Reads and validates the text of a `generation_config.json`.
    ///
    /// # Errors
    /// When the text is no JSON object, or has a value that is not valid.
    pub fn from_json(text: &str) -> Result<Self> {
        Self::parse(text).map_err(Error::msg)
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let Some(object) = value.as_object_mut() else {
            return Err(format!("a generation config is a JSON object, found {value}"));
        };
        // transformers writes null where it has no value of its own; of these two it means that there is no such word.
        object.retain(|key, value| !value.is_null() || ["bos_token_id", "eos_token_id"].contains(&key.as_str()));
        // What transformers' models of before say; the start of a sentence is not counted.
        for (before, now) in [("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")] {
            if let Some(length) = object.remove(before) {
                usize::deserialize(&length).map_err(|error| format!("{before}: {error}"))?;
                object.entry(now).or_insert(length);
            }
        }
        for (key, value) in object.iter() {
            // Each key is tried on its own first, so that the error can name it.
            let alone = serde_json::Map::from_iter([(key.clone(), value.clone())]);
            serde_json::from_value::<Self>(Value::Object(alone)).map_err(|e| format!("{key}: {e}"))?;
        }
        let config: Self = serde_json::from_value(value).map_err(|e| e.to_string())?;
        config.check()?;
        Ok(config)
    }

    /// Writes a `generation_config.json` that transformers reads too.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = serde_json::to_string_pretty(self).map_err(Error::msg)? + "\n";
        std::fs::write(path, text).map_err(|e| Error::msg(format!("{}: {e}", path.display())))
    }

    /// Checks every value by itself and against the others.
    ///
    /// # Errors
    /// One line that names the key, what is wanted and what was found.
    pub fn validate(&self) -> Result<()> {
        self.check().map_err(Error::msg)
    }

    /// Whether a search ends for which as many sentences ended as it has beams: with the sum of the best running one, the score of
    /// the worst ended one, and after so many words.
    pub(crate) fn stops(&self, best: f64, worst: f64, length: usize) -> bool {
        let promise = match self.early_stopping {
            EarlyStopping::True => return true,
            EarlyStopping::Never if self.length_penalty > 0.0 => self.max_new_tokens,
            _ => length,
        };
        penalised(best, promise, self.length_penalty) <= worst
    }

    fn check(&self) -> Check {
        let positive = |key: &str, value: f64| {
            if value.is_finite() && value > 0.0 { Ok(()) } else { wrong(key, "a number above 0", value) }
        };
        for (key, value) in [
            ("max_new_tokens", self.max_new_tokens),
            ("num_return_sequences", self.num_return_sequences),
            ("num_beams", self.num_beams),
            ("num_beam_groups", self.num_beam_groups),
        ] {
            let most = if key.contains("beam") { MOST_BEAMS } else { MOST_WORDS };
            if value == 0 || value > most {
                return wrong(key, format!("at least 1 and at most {most}"), value);
            }
        }
        positive("temperature", self.temperature)?;
        positive("repetition_penalty", self.repetition_penalty)?;
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return wrong("top_p", "a number above 0 and at most 1", self.top_p);
        }
        if !(self.typical_p > 0.0 && self.typical_p <= 1.0) {
            return wrong("typical_p", "a number above 0 and at most 1", self.typical_p);
        }
        if !self.length_penalty.is_finite() {
            return wrong("length_penalty", "a finite number", self.length_penalty);
        }
        if self.min_new_tokens > self.max_new_tokens {
            return wrong(
                "min_new_tokens",
                format!("at most max_new_tokens = {}", self.max_new_tokens),
                self.min_new_tokens,
            );
        }
        if self.bad_words_ids.iter().any(Vec::is_empty) {
            return wrong("bad_words_ids", "lists of at least one word", "an empty list");
        }
        if !self.force_words_ids.is_empty() {
            self.check_forced()?;
        }
        self.check_search()
    }

    fn check_forced(&self) -> Check {
        if self.force_words_ids.iter().any(|set| set.is_empty() || set.iter().any(Vec::is_empty)) {
            return wrong("force_words_ids", "lists of at least one word", "an empty list");
        }
        let banned = |word: &u32| Some(*word) == self.eos_token_id || self.suppress_tokens.contains(word);
        let never = |phrase: &Vec<u32>| {
            let holds = |bad: &Vec<u32>| phrase.windows(bad.len()).any(|words| words == bad);
            phrase.iter().any(banned) || self.bad_words_ids.iter().any(holds)
        };
        if let Some(set) = self.force_words_ids.iter().find(|set| set.iter().all(never)) {
            return wrong(
                "force_words_ids",
                "words that may come, none of which ends the sentence",
                format!("{set:?}"),
            );
        }
        let states = states(&self.force_words_ids);
        if states > MOST_STATES {
            return Err(format!(
                "generation config: force_words_ids makes {states} states to search in; at most {MOST_STATES} are wanted: name fewer words"
            ));
        }
        if self.do_sample {
            return wrong("do_sample", "false with force_words_ids", true);
        }
        if self.num_beams == 1 {
            return wrong("num_beams", "above 1 with force_words_ids", 1);
        }
        if self.num_beam_groups > 1 {
            return wrong("num_beam_groups", "1 with force_words_ids", self.num_beam_groups);
        }
        Ok(())
    }

    fn check_search(&self) -> Check {
        let sequences = self.num_return_sequences;
        if self.do_sample && self.num_beams > 1 {
            return wrong("num_beams", "1 with do_sample: beams are not sampled", self.num_beams);
        }
        if !self.num_beams.is_multiple_of(self.num_beam_groups) {
            return wrong(
                "num_beam_groups",
                format!("a divisor of num_beams = {}", self.num_beams),
                self.num_beam_groups,
            );
        }
        if !(self.diversity_penalty.is_finite() && self.diversity_penalty >= 0.0) {
            return wrong("diversity_penalty", "a number of at least 0", self.diversity_penalty);
        }
        if self.num_beams > 1 && sequences > self.num_beams {
            return wrong("num_return_sequences", format!("at most num_beams = {}", self.num_beams), sequences);
        }
        if self.num_beams == 1 && !self.do_sample && sequences > 1 {
            return wrong("num_return_sequences", "1 for a greedy search (set num_beams or do_sample)", sequences);
        }
        Ok(())
    }

    /// Checks that the special words are in a vocabulary of this size.
    pub(crate) fn validate_for(&self, vocab_size: usize) -> Result<()> {
        self.validate()?;
        let single = [("bos_token_id", self.bos_token_id), ("eos_token_id", self.eos_token_id)];
        let suppressed = self.suppress_tokens.iter().map(|&word| ("suppress_tokens", word));
        let banned = self.bad_words_ids.iter().flatten().map(|&word| ("bad_words_ids", word));
        let forced = self.force_words_ids.iter().flatten().flatten().map(|&word| ("force_words_ids", word));
        let single = single.into_iter().filter_map(|(key, word)| Some((key, word?)));
        for (key, word) in single.chain(suppressed).chain(banned).chain(forced) {
            if word as usize >= vocab_size {
                return wrong(key, format!("below the vocabulary's size {vocab_size}"), word).map_err(Error::msg);
            }
        }
        Ok(())
    }
}

/// `force_words_ids` as transformers has it: sequences of words that come, and lists of sequences of which one comes.
mod forced {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged, expecting = "wanted a list of words' ids, or a list of such lists of which one comes")]
    enum TeacherForced {
        Phrase(Vec<u32>),
        OneOf(Vec<Vec<u32>>),
    }

    pub fn serialize<S: Serializer>(sets: &[Vec<Vec<u32>>], serializer: S) -> Result<S::Ok, S::Error> {
        let form = |set: &Vec<Vec<u32>>| match set.as_slice() {
            [phrase] => TeacherForced::Phrase(phrase.clone()),
            several => TeacherForced::OneOf(several.to_vec()),
        };
        serializer.collect_seq(sets.iter().map(form))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<Vec<u32>>>, D::Error> {
        let set = |form| match form {
            TeacherForced::Phrase(phrase) => vec![phrase],
            TeacherForced::OneOf(several) => several,
        };
        Ok(Vec::<TeacherForced>::deserialize(deserializer)?.into_iter().map(set).collect())
    }
}

/// Nothing, or the fault in one line.
type Check = std::result::Result<(), String>;

fn wrong(key: &str, wanted: impl std::fmt::Display, found: impl std::fmt::Display) -> Check {
    Err(format!("generation config: {key} must be {wanted}; found {found}"))
}

#[cfg(test)]
mod tests;
