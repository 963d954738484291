//! Comparison page: captioners side by side, a table of scores and what each says of the same pictures.

use crate::embedding::escaped;
use std::fmt::Write as _;

/// A captioner in a comparison.
#[derive(Clone, Debug)]
pub struct ComparisonRow {
    /// Its name in table and page.
    pub name: String,
    /// Its scores, a share of 1 for each column.
    pub scores: Vec<f64>,
    /// How long its training took in seconds, where that is known.
    pub training_seconds: Option<f64>,
    /// Its captions, in the order of the set's pictures.
    pub captions: Vec<String>,
}

/// A picture that the page shows.
#[derive(Clone, Debug)]
pub struct ComparedPicture {
    /// Its index in the set.
    pub index: usize,
    /// What it is called.
    pub name: String,
    /// Its address, as [`crate::data_url`] gives it.
    pub url: String,
    /// What people say of it.
    pub references: Vec<String>,
}

impl ComparisonRow {
    /// The cells beside the name: scores in percent, and a time.
    fn cells(&self) -> Vec<String> {
        let seconds = match self.training_seconds {
            Some(seconds) if seconds >= 60.0 => format!("{:.0} min", seconds / 60.0),
            Some(seconds) => format!("{seconds:.0} s"),
            None => String::new(),
        };
        self.scores.iter().map(|score| format!("{:.1}", 100.0 * score)).chain([seconds]).collect()
    }
}

/// What the columns hold: the name, the scores, and a time.
fn header<'a>(scores: &[&'a str]) -> Vec<&'a str> {
    [&["captioner"], scores, &["time to train"]].concat()
}

/// A Markdown table of the scores with these names in percent, a row for each captioner.
pub fn comparison_table(scores: &[&str], rows: &[ComparisonRow]) -> String {
    let header = header(scores);
    let mut table = format!("| {} |\n|{}\n", header.join(" | "), " --- |".repeat(header.len()));
    for row in rows {
        let _ = writeln!(table, "| {} | {} |", row.name, row.cells().join(" | "));
    }
    table
}

const STYLE: &str = "body{font:16px/1.4 sans-serif;margin:2rem auto;max-width:60rem;color:#222}\
    table{border-collapse:collapse}td,th{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:right}\
    td:first-child,th:first-child{text-align:left}figure{display:flex;gap:1.5rem;margin:2rem 0}\
    img{width:224px;height:224px;object-fit:contain;flex:none}figcaption p{margin:.2rem 0}b{display:inline-block;min-width:10rem}\
    .people{color:#777}";

/// The same table as HTML, and some of the `pictures` of the set with what each captioner and people say of them.
pub fn comparison_page(scores: &[&str], rows: &[ComparisonRow], pictures: usize, shown: &[ComparedPicture]) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Captioners compared</title><style>{STYLE}</style>\n\
         <h1>Captioners compared on {pictures} pictures</h1>\n<table><tr><th>{}",
        header(scores).join("<th>")
    );
    for row in rows {
        let _ = write!(html, "\n<tr><td>{}<td>{}", escaped(&row.name), row.cells().join("<td>"));
    }
    html.push_str("</table>\n");
    for picture in shown {
        let name = escaped(&picture.name);
        let _ = write!(html, "<figure><img src=\"{}\" alt=\"{name}\"><figcaption>", picture.url);
        for row in rows {
            let caption = row.captions.get(picture.index).map_or("", String::as_str);
            let _ = write!(html, "<p><b>{}</b> {}</p>", escaped(&row.name), escaped(caption));
        }
        for reference in &picture.references {
            let _ = write!(html, "<p class=\"people\">{}</p>", escaped(reference));
        }
        html.push_str("</figcaption></figure>\n");
    }
    html + "</html>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_captions_are_escaped_and_a_time_has_its_unit() {
        let row = |name: &str, seconds, caption: &str| ComparisonRow {
            name: name.into(),
            scores: vec![0.25],
            training_seconds: seconds,
            captions: vec!["of another picture".into(), caption.into()],
        };
        let rows = [row("a <", Some(130.0), "<b>"), row("b", Some(59.0), "a dog"), row("c", None, "a cat")];
        assert_eq!(
            comparison_table(&["BLEU-1"], &rows).lines().collect::<Vec<_>>(),
            [
                "| captioner | BLEU-1 | time to train |",
                "| --- | --- | --- |",
                "| a < | 25.0 | 2 min |",
                "| b | 25.0 | 59 s |",
                "| c | 25.0 |  |"
            ]
        );
        let picture =
            |index| ComparedPicture { index, name: "\"1\"".into(), url: "u".into(), references: vec!["&".into()] };
        let page = comparison_page(&["BLEU-1"], &rows, 9, &[picture(1), picture(7)]);
        assert!(page.contains("<tr><th>captioner<th>BLEU-1<th>time to train\n<tr><td>a &lt;<td>25.0<td>2 min\n<tr>"));
        assert!(
            page.contains("alt=\"&quot;1&quot;\"")
                && page.contains("<p><b>a &lt;</b> &lt;b&gt;</p><p><b>b</b> a dog</p>")
        );
        assert!(page.contains("<p><b>c</b> </p><p class=\"people\">&amp;</p>") && !page.contains("of another"));
    }
}
