//! The vision transformers: values of Hugging Face's and timm's in float64, the order of patches, loading, and what cannot be.
#![cfg(feature = "transformers")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod networks_by_name;

use candle_core::{Device, Tensor};
use candlewick_encoders::transformers::{Family, VisionConfig, VisionTransformer};
use candlewick_encoders::{Encoder, NetworkConfig, cost, networks};
use candlewick_parameters::{Mode, Parameters, Rng, SafetensorsFile, write_safetensors};
use candlewick_testing::{Hashed, assert_close, digest, fixture, flat, images};
use networks_by_name::{find, network};

const CPU: Device = Device::Cpu;

const FAMILIES: [(&str, Family); 7] = [
    ("vit", Family::Vit),
    ("dinov2", Family::Dinov2),
    ("dinov2_registers", Family::Dinov2Registers),
    ("clip", Family::Clip),
    ("siglip", Family::Siglip),
    ("beit", Family::Beit),
    ("eva02", Family::Eva02),
];

fn sizes(family: Family) -> VisionConfig {
    let (hidden_size, num_attention_heads) = if family == Family::Eva02 { (64, 1) } else { (16, 2) };
    let (image_size, patch_size, intermediate_size) = match family {
        Family::Dinov2 | Family::Dinov2Registers => (518, 14, 64),
        Family::Beit => (384, 16, 64),
        Family::Eva02 => (448, 14, 170),
        _ => (32, 8, 32),
    };
    let num_hidden_layers = 2;
    VisionConfig {
        family,
        hidden_size,
        num_hidden_layers,
        num_attention_heads,
        intermediate_size,
        image_size,
        patch_size,
    }
}

/// Whether it takes pictures of its own size alone.
fn of_one_size(family: Family) -> bool {
    matches!(family, Family::Beit | Family::Eva02)
}

/// A side that it takes.
fn side(family: Family) -> usize {
    if of_one_size(family) { sizes(family).image_size } else { 56 }
}

/// The networks of this family that are known by name.
fn of_family(family: Family) -> impl Iterator<Item = &'static str> {
    let registers = family == Family::Dinov2Registers;
    let (name, _) = FAMILIES.into_iter().find(|(_, other)| *other == family).unwrap();
    let prefix = format!("{}_", name.trim_end_matches("_registers"));
    names().filter(move |name| name.starts_with(&prefix) && name.ends_with("_reg") == registers)
}

fn config(classes: Option<usize>) -> NetworkConfig {
    NetworkConfig { classes, ..Default::default() }
}

fn names() -> impl Iterator<Item = &'static str> {
    networks().into_iter().filter(|name| FAMILIES.iter().any(|(family, _)| name.starts_with(&format!("{family}_"))))
}

#[test]
fn values_are_those_of_the_libraries() {
    let open = |name: &str| SafetensorsFile::open(fixture(&format!("{name}.safetensors"))).unwrap();
    let files = [open("vision_transformers"), open("transformers_of_timm")];
    for (name, family) in FAMILIES {
        let net = VisionTransformer::new(name, &sizes(family), &config(Some(5)), Hashed::default().builder()).unwrap();
        let fast = net.for_inference().unwrap();
        let sides: &[usize] = match family {
            Family::Dinov2 | Family::Dinov2Registers => &[56, 518],
            Family::Beit => &[384],
            Family::Eva02 => &[448],
            _ => &[32, 48],
        };
        for &side in sides {
            let (images, mode) = (images(side, side), &mut Mode::Eval);
            let compare = |key: &str, found: &[f32]| {
                let key = format!("{name}.{side}.{key}");
                let file = files.iter().find(|file| file.shape(&key).is_some()).unwrap();
                assert_close(&key, found, &flat(&file.tensor(&key, &CPU).unwrap()), 2e-5);
            };
            compare("map", &digest(&net.map(&images, mode).unwrap()));
            compare("pooled", &flat(&net.pooled(&images, mode).unwrap()));
            compare("logits", &flat(&net.logits(&images, mode).unwrap()));
            compare("logits", &flat(&fast.logits_with_auxiliary(&images, mode).unwrap().logits));
            if family != Family::Siglip {
                compare("layer", &digest(&net.layer(&net.layers()[0].name, &images, mode).unwrap()));
            }
        }
    }
}

