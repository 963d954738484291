//! Models that answer questions about pictures: what they learn, where they look, that runs resume, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::resumed::same_in_parts;
use candle_core::Device;
use candlewick_data::Split;
use candlewick_parameters::Rng;
use candlewick_tasks::vqa::{Ask, DataConfig, Join, SceneWorld, VqaDataset, VqaModel, VqaRecipe, evaluate};
use candlewick_training::{ModelFolder as _, Recipe as _, Scores, Shard, Silent, Task as _, fit};
use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use std::path::Path;

const COLOURS: [(&str, [u8; 3]); 3] = [("red", [230, 40, 40]), ("green", [40, 200, 60]), ("blue", [50, 80, 230])];

/// A square and a frame in two quarters of a dark picture.
struct Things {
    picture: RgbImage,
    /// The colour and the quarter of the square, and of the frame.
    things: [(usize, usize); 2],
}

fn things(rng: &mut Rng) -> Things {
    let mut quarters = [0, 1, 2, 3];
    rng.shuffle(&mut quarters);
    let things = [0, 1].map(|at| (rng.below(COLOURS.len()), quarters[at]));
    let mut picture = RgbImage::from_pixel(32, 32, Rgb([40; 3]));
    for (form, (colour, quarter)) in things.into_iter().enumerate() {
        let (left, top) = (16 * (quarter as u32 % 2) + 3, 16 * (quarter as u32 / 2) + 3);
        for (x, y) in (0..10).flat_map(|x| (0..10).map(move |y| (x, y))) {
            let inside = (1..9).contains(&x) && (1..9).contains(&y);
            if form == 0 || !inside {
                picture.put_pixel(left + x, top + y, Rgb(COLOURS[colour].1));
            }
        }
    }
    Things { picture, things }
}

/// Pictures with a question about each of their things, in a plain list.
fn write_set(folder: &Path, train: u64) {
    std::fs::create_dir_all(folder.join("images")).unwrap();
    let mut list: Vec<Value> = Vec::new();
    for (split, count) in [("train", train), ("dev", 40)] {
        for index in 0..count {
            let Things { picture, things } = things(&mut Rng::derive(3, split, index));
            let name = format!("{split}{index}.png");
            picture.save(folder.join("images").join(&name)).unwrap();
            for (form, (colour, _)) in ["square", "frame"].into_iter().zip(things) {
                list.push(json!({
                    "image": name, "question": format!("What colour is the {form}?"), "answer": COLOURS[colour].0,
                    "choices": COLOURS.map(|(name, _)| name), "kind": form, "split": split,
                }));
            }
        }
    }
    std::fs::write(folder.join("list.json"), serde_json::to_string(&list).unwrap()).unwrap();
}

const RECIPE: &str = r#"
task = "vqa"
name = "test"
data = { kind = "photos" }
batches = { size = 16, workers = 0 }

[preprocessing]
do_resize = true
size = { height = 32, width = 32 }
do_center_crop = false
do_rescale = true
do_normalize = true
image_mean = [0.5, 0.5, 0.5]
image_std = [0.5, 0.5, 0.5]

[encoder]
network = "convnet"
coordinates = true
config = { blocks = [
    { channels = 8, kernel_size = 4, stride = 2 },
    { channels = 16, kernel_size = 4, stride = 2 },
    { channels = 24, kernel_size = 4, stride = 2 },
] }

[model]
hops = 1
attention_size = 16
hidden_size = 32
dropout = 0.0
question = { embedding_size = 8, hidden_size = 24, stack = { bidirectional = true } }

[training]
epochs = 24
target = { value = 0.98, metric = "accuracy" }
optimizer = { name = "adam", learning_rate = 0.005 }
"#;

fn recipe(more: &str, folder: &Path) -> VqaRecipe {
    let mut table: toml::Table = RECIPE.parse().unwrap();
    table.extend(more.parse::<toml::Table>().unwrap());
    let data = table["data"].as_table_mut().unwrap();
    if data["kind"].as_str() == Some("photos") {
        data.insert("path".into(), folder.display().to_string().into());
    }
    table.try_into().unwrap()
}

/// The scores of a trained recipe, whose run is `run` in the folder.
fn trained(recipe: &VqaRecipe, folder: &Path, run: &str) -> Scores {
    let run = folder.join(run);
    let mut task = recipe.prepare(&run, &Device::Cpu, &mut |_| {}).unwrap();
    let report = fit(&mut task, recipe.training(), &run, &mut Silent).unwrap();
    recipe.outcome(task, &report, &run, &Device::Cpu, &mut |_| ()).unwrap().scores
}

