//! Comparison page: captioners side by side, a table of scores and what each says of the same pictures.

use crate::Page;
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
    pub captions: Vec<ComparedCaption>,
}

/// What a captioner says of a picture.
#[derive(Clone, Debug)]
pub struct ComparedCaption {
    /// The sentence.
    pub text: String,
    /// How good it is, a share of 1, where that is known of a single caption.
    pub score: Option<f64>,
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

/// What a comparison's page shows.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'a> {
    /// The names of the rows' scores.
    pub scores: &'a [&'a str],
    /// The name of the captions' scores.
    pub picture_score: &'a str,
    /// The captioners.
    pub rows: &'a [ComparisonRow],
    /// How many pictures the set has.
    pub pictures: usize,
    /// Those of them that the page shows.
    pub shown: &'a [ComparedPicture],
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

/// Readable on a phone: the table alone scrolls sideways, and pictures stand above their captions where there is no room beside them.
const STYLE: &str = "\
    .scores{overflow-x:auto}table{border-collapse:collapse}\
    td,th{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}\
    th{white-space:normal;overflow-wrap:normal;vertical-align:bottom}\
    td:first-child,th:first-child{text-align:left;padding-left:0;min-width:6rem;white-space:normal;overflow-wrap:anywhere}\
    @media(max-width:40rem){td,th{padding:.25rem .3rem;font-size:.85rem}}\
    figure{display:flex;flex-wrap:wrap;gap:.5rem 1.5rem;margin:1.5rem 0;padding-top:1.5rem;border-top:1px solid var(--line)}\
    img{width:20rem;max-width:100%;height:auto;align-self:flex-start}figcaption{flex:1 1 16rem;min-width:0}\
    figcaption p{margin:0 0 .5rem}b{display:block;font-size:.85rem}i{font-style:normal;color:var(--faint);font-size:.85rem;white-space:nowrap}\
    .people,.note{color:var(--faint)}";

