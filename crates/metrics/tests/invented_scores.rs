//! Invented captions against the plain implementation in scripts/fixtures/metrics.py.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candlewick_metrics::caption::cider::Cider;
use candlewick_metrics::caption::meteor::{Matchers, Meteor};
use candlewick_metrics::caption::{MetricScore, Segment, bleu, rouge};
use candlewick_testing::{json, words};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Fixture {
    captions: Vec<Captions>,
    overall: BTreeMap<String, f64>,
    per_image: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
struct Captions {
    references: Vec<String>,
    caption: String,
}

#[test]
fn scores_equal_the_plain_implementation() {
    let fixture: Fixture = json("scores.json");
    let segments: Vec<Segment> = (fixture.captions.iter())
        .map(|c| Segment { references: c.references.iter().map(|r| words(r)).collect(), hypothesis: words(&c.caption) })
        .collect();
    let [bleu_1, bleu_2, bleu_3, bleu_4] = bleu::score(&segments);
    let ours: BTreeMap<&str, MetricScore> = BTreeMap::from([
        ("Bleu_1", bleu_1),
        ("Bleu_2", bleu_2),
        ("Bleu_3", bleu_3),
        ("Bleu_4", bleu_4),
        ("ROUGE_L", rouge::score(&segments)),
        ("CIDEr", Cider::default().score(&segments)),
        ("METEOR_exact", Meteor { matchers: Matchers::Exact }.score(&segments)),
        ("METEOR_exact_stem", Meteor { matchers: Matchers::ExactStem }.score(&segments)),
    ]);
    assert_eq!(ours.len(), fixture.overall.len());
    for (name, score) in ours {
        let wanted = fixture.overall[name];
        assert!((score.corpus - wanted).abs() < 1e-9, "{name}: {} is not {wanted}", score.corpus);
        assert_eq!(score.per_image.len(), segments.len());
        for (i, (our, wanted)) in score.per_image.iter().zip(&fixture.per_image[name]).enumerate() {
            assert!((our - wanted).abs() < 1e-9, "{name} of {:?}: {our} is not {wanted}", segments[i].hypothesis);
        }
    }
}
