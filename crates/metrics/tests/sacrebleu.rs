//! BLEU and chrF against sacreBLEU's own figures: a few invented sentences with two references, and whole sets where they are there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use candlewick_metrics::sacrebleu::{Bleu, Chrf, Error, Segment, Smoothing, Tokenizer};
use flate2::read::GzDecoder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

const INVENTED: [[&str; 3]; 5] = [
    ["The cat sat on 3.5 mats -- really?", "The cat sat on 3.5 mats, really.", "A cat was sitting on mats (really)!"],
    ["it is £5, isn't it", "It is £5, is it not?", "it's 5 pounds"],
    ["A dog&amp;a cat.", "A dog & a cat.", "a dog and a cat"],
    ["", "nothing here", "none"],
    ["Über 1,000 «Leute» kamen.", "Etwa 1,000 «Leute» kamen.", "Über tausend Leute kamen an."],
];

fn invented() -> Vec<Segment<'static>> {
    INVENTED.iter().map(|[hypothesis, references @ ..]| Segment { hypothesis, references: references.into() }).collect()
}

fn near(ours: f64, theirs: f64, what: &str) {
    assert!((ours - theirs).abs() <= 5.0000001e-7, "{what}: {ours} is not {theirs}");
}

/// A setting, what sacreBLEU 2.6.0 calls it and gives for the corpus and its second, third and last sentence.
type Case<T> = (T, &'static str, f64, [f64; 3]);

#[test]
fn bleu_with_every_tokenizer_case_and_smoothing() {
    let plain = Bleu::default();
    let smoothed = |smoothing| Bleu { smoothing, ..plain };
    let tokens = |tokenizer| Bleu { tokenizer, ..plain };
    let cases: [Case<Bleu>; 9] = [
        (plain, "mixed|eff:no|tok:13a|smooth:exp", 57.735259, [23.263473, 100.0, 70.710678]),
        (Bleu { lowercase: true, ..plain }, "lc|eff:no|tok:13a|smooth:exp", 62.693096, [38.49815, 100.0, 70.710678]),
        (
            tokens(Tokenizer::International),
            "mixed|eff:no|tok:intl|smooth:exp",
            50.225739,
            [33.031643, 34.572078, 84.089642],
        ),
        (
            tokens(Tokenizer::Character),
            "mixed|eff:no|tok:char|smooth:exp",
            76.861531,
            [55.892854, 61.626071, 92.173249],
        ),
        (tokens(Tokenizer::Space), "mixed|eff:no|tok:none|smooth:exp", 35.000186, [19.357693, 17.799177, 63.89431]),
        (
            smoothed(Smoothing::Floor(0.1)),
            "mixed|eff:no|tok:13a|smooth:floor[0.10]",
            57.735259,
            [15.557222, 100.0, 70.710678],
        ),
        (
            smoothed(Smoothing::Floor(0.25)),
            "mixed|eff:no|tok:13a|smooth:floor[0.25]",
            57.735259,
            [19.562171, 100.0, 70.710678],
        ),
        (
            smoothed(Smoothing::AddK(1.0)),
            "mixed|eff:no|tok:13a|smooth:add-k[1.00]",
            59.45742,
            [30.616452, 100.0, 79.527073],
        ),
        (smoothed(Smoothing::None), "mixed|eff:no|tok:13a|smooth:none", 57.735259, [0.0, 100.0, 70.710678]),
    ];
    let segments = invented();
    for (bleu, signature, corpus, sentences) in cases {
        let score = bleu.corpus(&segments).unwrap();
        assert_eq!(score.signature, format!("nrefs:2|case:{signature}|version:2.6.0"));
        near(score.score, corpus, signature);
        for (row, theirs) in [1, 2, 4].into_iter().zip(sentences) {
            near(bleu.sentence(&segments[row]).unwrap().score, theirs, &format!("{signature} of {row}"));
        }
        let empty = bleu.sentence(&segments[3]).unwrap();
        assert_eq!((empty.score, empty.brevity_penalty), (0.0, 0.0));
        assert!(empty.signature.contains("|eff:yes|"));
    }
    let line = "BLEU = 57.74 84.6/68.2/61.1/50.0 (BP = 0.891 ratio = 0.897 hyp_len = 26 ref_len = 29)";
    assert_eq!(plain.corpus(&segments).unwrap().to_string(), line);
}

#[test]
fn chrf_with_words_and_other_settings() {
    let odd = Chrf { character_order: 4, word_order: 1, beta: 1, lowercase: true, whitespace: true };
    let cases: [Case<Chrf>; 3] = [
        (Chrf::default(), "mixed|eff:yes|nc:6|nw:0|space:no", 65.152280, [49.325935, 64.964728, 79.327716]),
        (Chrf::plus_plus(), "mixed|eff:yes|nc:6|nw:2|space:no", 62.325278, [47.422196, 59.20832, 78.870787]),
        (odd, "lc|eff:yes|nc:4|nw:1|space:yes", 72.970531, [72.014313, 60.702072, 83.152042]),
    ];
    let segments = invented();
    for (chrf, signature, corpus, sentences) in cases {
        let score = chrf.corpus(&segments).unwrap();
        assert_eq!(score.signature, format!("nrefs:2|case:{signature}|version:2.6.0"));
        near(score.score, corpus, signature);
        for (row, theirs) in [1, 2, 4].into_iter().zip(sentences) {
            near(chrf.sentence(&segments[row]).unwrap().score, theirs, &format!("{signature} of {row}"));
        }
        assert_eq!(chrf.sentence(&segments[3]).unwrap().score, 0.0);
    }
    assert_eq!(odd.corpus(&segments).unwrap().to_string(), "chrF1+ = 72.97");
    assert_eq!(Chrf::plus_plus().corpus(&segments).unwrap().to_string(), "chrF2++ = 62.33");
}

#[test]
fn references_may_differ_in_number_and_short_texts_score_as_they_should() {
    let pair = |hypothesis, reference| Segment { hypothesis, references: vec![reference] };
    let mixed = [Segment { hypothesis: "a b c d e", references: vec!["a b c d e", "a"] }, pair("a", "b")];
    let (bleu, chrf) = (Bleu::default().corpus(&mixed).unwrap(), Chrf::default().corpus(&mixed).unwrap());
    assert_eq!(
        format!("{bleu} {}", bleu.signature.split('|').next().unwrap()),
        "BLEU = 95.54 83.3/100.0/100.0/100.0 (BP = 1.000 ratio = 1.000 hyp_len = 6 ref_len = 6) nrefs:var"
    );
    assert_eq!(chrf.to_string(), "chrF2 = 96.67");
    let none = Bleu::default().corpus(&[pair("a b c", "x y z")]).unwrap();
    assert_eq!((none.score, none.precisions, none.brevity_penalty), (0.0, [0.0; 4], 1.0));
    let unsmoothed =
        Bleu { smoothing: Smoothing::None, ..Bleu::default() }.corpus(&[pair("a b x d", "a b c d")]).unwrap();
    assert_eq!((unsmoothed.score, unsmoothed.matches, unsmoothed.ngrams), (0.0, [3, 1, 0, 0], [4, 3, 2, 1]));
    // Two words have no four-grams: a corpus of them scores 0, a sentence by what it has.
    let short = [pair("a b", "a b")];
    assert_eq!(Bleu::default().corpus(&short).unwrap().score, 0.0);
    near(Bleu::default().sentence(&short[0]).unwrap().score, 100.0, "a sentence of two words");
}

#[test]
fn what_cannot_be_scored_is_told() {
    let alone = [Segment { hypothesis: "a", references: vec!["a"] }, Segment { hypothesis: "b", references: vec![] }];
    assert_eq!(Bleu::default().corpus(&alone), Err(Error::NoReferences(1)));
    assert_eq!(Chrf::default().corpus(&[]), Err(Error::NoSegments));
    assert_eq!(Error::NoReferences(1).to_string(), "translation 1 has no reference; give each at least one");
    let wrong = Bleu { smoothing: Smoothing::AddK(f64::NAN), ..Bleu::default() }.corpus(&alone[..1]);
    assert_eq!(wrong.unwrap_err().to_string(), "smoothing is by NaN; wanted a number above 0");
}

#[derive(Deserialize)]
struct Figures {
    hypotheses: String,
    references: String,
    bleu: BTreeMap<String, BleuFigures>,
    chrf: BTreeMap<String, f64>,
    sentence_bleu_first_20: Vec<f64>,
}

#[derive(Deserialize)]
struct BleuFigures {
    score: f64,
    counts: [u64; 4],
    totals: [u64; 4],
    precisions: [f64; 4],
    bp: f64,
    sys_len: usize,
    ref_len: usize,
}

fn lines(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    match path.extension().is_some_and(|ending| ending == "gz") {
        true => drop(GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap()),
        false => text = String::from_utf8(bytes).unwrap(),
    }
    text.strip_suffix('\n').unwrap_or(&text).split('\n').map(str::to_owned).collect()
}

/// The setting that a signature tells.
fn told(signature: &str) -> Bleu {
    let field = |name: &str| signature.split('|').find_map(|field| field.strip_prefix(name)).unwrap();
    Bleu { tokenizer: Tokenizer::parse(field("tok:")).unwrap(), lowercase: field("case:") == "lc", ..Bleu::default() }
}

#[test]
fn whole_sets_equal_sacrebleu_to_the_last_digit() {
    let Some(data) = std::env::var_os("CANDLEWICK_DATA").map(PathBuf::from) else {
        return eprintln!("skipped: CANDLEWICK_DATA is not set");
    };
    let text = std::fs::read_to_string(data.join("sacrebleu/scores.json")).unwrap();
    let all: BTreeMap<String, Figures> = serde_json::from_str(&text).unwrap();
    assert_eq!(all.len(), 6);
    for (name, figures) in all {
        let hypotheses = lines(&data.join("sacrebleu").join(&figures.hypotheses));
        // `first 200 of FILE` or `FILE`.
        let references = lines(&data.join(figures.references.rsplit(' ').next().unwrap()));
        assert!(figures.references.starts_with("first ") || hypotheses.len() == references.len(), "{name}");
        let segments: Vec<Segment> = (hypotheses.iter().zip(&references))
            .map(|(hypothesis, reference)| Segment { hypothesis, references: vec![reference] })
            .collect();
        assert_eq!(segments.len(), hypotheses.len(), "{name}");
        for (signature, theirs) in &figures.bleu {
            let ours = told(signature).corpus(&segments).unwrap();
            assert_eq!(&ours.signature, signature);
            assert_eq!((ours.matches, ours.ngrams), (theirs.counts, theirs.totals), "{name} {signature}");
            assert_eq!((ours.hypothesis_length, ours.reference_length), (theirs.sys_len, theirs.ref_len));
            near(ours.score, theirs.score, signature);
            near(ours.brevity_penalty, theirs.bp, signature);
            ours.precisions.iter().zip(theirs.precisions).for_each(|(&ours, theirs)| near(ours, theirs, signature));
        }
        for (signature, &theirs) in &figures.chrf {
            let ours = Chrf::default().corpus(&segments).unwrap();
            assert_eq!(&ours.signature, signature);
            near(ours.score, theirs, signature);
        }
        for (segment, &theirs) in segments.iter().zip(&figures.sentence_bleu_first_20) {
            near(Bleu::default().sentence(segment).unwrap().score, theirs, segment.hypothesis);
        }
    }
}
