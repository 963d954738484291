//! `candlewick draw`: pictures step by step, anew or like given ones.

use super::arguments::DrawArguments;
use super::film::spread;
use super::output::{say, shown, write_drawing};
use super::{Failure, bounds, device, embedded};
use candlewick::data::picture::{self, Limits};
use candlewick::pages::{AnimationFrame, FilmCurve, FilmFrame, FilmStrip, LookFrame, MarkedBox, animation};
use candlewick::tasks::draw::{Bound, Draw, Drawing, Pictures};
use image::{Rgb, RgbImage, imageops};
use std::io::Cursor;
use std::time::Duration;

/// The most steps of a strip, how long each step of an animation stands, and the last one.
const SHOWN: usize = 12;
const DELAY: Duration = Duration::from_millis(60);
const LAST: Duration = Duration::from_millis(2000);

/// The colour of what is written, and how wide a drawing on a sheet is at most, in pixels.
const RED: [u8; 3] = [230, 40, 40];
const SIDE: u32 = 112;

/// Draws pictures and writes them with every step into a folder.
///
/// # Errors
/// When the model cannot be opened, a picture is of another size than it draws, or a file cannot be written.
pub fn run(arguments: &DrawArguments) -> Result<(), Failure> {
    let (device, _) = device::open(&arguments.device)?;
    let model = match &arguments.model {
        Some(folder) => Draw::from_pretrained(folder, &device)?,
        None => Draw::embedded(&embedded::DRAW, &device)?,
    };
    let pictures = read(&model, arguments)?;
    let config = model.config();
    let count = pictures.as_ref().map_or(arguments.count, Pictures::len);
    let (height, width) = config.size;
    // Each canvas as it is, enlarged, on its sheet and in its frame.
    let each = f64::from(height.max(SIDE)) * f64::from(width.max(SIDE)) * 12.0;
    let option = if pictures.is_some() { "--like" } else { "--count" };
    bounds::fits(option, count as f64 * config.network.steps as f64 * each)?;
    let drawings = match &pictures {
        Some(pictures) => model.draw_like(pictures, arguments.seed)?,
        None => model.draw(arguments.count, arguments.seed)?,
    };
    let bounds: Vec<Bound> = drawings.iter().filter_map(|drawing| drawing.bound.clone()).collect();
    let folder = &arguments.out;
    std::fs::create_dir_all(folder).map_err(|error| Failure::from(error).of(folder))?;
    let sheets = sheets(&drawings)?;
    let last = sheets.last().ok_or_else(|| Failure::Work("there is no drawing".into()))?;
    let files = [
        ("drawn.png", png(last)?),
        ("drawn.gif", moving(&sheets)?),
        ("drawn.svg", strip(&sheets, &bounds)?.into_bytes()),
    ];
    for (name, content) in &files {
        write_drawing(&folder.join(name), content, arguments.json)?;
    }
    tell(arguments, &bounds, &files.map(|(name, _)| folder.join(name).display().to_string()))
}

/// The pictures that are drawn again, if any.
fn read(model: &Draw, arguments: &DrawArguments) -> Result<Option<Pictures>, Failure> {
    if arguments.like.is_empty() {
        return Ok(None);
    }
    let (height, width) = model.config().size;
    let one = |path: &std::path::PathBuf| {
        let picture = picture::decode(path, &Limits::default())?;
        match picture.dimensions() == (width, height) {
            true => Ok(picture),
            false => {
                let (across, down) = picture.dimensions();
                Err(Failure::Work(format!("is {down}×{across} pixels; the model draws {height}×{width}")).of(path))
            }
        }
    };
    let pictures = arguments.like.iter().map(one).collect::<Result<Vec<_>, Failure>>()?;
    Ok(Some(Pictures::new(&pictures, model.config().network.likelihood)?))
}

fn tell(arguments: &DrawArguments, bounds: &[Bound], files: &[String]) -> Result<(), Failure> {
    if arguments.json {
        let like: Vec<serde_json::Value> = (arguments.like.iter().zip(bounds))
            .map(|(path, bound)| {
                serde_json::json!({
                    "file": path.display().to_string(),
                    "bound": bound.nats,
                    "likelihood": bound.likelihood,
                    "kl": bound.kl,
                })
            })
            .collect();
        return say!("{}", serde_json::json!({ "files": files, "like": like }));
    }
    arguments.like.iter().zip(bounds).try_for_each(|(path, bound)| {
        say!("{}: {:.1} nats, {:.1} of them KL", shown(path), bound.nats, bound.kl.iter().sum::<f64>())
    })
}

