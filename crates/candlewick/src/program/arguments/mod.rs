//! What can be said on the command line.

mod studies;
mod training;
mod using;

use super::bounds;
use super::version::VERSION;
use candlewick::kernels::precision::Precision;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

pub use studies::{GradientFlowArguments, NetworksArguments, UnitsArguments};
pub use training::{
    CompareArguments, EvaluateArguments, ExportArguments, RecipeArguments, ScoreArguments, TrainArguments,
};
pub use using::{
    AnswerArguments, CaptionArguments, ClassifyArguments, ConvertArguments, DrawArguments, GlimpseArguments,
    SampleArguments, TranslateArguments,
};

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
  candlewick answer photo.jpg 'what is the man riding?' --model runs/flickr8k_questions
  candlewick convert resnet50.pth resnet50.safetensors
  candlewick networks
  candlewick gradient-flow --cell rnn,lstm,gru --steps 200
  candlewick units runs/war_and_peace dev.txt"
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
    /// Score a model on a split of a set: a captioner as the COCO scorer does, a translator as sacreBLEU does, a classifier by its accuracy.
    Evaluate(EvaluateArguments),
    /// Score captions that anybody wrote, in COCO's result format, as the COCO scorer does.
    Score(ScoreArguments),
    /// Train or take several captioners and write one table and one page with their captions side by side.
    Compare(CompareArguments),
    /// Tell which of its classes each picture shows, or each text is of.
    Classify(ClassifyArguments),
    /// Answer a question about a picture.
    Answer(AnswerArguments),
    /// Tell what a picture shows from a series of looks, each chosen from what was seen before.
    Glimpse(GlimpseArguments),
    /// Draw pictures step by step, anew or like given ones.
    Draw(DrawArguments),
    /// Write a trained model as one folder to give away: all weights in one file, no paths, a card.
    Export(ExportArguments),
    /// Write text as a language model does.
    Sample(SampleArguments),
    /// Find the units of a language model that tell where a text has quotes, comments, its lines' ends and more.
    Units(UnitsArguments),
    /// Translate sentences.
    Translate(TranslateArguments),
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
    /// highest, medium, bf16 or f16: how precisely matrices are multiplied; by default as the recipe's training.precision says, or
    /// highest. medium rounds the factors, on CPUs where that is faster (Intel's AMX, AMD's AVX512-BF16) to bf16, on CUDA to TF32,
    /// and makes no difference elsewhere; bf16 and f16 take that on CUDA, in linear and recurrent layers, attention and convolution.
    #[arg(long, value_name = "WORD")]
    pub precision: Option<Precision>,
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

/// How captions are searched for; what is left out comes from the model's generation_config.json.
#[derive(Clone, Debug, Args)]
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

/// Photos with captions.
#[derive(Debug, Args)]
pub struct SetArguments {
    /// The folder or file of photos and captions, or of what else the model tells; moving or adding, where what it learned from is drawn.
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
