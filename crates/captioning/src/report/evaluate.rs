//! Decoding a split and scoring it as the COCO scorer does.

use crate::caption::{Caption, best};
use crate::captioner::Captioner;
use crate::dataset::CaptionDataset;
use crate::ensemble::{CaptionPictures, PreprocessedPicture};
use crate::{Error, Result};
use candlewick_generation::GenerationConfig;
use candlewick_metrics::caption::coco;
use candlewick_vision::{EncoderInput, PictureSource};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// What an evaluation gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Evaluation {
    /// The scores, overall and per image.
    pub scores: coco::Scores,
    /// The share of the captions that are distinct.
    pub distinct: f64,
    /// The share of neighbouring words whose attention peaks at different positions; nothing without attention.
    pub moves: Option<f64>,
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
    captioner: &dyn CaptionPictures,
    set: &CaptionDataset,
    generation: &GenerationConfig,
    folder: &Path,
    progress: &mut dyn FnMut(usize),
) -> Result<Evaluation> {
    // Before hours of decoding, not after.
    std::fs::create_dir_all(folder).map_err(Error::file(folder, "cannot be made"))?;
    let captions = caption_all(captioner, set, generation, progress)?;
    let (_, results) = set.coco(&captions);
    let scores = set.coco_scores(&captions)?;
    let (results_file, scores_file) = (folder.join("results.json"), folder.join("scores.json"));
    let text = serde_json::to_string_pretty(&results).map_err(Error::task)?;
    std::fs::write(&results_file, text + "\n").map_err(Error::file(&results_file, "cannot be written"))?;
    scores.save(&scores_file).map_err(Error::task)?;
    let texts: Vec<&str> = captions.iter().map(|caption| caption.text.as_str()).collect();
    let distinct = coco::distinct(&texts);
    let moves = moves(&captions);
    Ok(Evaluation { scores, distinct, moves, captions, results_file, scores_file })
}

/// The best caption of each picture of a set, as [`evaluate`] scores it; `progress` is told how many pictures are done.
///
/// # Errors
/// When a picture cannot be read; the message names it.
pub fn caption_all(
    captioner: &dyn CaptionPictures,
    set: &CaptionDataset,
    generation: &GenerationConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Caption>> {
    let rows: Vec<usize> = (0..set.pictures.len()).collect();
    let mut captions = Vec::with_capacity(rows.len());
    for rows in rows.chunks(64) {
        let found = match &set.pictures {
            PictureSource::Regions(regions) => captioner.n_best_of(&regions.annotations(rows)?, generation)?,
            pictures => {
                let prepared = |&row: &usize| pictures.reduced(row, |photo| Ok(captioner.preprocess(&photo)))?;
                let prepared: Vec<PreprocessedPicture> = rows.par_iter().map(prepared).collect::<Result<_>>()?;
                captioner.n_best_preprocessed(&prepared, generation)?
            }
        };
        for found in found {
            captions.push(best(found)?);
        }
        progress(captions.len());
    }
    Ok(captions)
}

/// The best caption of each of the first `count` pictures of a set (all for `None`), `batch` pictures at a time.
///
/// # Errors
/// When a picture cannot be read or the captioner does not fit; the message says which.
pub fn decode(
    captioner: &Captioner,
    set: &CaptionDataset,
    count: Option<usize>,
    batch: usize,
    generation: &GenerationConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Caption>> {
    let rows: Vec<usize> = (0..set.pictures.len().min(count.unwrap_or(usize::MAX))).collect();
    let mut captions = Vec::with_capacity(rows.len());
    for rows in rows.chunks(batch.max(1)) {
        let seen = match set.pictures.input(rows)? {
            EncoderInput::Annotations(seen) => seen,
            EncoderInput::Images(images) => captioner.encoder().encode(&images)?,
        };
        let found = captioner.caption_annotations(&seen, generation)?;
        for found in found {
            captions.push(best(found)?);
        }
        progress(captions.len());
    }
    Ok(captions)
}

/// How often attention goes elsewhere from one word to the next.
fn moves(captions: &[Caption]) -> Option<f64> {
    let peaks = |caption: &Caption| -> Vec<(f32, f32)> {
        caption.words.iter().filter_map(|word| Some(word.attention.as_ref()?.peak())).collect()
    };
    let (mut moved, mut all) = (0usize, 0usize);
    for peaks in captions.iter().map(peaks) {
        all += peaks.len().saturating_sub(1);
        moved += peaks.windows(2).filter(|pair| pair[0] != pair[1]).count();
    }
    (all > 0).then(|| moved as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caption::Word;
    use candlewick_vision::AttentionMap;

    #[test]
    fn attention_moves_where_its_peak_does() {
        let word = |weights: &[f32]| Word {
            text: "word".into(),
            log_probability: 0.0,
            attention: Some(AttentionMap { height: 1, width: 2, weights: weights.to_vec() }),
        };
        let caption = |words| Caption { text: String::new(), score: 0.0, words, finished: true };
        let (left, right) = ([0.6, 0.4], [0.1, 0.9]);
        let moving = caption(vec![word(&left), word(&[0.9, 0.1]), word(&right), word(&left), word(&left)]);
        assert_eq!(moves(&[moving, caption(vec![word(&left)])]), Some(0.5));
        assert_eq!(moves(&[caption(vec![])]), None);
    }
}
