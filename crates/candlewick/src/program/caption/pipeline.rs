//! From files to captions, many of them: pictures are decoded by threads that work ahead while batches are captioned.

use super::super::signals::Signals;
use super::super::{Failure, output::note};
use super::inputs::Input;
use candlewick::captioning::{Caption, CaptionPictures, GenerationConfig, PreprocessedPicture};
use candlewick::data::loader::{Loader, LoaderConfig};
use candlewick::data::scenes::is_like_a_scene;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Pictures that are captioned at a time.
const BATCH: usize = 8;

/// What captions pictures, and how.
pub struct Pipeline {
    /// One captioner or several as one.
    pub captioner: Arc<dyn CaptionPictures>,
    /// How captions are searched for.
    pub generation: GenerationConfig,
    /// Whether pictures unlike scenes are refused: a caption that means nothing is written into nobody's files.
    pub scenes_only: bool,
}

/// Why a picture is refused where captions are written down.
const UNLIKE: &str = "is unlike all that the built-in model knows, and what it says there means nothing; name a captioner of photos with --model DIR";

/// How many pictures were captioned, and which were not.
#[derive(Debug, Default)]
pub struct Tally {
    /// Pictures that have a caption now.
    pub captioned: usize,
    /// Pictures that failed; each was named.
    pub failed: usize,
    /// Pictures that were unlike scenes.
    pub unlike: Vec<PathBuf>,
    /// The exit code of a program that a signal ended.
    pub interrupted: Option<u8>,
    /// How long it took.
    pub seconds: f64,
}

/// A picture with what the encoders see of it.
struct Prepared {
    input: Input,
    picture: PreprocessedPicture,
}

impl Pipeline {
    /// Captions pictures in their order and hands each with its captions to `take`; one that fails is named, and the others go on.
    ///
    /// Of a picture only what the encoders see is kept, and of that no more than three batches.
    ///
    /// # Errors
    /// Where standard output takes no more.
    pub fn run(&self, inputs: Vec<Input>, bar: &Bar, take: &mut Take) -> Result<Tally, Failure> {
        let (begun, signals) = (Instant::now(), Signals::listen()?);
        let mut work = Work { pipeline: self, bar, take, tally: Tally::default() };
        let captioner = Arc::clone(&self.captioner);
        let prepare = move |input: Input| -> Result<_, Failure> {
            input.reduced(|photo| Ok((captioner.preprocess(&photo)?, is_like_a_scene(&photo))))
        };
        let config = LoaderConfig { prefetch: 2 * BATCH, ..LoaderConfig::default() };
        let prepared = Loader::new(inputs.clone(), config, prepare);
        let mut batch = Vec::with_capacity(BATCH);
        for (input, prepared) in inputs.into_iter().zip(prepared) {
            match prepared {
                Ok((_, false)) if self.scenes_only => work.fail(Failure::Work(UNLIKE.into()), &input)?,
                Ok((picture, like)) => {
                    work.tally.unlike.extend((!like).then(|| input.path.clone()));
                    batch.push(Prepared { input, picture });
                }
                Err(failure) => work.fail(failure, &input)?,
            }
            if batch.len() == BATCH {
                work.caption(std::mem::take(&mut batch))?;
            }
            work.tally.interrupted = signals.exit_code();
            if work.tally.interrupted.is_some() {
                break;
            }
        }
        work.caption(batch)?;
        bar.finish();
        work.tally.seconds = begun.elapsed().as_secs_f64();
        Ok(work.tally)
    }
}

/// What becomes of a picture's captions, best first.
pub type Take<'a> = dyn FnMut(&Input, &[Caption]) -> Result<(), Failure> + 'a;

/// A run of the pipeline under way.
struct Work<'a, 'b> {
    pipeline: &'a Pipeline,
    bar: &'a Bar,
    take: &'a mut Take<'b>,
    tally: Tally,
}

impl Work<'_, '_> {
    fn caption(&mut self, batch: Vec<Prepared>) -> Result<(), Failure> {
        let (inputs, pictures): (Vec<Input>, Vec<PreprocessedPicture>) =
            batch.into_iter().map(|prepared| (prepared.input, prepared.picture)).unzip();
        let Pipeline { captioner, generation, .. } = self.pipeline;
        let all = match captioner.n_best_preprocessed(&pictures, generation) {
            Ok(all) => all.into_iter().map(Ok).collect(),
            // One of them does not go with the others: each for itself, so that it is named.
            Err(_) => pictures.chunks(1).map(|one| alone(&**captioner, one, generation)).collect::<Vec<_>>(),
        };
        for (input, captions) in inputs.iter().zip(all) {
            match captions.and_then(|captions| (self.take)(input, &captions)) {
                Ok(()) => {
                    self.tally.captioned += 1;
                    self.bar.advance();
                }
                Err(failure) => self.fail(failure, input)?,
            }
        }
        Ok(())
    }

    fn fail(&mut self, failure: Failure, input: &Input) -> Result<(), Failure> {
        self.tally.failed += 1;
        self.bar.advance();
        self.bar.0.suspend(|| match input.is_standard_input() {
            true => failure.passed_over("standard input".as_ref()),
            false => failure.passed_over(&input.path),
        })
    }
}

fn alone(
    captioner: &dyn CaptionPictures,
    one: &[PreprocessedPicture],
    generation: &GenerationConfig,
) -> Result<Vec<Caption>, Failure> {
    Ok(captioner.n_best_preprocessed(one, generation)?.pop().unwrap_or_default())
}

impl Tally {
    /// Says how many pictures there are, where `always` or where one failed; the failure of the whole where one did, or where a signal
    /// ended it before all were done.
    ///
    /// # Errors
    /// [`Failure::AlreadyReported`] and [`Failure::Interrupted`].
    pub fn conclude(&self, total: usize, skipped: usize, always: bool) -> Result<(), Failure> {
        let counts = [
            (skipped, "had one already and were left as they are; --overwrite writes them anew"),
            (self.failed, "failed"),
        ];
        let rate = self.captioned as f64 / self.seconds.max(1e-9);
        let mut line = format!("{} of {total} pictures captioned ({rate:.1} pictures/s)", self.captioned);
        for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
            line += &format!("; {count} {what}");
        }
        if let Some(code) = self.interrupted {
            note!("candlewick: stopped by a signal: {line}; the same command goes on");
            return Err(Failure::Interrupted(code));
        }
        if always || (self.failed > 0 && total > 1) {
            note!("{line}");
        }
        if self.failed > 0 { Err(Failure::AlreadyReported) } else { Ok(()) }
    }
}

/// A bar with the pictures that are done, and how many a second.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar that counts to `total`; hidden where lines on the same terminal would tear it, or where there is one picture.
    pub fn new(total: usize, lines: bool) -> Self {
        let hidden = total < 2 || (lines && io::stdout().is_terminal());
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let style = ProgressStyle::with_template("captioning {wide_bar} {pos}/{len} {per_sec} {eta} left");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).with_key(
            "per_sec",
            |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{:.1} pictures/s", state.per_sec());
            },
        );
        Self(ProgressBar::with_draw_target(Some(total as u64), target).with_style(style))
    }

    fn advance(&self) {
        self.0.inc(1);
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}
