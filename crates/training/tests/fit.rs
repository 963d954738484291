//! A small task learns to the end, stops when it should, and refuses what it must.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod toy;

use candlewick_training::*;
use std::fs;
use toy::{POINTS, Toy, config, names};

fn run(task: &mut Toy, config: &FitConfig, out: &std::path::Path) -> Result<Report> {
    fit(task, config, out, &mut Silent)
}

#[test]
fn it_learns_to_the_end_and_logs_every_step() {
    let out = tempfile::tempdir().unwrap();
    let mut task = Toy::new(32);
    let config = FitConfig { epochs: 30, checkpoint_every: 0, ..config() };
    let (mut steps, mut checkpoints) = (0, 0);
    let mut observer = |event: &Event| match event {
        Event::Step { step, .. } => {
            steps += 1;
            assert_eq!(*step, steps);
        }
        Event::Checkpoint { .. } => checkpoints += 1,
        _ => {}
    };
    let report = fit(&mut task, &config, out.path(), &mut observer).unwrap();
    assert_eq!((report.steps, report.epochs, steps, checkpoints), (300, 30, 300, 30));
    assert_eq!(report.reason, StopReason::Epochs);
    assert!(report.last_scores.unwrap().get("accuracy").unwrap() > 0.97);
    assert!(report.best_scores.unwrap().get("accuracy").unwrap() > 0.97);
    let log = toy::log(out.path());
    let losses: Vec<f64> = log.iter().filter_map(|line| line["loss"].as_f64()).collect();
    assert_eq!(losses.len(), 300);
    assert!(losses[299] < 0.3 * losses[0]);
    assert_eq!(log.iter().filter(|line| line.get("scores").is_some()).count(), 30);
    assert!(log[0]["parts"]["entropy"].as_f64().unwrap() > 0.5);
    // Warm-up over four steps, then the cosine down to a tenth.
    assert!((log[0]["learning_rate"].as_f64().unwrap() - 0.0025).abs() < 1e-9);
    let svg = fs::read_to_string(out.path().join(curves::CURVES_FILE)).unwrap();
    assert!(svg.contains("smoothed") && svg.contains("accuracy") && svg.trim_end().ends_with("</svg>"));
    // The best checkpoint is a model folder.
    let mut best = Toy::new(32);
    best.load(&best_checkpoint(out.path()).unwrap()).unwrap();
    let scores = best.validate(0).unwrap();
    assert!(scores.get("accuracy").unwrap() > 0.97);
}

#[test]
fn accumulated_batches_equal_one_large_batch() {
    // 300 points: batches of 32 end with one of 12, which must weigh less than the others.
    let (small, large) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let base = FitConfig { epochs: 1, optimizer: OptimizerConfig::sgd(0.1, 0.9), ..FitConfig::default() };
    let mut parts = Toy::new(32).without_state();
    let mut whole = Toy::new(128).without_state();
    (parts.dropout, whole.dropout) = (0.0, 0.0);
    let report = run(&mut parts, &FitConfig { accumulate: 4, ..base.clone() }, small.path()).unwrap();
    let other = run(&mut whole, &base, large.path()).unwrap();
    assert_eq!((report.steps, other.steps), (3, 3));
    for ((name, a), (_, b)) in parts.weights().into_iter().zip(whole.weights()) {
        for (a, b) in a.into_iter().zip(b) {
            let gap = (f32::from_bits(a) - f32::from_bits(b)).abs();
            assert!(gap < 1e-6, "{name} is off by {gap}");
        }
    }
    let losses = |log: Vec<serde_json::Value>| log.iter().filter_map(|l| l["loss"].as_f64()).collect::<Vec<_>>();
    for (a, b) in losses(toy::log(small.path())).into_iter().zip(losses(toy::log(large.path()))) {
        assert!((a - b).abs() < 1e-6);
    }
}

