//! Classifiers of sequences: what they learn, that padding changes nothing, that runs resume, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::Device;
use candlewick_data::Split;
use candlewick_parameters::{Mode, Rng};
use candlewick_tasks::language_model::{LanguageModel, LanguageModelRecipe};
use candlewick_tasks::sequence_classification::{
    DataConfig, Input, LabelledSequences, SequenceClassificationRecipe, SequenceClassifier, evaluate,
};
use candlewick_training::{
    Event, Loss, ModelFolder as _, Observer, Recipe as _, Scores, Shard, Silent, Task as _, fit,
};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

fn recipe(text: &str, data: &Path) -> SequenceClassificationRecipe {
    let head = "task = 'sequence_classification'\nname = 'test'\n";
    let mut recipe: SequenceClassificationRecipe = toml::from_str(&format!("{head}{text}")).unwrap();
    recipe.data.path = Some(data.to_owned());
    recipe
}

/// A sentence that praises or blames, in which `not` turns what follows, with words about it that say nothing.
fn sentence(rng: &mut Rng) -> (String, &'static str) {
    let filler = ["the", "film", "of", "a", "man", "and", "sea"];
    let mut words: Vec<&str> = (0..rng.below(9)).map(|_| filler[rng.below(filler.len())]).collect();
    let (fine, not) = (rng.chance(0.5), rng.chance(0.5));
    words.push("is");
    words.extend(not.then_some("not"));
    words.push(if fine { "fine" } else { "dull" });
    words.extend((0..rng.below(4)).map(|_| filler[rng.below(filler.len())]));
    (words.join(" "), if fine == not { "blame" } else { "praise" })
}

fn write_sentences(folder: &Path) {
    for (name, count) in [("train", 400), ("dev", 100)] {
        let mut rng = Rng::derive(7, name, 0);
        let rows: String =
            (0..count).map(|_| sentence(&mut rng)).map(|(text, label)| format!("{text}\t{label}\n")).collect();
        std::fs::write(folder.join(format!("{name}.tsv")), format!("sentence\tlabel\n{rows}")).unwrap();
    }
}

const SENTENCES: &str = "[data]\nunits = 'spaces'\n\
    [model]\nembedding_size = 8\nhidden_size = 12\ncell = 'gru'\npooling = ['attention', 'last']\n\
    stack = { bidirectional = true }\n\
    [batches]\nsize = 16\n\
    [training]\nepochs = 8\noptimizer = { name = 'adam', learning_rate = 0.01 }";

