//! COCO's caption files and its evaluation: captions and results in, `{"overall": …, "imgToEval": …}` out.

use super::cider::{Cider, DocumentFrequency};
use super::meteor::{Matchers, Meteor};
use super::segment::{MetricScore, Segment};
use super::tokenizer::{self, words};
use super::{bleu, rouge};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// What goes wrong with files of captions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not the JSON it should be.
    #[error("{path}: not COCO {wanted}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
        /// Why it does not.
        source: serde_json::Error,
    },
    /// A result names an image without references.
    #[error("image {0} has a result but no reference captions; score results against the captions of the same split")]
    NoReferences(ImageId),
    /// Two results name one image.
    #[error("image {0} has more than one result; keep one caption an image")]
    Duplicate(ImageId),
    /// There is nothing to score.
    #[error("no results to score; give at least one caption")]
    NoResults,
}

/// An image's name in a caption file: COCO's are integers, other sets' file names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ImageId {
    /// A number, as in COCO.
    Number(i64),
    /// A name, as in Flickr8k.
    Name(String),
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl From<i64> for ImageId {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for ImageId {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for ImageId {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

/// A caption of an image: an entry of a COCO results file, or an annotation of a captions file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caption {
    /// The image.
    pub image_id: ImageId,
    /// The caption as written, not tokenised.
    pub caption: String,
}

/// The reference captions of each image, not tokenised.
pub type References = BTreeMap<ImageId, Vec<String>>;

/// Reads a COCO results file: `[{"image_id": 42, "caption": "a dog"}, …]`.
///
/// Fails, with the file's name, if it cannot be read or holds anything else.
pub fn load_results(path: impl AsRef<Path>) -> Result<Vec<Caption>, Error> {
    load(path.as_ref(), "results, [{\"image_id\": …, \"caption\": …}, …]")
}

/// Reads a COCO captions file: `{"annotations": [{"image_id": 42, "caption": "a dog"}, …], …}`; other fields are skipped.
///
/// Fails, with the file's name, if it cannot be read or holds anything else.
pub fn load_references(path: impl AsRef<Path>) -> Result<References, Error> {
    #[derive(Deserialize)]
    struct File {
        annotations: Vec<Caption>,
    }
    let file: File = load(path.as_ref(), "captions, {\"annotations\": [{\"image_id\": …, \"caption\": …}, …]}")?;
    let mut references = References::new();
    for Caption { image_id, caption } in file.annotations {
        references.entry(image_id).or_default().push(caption);
    }
    Ok(references)
}

fn load<T: DeserializeOwned>(path: &Path, wanted: &'static str) -> Result<T, Error> {
    let text = std::fs::read(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    // Some editors put a byte order mark before the text.
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&text);
    serde_json::from_slice(text).map_err(|source| Error::Json { path: path.to_owned(), wanted, source })
}

/// The scores of a corpus, under the COCO scorer's names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Overall {
    /// BLEU-1.
    #[serde(rename = "Bleu_1")]
    pub bleu_1: f64,
    /// BLEU-2.
    #[serde(rename = "Bleu_2")]
    pub bleu_2: f64,
    /// BLEU-3.
    #[serde(rename = "Bleu_3")]
    pub bleu_3: f64,
    /// BLEU-4.
    #[serde(rename = "Bleu_4")]
    pub bleu_4: f64,
    /// METEOR under the name of its matchers, `METEOR_exact_stem`: not comparable with full METEOR 1.5.
    #[serde(flatten)]
    pub meteor: MeteorScore,
    /// ROUGE-L.
    #[serde(rename = "ROUGE_L")]
    pub rouge_l: f64,
    /// CIDEr-D.
    #[serde(rename = "CIDEr")]
    pub cider: f64,
}

/// A METEOR score with a few of its matchers, which its name says: it is lower than full METEOR 1.5's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum MeteorScore {
    /// With the exact matcher.
    #[serde(rename = "METEOR_exact")]
    Exact(f64),
    /// With the exact and stem matchers.
    #[serde(rename = "METEOR_exact_stem")]
    ExactStem(f64),
}

impl MeteorScore {
    fn new(matchers: Matchers, value: f64) -> Self {
        match matchers {
            Matchers::Exact => Self::Exact(value),
            Matchers::ExactStem => Self::ExactStem(value),
        }
    }

    /// What the score is called in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact(_) => "METEOR_exact",
            Self::ExactStem(_) => "METEOR_exact_stem",
        }
    }

    /// The score, in [0, 1].
    pub fn value(self) -> f64 {
        match self {
            Self::Exact(value) | Self::ExactStem(value) => value,
        }
    }
}

/// The scores of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageScores {
    /// The image.
    pub image_id: ImageId,
    /// Its scores.
    #[serde(flatten)]
    pub scores: Overall,
}

/// An evaluation, which serialises to COCO's `{"overall": {…}, "imgToEval": {"42": {…}, …}}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Scores {
    /// The corpus's scores.
    pub overall: Overall,
    /// Each image's.
    #[serde(rename = "imgToEval")]
    pub per_image: BTreeMap<ImageId, ImageScores>,
}

