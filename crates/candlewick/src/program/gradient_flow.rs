//! `candlewick gradient-flow`: how far back the gradient of the last output reaches, cell by cell.

use super::Failure;
use super::arguments::GradientFlowArguments;
use candlewick::candle::{Device, Tensor};
use candlewick::parameters::{Parameters, Rng};
use candlewick::recurrent::{StackConfig, largest_singular_value, sequence_layer, sequence_layers};
use plotters::prelude::*;
use std::path::Path;

/// D, the size of the random inputs, and N, how many sequences of them.
const INPUT_SIZE: usize = 16;
const ROWS: usize = 4;

/// The smallest norm that is drawn: f32 is about to underflow there.
const FLOOR: f64 = 1e-30;

/// What was measured of a cell.
struct Flow {
    name: String,
    /// The norms of the gradients of h and, where there is one, c after each step.
    norms: Vec<Vec<f64>>,
    singular_values: Vec<f64>,
}

/// Measures the cells, prints the norms at some steps, and draws all of them.
///
/// # Errors
/// A wrong call where no cell has a name; otherwise when the drawing cannot be written.
pub fn run(arguments: &GradientFlowArguments) -> Result<(), Failure> {
    if arguments.steps == 0 || arguments.hidden_size == 0 {
        return Err(Failure::usage("--steps and --hidden-size must be above 0"));
    }
    let mut flows = Vec::new();
    for name in &arguments.cell {
        if !sequence_layers().contains(&name.as_str()) {
            return Err(Failure::usage(format!(
                "cell {name}: no such cell; there are {}",
                sequence_layers().join(", ")
            )));
        }
        flows.push(measure(name, arguments)?);
    }
    for flow in &flows {
        match arguments.json {
            true => println!("{}", json(flow)),
            false => print(flow),
        }
    }
    if let Some(path) = &arguments.plot {
        plot(&flows, path).map_err(|error| Failure::Work(format!("{}: {error}", path.display())))?;
        if !arguments.json {
            println!("{}", path.display());
        }
    }
    Ok(())
}

fn measure(name: &str, arguments: &GradientFlowArguments) -> Result<Flow, Failure> {
    let (parameters, device) = (Parameters::new(arguments.seed), Device::Cpu);
    let config = StackConfig { forget_bias: Some(arguments.forget_bias), ..StackConfig::default() };
    let hidden = arguments.hidden_size;
    let layer = sequence_layer(name, INPUT_SIZE, hidden, &config, parameters.builder(&device))?;
    if let Some(wanted) = arguments.singular_value {
        for (name, var) in parameters.trainable() {
            if !name.starts_with("weight_hh") {
                continue;
            }
            let blocks = (0..var.dim(0)? / hidden).map(|block| {
                let block = var.as_tensor().narrow(0, block * hidden, hidden)?.detach();
                let found = largest_singular_value(&block)?;
                block * (wanted / found)
            });
            let blocks: Vec<Tensor> = blocks.collect::<candlewick::candle::Result<_>>()?;
            var.set(&Tensor::cat(&blocks, 0)?)?;
        }
    }
    let mut rng = Rng::derive(arguments.seed, "inputs", 0);
    let xs = rng.normal_tensor(0.0, arguments.input_scale, (ROWS, arguments.steps, INPUT_SIZE), &device)?;
    let flow = layer.gradient_flow(&xs)?.into_iter().next().ok_or_else(|| {
        Failure::usage(format!("cell {name}: is not recurrent, so that no gradient flows back through its states"))
    })?;
    Ok(Flow { name: name.to_owned(), norms: flow.norms, singular_values: flow.singular_values })
}

/// Some steps from the last one back, and the norms there.
fn print(flow: &Flow) {
    let values: Vec<String> = flow.singular_values.iter().map(|value| format!("{value:.3}")).collect();
    println!("{}: largest singular value of W_hh {}", flow.name, values.join(", "));
    let steps = flow.norms.first().map_or(0, Vec::len);
    let backs: Vec<usize> = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].into_iter().filter(|&b| b < steps).collect();
    let line = |what: &str, cells: Vec<String>| println!("  {what:<12}{}", cells.concat());
    line("steps back", backs.iter().map(|back| format!("{back:>10}")).collect());
    for (norms, what) in flow.norms.iter().zip(["‖∂L/∂h‖", "‖∂L/∂c‖"]) {
        line(what, backs.iter().map(|back| format!("{:>10.1e}", norms[steps - 1 - back])).collect());
    }
}

fn json(flow: &Flow) -> serde_json::Value {
    serde_json::json!({ "cell": flow.name, "norms": flow.norms, "singular_values": flow.singular_values })
}

/// Steps across, the norms up on a logarithmic scale; c is drawn thinner than h.
fn plot(flows: &[Flow], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let all = || flows.iter().flat_map(|flow| flow.norms.iter().flatten()).filter(|norm| norm.is_finite());
    let most = all().fold(1.0f64, |most, &norm| most.max(norm));
    let least = all().filter(|norm| **norm > 0.0).fold(1.0f64, |least, &norm| least.min(norm)).max(FLOOR);
    let steps = flows.iter().map(|flow| flow.norms.first().map_or(0, Vec::len)).max().unwrap_or(1);
    let area = SVGBackend::new(path, (900, 500)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(20)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(1..steps.max(2), least.log10().floor()..most.log10().ceil())?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc("step t")
        .y_desc("norm of the gradient of the last output")
        .y_label_formatter(&|power| format!("1e{power:.0}"))
        .draw()?;
    for (index, flow) in flows.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        for (state, norms) in flow.norms.iter().enumerate() {
            let style = colour.stroke_width(if state == 0 { 2 } else { 1 });
            let points = norms.iter().enumerate().filter(|(_, norm)| norm.is_finite() && **norm >= least);
            let drawn = chart.draw_series(LineSeries::new(points.map(|(t, &norm)| (t + 1, norm.log10())), style))?;
            let letter = if state == 0 { "h" } else { "c" };
            drawn
                .label(format!("{} {letter}", flow.name))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()?;
    Ok(())
}