#[test]
fn it_learns_two_kinds_of_sentences_and_padding_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    write_sentences(folder.path());
    let (recipe, run) = (recipe(SENTENCES, folder.path()), folder.path().join("run"));
    let mut task = recipe.prepare(&run, &Device::Cpu, &mut |_| {}).unwrap();
    let report = fit(&mut task, recipe.training(), &run, &mut Silent).unwrap();
    let outcome = recipe.outcome(task, &report, &run, &Device::Cpu, &mut |_| ()).unwrap();
    assert_eq!((outcome.split, outcome.scores.get("accuracy")), (Some("dev"), Some(1.0)));
    let classifier = SequenceClassifier::from_pretrained(&run, &Device::Cpu).unwrap();
    let set = LabelledSequences::load(folder.path(), &recipe.data).unwrap();
    assert_eq!(evaluate(&classifier, &set, Split::Dev, &mut |_, _| ()).unwrap().get("accuracy"), Some(1.0));

    let texts = ["is not dull", "the man and the sea of a film is fine and a man", "is fine", "is not fine the"];
    let inputs = texts.map(|text| Input::Words(text.into()));
    let together = classifier.classify(&inputs).unwrap();
    let labels: Vec<&str> = together.iter().map(|told| told.labels[0].as_str()).collect();
    assert_eq!(labels, ["praise", "praise", "praise", "blame"]);
    for ((text, input), among) in texts.iter().zip(&inputs).zip(&together) {
        let alone = classifier.classify(std::slice::from_ref(input)).unwrap().remove(0);
        assert_eq!(alone.labels, among.labels);
        for (a, b) in alone.probabilities.iter().zip(&among.probabilities) {
            assert!((a - b).abs() < 1e-6, "{text}: {a} and {b}");
        }
        let alpha = among.alpha.as_ref().unwrap();
        assert_eq!(alpha.len(), text.split(' ').count());
        assert!((alpha.iter().sum::<f32>() - 1.0).abs() < 1e-5 && alpha.iter().all(|&a| a >= 0.0), "{alpha:?}");
        assert!((among.probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(among.probabilities.is_sorted_by(|a, b| a >= b));
    }
    // A word that it never saw is no reason to fail; no word at all is.
    classifier.classify(&[Input::Words("is splendid".into())]).unwrap();
    for (input, wanted) in [(Input::Words(" ".into()), "has no words"), (Input::Values(vec![1.0]), "reads texts")] {
        let refused = classifier.classify(&[input]).unwrap_err().to_string();
        assert!(refused.contains(wanted), "{refused}");
    }
}

/// Sequences of two numbers that turn one way or the other, in csv.
fn turning(count: usize, seed: u64) -> String {
    let mut rows = "sequence,label,x,y\n".to_owned();
    for index in 0..count {
        let mut rng = Rng::derive(seed, "turning", index as u64);
        let (left, start) = (rng.chance(0.5), 6.3 * rng.uniform());
        for step in 0..4 + rng.below(8) {
            let angle = start + if left { 0.5 } else { -0.5 } * step as f32;
            let label = if left { "left" } else { "right" };
            rows += &format!("s{index},{label},{:.4},{:.4}\n", angle.cos(), angle.sin());
        }
    }
    rows
}

const TURNING: &str = "[data]\ninput = 'values'\n[model]\nhidden_size = 16\n\
    [batches]\nsize = 16\n[training]\nepochs = 12\noptimizer = { name = 'adam', learning_rate = 0.02 }";

#[test]
fn it_learns_sequences_of_numbers() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train.csv"), turning(200, 1)).unwrap();
    std::fs::write(folder.path().join("test.csv"), turning(60, 2)).unwrap();
    let (recipe, run) = (recipe(TURNING, folder.path()), folder.path().join("run"));
    let mut task = recipe.prepare(&run, &Device::Cpu, &mut |_| {}).unwrap();
    let report = fit(&mut task, recipe.training(), &run, &mut Silent).unwrap();
    let outcome = recipe.outcome(task, &report, &run, &Device::Cpu, &mut |_| ()).unwrap();
    assert_eq!(outcome.split, Some("test"));
    assert!(outcome.scores.get("accuracy").unwrap() > 0.97, "{:?}", outcome.scores);
    let classifier = SequenceClassifier::from_pretrained(&run, &Device::Cpu).unwrap();
    let left = |steps: usize| {
        Input::Values((0..steps).flat_map(|step| [(0.5 * step as f32).cos(), (0.5 * step as f32).sin()]).collect())
    };
    let told = classifier.classify(&[left(10), left(4)]).unwrap();
    assert!(told.iter().all(|told| told.labels[0] == "left" && told.alpha.is_none()), "{told:?}");
    for (input, wanted) in [
        (Input::Values(vec![0.0; 3]), "a step has 2"),
        (Input::Values(vec![0.0, f32::NAN]), "NaN"),
        (Input::Values(Vec::new()), "has no steps"),
        (Input::Words("left".into()), "not texts"),
    ] {
        let refused = classifier.classify(&[input]).unwrap_err().to_string();
        assert!(refused.contains(wanted) && !refused.contains('\n'), "{refused}");
    }
    let wide = folder.path().join("wide.csv");
    std::fs::write(&wide, "sequence,label,x,y,z,w\na,left,1,2,3,4\nb,right,1,2,3,4\nc,left,0,2,1,4\n").unwrap();
    let config = DataConfig { dev_share: 0.0, ..recipe.data };
    let wide = LabelledSequences::load(&wide, &config).unwrap();
    let refused = evaluate(&classifier, &wide, Split::Train, &mut |_, _| ()).unwrap_err().to_string();
    assert!(refused.contains("4 numbers a step") && refused.contains("reads 2"), "{refused}");
}

