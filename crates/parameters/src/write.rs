//! Atomic writes of safetensors files: a temporary file, synced and renamed.

use crate::text::shown;
use candle_core::{DType, Device, Error, Result, Tensor};
use safetensors::Dtype;
use safetensors::tensor::View;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes tensors under their names, in sorted order as the format has it; a file of before stays whole until the new one is.
///
/// # Errors
/// When the file cannot be written, or two tensors have one name; the message names it.
pub fn write_safetensors(tensors: &[(String, Tensor)], path: &Path) -> Result<()> {
    let cpu = on_cpu(tensors, path)?;
    write(cpu.iter().map(|(name, tensor)| (*name, tensor)), path)
}

/// What [`write_safetensors`] would write; `path` is what messages call it.
pub(crate) fn serialized(tensors: &[(String, Tensor)], path: &Path) -> Result<Vec<u8>> {
    let cpu = on_cpu(tensors, path)?;
    serialize(cpu.iter().map(|(name, tensor)| (*name, tensor)), path)
}

fn on_cpu<'a>(tensors: &'a [(String, Tensor)], path: &Path) -> Result<Vec<(&'a str, Tensor)>> {
    let (mut cpu, mut names) = (Vec::with_capacity(tensors.len()), HashSet::new());
    for (name, tensor) in tensors {
        if !names.insert(name) {
            candle_core::bail!("{}: {} is given twice; a file holds a name once", path.display(), shown(name))
        }
        if tensor.dtype() == DType::F8E8M0 {
            candle_core::bail!("{}: {name} is of a type that cannot be written", path.display())
        }
        cpu.push((name.as_str(), tensor.to_device(&Device::Cpu)?.contiguous()?));
    }
    Ok(cpu)
}

/// A tensor's bytes as a file has them.
pub(crate) struct Raw<'a> {
    pub dtype: Dtype,
    pub shape: &'a [usize],
    pub bytes: Cow<'a, [u8]>,
}

impl View for &Raw<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Msg(format!("{}: cannot be written: {error}", path.display()))
}

fn serialize<'a, V: View>(tensors: impl Iterator<Item = (&'a str, V)>, path: &Path) -> Result<Vec<u8>> {
    // Hugging Face's tools take a file only if it says which framework's layout it has.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::tensor::serialize(tensors, Some(metadata)).map_err(|error| failed(path, &error))
}

pub(crate) fn write<'a, V: View>(tensors: impl Iterator<Item = (&'a str, V)>, path: &Path) -> Result<()> {
    let bytes = serialize(tensors, path)?;
    let (unfinished, mut file) = unfinished(path).map_err(|error| failed(path, &error))?;
    let written = file.write_all(&bytes).and_then(|()| file.sync_all());
    drop(file);
    written.and_then(|()| std::fs::rename(&unfinished, path)).map_err(|error| {
        // Half a file is of no use to anybody, and may be what filled the disk.
        let _ = std::fs::remove_file(&unfinished);
        failed(path, &error)
    })
}

/// A new file beside the wanted one, of a name that nothing else has.
///
/// The safetensors crate's own writer renames a private file into place, which others could not read.
fn unfinished(path: &Path) -> io::Result<(PathBuf, File)> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let unfinished = path.with_file_name(format!(".candlewick-{}-{number}.unfinished", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&unfinished) {
            Ok(file) => return Ok((unfinished, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}
