//! Checkpoints as PyTorch and others fill them, made by `scripts/fixtures/checkpoints.py`: read whole, or refused by name.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use candlewick_parameters::{Conversion, Converted, Initial, ParameterBuilder, Parameters, SafetensorsFile, convert};
use candlewick_testing::{fixture, values};
use std::path::{Path, PathBuf};

fn under(key: &str) -> Conversion {
    Conversion { key: Some(key.into()), prefix: None }
}

/// A folder to convert into.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn convert(&self, from: &Path, what: &Conversion) -> (Converted, SafetensorsFile) {
        let to = self.path("out.safetensors");
        let converted = convert(from, &to, what).unwrap();
        (converted, SafetensorsFile::open(to).unwrap())
    }

    /// The message about what is refused, which leaves no file.
    fn fault(&self, from: &Path, what: &Conversion) -> String {
        let to = self.path("refused.safetensors");
        let fault = convert(from, &to, what).unwrap_err().to_string();
        let fault = fault.lines().next().unwrap().to_owned();
        assert!(!to.exists() && fault.contains(from.file_name().unwrap().to_str().unwrap()), "{fault}");
        fault
    }
}

#[test]
fn every_type_is_kept() {
    let scratch = Scratch::new();
    let (converted, out) = scratch.convert(&fixture("zip_types.pth"), &Conversion::default());
    assert_eq!((converted.tensors, converted.numbers), (16, 48));
    let types = [
        ("bool", "BOOL"),
        ("uint8", "U8"),
        ("int8", "I8"),
        ("int16", "I16"),
        ("int32", "I32"),
        ("int64", "I64"),
        ("uint16", "U16"),
        ("uint32", "U32"),
        ("uint64", "U64"),
        ("float16", "F16"),
        ("bfloat16", "BF16"),
        ("float32", "F32"),
        ("float64", "F64"),
        ("float8_e4m3fn", "F8_E4M3"),
        ("float8_e5m2", "F8_E5M2"),
        ("complex64", "C64"),
    ];
    for file in [out, SafetensorsFile::open(fixture("zip_types.pth")).unwrap()] {
        for (name, dtype) in types {
            assert_eq!(file.dtype(name).as_deref(), Some(dtype));
            let tensor = file.tensor(name, &Device::Cpu);
            if name == "complex64" {
                assert!(tensor.unwrap_err().to_string().contains("complex64 is of the type C64"));
                continue;
            }
            let last = if name == "bool" { 1.0 } else { 96.0 };
            assert_eq!(values(&tensor.unwrap()), [0.0, 1.0, last], "{name}");
        }
    }
    // A network takes integers and truth values as floats, where it asks for them.
    let parameters = Parameters::from_safetensors(fixture("zip_types.pth")).unwrap();
    let vb = parameters.builder(&Device::Cpu);
    for (name, _) in types.iter().filter(|(name, _)| *name != "complex64") {
        let tensor = vb.parameter(3, name, Initial::Constant(0.0)).unwrap();
        assert_eq!((tensor.dtype(), values(&tensor)[1]), (DType::F32, 1.0), "{name}");
    }
    let fault = vb.parameter(3, "complex64", Initial::Constant(0.0)).unwrap_err().to_string();
    assert!(fault.contains("zip_types.pth: complex64 is of the type C64"), "{fault}");
}

