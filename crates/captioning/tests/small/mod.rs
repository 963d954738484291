//! A captioner that learns in a moment.

use candlewick_captioning::CaptioningRecipe;
use serde_json::{Value, json};

/// Scenes of 32×32 points, seen by a small convolutional network, with what the case says instead or besides.
pub fn recipe(case: &Value) -> CaptioningRecipe {
    let blocks =
        json!([{ "channels": 8, "kernel_size": 4, "stride": 4 }, { "channels": 16, "kernel_size": 4, "stride": 2 }]);
    let mut recipe = json!({
        "task": "captioning",
        "name": "small",
        "data": { "kind": "scenes", "train": 40, "dev": 4 },
        "preprocessing": { "do_rescale": true, "do_resize": true, "size": { "height": 32, "width": 32 }, "do_center_crop": false, "do_normalize": false },
        "encoder": { "network": "convnet", "coordinates": true, "config": { "blocks": blocks } },
        "decoder": { "embedding_size": 16, "hidden_size": 24, "attention_size": 16, "dropout": 0.1 },
        "generation": { "max_new_tokens": 12 },
        "batches": { "size": 8 },
        "training": {
            "epochs": 3, "checkpoint_every": 2,
            "optimizer": { "name": "adam", "learning_rate": 0.01 },
        },
    });
    for (section, settings) in case.as_object().unwrap() {
        match (recipe[section].as_object_mut(), settings.as_object()) {
            (Some(own), Some(settings)) => {
                if settings.contains_key("kind") {
                    own.remove("attention_size");
                }
                own.extend(settings.clone());
            }
            _ => recipe[section] = settings.clone(),
        }
    }
    serde_json::from_value(recipe).unwrap()
}
