//! Layers, logits, gradients and recorded statistics against torchvision's in float64, on hashed weights and inputs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod networks_by_name;

use candle_core::{DType, Device, Tensor};
use candlewick_encoders::{Encoder, FractalConfig, NetworkConfig};
use candlewick_parameters::{Mode, Rng, SafetensorsFile, VarBuilder};
use networks_by_name::network;

use candlewick_testing::{Hashed, assert_close, digest, fixture, flat, hashed, images};

/// A network of ten classes on hashed weights, without dropout and drop-path, and what the fixture holds about it.
struct Case {
    name: &'static str,
    file: SafetensorsFile,
    weights: Hashed,
    images: Tensor,
}

impl Case {
    fn new(family: &str, name: &'static str, height: usize, width: usize) -> Self {
        let file = SafetensorsFile::open(fixture(&format!("values_{family}.safetensors"))).unwrap();
        Self { name, file, weights: Hashed::default(), images: images(height, width) }
    }

    fn network(&self, column: Option<usize>) -> Box<dyn Encoder> {
        self.built(column, self.weights.builder())
    }

    fn built(&self, column: Option<usize>, vb: VarBuilder) -> Box<dyn Encoder> {
        let config = NetworkConfig {
            classes: Some(10),
            dropout: Some(0.0),
            stochastic_depth: Some(0.0),
            auxiliary_dropout: 0.0,
            transform_input: true,
            fractal: FractalConfig { drop_path: 0.0, global_drop_path: 0.0, column },
            ..Default::default()
        };
        network(self.name, &config, vb).unwrap()
    }

    fn wanted(&self, key: &str) -> Vec<f32> {
        flat(&self.file.tensor(&format!("{}.{key}", self.name), &Device::Cpu).unwrap())
    }

    /// The rest of all keys that begin so.
    fn keys(&self, kind: &str) -> Vec<String> {
        let prefix = format!("{}.{kind}", self.name);
        self.file.names().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect()
    }

    /// Compares everything that the fixture holds; `tolerance` is that of gradients.
    fn compare(&self, tolerance: f64) {
        let net = self.network(None);
        self.evaluates(net.as_ref());
        if self.is_trained() {
            self.trains(net.as_ref(), tolerance, 1e-4);
        }
    }

    fn is_trained(&self) -> bool {
        !self.keys("train.").is_empty()
    }

    /// The same with training in f64: more batch norms than fifty over few values a channel magnify rounding so much that PyTorch's own
    /// float32 is off by 4e-2 to 4e-1. There it is the plain operations that run.
    fn compare_wide(self) {
        self.evaluates(self.network(None).as_ref());
        let images = self.images.to_dtype(DType::F64).unwrap();
        let wide = Self { weights: Hashed::default(), images, ..self };
        wide.trains(wide.built(None, wide.weights.wide_builder()).as_ref(), 1e-5, 1e-5);
    }

    fn evaluates(&self, net: &dyn Encoder) {
        for layer in self.keys("layer.") {
            let map = net.layer(&layer, &self.images, &mut Mode::Eval).unwrap();
            assert_close(&layer, &digest(&map), &self.wanted(&format!("layer.{layer}")), 1e-5);
            let info = net.layers().iter().find(|info| info.name == layer).unwrap();
            assert_eq!(map.dim(1).unwrap(), info.channels);
            let height = self.images.dim(2).unwrap() as f64 / info.stride as f64;
            assert!((map.dim(2).unwrap() as f64 - height).abs() < 2.0, "{layer}");
        }
        let logits = net.logits(&self.images, &mut Mode::Eval).unwrap();
        assert_close("logits", &flat(&logits), &self.wanted("logits"), 1e-5);
        let classified = net.logits_with_auxiliary(&self.images, &mut Mode::Eval).unwrap();
        assert!(flat(&classified.logits) == flat(&logits) && classified.auxiliary.is_empty());
        let folded = net.for_inference().unwrap();
        let inferred = folded.logits(&self.images, &mut Mode::Eval).unwrap();
        assert!(!inferred.track_op() && logits.track_op());
        assert_close("logits for inference", &flat(&inferred), &self.wanted("logits"), 2e-5);
        assert_eq!(self.keys("vector.").is_empty(), net.pre_logits_layers().is_empty());
        for vector in self.keys("vector.") {
            let info = net.pre_logits_layers().iter().find(|info| info.name == vector).unwrap();
            for net in [net, folded.as_ref()] {
                let found = net.pre_logits(&vector, &self.images, &mut Mode::Eval).unwrap();
                assert_eq!(found.dims(), [2, info.size]);
                assert_close(&vector, &digest(&found), &self.wanted(&format!("vector.{vector}")), 1e-5);
            }
        }
    }

    fn trains(&self, net: &dyn Encoder, of_gradients: f64, of_logits: f64) {
        let mut rng = Rng::derive(1, "train", 0);
        let found = net.logits_with_auxiliary(&self.images, &mut Mode::Train(&mut rng)).unwrap();
        assert_close("train.logits", &flat(&found.logits), &self.wanted("train.logits"), of_logits);
        assert_eq!(found.auxiliary.len(), self.keys("train.auxiliary.").len());
        let mut loss = weighted("loss", &found.logits);
        for (number, logits) in found.auxiliary.iter().enumerate() {
            let key = format!("train.auxiliary.{number}");
            assert_close(&key, &flat(logits), &self.wanted(&key), of_logits);
            loss = (loss + (weighted(&format!("loss{number}"), logits) * 0.3).unwrap()).unwrap();
        }
        let gradients = loss.backward().unwrap();
        for key in self.keys("gradient.") {
            let gradient = gradients.get(self.weights.variable(&key).as_tensor()).expect(&key);
            assert_close(&key, &digest(gradient), &self.wanted(&format!("gradient.{key}")), of_gradients);
        }
        for key in self.keys("statistic.") {
            let found = digest(self.weights.variable(&key).as_tensor());
            assert_close(&key, &found, &self.wanted(&format!("statistic.{key}")), 1e-5);
        }
    }
}