#[test]
fn a_number_that_is_not_finite_takes_the_run_back_at_half_the_rate() {
    for (factor, what) in [(f64::NAN, "loss"), (f64::INFINITY, "loss"), (0.0, "norm of the gradients")] {
        let out = tempfile::tempdir().unwrap();
        let mut task = Toy::new(32);
        task.poison = Some((5..6, factor));
        let mut recovered = vec![];
        let mut observer = |event: &Event| {
            if let Event::Recovered { step, what, back_to, factor, .. } = event {
                recovered.push((*step, *what, *back_to, *factor));
            }
        };
        let config = FitConfig { epochs: 2, schedule: Schedule::Constant, warmup_steps: 0, ..config() };
        let report = fit(&mut task, &config, out.path(), &mut observer).unwrap();
        assert_eq!((report.steps, recovered), (20, vec![(5, what, 3, 0.5)]));
        let log = toy::log(out.path());
        let rates: Vec<f64> = log.iter().filter_map(|line| line["learning_rate"].as_f64()).collect();
        assert_eq!((rates.len(), rates[2], rates[3], rates[19]), (20, 1e-2, 5e-3, 5e-3));
        assert!(log.iter().any(|line| line["recovered_at"] == 5 && line["recovery"]["back_to"] == 3), "{log:?}");
        // A run that goes on keeps to the rate.
        fit(&mut Toy::new(32), &FitConfig { epochs: 3, ..config }, out.path(), &mut Silent).unwrap();
        assert!(toy::log(out.path()).last().unwrap()["scores"].is_object());
        assert_eq!(Checkpoint::load(out.path()).unwrap().unwrap().state.recoveries, 1);
    }
}

#[test]
fn a_run_that_stays_not_finite_ends_with_advice_and_its_good_checkpoint() {
    let out = tempfile::tempdir().unwrap();
    let mut task = Toy::new(32);
    // The first two steps are good whatever happens.
    task.poison_step = Some(5);
    let error = run(&mut task, &config(), out.path()).unwrap_err().to_string();
    assert!(error.contains("step 5: the loss is NaN; the rate was halved 3 times") && !error.contains('\n'), "{error}");
    assert!(
        error.contains("checkpoint-3, whose model.safetensors a new run can start from") && error.contains("--out"),
        "{error}"
    );
    assert_eq!(Checkpoint::load(out.path()).unwrap().unwrap().state.step, 3);
    // Nothing helps where the first loss is none.
    let out = tempfile::tempdir().unwrap();
    let mut task = Toy::new(32);
    task.poison_step = Some(1);
    let error = run(&mut task, &config(), out.path()).unwrap_err().to_string();
    assert!(error.contains("step 1: the loss is NaN; the run has only begun"), "{error}");
}

#[test]
fn weights_that_are_not_finite_are_never_written_and_the_good_ones_stay() {
    // Plain gradient descent at an absurd rate: weights overflow at once, or with the next step.
    for learning_rate in [1e39, 1e30] {
        let out = tempfile::tempdir().unwrap();
        let optimizer = OptimizerConfig::sgd(learning_rate, 0.0);
        let config = FitConfig {
            optimizer,
            clip_norm: None,
            warmup_steps: 0,
            checkpoint_every: 1,
            validate_every: 0,
            epochs: 1,
            ..config()
        };
        let error = run(&mut Toy::new(100), &config, out.path()).unwrap_err().to_string();
        assert!(error.contains("the rate was halved 3 times") && error.contains("--out"), "{learning_rate}: {error}");
        for name in names(out.path()).iter().filter(|name| name.starts_with("checkpoint-")) {
            let mut task = Toy::new(100);
            task.load(&out.path().join(name)).unwrap();
            for (parameter, bits) in task.weights() {
                assert!(bits.iter().all(|&bits| f32::from_bits(bits).is_finite()), "{name}: {parameter}");
            }
        }
    }
}

