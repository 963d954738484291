use crate::{candlewick, fail, succeed, text};
use candlewick::candle::{DType, Device, Tensor};
use candlewick::encoders::{Architecture, NetworkConfig};
use candlewick::parameters::{Parameters, write_safetensors};
use image::{Rgb, RgbImage};
use serde_json::Value;
use std::path::Path;

const RECIPE: &str = r#"
task = "classification"
name = "bars"

[network]
name = "convnet"

[network.config]
blocks = [
    { channels = 8, kernel_size = 3, stride = 2 },
    { channels = 16, kernel_size = 3, stride = 2 },
]

[data]
dev_share = 0.3

[preprocessing]
do_resize = false
do_rescale = true
do_normalize = false

[batches]
size = 8

[training]
epochs = 6
seed = 1

[training.optimizer]
name = "adam"
learning_rate = 0.01
"#;

/// What is said of networks that are not in this build.
const HINT: &str = if cfg!(feature = "transformers") { "dinov2" } else { "built with the feature transformers" };

/// Pictures with a bar across or down.
fn bars(folder: &Path) {
    for index in 0..60u32 {
        for class in ["across", "down"] {
            let picture = RgbImage::from_fn(12, 12, |x, y| {
                let along = if class == "across" { y } else { x };
                if along == 1 + index % 10 { Rgb([200, 180, 60 + 3 * index as u8]) } else { Rgb([20, 20, 20]) }
            });
            let place = folder.join("bars").join(class);
            std::fs::create_dir_all(&place).unwrap();
            picture.save(place.join(format!("{index}.png"))).unwrap();
        }
    }
    std::fs::write(folder.join("bars.toml"), RECIPE).unwrap();
}

#[test]
fn a_classifier_is_trained_and_classifies() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    let said = succeed(folder.path(), &["train", "bars.toml", "--data", "bars", "--quiet", "--json"]);
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert!(last["accuracy"].as_f64().unwrap() > 0.9 && last["split"] == "dev", "{last}");
    let said = succeed(folder.path(), &["classify", "bars/down/3.png", "bars/across/3.png", "--model", "runs/bars"]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0] == "bars/down/3.png" && lines[1].ends_with(" %  down"), "{said}");
    assert!(lines[3] == "bars/across/3.png" && lines[4].ends_with(" %  across"), "{said}");

    let evaluate = ["evaluate", "--model", "runs/bars", "--data", "bars", "--split", "dev"];
    let told = succeed(folder.path(), &[&evaluate[..], &["--json"]].concat());
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["accuracy"], &told["split"]), (&last["accuracy"], &"dev".into()), "{told}");
    fail(
        folder.path(),
        &[&evaluate[..], &["--beam", "3"]].concat(),
        2,
        &["--beam: a classifier has no use for it; leave it out"],
    );
    fail(
        folder.path(),
        &["caption", "a.png", "--model", "runs/bars"],
        1,
        &["is a classifier's", "candlewick classify"],
    );

    let compare = ["compare", "runs/bars", "--data", "bars"];
    fail(folder.path(), &compare, 1, &["runs/bars: is a classifier's folder; candlewick classify uses it"]);
    let scenes = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/scenes");
    let both = [&evaluate[..], &["--model", scenes]].concat();
    fail(folder.path(), &both, 1, &["is a captioner's folder; candlewick caption uses it"]);

    let model = last["model"].as_str().unwrap().to_owned() + "/model.safetensors";
    let weights = ["--weights", model.as_str()];
    let wrong = ["classify", "bars/down/3.png", "--model", "resnet18", weights[0], weights[1]];
    fail(folder.path(), &wrong, 1, &["model.safetensors", "missing"]);
    fail(folder.path(), &["train", "bars.toml", "--data", "none", "--quiet"], 1, &["none"]);
    fail(folder.path(), &["train", "bars.toml", "--quiet"], 1, &["--data DIR"]);
    let change = ["train", "bars.toml", "--set", "network.name=resnet7", "--data", "bars", "--quiet", "--out", "other"];
    fail(folder.path(), &change, 1, &["network.name: no network is called resnet7; did you mean resnet18?"]);
    let change = ["train", "bars.toml", "--set", "preprocessing.crop=3", "--data", "bars", "--quiet", "--out", "other"];
    fail(folder.path(), &change, 2, &["preprocessing.crop: no such setting"]);
    fail(
        folder.path(),
        &["train", "--quiet", "--start", "runs/bars", "--out", "other"],
        1,
        &["runs/bars", "is a classifier"],
    );
    std::fs::write(folder.path().join("none.jpg"), "no picture").unwrap();
    fail(folder.path(), &["classify", "none.jpg", "--model", "runs/bars"], 1, &["none.jpg", "not a picture"]);
}

