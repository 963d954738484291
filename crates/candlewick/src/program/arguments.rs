//! What can be said on the command line.

use super::bounds;
use super::version::VERSION;
use candlewick::candle::DType;
use candlewick::kernels::precision::Precision;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

/// Looks at pictures and tells what is on them.
#[derive(Debug, Parser)]
#[command(
    version = VERSION,
    arg_required_else_help = true,
    after_help = "\
Examples:
  candlewick train                         train on generated scenes and caption unseen ones
  candlewick caption scene.png             caption a generated scene with the built-in model
  candlewick train models/flickr8k/train.toml --data flickr8k --encoder-weights resnet50.safetensors
  candlewick evaluate --model runs/flickr8k --data flickr8k --split dev --beam 5
  candlewick compare runs/flickr8k runs/flickr8k-vanilla --data flickr8k
  candlewick classify photo.jpg --model resnet50 --weights resnet50.safetensors
  candlewick convert resnet50.pth resnet50.safetensors
  candlewick networks
  candlewick gradient-flow --cell rnn,lstm,gru --steps 200"
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model as a recipe says; without a recipe on generated scenes.
    Train(TrainArguments),
    /// List the recipes that are in the program.
    Recipes,
    /// Print a recipe.
    Recipe(RecipeArguments),
    /// Write a caption for each picture.
    Caption(CaptionArguments),
    /// Score a model on a split of a set: a captioner as the COCO scorer does, a classifier by its accuracy.
    Evaluate(EvaluateArguments),
    /// Score captions that anybody wrote, in COCO's result format, as the COCO scorer does.
    Score(ScoreArguments),
    /// Train or take several captioners and write one table and one page with their captions side by side.
    Compare(CompareArguments),
    /// Tell which of its classes each picture shows.
    Classify(ClassifyArguments),
    /// Write a trained model as one folder to give away: all weights in one file, no paths, a card.
    Export(ExportArguments),
    /// Write text as a language model does.
    Sample(SampleArguments),
    /// Turn a PyTorch checkpoint into safetensors.
    Convert(ConvertArguments),
    /// Compare the networks: parameters, multiply-adds, memory, and time on this machine.
    Networks(NetworksArguments),
    /// Show how far the gradient reaches back through recurrent cells.
    GradientFlow(GradientFlowArguments),
    /// Print what makes a shell complete commands and options.
    Completions(CompletionsArguments),
    /// Write manual pages, one of the program and one of each command.
    Man(ManArguments),
}

/// Where to compute.
#[derive(Debug, Args)]
pub struct DeviceArguments {
    /// auto, cpu, cuda, cuda:N, metal or metal:N; auto takes CUDA, then Metal, then the CPU.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// CPU threads; all cores by default.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// highest or medium: how precisely matrices are multiplied. medium rounds the factors, on CPUs where that is faster
    /// (Intel's AMX, AMD's AVX512-BF16) to bf16, on CUDA to TF32, and makes no difference elsewhere.
    #[arg(long, default_value = "highest", value_name = "WORD")]
    pub precision: Precision,
}

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

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick completions bash > ~/.local/share/bash-completion/completions/candlewick
  candlewick completions zsh > ~/.zfunc/_candlewick
  candlewick completions fish > ~/.config/fish/completions/candlewick.fish")]
