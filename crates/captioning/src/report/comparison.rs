//! Captioners side by side: one table of scores, and one page with what each says of the same pictures.

use super::evaluate::Evaluation;
use crate::dataset::CaptionDataset;
use crate::{Error, Result};
use candlewick_pages::{self as pages, ComparedCaption, ComparedPicture, Comparison, ComparisonRow};
use std::path::{Path, PathBuf};

/// The score of a single caption.
const PICTURE_SCORE: &str = "CIDEr";

/// The scores of a comparison.
const SCORES: [&str; 8] = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR_exact_stem", "ROUGE-L", "CIDEr", "distinct"];

impl Evaluation {
    /// The row of a captioner with this evaluation of `set` in a comparison.
    pub fn comparison_row(&self, name: &str, set: &CaptionDataset, training_seconds: Option<f64>) -> ComparisonRow {
        let per_image = |image| Some(self.scores.per_image.get(&image)?.scores.cider);
        let scores = set.coco_ids().map(per_image).chain(std::iter::repeat(None));
        let captions = self.captions.iter().zip(scores);
        let overall = &self.scores.overall;
        let [b1, b2, b3, b4] = [overall.bleu_1, overall.bleu_2, overall.bleu_3, overall.bleu_4];
        ComparisonRow {
            name: name.to_owned(),
            scores: vec![b1, b2, b3, b4, overall.meteor.value(), overall.rouge_l, overall.cider, self.distinct],
            training_seconds,
            captions: captions.map(|(caption, score)| ComparedCaption { text: caption.text.clone(), score }).collect(),
        }
    }
}

/// The scores of captioners as a Markdown table, a row each, in percent.
pub fn comparison_table(rows: &[ComparisonRow]) -> String {
    pages::comparison_table(&SCORES, rows)
}

/// Writes `comparison.md` with the table and `comparison.html` with the captions of `shown` pictures of the set, spread evenly over
/// it, those first whose captions differ most in CIDEr; gives the page's path.
///
/// # Errors
/// When a picture cannot be read or a file cannot be written; the message names it.
pub fn write_comparison(folder: &Path, set: &CaptionDataset, rows: &[ComparisonRow], shown: usize) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).map_err(Error::file(folder, "cannot be written"))?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(Error::file(&path, "cannot be written")).map(|()| path)
    };
    write("comparison.md", comparison_table(rows))?;
    let count = set.pictures.len();
    let step = (count / shown.max(1)).max(1);
    let picture = |index: usize| -> Result<ComparedPicture> {
        let url = set.pictures.reduced(index, |photo| Ok(pages::data_url(&photo)))??;
        let (name, references) = (set.names[index].to_string(), set.references[index].clone());
        Ok(ComparedPicture { index, name, url, references })
    };
    let pictures: Vec<ComparedPicture> = (0..count).step_by(step).take(shown).map(picture).collect::<Result<_>>()?;
    let comparison =
        Comparison { scores: &SCORES, picture_score: PICTURE_SCORE, rows, pictures: count, shown: &pictures };
    write("comparison.html", comparison.page())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::caption::Caption;
    use candlewick_data::captions::Split;
    use candlewick_data::scenes::Scene;
    use candlewick_encoders::Preprocessing;
    use candlewick_metrics::caption::coco;

    #[test]
    fn the_page_has_every_captioners_words_beside_those_of_people() {
        let scenes = (0..3).map(|index| Scene::generate(1, index, Split::Dev)).collect();
        let set = CaptionDataset::scenes(scenes, Preprocessing::unresized());
        let said = |text: &str| Caption { text: text.into(), score: 0.0, words: vec![], finished: true };
        let compared = |name: &str, text: &str| {
            let captions = vec![said(text), said("a dog"), said("a cat")];
            let (references, results) = set.coco(&captions);
            let scores = coco::evaluate(&references, &results).unwrap();
            let (results_file, scores_file) = (PathBuf::new(), PathBuf::new());
            let evaluation = Evaluation { scores, distinct: 1.0, moves: None, captions, results_file, scores_file };
            evaluation.comparison_row(name, &set, Some(130.0))
        };
        let truth = set.references[0][0].clone();
        let all = [compared("right", &truth), compared("wrong <", "a <b>bold</b> claim")];
        let folder = tempfile::tempdir().unwrap();
        let page = std::fs::read_to_string(write_comparison(folder.path(), &set, &all, 2).unwrap()).unwrap();
        assert_eq!(page.matches("<figure>").count(), 2);
        assert!(page.contains("wrong &lt;") && page.contains("a &lt;b&gt;bold&lt;/b&gt; claim"));
        assert!(page.contains(&format!("<b>right</b> {truth} <i>")) && page.contains("data:image/jpeg;base64,"));
        assert!(page.contains("<th>time to train") && page.contains("<td>2 min"));
        let table = std::fs::read_to_string(folder.path().join("comparison.md")).unwrap();
        assert!(
            table.contains("| right | ") && table.lines().all(|line| line.ends_with('|')) && table.contains("2 min")
        );
    }
}