/// Sequences in csv, of which `step` gives the columns behind the name, and what is learned of them: the scores of the test part.
fn learned(header: &str, text: &str, rows: impl Fn(&mut Rng) -> Vec<String>) -> (SequenceClassifier, Scores) {
    let folder = tempfile::tempdir().unwrap();
    for (name, count) in [("train", 240), ("dev", 40), ("test", 60)] {
        let one = |index: u64| {
            let rows = rows(&mut Rng::derive(3, name, index));
            rows.iter().map(|row| format!("{name}{index},{row}\n")).collect::<String>()
        };
        let table = format!("sequence,{header}\n{}", (0..count).map(one).collect::<String>());
        std::fs::write(folder.path().join(format!("{name}.csv")), table).unwrap();
    }
    let (recipe, run) = (recipe(text, folder.path()), folder.path().join("run"));
    let mut task = recipe.prepare(&run, &Device::Cpu, &mut |_| {}).unwrap();
    let report = fit(&mut task, recipe.training(), &run, &mut Silent).unwrap();
    let outcome = recipe.outcome(task, &report, &run, &Device::Cpu, &mut |_| ()).unwrap();
    (SequenceClassifier::from_pretrained(&run, &Device::Cpu).unwrap(), outcome.scores)
}

fn outputs(output: &str, more: &str) -> String {
    format!(
        "[data]\ninput = 'values'\noutput = '{output}'\n[model]\nhidden_size = 16\ncell = 'gru'\n{more}\n\
         [batches]\nsize = 16\n[training]\nepochs = 15\noptimizer = {{ name = 'adam', learning_rate = 0.02 }}"
    )
}