#[test]
fn a_patch_is_seen_at_its_own_position() {
    for (name, family) in FAMILIES {
        let (sizes, weights) = (VisionConfig { num_hidden_layers: 1, ..sizes(family) }, Hashed::default());
        let net = VisionTransformer::new(name, &sizes, &config(None), weights.builder()).unwrap();
        // Without what attention puts out, a token knows of its own patch alone.
        let puts_out = ["attention.output.dense.", "attn.proj.", "self_attn.out_proj."];
        for (parameter, variable) in weights.variables.lock().unwrap().iter() {
            if puts_out.iter().any(|part| parameter.contains(part)) {
                variable.set(&variable.zeros_like().unwrap()).unwrap();
            }
        }
        let patch = sizes.patch_size;
        let grid = if of_one_size(family) { sizes.image_size / patch } else { 4 };
        let (images, row, column) = (images(grid * patch, grid * patch), 1, 3);
        let window = Tensor::ones((1, 1, patch, patch), images.dtype(), &CPU).unwrap();
        let window = window.pad_with_zeros(2, row * patch, (grid - 1 - row) * patch).unwrap();
        let window = window.pad_with_zeros(3, column * patch, (grid - 1 - column) * patch).unwrap();
        let changed = images.broadcast_add(&window).unwrap();
        let map = |images: &Tensor| net.map(images, &mut Mode::Eval).unwrap();
        let difference = (map(&images) - map(&changed)).unwrap().abs().unwrap().sum(1).unwrap();
        for of_picture in difference.to_vec3::<f32>().unwrap() {
            for (at, value) in of_picture.concat().into_iter().enumerate() {
                assert_eq!(value > 1e-3, at == grid * row + column, "{name}: position {at} changed by {value}");
            }
        }
    }
}

#[test]
fn every_network_has_its_stages_and_a_map_of_the_right_shape() {
    assert_eq!(names().count(), 20);
    for (name, family) in FAMILIES.into_iter().flat_map(|(_, family)| of_family(family).map(move |name| (name, family)))
    {
        let builder = Hashed { empty: true, ..Default::default() };
        let net = network(name, &config(Some(7)), builder.builder()).unwrap();
        for parameter in builder.shapes.lock().unwrap().keys() {
            let of = |stage: &String| parameter == stage || parameter.starts_with(&format!("{stage}."));
            assert_eq!(find(name).stages().iter().filter(|stage| of(stage)).count(), 1, "{name}: {parameter}");
        }
        for stage in find(name).stages() {
            let found = builder.shapes.lock().unwrap().keys().any(|parameter| parameter.starts_with(stage));
            assert!(found, "{name}: {stage} is empty");
        }
        let seen = find(name).preprocessing();
        let size = seen.crop.unwrap_or_else(|| match seen.size {
            Some(candlewick_encoders::Resize::Exact(height, width)) => (height, width),
            _ => panic!("{name}"),
        });
        assert!(size.0 == size.1 && size.0.is_multiple_of(net.stride()), "{name}: {size:?}");
        // Of those that take large pictures alone the first layer is run.
        let (layer, side) = match of_one_size(family) {
            true => (net.layers().first(), size.0),
            false => (net.layers().last(), 2 * net.stride()),
        };
        let map = net.layer(&layer.unwrap().name, &images(side, side), &mut Mode::Eval).unwrap();
        let positions = side / net.stride();
        assert_eq!(map.dims(), [2, net.channels(), positions, positions], "{name}");
    }
}

