//! Schedules and clipping equal PyTorch's (`scripts/fixtures/training.py`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candle_core::{Device, Tensor};
use candlewick_testing::{assert_close, json};
use candlewick_training::{Patience, Position, Schedule, clip};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn schedules_equal_pytorchs() {
    let fixture = json::<Value>("schedules.json");
    let at = |step, epoch, total_steps| Position { step, epoch, total_steps };
    let none = Patience::default();
    let steps = Schedule::Step { gamma: 0.3, every: 3 };
    let found: Vec<f64> = (0..12).map(|epoch| steps.factor(at(7 * epoch, epoch, 84), 0, &none)).collect();
    assert_close("step", &found, &numbers(&fixture["step"]), 1e-6);
    let cosine = Schedule::Cosine { min_factor: 0.05 };
    let found: Vec<f64> = (0..13).map(|step| cosine.factor(at(step, 0, 12), 0, &none)).collect();
    assert_close("cosine", &found, &numbers(&fixture["cosine"]), 1e-6);
    let found: Vec<f64> = (0..20).map(|step| cosine.factor(at(step, 0, 20), 5, &none)).collect();
    assert_close("warm-up and cosine", &found, &numbers(&fixture["warm_cosine"]), 1e-6);
    let plateau = Schedule::Plateau { factor: 0.5, patience: 2, min_delta: 0.01, metric: None };
    let mut state = Patience::default();
    let mut found = vec![];
    for score in numbers(&fixture["plateau_scores"]) {
        found.push(plateau.factor(at(0, 0, 1), 0, &state));
        plateau.observe(score, &mut state);
    }
    assert_close("plateau", &found, &numbers(&fixture["plateau"]), 1e-6);
    assert!(found.last().unwrap() < &0.3, "the plateau was met twice");
}

#[test]
fn a_schedule_reads_as_it_was_written_and_knows_its_keys() {
    for schedule in [
        Schedule::Constant,
        Schedule::Step { gamma: 0.5, every: 2 },
        Schedule::Cosine { min_factor: 0.1 },
        Schedule::Plateau { factor: 0.8, patience: 8, min_delta: 0.0, metric: Some("-loss".into()) },
    ] {
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
    }
    let wrong = serde_json::from_str::<Schedule>(r#"{"name":"cosine","minimum":0.1}"#).unwrap_err().to_string();
    assert!(wrong.contains("minimum"), "{wrong}");
    assert!(Schedule::Step { gamma: 0.5, every: 0 }.check().unwrap_err().to_string().contains("every"));
}

#[test]
fn clipping_equals_pytorchs() {
    let fixture = json::<Value>("clip.json");
    let gradients: Vec<Option<Tensor>> = fixture["gradients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|values| {
            let values: Vec<f32> = numbers(values).into_iter().map(|x| x as f32).collect();
            Some(Tensor::new(values, &Device::Cpu).unwrap())
        })
        .chain([None])
        .collect();
    let check = |found: &[Option<Tensor>], scale: f64, wanted: &Value| {
        for (found, wanted) in found.iter().flatten().zip(wanted.as_array().unwrap()) {
            let found: Vec<f64> = found.to_vec1::<f32>().unwrap().into_iter().map(|x| f64::from(x) * scale).collect();
            assert_close("clipped", &found, &numbers(wanted), 1e-6);
        }
    };
    for name in ["small", "large"] {
        let case = &fixture[name];
        let norm = clip::global_norm(&gradients).unwrap();
        assert_close("norm", &[norm][..], &[case["norm"].as_f64().unwrap()][..], 1e-6);
        check(&gradients, clip::norm_scale(norm, case["limit"].as_f64().unwrap()), &case["clipped"]);
    }
    let clipped = clip::by_value(&gradients, fixture["value"]["limit"].as_f64().unwrap()).unwrap();
    check(&clipped, 1.0, &fixture["value"]["clipped"]);
    assert!(clipped[2].is_none());
}

#[test]
fn the_norm_is_the_same_for_any_layout_and_across_pieces() {
    let values: Vec<f32> = (0..50_000).map(|i| ((i * 37 % 101) as f32 - 50.0) / 7.0).collect();
    let wanted = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let whole = Tensor::from_vec(values, (200, 250), &Device::Cpu).unwrap();
    let turned = whole.t().unwrap();
    let norm = |tensor: &Tensor| clip::global_norm(&[Some(tensor.clone())]).unwrap();
    assert!((norm(&whole) / wanted - 1.0).abs() < 1e-12);
    assert!((norm(&turned) / wanted - 1.0).abs() < 1e-12);
    let half = whole.narrow(1, 10, 100).unwrap();
    assert_eq!(norm(&half), norm(&half.contiguous().unwrap()));
}
