//! Of clips of film.
#![allow(clippy::print_stderr)]

use super::recipe;
use crate::resumed::same_in_parts;
use candle_core::Device;
use candlewick_data::Split;
use candlewick_parameters::Mode;
use candlewick_tasks::sequence_classification::{
    Input, LabelledSequences, SequenceClassificationRecipe, SequenceClassifier, evaluate,
};
use candlewick_training::{Loss, Recipe as _, Shard, Silent, Task as _, fit};
use std::path::Path;

/// A recipe of drawn clips: a very small network over frames.
fn moving(output: &str, clips: &str, epochs: usize) -> SequenceClassificationRecipe {
    let text = format!(
        "[data]\ninput = 'frames'\noutput = '{output}'\nframes = {{ kind = 'moving', {clips} }}\n\
         [encoder]\nvector = 'map'\n[encoder.config]\nblocks = [{{ channels = 8, kernel_size = 4, stride = 2 }}, \
         {{ channels = 12, kernel_size = 4, stride = 2 }}, {{ channels = 12, kernel_size = 4, stride = 2 }}]\n\
         [model]\nhidden_size = 32\ncell = 'gru'\n[batches]\nsize = 8\n[training]\nepochs = {epochs}\n\
         optimizer = {{ name = 'adam', learning_rate = 0.01 }}"
    );
    let mut recipe = recipe(&text, Path::new(""));
    recipe.data.path = None;
    recipe
}

#[test]
fn what_a_drawn_clip_shows_is_told_of_each_frame() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = moving("each", "steps = 10, train = 240, dev = 20, test = 40", 12);
    let run = folder.path().join("run");
    let mut task = recipe.prepare(&run, &Device::Cpu, &mut |_| {}).unwrap();
    let report = fit(&mut task, recipe.training(), &run, &mut Silent).unwrap();
    let outcome = recipe.outcome(task, &report, &run, &Device::Cpu, &mut |_| ()).unwrap();
    // Always telling the commonest action, a stop, is right of less than a half.
    assert!(outcome.scores.get("accuracy").unwrap() > 0.6, "{}", outcome.scores);
    let classifier = SequenceClassifier::from_pretrained(&run, &Device::Cpu).unwrap();
    let set = LabelledSequences::drawn(&recipe.data).unwrap();
    let [first, second] = [&set.parts.test[0].input, &set.parts.test[1].input];
    let together = classifier.classify(&[first.clone(), second.clone()]).unwrap();
    assert_eq!((together[1].labels.len(), together[1].steps.as_ref().map(Vec::len)), (10, Some(10)));
    // Frames that are given are read as those that are drawn, and a shorter clip beside a longer one as alone.
    let Input::Drawn(clip) = second else { panic!("is not drawn") };
    let short = Input::Frames(clip.frames()[..6].to_vec());
    let told = classifier.classify(&[first.clone(), short]).unwrap();
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(near(&told[1].probabilities, &together[1].probabilities[..6]) && told[1].labels.len() == 6);
    for (input, wanted) in [
        (Input::Frames(vec![image::RgbImage::new(3, 3); 2]), "a frame is 3×3 pixels, and the classifier reads 32×32"),
        (Input::Values(vec![1.0]), "reads frames, not numbers"),
        (Input::Frames(Vec::new()), "has no steps"),
    ] {
        let refused = classifier.classify(&[input]).unwrap_err().to_string();
        assert!(refused.contains(wanted), "{refused}");
    }
}

