//! PyTorch checkpoints in both forms of `torch.save`: tensors are read, and code that a pickle names is never run.

mod element;
mod fault;
mod legacy;
mod rebuild;
mod state;
mod unpickle;
mod value;
mod view;
mod zip;

use crate::content::Content;
use crate::dtype::Kind;
use crate::header::Entry;
use candle_core::{Error, Shape};
use fault::{CUT_SHORT, Fault, Read};
use state::State;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use unpickle::Reader;
use view::View;
use zip::Archive;

/// How many times its size a file's tensors may fill: layers do share weights, but a few bytes must not fill the memory.
const MOST_SHARING: u64 = 64;

/// Whether a file's content is a checkpoint as `torch.save` writes it: a zip archive, or pickles before PyTorch 1.6.
pub(crate) fn is_pytorch(content: &Content) -> bool {
    let start = content.start(32).unwrap_or_default();
    start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") || legacy::is_legacy(&start)
}

/// The state dict of a checkpoint.
pub(crate) struct Checkpoint {
    /// The values of all tensors in a row.
    pub values: Vec<u8>,
    /// The type and shape of each tensor and where its values lie.
    pub entries: HashMap<String, Entry>,
    /// The names of what is no tensor but a number, a text and the like.
    pub plain: Vec<String>,
}

/// Reads a checkpoint; `key` is where it keeps its state dict, if it is not one itself.
///
/// # Errors
/// When the file is damaged, or holds no state dict there; the message names it and says what to do.
pub(crate) fn read(path: &Path, content: &Content, key: Option<&str>) -> candle_core::Result<Checkpoint> {
    let start = content.start(32).unwrap_or_default();
    let read = if legacy::is_legacy(&start) { read_legacy(content, key) } else { read_zip(content, key) };
    read.map_err(|fault| {
        let path = path.display();
        Error::Msg(match fault {
            Fault::Damaged(fault) => format!(
                "{path}: not a whole checkpoint that torch.save wrote ({fault}); \
                 take another copy of it, or save its state dict anew with PyTorch"
            ),
            Fault::Other(fault) => format!("{path}: {fault}"),
        })
    })
}

fn read_legacy(content: &Content, key: Option<&str>) -> Result<Checkpoint, Fault> {
    let bytes = content.part(0, content.len()).map_err(|_| CUT_SHORT.to_owned())?;
    let (reader, object, storages) = legacy::read(&bytes)?;
    let state = state::find(&reader, object, key).map_err(Fault::Other)?;
    let storage = |key: &str| Ok(Cow::Borrowed(*storages.get(key).ok_or("a storage is missing")?));
    Ok(gathered(&reader, state, content.len(), false, storage)?)
}

fn read_zip(content: &Content, key: Option<&str>) -> Result<Checkpoint, Fault> {
    let archive = Archive::open(content)?;
    let other = |what: &str| Err(Fault::Other(what.into()));
    if archive.names().any(|name| name.ends_with("/constants.pkl") || name == "constants.pkl") {
        return other("a TorchScript archive; in PyTorch, save torch.jit.load(…).state_dict() with torch.save instead");
    }
    let pickles = archive.names().filter(|name| *name == "data.pkl" || name.ends_with("/data.pkl"));
    let Some(pickle) = pickles.min_by_key(|name| (name.len(), name.to_string())) else {
        return if archive.names().any(|name| name.ends_with(".npy")) {
            other("an archive of NumPy's; save the weights as safetensors or with torch.save")
        } else {
            other(
                "a zip archive that torch.save did not write: it has no data.pkl; if the checkpoint is in it, unpack it",
            )
        };
    };
    let root = pickle.strip_suffix("data.pkl").unwrap_or_default();
    let big_endian = match archive.names().find(|name| name.strip_prefix(root) == Some("byteorder")) {
        None => false,
        Some(order) => match archive.read(order)?.as_slice() {
            b"little" => false,
            b"big" => true,
            _ => return Err(Fault::Damaged("its byte order is neither little nor big".into())),
        },
    };
    let bytes = archive.read(pickle)?;
    let mut reader = Reader::new(&bytes);
    let object = reader.pickle()?;
    let state = state::find(&reader, object, key).map_err(Fault::Other)?;
    let storage = |key: &str| archive.read(&format!("{root}data/{key}")).map(Cow::Owned);
    Ok(gathered(&reader, state, content.len(), big_endian, storage)?)
}

/// Copies all tensors out of their storages, each of which is read once.
fn gathered<'s>(
    reader: &Reader,
    state: State,
    file_len: u64,
    big_endian: bool,
    storage: impl Fn(&str) -> Read<Cow<'s, [u8]>>,
) -> Read<Checkpoint> {
    let mut entries = HashMap::with_capacity(state.tensors.len());
    let mut views: BTreeMap<&str, Vec<(String, &View)>> = BTreeMap::new();
    let (mut total, most) = (0usize, file_len.saturating_mul(MOST_SHARING));
    for (name, tensor) in state.tensors {
        match tensor {
            Err(why) => {
                entries.insert(name, Entry { kind: Kind::Unread(why), shape: Shape::from(()), place: 0..0 });
            }
            Ok(view) => {
                let taken = view.count.checked_mul(view.storage.element.size);
                let sum = taken.and_then(|taken| total.checked_add(taken)).filter(|&sum| sum as u64 <= most);
                total = sum.ok_or("its tensors are far larger than the file")?;
                views.entry(view.storage.key).or_default().push((name, view));
            }
        }
    }
    let mut values = Vec::new();
    values.try_reserve_exact(total).map_err(|_| format!("its tensors want {total} bytes of memory"))?;
    for (key, views) in views {
        let bytes = match views.iter().all(|(_, view)| view.count == 0) {
            true => Cow::Borrowed([].as_slice()),
            false => whole(reader, key, storage(key)?)?,
        };
        for (name, view) in views {
            let start = values.len();
            if view.count > 0 {
                view.copy(&bytes, &mut values)?;
            }
            let element = view.storage.element;
            if big_endian && element.width() > 1 {
                values[start..].chunks_exact_mut(element.width()).for_each(<[u8]>::reverse);
            }
            let kind = element.dtype.map_or_else(|| Kind::Unread("cannot be read".into()), Kind::Known);
            let place = start as u64..values.len() as u64;
            entries.insert(name, Entry { kind, shape: view.size.as_slice().into(), place });
        }
    }
    Ok(Checkpoint { values, entries, plain: state.plain })
}

/// A storage, if it is as long as the pickle says.
fn whole<'s>(reader: &Reader, key: &str, bytes: Cow<'s, [u8]>) -> Read<Cow<'s, [u8]>> {
    let declared = reader.storages.get(key).and_then(|(element, len)| len.checked_mul(element.size));
    if declared == Some(bytes.len()) {
        Ok(bytes)
    } else {
        Err("a storage has another length than its tensors say".into())
    }
}
