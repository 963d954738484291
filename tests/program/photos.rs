use crate::support::{RECIPE, flickr, weights};
use crate::{fail, succeed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candlewick::data::captions::Split;
use candlewick::data::scenes::Scene;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

#[test]
fn photos_are_trained_on_with_a_pretrained_encoder_and_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    flickr(here);
    weights(here, "convnet", "encoder.safetensors");
    fs::write(here.join("train.toml"), RECIPE).unwrap();
    let train =
        ["train", "train.toml", "--data", "data", "--encoder-weights", "encoder.safetensors", "--json", "--quiet"];
    let scores: Value = serde_json::from_str(succeed(here, &train).lines().last().unwrap()).unwrap();
    assert!(scores["Bleu_4"].is_f64() && scores["CIDEr"].is_f64(), "{scores}");

    // A finished run stays as it is, wherever the encoder's file lies; one with other pictures is another.
    fs::copy(here.join("encoder.safetensors"), here.join("copied.safetensors")).unwrap();
    let again = ["train", "train.toml", "--data", "data", "--encoder-weights", "copied.safetensors", "--quiet"];
    succeed(here, &again);
    let other = [&again[..], &["--set", "preprocessing.image_mean=[0.4, 0.5, 0.5]"]].concat();
    fail(here, &other, 1, &["runs/photos", "preprocessing"]);
    let old = [&again[..], &["--set", "training.metric=METEOR"]].concat();
    fail(
        here,
        &old,
        1,
        &["metric: the task gives no score METEOR; it gives CIDEr", "; did you mean METEOR_exact_stem?"],
    );
    let words = [&again[..], &["--set", "words=character"]].concat();
    fail(
        here,
        &words,
        2,
        &["words: no words are called \"character\"; there are ptb, whitespace", "; did you mean characters?"],
    );

    // What goes on from it looks through the same encoder.
    let on = ["train", "train.toml", "--quiet", "--data", "data", "--start", "runs/photos", "--out", "runs/on"];
    fail(here, &on, 1, &["model.safetensors", "encoder.safetensors", "--encoder-weights"]);
    weights(here, "squeezenet1_1", "other.safetensors");
    fail(here, &[&on[..], &["--encoder-weights", "other.safetensors"]].concat(), 1, &["other.safetensors", "SHA-256"]);
    let right = [&on[..], &["--encoder-weights", "encoder.safetensors"]].concat();
    fail(here, &[&right[..], &["--set", "encoder.coordinates=true"]].concat(), 1, &["coordinates"]);
    succeed(here, &right);

    // A stranger has the test list only.
    fs::remove_file(here.join("data/Flickr_8k.trainImages.txt")).unwrap();
    fs::remove_file(here.join("data/Flickr_8k.devImages.txt")).unwrap();
    let evaluate = ["evaluate", "--json", "--model", "runs/photos", "--data", "data", "--split", "test", "--beam", "3"];
    let said: Value = serde_json::from_str(&succeed(here, &evaluate)).unwrap();
    for key in ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR_exact_stem", "ROUGE_L", "CIDEr"] {
        assert!(said[key].is_f64(), "{key} is not in {said}");
    }
    let results: Value =
        serde_json::from_slice(&fs::read(here.join(said["results"].as_str().unwrap())).unwrap()).unwrap();
    assert_eq!(results.as_array().unwrap().len(), 4);
    assert_eq!(results[0]["image_id"], "test0.png");
    let file: Value = serde_json::from_slice(&fs::read(here.join(said["scores"].as_str().unwrap())).unwrap()).unwrap();
    assert_eq!(file["overall"]["Bleu_4"], said["Bleu_4"]);
    assert_eq!(file["imgToEval"].as_object().unwrap().len(), 4);

    coco_zip(here, &evaluate);

    // The encoder's weights are looked for, then asked for, and checked.
    fs::rename(here.join("encoder.safetensors"), here.join("moved.safetensors")).unwrap();
    fail(here, &evaluate, 1, &["encoder.safetensors", "--encoder-weights"]);
    let mut moved = evaluate.to_vec();
    moved.extend(["--encoder-weights", "moved.safetensors"]);
    succeed(here, &moved);
    weights(here, "squeezenet1_1", "moved.safetensors");
    fail(here, &moved, 1, &["moved.safetensors", "SHA-256"]);
}

