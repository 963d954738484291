//! A DRAW network learns to draw, resumes, opens again, and refuses what it cannot draw.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::resumed::same_in_parts;
use candle_core::Device;
use candlewick_parameters::Rng;
use candlewick_tasks::draw::{Draw, DrawRecipe, Pictures, evaluate};
use candlewick_training::{ModelFolder as _, Recipe as _, Silent, fit};
use image::{Rgb, RgbImage};
use std::path::Path;

/// Squares of 4 × 4 pixels, full or hollow, each at a drawn place of 10 × 10.
fn squares(folder: &Path, count: u64) {
    for name in ["full", "hollow"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        for index in 0..count {
            let mut rng = Rng::derive(5, name, index);
            let (left, top) = (rng.below(7) as u32, rng.below(7) as u32);
            square((left, top), name == "full").save(folder.join(name).join(format!("{index}.png"))).unwrap();
        }
    }
}

fn square((left, top): (u32, u32), full: bool) -> RgbImage {
    RgbImage::from_fn(10, 10, |x, y| {
        let within = |from: u32, length: u32, at: u32| (from..from + length).contains(&at);
        let ink = within(left, 4, x) && within(top, 4, y);
        let hole = !full && within(left + 1, 2, x) && within(top + 1, 2, y);
        Rgb(if ink && !hole { [255; 3] } else { [0; 3] })
    })
}

fn recipe(data: &Path, epochs: usize, model: &str) -> DrawRecipe {
    let text = format!(
        r#"
task = "draw"
name = "squares"
data = {{ path = {data:?}, dev_share = 0.2 }}
model = {{ steps = 6, hidden_size = 48, latent_size = 8, read = 3, write = 3{model} }}
batches = {{ size = 32 }}
[training]
epochs = {epochs}
seed = 3
clip_norm = 10.0
optimizer = {{ name = "adam", learning_rate = 0.008 }}
schedule = {{ name = "cosine" }}
"#
    );
    toml::from_str(&text).unwrap()
}

#[test]
fn it_learns_to_draw_squares_by_a_grid() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("squares");
    squares(&data, 120);
    let (recipe, out) = (recipe(&data, 90, ""), folder.path().join("run"));
    let mut task = recipe.prepare(&out, &Device::Cpu, &mut |_| {}).unwrap();
    fit(&mut task, recipe.training(), &out, &mut Silent).unwrap();
    let model = Draw::from_pretrained(&out, &Device::Cpu).unwrap();
    let scores = evaluate(&model, task.dev(), (1, 0), &mut |_, _| {}).unwrap();
    let bound = scores.get("bound").unwrap();
    // There are 98 squares, ln 98 = 4.6; who knew of each pixel only how often it is white would tell 42.
    assert!(bound < 25.0, "{scores}");
    let weighted = evaluate(&model, task.dev(), (8, 0), &mut |_, _| {}).unwrap().get("bound").unwrap();
    assert!((98f64.ln()..bound + 0.2).contains(&weighted), "{weighted} of eight, {scores} of one");

    // What is drawn anew has about as much ink as a square.
    let drawings = model.draw(20, 1).unwrap();
    let ink = |picture: &RgbImage| picture.pixels().map(|pixel| f64::from(pixel.0[0]) / 255.0).sum::<f64>();
    let mean = drawings.iter().map(|drawing| ink(&drawing.steps.last().unwrap().picture)).sum::<f64>() / 20.0;
    assert!((10.0..19.0).contains(&mean), "{mean}");
    assert!(drawings.iter().all(|drawing| drawing.steps.len() == 6 && drawing.steps[0].written.is_some()));
    assert_eq!(drawings[3].steps[5].picture, model.draw(20, 1).unwrap()[3].steps[5].picture);

    // What is drawn again is the square that it is like (a canvas without ink would be 16 apart, another square up to 32), and the steps tell as much as the bound says.
    let wanted = square((5, 2), true);
    let pictures = Pictures::new(std::slice::from_ref(&wanted), model.config().network.likelihood).unwrap();
    let again = model.draw_like(&pictures, 0).unwrap().remove(0);
    let apart = |picture: &RgbImage| {
        let pairs = picture.pixels().zip(wanted.pixels());
        pairs.map(|(found, wanted)| f64::from(found.0[0].abs_diff(wanted.0[0])) / 255.0).sum::<f64>()
    };
    assert!(apart(&again.steps[5].picture) < 9.0, "{}", apart(&again.steps[5].picture));
    let told = model.bound(&pictures, 1, 0).unwrap().remove(0);
    assert_eq!(told.kl.len(), 6);
    assert!((told.kl.iter().sum::<f64>() + told.likelihood - told.nats).abs() < 1e-6);
}