/// All drawings on one sheet, as they are after each step.
fn sheets(drawings: &[Drawing]) -> Result<Vec<RgbImage>, Failure> {
    let steps = drawings.first().map_or(0, |drawing| drawing.steps.len());
    let columns = (drawings.len() as f64).sqrt().ceil().max(1.0) as u32;
    let sheet = |step: usize| -> Result<RgbImage, Failure> {
        let cells =
            drawings.iter().map(|drawing| cell(drawing, step, step + 1 == steps)).collect::<Result<Vec<_>, _>>()?;
        let (width, height) = cells.first().map_or((1, 1), RgbImage::dimensions);
        let rows = (cells.len() as u32).div_ceil(columns);
        let gap = 4;
        let mut sheet = RgbImage::from_pixel(columns * (width + gap) + gap, rows * (height + gap) + gap, Rgb([255; 3]));
        for (at, cell) in (0u32..).zip(&cells) {
            let (x, y) = (gap + at % columns * (width + gap), gap + at / columns * (height + gap));
            imageops::replace(&mut sheet, cell, i64::from(x), i64::from(y));
        }
        Ok(sheet)
    };
    (0..steps).map(sheet).collect()
}

/// A drawing after a step, with a red box where was written unless it is `done`.
fn cell(drawing: &Drawing, step: usize, done: bool) -> Result<RgbImage, Failure> {
    let step = drawing.steps.get(step).ok_or_else(|| Failure::Work("the drawings have other steps".into()))?;
    let boxes: Vec<MarkedBox> = step
        .written
        .filter(|_| !done)
        .map(|grid| MarkedBox {
            left: grid.left,
            top: grid.top,
            width: grid.side,
            height: grid.side,
            colour: Some(RED),
        })
        .into_iter()
        .collect();
    let frame = LookFrame { picture: &step.picture, boxes: &boxes, path: &[], patches: &[], bars: &[] };
    Ok(frame.enlarged(SIDE)?)
}

fn png(picture: &RgbImage) -> Result<Vec<u8>, Failure> {
    let mut content = Cursor::new(Vec::new());
    picture.write_to(&mut content, image::ImageFormat::Png)?;
    Ok(content.into_inner())
}

fn moving(sheets: &[RgbImage]) -> Result<Vec<u8>, Failure> {
    let count = sheets.len();
    let frame = |(at, picture)| AnimationFrame { picture, delay: if at + 1 == count { LAST } else { DELAY } };
    Ok(animation(&sheets.iter().enumerate().map(frame).collect::<Vec<_>>())?)
}

/// Steps from the first to the last, as far from each other as can be, and of pictures that are drawn again what the steps since the frame
/// before tell, their mean.
fn strip(sheets: &[RgbImage], bounds: &[Bound]) -> Result<String, Failure> {
    let steps = spread(sheets.len(), SHOWN);
    let labels: Vec<String> = steps.iter().map(|step| (step + 1).to_string()).collect();
    let frames: Vec<FilmFrame<'_>> = (steps.iter().zip(&labels))
        .filter_map(|(&step, label)| Some(FilmFrame { picture: sheets.get(step)?, label }))
        .collect();
    let told = |(at, &step): (usize, &usize)| {
        let first = if at == 0 { 0 } else { steps[at - 1] + 1 };
        let kl = bounds.iter().flat_map(|bound| bound.kl.get(first..=step).unwrap_or_default());
        kl.sum::<f64>() / bounds.len().max(1) as f64
    };
    let values: Vec<f64> = steps.iter().enumerate().map(told).collect();
    let curve = [FilmCurve { name: "KL", values: &values }];
    let curves = if bounds.is_empty() { &[][..] } else { &curve[..] };
    let (title, y_label) = ("The canvas after each step", "nats since the frame before");
    let x_label = format!("{} of {} steps", steps.len(), sheets.len());
    Ok(FilmStrip { title, x_label: &x_label, y_label, frames: &frames, curves }.svg()?)
}