#[test]
fn every_layout_is_read_in_logical_order() {
    let (converted, file) = Scratch::new().convert(&fixture("zip_layouts.pth"), &Conversion::default());
    assert_eq!(converted.tensors, 11);
    let cube = Tensor::arange(0f32, 24.0, &Device::Cpu).unwrap().reshape((2, 3, 4)).unwrap();
    let expected = [
        ("whole", cube.clone()),
        ("column", Tensor::new(&[1f32, 5.0, 9.0], &Device::Cpu).unwrap()),
        ("expanded", Tensor::new(&[[7f32, 7.0, 7.0], [8.0, 8.0, 8.0]], &Device::Cpu).unwrap()),
        ("permuted", cube.permute((2, 0, 1)).unwrap()),
        ("channels_last", Tensor::arange(0f32, 16.0, &Device::Cpu).unwrap().reshape((1, 4, 2, 2)).unwrap()),
        ("row", Tensor::new(&[20f32, 21.0, 22.0, 23.0], &Device::Cpu).unwrap()),
        ("empty", Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap()),
        ("scalar", Tensor::new(5f32, &Device::Cpu).unwrap()),
        ("parameter", Tensor::new(&[3f32], &Device::Cpu).unwrap()),
        ("attributed", Tensor::new(&[1f32, 2.0], &Device::Cpu).unwrap()),
        ("buffer", Tensor::new(&[4f32], &Device::Cpu).unwrap()),
    ];
    for (name, wanted) in expected {
        let found = file.tensor(name, &Device::Cpu).unwrap();
        assert_eq!((found.dims(), values(&found)), (wanted.dims(), values(&wanted)), "{name}");
    }
}

#[test]
fn what_a_big_endian_machine_wrote_is_read() {
    let file = SafetensorsFile::open(fixture("zip_big_endian.pth")).unwrap();
    for (name, last) in [("int16", 96.0), ("float32", 96.0), ("float64", 96.0), ("bool", 1.0)] {
        assert_eq!(values(&file.tensor(name, &Device::Cpu).unwrap()), [0.0, 1.0, last], "{name}");
    }
}