/// The sum of the logits times hashed factors.
fn weighted(name: &str, logits: &Tensor) -> Tensor {
    let factors: Vec<f32> = hashed(name, logits.elem_count()).map(|v| v as f32).collect();
    let factors = Tensor::from_vec(factors, logits.shape(), &Device::Cpu).unwrap().to_dtype(logits.dtype()).unwrap();
    (logits * factors).unwrap().sum_all().unwrap()
}

fn compare(family: &str, name: &'static str, height: usize, width: usize, tolerance: f64) {
    Case::new(family, name, height, width).compare(tolerance);
}

#[test]
fn resnet18_is_torchvisions() {
    compare("resnets", "resnet18", 64, 96, 1e-3);
}

#[test]
fn resnet50_is_torchvisions() {
    // Fifty batch norms over twelve values a channel magnify rounding: PyTorch's own float32 is off by 2e-2 here.
    compare("resnets", "resnet50", 64, 96, 1e-2);
}

#[test]
fn the_other_resnets_are_torchvisions() {
    for name in ["resnet34", "resnet101", "resnet152"] {
        Case::new("resnets", name, 64, 64).compare_wide();
    }
}

#[test]
fn resnext50_is_torchvisions() {
    compare("resnexts", "resnext50_32x4d", 64, 96, 1e-2);
}

#[test]
fn wide_resnet50_is_torchvisions() {
    compare("resnexts", "wide_resnet50_2", 64, 96, 1e-2);
}

#[test]
fn the_other_resnexts_and_wide_resnets_are_torchvisions() {
    compare("resnexts", "resnext101_32x8d", 32, 64, 1e-3);
    compare("resnexts", "wide_resnet101_2", 32, 64, 1e-3);
    Case::new("resnexts", "resnext101_64x4d", 32, 64).compare_wide();
}

#[test]
fn squeezenets_are_torchvisions() {
    compare("squeezenets", "squeezenet1_1", 70, 64, 1e-3);
    compare("squeezenets", "squeezenet1_0", 70, 64, 1e-3);
}

#[test]
fn alexnet_is_torchvisions() {
    compare("alexnet", "alexnet", 70, 100, 1e-3);
}

#[test]
fn vggs_are_torchvisions() {
    // Their fully connected layers are the same 120 million weights; training comes last and with it the one whose statistics are
    // compared first, for it records them.
    let weights = Hashed::default();
    let case = |name| {
        let (height, width) = match name {
            "vgg11_bn" => (64, 64),
            "vgg11" | "vgg19" => (32, 64),
            _ => (32, 32),
        };
        Case { weights: weights.clone(), ..Case::new("vggs", name, height, width) }
    };
    let names = ["vgg11_bn", "vgg11", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19_bn", "vgg19"];
    for case in names.map(case) {
        case.evaluates(case.network(None).as_ref());
    }
    for case in names.map(case).iter().filter(|case| case.is_trained()) {
        case.trains(case.network(None).as_ref(), 1e-3, 1e-4);
    }
}

#[test]
fn densenet121_is_torchvisions() {
    compare("densenets", "densenet121", 64, 96, 1e-2);
}

#[test]
fn the_other_densenets_are_torchvisions() {
    for name in ["densenet161", "densenet169", "densenet201"] {
        Case::new("densenets", name, 64, 64).compare_wide();
    }
}

#[test]
fn convnexts_are_torchvisions() {
    compare("convnexts", "convnext_tiny", 64, 96, 1e-3);
    compare("convnexts", "convnext_small", 32, 64, 1e-3);
    compare("convnexts", "convnext_base", 32, 64, 1e-3);
}

#[test]
fn efficientnets_are_torchvisions() {
    compare("efficientnets", "efficientnet_b0", 64, 96, 1e-2);
    compare("efficientnets", "efficientnet_v2_s", 64, 96, 1e-2);
    for name in ["efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4"] {
        compare("efficientnets", name, 64, 64, 1e-2);
    }
    for name in ["efficientnet_b5", "efficientnet_b7", "efficientnet_v2_m"] {
        Case::new("efficientnets", name, 64, 64).compare_wide();
    }
}

#[test]
fn googlenet_is_torchvisions_with_its_auxiliary_heads() {
    compare("googlenet", "googlenet", 64, 96, 1e-2);
}

#[test]
fn fractalnets_are_pytorchs_whole_and_column_by_column() {
    for (name, columns, width) in [("fractalnet20", 3, 64), ("fractalnet40", 4, 32)] {
        compare("fractalnets", name, 32, width, 1e-2);
        let case = Case::new("fractalnets", name, 32, width);
        for column in 1..=columns {
            let net = case.network(Some(column));
            for net in [&net, &net.for_inference().unwrap()] {
                let logits = net.logits(&case.images, &mut Mode::Eval).unwrap();
                let key = format!("column.{column}");
                assert_close(&key, &flat(&logits), &case.wanted(&key), 2e-5);
            }
        }
    }
}

#[test]
fn convnet_is_pytorchs() {
    compare("convnet", "convnet", 64, 64, 1e-3);
}