#[test]
fn what_classify_cannot_open_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let classify =
        |model: &'static str, more: &[&'static str]| [&["classify", "a.jpg", "--model", model], more].concat();
    let unknown = "resnet7: no such folder; no network is called resnet7; did you mean resnet18?";
    fail(folder.path(), &classify("resnet7", &[]), 2, &[unknown]);
    fail(folder.path(), &classify("resnet18", &[]), 2, &["resnet18", "--weights FILE"]);
    fail(folder.path(), &classify("resnet18", &["--weights", "a.pth"]), 1, &["a.pth"]);
    // A cache without the repository, and a hub that does not answer.
    let mut command = candlewick(folder.path());
    command.env("HF_HOME", folder.path().join("cache")).env("HF_ENDPOINT", "http://127.0.0.1:9");
    let output = command.args(classify("resnet18", &["--weights", "hub:some/one"])).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("hub:some/one: not in the cache") && said.contains("--weights FILE"), "{said}");
}

#[test]
fn classify_says_what_is_wrong_with_weights() {
    let folder = tempfile::tempdir().unwrap();
    let config = NetworkConfig { classes: Some(1000), ..NetworkConfig::default() };
    let parameters = Parameters::new(4);
    Architecture::find("squeezenet1_1").unwrap().build(&config, parameters.builder(&Device::Cpu)).unwrap();
    RgbImage::from_fn(90, 70, |x, y| Rgb([x as u8, y as u8, 128])).save(folder.path().join("a.png")).unwrap();
    let classify = ["classify", "a.png", "--model", "squeezenet1_1", "--weights", "weights"];
    let change = |change: &dyn Fn(&mut Vec<(String, Tensor)>)| {
        let mut tensors = parameters.tensors();
        change(&mut tensors);
        write_safetensors(&tensors, &folder.path().join("weights")).unwrap();
    };
    let at =
        |tensors: &[(String, Tensor)]| tensors.iter().position(|(name, _)| name == "features.3.squeeze.bias").unwrap();

    // A thousand classes are ImageNet's.
    change(&|_| ());
    let said = succeed(folder.path(), &[&classify[..], &["--json", "--top", "1000"]].concat());
    let found: Value = serde_json::from_str(&said).unwrap();
    let label = |class: u64| {
        let classes = found["classes"].as_array().unwrap();
        classes.iter().find(|one| one["class"] == class).unwrap()["label"].as_str().unwrap().to_owned()
    };
    assert_eq!([0, 134, 860, 999].map(label), ["tench", "crane bird", "tobacco shop", "toilet tissue"]);

    change(&|tensors| drop(tensors.remove(at(tensors))));
    fail(folder.path(), &classify, 1, &["weights", "1 missing: features.3.squeeze.bias"]);
    change(&|tensors| {
        let at = at(tensors);
        tensors[at].1 = Tensor::zeros(7, DType::F32, &Device::Cpu).unwrap();
    });
    let parts = ["weights", "1 of another shape: features.3.squeeze.bias (the network has [16], the file [7])"];
    fail(folder.path(), &classify, 1, &parts);
    change(&|tensors| tensors.iter_mut().for_each(|(name, _)| *name = format!("module.{name}")));
    fail(folder.path(), &classify, 1, &["weights", "begin with module.", "DataParallel", "candlewick convert"]);
}

#[test]
fn a_broken_picture_is_skipped_or_stops_training_before_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    bars(folder.path());
    std::fs::write(folder.path().join("bars/down/broken.png"), "no picture").unwrap();
    let train = |more: &[&'static str]| [&["train", "bars.toml", "--data", "bars", "--quiet"], more].concat();
    fail(
        folder.path(),
        &train(&["--set", "data.max_share=0"]),
        1,
        &["1 of 121 pictures are broken", "broken.png: is not a picture", "max_share"],
    );
    assert!(!folder.path().join("runs").exists());
    succeed(folder.path(), &train(&["--set", "training.epochs=1"]));
}