impl Scores {
    /// Writes the scores as COCO's evaluation file; fails, with the file's name, if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let failed = |source| Error::File { path: path.to_owned(), source };
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        std::fs::write(path, text).map_err(failed)
    }
}

/// The COCO scorer and its settings; the default is what [`evaluate`] uses.
#[derive(Clone, Debug)]
pub struct Scorer {
    /// Whether captions are tokenised like PTBTokenizer; if not, they are taken as tokens joined by spaces.
    pub tokenize: bool,
    /// Which words METEOR may pair.
    pub meteor: Meteor,
    /// The CIDEr variant.
    pub cider: Cider,
    /// Document frequencies for CIDEr; `None` counts them over the references of the images scored.
    pub document_frequency: Option<DocumentFrequency>,
}

impl Default for Scorer {
    fn default() -> Self {
        Self { tokenize: true, meteor: Meteor::default(), cider: Cider::default(), document_frequency: None }
    }
}

/// Scores `results` against `references` as the COCO scorer does: the images are those with a result.
///
/// Fails if there are no results, an image has two, or a result's image has no references.
pub fn evaluate(references: &References, results: &[Caption]) -> Result<Scores, Error> {
    Scorer::default().evaluate(references, results)
}

impl Scorer {
    /// [`evaluate`] with these settings.
    pub fn evaluate(&self, references: &References, results: &[Caption]) -> Result<Scores, Error> {
        if results.is_empty() {
            return Err(Error::NoResults);
        }
        let mut captions = BTreeMap::new();
        for result in results {
            if captions.insert(&result.image_id, &result.caption).is_some() {
                return Err(Error::Duplicate(result.image_id.clone()));
            }
        }
        let mut human = Vec::with_capacity(captions.len());
        for &id in captions.keys() {
            let captions = references.get(id).filter(|captions| !captions.is_empty());
            human.push(captions.ok_or_else(|| Error::NoReferences(id.clone()))?);
        }
        let lines = self.lines(&captions.values().copied().collect::<Vec<_>>());
        let mut human_lines = self.lines(&human.iter().copied().flatten().collect::<Vec<_>>()).into_iter();
        let mut segments = Vec::with_capacity(captions.len());
        let mut rouge = Vec::with_capacity(captions.len());
        for (line, human) in lines.into_iter().zip(human) {
            let lines: Vec<String> = human_lines.by_ref().take(human.len()).collect();
            // A token with a space inside is one word to ROUGE-L and two to the others.
            rouge.push(rouge::line_score(&line, &lines));
            let tokens = |line: &String| words(line).map(str::to_owned).collect();
            segments.push(Segment { references: lines.iter().map(tokens).collect(), hypothesis: tokens(&line) });
        }
        let rouge = MetricScore::mean_of(rouge);
        Ok(self.score(&captions.into_keys().collect::<Vec<_>>(), &segments, &rouge))
    }

    /// The tokens of captions, each followed by the next, joined by spaces.
    fn lines(&self, captions: &[&String]) -> Vec<String> {
        if !self.tokenize {
            return captions.iter().map(|caption| words(caption).collect::<Vec<_>>().join(" ")).collect();
        }
        let next = captions.iter().skip(1).map(|next| next.as_str()).chain([""]);
        captions.iter().zip(next).map(|(caption, next)| tokenizer::line_before(caption, next)).collect()
    }

    fn score(&self, ids: &[&ImageId], segments: &[Segment], rouge: &MetricScore) -> Scores {
        let bleu = bleu::score(segments);
        let meteor = self.meteor.score(segments);
        let cider = match &self.document_frequency {
            Some(frequency) => self.cider.score_with(segments, frequency),
            None => self.cider.score(segments),
        };
        let named = |[bleu_1, bleu_2, bleu_3, bleu_4]: [f64; 4], meteor, rouge_l, cider| Overall {
            bleu_1,
            bleu_2,
            bleu_3,
            bleu_4,
            meteor: MeteorScore::new(self.meteor.matchers, meteor),
            rouge_l,
            cider,
        };
        let per_image = ids.iter().enumerate().map(|(i, &id)| {
            let bleu = bleu.each_ref().map(|b| b.per_image[i]);
            let scores = named(bleu, meteor.per_image[i], rouge.per_image[i], cider.per_image[i]);
            (id.clone(), ImageScores { image_id: id.clone(), scores })
        });
        let overall = named(bleu.each_ref().map(|b| b.corpus), meteor.corpus, rouge.corpus, cider.corpus);
        Scores { per_image: per_image.collect(), overall }
    }
}

/// The share of captions that differ from all others, counting each distinct caption once: distinct / all; 0 for none.
///
/// A measure of diversity: 1 where every image has a caption of its own.
pub fn distinct<S: AsRef<str>>(captions: &[S]) -> f64 {
    let distinct: HashSet<&str> = captions.iter().map(AsRef::as_ref).collect();
    distinct.len() as f64 / captions.len().max(1) as f64
}
