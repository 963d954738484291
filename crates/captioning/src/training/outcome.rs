//! What is told of a captioner once it is trained: captions of pictures that it never saw, where it looked, and its scores.

use super::recipe::CaptioningRecipe;
use super::task::CaptioningTask;
use crate::Result;
use crate::captioner::Captioner;
use crate::regions::place_regions;
use crate::report::decode;
use crate::report::write_attention;
use candle_core::Device;
use candlewick_data::Note;
use candlewick_training::{Outcome, Report};
use candlewick_vision::PictureSource;
use std::path::{Path, PathBuf};

/// Pictures whose captions are told and whose attention is drawn.
const SHOWN: usize = 3;

/// Pictures that are captioned at a time.
const BATCH: usize = 64;

/// The best checkpoint's captions of the first pictures of the dev set, and its scores on all of it.
pub(crate) fn outcome(
    recipe: &CaptioningRecipe,
    task: &CaptioningTask,
    report: &Report,
    out: &Path,
    device: &Device,
    note: &mut dyn FnMut(Note),
) -> Result<Outcome> {
    let captioner = Captioner::open(&report.best, recipe.encoder.pretrained.as_deref(), device)?;
    let mut faults = Vec::new();
    let lines = show(task, &captioner, out, &mut faults)?;
    let total = task.dev().pictures.len();
    let mut progress = |done| note(Note::progress("captioning", done, total));
    progress(0);
    let captions = decode(&captioner, task.dev(), None, BATCH, captioner.generation(), &mut progress)?;
    let scores = task.dev().scores(&captions)?;
    Ok(Outcome { faults, lines, scores, split: None, files: vec![("attention", out.join("attention"))] })
}

/// Captions the first pictures of the dev set and draws where the network looked.
fn show(task: &CaptioningTask, captioner: &Captioner, out: &Path, faults: &mut Vec<String>) -> Result<Vec<String>> {
    let dev = task.dev();
    let mut lines = Vec::new();
    let captions = decode(captioner, dev, Some(SHOWN), SHOWN, captioner.generation(), &mut |_| ())?;
    for (row, mut caption) in captions.into_iter().enumerate() {
        let photo = match dev.pictures.photo(row) {
            Ok(photo) => photo,
            Err(fault) => {
                faults.push(fault.to_string());
                continue;
            }
        };
        let whole = if let PictureSource::Regions(regions) = &dev.pictures {
            caption = place_regions(regions, row, caption)?;
            photo
        } else {
            captioner.preprocessing().original(&photo)?
        };
        let name = Path::new(&dev.names[row].to_string()).file_stem().map(PathBuf::from);
        let name = name.unwrap_or_else(|| row.to_string().into());
        let sheet = write_attention(&out.join("attention").join(name), &whole, &caption)?;
        lines.push(format!("it says:   {}", caption.text));
        lines.push(format!("it is:     {}", dev.references[row].first().map_or("", String::as_str)));
        lines.push(format!("it looked: {}\n", sheet.display()));
    }
    Ok(lines)
}