fn accuracy(scores: &Scores) -> f64 {
    scores.get("accuracy").unwrap()
}

#[test]
fn it_looks_where_the_thing_is_that_is_asked_about_and_words_alone_tell_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path(), 800);
    let mut recipe = recipe("", folder.path());
    let scores = trained(&recipe, folder.path(), "run");
    assert!(accuracy(&scores) > 0.97 && scores.get("accuracy_of_choices").unwrap() > 0.97, "{scores}");
    let model = VqaModel::from_pretrained(&folder.path().join("run"), &Device::Cpu).unwrap();
    let (mut hits, mut right) = (0, 0);
    for index in 0..20 {
        let Things { picture, things } = things(&mut Rng::derive(3, "unseen", index));
        let asks = ["what colour is the square", "WHAT colour is the frame??"].map(|question| Ask {
            picture: &picture,
            question,
            choices: &[],
        });
        for (told, (colour, quarter)) in model.answer(&asks).unwrap().into_iter().zip(things) {
            right += usize::from(told.answers[0] == COLOURS[colour].0);
            assert!((told.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5 && told.answers.len() == 3);
            assert!(told.probabilities.is_sorted_by(|a, b| a >= b) && told.alpha.len() == 1);
            assert!((told.alpha[0].weights.iter().sum::<f32>() - 1.0).abs() < 1e-4);
            let (x, y) = told.alpha[0].peak();
            hits += usize::from(usize::from(x > 0.5) + 2 * usize::from(y > 0.5) == quarter);
        }
    }
    assert!(right >= 38 && hits >= 36, "{right} right and {hits} looked at of 40");
    // Without the picture a colour of three is guessed; the pictures need not even be there.
    recipe.model.join = Join::None;
    std::fs::remove_dir_all(folder.path().join("images")).unwrap();
    let blind = trained(&recipe, folder.path(), "blind");
    assert!(accuracy(&blind) < 0.55, "{blind}");
    let model = VqaModel::from_pretrained(&folder.path().join("blind"), &Device::Cpu).unwrap();
    let any = RgbImage::new(1, 1);
    let told = model.answer(&[Ask { picture: &any, question: "what colour is the frame?", choices: &[] }]).unwrap();
    assert!(told[0].alpha.is_empty() && model.encoder().is_none());
}

#[test]
fn mean_annotations_join_with_questions_too_and_choices_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path(), 800);
    let mut recipe = recipe("", folder.path());
    (recipe.model.join, recipe.model.read_choices) = (Join::Concatenate, true);
    let scores = trained(&recipe, folder.path(), "a");
    assert!(accuracy(&scores) > 0.95 && scores.get("accuracy_of_choices").unwrap() > 0.95, "{scores}");
    // A product takes long to tell the things apart, and not to see that there are two colours.
    (recipe.model.join, recipe.training.epochs) = (Join::Product, 2);
    let scores = trained(&recipe, folder.path(), "b");
    assert!(accuracy(&scores) > 0.6, "{scores}");
    let model = VqaModel::from_pretrained(&folder.path().join("a"), &Device::Cpu).unwrap();
    let Things { picture, .. } = things(&mut Rng::derive(3, "unseen", 1));
    // A choice that is no known answer is read like any other.
    let (two, four) = (["green", "red"].map(String::from), ["red", "green", "blue", "violet"].map(String::from));
    let asks =
        [&two[..], &four[..]].map(|choices| Ask { picture: &picture, question: "what colour is the frame?", choices });
    let told = model.answer(&asks).unwrap();
    assert_eq!([told[0].answers.len(), told[1].answers.len()], [2, 4]);
    assert!(
        told.iter().all(|told| (told.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5 && told.alpha.is_empty())
    );
    let alone = model.answer(&asks[..1]).unwrap();
    assert!((alone[0].probabilities[0] - told[0].probabilities[0]).abs() < 1e-5, "{alone:?} {told:?}");
}

#[test]
fn a_resumed_run_is_the_same_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path(), 240);
    let mut recipe = recipe("[views]\nmirrored = true\n[batches]\nsize = 32\nworkers = 1", folder.path());
    (recipe.model.dropout, recipe.model.picture_dropout, recipe.label_smoothing) = (0.3, 0.2, 0.1);
    recipe.model.read_choices = true;
    (recipe.training.epochs, recipe.training.checkpoint_every) = (2, 5);
    same_in_parts(&recipe, folder.path(), &[6, 11]);
}

