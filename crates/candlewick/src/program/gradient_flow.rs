//! `candlewick gradient-flow`: how far back the gradient of the last output reaches, cell by cell.

use super::arguments::GradientFlowArguments;
use super::output::{self, say};
use super::{Failure, bounds};
use candlewick::candle::{Device, Tensor};
use candlewick::pages::{DrawingFormat, GradientNorms, gradient_flow_plot};
use candlewick::parameters::{Parameters, Rng};
use candlewick::recurrent::{
    GradientFlow, Settings, has_setting, largest_singular_value, sequence_layer, sequence_layers,
};

/// D, the size of the random inputs, and N, how many sequences of them.
const INPUT_SIZE: usize = 16;
const ROWS: usize = 4;

/// What each tensor of a state is called in the table.
const STATES: [&str; 2] = ["‖∂L/∂h‖", "‖∂L/∂c‖"];

/// What was measured of a cell.
struct Flow {
    name: String,
    /// The norms of the gradients of h and, where there is one, c after each step.
    norms: Vec<Vec<f64>>,
    /// X, and the norms of the gradients that were clipped at it at each step.
    clipped: Option<(f64, Vec<Vec<f64>>)>,
    singular_values: Vec<f64>,
}

/// Measures the cells, prints the norms at some steps, and draws all of them.
///
/// # Errors
/// A wrong call where no cell has a name; otherwise when the drawing cannot be written.
pub fn run(arguments: &GradientFlowArguments) -> Result<(), Failure> {
    let clip = arguments.clip;
    let (steps, hidden) = (arguments.steps as f64, arguments.hidden_size as f64);
    // W_hh of four gates thrice, and about twenty numbers of each unit at each step.
    let bytes = 4.0 * (12.0 * hidden * hidden + 20.0 * ROWS as f64 * steps * hidden);
    bounds::fits("--steps and --hidden-size", bytes)?;
    let mut flows = Vec::new();
    for name in &arguments.cell {
        if !sequence_layers().contains(&name.as_str()) {
            return Err(Failure::usage(format!(
                "cell {name}: no such cell; there are {}",
                sequence_layers().join(", ")
            )));
        }
        flows.push(measure(name, arguments, clip)?);
    }
    for flow in &flows {
        match arguments.json {
            true => say!("{}", json(flow))?,
            false => say!("{}", table(flow).trim_end())?,
        }
    }
    if let Some(path) = &arguments.plot {
        output::write_drawing(path, &plot(&flows, DrawingFormat::of(path)?)?, arguments.json)?;
    }
    Ok(())
}

fn measure(name: &str, arguments: &GradientFlowArguments, clip: Option<f64>) -> Result<Flow, Failure> {
    let (parameters, device) = (Parameters::new(arguments.seed), Device::Cpu);
    let settings = match has_setting(name, "forget_bias") {
        true => Settings::default().with("forget_bias", arguments.forget_bias),
        false => Settings::default(),
    };
    let hidden = arguments.hidden_size;
    let layer = sequence_layer(name, INPUT_SIZE, hidden, &settings, parameters.builder(&device))?;
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
    let flow = |clip| {
        layer.gradient_flow(&xs, clip)?.into_iter().next().ok_or_else(|| {
            Failure::usage(format!("cell {name}: is not recurrent, so that no gradient flows back through its states"))
        })
    };
    let GradientFlow { norms, singular_values } = flow(None)?;
    let clipped = clip.map(|clip| Ok::<_, Failure>((clip, flow(Some(clip))?.norms))).transpose()?;
    Ok(Flow { name: name.to_owned(), norms, clipped, singular_values })
}

/// Some steps from the last one back to the first, and the norms there.
fn table(flow: &Flow) -> String {
    let values: Vec<String> = flow.singular_values.iter().map(|value| format!("{value:.3}")).collect();
    let clip = flow.clipped.as_ref().map_or_else(String::new, |(clip, _)| format!("; gradient clipped at {clip}"));
    let mut text = format!("{}: largest singular value of W_hh {}{clip}\n", flow.name, values.join(", "));
    let steps = flow.norms.first().map_or(0, Vec::len);
    let few = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].into_iter().filter(|back| back + 1 < steps);
    let backs: Vec<usize> = few.chain(steps.checked_sub(1)).collect();
    let mut line = |what: &str, cells: String| text += &format!("  {what:<16}{cells}\n");
    line("steps back", backs.iter().map(|back| format!("{back:>10}")).collect());
    let mut norms = |all: &[Vec<f64>], more: &str| {
        for (norms, what) in all.iter().zip(STATES) {
            let cells = backs.iter().map(|back| format!("{:>10.1e}", norms[steps - 1 - back])).collect();
            line(&format!("{what}{more}"), cells);
        }
    };
    norms(&flow.norms, "");
    if let Some((_, clipped)) = &flow.clipped {
        norms(clipped, " clipped");
    }
    text
}

