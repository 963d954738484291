//! Arguments of the commands that use a model or its weights.

use super::{DeviceArguments, SearchArguments};
use crate::program::bounds;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `caption`.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("pictures").args(["photos", "list", "watch", "html"]).required(true).multiple(true),
    after_help = "\
Examples:
  candlewick caption models/scenes/example.png --attention looked
  candlewick caption *.jpg --model runs/flickr8k --beam 5
  candlewick caption photos --recursive --model runs/flickr8k --write xmp
  candlewick caption --watch incoming --model runs/flickr8k --write txt --prefix 'a photo of '
  candlewick caption --html index.html --model runs/flickr8k
  candlewick caption photo.jpg --model runs/flickr8k --include 'dog|dogs' --exclude man
  candlewick caption photo.jpg --model runs/one --model runs/other
  candlewick caption photo.jpg --model runs/flickr8k --attention looked-at --json"
)]
pub struct CaptionArguments {
    /// The pictures: JPEG, PNG, WebP, BMP, GIF, TIFF or PPM; a folder stands for all in it, - for one from standard input.
    #[arg(value_name = "PICTURE|DIR|-")]
    pub photos: Vec<PathBuf>,
    /// A file with the path of a picture or folder on each line; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
    /// Look into the folders in folders too.
    #[arg(long)]
    pub recursive: bool,
    /// Write each caption beside its picture and print none but with --json; pictures that have one already are left as they are.
    #[arg(long, value_name = "FORMAT", conflicts_with = "html")]
    pub write: Option<crate::program::caption::Format>,
    /// What each written caption begins with.
    #[arg(long, value_name = "TEXT", requires = "write", allow_hyphen_values = true)]
    pub prefix: Option<String>,
    /// What each written caption ends with.
    #[arg(long, value_name = "TEXT", requires = "write", allow_hyphen_values = true)]
    pub suffix: Option<String>,
    /// Write captions anew where there are some.
    #[arg(long, requires = "write")]
    pub overwrite: bool,
    /// Caption the pictures that come into a folder, until Ctrl-C; with --write also those that lie there without a caption.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["photos", "list", "html", "regions", "attention"])]
    pub watch: Option<PathBuf>,
    /// Fill the empty or missing alt of the images that lie beside an HTML page; nothing else of the page changes.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["photos", "list", "regions", "attention", "json", "n_best"])]
    pub html: Option<PathBuf>,
    /// A model folder or a run's folder; the built-in model by default, which knows generated scenes only. Several, one after each
    /// --model, tell as one: their probabilities are averaged.
    #[arg(long, value_name = "DIR")]
    pub model: Vec<PathBuf>,
    /// The pretrained weights of the encoder, where they are not where training had them.
    #[arg(long, value_name = "FILE|hub:REPO")]
    pub encoder_weights: Option<PathBuf>,
    /// How captions are searched for.
    #[command(flatten)]
    pub search: SearchArguments,
    /// How many captions to write for each picture, best first.
    #[arg(long, visible_alias = "num-return-sequences", value_name = "N", default_value_t = 1, value_parser = bounds::count)]
    pub n_best: usize,
    /// The file of regions in the photos, for captioners that were trained on regions.
    #[arg(long, value_name = "FILE", conflicts_with = "mirrored")]
    pub regions: Option<PathBuf>,
    /// Write a picture per word of where the network looked, into a folder per photo.
    #[arg(long, value_name = "DIR")]
    pub attention: Option<PathBuf>,
    /// Print one JSON object per picture.
    #[arg(long)]
    pub json: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// Arguments of `sample`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick sample --model runs/shakespeare --prime 'ROMEO:' --length 500 --temperature 0.8
  candlewick sample --model runs/shakespeare --temperature 0
  candlewick sample --model runs/shakespeare --count 3 --seed 7 --json")]
pub struct SampleArguments {
    /// A language model's folder or its run's; without it the small Shakespeare in the program writes.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// The text that is gone on from; a line end by default.
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true)]
    pub prime: String,
    /// How many tokens to write: characters of a model of characters.
    #[arg(long, visible_alias = "max-new-tokens", value_name = "N", value_parser = bounds::count)]
    pub length: Option<usize>,
    /// Draw from softmax(logits / X); 0 takes the likeliest each time.
    #[arg(long, value_name = "X", value_parser = bounds::temperature)]
    pub temperature: Option<f64>,
    /// Draw among the N likeliest; 0 among all.
    #[arg(long, value_name = "N")]
    pub top_k: Option<usize>,
    /// Draw among the fewest likeliest whose probabilities reach this sum.
    #[arg(long, value_name = "X", value_parser = bounds::share)]
    pub top_p: Option<f64>,
    /// How many texts.
    #[arg(long, visible_alias = "num-return-sequences", value_name = "N", default_value_t = 1, value_parser = bounds::count)]
    pub count: usize,
    /// What is drawn from; another for each of several texts.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// drawn or softmax: what the network is given of what it wrote, the token that was drawn or the whole distribution. With softmax
    /// nothing is drawn: the likeliest token is written down.
    #[arg(long, value_name = "WORD", default_value = "drawn", value_parser = ["drawn", "softmax"])]
    pub feed: String,
    /// Print one JSON object per text.
    #[arg(long)]
    pub json: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// Arguments of `classify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick classify photo.jpg --model resnet50 --weights resnet50.safetensors
  candlewick classify photo.jpg --model resnet18 --weights hub:timm/resnet18.tv_in1k
  candlewick classify digit.png --model runs/mnist
  candlewick classify --text 'a fine film' --model runs/sst2
  candlewick classify digit.wav --model runs/spoken_digits
  candlewick classify film.gif --model runs/weizmann --plot strips")]