#[test]
fn a_frozen_encoder_is_looked_at_once_and_a_model_folder_is_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path(), 40);
    let weights = folder.path().join("encoder.safetensors");
    let parameters = candlewick_parameters::Parameters::new(5);
    let architecture = candlewick_encoders::Architecture::find("convnet").unwrap();
    architecture.build(&Default::default(), parameters.builder(&Device::Cpu)).unwrap();
    parameters.save(&weights).unwrap();
    let mut recipe = recipe("[encoder]\nnetwork = 'convnet'", folder.path());
    recipe.encoder.pretrained = Some(weights.clone());
    recipe.training.epochs = 1;
    let mut told = Vec::new();
    let run = folder.path().join("run");
    for computed in [true, false] {
        told.clear();
        recipe.prepare(&run, &Device::Cpu, &mut |note| told.push(format!("{note:?}"))).unwrap();
        assert_eq!(told.iter().any(|note| note.contains("annotations")), computed, "{told:?}");
    }
    assert!(folder.path().join("features").is_dir());
    trained(&recipe, folder.path(), "run");
    let model = VqaModel::from_pretrained(&run, &Device::Cpu).unwrap();
    let Things { picture, .. } = things(&mut Rng::derive(3, "unseen", 2));
    let asks = [Ask { picture: &picture, question: "what colour is the frame?", choices: &[] }];
    let wanted = model.answer(&asks).unwrap();
    // The weights of the encoder are beside the model, and in what is given away.
    let moved = folder.path().join("elsewhere.safetensors");
    std::fs::rename(&weights, &moved).unwrap();
    let lost = VqaModel::from_pretrained(&run, &Device::Cpu).err().unwrap().to_string();
    assert!(lost.contains("--encoder-weights") && !lost.contains('\n'), "{lost}");
    assert_eq!(VqaModel::open(&run, Some(&moved), &Device::Cpu).unwrap().answer(&asks).unwrap(), wanted);
    let out = tempfile::tempdir().unwrap();
    let how = candlewick_training::Export { encoder_weights: Some(moved), ..Default::default() };
    let best = candlewick_training::model_folder::open_model(&run, |folder| Ok(folder.to_path_buf())).unwrap();
    let about = VqaModel::export(&best, out.path(), &how).unwrap();
    assert!(about.made_of.contains("attends once") && about.made_of.contains("3 answers"), "{about:?}");
    let again = VqaModel::from_pretrained(out.path(), &Device::Cpu).unwrap().answer(&asks).unwrap();
    let near = again[0].probabilities.iter().zip(&wanted[0].probabilities).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(again[0].answers == wanted[0].answers && near, "{again:?} {wanted:?}");
}

#[test]
fn questions_about_scenes_are_drawn_and_looking_at_the_asked_thing_is_scored() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(
        "data = { kind = 'scenes', train = 32, dev = 10, questions = 4 }\nbatches = { by_picture = true }\ntraining = { epochs = 1 }\n\
         preprocessing = { do_resize = false, do_center_crop = false, do_rescale = true, do_normalize = false }",
        folder.path(),
    );
    let run = folder.path().join("run");
    let task = recipe.prepare(&run, &Device::Cpu, &mut |_| {}).unwrap();
    assert_eq!(task.score_names(), ["accuracy", "pointing"]);
    assert!(task.dev().questions.iter().any(|one| one.asked.is_some()) && task.dev().questions.len() == 40);
    let batches: Vec<_> = task.batches(0, 0, Shard::WHOLE).unwrap().map(Result::unwrap).collect();
    assert_eq!((batches.len(), task.batches_per_epoch()), (2, 2));
    drop(task);
    let scores = trained(&recipe, folder.path(), "run");
    assert!((0.0..=1.0).contains(&scores.get("pointing").unwrap()), "{scores}");
    let model = VqaModel::from_pretrained(&run, &Device::Cpu).unwrap();
    let test = VqaDataset::scenes(
        &SceneWorld { seed: 0, questions: 4 },
        Split::Test,
        10,
        model.encoder().unwrap().preprocessing().clone(),
        &mut |_| (),
    );
    let found = evaluate(&model, test.into(), None, &mut |_, _| ()).unwrap();
    assert_eq!((found.questions, &found.scores), (40, &scores));
    assert_eq!(found.by_kind.iter().map(|kind| kind.questions).sum::<usize>(), 40);
    assert!(found.by_kind.iter().any(|kind| kind.kind == "existence"), "{found:?}");
}

