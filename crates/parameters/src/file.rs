//! Safetensors files: opened, filtered, renamed, and read tensor by tensor.

use crate::content::Content;
use crate::dtype::{self, Kind};
use crate::foreign;
use crate::header::{self, Entry};
use crate::pickle::{self, Checkpoint};
use crate::text::shown;
use crate::write::{Raw, serialized, write};
use candle_core::{Device, Error, Result, Shape, Tensor, Var};
use safetensors::Dtype;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A safetensors file, its tensors read and converted when asked for; a checkpoint of PyTorch's becomes one in memory.
pub struct SafetensorsFile {
    path: PathBuf,
    content: Content,
    entries: HashMap<String, Entry>,
    order: Vec<String>,
}

impl SafetensorsFile {
    /// Opens a file and checks its header against its length; a checkpoint that PyTorch wrote becomes one in memory.
    ///
    /// A tensor of a type that cannot be read stays under its name, and is an error once it is asked for.
    ///
    /// The file stays open, and what is not asked for is not read: nobody may change it in place.
    /// [`write_safetensors`](crate::write_safetensors) puts another in its place, which leaves an open one as it was.
    ///
    /// # Errors
    /// When the file cannot be read, is cut short, or is neither of the two; the message names it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::either(path, Content::open(path)?)
    }

    /// Opens the state dict that a checkpoint of PyTorch's keeps under a key; dots lead through dicts in dicts.
    ///
    /// # Errors
    /// When the file cannot be read, is no such checkpoint, or has no such key; the message names it and the keys that there are.
    pub fn open_key(path: impl AsRef<Path>, key: &str) -> Result<Self> {
        let path = path.as_ref();
        let content = Content::open(path)?;
        if !pickle::is_pytorch(&content) {
            Self::of(path, content)?;
            candle_core::bail!("{}: is a safetensors file, which has no keys", path.display())
        }
        Ok(Self::from_pytorch(path, &content, Some(key))?.0)
    }

    /// Takes the content of a file; `path` is what messages call it.
    ///
    /// # Errors
    /// When the content is cut short or is neither a safetensors file nor a checkpoint that PyTorch wrote.
    pub fn from_bytes(path: impl AsRef<Path>, bytes: Vec<u8>) -> Result<Self> {
        Self::either(path.as_ref(), Content::Memory(bytes))
    }

    /// Takes tensors that are in memory, such as those of a map of candle's, in the place of a file; `path` is what messages call them.
    ///
    /// # Errors
    /// When a tensor is of a type that a file cannot hold, or two have one name.
    pub fn from_tensors(path: impl AsRef<Path>, tensors: &[(String, Tensor)]) -> Result<Self> {
        let path = path.as_ref();
        Self::of(path, Content::Memory(serialized(tensors, path)?))
    }

    fn either(path: &Path, content: Content) -> Result<Self> {
        match pickle::is_pytorch(&content) {
            true => Ok(Self::from_pytorch(path, &content, None)?.0),
            false => Self::of(path, content),
        }
    }

    pub(crate) fn of(path: &Path, content: Content) -> Result<Self> {
        let entries = header::read(&content).map_err(|fault| match foreign::named(&content) {
            Some(what) => Error::Msg(format!("{}: {what}", path.display())),
            None => Error::Msg(format!(
                "{}: not a whole safetensors file ({fault}); take another copy of it",
                path.display()
            )),
        })?;
        Ok(Self::with(path, content, entries))
    }

    /// A checkpoint of PyTorch's as a file in memory, and the names of what in it is no tensor.
    pub(crate) fn from_pytorch(path: &Path, content: &Content, key: Option<&str>) -> Result<(Self, Vec<String>)> {
        let Checkpoint { values, entries, plain } = pickle::read(path, content, key)?;
        Ok((Self::with(path, Content::Memory(values), entries), plain))
    }

    fn with(path: &Path, content: Content, entries: HashMap<String, Entry>) -> Self {
        let mut order: Vec<String> = entries.keys().cloned().collect();
        order.sort();
        Self { path: path.to_path_buf(), content, entries, order }
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes that the file has.
    pub(crate) fn len(&self) -> u64 {
        self.content.len()
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
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
                let (path, new, old) = (self.path.display(), shown(&new), shown(&old));
                candle_core::bail!("{path}: holds {new} twice, as {old} too; take another file")
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

    /// What the file calls the type of a tensor's values, such as `BF16`; none for what it does not hold or cannot be read.
    pub fn dtype(&self, name: &str) -> Option<String> {
        match &self.entries.get(name)?.kind {
            Kind::Known(dtype) => Some(format!("{dtype:?}")),
            Kind::Unread(_) => None,
        }
    }

    /// A tensor on this device; floats of 16 and 8 bits become f32, truth values u8, and integers that candle has not the next
    /// larger ones.
    ///
    /// # Errors
    /// When the file holds no such tensor, or one of a type that no network here reads; the message names both.
    pub fn tensor(&self, name: &str, device: &Device) -> Result<Tensor> {
        let (entry, dtype) = self.entry(name)?;
        dtype::tensor(dtype, &entry.shape, device, |buffer| self.content.read_into(entry.place.start, buffer))
            .map_err(|error| self.fault(name, error))
    }

    /// [`SafetensorsFile::tensor`] as a variable, copied once where candle copies a tensor again.
    pub(crate) fn variable(&self, name: &str, device: &Device) -> Result<Var> {
        let (entry, dtype) = self.entry(name)?;
        if dtype != Dtype::F32 {
            return Var::from_tensor(&self.tensor(name, device)?);
        }
        let read = |buffer: &mut [u8]| self.content.read_into(entry.place.start, buffer);
        let values = dtype::values::<f32>(entry.shape.elem_count(), read).map_err(|error| self.fault(name, error))?;
        Var::from_vec(values, &entry.shape, device)
    }

    /// Refuses a tensor that the file holds and that cannot be read.
    ///
    /// # Errors
    /// One line that names the file, the tensor and its type.
    pub(crate) fn refuse_unread(&self, name: &str) -> Result<()> {
        let why = match self.entries.get(name).map(|entry| &entry.kind) {
            Some(Kind::Known(dtype)) => dtype::unread(*dtype),
            Some(Kind::Unread(why)) => Some(why.clone()),
            None => None,
        };
        why.map_or(Ok(()), |why| Err(self.fault(name, Error::Msg(why))))
    }

    /// Writes all tensors to a safetensors file, each in its own type.
    ///
    /// # Errors
    /// When a tensor cannot be read, or the file cannot be written; the message names it.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let tensors: Vec<(&str, Raw)> = self.names().map(|name| Ok((name, self.raw(name)?))).collect::<Result<_>>()?;
        write(tensors.iter().map(|(name, raw)| (*name, raw)), path.as_ref())
    }

    fn raw(&self, name: &str) -> Result<Raw<'_>> {
        let (entry, dtype) = self.entry(name)?;
        let bytes = self.content.part(entry.place.start, entry.place.end - entry.place.start);
        let bytes = bytes.map_err(|error| self.fault(name, Error::Msg(format!("cannot be read: {error}"))))?;
        Ok(Raw { dtype, shape: entry.shape.dims(), bytes })
    }

    fn entry(&self, name: &str) -> Result<(&Entry, Dtype)> {
        let Some(entry) = self.entries.get(name) else {
            candle_core::bail!("{}: holds no tensor {}", self.path.display(), shown(name))
        };
        match &entry.kind {
            Kind::Known(dtype) => Ok((entry, *dtype)),
            Kind::Unread(why) => Err(self.fault(name, Error::Msg(why.clone()))),
        }
    }

    fn fault(&self, name: &str, error: Error) -> Error {
        Error::Msg(format!("{}: {} {error}", self.path.display(), shown(name)))
    }
}
