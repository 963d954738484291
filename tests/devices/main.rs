//! What an accelerator computes is what the CPU computes: networks, cells, captioners, grids, looks, drawings and optimisers, value and
//! gradient.
//!
//! Without the feature `cuda` or `metal` this is compiled and compares nothing; with one it needs the device:
//! `cargo test --release --features cuda -p candlewick --test devices`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use candlewick::candle::{Device, Tensor, Var};
use candlewick::captioning::{
    Annotations, AnyDecoder, AttentionDecoderConfig, AttentionKind, DecoderConfig, LossConfig, SourceDecoder as _,
    TopDownConfig, VectorDecoderConfig, VectorInput, caption_loss, source,
};
use candlewick::data::placed::Placing;
use candlewick::encoders::{Architecture, FractalConfig, NetworkConfig};
use candlewick::generation::{Decoder as _, GenerationConfig, generate};
use candlewick::kernels::node::backward;
use candlewick::kernels::{device, gaussian_grid};
use candlewick::parameters::{Mode, Parameters, Rng};
use candlewick::recurrent::{Settings, sequence_layer, sequence_layers};
use candlewick::tasks::draw::{Draw, DrawConfig, DrawNetworkConfig, Pictures};
use candlewick::tasks::glimpses::{GlimpseNetworkConfig, RecurrentAttentionConfig, RecurrentAttentionModel};
use candlewick::tasks::image::{GrayImage, Luma, Rgb, RgbImage};
use candlewick::training::OptimizerConfig;
use candlewick::training::optim::Optimizer;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// The one device; nothing where the program was built for none.
fn accelerator() -> Option<&'static Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let open = || {
        let device = if cfg!(feature = "cuda") { device::cuda(0) } else { Device::new_metal(0) };
        let built = cfg!(any(feature = "cuda", feature = "metal"));
        built.then(|| device.expect("this test needs the device that it was built for"))
    };
    DEVICE.get_or_init(open).as_ref()
}

fn normal(name: &str, shape: &[usize], device: &Device) -> Tensor {
    Rng::derive(3, name, 0).normal_tensor(0.0, 1.0, shape, &Device::Cpu).unwrap().to_device(device).unwrap()
}

/// Named tensors, on the CPU.
type Found = Vec<(String, Tensor)>;

/// The gradients of a loss for all parameters.
fn gradients(loss: &Tensor, parameters: &Parameters) -> Found {
    let store = backward(loss).unwrap();
    let gradient = |(name, var): (String, Var)| {
        let gradient = store.get(var.as_tensor())?.to_device(&Device::Cpu).unwrap();
        Some((format!("gradient of {name}"), gradient))
    };
    parameters.trainable().into_iter().filter_map(gradient).collect()
}

/// A loss that every value of the tensor has its own part in.
fn loss(of: &Tensor) -> Tensor {
    let factor = normal("factor", of.dims(), of.device());
    (of * factor).unwrap().sum_all().unwrap()
}

