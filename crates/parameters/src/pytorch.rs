//! PyTorch's own checkpoints: a zip file with a pickle of the state dict and the tensors' bytes, or the form before 1.6.

use crate::file::mapped;
use crate::legacy;
use candle_core::{DType, Error, Result, Tensor, pickle};
use std::path::Path;

/// What `torch.nn.DataParallel` puts before every name.
pub(crate) const DATA_PARALLEL: &str = "module.";

/// Whether a file's content is a checkpoint as `torch.save` writes it: a zip file, or pickles before PyTorch 1.6.
pub(crate) fn is_pytorch(content: &[u8]) -> bool {
    content.starts_with(b"PK\x03\x04") || legacy::is_legacy(content)
}

/// The tensors of a checkpoint that `torch.save` wrote, sorted by name; `key` is where it keeps its state dict, if it is not one
/// itself.
///
/// Only tensors are read; code that a pickle names is never run.
///
/// # Errors
/// When the file cannot be read, is no checkpoint, or holds no tensors (under the key); the message names it.
pub fn read_pytorch(path: impl AsRef<Path>, key: Option<&str>) -> Result<Vec<(String, Tensor)>> {
    let path = path.as_ref();
    if !path.is_file() {
        return Err(Error::Msg(format!("{}: no such file", path.display())));
    }
    read(path, &mapped(path)?, key)
}

/// Takes `module.`, which `torch.nn.DataParallel` puts before every name, from all names; `false` where one lacks it.
pub fn strip_data_parallel(tensors: &mut [(String, Tensor)]) -> bool {
    let parallel = tensors.iter().all(|(name, _)| name.starts_with(DATA_PARALLEL));
    if parallel {
        tensors.iter_mut().for_each(|(name, _)| drop(name.drain(..DATA_PARALLEL.len())));
    }
    parallel
}

fn read(path: &Path, content: &[u8], key: Option<&str>) -> Result<Vec<(String, Tensor)>> {
    let fault = |fault: String| Error::Msg(format!("{}: {fault}", path.display()));
    let mut tensors = if legacy::is_legacy(content) {
        legacy::read(content, key).map_err(|error| {
            let advice = "take another copy of it, or save its state dict anew with PyTorch";
            fault(format!("not a checkpoint that torch.save wrote before PyTorch 1.6 ({error}); {advice}"))
        })?
    } else {
        pickle::read_all_with_key(path, key).map_err(|error| {
            let line = error.to_string().lines().next().unwrap_or_default().to_owned();
            fault(format!("not a checkpoint that torch.save wrote ({line}); save it anew with PyTorch"))
        })?
    };
    if tensors.is_empty() {
        let advice = match key {
            Some(key) => format!("holds no tensors under {key:?}"),
            None => "holds no tensors; where the state dict lies under a key, such as state_dict, name it".into(),
        };
        return Err(fault(advice));
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let contiguous = |(name, tensor): (String, Tensor)| Ok((name, tensor.contiguous()?));
    tensors.into_iter().map(contiguous).collect()
}

/// A checkpoint in the form of a safetensors file.
pub(crate) fn as_safetensors(path: &Path, content: &[u8]) -> Result<Vec<u8>> {
    let tensors = read(path, content, None)?;
    let float = |tensor: Tensor| match tensor.dtype() {
        DType::F16 | DType::BF16 => tensor.to_dtype(DType::F32),
        _ => Ok(tensor),
    };
    let tensors: Vec<(String, Tensor)> =
        tensors.into_iter().map(|(name, tensor)| Ok((name, float(tensor)?))).collect::<Result<_>>()?;
    safetensors::serialize(tensors, None).map_err(|error| Error::Msg(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::SafetensorsFile;
    use candle_core::Device;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/linear.pth");
    const UNDER_A_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/under_a_key.pth");

    #[test]
    fn a_state_dict_of_pytorch_is_read() {
        let tensors = read_pytorch(FILE, None).unwrap();
        let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["bias", "half", "transposed", "weight"]);
        assert_eq!(tensors[3].1.to_vec2::<f32>().unwrap(), [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
        assert_eq!(tensors[2].1.to_vec2::<f32>().unwrap(), [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]);
        let file = SafetensorsFile::open(FILE).unwrap();
        assert_eq!(file.tensor("half", &Device::Cpu).unwrap().to_vec1::<f32>().unwrap(), [0.5, 1.5]);
    }

    #[test]
    fn a_state_dict_under_a_key_is_found_by_it() {
        let tensors = read_pytorch(UNDER_A_KEY, Some("state_dict")).unwrap();
        assert_eq!(tensors[0].0, "bias");
        assert!(read_pytorch(UNDER_A_KEY, Some("model")).unwrap_err().to_string().contains("under_a_key.pth: "));
    }

    #[test]
    fn what_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.pth");
        std::fs::write(&path, b"PK\x03\x04 and no more").unwrap();
        let message = SafetensorsFile::open(&path).err().unwrap().to_string();
        assert!(message.contains("broken.pth: not a checkpoint"), "{message}");
        assert!(read_pytorch(folder.path().join("none.pth"), None).unwrap_err().to_string().contains("no such file"));
    }
}