#[test]
fn costs_are_those_that_are_published() {
    // As timm has them; what DINOv2's authors publish has a position of the class token more.
    for (name, classes, wanted) in [
        ("beit_base_patch16_384", Some(1000), 86_744_104),
        ("beit_large_patch16_384", Some(1000), 304_998_888),
        ("eva02_base_patch14_448", Some(1000), 87_117_544),
        ("eva02_large_patch14_448", Some(1000), 305_080_232),
        ("dinov2_vits14_reg", None, 22_057_344 + 384),
        ("dinov2_vitb14_reg", None, 86_582_016 + 768),
        ("dinov2_vitl14_reg", None, 304_370_688 + 1024),
    ] {
        let builder = Hashed { empty: true, ..Default::default() };
        network(name, &config(classes), builder.builder()).unwrap();
        let shapes = builder.shapes.lock().unwrap();
        assert_eq!(shapes.values().map(|shape| shape.iter().product::<usize>()).sum::<usize>(), wanted, "{name}");
    }
    // As torchvision has them for vit_b_16.
    let builder = Hashed { empty: true, ..Default::default() };
    let net = network("vit_base_patch16_224", &config(Some(1000)), builder.builder()).unwrap();
    let parameters: usize = builder.shapes.lock().unwrap().values().map(|shape| shape.iter().product::<usize>()).sum();
    assert_eq!(parameters, 86_567_656);
    let cost = cost(net.as_ref(), 224, 224, &CPU).unwrap();
    assert!((cost.multiply_adds as f64 / 1e9 - 17.56).abs() < 0.02, "{cost:?}");
}

#[test]
fn only_the_head_trains() {
    let mut rng = Rng::derive(1, "train", 0);
    for (name, family) in FAMILIES {
        let (parameters, images) = (Parameters::new(1), images(side(family), side(family)));
        let net = VisionTransformer::new(name, &sizes(family), &config(Some(3)), parameters.builder(&CPU)).unwrap();
        let fault = net.logits(&images, &mut Mode::Train(&mut rng)).unwrap_err().to_string();
        assert!(fault.contains("cannot be trained") && fault.contains("fine_tune"), "{fault}");

        let network = of_family(family).next().unwrap();
        let head = find(network).head_prefix();
        let parameters = Parameters::new(1);
        for prefix in find(network).frozen_prefixes(Some(head)).unwrap() {
            parameters.freeze(prefix);
        }
        let net = VisionTransformer::new(name, &sizes(family), &config(Some(3)), parameters.builder(&CPU)).unwrap();
        let logits = net.logits(&images, &mut Mode::Train(&mut rng)).unwrap();
        let gradients = logits.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let trained = parameters.trainable();
        assert_eq!(
            trained.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            [format!("{head}.weight"), format!("{head}.bias")]
        );
        for (name, variable) in &trained {
            let gradient = gradients.get(variable.as_tensor()).unwrap();
            assert!(flat(gradient).iter().any(|&value| value != 0.0), "{name}");
        }
        let stage = &find(network).stages()[3];
        let fault = find(network).frozen_prefixes(Some(stage)).unwrap_err().to_string();
        let heads = find(network).head_prefixes().join(", ");
        assert!(fault.contains(stage.as_str()) && fault.contains(&format!("only its head can, {heads}")), "{fault}");
    }
}

#[test]
fn they_are_saved_and_loaded_and_values_assigned_later_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    for (name, family) in FAMILIES {
        let (path, images) = (folder.path().join(name), images(side(family), side(family)));
        let build = |parameters: &Parameters, classes| {
            VisionTransformer::new(name, &sizes(family), &config(classes), parameters.builder(&CPU)).unwrap()
        };
        let logits = |net: &VisionTransformer| flat(&net.logits(&images, &mut Mode::Eval).unwrap());
        let hashed = Hashed::default();
        let whole = VisionTransformer::new(name, &sizes(family), &config(Some(3)), hashed.builder()).unwrap();
        let values = hashed.variables.lock().unwrap();
        let tensors: Vec<_> = values.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
        write_safetensors(&tensors, &path).unwrap();

        // A head that nobody asked for comes out of the file, and goes into the next one.
        let loaded = Parameters::from_safetensors(&path).unwrap();
        let net = build(&loaded, None);
        loaded.verify().unwrap();
        assert_eq!(logits(&net), logits(&whole));
        loaded.save(&path).unwrap();

        let fresh = Parameters::new(5);
        let net = build(&fresh, Some(3));
        assert_ne!(logits(&net), logits(&whole));
        fresh.load(&path).unwrap();
        assert_eq!(logits(&net), logits(&whole));

        let file = SafetensorsFile::open(&path).unwrap().without("vision_model.encoder.layers.1.").without("blocks.1.");
        let loaded = Parameters::from_file(file.without("vit.encoder.layer.1."));
        build(&loaded, None);
        let fault = loaded.verify().unwrap_err().to_string();
        assert!(fault.contains("missing: ") && !fault.contains("unused"), "{fault}");
    }
}