#[test]
fn every_likelihood_learns_with_and_without_a_grid_and_a_stopped_run_goes_on_the_same() {
    for (number, model) in
        ["", ", attention = false", ", likelihood = \"grey\"", ", likelihood = \"colour\", cell = \"gru\""]
            .into_iter()
            .enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("squares");
        squares(&data, 40);
        let recipe = recipe(&data, 6, model);
        let begun = recipe.prepare(folder.path(), &Device::Cpu, &mut |_| {}).unwrap();
        let before = evaluate(begun.model(), begun.dev(), (1, 0), &mut |_, _| {}).unwrap();
        let stops: &[usize] = if number == 0 { &[1, 2] } else { &[3] };
        same_in_parts(&recipe, folder.path(), stops);
        let model = Draw::open_folder(&folder.path().join("whole"), &Device::Cpu).unwrap();
        let after = evaluate(&model, begun.dev(), (1, 0), &mut |_, _| {}).unwrap();
        let of = |scores: &candlewick_training::Scores| scores.get("bound").unwrap();
        assert!(of(&after) < 0.97 * of(&before), "{number}: {before} became {after}");
        let picture = &model.draw(1, 0).unwrap()[0].steps[5].picture;
        let grey = picture.pixels().all(|pixel| pixel.0[0] == pixel.0[1]);
        assert_eq!(grey, number != 3);
    }
}

#[test]
fn what_cannot_be_drawn_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("squares");
    squares(&data, 8);
    let fault = |model: &str| {
        recipe(&data, 1, model).prepare(folder.path(), &Device::Cpu, &mut |_| {}).err().unwrap().to_string()
    };
    let with = |change: &dyn Fn(&mut DrawRecipe)| {
        let mut recipe = recipe(&data, 1, "");
        change(&mut recipe);
        recipe.prepare(folder.path(), &Device::Cpu, &mut |_| {}).err().unwrap().to_string()
    };
    assert_eq!(with(&|recipe| recipe.model.steps = 0), "model.steps is 0; one is the least");
    assert_eq!(
        with(&|recipe| recipe.model.write = 11),
        "write is 11: wanted 1 point to the 10×10 pixels of the canvas"
    );
    assert!(with(&|recipe| recipe.data.path = None).contains("--data DIR"));
    assert!(with(&|recipe| recipe.data.dev_share = 0.0).contains("the dev part has no pictures"));
    assert!(fault(", cell = \"lstn\"").contains("no sequence layer is called lstn"));
    let task = recipe(&data, 1, "").prepare(folder.path(), &Device::Cpu, &mut |_| {}).unwrap();
    let other = Pictures::new(&[RgbImage::new(4, 5)], task.model().config().network.likelihood).unwrap();
    let fault = task.model().draw_like(&other, 0).unwrap_err().to_string();
    assert_eq!(fault, "pictures are 5×4 pixels; the model draws 10×10");
    assert!(task.model().bound(task.dev(), 0, 0).unwrap_err().to_string().contains("samples is 0"));
    let mixed = [RgbImage::new(4, 5), RgbImage::new(5, 5)];
    let fault = Pictures::new(&mixed, task.model().config().network.likelihood).unwrap_err().to_string();
    assert_eq!(fault, "picture 1: is 5×5 pixels, the first one 5×4; give all one size");
}