#[test]
fn files_of_others_stay_as_they_are() {
    let out = tempfile::tempdir().unwrap();
    let path = |name: &str| out.path().join(name);
    fs::create_dir_all(path(".tmp-thesis")).unwrap();
    fs::write(path(".tmp-thesis/chapter.txt"), "mine").unwrap();
    let config = FitConfig { epochs: 1, ..config() };
    run(&mut Toy::new(100), &config, out.path()).unwrap();
    assert_eq!(fs::read_to_string(path(".tmp-thesis/chapter.txt")).unwrap(), "mine");
    // A run that is refused as another one removes nothing.
    fs::create_dir(path(".tmp-checkpoint-9")).unwrap();
    run(&mut Toy::new(50), &config, out.path()).unwrap_err();
    assert!(path(".tmp-checkpoint-9").is_dir());
    run(&mut Toy::new(100), &config, out.path()).unwrap();
    assert!(!path(".tmp-checkpoint-9").exists());
    // A log that no run has written.
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("log.jsonl"), "mine").unwrap();
    let fault = run(&mut Toy::new(100), &config, other.path()).unwrap_err().to_string();
    assert!(fault.contains("holds log.jsonl") && fault.contains("choose another folder"), "{fault}");
    assert_eq!(check(&Toy::new(100), &config, other.path()).unwrap_err().to_string(), fault);
    assert_eq!(fs::read_to_string(other.path().join("log.jsonl")).unwrap(), "mine");
    assert_eq!(names(other.path()), ["log.jsonl"]);
}

#[test]
fn flipped_bits_of_a_checkpoint_are_told() {
    let out = tempfile::tempdir().unwrap();
    let config = FitConfig { epochs: 1, checkpoint_every: 0, ..config() };
    run(&mut Toy::new(100), &config, out.path()).unwrap();
    let folder = out.path().join("checkpoint-3");
    for file in ["trainer.json", "optimizer.safetensors", "model.safetensors", "SHA256SUMS"] {
        let path = folder.join(file);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        let at = if file == "SHA256SUMS" { 3 } else { flipped.len() - 3 };
        flipped[at] ^= 1;
        fs::write(&path, &flipped).unwrap();
        let fault = run(&mut Toy::new(100), &config, out.path()).unwrap_err().to_string();
        assert!(fault.contains("damaged or changed") && fault.contains("remove") && !fault.contains('\n'), "{fault}");
        fs::write(&path, &whole).unwrap();
    }
    run(&mut Toy::new(100), &config, out.path()).unwrap();
}

#[test]
fn of_tied_scores_the_lower_loss_is_the_best() {
    let out = tempfile::tempdir().unwrap();
    let mut task = Toy::new(100);
    task.scores = Some(vec![0.0]);
    let report = run(&mut task, &FitConfig { epochs: 4, ..config() }, out.path()).unwrap();
    let losses: Vec<f64> = toy::log(out.path()).iter().filter_map(|line| line["loss"].as_f64()).collect();
    let epoch = |index: usize| losses[3 * index..3 * index + 3].iter().sum::<f64>();
    let least = (0..4).min_by(|&a, &b| epoch(a).total_cmp(&epoch(b))).unwrap();
    assert!(least > 0, "{losses:?}");
    assert_eq!(report.best, out.path().join(format!("checkpoint-{}", 3 * (least + 1))));
}

#[test]
fn a_checkpoint_that_goes_while_it_is_opened_gives_way_to_the_next() {
    let out = tempfile::tempdir().unwrap();
    let config =
        FitConfig { schedule: Schedule::Constant, checkpoint_every: 0, epochs: 1, validate_every: 0, ..config() };
    run(&mut Toy::new(100), &config, out.path()).unwrap();
    let first = std::sync::atomic::AtomicBool::new(true);
    let opened: Result<std::path::PathBuf> = open_best(out.path(), |folder| {
        if first.swap(false, std::sync::atomic::Ordering::Relaxed) {
            // Another run takes the next step, and with it the checkpoint away.
            run(&mut Toy::new(100), &FitConfig { epochs: 2, ..config.clone() }, out.path())?;
        }
        fs::read(folder.join("model.safetensors")).map(|_| folder.to_path_buf()).map_err(Error::file(folder, "gone"))
    });
    assert_eq!(opened.unwrap(), out.path().join("checkpoint-6"));
}