#[test]
fn each_step_is_told_from_those_before_it() {
    // Whether a number is above the one before it.
    let rows = |rng: &mut Rng| {
        let (mut last, count) = (0.0, 5 + rng.below(9));
        let step = |_| {
            let value = rng.uniform();
            let label = if value > last { "up" } else { "down" };
            last = value;
            format!("{label},{value:.4}")
        };
        (0..count).map(step).collect()
    };
    let (classifier, scores) = learned("label,x", &outputs("each", "dropout = 0.05"), rows);
    assert!(scores.get("accuracy").unwrap() > 0.93, "{scores}");
    let inputs = [vec![0.9, 0.1, 0.8, 0.2, 0.9], vec![0.1, 0.9]].map(Input::Values);
    let told = classifier.classify(&inputs).unwrap();
    assert_eq!(told[0].labels, ["up", "down", "up", "down", "up"]);
    assert_eq!((told[1].labels.len(), told[1].probabilities.len()), (2, 2));
    let alone = classifier.classify(&inputs[1..]).unwrap();
    assert!(alone[0].probabilities.iter().zip(&told[1].probabilities).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn the_next_step_is_told_and_both_ways_are_refused() {
    // One of three things after the other; which way round is seen in the first two.
    let rows = |rng: &mut Rng| {
        let (first, by) = (rng.below(3), 1 + rng.below(2));
        let step = |step: usize| (first + by * step) % 3;
        let row = |at| format!("{},{},{}", ["a", "b", "c"][step(at)], u8::from(step(at) == 0), u8::from(step(at) == 1));
        (0..6).map(row).collect()
    };
    let (classifier, scores) = learned("label,x,y", &outputs("next", ""), rows);
    // Of five steps that have a next one the first tells no way round.
    assert!((0.85..=0.95).contains(&scores.get("accuracy").unwrap()), "{scores}");
    let told = classifier.classify(&[Input::Values(vec![1.0, 0.0, 0.0, 0.0, 0.0, 1.0])]).unwrap();
    assert_eq!(told[0].labels[1..], ["b", "a"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train.csv"), turning(60, 1)).unwrap();
    let both = recipe(&outputs("next", "stack = { bidirectional = true }"), folder.path());
    let Err(refused) = both.prepare(folder.path(), &Device::Cpu, &mut |_| {}) else { panic!("both ways were taken") };
    assert!(refused.to_string().contains("model.stack.bidirectional"), "{refused}");
    let ahead = outputs("next", "").replace("'gru'", "'self_attention'");
    let Err(refused) = recipe(&ahead, folder.path()).prepare(folder.path(), &Device::Cpu, &mut |_| {}) else {
        panic!("what sees all steps was taken")
    };
    assert!(refused.to_string().contains("model.cell: self_attention has seen what comes"), "{refused}");
}

#[test]
fn a_number_is_told_of_the_whole() {
    // The sum of the two numbers that are marked (Hochreiter and Schmidhuber 1997).
    let rows = |rng: &mut Rng| {
        let values: Vec<f32> = (0..8).map(|_| rng.uniform()).collect();
        let marked = [rng.below(4), 4 + rng.below(4)];
        let sum: f32 = marked.iter().map(|&at| values[at]).sum();
        let row = |(at, value): (usize, &f32)| format!("{sum:.4},{value:.4},{}", u8::from(marked.contains(&at)));
        values.iter().enumerate().map(row).collect()
    };
    let (classifier, scores) = learned("target,x,mark", &outputs("number", "pooling = ['mean', 'last']"), rows);
    let [squared, error] = ["r_squared", "mean_squared_error"].map(|name| scores.get(name).unwrap());
    // Chance is the variance of a sum of two, 0.167.
    assert!(squared > 0.9 && error < 0.02, "{scores}");
    let told = classifier.classify(&[Input::Values(vec![0.4, 1.0, 0.9, 0.0, 0.1, 0.0, 0.7, 0.0, 0.5, 1.0, 0.2, 0.0])]);
    let told = told.unwrap().remove(0);
    assert!(told.labels.is_empty() && (told.number.unwrap() - 0.9).abs() < 0.3, "{told:?}");
}

/// Pieces of chords of two notes, of which the upper goes up or down by one each step, in JSON.
fn chords(count: usize, seed: u64) -> String {
    let piece = |index: usize| {
        let mut rng = Rng::derive(seed, "chords", index as u64);
        let (start, up) = (60 + rng.below(4) as i32, if rng.chance(0.5) { 1 } else { -1 });
        let steps: Vec<String> = (0..4 + rng.below(4) as i32).map(|at| format!("[48,{}]", start + up * at)).collect();
        format!("[{}]", steps.join(","))
    };
    format!("[{}]", (0..count).map(piece).collect::<Vec<_>>().join(","))
}

#[test]
fn notes_that_sound_next_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let json = format!("{{\"train\": {}, \"valid\": {}}}", chords(200, 1), chords(40, 2));
    std::fs::write(folder.path().join("chords.json"), json).unwrap();
    let text = outputs("several", "").replace("[model]", "values = { kind = 'notes' }\n[model]");
    let text =
        text.replace("= 16\ncell", "= 32\ncell").replace("epochs = 15", "epochs = 40\nmetric = '-nats_per_step'");
    let (recipe, run) = (recipe(&text, folder.path()), folder.path().join("run"));
    let mut task = recipe.prepare(&run, &Device::Cpu, &mut |_| {}).unwrap();
    let report = fit(&mut task, recipe.training(), &run, &mut Silent).unwrap();
    let outcome = recipe.outcome(task, &report, &run, &Device::Cpu, &mut |_| ()).unwrap();
    let [accuracy, nats] = ["accuracy", "nats_per_step"].map(|name| outcome.scores.get(name).unwrap());
    // Which way a piece goes is not known at its first step, of about 4.5: ln 2 there and nothing later is the least.
    assert!(accuracy > 0.85 && (0.1..0.6).contains(&nats), "{}", outcome.scores);
    let classifier = SequenceClassifier::from_pretrained(&run, &Device::Cpu).unwrap();
    let mut keys = vec![0.0; 3 * 88];
    for (step, note) in [60, 61, 62].into_iter().enumerate() {
        (keys[step * 88 + 48 - 21], keys[step * 88 + note - 21]) = (1.0, 1.0);
    }
    let told = classifier.classify(&[Input::Values(keys)]).unwrap().remove(0);
    let mut next = told.labels[..2].to_vec();
    next.sort();
    assert_eq!((next, told.steps.unwrap().len()), (vec!["C3".to_owned(), "D#4".to_owned()], 3));
    let both = outputs("several", "stack = { bidirectional = true }")
        .replace("[model]", "values = { kind = 'notes' }\n[model]");
    let Err(refused) = self::recipe(&both, folder.path()).prepare(&run, &Device::Cpu, &mut |_| {}) else {
        panic!("both ways were taken")
    };
    assert!(refused.to_string().contains("model.stack.bidirectional"), "{refused}");
}

#[test]
fn sequences_of_the_adding_problem_are_drawn() {
    let text = outputs("number", "pooling = ['mean', 'last']")
        .replace("[model]", "values = { kind = 'adding', steps = 8, train = 240, dev = 40, test = 60 }\n[model]");
    let folder = tempfile::tempdir().unwrap();
    let (mut recipe, run) = (recipe(&text, folder.path()), folder.path().join("run"));
    recipe.data.path = None;
    let mut task = recipe.prepare(&run, &Device::Cpu, &mut |_| {}).unwrap();
    let report = fit(&mut task, recipe.training(), &run, &mut Silent).unwrap();
    let outcome = recipe.outcome(task, &report, &run, &Device::Cpu, &mut |_| ()).unwrap();
    assert!(outcome.split == Some("test") && outcome.scores.get("mean_squared_error").unwrap() < 0.02, "{outcome:?}");
    // Files of such sequences are tables.
    let table = folder.path().join("a.csv");
    std::fs::write(&table, "number,mark\n0.5,1\n0.9,0\n0.1,0\n0.2,0\n0.25,1\n0.9,0\n0.1,0\n0.3,0\n").unwrap();
    let classifier = SequenceClassifier::from_pretrained(&run, &Device::Cpu).unwrap();
    let read = classifier.read(&table).unwrap().remove(0);
    let told = classifier.classify(&[read.input]).unwrap().remove(0).number.unwrap();
    assert!(read.name.is_empty() && (told - 0.75).abs() < 0.3, "{told}");
    std::fs::write(&table, "number\n0.5\n").unwrap();
    let refused = classifier.read(&table).unwrap_err().to_string();
    assert!(refused.ends_with("a.csv: has 1 columns of numbers, and the classifier reads 2"), "{refused}");
}

#[test]
fn pictures_are_read_row_by_row_or_pixel_by_pixel() {
    use image::{Rgb, RgbImage};
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // A bar that lies or stands.
    let picture = |index: usize| {
        let mut rng = Rng::derive(5, "bars", index as u64);
        let at = 1 + rng.below(4) as u32;
        let lies = index.is_multiple_of(2);
        RgbImage::from_fn(6, 6, |x, y| Rgb([if (if lies { y } else { x }) == at { 255 } else { 0 }; 3]))
    };
    for (part, count) in [("train", 120usize), ("dev", 20)] {
        for index in 0..count {
            let class = if index.is_multiple_of(2) { "lies" } else { "stands" };
            std::fs::create_dir_all(data.join(part).join(class)).unwrap();
            picture(index).save(data.join(part).join(class).join(format!("{index}.png"))).unwrap();
        }
    }
    for (kind, width) in [("rows", 6), ("pixels", 1)] {
        let text = outputs("one", "").replace("[model]", &format!("values = {{ kind = '{kind}' }}\n[model]"));
        let (recipe, run) = (recipe(&text, &data), folder.path().join(kind));
        let mut task = recipe.prepare(&run, &Device::Cpu, &mut |_| {}).unwrap();
        let report = fit(&mut task, recipe.training(), &run, &mut Silent).unwrap();
        let outcome = recipe.outcome(task, &report, &run, &Device::Cpu, &mut |_| ()).unwrap();
        assert!(outcome.scores.get("accuracy").unwrap() > 0.9, "{kind}: {}", outcome.scores);
        let classifier = SequenceClassifier::from_pretrained(&run, &Device::Cpu).unwrap();
        assert_eq!(classifier.config().input_size, width);
        let read = classifier.read(&data.join("dev/stands/7.png")).unwrap().remove(0).input;
        assert_eq!(classifier.classify(&[read]).unwrap()[0].labels[0], "stands");
        RgbImage::new(7, 6).save(folder.path().join("wide.png")).unwrap();
        let wide = classifier.read(&folder.path().join("wide.png"));
        assert_eq!(wide.is_err(), kind == "rows");
    }
}

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
    let run = |out: &str, stops: &[Option<usize>]| {
        let out = folder.path().join(out);
        for stop in stops {
            let mut task = recipe.prepare(&out, &Device::Cpu, &mut |_| {}).unwrap();
            match stop {
                Some(steps) => fit(&mut task, recipe.training(), &out, &mut StopsAfter((*steps).into())).unwrap(),
                None => fit(&mut task, recipe.training(), &out, &mut Silent).unwrap(),
            };
        }
        let last = candlewick_training::model_folder::open_model(&out, |folder| Ok(folder.to_path_buf())).unwrap();
        std::fs::read(last.join("model.safetensors")).unwrap()
    };
    assert!(run("whole", &[None]) == run("parts", &[Some(4), None]), "the weights differ");
}

#[test]
fn it_is_scored_how_early_a_class_is_told() {
    // Which of two numbers goes up shows from the third step on.
    let rows = |rng: &mut Rng| {
        let first = rng.chance(0.5);
        let row = |at: usize| {
            let up = if at < 2 { 0.0 } else { 0.3 };
            let label = if first { "first" } else { "second" };
            format!("{label},{},{}", if first { up } else { 0.0 }, if first { 0.0 } else { up })
        };
        (0..7).map(row).collect()
    };
    let text = outputs("each", "").replace("[model]", "early = [2, 3, 20]\n[model]");
    let (_, scores) = learned("label,x,y", &text, rows);
    let after = [2, 3, 20].map(|step| scores.get(&format!("accuracy_after_{step}")).unwrap());
    assert!((0.3..0.7).contains(&after[0]) && after[1] > 0.95 && after[2] > 0.95, "{scores}");
}

#[test]
fn a_classifier_begins_with_what_a_language_model_learned() {
    let folder = tempfile::tempdir().unwrap();
    write_sentences(folder.path());
    let sentences: String = (0..300).map(|index| sentence(&mut Rng::derive(9, "text", index)).0 + "\n").collect();
    std::fs::write(folder.path().join("text.txt"), sentences).unwrap();
    let text = "task = 'language_model'\nname = 'lm'\n[data]\nunits = 'spaces'\n[model]\nembedding_size = 8\n\
        hidden_size = 12\ncell = 'gru'\n[batches]\nsize = 4\nsteps = 16\n[training]\nepochs = 2\n\
        optimizer = { name = 'adam', learning_rate = 0.01 }";
    let mut language: LanguageModelRecipe = toml::from_str(text).unwrap();
    language.data.path = Some(folder.path().join("text.txt"));
    let lm = folder.path().join("lm");
    let mut task = language.prepare(&lm, &Device::Cpu, &mut |_| {}).unwrap();
    fit(&mut task, language.training(), &lm, &mut Silent).unwrap();

    let mut recipe = recipe(&SENTENCES.replace("epochs = 8", "epochs = 1"), folder.path());
    recipe.start = Some(lm.clone());
    let saved = folder.path().join("begun");
    std::fs::create_dir(&saved).unwrap();
    let task = recipe.prepare(&saved, &Device::Cpu, &mut |_| {}).unwrap();
    task.classifier().save(&saved).unwrap();
    let model = LanguageModel::from_pretrained(&lm, &Device::Cpu).unwrap();
    assert_eq!(task.classifier().tokenizer().unwrap().vocab_size(), model.tokenizer().vocab_size());
    let tensors =
        |folder: &Path| candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    let best = candlewick_training::model_folder::open_model(&lm, |folder| Ok(folder.to_path_buf())).unwrap();
    let (from, to) = (tensors(&best), tensors(&saved));
    for name in ["embedding.weight", "gru.weight_ih_l0", "gru.weight_hh_l0", "gru.bias_ih_l0"] {
        let flat = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(&from[name]), flat(&to[&format!("encoder.{name}")]), "{name}");
    }
    assert!(to.contains_key("encoder.gru.weight_ih_l0_reverse") && to.contains_key("encoder.pool.query"));
    for (change, wanted) in [
        ("model.hidden_size", "model.hidden_size is 13, and the language model's 12; make them equal"),
        ("model.cell", "model.cell is lstm, and the language model's gru; make them equal"),
        ("data.least_count", "data.least_count"),
    ] {
        let mut other = recipe.clone();
        match change {
            "model.hidden_size" => other.model.hidden_size = 13,
            "model.cell" => other.model.cell = "lstm".into(),
            _ => other.data.least_count = 2,
        }
        let Err(refused) = other.prepare(&saved, &Device::Cpu, &mut |_| {}) else { panic!("{change} was taken") };
        assert!(refused.to_string().contains(wanted), "{refused}");
    }
}

#[test]
fn labels_have_the_names_that_the_recipe_gives_them() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train.tsv"), "sentence\tlabel\na fine film\t1\na dull film\t0\n").unwrap();
    std::fs::write(folder.path().join("dev.tsv"), "sentence\tlabel\na film\t1\n").unwrap();
    let text =
        "[data]\nlabel_names = { 0 = 'negative', 1 = 'positive' }\n[model]\nhidden_size = 4\n[training]\nepochs = 1";
    let named = recipe(text, folder.path());
    let task = named.prepare(folder.path(), &Device::Cpu, &mut |_| {}).unwrap();
    let names: Vec<&str> = task.classifier().config().id2label.values().map(String::as_str).collect();
    assert_eq!(names, ["negative", "positive"]);
    let set = LabelledSequences::load(folder.path(), &task.classifier().data_config()).unwrap();
    evaluate(task.classifier(), &set, Split::Dev, &mut |_, _| ()).unwrap();
    for (from, to, wanted) in [
        ("1 = 'positive'", "2 = 'positive'", "data.label_names: no label is called 2; there are 0, 1"),
        ("'positive'", "'negative'", "data.label_names: two labels are called negative"),
    ] {
        let Err(refused) =
            recipe(&text.replace(from, to), folder.path()).prepare(folder.path(), &Device::Cpu, &mut |_| {})
        else {
            panic!("{to} was taken")
        };
        assert!(refused.to_string().contains(wanted), "{refused}");
    }
}

