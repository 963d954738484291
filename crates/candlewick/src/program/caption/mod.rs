//! `candlewick caption`: pictures in, sentences out.

mod html;
mod inputs;
mod pipeline;
mod results;
mod sidecars;
mod splice;
mod table;
mod watch;
mod xmp;

use super::arguments::CaptionArguments;
use super::output::{note, shown};
use super::{Failure, device, embedded, hub, search};
use candlewick::candle::Device;
use candlewick::captioning::{Caption, CaptionPictures, Captioner, Ensemble, ModelFiles, place_regions};
use candlewick::data::regions::Regions;
use candlewick::vision::{RegionSet, open_regions};
use inputs::Input;
use pipeline::{Bar, Pipeline, Tally};
use results::Results;
pub use sidecars::Format;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Captions each picture; one that cannot be read is named and the others are captioned all the same.
///
/// # Errors
/// When the model cannot be opened, or any picture failed.
pub fn run(arguments: &CaptionArguments) -> Result<(), Failure> {
    let inputs = inputs::gather(&arguments.photos, arguments.list.as_deref(), arguments.recursive)?;
    if let Some(folder) = &arguments.attention {
        results::apart(folder, &inputs)?;
    }
    let (device, _) = device::open(&arguments.device)?;
    let weights = hub::encoder_weights(arguments.encoder_weights.as_deref())?;
    let captioner: Arc<dyn CaptionPictures> =
        open(&arguments.model, weights.as_deref(), arguments.search.mirrored, &device)?.into();
    let generation = search::settings(&*captioner, &arguments.search, Some(arguments.n_best))?;
    let regions = regions(&*captioner, arguments.regions.as_deref())?;
    let mut results = Results::new(arguments, Arc::clone(&captioner));
    let written = arguments.write.is_some() || arguments.html.is_some();
    let pipeline = Pipeline { captioner, generation, scenes_only: written && arguments.model.is_empty() };
    if let Some(folder) = &arguments.watch {
        return watch::run(folder, arguments.recursive, &pipeline, &mut results);
    }
    if let Some(page) = &arguments.html {
        let tally = html::run(page, &pipeline)?;
        warn_of_photos(arguments, &tally);
        return tally.conclude(tally.captioned + tally.failed, 0, false);
    }
    let total = inputs.len();
    let (wanted, failed) = results.wanted(inputs)?;
    let skipped = total - wanted.len() - failed;
    let done = match regions {
        Some(regions) => of_regions(wanted, &regions, &pipeline, &mut results),
        None => {
            let bar = Bar::new(wanted.len(), results.are_printed());
            pipeline.run(wanted, &bar, &mut |input, captions| results.take(input, captions))
        }
    };
    results.save()?;
    let mut tally = done?;
    tally.failed += failed;
    warn_of_photos(arguments, &tally);
    tally.conclude(total, skipped, results.are_written())
}

/// Says that the built-in model knows nothing of pictures like these.
fn warn_of_photos(arguments: &CaptionArguments, tally: &Tally) {
    let Some(first) = tally.unlike.first().filter(|_| arguments.model.is_empty()) else { return };
    let others = match tally.unlike.len() - 1 {
        0 => "is".to_owned(),
        others => format!("and {others} more are"),
    };
    note!(
        "{} {others} unlike all that the built-in model knows, coloured shapes on a dark ground: what it says there means nothing; name a captioner of photos with --model DIR (candlewick train flickr8k trains one)",
        shown(first)
    );
}

/// Captions pictures whose regions are in a file; one that has none there is named and the others are captioned all the same.
fn of_regions(
    inputs: Vec<Input>,
    regions: &Arc<Regions>,
    pipeline: &Pipeline,
    results: &mut Results,
) -> Result<Tally, Failure> {
    let begun = Instant::now();
    let mut tally = Tally::default();
    for input in inputs {
        let (set, _) = RegionSet::new(std::slice::from_ref(&input.path), Arc::clone(regions));
        let captions = || -> Result<Vec<Caption>, Failure> {
            if set.paths.is_empty() {
                return Err(Failure::Work(format!("{} has no regions of it", regions.path().display())));
            }
            let found = pipeline.captioner.n_best_of(&set.annotations(&[0])?, &pipeline.generation)?;
            let found = found.into_iter().next().unwrap_or_default();
            let placed = found.into_iter().map(|caption| place_regions(&set, 0, caption));
            Ok(placed.collect::<candlewick::captioning::Result<_>>()?)
        };
        match captions().and_then(|captions| results.take_of_regions(&input, &captions)) {
            Ok(()) => tally.captioned += 1,
            Err(failure) => {
                tally.failed += 1;
                failure.passed_over(&input.path)?;
            }
        }
    }
    tally.seconds = begun.elapsed().as_secs_f64();
    Ok(tally)
}

/// The file of regions, where the captioner looks at regions.
///
/// # Errors
/// A wrong call where it looks at pictures and there is a file, or the other way round; and as [`open_regions`] says.
pub fn regions(captioner: &dyn CaptionPictures, file: Option<&Path>) -> Result<Option<Arc<Regions>>, Failure> {
    match (captioner.regions(), file) {
        (None, None) => Ok(None),
        (Some(size), Some(file)) => Ok(Some(open_regions(file, Some(size))?)),
        (None, Some(_)) => {
            Err(Failure::usage("--regions: this captioner looks at pictures; leave the file of regions out"))
        }
        (Some(_), None) => {
            Err(Failure::usage("this captioner looks at regions from a file; name the file with --regions"))
        }
    }
}

/// The models in these folders as one, or the built-in one where there are none; `mirrored`, they look twice.
///
/// # Errors
/// A wrong call where there are weights that no model wants; and as [`ModelFiles::open`] and [`Ensemble::new`] say.
pub fn open(
    folders: &[PathBuf],
    encoder_weights: Option<&Path>,
    mirrored: bool,
    device: &Device,
) -> Result<Box<dyn CaptionPictures>, Failure> {
    let members: Vec<Captioner> = match folders {
        [] => vec![Captioner::from_files(ModelFiles::embedded(embedded::MODEL)?, device)?],
        several => {
            let open = |folder| Captioner::open(folder, encoder_weights, device);
            several.iter().map(open).collect::<candlewick::captioning::Result<_>>()?
        }
    };
    match encoder_weights {
        Some(weights) if members.iter().all(|member| member.config().encoder.weights.is_none()) => {
            Err(unwanted(weights, "name the model that they belong to with --model"))
        }
        _ => together(members, mirrored),
    }
}

/// A wrong call: weights of an encoder that nobody wants.
pub fn unwanted(weights: &Path, advice: &str) -> Failure {
    let weights = weights.display();
    Failure::usage(format!(
        "--encoder-weights {weights}: no model here wants an encoder's weights; leave it out, or {advice}"
    ))
}

/// Captioners as one; `mirrored`, they look twice.
///
/// # Errors
/// As [`Ensemble::new`] and [`Ensemble::mirrored`] say.
pub fn together(mut members: Vec<Captioner>, mirrored: bool) -> Result<Box<dyn CaptionPictures>, Failure> {
    Ok(match members.pop() {
        Some(only) if members.is_empty() && !mirrored => Box::new(only),
        last => {
            members.extend(last);
            let together = Ensemble::new(members)?;
            Box::new(if mirrored { together.mirrored()? } else { together })
        }
    })
}
