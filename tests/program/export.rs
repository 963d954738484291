use crate::support::{RECIPE, photos};
use crate::{fail, run, small, succeed, text};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const TRAIN: [&str; 7] =
    ["train", "train.toml", "--data", "data", "--encoder-weights", "encoder.safetensors", "--quiet"];

#[test]
fn a_captioner_is_exported_whole_and_says_the_same_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    photos(here);
    fs::write(here.join("train.toml"), RECIPE.replace("epochs = 1", "epochs = 3").replace("0.001", "0.02")).unwrap();
    let absolute = here.join("encoder.safetensors");
    let train = [&TRAIN[..5], &[absolute.to_str().unwrap(), "--quiet"]].concat();
    succeed(here, &train);
    let caption = |model: &str| {
        let words =
            ["caption", "data/images/test0.png", "data/images/test1.png", "--json", "--beam", "3", "--model", model];
        succeed(here, &words)
    };
    let wanted = caption("runs/photos");

    assert!(succeed(here, &["export", "runs/photos", "given/away"]).contains("MB of weights in f32"));
    let best = read(&here.join("runs/photos/run.json"))["best"].as_str().unwrap().to_owned();
    succeed(here, &["export", &format!("runs/photos/{best}"), "same"]);
    assert!(text(&run(here, &["export", "runs/photos", "given/away"]).stderr).contains("is not empty"));
    fail(here, &["export", "runs/photos", "train.toml"], 1, &["train.toml: is a file"]);
    fail(here, &["export", "runs/photos", "other", "--dtype", "int8"], 2, &["--dtype", "f32, f16 or bf16"]);
    fail(here, &["export", "data", "other"], 1, &["data", "config.json"]);

    // It wants nothing that lay beside it, and tells nothing of where that was.
    fs::rename(&absolute, here.join("moved.safetensors")).unwrap();
    fail(here, &["export", "runs/photos", "other"], 1, &["--encoder-weights"]);
    assert_eq!(
        names(here),
        ["data", "given", "moved.safetensors", "runs", "same", "train.toml"],
        "half an export is left"
    );
    succeed(here, &["export", "runs/photos", "other", "--dtype", "bf16", "--encoder-weights", "moved.safetensors"]);
    fs::rename(here.join("runs"), here.join("gone")).unwrap();
    assert_eq!(caption("given/away"), wanted);
    assert_eq!(caption("same"), wanted);
    let files = [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "train.toml",
    ];
    assert_eq!(names(&here.join("given/away")), files);
    for name in files.iter().filter(|name| !name.ends_with("safetensors")) {
        let said = fs::read_to_string(here.join("given/away").join(name)).unwrap();
        assert!(!said.contains(here.to_str().unwrap()), "{name}: {said}");
    }
    let card = fs::read_to_string(here.join("given/away/README.md")).unwrap();
    let parts = [
        "pipeline_tag: image-to-text",
        "convnet",
        "- train: 32 captions, 16 pictures",
        "| CIDEr |",
        "## Licence",
        "candlewick caption photo.jpg --model MODEL",
        "`train.toml` has every setting",
    ];
    for part in parts {
        assert!(card.contains(part), "{part}: {card}");
    }
    let half = fs::metadata(here.join("other/model.safetensors")).unwrap().len();
    assert!(half * 19 < fs::metadata(here.join("same/model.safetensors")).unwrap().len() * 10);
    assert_eq!(caption("other").lines().count(), 2);

    // Who trains on from it needs no other file either.
    let on = ["train", "train.toml", "--data", "data", "--quiet", "--start", "given/away", "--out", "on"];
    succeed(here, &on);
}

#[test]
fn what_other_tools_write_into_a_model_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    photos(here);
    succeed(here, &TRAIN);
    succeed(here, &["export", "runs/photos", "model"]);
    let preprocessing = read(&here.join("model/preprocessor_config.json"));
    assert_eq!(preprocessing["image_processor_type"], "CLIPImageProcessor");
    let tokens = read(&here.join("model/tokenizer_config.json"));
    assert_eq!(tokens["tokenizer_class"], "PreTrainedTokenizerFast");
    let special = ["bos_token", "eos_token", "pad_token", "unk_token"].map(|token| tokens[token].clone());
    assert_eq!(special, ["<start>", "<end>", "<pad>", "<unk>"].map(Value::from));
    for file in ["config.json", "generation_config.json", "preprocessor_config.json"] {
        let path = here.join("model").join(file);
        let mut content = read(&path);
        content["architectures"] = json!(["Captioner"]);
        content["transformers_version"] = json!("5.24.0");
        if file == "config.json" {
            content["encoder"]["dtype"] = json!("float32");
        }
        fs::write(&path, content.to_string()).unwrap();
    }
    succeed(here, &["caption", "data/images/test0.png", "--model", "model"]);
    // What says how the network is built is not passed over.
    let path = here.join("model/config.json");
    let mut content = read(&path);
    content["decoder"]["gates"] = json!(3);
    fs::write(&path, content.to_string()).unwrap();
    fail(here, &["caption", "data/images/test0.png", "--model", "model"], 1, &["config.json", "gates"]);
}