pub struct CompletionsArguments {
    /// The shell.
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  candlewick man ~/.local/share/man/man1")]
pub struct ManArguments {
    /// The folder, which is made where it is missing.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
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

/// How captions are searched for; what is left out comes from the model's generation_config.json.
#[derive(Debug, Args)]
pub struct SearchArguments {
    /// Beams of the search; 1 takes the likeliest word at each step.
    #[arg(long, visible_alias = "num-beams", value_name = "N", value_parser = bounds::count)]
    pub beam: Option<usize>,
    /// Groups of beams, each of which avoids the words of those before it (diverse beam search).
    #[arg(long, visible_alias = "num-beam-groups", value_name = "N", value_parser = bounds::count)]
    pub beam_groups: Option<usize>,
    /// How strongly groups avoid each other's words: what a word that another took costs, in nats.
    #[arg(long, visible_alias = "diversity-penalty", value_name = "X", requires = "beam_groups", value_parser = bounds::number)]
    pub diversity: Option<f64>,
    /// Words that come in every caption, in this order, or one of several: 'dog|dogs|two puppies'; may be repeated. Without --beam it takes
    /// the beams of --n-best, 5 at least.
    #[arg(long, value_name = "WORDS")]
    pub include: Vec<String>,
    /// Words that come in no caption, in this order, or none of several: 'man|men'; may be repeated.
    #[arg(long, value_name = "WORDS")]
    pub exclude: Vec<String>,
    /// The longest caption in words.
    #[arg(long, visible_alias = "max-new-tokens", value_name = "N", value_parser = bounds::count)]
    pub max_words: Option<usize>,
    /// The shortest caption in words.
    #[arg(long, visible_alias = "min-new-tokens", value_name = "N")]
    pub min_words: Option<usize>,
    /// Draw words at random, as the next five options do too; without them the likeliest words are searched for.
    #[arg(long, visible_alias = "do-sample")]
    pub sample: bool,
    /// Draw words, from softmax(logits / X): below 1 keener, above 1 more even.
    #[arg(long, value_name = "X", value_parser = bounds::positive)]
    pub temperature: Option<f64>,
    /// Draw words among the N likeliest; 0 among all.
    #[arg(long, value_name = "N")]
    pub top_k: Option<usize>,
    /// Draw words among the fewest likeliest whose probabilities reach this sum.
    #[arg(long, value_name = "X", value_parser = bounds::share)]
    pub top_p: Option<f64>,
    /// Draw words among those whose surprise is nearest to the entropy, until their probabilities reach this sum.
    #[arg(long, value_name = "X", value_parser = bounds::share)]
    pub typical_p: Option<f64>,
    /// Draw words from this seed.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// No N words of this N come twice in a caption.
    #[arg(long, value_name = "N")]
    pub no_repeat_ngram_size: Option<usize>,
    /// What scores of words already written are divided (above 0) or multiplied (below 0) by.
    #[arg(long, value_name = "X", value_parser = bounds::positive)]
    pub repetition_penalty: Option<f64>,
    /// The power x in the score Σ log p / length^x, 1 in fresh models: the larger, the longer the captions; above 0 favours long ones.
    #[arg(long, value_name = "X", value_parser = bounds::number, allow_hyphen_values = true)]
    pub length_penalty: Option<f64>,
    /// Look at each picture twice, as it is and mirrored, and tell from both as one.
    #[arg(long)]
    pub mirrored: bool,
}

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
    pub write: Option<super::caption::Format>,
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
    /// A language model's folder or its run's.
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
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

/// Photos with captions.
#[derive(Debug, Args)]
pub struct SetArguments {
    /// The folder or file of photos and captions.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// train, dev or test.
    #[arg(long, default_value = "dev", value_name = "SPLIT")]
    pub split: String,
    /// The share of photos that is the dev split where their files name no splits, as data.dev_share of the recipe that trained on them; a
    /// tenth by default.
    #[arg(long, value_name = "X", value_parser = bounds::share)]
    pub dev_share: Option<f64>,
    /// The share of photos or captions that may be broken and are skipped.
    #[arg(long, default_value_t = 0.01, value_name = "X", value_parser = bounds::share)]
    pub max_share: f64,
    /// The file of regions in the photos, for captioners that were trained on regions.
    #[arg(long, value_name = "FILE", conflicts_with = "mirrored")]
    pub regions: Option<PathBuf>,
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
    /// Where the result and score files go; runs/evaluation/SPLIT-beamN by default.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Write what COCO's caption server takes: NAME.zip in the same folder, with captions_DATASET_NAME_results.json. A NAME.zip that lies
    /// there keeps its other data sets. Photos without captions of people are captioned and not scored.
    #[arg(long, value_name = "NAME")]
    pub coco_zip: Option<String>,
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

/// Arguments of `classify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  candlewick classify photo.jpg --model resnet50 --weights resnet50.safetensors
  candlewick classify photo.jpg --model resnet18 --weights hub:timm/resnet18.tv_in1k
  candlewick classify digit.png --model runs/mnist")]
pub struct ClassifyArguments {
    /// The pictures: JPEG, PNG, WebP, BMP, GIF, TIFF or PPM.
    #[arg(required = true)]
    pub photos: Vec<PathBuf>,
    /// A classifier's folder or run, or the name of a network whose weights --weights names.
    #[arg(long, value_name = "DIR|NETWORK")]
    pub model: String,
    /// The network's weights: safetensors, a PyTorch checkpoint (.pth, .pt, .bin), or hub:REPO on the Hugging Face hub.
    #[arg(long, value_name = "FILE|hub:REPO")]
    pub weights: Option<String>,
    /// The classes' names in order, a line each; without it ImageNet's for a thousand classes, else numbers.
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// How many classes to tell of each picture.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = bounds::count)]
    pub top: usize,
    /// Print one JSON object per picture.
    #[arg(long)]
    pub json: bool,
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
