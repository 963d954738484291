//! Conversion of a PyTorch checkpoint to a safetensors file.

use crate::SafetensorsFile;
use crate::content::Content;
use crate::pickle;
use crate::prefix::unwrapped;
use crate::text::{shortened, shown};
use candle_core::Result;
use std::collections::BTreeSet;
use std::path::Path;

/// What to take of a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Conversion {
    /// The key under which it keeps its state dict, such as `state_dict`; dots lead through dicts in dicts.
    pub key: Option<String>,
    /// What the wanted names begin with and are to be without, such as `backbone.`; others are left out.
    pub prefix: Option<String>,
}

/// What a conversion wrote.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Converted {
    /// How many tensors.
    pub tensors: usize,
    /// How many numbers in all of them.
    pub numbers: usize,
    /// What was taken from the names or left out, a line each.
    pub notes: Vec<String>,
}

/// Writes the state dict of a checkpoint of PyTorch's as a safetensors file, each tensor in its own type, without the `module.`
/// that `torch.nn.DataParallel` and the `_orig_mod.` that `torch.compile` puts into the names.
///
/// A safetensors file is taken where something is to be taken from its names.
///
/// # Errors
/// When a tensor cannot be read or the file cannot be written, which then stays as it was; the message names file and tensor.
pub fn convert(from: &Path, to: &Path, what: &Conversion) -> Result<Converted> {
    let content = Content::open(from)?;
    if let (Ok(from), Ok(to)) = (from.canonicalize(), to.canonicalize())
        && from == to
    {
        candle_core::bail!("{}: is the file to read; write another", to.display())
    }
    let mut notes = Vec::new();
    let is_pytorch = pickle::is_pytorch(&content);
    let (mut file, plain) = match (is_pytorch, &what.key) {
        (true, key) => SafetensorsFile::from_pytorch(from, &content, key.as_deref())?,
        (false, None) => (SafetensorsFile::of(from, content)?, vec![]),
        (false, Some(_)) => {
            SafetensorsFile::of(from, content)?;
            candle_core::bail!("{}: is a safetensors file, which has no keys; leave --key away", from.display())
        }
    };
    if !plain.is_empty() {
        notes.push(format!("left out what is no tensor: {}", shortened(&plain)));
    }
    if let Some(prefix) = &what.prefix {
        file = under(file, prefix, &mut notes)?;
    }
    let (file, wrappers) = unwrapped(file)?;
    if wrappers.data_parallel {
        notes.push("took module., which DataParallel puts there, from all names".into());
    }
    if wrappers.compiled {
        notes.push("took _orig_mod., which torch.compile puts there, from the names".into());
    }
    if !is_pytorch && notes.is_empty() && what.prefix.is_none() {
        candle_core::bail!("{}: is a safetensors file already, and can be used as it is", from.display())
    }
    file.save(to)?;
    let numbers = file.names().filter_map(|name| file.shape(name)).map(|shape| shape.elem_count()).sum();
    Ok(Converted { tensors: file.names().count(), numbers, notes })
}

fn under(file: SafetensorsFile, prefix: &str, notes: &mut Vec<String>) -> Result<SafetensorsFile> {
    let prefix = prefix.trim_end_matches('.');
    let is_under = |name: &&str| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.') && rest.len() > 1);
    let (all, kept) = (file.names().count(), file.names().filter(is_under).count());
    if kept == 0 {
        let first = |name: &str| shown(name.split('.').next().unwrap_or_default());
        let firsts: Vec<String> = file.names().map(first).collect::<BTreeSet<_>>().into_iter().collect();
        let (path, prefix) = (file.path().display(), shown(prefix));
        candle_core::bail!("{path}: no name begins with `{prefix}.`; they begin with {}", shortened(&firsts))
    }
    notes.push(format!("took {}. from {kept} names", shown(prefix)));
    if kept < all {
        notes.push(format!("left out {} tensors whose names do not begin with it", all - kept));
    }
    Ok(file.under(prefix))
}