#[test]
fn pytorch_checkpoints_become_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../parameters/tests/fixtures");
    let (plain, keyed) = (fixtures.join("linear.pth"), fixtures.join("under_a_key.pth"));
    let said = succeed(folder.path(), &["convert", plain.to_str().unwrap(), "plain.safetensors"]);
    assert!(said.contains("4 tensors, 16 numbers"), "{said}");
    succeed(folder.path(), &["convert", keyed.to_str().unwrap(), "keyed.safetensors", "--key", "state_dict"]);
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("plain.safetensors"), read("keyed.safetensors"));
    fail(folder.path(), &["convert", "none.pth", "out.safetensors"], 1, &["none.pth", "no such file"]);
    fail(folder.path(), &["convert", plain.to_str().unwrap(), "out.bin"], 2, &["out.bin", ".safetensors"]);
}

#[test]
fn networks_are_compared_by_what_they_cost() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["networks", "squeezenet1_1", "resnet18", "--size", "64", "--json", "--plot", "networks.svg"];
    let said = succeed(folder.path(), &words);
    let rows: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows[0]["parameters"].as_u64(), rows[1]["parameters"].as_u64()), (Some(1_235_496), Some(11_689_512)));
    assert!(rows.iter().all(|row| row["milliseconds"].as_f64().unwrap() > 0.0));
    let drawn = std::fs::read_to_string(folder.path().join("networks.svg")).unwrap();
    assert!(drawn.contains("resnet18") && drawn.contains("<circle") && drawn.contains("published top-1"));
    assert_eq!(
        (rows[0]["published_top1"].as_f64(), rows[1]["published_top1"].as_f64()),
        (Some(0.58178), Some(0.69758))
    );
    let told = succeed(folder.path(), &["networks", "squeezenet1_1", "fractalnet20", "--size", "64"]);
    assert!(told.contains(" 58.2 % ") && told.contains(" – "), "{told}");
    fail(folder.path(), &["networks", "resnet18", "lenet"], 2, &["no network is called lenet", "alexnet", HINT]);
    fail(folder.path(), &["networks", "alexnet", "--size", "8"], 1, &["alexnet at 8×8"]);
}

#[test]
fn the_plain_networks_gradient_vanishes_or_explodes_with_the_singular_value() {
    let folder = tempfile::tempdir().unwrap();
    let reach = |value: &str| {
        let words = [
            "gradient-flow",
            "--cell",
            "rnn",
            "--steps",
            "80",
            "--singular-value",
            value,
            "--input-scale",
            "1e-4",
            "--json",
        ];
        let flow: Value = serde_json::from_str(succeed(folder.path(), &words).trim()).unwrap();
        let norms: Vec<f64> = flow["norms"][0].as_array().unwrap().iter().map(|norm| norm.as_f64().unwrap()).collect();
        let value = flow["singular_values"][0].as_f64().unwrap();
        (value, norms[0] / norms[79])
    };
    let (small, vanished) = reach("0.5");
    let (_, large) = reach("4");
    assert!((small - 0.5).abs() < 1e-3 && vanished < 1e-6 && large > 1e4, "{small} {vanished} {large}");
    let words = ["gradient-flow", "--cell", "rnn,lstm", "--steps", "50", "--forget-bias", "6", "--plot", "flow.svg"];
    let said = succeed(folder.path(), &words);
    assert!(said.contains("rnn: largest singular value") && said.contains("‖∂L/∂c‖"), "{said}");
    assert!(std::fs::read_to_string(folder.path().join("flow.svg")).unwrap().contains("lstm c"));
    succeed(folder.path(), &["gradient-flow", "--cell", "rnn", "--steps", "9", "--json", "--plot", "flow.png"]);
    assert!(std::fs::read(folder.path().join("flow.png")).unwrap().starts_with(b"\x89PNG"));
    fail(folder.path(), &["gradient-flow", "--plot", "flow.pdf"], 2, &["--plot", "flow.pdf", ".svg or .png"]);
    // Clipped at each step, what would explode stays at the norm.
    let words =
        ["gradient-flow", "--cell", "rnn", "--steps", "80", "--singular-value", "4", "--input-scale", "1e-4", "--json"];
    let flow: Value =
        serde_json::from_str(succeed(folder.path(), &[&words[..], &["--clip", "3"]].concat()).trim()).unwrap();
    let largest =
        |key: &str| flow[key][0].as_array().unwrap().iter().map(|norm| norm.as_f64().unwrap()).fold(0.0, f64::max);
    assert!(largest("norms") > 1e4 && (largest("clipped_norms") - 3.0).abs() < 1e-3, "{flow}");
    fail(folder.path(), &["gradient-flow", "--clip", "0"], 2, &["--clip", "above 0"]);
    fail(folder.path(), &["gradient-flow", "--cell", "gnu"], 2, &["gnu", "gru"]);
    fail(folder.path(), &["gradient-flow", "--cell", "convolution"], 2, &["not recurrent"]);
}