fn json(flow: &Flow) -> serde_json::Value {
    let mut found =
        serde_json::json!({ "cell": flow.name, "norms": flow.norms, "singular_values": flow.singular_values });
    if let Some((clip, norms)) = &flow.clipped {
        found["clip"] = serde_json::json!(clip);
        found["clipped_norms"] = serde_json::json!(norms);
    }
    found
}

fn plot(flows: &[Flow], format: DrawingFormat) -> candlewick::pages::Result<Vec<u8>> {
    let cells: Vec<GradientNorms<'_>> = flows
        .iter()
        .map(|Flow { name, norms, clipped, .. }| GradientNorms {
            name,
            norms,
            clipped: clipped.as_ref().map_or(&[], |(_, norms)| norms),
        })
        .collect();
    gradient_flow_plot(&cells, format)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::program::arguments::{Arguments, Command};
    use clap::Parser;

    fn flow(words: &str, clip: Option<f64>) -> Flow {
        let words =
            ["candlewick", "gradient-flow", "--input-scale", "1e-4"].into_iter().chain(words.split_whitespace());
        let Command::GradientFlow(arguments) = Arguments::try_parse_from(words).unwrap().command else {
            panic!("another command")
        };
        measure(&arguments.cell[0], &arguments, clip).unwrap_or_else(|failure| panic!("{failure:?}"))
    }

    #[test]
    fn the_table_goes_back_to_the_first_step() {
        for (steps, wanted) in [("1", "0"), ("2", "0 1"), ("11", "0 1 2 5 10"), ("200", "0 1 2 5 10 20 50 100 199")] {
            let said = table(&flow(&format!("--cell rnn --hidden-size 4 --steps {steps}"), None));
            let backs: Vec<&str> = said.lines().nth(1).unwrap().split_whitespace().skip(2).collect();
            assert_eq!(backs.join(" "), wanted, "{said}");
            assert_eq!((said.lines().count(), said.contains("clipped")), (3, false), "{said}");
        }
    }

    #[test]
    fn the_table_the_drawing_and_the_numbers_tell_both_gradients() {
        let rnn = flow("--cell rnn --steps 80 --singular-value 4", Some(8.0));
        let (clip, clipped) = rnn.clipped.as_ref().unwrap();
        assert!(*clip == 8.0 && (clipped[0][0] - 8.0).abs() < 1e-4 && rnn.norms[0][0] > 1e4, "{clipped:?}");
        let said = table(&rnn);
        assert!(said.contains("rnn: largest singular value of W_hh 4.000; gradient clipped at 8\n"), "{said}");
        let last = |what: &str| {
            let line = said.lines().find(|line| line.trim_start().starts_with(&format!("{what} "))).unwrap();
            line.split_whitespace().last().unwrap().to_owned()
        };
        assert_eq!(last("‖∂L/∂h‖ clipped"), "8.0e0", "{said}");
        assert_ne!(said.lines().nth(2).unwrap().split_whitespace().last(), Some("8.0e0"), "{said}");
        let found = json(&rnn);
        assert!(found["clip"] == 8.0 && found["clipped_norms"][0][0] == clipped[0][0] && found["norms"][0].is_array());
        let lstm = flow("--cell lstm --hidden-size 8 --steps 40", None);
        assert!(json(&lstm).get("clip").is_none());

        let drawn = String::from_utf8(plot(&[rnn, lstm], DrawingFormat::Svg).unwrap()).unwrap();
        for (label, count) in [("rnn h", 1), ("rnn h clipped", 1), ("lstm c", 1), ("lstm h clipped", 0)] {
            assert_eq!(drawn.lines().filter(|line| line.trim() == label).count(), count, "{label}");
        }
    }
}