/// What COCO's server takes: of pictures with COCO's names only, with captions of people or without.
fn coco_zip(here: &Path, evaluate: &[&str]) {
    let named = [evaluate, &["--coco-zip", "mine"]].concat();
    fail(here, &named, 1, &["--coco-zip: 4 pictures have no COCO id in their names (test0.png, test1.png"]);
    fail(here, &[evaluate, &["--coco-zip", "a/b"]].concat(), 2, &["--coco-zip a/b: wants a name"]);
    let mut images = vec![];
    fs::create_dir_all(here.join("server/test2014")).unwrap();
    for index in 0..2 {
        let file = format!("COCO_test2014_{:012}.png", 30 + index);
        fs::copy(here.join(format!("data/images/test{index}.png")), here.join("server/test2014").join(&file)).unwrap();
        images.push(json!({ "id": 30 + index, "file_name": file }));
    }
    fs::write(here.join("server/image_info_test2014.json"), json!({ "images": images }).to_string()).unwrap();
    let untold = [
        "evaluate",
        "--json",
        "--model",
        "runs/photos",
        "--split",
        "test",
        "--data",
        "server/image_info_test2014.json",
    ];
    fail(here, &untold, 1, &["has images but no captions"]);
    let said = succeed(here, &[&untold[..], &["--coco-zip", "mine", "--out", "server"]].concat());
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["pictures"], &said["coco_zip"]), (&json!(2), &json!("server/mine.zip")));
    let mut zip = zip::ZipArchive::new(fs::File::open(here.join("server/mine.zip")).unwrap()).unwrap();
    let file = zip.by_name("captions_test2014_mine_results.json").unwrap();
    let results: Value = serde_json::from_reader(file).unwrap();
    assert_eq!((results[0]["image_id"].as_i64(), results[1]["image_id"].as_i64()), (Some(30), Some(31)));
    assert!(results[0]["caption"].is_string(), "{results}");
}

/// The same pictures and captions in the three JSON formats and as an imagefolder: the file or folder to name as `--data`.
fn formats(here: &Path) -> [&'static str; 4] {
    let splits =
        [(Split::Train, "train", "train", 16), (Split::Dev, "dev", "val", 4), (Split::Test, "test", "test", 4)];
    let (mut karpathy, mut simple) = (vec![], vec![]);
    fs::create_dir_all(here.join("coco/annotations")).unwrap();
    for (split, list, named, count) in splits {
        let (mut images, mut annotations) = (vec![], vec![]);
        fs::create_dir_all(here.join(format!("coco/{named}2014"))).unwrap();
        fs::create_dir_all(here.join(format!("folders/{named}"))).unwrap();
        let mut table = "file_name,text\n".to_owned();
        for index in 0..count {
            let (file, caption) = (format!("{list}{index}.png"), Scene::generate(9, index, split).caption);
            let (id, path) = (100 * simple.len() + 7, format!("data/images/{file}"));
            let sentence = json!({ "raw": caption, "tokens": caption.split(' ').collect::<Vec<_>>() });
            karpathy.push(json!({ "filename": file, "split": named, "sentences": [sentence], "imgid": id }));
            simple.push(json!({ "file_path": path, "captions": [caption], "split": named }));
            fs::copy(here.join(&path), here.join(format!("coco/{named}2014/{file}"))).unwrap();
            fs::copy(here.join(&path), here.join(format!("folders/{named}/{file}"))).unwrap();
            table += &format!("{file},\"{caption}\"\n");
            images.push(json!({ "id": id, "file_name": file }));
            annotations.push(json!({ "image_id": id, "id": 2 * id, "caption": caption }));
        }
        fs::write(here.join(format!("folders/{named}/metadata.csv")), table).unwrap();
        let document = json!({ "images": images, "annotations": annotations });
        fs::write(here.join(format!("coco/annotations/captions_{named}2014.json")), document.to_string()).unwrap();
    }
    fs::write(here.join("data/dataset_scenes.json"), json!({ "images": karpathy }).to_string()).unwrap();
    fs::write(here.join("simple.json"), json!(simple).to_string()).unwrap();
    ["data/dataset_scenes.json", "coco", "simple.json", "folders"]
}