#[test]
fn published_files_are_taken_for_what_is_of_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("published");
    let own = |network: &str, tensors: &[&str]| -> Vec<String> {
        let one = |name: &&str| (name.to_string(), Tensor::new(&[0f32], &CPU).unwrap());
        write_safetensors(&tensors.iter().map(one).collect::<Vec<_>>(), &path).unwrap();
        let file = find(network).canonical_weights(SafetensorsFile::open(&path).unwrap()).unwrap();
        file.names().map(str::to_owned).collect()
    };
    let tower = ["vision_model.post_layernorm.bias", "visual_projection.weight", "text_model.x.weight", "logit_scale"];
    assert_eq!(own("clip_vit_base_patch32", &tower), ["vision_model.post_layernorm.bias"]);
    assert_eq!(own("siglip_base_patch16_224", &tower), ["vision_model.post_layernorm.bias"]);
    for dinov2 in ["dinov2_vits14", "dinov2_vits14_reg"] {
        assert_eq!(own(dinov2, &["mask_token", "pos_embed"]), ["pos_embed"]);
    }
    let block = ["blocks.0.gamma_1", "blocks.0.gamma_2", "blocks.0.attn.relative_position_index", "fc_norm.bias"];
    let renamed = ["blocks.0.ls1.gamma", "blocks.0.ls2.gamma", "fc_norm.bias"];
    assert_eq!(own("beit_base_patch16_384", &block), renamed);
    assert_eq!(own("vit_base_patch16_224", &["layernorm.bias", "pooler.dense.bias"]), ["vit.layernorm.bias"]);
    assert_eq!(own("vit_base_patch16_224", &["vit.layernorm.bias", "classifier.bias"]).len(), 2);
}

#[test]
fn what_cannot_be_is_told_in_one_line() {
    let mode = &mut Mode::Eval;
    for (name, family) in FAMILIES {
        let net = VisionTransformer::new(name, &sizes(family), &config(None), Hashed::default().builder()).unwrap();
        let squares = images(56, 56);
        let (no_square, no_multiple) = match family {
            Family::Beit => ("384×384 pixels", "384×384 pixels"),
            Family::Eva02 => ("448×448 pixels", "448×448 pixels"),
            _ => ("squares", "multiple"),
        };
        for (fault, parts) in [
            (net.map(&images(56, 28), mode), ["56×28", no_square]),
            (net.pooled(&images(50, 50), mode), ["50×50", no_multiple]),
            (net.map(&squares.narrow(1, 0, 1).unwrap(), mode), ["(N, 3, height, width)", "56"]),
            (net.layer("layer1", &squares, mode), ["has no layer layer1", &net.layers().last().unwrap().name]),
            (net.logits(&squares, mode), ["without a classification head", "classes"]),
        ] {
            let fault = fault.unwrap_err().to_string();
            let line = fault.lines().next().unwrap();
            assert!(line.starts_with(name) && parts.iter().all(|part| line.contains(part)), "{line}");
        }
    }
    let net =
        VisionTransformer::new("vit", &sizes(Family::Vit), &config(Some(3)), Hashed::default().builder()).unwrap();
    let map = net.map(&images(56, 56), mode).unwrap();
    assert!(net.head(&map, mode).unwrap_err().to_string().contains("ask for logits"));
    let odd = VisionConfig { num_attention_heads: 3, ..sizes(Family::Vit) };
    let Err(fault) = VisionTransformer::new("odd", &odd, &config(None), Hashed::default().builder()) else { panic!() };
    assert!(fault.to_string().contains("no multiple of num_attention_heads 3"), "{fault}");
    for (odd, part) in [
        (VisionConfig { patch_size: 16, ..sizes(Family::Dinov2) }, "(518, 14, 64), not (518, 16, 64)"),
        (VisionConfig { image_size: 224, ..sizes(Family::Beit) }, "(384, 16, 64), not (224, 16, 64)"),
        (VisionConfig { num_attention_heads: 2, ..sizes(Family::Eva02) }, "64 channels a head, not 32"),
    ] {
        let fault = VisionTransformer::new("odd", &odd, &config(None), Hashed::default().builder()).unwrap_err();
        assert!(fault.to_string().contains(part), "{fault}");
    }
}
