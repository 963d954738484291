//! Our side of `scripts/bench.sh`: one case a process, timed each time that a line comes in.
//!
//! `cases [--cuda] [--medium | --bf16 | --f16] [--whole] GROUP/CASE` reads lines from standard input; for each it runs the case once, then again and again for as long as
//! `TURN`, and prints the mean of those in milliseconds. At the end
//! of the input it prints the peak memory in MiB. With `--medium` products are in bf16, on CUDA in TF32. `cases --list` prints all names, and `cases --model FOLDER WEIGHTS` writes a
//! captioner with fresh values on a ResNet-50 whose weights are in that file, for the cases that are whole programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use candlewick::candle::{DType, Device, Result, Tensor, Var};
use candlewick::captioning::{
    Annotations, AttentionDecoder, AttentionDecoderConfig, Captioner, CaptionerInit, LossConfig, SourceDecoder as _,
    caption_loss, source,
};
use candlewick::data::text::words::WordTokenizer;
use candlewick::encoders::{Architecture, NetworkConfig, Preprocessing, file_hash};
use candlewick::generation::{Decoder, GenerationConfig, generate};
use candlewick::kernels::conv::{Conv2d, conv2d};
use candlewick::kernels::node::backward;
use candlewick::kernels::precision::{self, Precision, set_float32_matmul_precision};
use candlewick::kernels::recurrence::set_whole_sequences;
use candlewick::kernels::{device::cuda, thread_pool};
use candlewick::parameters::{Mode, Parameters, Rng, SafetensorsFile};
use candlewick::recurrent::{BuildCell, GruCell, LstmCell, RnnCell, SequenceLayer as _, Stack, StackConfig};
use candlewick::training::{OptimizerConfig, optim::Optimizer};
use candlewick::vision::{EncoderConfig, WeightsFile};
use std::io::BufRead;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The program's own.
#[path = "../src/allocator.rs"]
mod allocator;

/// The device that all cases run on.
static DEVICE: OnceLock<Device> = OnceLock::new();

fn device() -> &'static Device {
    DEVICE.get_or_init(|| Device::Cpu)
}

/// How long a case runs each time: threads are awake and caches filled, as in the middle of a training.
const TURN: Duration = Duration::from_millis(400);

type Case = Box<dyn FnMut() -> Result<()>>;

/// N, T, D and H of the recurrent cases, and their layers and directions.
const SEQUENCES: [(&str, [usize; 4], usize, bool); 5] = [
    ("n32t64h512", [32, 64, 512, 512], 1, false),
    ("n64t20h512", [64, 20, 512, 512], 1, false),
    ("n32t64h512-two-layers", [32, 64, 512, 512], 2, false),
    ("n32t64h512-bidirectional", [32, 64, 512, 512], 1, true),
    ("n50t50h128", [50, 50, 128, 128], 1, false),
];

/// Input and output channels, kernel, stride and side of the convolutions.
const CONVOLUTIONS: [(&str, [usize; 5]); 5] = [
    ("3x3-64-64-56", [64, 64, 3, 1, 56]),
    ("3x3-256-256-14", [256, 256, 3, 1, 14]),
    ("7x7s2-3-64-224", [3, 64, 7, 2, 224]),
    ("1x1-256-64-56", [256, 64, 1, 1, 56]),
    ("3x3s2-128-128-56", [128, 128, 3, 2, 56]),
];

const NETWORKS: [&str; 9] = [
    "resnet50",
    "resnet18",
    "squeezenet1_1",
    "vgg16",
    "googlenet",
    "densenet121",
    "alexnet",
    "efficientnet_b0",
    "convnext_tiny",
];

/// N and T of the LSTM whose training grows with either.
const GROWTH: [(&str, usize, usize); 6] = [
    ("lstm-n32t32", 32, 32),
    ("lstm-n64t32", 64, 32),
    ("lstm-n128t32", 128, 32),
    ("lstm-n32t64", 32, 64),
    ("lstm-n32t128", 32, 128),
    ("lstm-n32t256", 32, 256),
];

