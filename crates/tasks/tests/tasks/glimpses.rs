//! A recurrent attention model learns where to look, resumes, opens again, and refuses what it cannot look at.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::resumed::same_in_parts;
use candle_core::Device;
use candlewick_data::Split;
use candlewick_data::image_classes;
use candlewick_data::placed::{PlacedPictures, Placing};
use candlewick_parameters::Rng;
use candlewick_tasks::glimpses::{GlimpseRecipe, RecurrentAttentionModel, evaluate};
use candlewick_training::{ModelFolder as _, Recipe as _, Silent, fit};
use image::{GrayImage, Luma};
use std::path::Path;

/// Three patterns of 8 × 8 pixels, each of a grey of its own, which no mean of 2 × 2 pixels tells apart.
fn forms(folder: &Path, count: u64) {
    for (class, name) in ["columns", "rows", "checks"].into_iter().enumerate() {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        for index in 0..count {
            let mut rng = Rng::derive(2, name, index);
            let grey = 150 + rng.below(100) as u8;
            let picture = GrayImage::from_fn(8, 8, |x, y| {
                let ink = match class {
                    0 => x % 2 == 0,
                    1 => y % 2 == 0,
                    _ => (x + y) % 2 == 0,
                };
                Luma([if ink { grey } else { 0 }])
            });
            picture.save(folder.join(name).join(format!("{index}.png"))).unwrap();
        }
    }
}

fn recipe(data: &Path, epochs: usize, more: &str) -> GlimpseRecipe {
    let text = format!(
        r#"
task = "glimpses"
name = "forms"
data = {{ path = {data:?}, dev_share = 0.3, placing = {{ size = [8, 48] }} }}
model = {{ looks = 2, patch = 8, scales = 3, hidden_size = 64, what_size = 32, where_size = 32, glimpse_size = 64, location_size = 32, std = 0.2, first = "centre" }}
loss = {{ reinforce = 0.1, reward = "log_probability" }}
batches = {{ size = 64, workers = 1 }}
{more}
[training]
epochs = {epochs}
seed = 3
clip_norm = 5.0
average = 0.99
optimizer = {{ name = "adamw", learning_rate = 0.002 }}
schedule = {{ name = "cosine" }}
"#
    );
    toml::from_str(&text).unwrap()
}

/// From the middle the wide scales show where the pattern is and not what, and the second look has to go there.
#[test]
fn it_learns_what_a_pattern_is_and_where_to_look_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("forms");
    forms(&data, 400);
    let learned = |reinforce: f64, run: &str| {
        let (mut recipe, out) = (recipe(&data, 60, ""), folder.path().join(run));
        recipe.loss.reinforce = reinforce;
        let mut task = recipe.prepare(&out, &Device::Cpu, &mut |_| {}).unwrap();
        fit(&mut task, recipe.training(), &out, &mut Silent).unwrap();
        let model = RecurrentAttentionModel::from_pretrained(&out, &Device::Cpu).unwrap();
        let scores = evaluate(&model, task.dev(), (1, 0), &mut |_, _| {}).unwrap();
        (["accuracy", "found"].map(|name| scores.get(name).unwrap()), task, model)
    };
    let (by_chance, ..) = learned(0.0, "chance");
    let (scores, task, model) = learned(1.0, "run");
    for (score, chance) in scores.into_iter().zip(by_chance) {
        assert!(score > chance + 0.2, "{scores:?} with REINFORCE, {by_chance:?} without");
    }

    // Look by look, and the same for the same seed.
    let item = task.dev().item(5).unwrap();
    let told = model.classify(std::slice::from_ref(&item.picture), 3, 1).unwrap().remove(0);
    assert_eq!((told.glimpses.len(), told.labels.len()), (2, 1));
    let look = &told.glimpses[1];
    assert_eq!((look.scales.len(), look.scales[0].dimensions(), look.side(1)), (3, (8, 8), 16));
    assert!((look.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-4);
    assert!((0.0..=48.0).contains(&look.x) && (0.0..=8.0).contains(&look.y));
    let again = model.classify(std::slice::from_ref(&item.picture), 3, 1).unwrap().remove(0);
    assert_eq!(told.probabilities, again.probabilities);

    let fault = model.classify(&[GrayImage::new(9, 8)], 1, 0).unwrap_err().to_string();
    assert_eq!(fault, "is 8×9 pixels; the model looks at 8×48");
    assert!(model.classify(&[], 0, 0).unwrap_err().to_string().contains("samples is 0"));
}

#[test]
fn several_forms_are_read_in_a_row_by_any_cell_and_a_stopped_run_goes_on_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("forms");
    forms(&data, 12);
    let mut recipe = recipe(&data, 3, "");
    recipe.data.placing = Placing { size: Some((16, 30)), pictures: 2, clutter: 1, patch: 3, seed: 5 };
    recipe.model.cell = "lstm".into();
    recipe.model.looks = 2;
    recipe.batches.size = 8;
    same_in_parts(&recipe, folder.path(), &[1, 2]);
    let model = RecurrentAttentionModel::open_folder(&folder.path().join("whole"), &Device::Cpu).unwrap();
    let examples = image_classes::load(&data, 0.3).unwrap().dev;
    let set = PlacedPictures::new(examples, recipe.data.placing.clone(), Split::Dev).unwrap();
    let scores = evaluate(&model, &set, (2, 0), &mut |_, _| {}).unwrap();
    let names: Vec<&str> = scores.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["accuracy", "each", "found"]);
    let told = model.classify(&[set.item(0).unwrap().picture], 1, 0).unwrap().remove(0);
    assert_eq!((told.labels.len(), told.glimpses.len()), (2, 4));
}

#[test]
fn what_cannot_be_looked_at_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("forms");
    forms(&data, 4);
    let fault = |change: &dyn Fn(&mut GlimpseRecipe)| {
        let mut recipe = recipe(&data, 1, "");
        change(&mut recipe);
        recipe.prepare(folder.path(), &Device::Cpu, &mut |_| {}).err().unwrap().to_string()
    };
    assert_eq!(fault(&|recipe| recipe.model.std = 0.0), "model.std is 0; wanted more than 0");
    assert_eq!(fault(&|recipe| recipe.model.looks = 0), "model.looks is 0; one is the least");
    assert_eq!(
        fault(&|recipe| recipe.model.patch = 9),
        "patch is 9, larger than the pictures' 8×48 pixels; make it smaller"
    );
    assert!(fault(&|recipe| recipe.model.scales = 70).contains("scales is 70: the largest would see more than 192"));
    assert!(fault(&|recipe| recipe.data.placing.size = Some((6, 30))).contains("size is 6×30"));
    assert!(fault(&|recipe| recipe.loss.reinforce = f64::NAN).contains("loss.reinforce is NaN"));
    assert!(fault(&|recipe| recipe.data.dev_share = 0.0).contains("the dev part has no pictures"));
    assert!(fault(&|recipe| recipe.data.path = None).contains("--data DIR"));
}