#[test]
fn a_run_keeps_its_recipe_and_how_it_came_about() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    photos(here);
    let train = [&TRAIN[..], &["--set", "training.seed=7"]].concat();
    succeed(here, &train);
    let recipe = fs::read_to_string(here.join("runs/photos/recipe.toml")).unwrap();
    for line in [
        "path = \"data\"",
        "pretrained = \"encoder.safetensors\"",
        "seed = 7",
        "min_count = 1",
        "clip_value",
        "log_every",
    ] {
        assert_eq!(recipe.contains(line), line != "clip_value", "{line}: {recipe}");
    }
    let about = read(&here.join("runs/photos/run.json"));
    let sessions = about["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 1);
    let first = &sessions[0];
    let wanted =
        "candlewick train train.toml --data data --encoder-weights encoder.safetensors --quiet --set training.seed=7";
    assert_eq!((first["command"].as_str().unwrap(), &first["device"]), (wanted, &json!("cpu")));
    assert!(first["version"].as_str().unwrap().starts_with("candlewick 0."), "{first}");
    assert!(first["machine"]["cores"].as_u64().unwrap() > 0 && first["seconds"].as_f64().unwrap() > 0.0, "{first}");
    assert_eq!((&first["from_step"], &first["to_step"]), (&json!(0), &about["step"]));
    let moment = |key: &str| first[key].as_str().unwrap().to_owned();
    assert!(moment("began").ends_with('Z') && moment("began") <= moment("ended"), "{first}");
    assert_eq!((&first["data"]["train"]["pictures"], &first["data"]["dev"]["captions"]), (&json!(16), &json!(8)));

    // The recipe is the run: trained again, it gives the same weights, and knows its data.
    succeed(here, &["train", "runs/photos/recipe.toml", "--out", "again", "--quiet"]);
    let again = read(&here.join("again/run.json"));
    let weights = |run: &str, about: &Value| {
        fs::read(here.join(run).join(about["last"].as_str().unwrap()).join("model.safetensors"))
    };
    assert!(weights("runs/photos", &about).unwrap() == weights("again", &again).unwrap());
    assert_eq!(again["sessions"][0]["data"], first["data"]);
    assert_eq!(fs::read_to_string(here.join("again/recipe.toml")).unwrap(), recipe);

    // Gone on with, it has a session more; a call that has nothing to do leaves none.
    succeed(here, &train);
    succeed(here, &["train", "runs/photos/recipe.toml", "--quiet", "--set", "training.epochs=2"]);
    let about = read(&here.join("runs/photos/run.json"));
    let sessions = about["sessions"].as_array().unwrap();
    assert_eq!((sessions.len(), &sessions[0], &sessions[1]["from_step"]), (2, first, &first["to_step"]));
    assert!(fs::read_to_string(here.join("runs/photos/recipe.toml")).unwrap().contains("epochs = 2"));

    // Other captions are other data.
    fs::write(
        here.join("data/Flickr8k.token.txt"),
        fs::read_to_string(here.join("data/Flickr8k.token.txt")).unwrap().replace("red", "pink"),
    )
    .unwrap();
    succeed(here, &["train", "runs/photos/recipe.toml", "--out", "other", "--quiet"]);
    assert_ne!(
        read(&here.join("other/run.json"))["sessions"][0]["data"]["train"]["sha256"],
        first["data"]["train"]["sha256"]
    );
}

#[test]
fn a_folder_with_a_recipe_of_somebody_is_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::create_dir(here.join("out")).unwrap();
    fs::write(here.join("out/recipe.toml"), "mine").unwrap();
    fail(here, &small("out", &[]), 1, &["holds recipe.toml", "--out"]);
    assert_eq!(fs::read_to_string(here.join("out/recipe.toml")).unwrap(), "mine");
}
