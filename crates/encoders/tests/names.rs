//! Every parameter of every network has torchvision's name and shape.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hashed;

use candlewick_encoders::{NetworkConfig, network, networks, stages};
use hashed::{Hashed, fixture};
use serde_json::Value;
use std::collections::BTreeMap;

fn flatten(prefix: &str, tree: &Value, into: &mut BTreeMap<String, Vec<usize>>) {
    match tree {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&path, member, into);
            }
        }
        shape => {
            into.insert(prefix.to_owned(), serde_json::from_value(shape.clone()).unwrap());
        }
    }
}

#[test]
fn names_and_shapes_are_torchvisions() {
    let mut checked = 0;
    for family in ["resnets.json", "squeezenets.json"] {
        let trees: BTreeMap<String, Value> = serde_json::from_slice(&std::fs::read(fixture(family)).unwrap()).unwrap();
        for (name, tree) in trees {
            let (mut wanted, builder) = (BTreeMap::new(), Hashed { empty: true, ..Default::default() });
            flatten("", &tree, &mut wanted);
            let config = NetworkConfig { classes: Some(1000), ..Default::default() };
            network(&name, &config, builder.builder()).unwrap();
            let found = builder.shapes.lock().unwrap().clone();
            assert!(wanted.len() > 50, "{name}");
            assert_eq!(found, wanted, "{name}");
            // The stages cover all parameters, and none is empty.
            let stages = stages(&name).unwrap();
            let under =
                |parameter: &str, stage: &str| parameter.strip_prefix(stage).is_some_and(|r| r.starts_with('.'));
            assert!(found.keys().all(|parameter| stages.iter().any(|stage| under(parameter, stage))), "{name}");
            assert!(stages.iter().all(|stage| found.keys().any(|parameter| under(parameter, stage))), "{name}");
            checked += 1;
        }
    }
    // All but the convnet, which torchvision does not have.
    assert_eq!(checked, networks().len() - 1);
}
