//! Every parameter of every network has torchvision's name and shape.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod networks_by_name;

use candlewick_encoders::{NetworkConfig, networks};
use candlewick_testing::{Hashed, fnv, json};
use networks_by_name::{find, network};
use serde_json::Value;
use std::collections::BTreeMap;

const WHOLE: [&str; 10] = [
    "resnets",
    "resnexts",
    "squeezenets",
    "alexnet",
    "vggs",
    "densenets",
    "googlenet",
    "fractalnets",
    "convnexts",
    "efficientnets",
];

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

fn read<T: serde::de::DeserializeOwned>(name: &str) -> BTreeMap<String, T> {
    json(&format!("{name}.json"))
}

/// Names and shapes of a network for a thousand classes, after a look at its stages.
fn found(name: &str) -> BTreeMap<String, Vec<usize>> {
    let builder = Hashed { empty: true, ..Default::default() };
    let config = NetworkConfig { classes: Some(1000), ..Default::default() };
    network(name, &config, builder.builder()).unwrap();
    let found = builder.shapes.lock().unwrap().clone();
    // The stages cover all parameters, and none is empty.
    let stages = find(name).stages();
    let under = |parameter: &str, stage: &str| parameter.strip_prefix(stage).is_some_and(|r| r.starts_with('.'));
    for parameter in found.keys() {
        assert!(stages.iter().any(|stage| under(parameter, stage)), "{name}: {parameter} is in no stage");
    }
    for stage in stages {
        assert!(found.keys().any(|parameter| under(parameter, stage)), "{name}: {stage} is empty");
    }
    found
}

#[test]
fn names_and_shapes_are_torchvisions() {
    let mut checked = 0;
    for (name, tree) in WHOLE.into_iter().flat_map(read::<Value>) {
        let mut wanted = BTreeMap::new();
        flatten("", &tree, &mut wanted);
        assert!(wanted.len() >= 16, "{name}");
        assert_eq!(found(&name), wanted, "{name}");
        checked += 1;
    }
    for (name, wanted) in read::<BTreeMap<String, String>>("hashes") {
        let mut lines: BTreeMap<String, String> = BTreeMap::new();
        for (parameter, shape) in found(&name) {
            let path: Vec<&str> = parameter.split('.').collect();
            let part = path[..path.len() - 1].iter().take(2).copied().collect::<Vec<_>>().join(".");
            *lines.entry(part).or_default() += &format!("{parameter} {shape:?}\n");
        }
        assert_eq!(lines.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{name}");
        for (part, lines) in lines {
            assert_eq!(format!("{:016x}", fnv(&lines)), wanted[&part], "{name}: {part} differs, it is\n{lines}");
        }
        checked += 1;
    }
    // All but the convnet and the vision transformers, which torchvision does not have or names otherwise.
    let others = ["convnet", "vit_", "dinov2_", "clip_", "siglip_", "beit_", "eva02_"];
    let own = networks().into_iter().filter(|name| !others.iter().any(|other| name.starts_with(other)));
    assert_eq!(checked, own.count());
}
