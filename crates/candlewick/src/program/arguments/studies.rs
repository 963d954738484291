//! Arguments of the commands that show what the lecture compares.

use super::DeviceArguments;
use crate::program::bounds;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `networks`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick networks
  candlewick networks resnet50 densenet121 --plot networks.svg")]
pub struct NetworksArguments {
    /// The networks; all by default.
    pub names: Vec<String>,
    /// The side of the square picture that is looked at.
    #[arg(long, value_name = "PIXELS", default_value_t = 224, value_parser = bounds::count)]
    pub size: usize,
    /// Draw the networks as bubbles, multiply-adds across, published ImageNet top-1 up, parameters as area; the time is up where no top-1
    /// is published.
    #[arg(long, value_name = "FILE.svg|FILE.png", value_parser = bounds::drawing)]
    pub plot: Option<PathBuf>,
    /// Print one JSON object per network.
    #[arg(long)]
    pub json: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// Arguments of `units`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick units runs/war_and_peace dev.txt --out units.html
  candlewick units runs/linux kernel.c --property macro='^#.*$' --property number='\\b[0-9]+\\b'
  candlewick units runs/shakespeare tinyshakespeare.txt --length 20000 --json")]
pub struct UnitsArguments {
    /// A language model's folder or its run's.
    pub model: PathBuf,
    /// The text, such as a part of it that was not trained on; gzip too.
    pub file: PathBuf,
    /// One more property: it holds of the characters of each match of a regular expression, in which ^ and $ are the ends of a line; may be
    /// repeated.
    #[arg(long, value_name = "NAME=REGEX")]
    pub property: Vec<String>,
    /// How many characters of the text to read, from its beginning.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = bounds::count)]
    pub length: usize,
    /// Write a page of the text in the colours of its units, from which one goes from unit to unit and from property to property; of a long
    /// text it has the beginning.
    #[arg(long, value_name = "FILE.html")]
    pub out: Option<PathBuf>,
    /// How the letters are written: utf-8, latin1, or another label of the Encoding Standard.
    #[arg(long, value_name = "NAME", default_value = "utf-8")]
    pub encoding: String,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Show no progress.
    #[arg(long)]
    pub quiet: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// Arguments of `gradient-flow`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick gradient-flow --cell rnn,lstm,gru --steps 200
  candlewick gradient-flow --cell rnn --singular-value 1.1 --plot flow.svg")]
pub struct GradientFlowArguments {
    /// The cells, as a recipe names them.
    #[arg(long, value_delimiter = ',', default_value = "rnn,lstm,gru", value_name = "NAMES")]
    pub cell: Vec<String>,
    /// T, the steps of the sequences.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = bounds::count)]
    pub steps: usize,
    /// H, the size of the hidden state.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = bounds::count)]
    pub hidden_size: usize,
    /// Scale W_hh, each gate's part of it, to this largest singular value; as drawn without it.
    #[arg(long, value_name = "X", value_parser = bounds::positive)]
    pub singular_value: Option<f64>,
    /// The bias of the LSTM's forget gate: at 5 it keeps 99 % of the memory at each step, at 0 the half.
    #[arg(long, default_value_t = 5.0, value_name = "X", value_parser = bounds::number, allow_hyphen_values = true)]
    pub forget_bias: f64,
    /// The standard deviation of the random inputs; small ones keep tanh near its linear part.
    #[arg(long, default_value_t = 0.1, value_name = "X", value_parser = bounds::number)]
    pub input_scale: f64,
    /// Show the gradient clipped at this norm too, cut at each step as it is carried back.
    #[arg(long, value_name = "X", value_parser = bounds::positive)]
    pub clip: Option<f64>,
    /// What weights and inputs are drawn from.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Draw the norms at all steps.
    #[arg(long, value_name = "FILE.svg|FILE.png", value_parser = bounds::drawing)]
    pub plot: Option<PathBuf>,
    /// Print one JSON object per cell.
    #[arg(long)]
    pub json: bool,
}