#[test]
fn sets_of_answers_are_learned_one_by_one_and_rare_ones_not() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("images")).unwrap();
    for name in ["a", "b"] {
        RgbImage::new(32, 32).save(folder.path().join(format!("images/{name}.png"))).unwrap();
    }
    let rows = "what is there?,\"cup, bowl\",a\nwhat is this?,cup,a\nwhat else is there?,\"bowl, rare\",a\nwho?,other,a\nhow?,odd,a\n";
    let table = format!("question,answer,image_id,split\n{}", rows.replace(",a\n", ",a,train\n"));
    std::fs::write(folder.path().join("questions.csv"), table + "what is there?,\"cup, bowl\",b,dev\n").unwrap();
    let mut recipe = recipe("training = { epochs = 1 }", folder.path());
    let DataConfig::Photos { least_answers, .. } = &mut recipe.data else { panic!() };
    *least_answers = 2;
    let mut told = Vec::new();
    let task =
        recipe.prepare(&folder.path().join("run"), &Device::Cpu, &mut |note| told.push(format!("{note:?}"))).unwrap();
    assert_eq!(task.model().known_answers().collect::<Vec<_>>(), ["bowl", "cup"]);
    assert!(
        told.iter().any(|note| note.contains("2 questions to train on have answers that are too rare")),
        "{told:?}"
    );
    // One answer is not the set, whatever it is.
    assert_eq!(accuracy(&trained(&recipe, folder.path(), "run")), 0.0);
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path(), 240);
    let told = |recipe: &VqaRecipe| {
        let Err(error) = recipe.prepare(&folder.path().join("run"), &Device::Cpu, &mut |_| {}) else {
            panic!("it was taken")
        };
        error.to_string()
    };
    let cases: [(&str, &str); 10] = [
        ("[model]\nhops = 0", "model.hops is 0"),
        ("[model]\ndropout = 1.5", "model.dropout is 1.5"),
        ("[model]\nquestion = { cell = 'lstn' }", "no sequence layer is called lstn"),
        ("[batches]\nsize = 0", "batches.size is 0"),
        ("label_smoothing = -1.0", "label_smoothing is -1"),
        ("pointing = -1.0", "pointing is -1; wanted at least 0"),
        ("encoder = { network = 'resnet50' }", "--encoder-weights"),
        ("data = { kind = 'scenes', train = 0, dev = 5 }", "data.train, data.dev and data.questions"),
        ("data = { kind = 'scenes', train = 5, dev = 5 }\nviews = { mirrored = true }", "views: "),
        ("data = { kind = 'photos', least_answers = 1000 }", "0 answers to tell"),
    ];
    for (more, wanted) in cases {
        let found = told(&recipe(more, folder.path()));
        assert!(found.contains(wanted) && !found.contains('\n'), "{more}: {found}");
    }
    // A photo that is not there, and one that is none.
    std::fs::remove_file(folder.path().join("images/train3.png")).unwrap();
    std::fs::write(folder.path().join("images/train4.png"), "no picture").unwrap();
    let found = told(&recipe("data = { kind = 'photos', max_share = 0.0 }", folder.path()));
    assert!(found.contains("train3.png") && !found.contains('\n'), "{found}");
    let mut skipped = Vec::new();
    let fine = recipe("data = { kind = 'photos', max_share = 0.1 }\ntraining = { epochs = 1 }", folder.path());
    let task =
        fine.prepare(&folder.path().join("run"), &Device::Cpu, &mut |note| skipped.push(format!("{note:?}"))).unwrap();
    for wanted in
        ["2 of 560 questions", "train3.png", "1 of 279 photos", "train4.png", "476 questions about 238 pictures"]
    {
        assert!(skipped.iter().any(|note| note.contains(wanted)), "{wanted}: {skipped:?}");
    }
    let (model, any) = (task.model(), RgbImage::new(32, 32));
    let refused = |question: &str, choices: &[&str]| {
        let choices: Vec<String> = choices.iter().map(|choice| choice.to_string()).collect();
        let ask = Ask { picture: &any, question, choices: &choices };
        model.answer(&[ask]).unwrap_err().to_string()
    };
    for (question, choices, wanted) in [
        (" ?", &[][..], "question \" ?\": has no words"),
        ("what?", &["red"], "\"red\" is the only one"),
        ("what?", &["red", "red"], "\"red\" comes twice"),
        ("what?", &["red", "violet"], "\"violet\" is none of the 3 answers that the model knows"),
    ] {
        let found = refused(question, choices);
        assert!(found.contains(wanted) && !found.contains('\n'), "{found}");
    }
    assert!(model.answer(&[]).unwrap().is_empty());
}