#[test]
fn every_format_gives_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    flickr(here);
    weights(here, "convnet", "encoder.safetensors");
    fs::write(here.join("train.toml"), RECIPE).unwrap();
    let weights_of = |out: &str| {
        let about: Value = serde_json::from_slice(&fs::read(here.join(out).join("run.json")).unwrap()).unwrap();
        fs::read(here.join(out).join(about["last"].as_str().unwrap()).join("model.safetensors")).unwrap()
    };
    let mut models = vec![];
    for (data, out) in formats(here).into_iter().zip(["karpathy", "coco-run", "simple", "imagefolder"]) {
        let encoder = ["--encoder-weights", "encoder.safetensors"];
        succeed(here, &[&["train", "train.toml", "--quiet", "--data", data, "--out", out][..], &encoder].concat());
        let evaluate = ["evaluate", "--json", "--model", out, "--data", data, "--split", "test"];
        let said: Value = serde_json::from_str(&succeed(here, &[&evaluate[..], &encoder].concat())).unwrap();
        let results = fs::read(here.join(said["results"].as_str().unwrap())).unwrap();
        let results: Value = serde_json::from_slice(&results).unwrap();
        let id = &results.as_array().unwrap()[1]["image_id"];
        // COCO's photos go by their numbers, the others by their files.
        assert!(
            if data == "coco" { id == 2107 } else { id.as_str().is_some_and(|id| id.contains("test1")) },
            "{results}"
        );
        models.push((weights_of(out), said["CIDEr"].clone()));
    }
    assert!(models.iter().all(|model| *model == models[0]), "the same data gives the same model and scores");
}

#[test]
fn a_pretrained_encoder_is_trained_further_from_a_stage() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    flickr(here);
    weights(here, "convnet", "encoder.safetensors");
    let recipe = RECIPE.replace(
        "network = \"convnet\"",
        "network = \"convnet\", fine_tune = \"blocks.3\", learning_rate_factor = 0.5",
    );
    fs::write(here.join("train.toml"), recipe).unwrap();
    succeed(
        here,
        &[
            "train",
            "train.toml",
            "--data",
            "data",
            "--encoder-weights",
            "encoder.safetensors",
            "--quiet",
            "--out",
            "out",
        ],
    );
    let about: Value = serde_json::from_slice(&fs::read(here.join("out/run.json")).unwrap()).unwrap();
    let model = here.join("out").join(about["last"].as_str().unwrap()).join("model.safetensors");
    let cpu = candlewick::candle::Device::Cpu;
    let (before, after) = (
        candlewick::candle::safetensors::load(here.join("encoder.safetensors"), &cpu).unwrap(),
        candlewick::candle::safetensors::load(model, &cpu).unwrap(),
    );
    let same = |name: &str| {
        let flat = |tensor: &candlewick::candle::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        flat(&before[name]) == flat(&after[&format!("encoder.{name}")])
    };
    assert!(same("blocks.2.conv.weight"), "a frozen stage moved");
    assert!(!same("blocks.3.conv.weight"), "the stage that is trained further did not move");
}

#[test]
fn faults_of_the_data_are_named_and_leave_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    flickr(here);
    weights(here, "squeezenet1_1", "other.safetensors");
    weights(here, "convnet", "encoder.safetensors");
    fs::write(here.join("train.toml"), RECIPE).unwrap();
    let train = |data: &str, weights: &str, parts: &[&str]| {
        fail(here, &["train", "train.toml", "--data", data, "--encoder-weights", weights, "--quiet"], 1, parts);
        assert!(!here.join("runs/photos").exists());
    };
    fail(here, &["train", "train.toml", "--quiet"], 1, &["--data"]);
    train("data", "other.safetensors", &["other.safetensors", "not the weights of this network", "missing"]);
    train("nowhere", "encoder.safetensors", &["nowhere"]);
    fs::write(here.join("wrong.json"), "[{\"file_path\": \"a.jpg\",").unwrap();
    train("wrong.json", "encoder.safetensors", &["wrong.json", "line 1"]);
    fs::write(here.join("coco.json"), json!({"images": [], "annotations": [{"image_id": 7}]}).to_string()).unwrap();
    train("coco.json", "encoder.safetensors", &["coco.json"]);
    fs::write(here.join("data/images/train3.png"), b"broken").unwrap();
    train("data", "encoder.safetensors", &["train3.png", "max_share"]);
    fs::write(here.join("data/Flickr_8k.devImages.txt"), "dev0.png\nghost.png\n").unwrap();
    train("data", "encoder.safetensors", &["ghost.png"]);
}

