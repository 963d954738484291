//! Every way in which a recipe lets a captioner learn: it learns, and a run that was stopped goes on and ends with the same weights, bit for bit.
#![allow(clippy::unwrap_used)]

use candle_core::Device;
use candlewick_captioning::{Batch, CaptioningRecipe, CaptioningTask, prepare};
use candlewick_parameters::{Mode, Parameters};
use candlewick_testing::bits;
use candlewick_training::{Error, Loss, Result, Scores, Shard, Silent, Task, fit};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

mod small;

use small::recipe;

/// A task whose run breaks off after some batches.
struct Stopping {
    task: CaptioningTask,
    left: AtomicUsize,
}

impl Task for Stopping {
    type Batch = Batch;

    fn parameters(&self) -> &Parameters {
        self.task.parameters()
    }

    fn batches_per_epoch(&self) -> usize {
        self.task.batches_per_epoch()
    }

    fn batches<'a>(
        &'a self,
        epoch: usize,
        skip: usize,
        shard: Shard,
    ) -> Result<Box<dyn Iterator<Item = Result<Batch>> + 'a>> {
        self.task.batches(epoch, skip, shard)
    }

    fn loss(&self, batch: &Batch, mode: &mut Mode) -> Result<Loss> {
        match self.left.load(Relaxed).checked_sub(1) {
            Some(left) => self.left.store(left, Relaxed),
            None => return Err(Error::Task("stopped".into())),
        }
        self.task.loss(batch, mode)
    }

    fn validate(&mut self, epoch: usize) -> Result<Scores> {
        self.task.validate(epoch)
    }

    fn save(&self, folder: &Path) -> Result<()> {
        self.task.save(folder)
    }

    fn state(&self) -> Value {
        self.task.state()
    }

    fn restore(&mut self, state: Value) -> Result<()> {
        self.task.restore(state)
    }

    fn config(&self) -> Value {
        self.task.config()
    }

    fn learning_rate_factor(&self, parameter: &str) -> f64 {
        self.task.learning_rate_factor(parameter)
    }
}

/// The bits of all weights after a run that breaks off, and goes on, after so many batches.
fn trained(recipe: &CaptioningRecipe, out: &Path, stops: &[usize]) -> Vec<(String, Vec<u32>)> {
    let ready = || prepare(recipe, out, &Device::Cpu, &mut |_| ()).unwrap();
    for &stop in stops {
        let mut stopping = Stopping { task: ready(), left: AtomicUsize::new(stop) };
        assert!(fit(&mut stopping, &recipe.training, out, &mut Silent).unwrap_err().to_string().contains("stopped"));
    }
    let mut task = ready();
    fit(&mut task, &recipe.training, out, &mut Silent).unwrap();
    task.parameters().trainable().iter().map(|(name, var)| (name.clone(), bits(var))).collect()
}

/// What the log says of each step: this part of its loss, where it has one.
fn logged(out: &Path, part: &str) -> Vec<f64> {
    let log = std::fs::read_to_string(out.join(candlewick_training::LOG_FILE)).unwrap();
    log.lines().filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["parts"][part].as_f64()).collect()
}