/// Runs on both devices and compares: the largest difference to the largest value of each tensor.
fn compare(what: &str, tolerance: f32, run: impl Fn(&Device) -> Found) {
    let Some(accelerator) = accelerator() else {
        println!("{what}: skipped, since this was built for the CPU alone");
        return;
    };
    let (wanted, found) = (run(&Device::Cpu), run(accelerator));
    let names = |tensors: &Found| tensors.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(&wanted), "{what}");
    for ((name, wanted), (_, found)) in wanted.iter().zip(&found) {
        let flat = |tensor: &Tensor| {
            let tensor = tensor.to_device(&Device::Cpu).unwrap();
            tensor.to_dtype(candlewick::candle::DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(found.dims(), wanted.dims(), "{what}: {name}");
        let (found, wanted) = (flat(found), flat(wanted));
        let largest = |values: &[f32]| values.iter().fold(0f32, |most, value| most.max(value.abs()));
        let apart: Vec<f32> = found.iter().zip(&wanted).map(|(found, wanted)| found - wanted).collect();
        let (apart, scale) = (largest(&apart), largest(&wanted));
        assert!(found.iter().all(|value| value.is_finite()), "{what}: {name} is not finite");
        assert!(apart <= tolerance * scale.max(1e-3), "{what}: {name} is apart by {apart} where values reach {scale}");
    }
}

/// Goes on after a fault, so that one run on the device tells of all.
fn each<T>(cases: impl IntoIterator<Item = (&'static str, T)>, run: impl Fn(&str, T)) {
    let fails = |(name, case)| catch_unwind(AssertUnwindSafe(|| run(name, case))).is_err().then_some(name);
    let failed: Vec<&str> = cases.into_iter().filter_map(fails).collect();
    assert!(failed.is_empty(), "{failed:?} failed, as said above");
}

#[test]
fn networks_classify_and_learn() {
    let networks = [
        "alexnet",
        "vgg11_bn",
        "googlenet",
        "resnet18",
        "resnet50",
        "densenet121",
        "squeezenet1_1",
        "fractalnet20",
        "convnext_tiny",
        "efficientnet_b0",
        "efficientnet_v2_s",
    ];
    each(networks.map(|name| (name, ())), |name, ()| {
        let config = NetworkConfig {
            classes: Some(10),
            auxiliary: false,
            dropout: Some(0.0),
            stochastic_depth: Some(0.0),
            auxiliary_dropout: 0.0,
            fractal: FractalConfig { drop_path: 0.0, global_drop_path: 0.0, column: None },
            ..Default::default()
        };
        compare(name, 2e-3, |device| {
            let parameters = Parameters::new(1);
            let net = Architecture::find(name).unwrap().build(&config, parameters.builder(device)).unwrap();
            let images = normal("images", &[4, 3, 96, 96], device);
            let mut found = vec![("logits".to_owned(), net.logits(&images, &mut Mode::Eval).unwrap())];
            let folded = net.for_inference().unwrap();
            found.push(("folded logits".to_owned(), folded.logits(&images, &mut Mode::Eval).unwrap()));
            // Batch norm over few values, many layers deep, enlarges rounding; its own layers are compared by their logits.
            let mut rng = Rng::derive(1, "train", 0);
            let trained = net.logits(&images, &mut Mode::Train(&mut rng)).unwrap();
            let last = gradients(&loss(&trained), &parameters);
            assert_eq!(last.len(), parameters.trainable().len(), "{name}");
            found.push(("logits in training".to_owned(), trained));
            found.extend(last.into_iter().rev().take(2));
            found
        });
    });
}

#[test]
fn every_sequence_layer_reads_and_learns() {
    each(sequence_layers().iter().map(|&name| (name, ())), |name, ()| {
        for (num_layers, lengths) in [(1, None), (2, Some(vec![5, 2, 7]))] {
            let settings = Settings::default().with("num_layers", num_layers).with("bidirectional", lengths.is_some());
            compare(name, 1e-4, |device| {
                let parameters = Parameters::new(1);
                let layer = sequence_layer(name, 6, 8, &settings, parameters.builder(device)).unwrap();
                let xs = normal("xs", &[3, 7, 6], device);
                let (ys, _) = layer.forward(&xs, None, lengths.as_deref(), &mut Mode::Eval).unwrap();
                let mut found = gradients(&loss(&ys), &parameters);
                found.push(("outputs".to_owned(), ys));
                found
            });
        }
    });
}

fn decoders() -> Vec<(&'static str, DecoderConfig)> {
    let show_tell = |cell: &str, vector| {
        let (cell, stack) = (cell.to_owned(), Settings::default());
        DecoderConfig::ShowTell(VectorDecoderConfig {
            cell,
            vector,
            embedding_size: 6,
            hidden_size: 8,
            tied: false,
            dropout: 0.0,
            stack,
        })
    };
    let attending = |attention| {
        DecoderConfig::ShowAttendTell(AttentionDecoderConfig {
            embedding_size: 6,
            hidden_size: 8,
            attention_size: 8,
            attention,
            dropout: 0.0,
            ..Default::default()
        })
    };
    vec![
        ("vanilla", show_tell("rnn", VectorInput::EachStep)),
        ("the picture as first word", show_tell("lstm", VectorInput::FirstWord)),
        ("the picture as first state", show_tell("gru", VectorInput::InitialState)),
        (
            "top-down",
            DecoderConfig::TopDown(TopDownConfig {
                embedding_size: 6,
                hidden_size: 8,
                attention_size: 8,
                dropout: 0.0,
                ..TopDownConfig::default()
            }),
        ),
        ("soft attention", attending(AttentionKind::Soft)),
        ("hard attention", attending(AttentionKind::Hard(Default::default()))),
    ]
}

#[test]
fn captioners_learn_and_write_the_same_captions() {
    each(decoders(), |name, config| {
        let build = |device: &Device, parameters: &Parameters| -> AnyDecoder {
            config.build(16, 11, parameters.builder(device)).unwrap()
        };
        compare(name, 1e-4, |device| {
            let parameters = Parameters::new(1);
            let decoder = build(device, &parameters);
            // The first picture has fewer annotations than the others.
            let seen = Annotations::set(normal("annotations", &[3, 9, 16], device)).unwrap();
            let seen = seen.with_counts(vec![4, 9, 9]).unwrap();
            let memory = decoder.memory(&source(&seen).unwrap()).unwrap();
            let words = Tensor::new(&[[1u32, 5, 7, 2], [1, 4, 4, 9], [1, 10, 3, 3]], device).unwrap();
            let targets = Tensor::new(&[[5u32, 7, 2, 2], [4, 4, 9, 2], [10, 3, 2, 0]], device).unwrap();
            let forced = decoder.teacher_forced(&words, &[4, 4, 3], &memory, &mut Mode::Eval).unwrap();
            let settings = LossConfig { doubly_stochastic: 0.7, label_smoothing: 0.1, ..Default::default() };
            let total = caption_loss(&forced, &targets, &settings, 0).unwrap().total;
            let mut found = gradients(&total, &parameters);
            found.push(("loss".to_owned(), total.to_device(&Device::Cpu).unwrap()));
            let beams = generate(&decoder, &memory, 3, &GenerationConfig::beam(3)).unwrap();
            let words: Vec<u32> = beams.iter().flat_map(|row| row[0].words.clone()).collect();
            found.push(("captions".to_owned(), Tensor::new(words, &Device::Cpu).unwrap()));
            found
        });
    });
}

#[test]
fn batches_arrive_as_they_were() {
    // More than can be on their way at a time, of sizes that differ, while the device is at the one before.
    compare("batches", 0.0, |on| {
        let batch = |at: usize| normal(&format!("{at}"), &[20_000 + 300_000 * (at % 3 / 2)], &Device::Cpu);
        let doubled = |at| (format!("batch {at}"), (device::upload(&batch(at), on).unwrap() * 2.0).unwrap());
        (0..9).map(doubled).collect()
    });
}

#[test]
fn optimisers_step_alike() {
    let configs = [
        OptimizerConfig::adam(1e-2),
        OptimizerConfig::adamw(1e-2),
        OptimizerConfig::sgd(1e-2, 0.9),
        OptimizerConfig::rmsprop(1e-2),
    ];
    for config in configs {
        compare(&format!("{config:?}"), 1e-5, |device| {
            let var = Var::from_tensor(&normal("weights", &[5, 3], device)).unwrap();
            let named = vec![("weights".to_owned(), var.clone())];
            let mut optimizer = Optimizer::new(&config, named, |_| 1.0).unwrap().averaged(0.9).unwrap();
            for step in 0..3 {
                let gradient = normal(&format!("gradient {step}"), &[5, 3], device);
                optimizer.step(&[Some(gradient)], 1e-2, 0.5).unwrap();
            }
            vec![("weights".to_owned(), var.as_tensor().clone())]
        });
    }
}

#[test]
fn grids_read_and_write_alike() {
    compare("Gaussian grid", 1e-4, |device| {
        let var = |name: &str, shape: &[usize], scale: f64, offset: f64| {
            Var::from_tensor(&normal(name, shape, device).affine(scale, offset).unwrap()).unwrap()
        };
        let (centre, stride, variance) =
            (var("centre", &[2], 1.0, 6.0), var("stride", &[2], 0.2, 1.5), var("variance", &[2], 0.1, 1.5));
        let (pictures, patches) = (var("pictures", &[2, 3, 12, 12], 1.0, 0.0), var("patches", &[2, 3, 4, 4], 1.0, 0.0));
        let filters = gaussian_grid::filters(&centre, &stride, &variance, 4, 12).unwrap();
        let read = gaussian_grid::read(&pictures, &filters, &filters).unwrap();
        let written = gaussian_grid::write(&patches, &filters, &filters).unwrap();
        let gradients = (loss(&read) + loss(&written)).unwrap().backward().unwrap();
        let vars = [("centre", &centre), ("stride", &stride), ("variance", &variance), ("pictures", &pictures)];
        let own = vars.map(|(name, var)| (name.to_owned(), gradients.get(var.as_tensor()).unwrap().clone()));
        [("read".to_owned(), read), ("written".to_owned(), written)].into_iter().chain(own).collect()
    });
}

#[test]
fn looks_and_drawings_are_alike() {
    let rows = |rows: Vec<Vec<f32>>| vec![("values".to_owned(), Tensor::new(rows, &Device::Cpu).unwrap())];
    compare("looks", 1e-3, |device| {
        let network = GlimpseNetworkConfig { looks: 3, patch: 4, scales: 2, ..GlimpseNetworkConfig::default() };
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        let config = RecurrentAttentionConfig::new(network, (12, 16), Placing::default(), classes);
        let model = RecurrentAttentionModel::init(config, 3, device).unwrap();
        let picture = GrayImage::from_fn(16, 12, |x, y| Luma([(x * 13 + y * 29) as u8]));
        rows(model.classify(&[picture], 2, 1).unwrap().remove(0).probabilities)
    });
    compare("drawings", 1e-3, |device| {
        let network = DrawNetworkConfig { steps: 3, hidden_size: 16, latent_size: 4, ..DrawNetworkConfig::default() };
        let model = Draw::init(DrawConfig::new(network.clone(), (10, 10)), 3, device).unwrap();
        let picture = RgbImage::from_fn(10, 10, |x, y| Rgb([(x * 23 + y * 5) as u8; 3]));
        let bound = model.bound(&Pictures::new(&[picture], network.likelihood).unwrap(), 2, 1).unwrap().remove(0);
        rows(vec![
            vec![bound.nats as f32, bound.likelihood as f32],
            bound.kl.iter().map(|kl| *kl as f32).take(2).collect(),
        ])
    });
}