#[test]
fn every_protocol_is_read() {
    for protocol in 2..6 {
        for form in ["", "_legacy"] {
            let file = SafetensorsFile::open(fixture(&format!("protocol{protocol}{form}.pth"))).unwrap();
            assert_eq!(file.names().collect::<Vec<_>>(), ["weight", &"ü".repeat(200)]);
            assert_eq!(values(&file.tensor("weight", &Device::Cpu).unwrap()), [1.0, 2.0], "{protocol}{form}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let path = fixture("zip_unread.pth");
    // The first by name; none is left out.
    let fault = Scratch::new().fault(&path, &Conversion::default());
    assert!(fault.contains("complex is of the type torch.complex128"), "{fault}");
    let file = SafetensorsFile::open(&path).unwrap();
    assert_eq!(values(&file.tensor("weight", &Device::Cpu).unwrap()), [1.0, 1.0]);
    for (name, why) in [
        ("conjugate", "resolve_conj"),
        ("meta", "meta device"),
        ("numpy", "NumPy array"),
        ("object", "__main__.Strange"),
        ("quantised", "dequantize()"),
        ("sparse", "to_dense()"),
    ] {
        let fault = file.tensor(name, &Device::Cpu).unwrap_err().to_string();
        assert!(fault.contains(&format!("zip_unread.pth: {name} is a")) && fault.contains(why), "{fault}");
    }
    let loaded = Parameters::from_file(SafetensorsFile::open(&path).unwrap());
    let vb = loaded.builder(&Device::Cpu);
    vb.parameter(2, "weight", Initial::Constant(0.0)).unwrap();
    let fault = vb.parameter((2, 2), "sparse", Initial::Constant(0.0)).unwrap_err().to_string();
    assert!(fault.contains("sparse is a sparse tensor"), "{fault}");
}

#[test]
fn a_checkpoint_with_everything_beside_its_state_dict_is_read() {
    let scratch = Scratch::new();
    for name in ["zip_training.pth", "legacy_training.pth"] {
        let path = fixture(name);
        let fault = scratch.fault(&path, &Conversion::default());
        let told = "holds its state dict under a key: state_dict (2 tensors), 7 (1 tensors), list (2 tensors), \
                    ema.module (1 tensors), optimizer (6 tensors); name it: candlewick convert --key state_dict \
                    (--key '' takes all, with the 1 beside it)";
        assert!(fault.contains(told), "{fault}");
        let (converted, file) = scratch.convert(&path, &under("state_dict"));
        assert_eq!((converted.tensors, converted.numbers, converted.notes.len()), (2, 8, 0));
        assert_eq!(values(&file.tensor("weight", &Device::Cpu).unwrap()), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        for (key, names) in [
            ("ema.module", vec!["shadow"]),
            ("ema", vec!["module.shadow"]),
            ("7", vec!["weight"]),
            ("list", vec!["0", "1"]),
            ("optimizer.state.1", vec!["exp_avg", "exp_avg_sq", "step"]),
        ] {
            let file = SafetensorsFile::open_key(&path, key).unwrap();
            assert_eq!(file.names().collect::<Vec<_>>(), names, "{key}");
        }
        let fault = scratch.fault(&path, &under("nope"));
        assert!(
            fault.contains("has no key nope; it has epoch, arch, state_dict, best_acc1, optimizer, args"),
            "{fault}"
        );
        assert!(scratch.fault(&path, &under("best_acc1")).contains("one tensor without a name"));
        assert!(scratch.fault(&path, &under("epoch")).contains("holds under \"epoch\" no tensors"));
        // All of it, the objects among it by name.
        let fault = scratch.fault(&path, &under(""));
        assert!(fault.contains("strange is an object (__main__.Strange)"), "{fault}");
    }
}

#[test]
fn other_things_than_state_dicts_are_called_what_they_are() {
    let scratch = Scratch::new();
    let fault = |name: &str| scratch.fault(&fixture(name), &Conversion::default());
    let module = fault("zip_module.pth");
    assert!(module.contains("a whole module (__main__.Own)") && module.contains("state_dict()"), "{module}");
    assert!(fault("zip_script.pt").contains("a TorchScript archive"));
    for (content, what) in [
        (b"\x89HDF\r\n\x1a\n and more".as_slice(), "an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"<!DOCTYPE html>", "a page of the web"),
        (b"\x1f\x8b\x08\0", "compressed with gzip"),
        (b"\x80\x04\x95", "a pickle that torch.save did not write"),
        (b"", "an empty file"),
        (b"PK\x03\x04 and no more", "not a whole checkpoint that torch.save wrote (it is cut short)"),
        (b"what is this?", "not a whole safetensors file"),
    ] {
        let path = scratch.path("other.pth");
        std::fs::write(&path, content).unwrap();
        let fault = scratch.fault(&path, &Conversion::default());
        assert!(fault.contains(what), "{fault}");
        assert!(SafetensorsFile::open(&path).err().unwrap().to_string().contains(what));
    }
    let fault = scratch.fault(&scratch.path("none.pth"), &Conversion::default());
    assert!(fault.contains("no such file"), "{fault}");
}

#[test]
fn no_damage_of_a_zip_file_changes_a_number() {
    let read = |content: Vec<u8>| -> candle_core::Result<Vec<(String, Vec<f64>)>> {
        let file = SafetensorsFile::from_bytes("file.pth", content)?;
        let kept = file.names().filter(|name| *name != "complex64");
        kept.map(|name| Ok((name.to_owned(), values(&file.tensor(name, &Device::Cpu)?)))).collect()
    };
    for name in ["zip_types.pth", "zip_big_endian.pth"] {
        let content = std::fs::read(fixture(name)).unwrap();
        let whole = read(content.clone()).unwrap();
        let mut refused = 0;
        let mut check = |damaged: Vec<u8>, place: usize| match read(damaged) {
            Ok(found) => assert!(found == whole, "{name}, byte {place}"),
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("file.pth: "), "{error}");
            }
        };
        for place in 0..content.len() {
            for damage in [0x01, 0x80, 0xff] {
                let mut damaged = content.clone();
                damaged[place] ^= damage;
                check(damaged, place);
            }
            check(content[..place].to_vec(), place);
            check([&content[..place], &content[place + 1..]].concat(), place);
        }
        assert!(refused > 3 * content.len(), "{name}: {refused}");
    }
}

fn write(path: &Path, names: &[&str]) {
    let tensor =
        |(place, name): (usize, &&str)| (name.to_string(), Tensor::new(&[place as f32], &Device::Cpu).unwrap());
    let tensors: Vec<_> = names.iter().enumerate().map(tensor).collect();
    candlewick_parameters::write_safetensors(&tensors, path).unwrap();
}

#[test]
fn prefixes_are_taken_away_or_told() {
    let scratch = Scratch::new();
    let path = scratch.path("in.safetensors");
    let prefix = |prefix: &str| Conversion { key: None, prefix: Some(prefix.into()) };
    let names = |file: &SafetensorsFile| file.names().map(str::to_owned).collect::<Vec<_>>();
    for (given, what, left, note) in [
        (["module._orig_mod.a.b", "module.c._orig_mod.d"], None, vec!["a.b", "c.d"], "_orig_mod."),
        (["_orig_mod.module.a", "_orig_mod.module.b.c"], None, vec!["a", "b.c"], "module."),
        (["backbone.a", "backbone.b.c"], Some("backbone."), vec!["a", "b.c"], "took backbone. from 2 names"),
        (["model.net.a", "loss.weight"], Some("model.net"), vec!["a"], "left out 1 tensors"),
    ] {
        write(&path, &given);
        let (converted, file) = scratch.convert(&path, &what.map(prefix).unwrap_or_default());
        assert_eq!(names(&file), left);
        assert!(converted.notes.iter().any(|said| said.contains(note)), "{:?}", converted.notes);
    }
    write(&path, &["module.a", "module._orig_mod.a"]);
    assert!(scratch.fault(&path, &Conversion::default()).contains("holds module.a twice"));
    write(&path, &["a.b", "c"]);
    let fault = scratch.fault(&path, &prefix("d."));
    assert!(fault.contains("no name begins with `d.`; they begin with a, c"), "{fault}");
    assert!(scratch.fault(&path, &Conversion::default()).contains("a safetensors file already"));
    assert!(scratch.fault(&path, &under("model")).contains("which has no keys"));

    let load = |given: &[&str]| {
        write(&path, given);
        let network = |vb: candlewick_parameters::VarBuilder| {
            vb.parameter(1, "fc.weight", Initial::Constant(0.0))?;
            vb.parameter(1, "fc.bias", Initial::Constant(0.0))
        };
        Parameters::open(&path, &Device::Cpu, network).err().unwrap().to_string()
    };
    let told = "all names begin with `backbone.`; candlewick convert --prefix backbone. takes it away";
    assert!(load(&["backbone.fc.weight", "backbone.fc.bias"]).contains(told));
    let told = "the network's names begin with `model.`; candlewick convert --prefix model. takes it away";
    assert!(load(&["model.fc.weight", "model.fc.bias", "loss"]).contains(told));
    assert!(load(&["_orig_mod.fc.weight", "_orig_mod.fc.bias"]).contains("as torch.compile leaves them"));
    assert!(load(&["fc._orig_mod.weight", "fc._orig_mod.bias"]).contains("candlewick convert takes it away"));
    assert!(load(&["fc.weight", "other.fc.bias"]).contains("1 missing: fc.bias; 1 unused: other.fc.bias"));
}

#[test]
fn the_file_that_is_read_is_never_written() {
    let scratch = Scratch::new();
    let path = scratch.path("model.safetensors");
    std::fs::copy(fixture("linear.pth"), &path).unwrap();
    let before = std::fs::read(&path).unwrap();
    let fault = convert(&path, &path, &Conversion::default()).unwrap_err().to_string();
    assert!(fault.contains("is the file to read"), "{fault}");
    std::os::unix::fs::symlink(&path, scratch.path("link.safetensors")).unwrap();
    convert(&path, &scratch.path("link.safetensors"), &Conversion::default()).unwrap_err();
    assert_eq!(std::fs::read(&path).unwrap(), before);
    // What lies beside under the writer's former temporary name stays, and nothing else comes to be.
    std::fs::write(scratch.path("out.unfinished"), "mine").unwrap();
    scratch.convert(&path, &Conversion::default());
    assert_eq!(std::fs::read(scratch.path("out.unfinished")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(scratch.0.path()).unwrap().count(), 4);
}
