//! `candlewick score`: the COCO scorer by itself, on captions that anybody wrote.

use super::arguments::ScoreArguments;
use super::output::{note, say};
use super::{Failure, evaluate};
use candlewick::data::captions::{self, ImageId, LoadOptions};
use candlewick::metrics::caption::coco::{self, References};

/// Scores captions against references.
///
/// # Errors
/// When a file cannot be read or is of another form, or a caption is of an image that the references lack.
pub fn run(arguments: &ScoreArguments) -> Result<(), Failure> {
    let options = LoadOptions { need_files: false, max_share: arguments.max_share, ..LoadOptions::default() };
    let all = captions::load(&arguments.references, &options)?;
    if !arguments.quiet {
        all.left_out().into_iter().for_each(|line| note!("{line}"));
    }
    let references: References = all.images.into_iter().map(|image| (scorers_id(&image.id), image.captions)).collect();
    let results = coco::load_results(&arguments.results)?;
    let scores = coco::evaluate(&references, &results)?;
    let texts: Vec<&str> = results.iter().map(|result| result.caption.as_str()).collect();
    let distinct = coco::distinct(&texts);
    if let Some(file) = &arguments.out {
        scores.save(file)?;
    }
    if arguments.json {
        let mut object = serde_json::to_value(&scores.overall)?;
        object["distinct"] = distinct.into();
        object["pictures"] = scores.per_image.len().into();
        return say!("{object}");
    }
    evaluate::print_scores(&scores.overall)?;
    say!("distinct          {distinct:.4}")?;
    say!("{} pictures", scores.per_image.len())
}

/// The scorer's name for an image.
fn scorers_id(id: &ImageId) -> coco::ImageId {
    match id {
        ImageId::Number(number) => coco::ImageId::Number(*number),
        ImageId::Text(text) => coco::ImageId::Name(text.clone()),
    }
}