fn main() {
    // `cargo bench` and `cargo test --benches` add arguments of their own.
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if_eq("--cuda").is_some() {
        DEVICE.get_or_init(|| cuda(0).expect("there is a CUDA device"));
    }
    if arguments.next_if_eq("--medium").is_some() {
        assert!(device().is_cuda() || precision::available(), "this CPU has no products in bf16");
        set_float32_matmul_precision(Precision::Medium);
    }
    for (word, precision) in [("--bf16", Precision::Bf16), ("--f16", Precision::F16)] {
        if arguments.next_if_eq(word).is_some() {
            set_float32_matmul_precision(precision);
        }
    }
    set_whole_sequences(arguments.next_if_eq("--whole").is_some());
    let argument = arguments.next().unwrap_or_default();
    if argument == "--list" {
        names().iter().for_each(|name| println!("{name}"));
        return;
    }
    if argument == "--model" {
        let paths: Vec<String> = arguments.collect();
        return captioner(paths[0].as_ref(), paths[1].as_ref()).expect("the model can be written");
    }
    if argument.starts_with("--") || argument.is_empty() {
        return;
    }
    allocator::keep_pages();
    // SAFETY: no other thread runs yet. The program does the same.
    unsafe { std::env::set_var("CANDLE_BARRIER_POOL_SPIN_LIMIT", "200") };
    let mut case = build(&argument).expect("the case can be built");
    for line in std::io::stdin().lock().lines() {
        if line.is_err() {
            break;
        }
        case().expect("the case runs");
        device().synchronize().expect("the device is done");
        let (start, mut runs) = (Instant::now(), 0);
        while start.elapsed() < TURN {
            case().expect("the case runs");
            runs += 1;
        }
        device().synchronize().expect("the device is done");
        println!("{:.4}", start.elapsed().as_secs_f64() * 1e3 / f64::from(runs));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    let kib: f64 = peak.trim().trim_end_matches(" kB").parse().unwrap_or(0.0);
    println!("{:.1}", kib / 1024.0);
}

fn names() -> Vec<String> {
    let mut names = Vec::new();
    for cell in ["lstm", "gru", "rnn"] {
        for (name, ..) in SEQUENCES {
            names.push(format!("recurrent/{cell}-{name}-train"));
        }
        names.push(format!("recurrent/{cell}-n50t50h128-lengths-train"));
        names.push(format!("recurrent/{cell}-n32t64h512-inference"));
        names.push(format!("recurrent/{cell}-n1t1h512-two-layers-step"));
    }
    names.extend(["attend/p49-train", "attend/p196-train", "attend/beam5-1", "attend/beam5-64"].map(String::from));
    for (name, _) in CONVOLUTIONS {
        for n in [8, 1] {
            names.extend(["inference", "train"].map(|mode| format!("conv/{name}-n{n}-{mode}")));
        }
    }
    for name in NETWORKS {
        names.extend([8, 1].map(|n| format!("network/{name}-n{n}-inference")));
        names.push(format!("network/{name}-n8-train"));
    }
    names.extend(["language/lstm-h512-n50t50-train", "language/lstm-2x512-sample"].map(String::from));
    names.extend(GROWTH.map(|(name, ..)| format!("growth/{name}")));
    names.extend([8, 16, 32].map(|photos| format!("growth/beam5-{photos}")));
    names
}

fn build(name: &str) -> Result<Case> {
    let (group, case) = name.split_once('/').expect("GROUP/CASE");
    match group {
        "recurrent" => match case.split_once('-') {
            Some(("lstm", rest)) => recurrent::<LstmCell>(rest),
            Some(("gru", rest)) => recurrent::<GruCell>(rest),
            Some(("rnn", rest)) => recurrent::<RnnCell>(rest),
            _ => panic!("no case is called {name}"),
        },
        "attend" | "growth" if case.starts_with("beam5-") => beams(case[6..].parse().expect("a number of photos")),
        "growth" => {
            let (_, n, t) = GROWTH.into_iter().find(|(name, ..)| *name == case).expect("a case of the table");
            sequences::<LstmCell>([n, t, 512, 512], (1, false), false, true)
        }
        "attend" => attend(if case.starts_with("p49-") { 49 } else { 196 }),
        "conv" => convolution(case),
        "network" if case.ends_with("train") => network_training(case),
        "network" => inference(case),
        "language" if case == "lstm-2x512-sample" => sampling(),
        "language" => language(),
        _ => panic!("no case is called {name}"),
    }
}

fn random(seed: u64, shape: &[usize]) -> Result<Tensor> {
    Rng::derive(seed, "bench", 0).normal_tensor(0.0, 1.0, shape, device())
}

fn words(seed: usize, n: usize, t: usize, v: usize) -> Result<Tensor> {
    let ids: Vec<u32> = (0..n * t).map(|i| ((i + seed).wrapping_mul(2_654_435_761) % v) as u32).collect();
    Tensor::from_vec(ids, (n, t), device())
}

/// Parameters of which no gradient is asked, as those of a model that was loaded: PyTorch's side runs in its inference mode.
fn frozen() -> Parameters {
    let parameters = Parameters::new(1);
    parameters.freeze("");
    parameters
}

fn recurrent<C: BuildCell>(case: &str) -> Result<Case> {
    if case.ends_with("-step") {
        let config = StackConfig { num_layers: 2, ..Default::default() };
        let stack = Stack::<C>::new(512, 512, &config, frozen().builder(device()))?;
        let xs = random(1, &[1, 1, 512])?;
        let mut state = Some(stack.zero_state(1, &xs)?);
        return Ok(Box::new(move || {
            // A step alone is too short for the clock; `generate` enters for all of its steps too.
            thread_pool::install(device(), || {
                for _ in 0..100 {
                    state = Some(stack.forward(&xs, state.as_deref(), None, &mut Mode::Eval)?.1);
                }
                Ok(())
            })
        }));
    }
    let wanted = case.trim_end_matches("-train").trim_end_matches("-inference").trim_end_matches("-lengths");
    let known = SEQUENCES.into_iter().find(|(name, ..)| *name == wanted);
    let (_, sizes, layers, bidirectional) = known.unwrap_or_else(|| (wanted, sizes(wanted), 1, false));
    sequences::<C>(sizes, (layers, bidirectional), case.contains("lengths"), case.ends_with("train"))
}

/// N, T, D and H of a case that says them as `n64t256h1024`, with D as H.
fn sizes(case: &str) -> [usize; 4] {
    let numbers: Vec<usize> =
        case.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).map(|n| n.parse().unwrap()).collect();
    match numbers[..] {
        [n, t, h] => [n, t, h, h],
        _ => panic!("no case is called {case}"),
    }
}

