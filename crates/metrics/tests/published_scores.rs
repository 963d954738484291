//! Our scores against those of the original scorers on real captions, corpus and image by image.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::print_stdout)]

use candlewick_metrics::caption::cider::Cider;
use candlewick_metrics::caption::meteor::{Matchers, Meteor};
use candlewick_metrics::caption::{MetricScore, Segment, bleu, rouge};
use candlewick_testing::words;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("CANDLEWICK_DATA").map(|data| PathBuf::from(data).join("caption_metrics"));
    if folder.is_none() {
        eprintln!("skipped: CANDLEWICK_DATA is not set");
    }
    folder
}

/// Every metric by the name the reference file gives it.
fn all(segments: &[Segment]) -> BTreeMap<&'static str, MetricScore> {
    let [bleu_1, bleu_2, bleu_3, bleu_4] = bleu::score(segments);
    BTreeMap::from([
        ("Bleu_1", bleu_1),
        ("Bleu_2", bleu_2),
        ("Bleu_3", bleu_3),
        ("Bleu_4", bleu_4),
        ("ROUGE_L", rouge::score(segments)),
        ("CIDEr", Cider::default().score(segments)),
        ("METEOR_exact", Meteor { matchers: Matchers::Exact }.score(segments)),
        ("METEOR_exact_stem", Meteor { matchers: Matchers::ExactStem }.score(segments)),
    ])
}

#[derive(Deserialize)]
struct Published {
    corpus: BTreeMap<String, f64>,
    per_image: BTreeMap<String, Vec<f64>>,
    refs: Vec<Vec<String>>,
    hyps: Vec<String>,
}

#[test]
fn flickr8k_fifth_human_caption() {
    let Some(folder) = data() else { return };
    let text = std::fs::read_to_string(folder.join("flickr8k_test300_human5th.json")).unwrap();
    let published: Published = serde_json::from_str(&text).unwrap();
    let segments: Vec<Segment> = (published.hyps.iter().zip(&published.refs))
        .map(|(hyp, refs)| Segment { hypothesis: words(hyp), references: refs.iter().map(|r| words(r)).collect() })
        .collect();
    let ours = all(&segments);
    assert_eq!(ours.len(), 8);
    for (name, score) in ours {
        let corpus = published.corpus[name];
        assert!((score.corpus - corpus).abs() < 1e-9, "{name}: {} is not {corpus}", score.corpus);
        assert_eq!(score.per_image.len(), published.per_image[name].len());
        for (i, (&our, &their)) in score.per_image.iter().zip(&published.per_image[name]).enumerate() {
            assert!((our - their).abs() < 1e-9, "{name} of {:?}: {our} is not {their}", segments[i]);
        }
    }
}

#[test]
fn nlg_eval_example() {
    let Some(folder) = data() else { return };
    let lines = |name| {
        let text: String = std::fs::read_to_string(folder.join("nlg_eval").join(name)).unwrap();
        text.lines().map(words).collect::<Vec<_>>()
    };
    let references = lines("ref1.txt").into_iter().zip(lines("ref2.txt"));
    let segments: Vec<Segment> = lines("hyp.txt")
        .into_iter()
        .zip(references)
        .map(|(hypothesis, (one, two))| Segment { hypothesis, references: vec![one, two] })
        .collect();
    let ours = all(&segments);
    let published = [
        ("Bleu_1", 0.550000),
        ("Bleu_2", 0.428174),
        ("Bleu_3", 0.284043),
        ("Bleu_4", 0.201143),
        ("ROUGE_L", 0.522104),
        ("CIDEr", 1.242192),
    ];
    for (name, value) in published {
        assert!((ours[name].corpus - value).abs() < 1e-6, "{name}: {} is not {value}", ours[name].corpus);
    }
    // The published METEOR, 0.295797, is the full one; without synonyms and paraphrases it cannot be higher.
    assert!(ours["METEOR_exact_stem"].corpus < 0.295797);
}
