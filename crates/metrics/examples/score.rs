//! Scores a few captions against those of people: `cargo run -p candlewick-metrics --example score`.
#![allow(clippy::print_stdout)]

use candlewick_metrics::caption::coco::{self, Caption, Error, References};

fn main() -> Result<(), Error> {
    let references = References::from([
        (1.into(), vec!["A brown dog runs along the beach.".into(), "The dog is running on wet sand.".into()]),
        (2.into(), vec!["A cat sleeps on a red chair.".into(), "The cat's asleep in an armchair.".into()]),
        (3.into(), vec!["Two children play football in a park.".into(), "Kids kick a ball on the grass.".into()]),
    ]);
    let captions = ["a dog runs along the beach", "a cat sleeping on a chair", "a man rides a horse"];
    let results: Vec<Caption> = (1..)
        .zip(captions)
        .map(|(image, caption)| Caption { image_id: image.into(), caption: caption.to_owned() })
        .collect();
    let scores = coco::evaluate(&references, &results)?;

    println!("{:<8}{:>8}{:>20}{:>8}{:>8}", "", "BLEU-4", scores.overall.meteor.name(), "ROUGE-L", "CIDEr");
    let images = scores.per_image.values().map(|image| (image.image_id.to_string(), &image.scores));
    for (name, scores) in images.chain([("all".to_owned(), &scores.overall)]) {
        let (bleu, meteor, rouge, cider) = (scores.bleu_4, scores.meteor.value(), scores.rouge_l, scores.cider);
        println!("{name:<8}{bleu:>8.3}{meteor:>20.3}{rouge:>8.3}{cider:>8.3}");
    }
    println!("distinct captions: {:.0} %", 100.0 * coco::distinct(&captions));
    Ok(())
}