/// Trains the case in one go and with two stops; gives what the log says of the part.
fn learned(case: &Value, part: &str) -> Vec<f64> {
    let (straight, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let recipe = recipe(case);
    let whole = trained(&recipe, straight.path(), &[]);
    assert!(whole == trained(&recipe, stopped.path(), &[3, 4]), "{case}: the weights differ");
    let values = logged(straight.path(), part);
    assert_eq!(values, logged(stopped.path(), part), "{case}");
    assert!(values.iter().all(|value| value.is_finite()) && !values.is_empty(), "{case}: {values:?}");
    values
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn captions_are_learned_by_every_decoder() {
    for decoder in [
        json!({}),
        json!({ "cell": "gru" }),
        json!({ "attention": "hard" }),
        json!({ "attention": { "kind": "hard", "soft_probability": 0.0, "window": 3, "context_mix": 0.5 } }),
        json!({ "attention": { "kind": "hard", "soft_probability": 0.0 }, "cell": "mut1" }),
    ] {
        let words = learned(&json!({ "decoder": decoder }), "words");
        assert!(mean(&words[10..]) < 0.9 * words[0], "{decoder}: {words:?}");
    }
}

#[test]
fn positions_are_drawn_and_judged_where_attention_is_hard() {
    // λ_r and λ_e alone would teach nothing here; that they are there, and go on after a stop with the same baseline, is what counts.
    let hard =
        |loss: Value| json!({ "decoder": { "attention": { "kind": "hard", "soft_probability": 0.0 } }, "loss": loss });
    for part in ["positions", "entropy"] {
        let values = learned(&hard(json!({})), part);
        assert!(values.iter().any(|&value| value != 0.0), "{part}: {values:?}");
    }
    let of = |reinforce: f64| learned(&hard(json!({ "reinforce": reinforce })), "words");
    assert_ne!(of(0.0), of(5.0), "REINFORCE changed nothing");
}

#[test]
fn the_network_reads_some_of_its_own_words() {
    let sampling = json!({ "scheduled_sampling": { "increase": 0.5, "most": 0.5 } });
    let (own, peoples) = (learned(&sampling, "words"), learned(&json!({}), "words"));
    assert_eq!(own[..5], peoples[..5], "the first epoch is people's");
    assert!(own[5..] != peoples[5..], "no word was the network's own");
}

#[test]
fn a_captioner_learns_from_what_it_drew() {
    let first = tempfile::tempdir().unwrap();
    let start = recipe(&json!({ "training": { "epochs": 12 } }));
    trained(&start, first.path(), &[]);
    for (baseline, likelihood) in [("samples", 0.0), ("greedy", 0.2)] {
        let drawing = json!({ "samples": 4, "baseline": baseline, "likelihood": likelihood });
        let case = json!({ "start": first.path(), "self_critical": drawing });
        let rewards = learned(&case, "reward");
        assert!(
            rewards.iter().all(|&reward| reward >= 0.0) && rewards.iter().any(|&reward| reward > 0.0),
            "{rewards:?}"
        );
    }
}

#[test]
fn what_a_captioner_drew_does_not_teach_it_where_to_look() {
    let first = tempfile::tempdir().unwrap();
    trained(&recipe(&json!({ "training": { "epochs": 1 } })), first.path(), &[]);
    let case = json!({ "start": first.path(), "self_critical": {}, "decoder": { "attention": "hard" } });
    let error = prepare(&recipe(&case), first.path(), &Device::Cpu, &mut |_| ()).err().unwrap().to_string();
    assert!(error.contains("self_critical: does not teach hard attention where to look"), "{error}");
}

#[test]
fn pictures_are_what_the_encoders_weights_want_unless_the_recipe_says_otherwise() {
    let of = |network: &str, transform: bool| {
        let mut recipe = recipe(&json!({}));
        recipe.preprocessing = None;
        recipe.encoder.network = network.into();
        recipe.encoder.config.transform_input = transform;
        recipe.preprocessing().unwrap().mean
    };
    assert_eq!((of("googlenet", false), of("resnet50", false)), ([0.5; 3], [0.485, 0.456, 0.406]));
    assert_eq!(of("googlenet", true), [0.485, 0.456, 0.406]);
    let said = recipe(&json!({ "encoder": { "network": "googlenet" } }));
    assert_eq!(said.preprocessing().unwrap(), said.preprocessing.unwrap());
}

/// The lecture's captioner: h = tanh(W_xh x + W_hh h + W_ih v), v of fc7, here AlexNet's.
#[test]
fn a_vector_of_a_fully_connected_layer_is_seen_at_every_word() {
    let out = tempfile::tempdir().unwrap();
    let lecture = json!({
        "data": { "train": 8, "dev": 2 },
        "preprocessing": { "size": { "height": 64, "width": 64 } },
        "encoder": {
            "network": "alexnet", "layer": "classifier.5", "coordinates": false, "config": { "fully_connected": true },
            "from_scratch": true,
        },
        "decoder": { "kind": "show_tell", "cell": "rnn", "picture": "each_step" },
    });
    let mut recipe = recipe(&lecture);
    let task = prepare(&recipe, out.path(), &Device::Cpu, &mut |_| ()).unwrap();
    let weight =
        task.parameters().trainable().into_iter().find(|(name, _)| name == "decoder.rnn.weight_ih_l0").unwrap().1;
    assert_eq!(weight.dims(), [24, 16 + 4096]);
    let batch = task.batches(0, 0, Shard::WHOLE).unwrap().next().unwrap().unwrap();
    let loss = task.loss(&batch, &mut Mode::Eval).unwrap().value.to_vec0::<f32>().unwrap();
    assert!(loss.is_finite());
    let captions = task.decode(None, task.captioner().generation()).unwrap();
    assert_eq!(captions.len(), 2);
    // Another layer has another size.
    recipe.encoder.layer = Some("classifier.9".into());
    let error = prepare(&recipe, out.path(), &Device::Cpu, &mut |_| ()).err().unwrap().to_string();
    assert!(error.contains("classifier.9") && error.contains("classifier.5"), "{error}");
}
