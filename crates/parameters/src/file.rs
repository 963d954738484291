//! Safetensors files: opened, taken apart and written.

use crate::pytorch::{self, DATA_PARALLEL};
use candle_core::{DType, Device, Error, Result, Shape, Tensor, Var};
use memmap2::Mmap;
use std::collections::HashMap;
use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// Writes tensors under their names, in sorted order as the format has it; a file of before stays whole until the new one is.
///
/// # Errors
/// When the file cannot be written; the message names it.
pub fn write_safetensors(tensors: &[(String, Tensor)], path: &Path) -> Result<()> {
    let cpu: Vec<(String, Tensor)> = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), tensor.to_device(&Device::Cpu)?.contiguous()?)))
        .collect::<Result<_>>()?;
    let views = cpu.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let failed = |error: &dyn std::fmt::Display| Error::Msg(format!("{}: cannot be written: {error}", path.display()));
    // The library's own writer renames a private file into place, which others could not read.
    let bytes = safetensors::tensor::serialize(views, None).map_err(|error| failed(&error))?;
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, bytes).and_then(|()| std::fs::rename(&unfinished, path)).map_err(|error| {
        // Half a file is of no use to anybody, and may be what filled the disk.
        let _ = std::fs::remove_file(&unfinished);
        failed(&error)
    })
}

/// A file's content, mapped into memory.
pub(crate) fn mapped(path: &Path) -> Result<Mmap> {
    let failed = |error: std::io::Error| Error::Msg(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        candle_core::bail!("{}: not a file; name a safetensors file", path.display())
    }
    // SAFETY: the file is only read here, and must not change while it is open, as the docs say.
    unsafe { Mmap::map(&file) }.map_err(failed)
}

/// A safetensors file, its tensors read and converted when asked for.
pub struct SafetensorsFile {
    path: PathBuf,
    content: Content,
    entries: HashMap<String, Entry>,
    order: Vec<String>,
}

enum Content {
    Bytes(Vec<u8>),
    Map(Mmap),
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Map(map) => map,
        }
    }
}

struct Entry {
    dtype: DType,
    shape: Shape,
    range: std::ops::Range<usize>,
}

impl SafetensorsFile {
    /// Opens a file and checks its header against its length; a checkpoint that PyTorch wrote becomes one in memory.
    ///
    /// The file is mapped into memory, so that what is not asked for is not read: nobody may change it in place while it is open.
    /// [`write_safetensors`] puts another in its place, which leaves an open one as it was.
    ///
    /// # Errors
    /// When the file cannot be read, is cut short, or is neither of the two; the message names it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let map = mapped(path)?;
        match pytorch::is_pytorch(&map) {
            true => Self::from_bytes(path, pytorch::as_safetensors(path, &map)?),
            false => Self::of(path, Content::Map(map)),
        }
    }

    /// Takes the content of a file; `path` is what messages call it.
    ///
    /// # Errors
    /// When the content is cut short or is no safetensors file.
    pub fn from_bytes(path: impl AsRef<Path>, bytes: Vec<u8>) -> Result<Self> {
        Self::of(path.as_ref(), Content::Bytes(bytes))
    }

    fn of(path: &Path, content: Content) -> Result<Self> {
        let path = path.to_path_buf();
        let broken = |error: String| {
            Error::Msg(format!("{}: not a whole safetensors file ({error}); take another copy of it", path.display()))
        };
        let mut entries = HashMap::new();
        let file = safetensors::SafeTensors::deserialize(&content).map_err(|error| broken(error.to_string()))?;
        for (name, view) in file.iter() {
            let dtype = DType::try_from(view.dtype()).map_err(|error| broken(format!("{name}: {error}")))?;
            let start = view.data().as_ptr() as usize - content.as_ptr() as usize;
            let range = start..start + view.data().len();
            entries.insert(name.to_owned(), Entry { dtype, shape: Shape::from(view.shape()), range });
        }
        let mut order: Vec<String> = entries.keys().cloned().collect();
        order.sort();
        Ok(Self { path, content, entries, order })
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes that the file has.
    pub(crate) fn len(&self) -> u64 {
        self.content.len() as u64
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// Refuses a file all whose names begin with `module.`, which `torch.nn.DataParallel` puts there and no network has.
    ///
    /// # Errors
    /// One line that names the file and how to come by one without it.
    pub fn refuse_data_parallel(&self) -> Result<()> {
        if self.order.is_empty() || !self.order.iter().all(|name| name.starts_with(DATA_PARALLEL)) {
            return Ok(());
        }
        candle_core::bail!(
            "{}: all names begin with {DATA_PARALLEL}, as torch.nn.DataParallel saves them; \
             candlewick convert takes it away from a PyTorch checkpoint",
            self.path.display()
        )
    }

    /// The file without the tensors whose names begin with `prefix`, such as a head that is not wanted.
    pub fn without(mut self, prefix: &str) -> Self {
        self.entries.retain(|name, _| !name.starts_with(prefix));
        self.order.retain(|name| !name.starts_with(prefix));
        self
    }

    /// The same tensors under other names, without those for which `name` gives none.
    ///
    /// # Errors
    /// When two tensors would have one name; the message names it and the file.
    pub fn renamed(mut self, name: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut entries = HashMap::with_capacity(self.entries.len());
        for (old, entry) in self.entries.drain() {
            let Some(new) = name(&old) else { continue };
            if entries.insert(new.clone(), entry).is_some() {
                candle_core::bail!("{}: holds {new} twice, as {old} too; take another file", self.path.display())
            }
        }
        let mut order: Vec<String> = entries.keys().cloned().collect();
        order.sort();
        Ok(Self { entries, order, ..self })
    }

    /// The tensors of a part of the network: those whose names begin with `part` and a dot, named without the two.
    pub fn under(self, part: &str) -> Self {
        let short = |name: &str| name.strip_prefix(part)?.strip_prefix('.').map(str::to_owned);
        Self {
            entries: self.entries.into_iter().filter_map(|(name, entry)| Some((short(&name)?, entry))).collect(),
            order: self.order.iter().filter_map(|name| short(name)).collect(),
            ..self
        }
    }

    /// The shape of a tensor, if the file holds it.
    pub fn shape(&self, name: &str) -> Option<Shape> {
        self.entries.get(name).map(|entry| entry.shape.clone())
    }

    /// A tensor on this device; 16-bit floats become f32.
    ///
    /// # Errors
    /// When the file holds no such tensor.
    pub fn tensor(&self, name: &str, device: &Device) -> Result<Tensor> {
        let (entry, bytes) = self.entry(name)?;
        let tensor = Tensor::from_raw_buffer(bytes, entry.dtype, entry.shape.dims(), device)?;
        match entry.dtype {
            DType::F16 | DType::BF16 => tensor.to_dtype(DType::F32),
            _ => Ok(tensor),
        }
    }

    /// [`SafetensorsFile::tensor`] as a variable, copied once where candle copies a tensor again.
    pub(crate) fn variable(&self, name: &str, device: &Device) -> Result<Var> {
        let (entry, bytes) = self.entry(name)?;
        if entry.dtype != DType::F32 {
            return Var::from_tensor(&self.tensor(name, device)?);
        }
        let (values, _) = bytes.as_chunks();
        Var::from_vec(values.iter().copied().map(f32::from_le_bytes).collect(), &entry.shape, device)
    }

    fn entry(&self, name: &str) -> Result<(&Entry, &[u8])> {
        match self.entries.get(name) {
            Some(entry) => Ok((entry, &self.content[entry.range.clone()])),
            None => candle_core::bail!("{}: holds no tensor {name}", self.path.display()),
        }
    }
}
