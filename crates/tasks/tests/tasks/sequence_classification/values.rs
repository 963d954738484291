//! Of sequences of numbers: tables, notes, the adding problem, pictures by rows.

use super::recipe;
use candle_core::Device;
use candlewick_data::Split;
use candlewick_parameters::Rng;
use candlewick_tasks::sequence_classification::{DataConfig, Input, LabelledSequences, SequenceClassifier, evaluate};
use candlewick_training::{Recipe as _, Scores, Silent, fit};

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