impl Comparison<'_> {
    /// The page: the table as HTML, and the pictures with what each captioner and people say of them, those first whose captions' scores
    /// differ most.
    pub fn page(&self) -> String {
        let Self { scores, picture_score, rows, pictures, shown } = self;
        let mut html = format!(
            "<h1>Captioners compared on {pictures} pictures</h1>\n<div class=\"scores\"><table><tr><th>{}",
            header(scores).join("<th>")
        );
        for row in *rows {
            let _ = write!(html, "\n<tr><td>{}<td>{}", escaped(&row.name), row.cells().join("<td>"));
        }
        html.push_str("</table></div>\n");
        let mut shown: Vec<(f64, &ComparedPicture)> =
            shown.iter().map(|picture| (self.difference(picture.index), picture)).collect();
        // A stable order keeps pictures without a difference as they are in the set.
        shown.sort_by(|a, b| b.0.total_cmp(&a.0));
        if shown.iter().any(|(difference, _)| *difference > 0.0) {
            let note = "pictures, spread evenly over the set; those whose captions differ most in";
            let _ = writeln!(html, "<p class=\"note\">{} {note} {picture_score} come first.</p>", shown.len());
        }
        shown.iter().for_each(|(_, picture)| self.figure(&mut html, picture));
        Page { title: "Captioners compared", style: STYLE, body: &html, script: "" }.html()
    }

    fn captions(&self, index: usize) -> impl Iterator<Item = (&ComparisonRow, Option<&ComparedCaption>)> {
        self.rows.iter().map(move |row| (row, row.captions.get(index)))
    }

    /// Between the best and the worst caption of a picture.
    fn difference(&self, index: usize) -> f64 {
        let scores = self.captions(index).filter_map(|(_, caption)| caption?.score).filter(|score| score.is_finite());
        let (worst, best) = scores.fold((f64::MAX, f64::MIN), |(low, high), score| (low.min(score), high.max(score)));
        (best - worst).max(0.0)
    }

    fn figure(&self, html: &mut String, picture: &ComparedPicture) {
        let name = escaped(&picture.name);
        let _ = write!(html, "<figure><img src=\"{}\" alt=\"{name}\"><figcaption>", picture.url);
        for (row, caption) in self.captions(picture.index) {
            let text = caption.map_or("", |caption| &caption.text);
            let _ = write!(html, "<p><b>{}</b> {}", escaped(&row.name), escaped(text));
            if let Some(score) = caption.and_then(|caption| caption.score) {
                let _ = write!(html, " <i>{} {:.1}</i>", self.picture_score, 100.0 * score);
            }
            html.push_str("</p>");
        }
        for reference in &picture.references {
            let _ = write!(html, "<p class=\"people\">{}</p>", escaped(reference));
        }
        html.push_str("</figcaption></figure>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, score: Option<f64>) -> ComparedCaption {
        ComparedCaption { text: text.into(), score }
    }

    fn picture(index: usize) -> ComparedPicture {
        ComparedPicture { index, name: "\"1\"".into(), url: format!("u{index}"), references: vec!["&".into()] }
    }

    #[test]
    fn pictures_whose_captions_differ_most_come_first() {
        let row = |name: &str, scores: [Option<f64>; 4]| ComparisonRow {
            name: name.into(),
            scores: vec![],
            training_seconds: None,
            captions: scores.map(|score| said("a dog", score)).into(),
        };
        let rows =
            [row("a", [Some(0.5), Some(0.1), None, Some(1.2)]), row("b", [Some(0.4), Some(0.9), Some(3.0), Some(1.2)])];
        let shown = [picture(0), picture(1), picture(2), picture(3)];
        let page = |rows: &[ComparisonRow]| {
            Comparison { scores: &[], picture_score: "CIDEr", rows, pictures: 9, shown: &shown }.page()
        };
        let order = |page: &str| -> Vec<usize> {
            let mut found: Vec<(usize, usize)> =
                (0..4).map(|index| (page.find(&format!("\"u{index}\"")).unwrap_or_default(), index)).collect();
            found.sort();
            found.into_iter().map(|(_, index)| index).collect()
        };
        let both = page(&rows);
        assert_eq!(order(&both), [1, 0, 2, 3]);
        assert!(
            both.contains("4 pictures, spread evenly over the set") && both.contains("<i>CIDEr 90.0</i>"),
            "{both}"
        );
        let one = page(&rows[..1]);
        assert!(order(&one) == [0, 1, 2, 3] && !one.contains("come first"), "{one}");
    }

    #[test]
    fn the_page_fits_a_phone_and_the_dark() {
        let page = Comparison { scores: &[], picture_score: "CIDEr", rows: &[], pictures: 0, shown: &[] }.page();
        for part in ["width=device-width", "prefers-color-scheme:dark", "max-width:100%", "overflow-x:auto"] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn names_and_captions_are_escaped_and_a_time_has_its_unit() {
        let row = |name: &str, seconds, caption: &str| ComparisonRow {
            name: name.into(),
            scores: vec![0.25],
            training_seconds: seconds,
            captions: vec![said("of another picture", None), said(caption, None)],
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
        let shown = [picture(1), picture(7)];
        let page =
            Comparison { scores: &["BLEU-1"], picture_score: "CIDEr", rows: &rows, pictures: 9, shown: &shown }.page();
        assert!(page.contains("<tr><th>captioner<th>BLEU-1<th>time to train\n<tr><td>a &lt;<td>25.0<td>2 min\n<tr>"));
        assert!(
            page.contains("alt=\"&quot;1&quot;\"")
                && page.contains("<p><b>a &lt;</b> &lt;b&gt;</p><p><b>b</b> a dog</p>")
        );
        assert!(page.contains("<p><b>c</b> </p><p class=\"people\">&amp;</p>") && !page.contains("of another"));
    }
}
