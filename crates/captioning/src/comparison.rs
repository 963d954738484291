//! Captioners side by side: one table of scores, and one page with what each says of the same pictures.

use crate::dataset::Set;
use crate::evaluate::Evaluation;
use crate::pictures::{data_url, escaped};
use crate::{Error, Result};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A captioner that was evaluated, and what it is called.
pub struct Compared {
    /// Its name in table and page.
    pub name: String,
    /// What came out, on the same set as that of the others.
    pub evaluation: Evaluation,
    /// How long its training took in seconds, where that is known.
    pub training_seconds: Option<f64>,
}

/// What the columns beside the name hold: scores in percent, and a time.
const COLUMNS: [&str; 9] =
    ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr", "distinct", "time to train"];

/// The scores of captioners as a Markdown table, a row each, in percent.
pub fn comparison_table(compared: &[Compared]) -> String {
    let mut table = format!("| captioner | {} |\n|{}\n", COLUMNS.join(" | "), " --- |".repeat(1 + COLUMNS.len()));
    for one in compared {
        let _ = writeln!(table, "| {} | {} |", one.name, cells(one).join(" | "));
    }
    table
}

/// A row's cells beside the name.
fn cells(one: &Compared) -> Vec<String> {
    let overall = &one.evaluation.scores.overall;
    let [b1, b2, b3, b4] = [overall.bleu_1, overall.bleu_2, overall.bleu_3, overall.bleu_4];
    let scores = [b1, b2, b3, b4, overall.meteor, overall.rouge_l, overall.cider, one.evaluation.distinct];
    let scores = scores.iter().map(|value| format!("{:.1}", 100.0 * value));
    scores.chain([duration(one.training_seconds)]).collect()
}

fn duration(seconds: Option<f64>) -> String {
    match seconds {
        Some(seconds) if seconds >= 60.0 => format!("{:.0} min", seconds / 60.0),
        Some(seconds) => format!("{seconds:.0} s"),
        None => String::new(),
    }
}

/// Writes `comparison.md` with the table and `comparison.html` with the captions of `shown` pictures of the set, spread evenly over
/// it; gives the page's path.
///
/// # Errors
/// When a picture cannot be read or a file cannot be written; the message names it.
pub fn write_comparison(folder: &Path, set: &Set, compared: &[Compared], shown: usize) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(Error::io(&path)).map(|()| path)
    };
    write("comparison.md", comparison_table(compared))?;
    write("comparison.html", page(set, compared, shown)?)
}

const STYLE: &str = "body{font:16px/1.4 sans-serif;margin:2rem auto;max-width:60rem;color:#222}\
    table{border-collapse:collapse}td,th{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:right}\
    td:first-child,th:first-child{text-align:left}figure{display:flex;gap:1.5rem;margin:2rem 0}\
    img{width:224px;height:224px;object-fit:contain;flex:none}figcaption p{margin:.2rem 0}b{display:inline-block;min-width:10rem}\
    .people{color:#777}";

fn page(set: &Set, compared: &[Compared], shown: usize) -> Result<String> {
    let count = set.pictures.len();
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Captioners compared</title><style>{STYLE}</style>\n\
         <h1>Captioners compared on {count} pictures</h1>\n<table><tr><th>captioner"
    );
    for name in COLUMNS {
        let _ = write!(html, "<th>{name}");
    }
    for one in compared {
        let _ = write!(html, "\n<tr><td>{}", escaped(&one.name));
        for cell in cells(one) {
            let _ = write!(html, "<td>{cell}");
        }
    }
    html.push_str("</table>\n");
    let step = (count / shown.max(1)).max(1);
    for row in (0..count).step_by(step).take(shown) {
        let picture = set.pictures.reduced(row, |photo| data_url(&photo))?;
        let _ = write!(
            html,
            "<figure><img src=\"{picture}\" alt=\"{}\"><figcaption>",
            escaped(&set.names[row].to_string())
        );
        for one in compared {
            let caption = one.evaluation.captions.get(row).map_or("", |caption| caption.text.as_str());
            let _ = write!(html, "<p><b>{}</b> {}</p>", escaped(&one.name), escaped(caption));
        }
        for reference in &set.references[row] {
            let _ = write!(html, "<p class=\"people\">{}</p>", escaped(reference));
        }
        html.push_str("</figcaption></figure>\n");
    }
    Ok(html + "</html>\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::captioner::Caption;
    use candlewick_data::captions::Split;
    use candlewick_data::scenes::Scene;
    use candlewick_encoders::Preprocessing;
    use candlewick_metrics::coco;

    #[test]
    fn the_page_has_every_captioners_words_beside_those_of_people() {
        let scenes = (0..3).map(|index| Scene::generate(1, index, Split::Dev)).collect();
        let set = Set::scenes(scenes, Preprocessing::unresized());
        let said = |text: &str| Caption { text: text.into(), score: 0.0, words: vec![], finished: true };
        let compared = |name: &str, text: &str| {
            let captions = vec![said(text), said("a dog"), said("a cat")];
            let (references, results) = set.coco(&captions);
            let scores = coco::evaluate(&references, &results).unwrap();
            let (results_file, scores_file) = (PathBuf::new(), PathBuf::new());
            let evaluation = Evaluation { scores, distinct: 1.0, moves: None, captions, results_file, scores_file };
            Compared { name: name.into(), evaluation, training_seconds: Some(130.0) }
        };
        let truth = set.references[0][0].clone();
        let all = [compared("right", &truth), compared("wrong <", "a <b>bold</b> claim")];
        let folder = tempfile::tempdir().unwrap();
        let page = std::fs::read_to_string(write_comparison(folder.path(), &set, &all, 2).unwrap()).unwrap();
        assert_eq!(page.matches("<figure>").count(), 2);
        assert!(page.contains("wrong &lt;") && page.contains("a &lt;b&gt;bold&lt;/b&gt; claim"));
        assert!(page.contains(&format!("<b>right</b> {truth}")) && page.contains("data:image/png;base64,"));
        assert!(page.contains("<th>time to train") && page.contains("<td>2 min"));
        let table = std::fs::read_to_string(folder.path().join("comparison.md")).unwrap();
        assert!(
            table.contains("| right | ") && table.lines().all(|line| line.ends_with('|')) && table.contains("2 min")
        );
    }
}