#[test]
fn a_target_early_stopping_and_the_time_end_a_run() {
    let scores = vec![0.1, 0.3, 0.3, 0.35, 0.2, 0.2, 0.2, 0.2];
    let stop = |config: FitConfig| {
        let out = tempfile::tempdir().unwrap();
        let mut task = Toy::new(100);
        task.scores = Some(scores.clone());
        let report = run(&mut task, &FitConfig { epochs: 8, ..config.clone() }, out.path()).unwrap();
        // Called again, the run is over at once.
        let again = run(&mut task, &FitConfig { epochs: 8, ..config }, out.path()).unwrap();
        assert_eq!((again.steps, again.reason), (report.steps, report.reason));
        let best = report.best.file_name().unwrap().to_str().unwrap().to_owned();
        (report.reason, report.epochs, best, report.best_scores.unwrap().get("given").unwrap())
    };
    let target = Some(Target { value: 0.3, metric: None });
    assert_eq!(stop(FitConfig { target, ..config() }), (StopReason::Target, 2, "checkpoint-6".into(), 0.3));
    let early_stopping = Some(EarlyStopping { patience: 2, min_delta: 0.1, metric: Some("given".into()) });
    let stopped = stop(FitConfig { early_stopping, ..config() });
    assert_eq!(stopped, (StopReason::EarlyStopping, 4, "checkpoint-12".into(), 0.35));
    // Lower is better: the first is never beaten.
    let metric = Some(Metric::from("-given"));
    let target = Some(Target { value: 0.05, metric: None });
    assert_eq!(stop(FitConfig { metric, target, ..config() }), (StopReason::Epochs, 8, "checkpoint-3".into(), 0.1));
    // The time is up after the first step, within the epoch.
    let max_seconds = Some(1e-6);
    let out = tempfile::tempdir().unwrap();
    let report = run(&mut Toy::new(100), &FitConfig { max_seconds, ..config() }, out.path()).unwrap();
    assert_eq!((report.reason, report.steps, report.epochs), (StopReason::MaxSeconds, 1, 0));
    assert!(report.last_scores.is_some());
}

#[test]
fn a_run_whose_time_was_up_goes_on_to_the_same_weights() {
    let (paused, straight) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plateau = Schedule::Plateau { factor: 0.5, patience: 0, min_delta: 0.5, metric: None };
    let config = FitConfig { epochs: 4, schedule: plateau, checkpoint_every: 0, ..config() };
    let mut parts = 0;
    let (task, report) = loop {
        let spent = Checkpoint::load(paused.path()).unwrap().map_or(0.0, |last| last.state.seconds);
        let mut task = Toy::new(10);
        let config = FitConfig { max_seconds: Some(spent + 0.02), ..config.clone() };
        let report = run(&mut task, &config, paused.path()).unwrap();
        parts += 1;
        assert!(report.best.is_dir() && report.last.is_dir() && report.last_scores.is_some());
        if report.reason == StopReason::Epochs {
            break (task, report);
        }
    };
    let mut other = Toy::new(10);
    let wanted = run(&mut other, &config, straight.path()).unwrap();
    assert_eq!(report.steps, wanted.steps);
    assert_eq!(task.weights(), other.weights());
    eprintln!("{parts} parts");
}

#[test]
fn parameters_that_no_gradient_reaches_are_named() {
    // Before the run, a parameter that the network never uses is asked for.
    use candlewick_parameters::{Initial, ParameterBuilder};
    let task = || {
        let task = Toy::new(100);
        let vb = task.parameters().builder(&candle_core::Device::Cpu);
        vb.pp("orphan").parameter(3, "weight", Initial::Constant(1.0)).unwrap();
        task
    };
    let out = tempfile::tempdir().unwrap();
    let mut told = vec![];
    let mut observer = |event: &Event| {
        if let Event::Unreached { names } = event {
            told.extend(names.to_vec());
        }
    };
    let config = FitConfig { epochs: 1, ..config() };
    fit(&mut task(), &config, out.path(), &mut observer).unwrap();
    assert_eq!(told, ["orphan.weight"]);
    let out = tempfile::tempdir().unwrap();
    let strict = FitConfig { unreached: Unreached::Error, ..config };
    let error = run(&mut task(), &strict, out.path()).unwrap_err().to_string();
    assert!(error.contains("orphan.weight") && !error.contains("first.weight"), "{error}");
}

