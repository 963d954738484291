use crate::support::{RECIPE, flickr, weights};
use crate::{fail, scene, small, succeed};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The captions that a call of `caption` with `--json` prints.
fn told(here: &Path, words: &[&str]) -> Vec<Value> {
    let said = succeed(here, &[&["caption", "--json"], words].concat());
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The caption's words.
fn words(caption: &Value) -> Vec<String> {
    caption["caption"].as_str().unwrap().split(' ').map(str::to_owned).collect()
}

#[test]
fn n_best_captions_come_in_order_of_their_scores() {
    let folder = tempfile::tempdir().unwrap();
    let (photo, _) = scene(folder.path(), 2);
    let said = succeed(folder.path(), &["caption", photo.to_str().unwrap(), "--n-best", "3", "--json"]);
    let scores: Vec<f64> =
        said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["score"].as_f64().unwrap()).collect();
    assert_eq!(scores.len(), 3);
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]), "{scores:?}");
}

#[test]
fn groups_of_beams_give_other_captions() {
    let folder = tempfile::tempdir().unwrap();
    let (photo, _) = scene(folder.path(), 2);
    let words = ["caption", photo.to_str().unwrap(), "--n-best", "4", "--beam", "4"];
    let captions = |more: &[&str]| succeed(folder.path(), &[&words[..], more].concat());
    let (plain, diverse) = (captions(&[]), captions(&["--beam-groups", "4", "--diversity", "3"]));
    assert!(plain != diverse && diverse.lines().count() >= 2, "{plain}{diverse}");
    let uneven = [&words[..], &["--beam-groups", "3"]].concat();
    fail(folder.path(), &uneven, 2, &["--beam-groups must be a divisor of --beam = 4; found 3"]);
}

#[test]
fn wanted_words_come_and_refused_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (photo, truth) = scene(here, 1);
    let photo = photo.to_str().unwrap();
    let colours = ["red", "yellow", "blue", "purple", "green", "orange", "white"];
    let has = |caption: &Value, word: &str| words(caption).iter().any(|found| found == word);
    let mut strange = colours.into_iter().filter(|colour| !truth.contains(colour));
    let (one, other) = (strange.next().unwrap(), strange.next().unwrap());
    let seen = colours.into_iter().find(|colour| truth.contains(colour)).unwrap();
    let plain = &told(here, &[photo])[0];
    assert!(has(plain, seen) && !has(plain, one) && !has(plain, other), "{truth}: {plain}");

    // The model is greedy; wanted words take beams of their own.
    assert!(has(&told(here, &[photo, "--include", one])[0], one));
    let phrase = format!("small {one} star");
    let captions = told(here, &[photo, "--include", &phrase, "--n-best", "7"]);
    assert!(captions.len() == 7 && captions.iter().all(|told| told["caption"].as_str().unwrap().contains(&phrase)));
    assert!(!has(&told(here, &[photo, "--exclude", seen])[0], seen));

    // Of several one is enough: the likelier, which has the better score.
    let score =
        |words: &str| told(here, &[photo, "--include", words, "--max-words", "24"])[0]["score"].as_f64().unwrap();
    let either = format!("{one}|{other}");
    let caption = &told(here, &[photo, "--include", &either])[0];
    assert!(has(caption, one) != has(caption, other), "{caption}");
    assert!(score(&either) >= score(one).max(score(other)) - 1e-4);
    let both = &told(here, &[photo, "--include", one, "--include", other])[0];
    assert!(has(both, one) && has(both, other), "{both}");
    let neither = &told(here, &[photo, "--exclude", &format!("{seen}|{one}")])[0];
    assert!(!has(neither, seen) && !has(neither, one), "{neither}");
    // What one alternative may not hold another may.
    let other_one = &told(here, &[photo, "--include", &either, "--exclude", one])[0];
    assert!(has(other_one, other) && !has(other_one, one), "{other_one}");
}