/// Two to four regions of seven features of each picture, as bottom-up attention's files have them; one picture is left out.
fn regions(here: &Path, left_out: &str) {
    let code = |numbers: Vec<f32>| STANDARD.encode(numbers.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>());
    let mut text = String::new();
    let mut photos: Vec<_> = fs::read_dir(here.join("data/images")).unwrap().map(|entry| entry.unwrap()).collect();
    photos.sort_by_key(|photo| photo.file_name());
    for photo in photos {
        let name = photo.file_name().into_string().unwrap();
        if name == left_out {
            continue;
        }
        let first: u32 = name.bytes().map(u32::from).sum();
        let count = 2 + first % 3;
        let features = (0..7 * count).map(|i| ((first + i) % 11) as f32 / 11.0).collect();
        let boxes = (0..count).flat_map(|i| [i as f32 * 8.0, 0.0, i as f32 * 8.0 + 16.0, 32.0]).collect();
        text += &format!("{name}\t64\t64\t{count}\t{}\t{}\n", code(boxes), code(features));
    }
    fs::write(here.join("regions.tsv"), text).unwrap();
}

#[test]
fn captioners_are_trained_on_regions_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    flickr(here);
    regions(here, "test3.png");
    // Long enough that it says words at all.
    let recipe = RECIPE.replace("decoder = {", "decoder = { kind = \"top_down\",");
    let recipe = recipe.replace("epochs = 1", "epochs = 10").replace("learning_rate = 0.001", "learning_rate = 0.02");
    fs::write(here.join("train.toml"), recipe).unwrap();
    let given = ["--data", "data", "--regions", "regions.tsv"];
    succeed(here, &[&["train", "train.toml", "--quiet"][..], &given].concat());
    assert!(here.join("runs/photos/attention/dev0/caption.svg").is_file());
    let evaluate = ["evaluate", "--json", "--model", "runs/photos", "--split", "test"];
    fail(here, &[&evaluate[..], &given].concat(), 1, &["test3.png", "no regions of it"]);
    let most = ["--max-share", "0.5"];
    let said: Value = serde_json::from_str(&succeed(here, &[&evaluate[..], &given, &most].concat())).unwrap();
    assert_eq!(said["pictures"], 3);

    // A photo that the file does not know is named, the other is captioned.
    let caption = ["caption", "data/images/test0.png", "--model", "runs/photos", "--regions", "regions.tsv"];
    let told = succeed(here, &[&caption[..], &["--attention", "looked", "--json"]].concat());
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["words"][0]["attention"]["width"], 28);
    assert!(here.join("looked/test0/caption.svg").is_file());
    fail(here, &[&caption[..], &["data/images/test3.png"]].concat(), 1, &["test3.png", "no regions of it"]);
    // Without the file the captioner has nothing to look at; weights of a network are in its way.
    fail(here, &caption[..4], 2, &["name the file with --regions"]);
    fail(here, &[&evaluate[..], &given, &["--mirrored"]].concat(), 2, &["--mirrored"]);
    fail(here, &[&["train", "train.toml", "--encoder-weights", "x"][..], &given].concat(), 2, &["--encoder-weights"]);
}

#[test]
fn training_photos_are_seen_through_views() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    flickr(here);
    weights(here, "convnet", "encoder.safetensors");
    fs::write(here.join("train.toml"), RECIPE).unwrap();
    let weights_of = |out: &str, changes: &[&str]| {
        let given = ["train", "train.toml", "--data", "data", "--encoder-weights", "encoder.safetensors", "--quiet"];
        succeed(here, &[&given[..], &["--out", out], changes].concat());
        let about: Value = serde_json::from_slice(&fs::read(here.join(out).join("run.json")).unwrap()).unwrap();
        fs::read(here.join(out).join(about["last"].as_str().unwrap()).join("model.safetensors")).unwrap()
    };
    let views = "views={mirrored=true,parts=['whole','centre']}";
    let (plain, seen) = (weights_of("runs/plain", &[]), weights_of("runs/seen", &["--set", views]));
    assert_ne!(plain, seen);
    assert_eq!(seen, weights_of("runs/again", &["--set", views]));
    let caches = fs::read_dir(here.join("runs/features")).unwrap();
    let kept = caches.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "f16"));
    assert_eq!(kept.count(), 4);
    fail(
        here,
        &["caption", "data/images/dev0.png", "--model", "runs/seen", "--regions", "x.tsv"],
        2,
        &["looks at pictures"],
    );
    // Scenes are drawn, and tell of left and right.
    fail(here, &["caption", "data/images/dev0.png", "--mirrored"], 1, &["mirrored: "]);
    fail(here, &["train", "--set", "views.mirrored=true", "--quiet"], 1, &["views: scenes"]);
    fail(here, &["train", "train.toml", "--data", "data", "--set", "views.share=2.0", "--quiet"], 1, &["views: "]);
}