#[test]
fn another_configuration_is_refused_and_named() {
    let out = tempfile::tempdir().unwrap();
    let config = FitConfig { epochs: 1, ..config() };
    run(&mut Toy::new(100), &config, out.path()).unwrap();
    let other = FitConfig { clip_norm: Some(2.0), ..config.clone() };
    let error = run(&mut Toy::new(100), &other, out.path()).unwrap_err().to_string();
    assert!(error.contains("fit.clip_norm was 1.0, is 2.0") && !error.contains('\n'), "{error}");
    let error = run(&mut Toy::new(50), &config, out.path()).unwrap_err().to_string();
    assert!(error.contains("task.batch_size was 100, is 50"), "{error}");
    let never = FitConfig { resume: Resume::Never, ..config.clone() };
    assert!(run(&mut Toy::new(100), &never, out.path()).unwrap_err().to_string().contains("never"));
    let free = FitConfig { keep: 7, log_every: 3, max_seconds: Some(1e9), ..config };
    run(&mut Toy::new(100), &free, out.path()).unwrap();
}

#[test]
fn a_finished_run_can_be_taken_further() {
    let out = tempfile::tempdir().unwrap();
    let config = FitConfig { epochs: 2, schedule: Schedule::Constant, ..config() };
    assert_eq!(run(&mut Toy::new(100), &config, out.path()).unwrap().steps, 6);
    let mut further = Toy::new(100);
    let report = run(&mut further, &FitConfig { epochs: 4, ..config.clone() }, out.path()).unwrap();
    let straight = tempfile::tempdir().unwrap();
    let mut whole = Toy::new(100);
    run(&mut whole, &FitConfig { epochs: 4, ..config }, straight.path()).unwrap();
    assert_eq!(report.steps, 12);
    assert_eq!(further.weights(), whole.weights());
}

