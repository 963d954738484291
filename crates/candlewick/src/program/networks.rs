//! `candlewick networks`: what each network costs, computed and measured here, beside its published accuracy.

use super::arguments::NetworksArguments;
use super::output::{self, note, say};
use super::{Failure, bounds, device};
use candlewick::candle::{DType, Device, Tensor};
use candlewick::encoders::{Architecture, Cost, NetworkConfig, cost, networks};
use candlewick::pages::{Bubble, BubblePlot, DrawingFormat};
use candlewick::parameters::{Mode, Parameters};
use std::time::Instant;

/// Classes of the heads: ImageNet's.
const CLASSES: usize = 1000;

/// Pictures that are timed, one at a time; the fastest counts, for it was disturbed least.
const TIMED: usize = 5;

/// A network and what it costs.
struct Row {
    name: String,
    parameters: usize,
    cost: Cost,
    milliseconds: f64,
    published_top1: Option<f32>,
}

/// Compares the networks by what one picture costs.
///
/// # Errors
/// When there is no such network, the picture is too small for one, or the plot cannot be written.
pub fn run(arguments: &NetworksArguments) -> Result<(), Failure> {
    let names: Vec<&str> = match arguments.names.is_empty() {
        true => networks(),
        false => arguments.names.iter().map(String::as_str).collect(),
    };
    let architectures =
        names.into_iter().map(Architecture::find).collect::<Result<Vec<_>, _>>().map_err(Failure::usage)?;
    // The first maps of VGG have 64 channels of the picture's size, and three of them are there at a time.
    bounds::fits("--size", (arguments.size as f64).powi(2) * 64.0 * 4.0 * 3.0)?;
    let (device, device_name) = device::open(&arguments.device)?;
    if !arguments.json {
        let size = arguments.size;
        say!("one picture of {size}×{size} pixels, {CLASSES} classes, on {device_name}")?;
        let [parameters, adds, memory] = ["parameters", "multiply-adds", "activations"];
        say!("{:<26} {:>7} {parameters:>12} {adds:>14} {memory:>13} {:>10}", "network", "top-1", "time")?;
    }
    let mut rows = Vec::new();
    for architecture in architectures {
        let row = match row(architecture, arguments.size, &device) {
            Ok(row) => row,
            // Not every network takes every size: of all of them, those that do are compared.
            Err(Failure::Work(line)) if arguments.names.is_empty() => {
                note!("candlewick: {line}");
                continue;
            }
            Err(failure) => return Err(failure),
        };
        match arguments.json {
            true => say!("{}", json(&row))?,
            false => print(&row)?,
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(Failure::Work(format!("no network takes pictures of {0}×{0} pixels", arguments.size)));
    }
    if let Some(path) = &arguments.plot {
        output::write_drawing(path, &plot(&rows, arguments.size, DrawingFormat::of(path)?)?, arguments.json)?;
    }
    Ok(())
}

fn row(architecture: &Architecture, size: usize, device: &Device) -> Result<Row, Failure> {
    let name = architecture.name();
    let parameters = Parameters::new(1);
    let config = NetworkConfig { classes: Some(CLASSES), auxiliary: false, ..NetworkConfig::default() };
    let fault = |error: candlewick::candle::Error| Failure::Work(format!("{name} at {size}×{size}: {error}"));
    let built = architecture.build(&config, parameters.builder(device)).map_err(fault)?;
    let cost = cost(built.as_ref(), size, size, device).map_err(fault)?;
    let fast = built.for_inference().map_err(fault)?;
    let images = Tensor::zeros((1, 3, size, size), DType::F32, device)?;
    let mut milliseconds = f64::INFINITY;
    for _ in 0..=TIMED {
        let begun = Instant::now();
        // Bringing the logits to the host waits for a device that works in the background.
        fast.logits(&images, &mut Mode::Eval)?.to_vec2::<f32>()?;
        milliseconds = milliseconds.min(1e3 * begun.elapsed().as_secs_f64());
    }
    let trained = parameters.trainable().iter().map(|(_, var)| var.elem_count()).sum();
    let published_top1 = architecture.published_top1();
    Ok(Row { name: name.to_owned(), parameters: trained, cost, milliseconds, published_top1 })
}

fn print(row: &Row) -> Result<(), Failure> {
    let (parameters, multiply_adds) = (row.parameters as f64 / 1e6, row.cost.multiply_adds as f64 / 1e9);
    // An activation is a number of four bytes.
    let memory = row.cost.activations as f64 * 4.0 / (1 << 20) as f64;
    let (name, time) = (&row.name, row.milliseconds);
    let top1 = row.published_top1.map_or_else(|| "–".into(), |top1| format!("{:.1} %", 100.0 * top1));
    say!("{name:<26} {top1:>7} {parameters:>10.2} M {multiply_adds:>12.2} G {memory:>9.1} MiB {time:>7.1} ms")
}

fn json(row: &Row) -> serde_json::Value {
    serde_json::json!({
        "network": row.name,
        "parameters": row.parameters,
        "multiply_adds": row.cost.multiply_adds,
        "activations": row.cost.activations,
        "milliseconds": row.milliseconds,
        // A float of 32 bits as it was published, not with the digits of a longer one.
        "published_top1": row.published_top1.map(|top1| (f64::from(top1) * 1e5).round() / 1e5),
    })
}

/// Multiply-adds across, published top-1 up, and a bubble whose area is the parameters: the figure of Canziani et al. 2016, "An analysis
/// of deep neural network models for practical applications". Where no top-1 is published, the measured time is up.
fn plot(rows: &[Row], size: usize, format: DrawingFormat) -> candlewick::pages::Result<Vec<u8>> {
    let timed = rows.iter().all(|row| row.published_top1.is_none());
    let bubble = |row: &Row| {
        let letters = |letter: char| letter.is_ascii_alphabetic();
        Some(Bubble {
            name: row.name.clone(),
            group: row.name.split(|letter| !letters(letter)).next().unwrap_or_default().to_owned(),
            x: row.cost.multiply_adds as f64 / 1e9,
            y: if timed { row.milliseconds } else { 100.0 * f64::from(row.published_top1?) },
            area: row.parameters as f64 / 1e6,
        })
    };
    let bubbles: Vec<Bubble> = rows.iter().filter_map(bubble).collect();
    let without = rows.iter().filter(|row| !timed && row.published_top1.is_none());
    let without: Vec<&str> = without.map(|row| row.name.as_str()).collect();
    let note = match without.len() {
        0 => String::new(),
        1..=5 => format!("no published top-1: {}", without.join(", ")),
        count => format!("no published top-1: {} and {} more", without[..4].join(", "), count - 4),
    };
    let plot = BubblePlot {
        title: if timed { "Time against operations" } else { "ImageNet top-1 against operations" },
        note: &note,
        x_label: &format!("multiply-adds of a picture of {size}×{size} pixels (10⁹)"),
        y_label: if timed {
            "time of a picture (ms)"
        } else {
            "published top-1, single crop at the network's own size (%)"
        },
        y_logarithmic: timed,
        area_label: "parameters (10⁶)",
        bubbles: &bubbles,
    };
    plot.file(format)
}