#[test]
fn a_pretrained_network_stays_what_it_is_or_is_trained_from_a_stage_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = moving("each", "steps = 6, train = 24, dev = 8, test = 8", 2);
    let weights = folder.path().join("encoder.safetensors");
    let parameters = candlewick_parameters::Parameters::new(77);
    let network = candlewick_encoders::Architecture::find("convnet").unwrap();
    network.build(&recipe.encoder.config, parameters.builder(&Device::Cpu)).unwrap();
    parameters.save(&weights).unwrap();
    recipe.encoder.pretrained = Some(weights.clone());
    let tensors = |file: &Path| candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    let learned = |recipe: &SequenceClassificationRecipe, name: &str| {
        let run = folder.path().join(name);
        let mut task = recipe.prepare(&run, &Device::Cpu, &mut |_| {}).unwrap();
        let report = fit(&mut task, recipe.training(), &run, &mut Silent).unwrap();
        // What it said with the frames read before training is what it says of frames as they come.
        let classifier = SequenceClassifier::from_pretrained(&run, &Device::Cpu).unwrap();
        let scores =
            evaluate(&classifier, &LabelledSequences::drawn(&recipe.data).unwrap(), Split::Dev, &mut |_, _| ());
        assert_eq!(scores.unwrap().get("accuracy"), report.best_scores.unwrap().get("accuracy"));
        let encoder = classifier.config().encoder.clone().unwrap();
        assert_eq!((encoder.pretrained, encoder.image_mean), (None, Some([0.485, 0.456, 0.406])));
        tensors(&report.best.join("model.safetensors"))
    };
    let (before, frozen) = (tensors(&weights), learned(&recipe, "frozen"));
    let equal = |after: &std::collections::HashMap<String, candle_core::Tensor>, name: &str| {
        let flat = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        flat(&before[name]) == flat(&after[&format!("frames.{name}")])
    };
    assert!(before.keys().filter(|name| !name.contains("num_batches")).all(|name| equal(&frozen, name)));
    recipe.encoder.fine_tune = Some("blocks.2".into());
    let tuned = learned(&recipe, "tuned");
    assert!(equal(&tuned, "blocks.1.conv.weight") && !equal(&tuned, "blocks.2.conv.weight"));
    recipe.encoder.fine_tune = Some("blocks.99".into());
    let fault = |recipe: &SequenceClassificationRecipe| match recipe.prepare(folder.path(), &Device::Cpu, &mut |_| {}) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was taken"),
    };
    assert!(fault(&recipe).contains("encoder.fine_tune"), "{}", fault(&recipe));
    (recipe.encoder.fine_tune, recipe.batches.mirror) = (None, true);
    assert!(fault(&recipe).contains("batches.mirror"), "{}", fault(&recipe));
    (recipe.batches.mirror, recipe.encoder.network) = (false, "convnett".into());
    assert!(fault(&recipe).contains("convnett"), "{}", fault(&recipe));
}

#[test]
fn windows_of_clips_cover_them_and_a_resumed_run_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = moving("next", "steps = 11, train = 12, dev = 4, test = 0", 2);
    (recipe.batches.window, recipe.batches.mirror) = (Some(4), true);
    let task = recipe.prepare(folder.path(), &Device::Cpu, &mut |_| {}).unwrap();
    // Three windows of four frames cover a clip.
    assert_eq!(task.batches_per_epoch(), (12usize * 3).div_ceil(8));
    let counted = |epoch: usize| {
        let batches = task.batches(epoch, 0, Shard::WHOLE).unwrap();
        batches.map(|batch| task.loss(&batch.unwrap(), &mut Mode::Eval).unwrap()).collect::<Vec<_>>()
    };
    let (first, second) = (counted(0), counted(1));
    let count = |losses: &[Loss]| losses.iter().map(|loss| loss.count).sum::<usize>();
    // Where a window ends with its clip, its last frame has no next one.
    assert!((36 * 3..=36 * 4).contains(&count(&first)), "{}", count(&first));
    let value = |loss: &Loss| loss.value.to_scalar::<f32>().unwrap();
    assert_ne!(first.iter().map(value).collect::<Vec<_>>(), second.iter().map(value).collect::<Vec<_>>());
    recipe.training.checkpoint_every = 3;
    same_in_parts(&recipe, folder.path(), &[4]);
}

#[test]
fn films_themselves_are_read() {
    let Some(data) = std::env::var_os("CANDLEWICK_DATA") else {
        eprintln!("skipped: CANDLEWICK_DATA is unset");
        return;
    };
    let text = "[data]\ninput = 'frames'\noutput = 'each'\n\
        frames = { kind = 'clips', height = 24, width = 30, cut = true, join = true }\n[training]\nepochs = 1";
    let recipe = recipe(text, &Path::new(&data).join("weizmann"));
    let films = LabelledSequences::load(recipe.data.path.as_ref().unwrap(), &recipe.data).unwrap();
    // Five people to train on and one to validate on, each a film of ten clips.
    assert_eq!((films.parts.train.len(), films.parts.dev.len(), films.classes.len()), (5, 1, 10));
    for film in films.parts.train.iter().chain(&films.parts.dev) {
        let Input::Frames(frames) = &film.input else { panic!("is no film") };
        assert_eq!((frames.len(), frames[0].dimensions()), (film.labels.len(), (30, 24)));
        let mut classes = film.labels.clone();
        classes.dedup();
        assert_eq!(classes, (0..10).collect::<Vec<u32>>());
    }
}
