//! The page of an answered question: the picture, the question, where each hop of attention looked, and the answers as bars.

use crate::attention_overlay::fitted;
use crate::embedding::{data_url, escaped};
use crate::heatmap::{HeatScale, Heatmap, overlay};
use crate::{Bar, Bars, ColourScale, Page, Result};
use image::RgbImage;
use std::fmt::Write as _;

/// A question about a picture with its answers.
#[derive(Clone, Copy, Debug)]
pub struct AnswerPage<'a> {
    /// The part of the picture that was seen.
    pub picture: &'a RgbImage,
    /// The question.
    pub question: &'a str,
    /// Where each hop looked; empty where nothing attends.
    pub hops: &'a [Heatmap<'a>],
    /// The answers with their probabilities, the likeliest first.
    pub answers: &'a [Bar<'a>],
}

/// Pictures side by side, as many as there is room for.
const STYLE: &str = ".looked { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0 }
.looked figure { margin: 0; flex: 0 1 20rem; min-width: 9rem }
.looked img { width: 100%; height: auto; display: block }
.looked figcaption { color: var(--faint); font-size: .9rem }
";

impl AnswerPage<'_> {
    /// The picture with the weights of each hop over it, all on one scale.
    pub fn overlays(&self) -> Vec<RgbImage> {
        let (picture, scale) = (fitted(self.picture), HeatScale::of(self.hops.iter().copied()));
        self.hops.iter().map(|hop| overlay(&picture, *hop, scale)).collect()
    }

    /// The page as the content of a file; `overlays` are those of [`AnswerPage::overlays`].
    ///
    /// # Errors
    /// When a picture cannot be written.
    pub fn html(&self, overlays: &[RgbImage]) -> Result<String> {
        let question = escaped(self.question);
        let mut body = format!("<h1>{question}</h1>\n<div class=\"looked\">\n");
        figure(&mut body, &fitted(self.picture), "the picture")?;
        for (hop, drawn) in overlays.iter().enumerate() {
            figure(&mut body, drawn, &format!("hop {} of attention", hop + 1))?;
        }
        body.push_str("</div>\n");
        let scale = ColourScale::Weight { largest: 1.0 };
        body += &Bars { names: "answer", values: "probability", chances: "", scale, bars: self.answers }.html();
        Ok(Page { title: self.question, style: STYLE, body: &body, script: "" }.html())
    }
}

fn figure(body: &mut String, picture: &RgbImage, caption: &str) -> Result<()> {
    let caption = escaped(caption);
    // Writing to a string cannot fail.
    let _ = writeln!(
        body,
        "<figure><img src=\"{}\" alt=\"{caption}\"><figcaption>{caption}</figcaption></figure>",
        data_url(picture)?
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_page_has_the_question_each_hop_and_the_answers() {
        let weights = [0.1, 0.9];
        let hops = [Heatmap { height: 1, width: 2, weights: &weights, peak: (0.75, 0.5) }; 2];
        let answers = [("<red>", 0.75), ("blue", 0.25)];
        let answers = answers.map(|(name, value)| Bar { name, value, chance: None, link: None });
        let picture = RgbImage::new(20, 10);
        let page = AnswerPage { picture: &picture, question: "what colour is \"it\"?", hops: &hops, answers: &answers };
        let overlays = page.overlays();
        assert!(overlays.len() == 2 && overlays.iter().all(|drawn| drawn.dimensions() == (448, 224)));
        let html = page.html(&overlays).unwrap();
        assert!(
            html.contains("<h1>what colour is &quot;it&quot;?</h1>") && html.matches("<img src=\"data:").count() == 3
        );
        assert!(
            html.contains("hop 2 of attention") && html.contains("&lt;red&gt;") && html.contains("<td>0.75"),
            "{html}"
        );
        let still = AnswerPage { hops: &[], ..page };
        assert_eq!(still.html(&still.overlays()).unwrap().matches("<img").count(), 1);
    }
}