fn sequences<C: BuildCell>(
    [n, t, d, h]: [usize; 4],
    (num_layers, bidirectional): (usize, bool),
    lengths: bool,
    train: bool,
) -> Result<Case> {
    let parameters = if train { Parameters::new(1) } else { frozen() };
    let config = StackConfig { num_layers, bidirectional, ..Default::default() };
    let stack = Stack::<C>::new(d, h, &config, parameters.builder(device()))?;
    let xs = Var::from_tensor(&random(1, &[n, t, d])?)?;
    let lengths: Option<Vec<usize>> = lengths.then(|| (0..n).map(|i| t - i * t / (2 * n)).collect());
    Ok(Box::new(move || {
        let xs = if train { xs.as_tensor().clone() } else { xs.as_detached_tensor() };
        let (ys, _) = stack.forward(&xs, None, lengths.as_deref(), &mut Mode::Eval)?;
        if train {
            backward(&ys.sum_all()?)?;
        }
        Ok(())
    }))
}

fn attend(positions: usize) -> Result<Case> {
    let (n, t, v) = (32, 20, 2500);
    let parameters = Parameters::new(1);
    let decoder = AttentionDecoder::new(2048, v, &AttentionDecoderConfig::default(), parameters.builder(device()))?;
    let seen = Annotations::set(random(1, &[n, positions, 2048])?)?;
    let (read, told) = (words(1, n, t, v)?, words(2, n, t, v)?);
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        let mut rng = Rng::derive(1, "dropout", step);
        let memory = decoder.memory(&source(&seen)?)?;
        let forced = decoder.teacher_forced(&read, &vec![t; n], &memory, &mut Mode::Train(&mut rng))?;
        backward(&caption_loss(&forced, &told, &LossConfig::default(), u32::MAX)?.total)?;
        Ok(())
    }))
}

