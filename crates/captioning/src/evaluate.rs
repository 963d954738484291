//! Decoding a split and scoring it as the COCO scorer does.

use crate::captioner::{Caption, Captioner};
use crate::dataset::{Input, Set};
use crate::ensemble::Describe;
use crate::{Error, Result};
use candlewick_metrics::coco;
use candlewick_parameters::Mode;
use candlewick_recurrent::decoding::GenerationConfig;
use image::RgbImage;
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// What an evaluation gives.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The scores, overall and per image.
    pub scores: coco::Scores,
    /// The share of the captions that are distinct.
    pub distinct: f64,
    /// The captions, in the order of the set.
    pub captions: Vec<Caption>,
    /// COCO's result file: `[{"image_id": …, "caption": …}]`.
    pub results_file: PathBuf,
    /// COCO's score file: `{"overall": {…}, "imgToEval": {…}}`.
    pub scores_file: PathBuf,
}

/// Captions all pictures of a set by decoding, scores them, and writes COCO's result and score files into `folder`.
///
/// `progress` is told how many pictures are done.
///
/// # Errors
/// When a picture cannot be read or a file cannot be written; the message names it.
pub fn evaluate(
    captioner: &dyn Describe,
    set: &Set,
    generation: &GenerationConfig,
    folder: &Path,
    progress: &mut dyn FnMut(usize),
) -> Result<Evaluation> {
    let rows: Vec<usize> = (0..set.pictures.len()).collect();
    let mut captions = Vec::with_capacity(rows.len());
    for rows in rows.chunks(64) {
        let pictures: Vec<RgbImage> = rows.par_iter().map(|&row| set.pictures.photo(row)).collect::<Result<_>>()?;
        let found = captioner.n_best(&pictures, generation)?;
        captions.extend(found.into_iter().filter_map(|captions| captions.into_iter().next()));
        progress(captions.len());
    }
    let (references, results) = set.coco(&captions);
    let scores = coco::evaluate(&references, &results)?;
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let (results_file, scores_file) = (folder.join("results.json"), folder.join("scores.json"));
    let text = serde_json::to_string_pretty(&results).map_err(|error| Error::Config(error.to_string()))?;
    std::fs::write(&results_file, text + "\n").map_err(Error::io(&results_file))?;
    scores.save(&scores_file)?;
    let texts: Vec<&str> = captions.iter().map(|caption| caption.text.as_str()).collect();
    let distinct = coco::distinct(&texts);
    Ok(Evaluation { scores, distinct, captions, results_file, scores_file })
}

/// The best caption of each of the first `count` pictures of a set (all for `None`), `batch` pictures at a time.
///
/// # Errors
/// When a picture cannot be read or the captioner does not fit; the message says which.
pub fn decode(
    captioner: &Captioner,
    set: &Set,
    count: Option<usize>,
    batch: usize,
    generation: &GenerationConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Caption>> {
    let rows: Vec<usize> = (0..set.pictures.len().min(count.unwrap_or(usize::MAX))).collect();
    let mut captions = Vec::with_capacity(rows.len());
    for rows in rows.chunks(batch.max(1)) {
        let (seen, shape) = match set.pictures.input(rows)? {
            Input::Annotations(annotations) => (annotations, set.pictures.map_shape()),
            Input::Images(images) => captioner.annotations(&images.to_device(captioner.device())?, &mut Mode::Eval)?,
        };
        let found = captioner.describe(&seen, shape, generation)?;
        captions.extend(found.into_iter().filter_map(|captions| captions.into_iter().next()));
        progress(captions.len());
    }
    Ok(captions)
}