#[test]
fn wanted_words_that_cannot_come_are_refused_in_the_words_of_the_call() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |more: &[&str], part: &str| {
        fail(folder.path(), &[&["caption", "x.png"], more].concat(), 2, &[part]);
    };
    refused(&["--include", "zebra"], "the model does not know the word \"zebra\"");
    refused(&["--include", "red|"], "\"red|\": \"\" holds no word");
    refused(&["--include", "red", "--exclude", "red"], "--include red: --exclude red refuses it");
    refused(
        &["--include", "red circle|red star", "--exclude", "blue", "--exclude", "green|red"],
        "--include red circle|red star: --exclude green|red refuses it",
    );
    refused(&["--include", "red", "--beam", "1"], "--beam must be above 1 with --include; found 1");
    refused(
        &["--include", "red", "--beam", "4", "--beam-groups", "2"],
        "--beam-groups must be 1 with --include; found 2",
    );
    refused(&["--include", "a a a a a a a a", "--include", "of of of of of of of of"], "--include makes 81 states");
    refused(&["--max-words", "0"], "invalid value '0' for '--max-words <N>': one is the least");
    refused(&["--length-penalty", "inf"], "'--length-penalty <X>': wanted a finite number");
    refused(&["--n-best", "0"], "'--n-best <N>': one is the least");
    refused(&["--top-p", "0"], "--top-p must be a number above 0");
    refused(&["--min-words", "9", "--max-words", "8"], "--min-words must be at most --max-words = 8");
    refused(&["--temperature", "0.5", "--num-beams", "2"], "--temperature draws words at random, --beam searches");
}

#[test]
fn models_that_know_the_same_words_tell_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let quick = ["training.epochs=1", "data.dev=2"];
    succeed(here, &small("one", &quick));
    succeed(here, &small("two", &[&quick[..], &["training.seed=2"]].concat()));
    succeed(here, &small("few", &[&quick[..], &["data.train=2"]].concat()));
    let (photo, _) = scene(here, 1);
    let photo = photo.to_str().unwrap();
    let score = |models: &[&str]| {
        let models: Vec<&str> = models.iter().flat_map(|model| ["--model", model]).collect();
        let caption = told(here, &[&[photo, "--beam", "2", "--max-words", "4"], &models[..]].concat()).remove(0);
        (caption["caption"].as_str().unwrap().to_owned(), caption["score"].as_f64().unwrap())
    };
    let (alone, twice, both) = (score(&["one"]), score(&["one", "one"]), score(&["one", "two"]));
    assert!(alone.0 == twice.0 && (alone.1 - twice.1).abs() < 1e-5, "{alone:?} {twice:?}");
    assert!((alone.1 - both.1).abs() > 1e-4 && both == score(&["one", "two"]), "{alone:?} {both:?}");
    fail(here, &["caption", photo, "--model", "one", "--model", "few"], 1, &["know different words"]);
}

#[test]
fn a_picture_is_looked_at_twice_by_a_captioner_that_knows_no_places() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    flickr(here);
    weights(here, "convnet", "encoder.safetensors");
    fs::write(here.join("train.toml"), RECIPE).unwrap();
    let given = ["--data", "data", "--encoder-weights", "encoder.safetensors", "--quiet"];
    succeed(here, &[&["train", "train.toml"][..], &given].concat());
    let score = |photo: &str, more: &[&str]| {
        let words = [&[photo, "--model", "runs/photos", "--max-words", "6"], more].concat();
        told(here, &words)[0]["score"].as_f64().unwrap()
    };
    image::imageops::flip_horizontal(&image::open(here.join("data/images/test0.png")).unwrap().to_rgb8())
        .save(here.join("mirrored.png"))
        .unwrap();
    let (photo, other) = ("data/images/test0.png", "mirrored.png");
    let twice = score(photo, &["--mirrored"]);
    assert!((score(photo, &[]) - twice).abs() > 1e-6, "the mirror image makes no difference");
    // Both looks are the same of the picture and of its mirror image, but for where things lie.
    assert!((score(other, &["--mirrored"]) - twice).abs() < 1e-4);
    let evaluate = ["evaluate", "--model", "runs/photos", "--data", "data", "--split", "test", "--mirrored", "--json"];
    let said: Value = serde_json::from_str(&succeed(here, &evaluate)).unwrap();
    assert_eq!(said["pictures"], 4);
}

#[test]
fn words_are_drawn_by_transformers_words_and_a_seed_gives_them_again() {
    let folder = tempfile::tempdir().unwrap();
    let (scene, _) = scene(folder.path(), 2);
    let scene = scene.to_str().unwrap();
    let told = |seed: &str| {
        let words =
            ["caption", scene, "--temperature", "3", "--top-k", "0", "--num-return-sequences", "6", "--seed", seed];
        succeed(folder.path(), &words)
    };
    assert_eq!(told("1"), told("1"));
    assert_ne!(told("1"), told("2"));
    let greedy = succeed(folder.path(), &["caption", scene, "--max-new-tokens", "3"]);
    assert_eq!(greedy, succeed(folder.path(), &["caption", scene, "--max-words", "3", "--num-beams", "1"]));
}