/// Beam search with five beams and twenty words, all photos in one batch.
fn beams(photos: usize) -> Result<Case> {
    let decoder = AttentionDecoder::new(2048, 2500, &AttentionDecoderConfig::default(), frozen().builder(device()))?;
    let seen = Annotations::set(random(1, &[photos, 49, 2048])?)?;
    let mut config = GenerationConfig::beam(5);
    config.max_new_tokens = 20;
    Ok(Box::new(move || {
        let memory = decoder.memory(&source(&seen)?)?;
        generate(&decoder, &memory, photos, &config).map(|_| ())
    }))
}

fn captioner(folder: &Path, weights: &Path) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = (0..2500).map(|i| format!("w{i}")).collect();
    let file = WeightsFile { file: weights.to_path_buf(), sha256: file_hash(weights)? };
    let settings = CaptionerInit {
        encoder: EncoderConfig { network: "resnet50".into(), weights: Some(file), ..Default::default() },
        preprocessing: Preprocessing::imagenet(),
        ..Default::default()
    };
    let tokenizer = WordTokenizer::with_words(&words)?;
    let weights = SafetensorsFile::open(weights)?;
    std::fs::create_dir_all(folder)?;
    Captioner::init(settings, tokenizer, Some(weights), device())?.save(folder)?;
    Ok(())
}

fn convolution(case: &str) -> Result<Case> {
    let (_, [inputs, outputs, kernel, stride, side]) =
        CONVOLUTIONS.into_iter().find(|(name, _)| case.starts_with(name)).expect("a case of the table");
    let n = if case.contains("-n8-") { 8 } else { 1 };
    let xs = Var::from_tensor(&random(1, &[n, inputs, side, side])?)?;
    let weight = Var::from_tensor(&random(2, &[outputs, inputs, kernel, kernel])?)?;
    let options = Conv2d { stride: (stride, stride), padding: (kernel / 2, kernel / 2), ..Default::default() };
    let train = case.ends_with("train");
    Ok(Box::new(move || {
        if train {
            backward(&conv2d(xs.as_tensor(), weight.as_tensor(), None, &options)?.sum_all()?)?;
        } else {
            conv2d(&xs.as_detached_tensor(), &weight.as_detached_tensor(), None, &options)?;
        }
        Ok(())
    }))
}

fn inference(case: &str) -> Result<Case> {
    let (name, rest) = case.split_once('-').expect("NETWORK-nN-inference");
    let n = batch(rest);
    let config = NetworkConfig { classes: Some(1000), ..Default::default() };
    let network = Architecture::find(name)?.build(&config, frozen().builder(device()))?.for_inference()?;
    let images = random(1, &[n, 3, 224, 224])?;
    Ok(Box::new(move || network.logits(&images, &mut Mode::Eval).map(|_| ())))
}

/// How many pictures a case has that says it as `n8-train`.
fn batch(case: &str) -> usize {
    let digits: String = case.chars().skip(1).take_while(char::is_ascii_digit).collect();
    digits.parse().expect("nN-train or nN-inference")
}