pub struct ClassifyArguments {
    /// Files of what the model was trained on: pictures (JPEG, PNG, WebP, BMP, GIF, TIFF or PPM), sounds (WAV), tables of numbers (CSV), notes
    /// (JSON), or clips (a folder of pictures, GIF, or a film where ffmpeg is there).
    #[arg(value_name = "FILE", required_unless_present = "texts")]
    pub photos: Vec<PathBuf>,
    /// A text, for a model that was trained on texts; may be repeated. In a terminal its words have the colour of their weight, where
    /// attention pools them.
    #[arg(long = "text", value_name = "TEXT", allow_hyphen_values = true)]
    pub texts: Vec<String>,
    /// A classifier's folder or run, or the name of a network whose weights --weights names.
    #[arg(long, value_name = "DIR|NETWORK")]
    pub model: String,
    /// The network's weights: safetensors, a PyTorch checkpoint (.pth, .pt, .bin), or hub:REPO on the Hugging Face hub.
    #[arg(long, value_name = "FILE|hub:REPO")]
    pub weights: Option<String>,
    /// The classes' names in order, a line each; without it ImageNet's for a thousand classes, else numbers.
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// Write a drawing of each clip, a strip with what is told as it goes on, or of each piece of music, a piano roll, into a folder.
    #[arg(long, value_name = "DIR")]
    pub plot: Option<PathBuf>,
    /// How many classes to tell of each picture, text or file.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = bounds::count)]
    pub top: usize,
    /// Print one JSON object per picture, text or sequence.
    #[arg(long)]
    pub json: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// Arguments of `answer`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick answer models/scenes/example.png 'how many shapes are there?'
  candlewick answer photo.jpg 'what is the man riding?' --model runs/flickr8k_questions
  candlewick answer photo.jpg 'what color is the dog?' --choices 'brown|black|white|yellow' --model runs/flickr8k_questions
  candlewick answer scene.png 'what is left of the red star?' --attention looked")]
pub struct AnswerArguments {
    /// The picture: JPEG, PNG, WebP, BMP, GIF, TIFF or PPM.
    pub photo: PathBuf,
    /// What is asked about it.
    pub question: String,
    /// What the answer is one of: 'a bike|a horse|a boat'; open without it.
    #[arg(long, value_name = "A|B|…")]
    pub choices: Option<String>,
    /// How many answers to tell.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = bounds::count)]
    pub top: usize,
    /// Write a picture of where each hop of attention looked and a page with all, answer.html, into a folder.
    #[arg(long, value_name = "DIR")]
    pub attention: Option<PathBuf>,
    /// The folder or run of a model that answers questions; the built-in model by default, which knows generated scenes only.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// The pretrained weights of the encoder, where they are not where training had them.
    #[arg(long, value_name = "FILE|hub:REPO")]
    pub encoder_weights: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// Arguments of `glimpse`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick glimpse seven.png --model runs/glimpses
  candlewick glimpse *.png --model runs/glimpses --out looks
  candlewick glimpse seven.png --model runs/glimpses --samples 10 --json")]
pub struct GlimpseArguments {
    /// The pictures, of the size that the model was trained on: JPEG, PNG, WebP, BMP, GIF, TIFF or PPM.
    #[arg(value_name = "PICTURE", required = true)]
    pub pictures: Vec<PathBuf>,
    /// The folder or run of a recurrent attention model.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// Draw the looks into a folder: a strip, NAME.svg, and an animation, NAME.gif, for each picture.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// How many looks-through are averaged, each from a first look of its own.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = bounds::count)]
    pub samples: usize,
    /// What first looks are drawn from.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Print one JSON object per picture.
    #[arg(long)]
    pub json: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// Arguments of `draw`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick draw
  candlewick draw --model runs/draw --count 64 --seed 7
  candlewick draw --model runs/draw --like three.png seven.png --out again
  candlewick draw --model runs/draw --like three.png --json")]
pub struct DrawArguments {
    /// The folder or run of a DRAW network; without it the small one in the program draws digits.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// How many pictures to draw.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = bounds::count, conflicts_with = "like")]
    pub count: usize,
    /// Draw these pictures again instead, of the size that the model draws: JPEG, PNG, WebP, BMP, GIF, TIFF or PPM.
    #[arg(long, value_name = "PICTURE", num_args = 1..)]
    pub like: Vec<PathBuf>,
    /// What is drawn from.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// The folder for the drawings: drawn.png, the canvas after each step as drawn.gif, and steps side by side as drawn.svg.
    #[arg(long, value_name = "DIR", default_value = "drawn")]
    pub out: PathBuf,
    /// Print one JSON object: the files, and of pictures that are drawn again the bound of −log p in nats, with KL of each step.
    #[arg(long)]
    pub json: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArguments,
}

/// Arguments of `convert`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick convert resnet50.pth resnet50.safetensors
  candlewick convert checkpoint.pth resnet50.safetensors --key state_dict --prefix backbone.")]
pub struct ConvertArguments {
    /// The PyTorch checkpoint: a state dict, or one under a key.
    pub from: PathBuf,
    /// The safetensors file to write.
    pub to: PathBuf,
    /// The key under which the checkpoint keeps its state dict, such as state_dict, or model.ema for a dict in a dict.
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Take only the tensors whose names begin with this, such as backbone., and take it from the names.
    #[arg(long, value_name = "PREFIX")]
    pub prefix: Option<String>,
}

/// Arguments of `translate`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick translate 'Ein Hund läuft am Strand.' --model runs/multi30k
  candlewick translate german.txt --model runs/multi30k --beam 10 > english.txt
  candlewick translate - --model runs/one --model runs/other --json
  candlewick translate 'Ein Hund läuft am Strand.' --model runs/multi30k --alignment looked")]
pub struct TranslateArguments {
    /// Sentences, files with a sentence a line, or - for the lines of standard input.
    #[arg(value_name = "TEXT|FILE|-", required = true)]
    pub texts: Vec<String>,
    /// A translator's folder or its run's. Several, one after each --model, tell as one: their probabilities are averaged.
    #[arg(long, required = true, value_name = "DIR")]
    pub model: Vec<PathBuf>,
    /// Beams of the search; 1 takes the likeliest token at each step.
    #[arg(long, visible_alias = "num-beams", value_name = "N", value_parser = bounds::count)]
    pub beam: Option<usize>,
    /// How many translations to write of each sentence, best first.
    #[arg(long, visible_alias = "num-return-sequences", value_name = "N", default_value_t = 1, value_parser = bounds::count)]
    pub n_best: usize,
    /// The power x in the score Σ log p / length^x: the larger, the longer the translations.
    #[arg(long, value_name = "X", value_parser = bounds::number, allow_hyphen_values = true)]
    pub length_penalty: Option<f64>,
    /// The longest translation in tokens.
    #[arg(long, visible_alias = "max-new-tokens", value_name = "N", value_parser = bounds::count)]
    pub max_tokens: Option<usize>,
    /// Draw where each word was looked for, source by target, into NUMBER.svg in a folder.
    #[arg(long, value_name = "DIR")]
    pub alignment: Option<PathBuf>,
    /// Print one JSON object per sentence.
    #[arg(long)]
    pub json: bool,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArguments,
}
