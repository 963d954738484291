//! `candlewick glimpse`: what pictures show, look by look.

use super::arguments::GlimpseArguments;
use super::film::Told;
use super::output::{apart, say, shown, write_drawing};
use super::{Failure, device};
use candlewick::data::picture::{self, Limits};
use candlewick::pages::{AnimationFrame, FilmFrame, FilmStrip, LookFrame, MarkedBox, animation};
use candlewick::tasks::glimpses::{Classified, RecurrentAttentionModel};
use image::{GrayImage, RgbImage, imageops};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long each look stands in an animation.
const DELAY: Duration = Duration::from_millis(700);

/// Tells what each picture shows, and draws its looks.
///
/// # Errors
/// When the model cannot be opened or a drawing not be written; pictures that cannot be read, or are of another size than the model's, are
/// told and passed over, and make the whole fail in the end.
pub fn run(arguments: &GlimpseArguments) -> Result<(), Failure> {
    let (device, _) = device::open(&arguments.device)?;
    let model = RecurrentAttentionModel::from_pretrained(&arguments.model, &device)?;
    if let Some(folder) = &arguments.out {
        std::fs::create_dir_all(folder).map_err(|error| Failure::from(error).of(folder))?;
    }
    let (mut failed, mut drawn) = (false, HashSet::new());
    for path in &arguments.pictures {
        if let Err(failure) = one(arguments, &model, path, &mut drawn) {
            failure.passed_over(path)?;
            failed = true;
        }
    }
    if failed { Err(Failure::AlreadyReported) } else { Ok(()) }
}

fn one(
    arguments: &GlimpseArguments,
    model: &RecurrentAttentionModel,
    path: &Path,
    drawn: &mut HashSet<String>,
) -> Result<(), Failure> {
    let picture = imageops::grayscale(&picture::decode(path, &Limits::default())?);
    let told = model.classify(std::slice::from_ref(&picture), arguments.samples, arguments.seed)?.pop();
    let told = told.ok_or_else(|| Failure::Work("nothing was told".into()))?;
    tell(arguments, path, &told)?;
    match &arguments.out {
        Some(folder) => {
            let name = apart(&path.file_stem().unwrap_or_default().to_string_lossy(), drawn);
            Drawing { model, picture: &picture, path, told: &told }.write(&folder.join(name), arguments.json)
        }
        None => Ok(()),
    }
}

fn tell(arguments: &GlimpseArguments, path: &Path, told: &Classified) -> Result<(), Failure> {
    let most = |row: &[f32]| row.iter().copied().fold(0.0, f32::max);
    if arguments.json {
        let glimpses: Vec<serde_json::Value> = (told.glimpses.iter())
            .map(|look| serde_json::json!({ "x": look.x, "y": look.y, "probabilities": look.probabilities }))
            .collect();
        return say!(
            "{}",
            serde_json::json!({
                "file": path.display().to_string(),
                "labels": told.labels,
                "probabilities": told.probabilities,
                "glimpses": glimpses,
            })
        );
    }
    let labels = told.labels.iter().zip(&told.probabilities);
    let labels: Vec<String> = labels.map(|(label, row)| format!("{label} ({:.1} %)", 100.0 * most(row))).collect();
    let looks: Vec<String> = told.glimpses.iter().map(|look| format!("{:.0},{:.0}", look.x, look.y)).collect();
    say!("{}: {}, looking at {}", shown(path), labels.join(" "), looks.join(" "))
}

/// A picture's looks as drawings.
struct Drawing<'a> {
    model: &'a RecurrentAttentionModel,
    picture: &'a GrayImage,
    path: &'a Path,
    told: &'a Classified,
}

impl Drawing<'_> {
    /// Writes the strip and the animation into files of this name.
    fn write(&self, name: &Path, json: bool) -> Result<(), Failure> {
        let ending = |ending: &str| {
            let mut path = name.as_os_str().to_owned();
            path.push(ending);
            PathBuf::from(path)
        };
        write_drawing(&ending(".svg"), self.strip()?.as_bytes(), json)?;
        write_drawing(&ending(".gif"), &self.animation()?, json)
    }

    fn names(&self) -> Vec<&str> {
        self.model.config().id2label.values().map(String::as_str).collect()
    }

    /// The picture with what a look saw and the way to it.
    fn frame(&self, look: usize, bars: &[(&str, f64)]) -> Result<RgbImage, Failure> {
        let colours = |grey: &GrayImage| image::DynamicImage::ImageLuma8(grey.clone()).to_rgb8();
        let (picture, looks) = (colours(self.picture), self.told.glimpses.get(..=look).unwrap_or_default());
        let Some(last) = looks.last() else { return Ok(picture) };
        let boxes: Vec<MarkedBox> = (0..last.scales.len())
            .map(|scale| last.side(scale) as f32)
            .map(|side| MarkedBox {
                left: last.x - side / 2.0,
                top: last.y - side / 2.0,
                width: side,
                height: side,
                colour: None,
            })
            .collect();
        let path: Vec<(f32, f32)> = looks.iter().map(|look| (look.x, look.y)).collect();
        let patches: Vec<RgbImage> = last.scales.iter().map(colours).collect();
        Ok(LookFrame { picture: &picture, boxes: &boxes, path: &path, patches: &patches, bars }.picture()?)
    }

    fn strip(&self) -> Result<String, Failure> {
        let names = self.names();
        let pictures =
            (0..self.told.glimpses.len()).map(|look| self.frame(look, &[])).collect::<Result<Vec<_>, _>>()?;
        let steps: Vec<Vec<f32>> = self.told.glimpses.iter().map(|look| look.probabilities.clone()).collect();
        let told = Told::new(&names, &steps);
        let frames = pictures.iter().zip(&told.labels).map(|(picture, label)| FilmFrame { picture, label });
        let frames: Vec<FilmFrame<'_>> = frames.collect();
        let title = format!("{}: {}", self.path.display(), self.told.labels.join(" "));
        Ok(FilmStrip {
            title: &title,
            x_label: "look",
            y_label: "probability",
            frames: &frames,
            curves: &told.curves(),
        }
        .svg()?)
    }

    fn animation(&self) -> Result<Vec<u8>, Failure> {
        let names = self.names();
        let frame = |(at, look): (usize, &candlewick::tasks::glimpses::Glimpse)| {
            let values = look.probabilities.iter().copied().map(f64::from);
            self.frame(at, &names.iter().copied().zip(values).collect::<Vec<_>>())
        };
        let pictures = self.told.glimpses.iter().enumerate().map(frame).collect::<Result<Vec<_>, _>>()?;
        let frames: Vec<AnimationFrame<'_>> =
            pictures.iter().map(|picture| AnimationFrame { picture, delay: DELAY }).collect();
        Ok(animation(&frames)?)
    }
}