/// A step of SGD with momentum.
fn network_training(case: &str) -> Result<Case> {
    use candlewick::kernels::loss::{CrossEntropy, cross_entropy};
    let (name, rest) = case.split_once('-').expect("NETWORK-nN-train");
    let n = batch(rest);
    let parameters = Parameters::new(1);
    let config = NetworkConfig { classes: Some(1000), ..Default::default() };
    let network = Architecture::find(name)?.build(&config, parameters.builder(device()))?;
    let wrap = candlewick::candle::Error::wrap;
    let mut optimizer =
        Optimizer::new(&OptimizerConfig::sgd(0.01, 0.9), parameters.trainable(), |_| 1.0).map_err(wrap)?;
    let images = random(1, &[n, 3, 224, 224])?;
    let told = words(1, 1, n, 1000)?.squeeze(0)?;
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        let mut rng = Rng::derive(1, "dropout", step);
        let logits = network.logits(&images, &mut Mode::Train(&mut rng))?;
        let store = backward(&cross_entropy(&logits, &told, &CrossEntropy::default(), None)?)?;
        let gradients: Vec<Option<Tensor>> = optimizer.vars().map(|var| store.get(var.as_tensor()).cloned()).collect();
        optimizer.step(&gradients, 0.01, 1.0).map_err(wrap)
    }))
}

fn language() -> Result<Case> {
    use candlewick::kernels::loss::{CrossEntropy, cross_entropy};
    use candlewick::kernels::optimizer::{Checks, Outcome};
    use candlewick::recurrent::{Embedding, Linear, Lstm};
    let (n, t, h, v) = (50, 50, 512, 96);
    let parameters = Parameters::new(1);
    let vb = parameters.builder(device());
    let embedding = Embedding::new(v, h, vb.pp("embedding"))?;
    let config = StackConfig { num_layers: 2, ..Default::default() };
    let lstm = Lstm::new(h, h, &config, vb.pp("lstm"))?;
    let head = Linear::new(h, v, vb.pp("head"))?;
    let mut optimizer = Optimizer::new(&OptimizerConfig::adam(2e-3), parameters.trainable(), |_| 1.0)
        .map_err(candlewick::candle::Error::wrap)?;
    let (read, told) = (words(1, n, t, v)?, words(2, n, t, v)?);
    let mut earlier: Option<Outcome> = None;
    Ok(Box::new(move || {
        use candlewick::candle::Module;
        let (ys, _) = lstm.forward(&embedding.forward(&read)?, None, None, &mut Mode::Eval)?;
        let loss = cross_entropy(&head.forward(&ys)?, &told, &CrossEntropy::default(), None)?;
        assert_eq!(loss.dtype(), DType::F32);
        let store = backward(&loss)?;
        let gradients: Vec<Option<Tensor>> = optimizer.vars().map(|var| store.get(var.as_tensor()).cloned()).collect();
        let checks = Checks { max_norm: Some(5.0), ..Checks::default() };
        // As in `fit`, what a step saw is read when the next one is queued.
        let wrap = candlewick::candle::Error::wrap;
        let outcome = optimizer.checked_step(&gradients, 2e-3, &checks).map_err(wrap)?;
        earlier.replace(outcome).map_or(Ok(()), |earlier| earlier.wait().map(|_| ()))
    }))
}

/// 200 characters, drawn one by one.
fn sampling() -> Result<Case> {
    use candlewick::candle::Error;
    use candlewick::data::tokens::TextTokenizer;
    use candlewick::recurrent::Settings;
    use candlewick::tasks::language_model::{LanguageModel, LanguageModelInit, NetworkConfig};
    let letters: String = (' '..='~').chain(['\n']).collect();
    let generation = GenerationConfig {
        bos_token_id: None,
        eos_token_id: None,
        max_new_tokens: 200,
        ..GenerationConfig::sample(0.8, 0, 1.0)
    };
    let init = LanguageModelInit {
        network: NetworkConfig {
            stack: Settings::default().with("num_layers", 2),
            embedding_size: 512,
            ..NetworkConfig::default()
        },
        tokenizer: TextTokenizer::closed(&letters).map_err(Error::wrap)?,
        generation: generation.clone(),
        seed: 1,
    };
    let model = LanguageModel::init(init, device()).map_err(Error::wrap)?;
    Ok(Box::new(move || {
        let text = model.sample("A", &generation).map_err(Error::wrap)?.collect::<std::result::Result<String, _>>();
        assert_eq!(text.map_err(Error::wrap)?.len(), 200);
        Ok(())
    }))
}
