//! `candlewick networks`: what each network costs, computed and measured here.

use super::arguments::NetworksArguments;
use super::output::{self, note, say};
use super::{Failure, bounds, device};
use candlewick::candle::{DType, Device, Tensor};
use candlewick::encoders::{Architecture, Cost, NetworkConfig, cost, networks};
use candlewick::pages::{Bubble, bubble_plot};
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
        say!("{:<26} {:>12} {:>14} {:>13} {:>10}", "network", "parameters", "multiply-adds", "activations", "time")?;
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
        output::write_drawing(path, &plot(&rows)?, arguments.json)?;
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
    Ok(Row { name: name.to_owned(), parameters: trained, cost, milliseconds })
}

fn print(row: &Row) -> Result<(), Failure> {
    let (parameters, multiply_adds) = (row.parameters as f64 / 1e6, row.cost.multiply_adds as f64 / 1e9);
    // An activation is a number of four bytes.
    let memory = row.cost.activations as f64 * 4.0 / (1 << 20) as f64;
    let name = &row.name;
    say!("{name:<26} {parameters:>10.2} M {multiply_adds:>12.2} G {memory:>9.1} MiB {:>7.1} ms", row.milliseconds)
}

fn json(row: &Row) -> serde_json::Value {
    serde_json::json!({
        "network": row.name,
        "parameters": row.parameters,
        "multiply_adds": row.cost.multiply_adds,
        "activations": row.cost.activations,
        "milliseconds": row.milliseconds,
    })
}

/// Multiply-adds across and time up, both on logarithmic scales, and a bubble whose area is the parameters.
fn plot(rows: &[Row]) -> candlewick::pages::Result<String> {
    let bubble = |row: &Row| Bubble {
        name: row.name.clone(),
        x: row.cost.multiply_adds as f64 / 1e9,
        y: row.milliseconds,
        area: row.parameters as f64,
    };
    let bubbles: Vec<Bubble> = rows.iter().map(bubble).collect();
    bubble_plot(&bubbles, "multiply-adds of a picture (10⁹)", "time of a picture (ms)")
}