/// Stops a run after so many steps of its own.
struct StopsAfter(AtomicUsize);

impl Observer for StopsAfter {
    fn event(&mut self, _: &Event) {}

    fn stops(&self) -> bool {
        self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

#[test]
fn a_resumed_run_is_the_same_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    write_sentences(folder.path());
    let mut recipe = recipe(SENTENCES, folder.path());
    (recipe.model.dropout, recipe.model.word_dropout, recipe.label_smoothing) = (0.3, 0.2, 0.1);
    (recipe.training.epochs, recipe.training.checkpoint_every) = (2, 7);
    let run = |out: &str, stops: &[Option<usize>]| {
        let out = folder.path().join(out);
        for stop in stops {
            let mut task = recipe.prepare(&out, &Device::Cpu, &mut |_| {}).unwrap();
            match stop {
                Some(steps) => fit(&mut task, recipe.training(), &out, &mut StopsAfter((*steps).into())).unwrap(),
                None => fit(&mut task, recipe.training(), &out, &mut Silent).unwrap(),
            };
        }
        let last = candlewick_training::model_folder::open_model(&out, |folder| Ok(folder.to_path_buf())).unwrap();
        std::fs::read(last.join("model.safetensors")).unwrap()
    };
    assert!(run("whole", &[None]) == run("parts", &[Some(9), Some(20), None]), "the weights differ");
}

#[test]
fn a_model_folder_is_the_same_classifier_with_its_rare_words_unknown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train.tsv"), "sentence\tlabel\na fine film\t1\na dull film\t0\n !\t0\n")
        .unwrap();
    let text = "[data]\nleast_count = 2\ndev_share = 0.34\n[model]\nhidden_size = 4\npooling = ['max']\n[training]\nepochs = 1";
    let mut recipe = recipe(text, folder.path());
    recipe.data.dev_share = 0.0;
    let Err(refused) = recipe.prepare(folder.path(), &Device::Cpu, &mut |_| {}) else {
        panic!("nothing to validate on")
    };
    assert!(refused.to_string().contains("3 sequences to train on and 0 to validate on"), "{refused}");
    std::fs::write(folder.path().join("dev.tsv"), "sentence\tlabel\na film\t1\n").unwrap();
    let mut notes = Vec::new();
    let task = recipe.prepare(folder.path(), &Device::Cpu, &mut |note| notes.push(format!("{note:?}"))).unwrap();
    assert!(notes.iter().any(|note| note.contains("1 sequences to train on have no words")), "{notes:?}");
    let classifier = task.classifier();
    let tokenizer = classifier.tokenizer().unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.first_unknown("a fine film").as_deref()), (3, Some("fine")));
    let saved = tempfile::tempdir().unwrap();
    classifier.save(saved.path()).unwrap();
    let opened = SequenceClassifier::open_folder(saved.path(), &Device::Cpu).unwrap();
    assert_eq!(opened.config(), classifier.config());
    let inputs = [Input::Words("A film!".into())];
    assert_eq!(opened.classify(&inputs).unwrap(), classifier.classify(&inputs).unwrap());
    let exported = tempfile::tempdir().unwrap();
    let about = SequenceClassifier::export(saved.path(), exported.path(), &Default::default()).unwrap();
    assert!(
        about.made_of.contains("texts over 3 tokens") && about.made_of.contains("the class of the whole: 0, 1"),
        "{about:?}"
    );
    let again = SequenceClassifier::from_pretrained(exported.path(), &Device::Cpu).unwrap();
    assert_eq!(again.classify(&inputs).unwrap(), classifier.classify(&inputs).unwrap());
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    write_sentences(folder.path());
    for (text, wanted) in [
        ("[model]\ncell = 'lstn'\n", "no sequence layer is called lstn"),
        ("[model]\npooling = []\n", "pooling: none is given"),
        ("[model]\npooling = ['max', 'max']\n", "comes twice"),
        ("[model]\ndropout = 1.5\n", "model.dropout is 1.5"),
        ("[model]\nword_dropout = -1.0\n", "model.word_dropout is -1"),
        ("[model]\nhidden_size = 0\n", "model.hidden_size is 0"),
        ("[data]\nleast_count = 0\n", "data.least_count is 0"),
        ("[data]\nleast_count = 2\nunits = 'characters'\n", "data.least_count"),
        ("[data]\ninput = 'values'\nleast_count = 2\n", "data.input = \"words\""),
        ("[data]\ninput = 'values'\n", "train.csv"),
        ("[data]\nfold = { number = 10, of = 10 }\n", "fold 10 of 10"),
        ("[data]\nencoding = 'utf-7'\n", "encoding"),
        ("[data]\noutput = 'number'\n", "data.output"),
        ("[data]\noutput = 'several'\n", "data.output"),
        ("[data]\nvalues = { kind = 'notes' }\n", "data.values"),
        ("[data]\ninput = 'values'\nvalues = { kind = 'notes' }\n", "data.output"),
        ("[data]\ninput = 'values'\nvalues = { kind = 'adding' }\n", "data.output"),
        ("[data]\ninput = 'values'\noutput = 'number'\nvalues = { kind = 'adding', steps = 1 }\n", "data.values"),
        ("[data]\nnormalize = true\n", "data.normalize"),
        ("[data]\ninput = 'values'\nearly = [3]\n", "data.early"),
        ("[data]\ninput = 'values'\noutput = 'each'\nearly = [0]\n", "data.early"),
        ("[data]\ninput = 'frames'\noutput = 'number'\n", "data.output"),
        ("[data]\ninput = 'frames'\nframes = { kind = 'clips', height = 0 }\n", "data.frames"),
        ("[data]\ninput = 'frames'\nframes = { kind = 'clips', join = true }\n", "data.frames.join"),
        ("[data]\ninput = 'frames'\n", "has no clips"),
        ("[data]\nframes = { kind = 'moving' }\n", "data.frames"),
        ("[batches]\nwindow = 1\n", "batches.window"),
        ("[batches]\nmirror = true\n", "batches.mirror"),
        ("[batches]\nsize = 0\n", "batches.size is 0"),
    ] {
        let recipe = recipe(&format!("{text}[training]\nepochs = 1"), folder.path());
        let Err(error) = recipe.prepare(&folder.path().join("run"), &Device::Cpu, &mut |_| {}) else {
            panic!("{text} was taken")
        };
        let error = error.to_string();
        assert!(error.contains(wanted) && !error.contains('\n'), "{text}: {error}");
    }
    let unknown = "task = 'a'\nname = 'a'\n[data]\ninput = 'smells'\n[training]\nepochs = 1";
    let error = toml::from_str::<SequenceClassificationRecipe>(unknown).unwrap_err().to_string();
    assert!(error.contains("smells") && error.contains("frames"), "{error}");
    let mut recipe = recipe("[training]\nepochs = 1", folder.path());
    recipe.data.path = None;
    let Err(error) = recipe.prepare(folder.path(), &Device::Cpu, &mut |_| {}) else { panic!("no data was taken") };
    assert!(error.to_string().contains("--data DIR"), "{error}");
}

#[test]
fn folds_are_ten_parts_of_the_real_set() {
    let Some(data) = std::env::var_os("CANDLEWICK_DATA") else {
        eprintln!("skipped: CANDLEWICK_DATA is unset");
        return;
    };
    let path = Path::new(&data).join("rt_polarity");
    let mut tested = 0;
    let text = include_str!("../../../models/rt_polarity/train.toml");
    let mut recipe: SequenceClassificationRecipe = toml::from_str(text).unwrap();
    for number in 0..10 {
        recipe.data.fold.as_mut().unwrap().number = number;
        let set = LabelledSequences::load(&path, &recipe.data).unwrap();
        assert_eq!(set.classes, ["neg", "pos"]);
        tested += set.parts.test.len();
        assert!((700..1200).contains(&set.parts.test.len()), "{}", set.parts.test.len());
    }
    let whole = LabelledSequences::load(&path, &DataConfig { fold: None, ..recipe.data }).unwrap();
    assert_eq!(tested, whole.parts.train.len());
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