#[test]
fn a_cut_checkpoint_is_named_with_what_to_do() {
    for (file, length) in [("trainer.json", 40), ("optimizer.safetensors", 300), ("model.safetensors", 300)] {
        let out = tempfile::tempdir().unwrap();
        let config = FitConfig { epochs: 2, keep: 1, checkpoint_every: 0, ..config() };
        let mut whole = Toy::new(100);
        run(&mut whole, &config, out.path()).unwrap();
        let path = out.path().join("checkpoint-6").join(file);
        let content = fs::read(&path).unwrap();
        fs::write(&path, &content[..length]).unwrap();
        let error = run(&mut Toy::new(100), &config, out.path()).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("remove") && !error.contains('\n'), "{error}");
        // What the message says helps.
        fs::remove_dir_all(out.path().join("checkpoint-6")).unwrap();
        let mut again = Toy::new(100);
        assert_eq!(run(&mut again, &config, out.path()).unwrap().steps, 6);
        assert_eq!(again.weights(), whole.weights());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_leaves_the_checkpoint_before_it() {
    let out = tempfile::tempdir().unwrap();
    let config = FitConfig { epochs: 1, schedule: Schedule::Constant, checkpoint_every: 0, ..config() };
    let mut task = Toy::new(100);
    run(&mut task, &config, out.path()).unwrap();
    let before = fs::read(out.path().join("run.json")).unwrap();
    task.save_to = Some("/dev/full");
    let error = run(&mut task, &FitConfig { epochs: 2, ..config.clone() }, out.path()).unwrap_err().to_string();
    assert!(error.contains("/dev/full") && error.contains("space") && !error.contains('\n'), "{error}");
    assert_eq!(fs::read(out.path().join("run.json")).unwrap(), before);
    let left = names(out.path());
    let hidden: Vec<&String> = left.iter().filter(|name| name.starts_with('.')).collect();
    assert!(left.contains(&"checkpoint-3".to_owned()) && hidden == [".lock"], "{left:?}");
    let mut task = Toy::new(100);
    assert_eq!(run(&mut task, &FitConfig { epochs: 2, ..config }, out.path()).unwrap().steps, 6);
}

#[test]
fn impossible_settings_are_named() {
    let cases = [
        (FitConfig { accumulate: 0, ..config() }, "accumulate", true),
        (FitConfig { clip_norm: Some(0.0), ..config() }, "clip_norm", true),
        (FitConfig { clip_norm: Some(f64::NAN), ..config() }, "clip_norm", true),
        (FitConfig { max_seconds: Some(f64::INFINITY), ..config() }, "max_seconds", true),
        (FitConfig { target: Some(Target { value: f64::NAN, metric: None }), ..config() }, "target.value", true),
        (
            FitConfig {
                early_stopping: Some(EarlyStopping { patience: 1, min_delta: f64::NAN, metric: None }),
                ..config()
            },
            "early_stopping.min_delta",
            true,
        ),
        (FitConfig { schedule: Schedule::Step { gamma: f64::INFINITY, every: 1 }, ..config() }, "schedule.gamma", true),
        (FitConfig { optimizer: OptimizerConfig::adam(f64::NAN), ..config() }, "learning_rate", true),
        (
            FitConfig {
                optimizer: OptimizerConfig::Adam(optim::AdamConfig { eps: 1e-60, ..optim::AdamConfig::default() }),
                ..config()
            },
            "optimizer.eps",
            true,
        ),
        (FitConfig { epochs: 0, ..config() }, "epochs", false),
        // This task does not say beforehand which scores it gives.
        (FitConfig { metric: Some("bleu".into()), ..config() }, "accuracy", false),
    ];
    for (config, name, early) in cases {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("run");
        let error = run(&mut Toy::new(POINTS), &config, &folder).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        if early {
            assert_eq!(check(&Toy::new(POINTS), &config, &folder).unwrap_err().to_string(), error);
            assert!(!folder.exists(), "{name}: something was written");
        }
    }
    let wrong = serde_json::from_str::<FitConfig>(r#"{"epoch": 3}"#).unwrap_err().to_string();
    assert!(wrong.contains("epoch") && wrong.contains("epochs"), "{wrong}");
}

#[test]
fn scores_keep_their_order_and_their_numbers() {
    let scores = Scores::from_iter([("z", 0.25), ("a", f64::NAN), ("m", -1.0)]);
    let text = serde_json::to_string(&scores).unwrap();
    assert_eq!(text, r#"{"z":0.25,"a":null,"m":-1.0}"#);
    let back: Scores = serde_json::from_str(&text).unwrap();
    assert_eq!(back.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["z", "a", "m"]);
    assert!(back.get("a").unwrap().is_nan());
    // Every bit comes back.
    for bits in 0..2_000u64 {
        let value = f64::from_bits(bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2);
        let text = serde_json::to_string(&Scores::from_iter([("s", value)])).unwrap();
        assert_eq!(serde_json::from_str::<Scores>(&text).unwrap().get("s").unwrap().to_bits(), value.to_bits());
    }
}

#[test]
fn a_folder_is_trained_into_by_one_run_at_a_time() {
    let out = tempfile::tempdir().unwrap();
    let config = FitConfig { epochs: 1, ..config() };
    let mut refused = Vec::new();
    let mut observer = |event: &Event| {
        if let Event::Step { step: 1, .. } = event {
            refused.push(run(&mut Toy::new(32), &config, out.path()).unwrap_err().to_string());
        }
    };
    fit(&mut Toy::new(32), &config, out.path(), &mut observer).unwrap();
    assert!(refused[0].contains("another process is training into this folder"), "{refused:?}");
    // The lock goes with the run.
    run(&mut Toy::new(32), &config, out.path()).unwrap();
}
