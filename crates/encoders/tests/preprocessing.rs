//! Pictures against Pillow and torchvision, and Hugging Face's file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use candle_core::{DType, Device};
use candlewick_encoders::{Interpolation, Preprocessing, Resize};
use candlewick_parameters::SafetensorsFile;
use candlewick_testing::fixture;
use image::RgbImage;

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([0, 1, 2].map(|c| ((x * 7 + y * 13 + c * 50 + (x * y) % 17 * 5) % 256) as u8))
    })
}

#[test]
fn pictures_are_those_of_pillow_and_torchvision() {
    let file = SafetensorsFile::open(fixture("preprocessing.safetensors")).unwrap();
    let (linear, cubic) = (Interpolation::Bilinear, Interpolation::Bicubic);
    for (name, (width, height), size, crop, interpolation) in [
        ("smaller", (50, 37), 24, (20, 20), linear),
        ("larger", (13, 17), 32, (27, 21), linear),
        ("bicubic", (37, 50), 21, (16, 18), cubic),
        ("margin", (33, 47), 15, (18, 19), linear),
    ] {
        let size = Some(Resize::Shortest(size));
        let preprocessing = Preprocessing { size, crop: Some(crop), interpolation, ..Preprocessing::imagenet() };
        let wanted = file.tensor(&format!("{name}.original"), &Device::Cpu).unwrap();
        let wanted_values = wanted.flatten_all().unwrap().to_vec1::<u8>().unwrap();
        let seen = preprocessing.original(&picture(width, height)).unwrap();
        assert_eq!((seen.height() as usize, seen.width() as usize), crop, "{name}");
        // Both round weights to fixed point, in ways that differ by at most one step of 256.
        let off = seen.as_raw().iter().zip(&wanted_values).filter(|(a, b)| a != b).count();
        assert!(seen.as_raw().iter().zip(&wanted_values).all(|(a, b)| a.abs_diff(*b) <= 1), "{name}");
        assert!(off * 50 < wanted_values.len(), "{name}: {off} of {} values differ", wanted_values.len());

        let input = preprocessing.apply(&picture(width, height), &Device::Cpu).unwrap();
        let wanted = file.tensor(&format!("{name}.input"), &Device::Cpu).unwrap();
        assert_eq!(input.dims(), wanted.dims());
        let difference = (input - wanted).unwrap().abs().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let same = difference.iter().filter(|&&d| d < 1e-5).count();
        assert!(same + off >= difference.len(), "{name}");
        assert!(difference.iter().all(|&d| d < 1.0 / 255.0 / 0.224 + 1e-5), "{name}");
    }
}

#[test]
fn a_scene_is_only_scaled() {
    let scene = picture(64, 64);
    let preprocessing = Preprocessing::unresized();
    assert_eq!(preprocessing.original(&scene).unwrap(), scene);
    let input = preprocessing.apply(&scene, &Device::Cpu).unwrap();
    assert_eq!((input.dims(), input.dtype()), (&[3, 64, 64][..], DType::F32));
    let values = input.to_vec3::<f32>().unwrap();
    for (x, y, pixel) in scene.enumerate_pixels() {
        for channel in 0..3 {
            let wanted = f32::from(pixel[channel]) / 127.5 - 1.0;
            assert!((values[channel][y as usize][x as usize] - wanted).abs() < 1e-6);
        }
    }
}

#[test]
fn the_file_is_that_of_transformers() {
    let json = serde_json::to_value(Preprocessing::imagenet()).unwrap();
    assert_eq!(json["do_resize"], true);
    assert_eq!(json["size"], serde_json::json!({ "shortest_edge": 256 }));
    assert_eq!(json["crop_size"], serde_json::json!({ "height": 224, "width": 224 }));
    assert_eq!(json["resample"], 2);
    let exact = Preprocessing { size: Some(Resize::Exact(224, 200)), crop: None, ..Preprocessing::imagenet() };
    for preprocessing in [Preprocessing::imagenet(), Preprocessing::unresized(), exact] {
        let text = serde_json::to_string(&preprocessing).unwrap();
        assert_eq!(serde_json::from_str::<Preprocessing>(&text).unwrap(), preprocessing, "{text}");
    }
    // As published with a checkpoint of an older version of the library.
    let old = r#"{"feature_extractor_type": "X", "crop_pct": 0.875, "do_normalize": true, "do_resize": true,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.25], "resample": 3, "size": 224}"#;
    let found: Preprocessing = serde_json::from_str(old).unwrap();
    assert_eq!((found.size, found.crop), (Some(Resize::Shortest(224)), None));
    assert_eq!((found.interpolation, found.std[2]), (Interpolation::Bicubic, 0.25));
    for (broken, part) in [
        (old.replace("\"size\": 224", "\"x\": 1"), "no size"),
        (old.replace("\"resample\": 3", "\"resample\": 9"), "resample is 9"),
        (old.replace("0.25", "0.0"), "image_std"),
    ] {
        let fault = serde_json::from_str::<Preprocessing>(&broken).unwrap_err().to_string();
        assert!(fault.contains(part), "{fault}");
    }
}

#[test]
fn extreme_pictures_are_refused() {
    let preprocessing = Preprocessing::imagenet();
    for (width, height) in [(0, 5), (5, 0), (1, 4_000), (4_000, 1)] {
        let fault = preprocessing.original(&RgbImage::new(width, height)).unwrap_err().to_string();
        assert!(fault.contains(&format!("{width}×{height}")), "{fault}");
    }
    // A short strip is fine: its sides become 256 and 2,560.
    assert_eq!(preprocessing.original(&RgbImage::new(1, 10)).unwrap().dimensions(), (224, 224));
}
