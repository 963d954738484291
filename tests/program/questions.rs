use super::{fail, scene, succeed};
use candlewick::data::Split;
use candlewick::data::scenes::questions::SceneQuestion;
use image::{Rgb, RgbImage};
use serde_json::Value;
use std::fs;

#[test]
fn a_model_that_answers_questions_is_trained_used_and_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let settings = [
        "data.train=24",
        "data.dev=10",
        "data.questions=4",
        "training.epochs=1",
        "batches.size=16",
        "model.question.hidden_size=16",
        "model.attention_size=16",
    ];
    let words = ["train", "scene_questions", "--out", "run", "--quiet"];
    let train: Vec<&str> = words.into_iter().chain(settings.iter().flat_map(|setting| ["--set", setting])).collect();
    let told = succeed(here, &train);
    assert!(told.contains("on 40 questions of the test split:") && told.contains("pointing"), "{told}");
    assert!(told.lines().any(|line| line.starts_with("existence") && line.contains("questions: accuracy")), "{told}");
    let (picture, _) = scene(here, 1);
    let picture = picture.to_str().unwrap();
    let question = "what is left of the red star?";
    let said = succeed(here, &["answer", picture, question, "--model", "run", "--attention", "looked", "--top", "3"]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].ends_with(&format!("scene-1.png: {question}")) && lines.len() == 5, "{said}");
    assert!(lines[1].contains(" %  ") && lines[4] == "looked/answer.html", "{said}");
    let page = fs::read_to_string(here.join("looked/answer.html")).unwrap();
    assert!(page.contains("<h1>what is left of the red star?</h1>") && page.contains("hop 2 of attention"));
    assert!(here.join("looked/hop-1.png").is_file() && here.join("looked/hop-2.png").is_file());
    let said =
        succeed(here, &["answer", picture, question, "--model", "run", "--choices", "circle | star|square", "--json"]);
    let object: Value = serde_json::from_str(&said).unwrap();
    let answers = object["answers"].as_array().unwrap();
    let sum: f64 = answers.iter().map(|one| one["probability"].as_f64().unwrap()).sum();
    assert!(answers.len() == 3 && (sum - 1.0).abs() < 1e-5, "{object}");
    let list = r#"[{"image": "scene-1.png", "question": "how many shapes are there?", "answer": "two", "kind": "number", "split": "dev"}]"#;
    fs::write(here.join("list.json"), list).unwrap();
    let said = succeed(here, &["evaluate", "--model", "run", "--data", "list.json", "--json"]);
    let object: Value = serde_json::from_str(&said).unwrap();
    assert!(object["questions"] == 1 && object["by_kind"]["number"]["questions"] == 1, "{object}");
    succeed(here, &["export", "run", "out"]);
    assert!(fs::read_to_string(here.join("out/README.md")).unwrap().contains("candlewick answer photo.jpg"));
    refused(here, picture);
}

#[test]
fn the_built_in_model_answers_questions_about_scenes() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (mut right, mut all) = (0, 0);
    for index in 0..6 {
        let (scene, asked) = SceneQuestion::generate(21, index, Split::Test, 3);
        scene.draw().save(here.join("scene.png")).unwrap();
        for one in asked {
            let told = succeed(here, &["answer", "scene.png", &one.question, "--top", "1", "--json"]);
            let told: Value = serde_json::from_str(&told).unwrap();
            right += usize::from(told["answers"][0]["answer"] == one.answer);
            all += 1;
        }
    }
    // Guessing would be right on 5 of them.
    assert!(all == 18 && right >= 16, "{right} of {all}");
    RgbImage::from_pixel(80, 60, Rgb([200, 180, 90])).save(here.join("photo.png")).unwrap();
    let output = super::run(here, &["answer", "photo.png", "what shape is the red thing?"]);
    assert!(output.status.success() && super::text(&output.stderr).contains("flickr8k_questions"), "{output:?}");
    fail(here, &["answer", "photo.png", "what?", "--encoder-weights", "x"], 2, &["--encoder-weights"]);
}

fn refused(here: &std::path::Path, picture: &str) {
    let answer = |more: &[&'static str]| [&["answer", picture, "how many?", "--model", "run"][..], more].concat();
    fail(here, &answer(&["--choices", "two|many"]), 1, &["\"many\" is none of the"]);
    fail(here, &["answer", "none.png", "how many?", "--model", "run"], 1, &["none.png"]);
    fail(here, &["answer", picture, " ? ", "--model", "run"], 1, &["has no words"]);
    fail(here, &["answer", picture], 2, &["QUESTION"]);
    fail(here, &["answer", picture, "how many?", "--model", "none"], 1, &["none"]);
    fail(here, &["caption", picture, "--model", "run"], 1, &["answers questions", "candlewick answer"]);
    fail(
        here,
        &["evaluate", "--model", "run", "--data", "list.json", "--split", "test"],
        1,
        &["test split", "--split"],
    );
    fail(here, &["evaluate", "--model", "run", "--data", "list.json", "--beam", "3"], 2, &["--beam"]);
    fail(here, &["evaluate", "--model", "run", "--data", "none.json"], 1, &["none.json"]);
    fail(here, &["train", "scene_questions", "--data", "list.json"], 2, &["--data", "generated scenes"]);
    fail(here, &["train", "daquar", "--data", ".", "--out", "other"], 1, &["resnet50", "--encoder-weights"]);
    fail(here, &["train", "easy_vqa", "--out", "other"], 1, &["--data DIR"]);
}
