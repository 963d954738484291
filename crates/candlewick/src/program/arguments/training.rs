//! Arguments of the commands that train, judge and give away models.

use super::{DeviceArguments, SearchArguments, SetArguments};
use crate::program::bounds;
use candlewick::candle::DType;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `recipe`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick recipe flickr8k > my.toml
  candlewick recipe flickr8k-hard --full --set training.epochs=2
  candlewick recipe flickr8k --schema > recipe.schema.json")]
pub struct RecipeArguments {
    /// The name of a built-in recipe, or a TOML file.
    pub recipe: String,
    /// Every setting, on its base, with the defaults of those that it leaves out.
    #[arg(long)]
    pub full: bool,
    /// The JSON schema of all settings of the recipe's task, for editors that complete and check TOML.
    #[arg(long, conflicts_with = "full")]
    pub schema: bool,
    /// Change a setting of the recipe; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "full")]
    pub set: Vec<String>,
}

/// Arguments of `train`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick train
  candlewick train --set training.epochs=3 --out runs/short
  candlewick train flickr8k --data DIR --encoder-weights resnet50.safetensors")]
pub struct TrainArguments {
    /// The recipe, a TOML file or the name of a built-in one (candlewick recipes lists them); without it that of generated scenes.
    pub recipe: Option<PathBuf>,
    /// Change a setting of the recipe, for instance training.epochs=3; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The folder or file of photos and captions.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The pretrained weights of the encoder under their published names: safetensors, a PyTorch checkpoint, or hub:REPO on the Hugging
    /// Face hub.
    #[arg(long, value_name = "FILE|hub:REPO")]
    pub encoder_weights: Option<PathBuf>,
    /// A file of regions that an object detector saw in the photos (bottom-up features), in the encoder's place.
    #[arg(long, value_name = "FILE", conflicts_with = "encoder_weights")]
    pub regions: Option<PathBuf>,
    /// The model folder or run whose weights training starts from.
    #[arg(long, value_name = "DIR")]
    pub start: Option<PathBuf>,
    /// The run's folder; runs/NAME by default. A run that lies there is gone on with.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print one JSON object as the last line of standard output.
    #[arg(long)]
    pub json: bool,
    /// Print nothing but the result and faults.
    #[arg(long)]
    pub quiet: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick evaluate --model runs/flickr8k --data flickr8k --split dev --beam 5
  candlewick evaluate --model runs/coco --data coco/annotations/captions_val2014.json --out server --coco-zip mine
  candlewick evaluate --model runs/coco --data coco/annotations/image_info_test2014.json --split test --out server --coco-zip mine")]
pub struct EvaluateArguments {
    /// A model folder or a run's folder. Several, one after each --model, tell as one: their probabilities are averaged.
    #[arg(long, required = true, value_name = "DIR")]
    pub model: Vec<PathBuf>,
    /// What is captioned.
    #[command(flatten)]
    pub set: SetArguments,
    /// The pretrained weights of the encoder, where they are not where training had them.
    #[arg(long, value_name = "FILE|hub:REPO")]
    pub encoder_weights: Option<PathBuf>,
    /// How captions are searched for.
    #[command(flatten)]
    pub search: SearchArguments,
    /// How the letters of a text are written, for models of texts: utf-8, latin1, or another label of the Encoding Standard.
    #[arg(long, value_name = "LABEL")]
    pub encoding: Option<String>,
    /// Where the result and score files go; runs/evaluation/SPLIT-beamN by default.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write what COCO's caption server takes: NAME.zip in the same folder, with captions_DATASET_NAME_results.json. A NAME.zip that lies
    /// there keeps its other data sets. Photos without captions of people are captioned and not scored.
    #[arg(long, value_name = "NAME")]
    pub coco_zip: Option<String>,
    /// The folder of the photos that questions are about, where they are not beside the questions.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// The folder of WordNet's database files, for the scores WUPS of answers to questions.
    #[arg(long, value_name = "DIR")]
    pub wordnet: Option<PathBuf>,
    /// How many draws of each picture are averaged, for models that draw where to look first, or z.
    #[arg(long, value_name = "N", value_parser = bounds::count)]
    pub samples: Option<usize>,
    /// Print one JSON object with the scores and the path of the results file.
    #[arg(long)]
    pub json: bool,
    /// Print nothing but the result and faults.
    #[arg(long)]
    pub quiet: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// Arguments of `score`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick score captions_val2014.json results.json
  candlewick score flickr8k results.json --json")]
pub struct ScoreArguments {
    /// What people say of the pictures: the folder or file of any caption format; the pictures themselves need not be there.
    #[arg(value_name = "REFERENCES")]
    pub references: PathBuf,
    /// The captions to score: [{\"image_id\": …, \"caption\": …}, …].
    #[arg(value_name = "RESULTS")]
    pub results: PathBuf,
    /// Write the scores of all and of each picture into this file, as COCO's scorer does.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// The share of reference captions that may be broken and are skipped.
    #[arg(long, default_value_t = 0.01, value_name = "X", value_parser = bounds::share)]
    pub max_share: f64,
    /// Print one JSON object with the scores.
    #[arg(long)]
    pub json: bool,
    /// Print nothing but the result and faults.
    #[arg(long)]
    pub quiet: bool,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick compare runs/flickr8k runs/flickr8k-vanilla --data flickr8k --beam 5
  candlewick compare models/flickr8k/{vanilla,show_tell,train,top_down}.toml --data flickr8k --encoder-weights resnet50.safetensors")]
pub struct CompareArguments {
    /// Recipes, which are trained into runs/NAME or gone on with there, one after the other as they are given here, and model folders or
    /// runs, which are taken as they are. A recipe may start from the run of one before it.
    #[arg(required = true, value_name = "RECIPE|DIR")]
    pub captioners: Vec<PathBuf>,
    /// Change a setting of every recipe, for instance training.epochs=3; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set_recipes: Vec<String>,
    /// What is captioned.
    #[command(flatten)]
    pub set: SetArguments,
    /// The pretrained weights of the encoder.
    #[arg(long, value_name = "FILE|hub:REPO")]
    pub encoder_weights: Option<PathBuf>,
    /// How captions are searched for.
    #[command(flatten)]
    pub search: SearchArguments,
    /// Where table and page go.
    #[arg(long, default_value = "runs/comparison", value_name = "DIR")]
    pub out: PathBuf,
    /// Pictures on the page.
    #[arg(long, default_value_t = 40, value_name = "N")]
    pub shown: usize,
    /// Print one JSON object with each captioner's scores and the path of the page.
    #[arg(long)]
    pub json: bool,
    /// Print nothing but the table and faults.
    #[arg(long)]
    pub quiet: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick export runs/flickr8k flickr8k-captioner
  candlewick export runs/flickr8k flickr8k-captioner --dtype bf16")]
pub struct ExportArguments {
    /// A run's folder, whose best checkpoint is taken, or a model folder.
    pub run: PathBuf,
    /// The folder to write, absent or empty.
    pub out: PathBuf,
    /// The type of the weights in the file: f32, f16 or bf16; they are computed with in f32 whatever it is.
    #[arg(long, default_value = "f32", value_name = "WORD", value_parser = bounds::dtype)]
    pub dtype: DType,
    /// The pretrained weights of the encoder, where they are not where training had them.
    #[arg(long, value_name = "FILE|hub:REPO")]
    pub encoder_weights: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}
