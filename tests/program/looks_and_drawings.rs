use super::{fail, run, succeed, text};
use image::{GrayImage, Luma};
use std::fs;
use std::path::Path;

/// Bars across and down pictures of 8 × 8 pixels.
fn write_bars(folder: &Path) {
    for (class, down) in [("across", false), ("down", true)] {
        fs::create_dir_all(folder.join(class)).unwrap();
        for number in 0..24 {
            let bar =
                GrayImage::from_fn(8, 8, |x, y| Luma([if [y, x][usize::from(down)] == number % 8 { 255 } else { 0 }]));
            bar.save(folder.join(class).join(format!("{number}.png"))).unwrap();
        }
    }
}

/// A command and its settings, each after `--set`.
fn with<'a>(words: &[&'a str], settings: &[&'a str]) -> Vec<&'a str> {
    words.iter().copied().chain(settings.iter().flat_map(|setting| ["--set", setting])).collect()
}

#[test]
fn looks_are_trained_evaluated_told_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_bars(&here.join("bars"));
    let settings = [
        "data.dev_share=0.3",
        "data.placing={ size = [8, 24], pictures = 2 }",
        "model={ looks = 2, patch = 4, scales = 2, what_size = 8, where_size = 8, glimpse_size = 8, hidden_size = 8, location_size = 8 }",
        "batches.size=8",
        "training.epochs=2",
    ];
    let told = succeed(here, &with(&["train", "glimpses", "--data", "bars", "--out", "run", "--quiet"], &settings));
    assert!(told.contains("of the dev split:") && told.contains("accuracy") && told.contains("found"), "{told}");

    let two = GrayImage::from_fn(24, 8, |x, y| Luma([if y == 3 || x == 12 { 255 } else { 0 }]));
    two.save(here.join("two.png")).unwrap();
    let said = succeed(here, &["glimpse", "two.png", "--model", "run", "--out", "looks"]);
    assert!(said.starts_with("two.png: ") && said.contains(" %), looking at "), "{said}");
    assert!(said.contains("looks/two.svg") && said.contains("looks/two.gif"), "{said}");
    let strip = fs::read_to_string(here.join("looks/two.svg")).unwrap();
    assert_eq!(strip.matches("<image").count(), 4, "two looks for each of two labels");
    assert!(fs::read(here.join("looks/two.gif")).unwrap().starts_with(b"GIF89a"));
    fs::create_dir(here.join("other")).unwrap();
    fs::copy(here.join("two.png"), here.join("other/two.png")).unwrap();
    let said = succeed(here, &["glimpse", "two.png", "other/two.png", "--model", "run", "--out", "both"]);
    assert!(said.contains("both/two.svg") && said.contains("both/two-2.gif"), "{said}");
    let object = succeed(here, &["glimpse", "two.png", "--model", "run", "--samples", "3", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&object).unwrap();
    assert_eq!(object["labels"].as_array().map(Vec::len), Some(2), "{object}");
    assert_eq!(object["glimpses"].as_array().map(Vec::len), Some(4), "{object}");

    let scores = succeed(
        here,
        &["evaluate", "--model", "run", "--data", "bars", "--dev-share", "0.3", "--samples", "2", "--json"],
    );
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    assert!(scores["accuracy"].is_number() && scores["each"].is_number() && scores["split"] == "dev", "{scores}");
    succeed(here, &["export", "run", "out"]);
    assert!(fs::read_to_string(here.join("out/README.md")).unwrap().contains("candlewick glimpse"));

    GrayImage::new(3, 3).save(here.join("tiny.png")).unwrap();
    let output = run(here, &["glimpse", "tiny.png", "two.png", "--model", "run"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr).trim(), "candlewick: tiny.png: is 3×3 pixels; the model looks at 8×24");
    assert!(text(&output.stdout).starts_with("two.png: "));
    fail(here, &["draw", "--model", "run"], 1, &["a recurrent attention model", "candlewick glimpse"]);
    fail(here, &["glimpse", "two.png"], 2, &["--model"]);
    fail(here, &["evaluate", "--model", "run", "--data", "bars", "--beam", "2"], 2, &["--beam"]);
    fail(here, &with(&["train", "glimpses", "--data", "bars"], &["model.std=0"]), 1, &["model.std is 0"]);
    fail(here, &with(&["train", "glimpses", "--data", "bars"], &["model.patch=9"]), 1, &["patch is 9", "8×8"]);
    fail(here, &["train", "glimpses", "--data", "bars", "--regions", "r"], 2, &["--regions"]);
}

#[test]
fn the_built_in_network_draws_digits() {
    let folder = tempfile::tempdir().unwrap();
    succeed(folder.path(), &["draw", "--count", "4", "--out", "digits"]);
    let drawn = image::open(folder.path().join("digits/drawn.png")).unwrap().to_luma8();
    // Four of 112 pixels a side, between white lines: dark, and with a stroke in each.
    assert_eq!(drawn.dimensions(), (236, 236));
    for (left, top) in [(4, 4), (120, 4), (4, 120), (120, 120)] {
        let digit = image::imageops::crop_imm(&drawn, left, top, 112, 112).to_image();
        let share = |of: fn(u8) -> bool| digit.pixels().filter(|pixel| of(pixel.0[0])).count() as f64 / (112.0 * 112.0);
        assert!(share(|grey| grey < 64) > 0.5 && share(|grey| grey > 160) > 0.02, "at {left}, {top}");
    }
}

#[test]
fn drawings_are_trained_evaluated_and_drawn_anew_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_bars(&here.join("bars"));
    let settings = [
        "data.dev_share=0.3",
        "model={ steps = 3, hidden_size = 8, latent_size = 4, read = 2, write = 3 }",
        "batches.size=8",
        "training.epochs=2",
    ];
    let told = succeed(here, &with(&["train", "draw", "--data", "bars", "--out", "run", "--quiet"], &settings));
    assert!(told.contains("nats a picture:") && told.contains("bound") && told.contains("kl"), "{told}");

    let said = succeed(here, &["draw", "--model", "run", "--count", "5"]);
    assert_eq!(said.lines().collect::<Vec<_>>(), ["drawn/drawn.png", "drawn/drawn.gif", "drawn/drawn.svg"]);
    assert_eq!(fs::read_to_string(here.join("drawn/drawn.svg")).unwrap().matches("<image").count(), 3);
    let first = fs::read(here.join("drawn/drawn.png")).unwrap();
    succeed(here, &["draw", "--model", "run", "--count", "5", "--seed", "1", "--out", "other"]);
    assert_ne!(first, fs::read(here.join("other/drawn.png")).unwrap());
    let object = succeed(here, &["draw", "--model", "run", "--like", "bars/down/3.png", "bars/across/1.png", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&object).unwrap();
    assert_eq!(object["files"].as_array().map(Vec::len), Some(3), "{object}");
    assert_eq!(object["like"][1]["kl"].as_array().map(Vec::len), Some(3), "{object}");

    let scores = succeed(
        here,
        &["evaluate", "--model", "run", "--data", "bars", "--dev-share", "0.3", "--samples", "4", "--json"],
    );
    let scores: serde_json::Value = serde_json::from_str(&scores).unwrap();
    assert!(scores["bound"].as_f64() > Some(0.0) && scores["kl"].is_number(), "{scores}");
    succeed(here, &["export", "run", "out"]);
    assert!(fs::read_to_string(here.join("out/README.md")).unwrap().contains("candlewick draw"));

    GrayImage::new(9, 8).save(here.join("wide.png")).unwrap();
    fail(here, &["draw", "--model", "run", "--like", "wide.png"], 1, &["wide.png: is 8×9 pixels; the model draws 8×8"]);
    fail(here, &["draw", "--model", "run", "--count", "0"], 2, &["--count"]);
    fail(here, &["glimpse", "wide.png", "--model", "run"], 1, &["a network that draws", "candlewick draw"]);
    fail(here, &with(&["train", "draw", "--data", "bars"], &["model.steps=0"]), 1, &["model.steps is 0"]);
    fail(here, &with(&["train", "draw", "--data", "bars"], &["model.write=9"]), 1, &["write is 9", "8×8"]);
    fail(here, &["evaluate", "--model", "run", "--data", "bars", "--split", "test"], 1, &["bars", "test split"]);
    fail(here, &["draw", "--model", "run", "--count", "1000000000"], 2, &["--count", "GB of memory"]);
    GrayImage::new(9, 8).save(here.join("bars/down/wide.png")).unwrap();
    fail(
        here,
        &["evaluate", "--model", "run", "--data", "bars", "--split", "train"],
        1,
        &["down/wide.png", "is 8×9", "max_share"],
    );
}
