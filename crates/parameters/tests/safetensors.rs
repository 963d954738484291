//! Safetensors files: of every type, damaged, and cut short while they are open.
#![allow(clippy::unwrap_used)]

use candle_core::{Device, Tensor};
use candlewick_parameters::{Initial, ParameterBuilder, Parameters, SafetensorsFile, write_safetensors};

/// A file of this header and as many bytes.
fn file(header: &str, bytes: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; bytes]].concat()
}

#[test]
fn a_tensor_of_an_unknown_type_is_passed_over_until_it_is_asked_for() {
    for (dtype, bytes) in [("F9_E1", 5), ("C128", 16), ("C64", 8), ("F4", 1)] {
        let values = if dtype == "F4" { 2 } else { 1 };
        let header = format!(
            r#"{{"__metadata__":{{"x":[1]}},"extra":{{"dtype":"{dtype}","shape":[{values}],"data_offsets":[0,{bytes}]}},
                "w":{{"dtype":"F32","shape":[2],"data_offsets":[{bytes},{}]}}}}"#,
            bytes + 8
        );
        let open = || SafetensorsFile::from_bytes("x.safetensors", file(&header, bytes + 8)).unwrap();
        assert_eq!(open().names().collect::<Vec<_>>(), ["extra", "w"]);
        let fault = open().tensor("extra", &Device::Cpu).unwrap_err().to_string();
        assert!(fault.contains(&format!("x.safetensors: extra is of the type {dtype}")), "{fault}");
        let parameters = Parameters::from_file(open());
        let vb = parameters.builder(&Device::Cpu);
        vb.parameter(2, "w", Initial::Constant(1.0)).unwrap();
        let fault = parameters.verify().unwrap_err().to_string();
        assert!(fault.contains("1 unused: extra"), "{fault}");
        assert!(vb.parameter(values, "extra", Initial::Constant(1.0)).unwrap_err().to_string().contains(dtype));
    }
}

#[test]
fn tensors_in_memory_stand_in_the_place_of_a_file() {
    let whole = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
    let tensors =
        [("b.weight".to_owned(), whole.t().unwrap()), ("a".to_owned(), Tensor::new(3i64, &Device::Cpu).unwrap())];
    let file = || SafetensorsFile::from_tensors("the state", &tensors).unwrap();
    assert_eq!(file().names().collect::<Vec<_>>(), ["a", "b.weight"]);
    assert_eq!(file().tensor("a", &Device::Cpu).unwrap().to_vec0::<i64>().unwrap(), 3);
    let parameters = Parameters::from_file(file().under("b"));
    let weight = parameters.builder(&Device::Cpu).parameter((3, 2), "weight", Initial::Constant(0.0)).unwrap();
    assert_eq!(weight.to_vec2::<f32>().unwrap(), [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]);
    parameters.verify().unwrap();
    let fault = Parameters::from_file(file()).verify().unwrap_err().to_string();
    assert!(fault.contains("the state: these are not the weights"), "{fault}");
    let twice = [tensors[0].clone(), tensors[0].clone()];
    let fault = SafetensorsFile::from_tensors("the state", &twice).err().unwrap().to_string();
    assert!(fault.contains("the state: b.weight is given twice"), "{fault}");
    let fault = write_safetensors(&twice, "no/folder".as_ref()).unwrap_err().to_string();
    assert!(fault.contains("no/folder: b.weight is given twice"), "{fault}");
}

#[test]
fn a_damaged_header_is_one_line() {
    let tensor = |name: &str, shape: &str, start: u64, end: u64| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}"#)
    };
    let two = |first: String, second: String| format!("{{{first},{second}}}");
    for (header, bytes, word) in [
        (two(tensor("a", "[1]", 0, 4), tensor("a", "[1]", 4, 8)), 8, "it names a twice"),
        (two(tensor("a", "[2]", 0, 8), tensor("b", "[1]", 4, 8)), 8, "b begins at byte 4"),
        (two(tensor("a", "[1]", 0, 4), tensor("b", "[1]", 8, 12)), 12, "b begins at byte 8"),
        (two(tensor("a", "[1]", 0, 4), tensor("b", "[1]", 4, 8)), 7, "b lies at bytes 4 to 8 of 7"),
        (format!("{{{}}}", tensor("a", "[1]", 4, 0)), 4, "a lies at bytes 4 to 0"),
        (format!("{{{}}}", tensor("a", "[1]", 0, u64::MAX)), 4, "a lies at bytes"),
        (format!("{{{}}}", tensor("a", "[2]", 0, 4)), 4, "a has the shape [2] in F32, but 4 bytes"),
        (format!("{{{}}}", tensor("a", "[4294967296,4294967296,4]", 0, 4)), 4, "a has the shape"),
        (format!("{{{}}}", tensor("a\\n", "[2]", 0, 4)), 4, "\"a\\n\" has the shape"),
        (format!("{{{}}}", tensor("a", "[-1]", 0, 4)), 4, "its header: "),
        (format!("{{{}}}", tensor("a", &format!("[{}1]", "1,".repeat(64)), 0, 4)), 4, "at most 64 sizes"),
        (format!("{{{}}}", tensor("a", "[1]", 0, 4)), 5, "end at byte 4 of 5"),
        ("[]".into(), 0, "its header: "),
        ("[".repeat(100_000), 0, "its header: "),
    ] {
        let fault = SafetensorsFile::from_bytes("x", file(&header, bytes)).err().unwrap().to_string();
        let whole = fault.starts_with("x: not a whole safetensors file (") && fault.lines().count() == 1;
        assert!(whole && fault.contains(word), "{word}: {fault}");
    }
    for (len, word) in [(100_000_001u64, "its header would have 100000001 bytes"), (u64::MAX, "its header"), (9, "cut")]
    {
        let content = [&len.to_le_bytes(), b"?nothing".as_slice()].concat();
        let fault = SafetensorsFile::from_bytes("x", content).err().unwrap().to_string();
        assert!(fault.contains(word), "{fault}");
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_open_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let tensors =
        [1000, 100_000].map(|len| (format!("t{len}"), Tensor::ones(len, candle_core::DType::F32, &Device::Cpu)));
    let tensors = tensors.map(|(name, tensor)| (name, tensor.unwrap()));
    write_safetensors(&tensors, &path).unwrap();
    let file = SafetensorsFile::open(&path).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5000).unwrap();
    assert_eq!(file.tensor("t1000", &Device::Cpu).unwrap().to_vec1::<f32>().unwrap(), [1.0; 1000]);
    let fault = file.tensor("t100000", &Device::Cpu).unwrap_err().to_string();
    assert!(fault.contains("model.safetensors: t100000 is cut off: the file was cut short"), "{fault}");
    let fault = file.save(folder.path().join("copy.safetensors")).unwrap_err().to_string();
    assert!(fault.contains("t100000 cannot be read"), "{fault}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn hugging_faces_tools_find_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write_safetensors(&[("x".into(), Tensor::new(1f32, &Device::Cpu).unwrap())], &path).unwrap();
    let content = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
    assert!(content.contains(r#""__metadata__":{"format":"pt"}"#), "{content}");
}
