//! What a frozen encoder saw in each photo, on disk: computed once, memory-mapped, in f16.
//!
//! A cache is two files. The data file has one row of P·C little-endian f16 numbers a photo. The index has a line a row:
//! the photo's hash and the row's checksum, sealed by a checksum of the line itself. A row's line is written after the row
//! was synced, so whatever moment the power fails at, a line that is whole speaks of a row that is whole; what comes after
//! the last whole line is cut off when the cache is opened again.
//!
//! Nothing in it can be stale: another encoder, layer or preprocessing has other files ([`Key`]), and a photo that was
//! changed has another hash ([`PhotoHash`]), while one that was only renamed keeps its own.

mod hashes;
mod lock;
mod sealed;

pub use hashes::{PhotoHash, PhotoHashes};

use crate::error::{Error, Result};
use candle_core::{Device, Tensor};
use half::f16;
use half::slice::HalfFloatSliceExt as _;
use lock::Lock;
use memmap2::Mmap;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// How many bytes of rows are written before they are synced without being asked.
const SYNC_EVERY: usize = 64 << 20;

/// What features depend on besides the photo.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The hash of the encoder's weights.
    pub weights: String,
    /// The preprocessing as JSON.
    pub preprocessing: String,
    /// The layer that is kept, by name.
    pub layer: String,
}

/// The features of photos under one encoder: annotations (P, C) for each photo's hash.
///
/// One process writes a cache at a time; reading from several threads needs no lock. Rows that were inserted are safe
/// against a crash after [`FeatureCache::sync`], which also runs by itself every 64 MiB and when the cache is dropped.
#[derive(Debug)]
pub struct FeatureCache {
    data: File,
    index: File,
    path: PathBuf,
    shape: (usize, usize),
    rows: HashMap<PhotoHash, Row>,
    /// The rows written but not yet in the index.
    pending: Vec<(PhotoHash, Row)>,
    index_length: u64,
    map: RwLock<Option<Arc<Mmap>>>,
    lock: Option<Lock>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    number: usize,
    checksum: u32,
}

impl FeatureCache {
    /// Opens the cache for `key` and annotations of `shape` (P, C) in `folder`, and makes it where there is none.
    ///
    /// # Errors
    /// When another process has it open, the folder cannot be written, or the files are not of this key.
    pub fn open(folder: &Path, key: &Key, shape: (usize, usize)) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let path = data_path(folder, key, shape);
        let lock = Lock::take(&path.with_extension("lock"))?;
        let open = |path: &Path| {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(Error::io(path))
        };
        let index_path = path.with_extension("index");
        let mut cache = Self::new(open(&path)?, open(&index_path)?, path, shape, Some(lock));
        let header = header(key, shape);
        if !cache.read_index(&header)? {
            cache.index_length = 0;
            let line = sealed::seal(&header);
            cache.index.set_len(0).map_err(Error::io(&index_path))?;
            cache.append_to_index(line.as_bytes()).map_err(|e| cache.cannot_write(&e))?;
        }
        // Whatever a crash left behind the last whole line and its row goes.
        cache.index.set_len(cache.index_length).map_err(Error::io(&index_path))?;
        let length = (cache.rows.len() * cache.stride()) as u64;
        cache.data.set_len(length).map_err(Error::io(&cache.path))?;
        #[cfg(unix)]
        if let Ok(folder) = File::open(folder) {
            // The files' names are to survive a crash too; where a file system cannot, the cache is only recomputed.
            let _ = folder.sync_all();
        }
        Ok(cache)
    }

    /// Opens the cache for reading beside a process that may be writing to it; it has what was synced by now.
    ///
    /// # Errors
    /// When there is no such cache, or the files are not of this key.
    pub fn open_read_only(folder: &Path, key: &Key, shape: (usize, usize)) -> Result<Self> {
        let path = data_path(folder, key, shape);
        let index_path = path.with_extension("index");
        let open = |path: &Path| File::open(path).map_err(Error::io(path));
        let mut cache = Self::new(open(&path)?, open(&index_path)?, path, shape, None);
        cache.read_index(&header(key, shape))?;
        Ok(cache)
    }

    fn new(data: File, index: File, path: PathBuf, shape: (usize, usize), lock: Option<Lock>) -> Self {
        let (rows, pending, map) = (HashMap::new(), Vec::new(), RwLock::new(None));
        Self { data, index, path, shape, rows, pending, index_length: 0, map, lock }
    }

    /// Reads the whole lines of the index; says whether there was a header at all.
    fn read_index(&mut self, header: &str) -> Result<bool> {
        let index_path = self.path.with_extension("index");
        let text = std::fs::read(&index_path).map_err(Error::io(&index_path))?;
        let mut lines = sealed::whole_lines(&text);
        let Some((found, end)) = lines.next() else { return Ok(false) };
        if found != header {
            let fault = format!("is of {found}, not of {header}; remove it to have it made anew");
            return Err(Error::cache(&index_path, fault));
        }
        self.index_length = end as u64;
        let whole_rows = self.data.metadata().map_err(Error::io(&self.path))?.len() / self.stride().max(1) as u64;
        for (line, end) in lines {
            let number = self.rows.len();
            let parsed = line.split_once(' ').and_then(|(hash, checksum)| {
                Some((hash.parse::<PhotoHash>().ok()?, u32::from_str_radix(checksum, 16).ok()?))
            });
            let Some((hash, checksum)) = parsed else { break };
            if number as u64 >= whole_rows || self.rows.contains_key(&hash) {
                break;
            }
            self.rows.insert(hash, Row { number, checksum });
            self.index_length = end as u64;
        }
        Ok(true)
    }

    /// P and C of each photo's annotations.
    pub fn shape(&self) -> (usize, usize) {
        self.shape
    }

    /// How many photos the cache has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the cache has no photo.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether the photo's features are there.
    pub fn contains(&self, photo: &PhotoHash) -> bool {
        self.rows.contains_key(photo)
    }

    /// Adds a photo's annotations: P·C numbers, row by row; one that is there already stays as it is.
    ///
    /// # Errors
    /// When the count is wrong, a number does not fit f16 (its size is over 65504, or it is not a number), or the disk is
    /// full; the cache then is what it was before.
    pub fn insert(&mut self, photo: PhotoHash, annotations: &[f32]) -> Result<()> {
        if self.lock.is_none() {
            return Err(Error::cache(&self.path, "is open for reading only"));
        }
        let wanted = self.shape.0 * self.shape.1;
        if annotations.len() != wanted {
            let fault = format!("photo {photo} has {} numbers, wanted P·C = {wanted}", annotations.len());
            return Err(Error::cache(&self.path, fault));
        }
        if self.contains(&photo) {
            return Ok(());
        }
        let mut halves = vec![f16::ZERO; wanted];
        halves.convert_from_f32_slice(annotations);
        if let Some(at) = halves.iter().position(|half| !half.is_finite()) {
            let value = annotations.get(at).copied().unwrap_or_default();
            return Err(Error::cache(
                &self.path,
                format!("photo {photo}: the number {value} at {at} does not fit f16"),
            ));
        }
        let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
        let row = Row { number: self.rows.len(), checksum: crc32c::crc32c(&bytes) };
        if let Err(error) = self.write_row(row.number, &bytes) {
            self.cut_data(row.number);
            return Err(self.cannot_write(&error));
        }
        self.rows.insert(photo, row);
        self.pending.push((photo, row));
        if self.pending.len() * self.stride() >= SYNC_EVERY { self.sync() } else { Ok(()) }
    }

    fn write_row(&mut self, number: usize, bytes: &[u8]) -> std::io::Result<()> {
        self.data.seek(SeekFrom::Start((number * self.stride()) as u64))?;
        self.data.write_all(bytes)
    }

    /// Makes what was inserted safe against a crash.
    ///
    /// # Errors
    /// When the disk is full or fails; the cache then has what was synced before.
    pub fn sync(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let line = |(photo, row): &(PhotoHash, Row)| sealed::seal(&format!("{photo} {:08x}", row.checksum));
        let lines: String = self.pending.iter().map(line).collect();
        let written = self.data.sync_data().and_then(|()| self.append_to_index(lines.as_bytes()));
        let pending = std::mem::take(&mut self.pending);
        written.map_err(|error| {
            for (photo, _) in pending {
                self.rows.remove(&photo);
            }
            self.cut_data(self.rows.len());
            self.cannot_write(&error)
        })
    }

    /// Writes and syncs lines behind the index's last whole one; where that fails, takes them back.
    fn append_to_index(&mut self, lines: &[u8]) -> std::io::Result<()> {
        let written = self
            .index
            .seek(SeekFrom::Start(self.index_length))
            .and_then(|_| self.index.write_all(lines))
            .and_then(|()| self.index.sync_data());
        match written {
            Ok(()) => self.index_length += lines.len() as u64,
            // If this fails as well, opening cuts the rest off: its rows may be gone.
            Err(_) => drop(self.index.set_len(self.index_length)),
        }
        written
    }

    /// Gives the room behind the first `rows` rows back.
    fn cut_data(&mut self, rows: usize) {
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = None;
        // Rows are written at their place, so one that could not be cut off is only overwritten later.
        let _ = self.data.set_len((rows * self.stride()) as u64);
    }

    fn cannot_write(&self, error: &std::io::Error) -> Error {
        let fault =
            format!("cannot write ({error}); make room on the disk or name another folder, what it had is kept");
        Error::cache(&self.path, fault)
    }

    /// A photo's annotations: P·C numbers, row by row.
    ///
    /// # Errors
    /// When the photo is not there, or the disk gave something else than was written.
    pub fn get(&self, photo: &PhotoHash) -> Result<Vec<f32>> {
        let mut annotations = vec![0.0; self.shape.0 * self.shape.1];
        self.read_into(photo, &mut annotations)?;
        Ok(annotations)
    }

    /// The annotations of these photos as an f32 tensor (N, P, C).
    ///
    /// # Errors
    /// As [`FeatureCache::get`], and when the device has no memory for it.
    pub fn batch(&self, photos: &[PhotoHash], device: &Device) -> Result<Tensor> {
        let (positions, channels) = self.shape;
        let count = positions * channels;
        let mut annotations = vec![0.0; photos.len() * count];
        photos
            .par_iter()
            .zip(annotations.par_chunks_mut(count.max(1)))
            .try_for_each(|(photo, part)| self.read_into(photo, part))?;
        Ok(Tensor::from_vec(annotations, (photos.len(), positions, channels), device)?)
    }

    /// Writes a photo's annotations into `to`, which has P·C numbers.
    ///
    /// # Errors
    /// As [`FeatureCache::get`], and when `to` has another length.
    pub fn read_into(&self, photo: &PhotoHash, to: &mut [f32]) -> Result<()> {
        let fail = |fault: String| Err(Error::cache(&self.path, fault));
        if to.len() != self.shape.0 * self.shape.1 {
            return fail(format!("the buffer has {} numbers, wanted {}", to.len(), self.shape.0 * self.shape.1));
        }
        let Some(row) = self.rows.get(photo) else { return fail(format!("photo {photo} is not in it")) };
        let (begin, end) = (row.number * self.stride(), (row.number + 1) * self.stride());
        let map = self.mapped(end)?;
        let bytes = map.get(begin..end).unwrap_or_default();
        if crc32c::crc32c(bytes) != row.checksum {
            return fail(format!(
                "the features of photo {photo} were damaged on disk; remove the file to have them made anew"
            ));
        }
        widen(bytes, to);
        Ok(())
    }

    /// The data file in memory, at least its first `length` bytes.
    fn mapped(&self, length: usize) -> Result<Arc<Mmap>> {
        let covers = |map: &Option<Arc<Mmap>>| map.as_ref().filter(|map| map.len() >= length).cloned();
        if let Some(map) = covers(&self.map.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(map);
        }
        let mut slot = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(map) = covers(&slot) {
            return Ok(map);
        }
        // SAFETY: the lock file keeps other writers of this program away, and we shorten the file only behind rows that
        // the table knows, which are the only ones read.
        let map = Arc::new(unsafe { Mmap::map(&self.data) }.map_err(Error::io(&self.path))?);
        if map.len() < length {
            return Err(Error::cache(&self.path, "was cut short by somebody; remove it to have it made anew"));
        }
        *slot = Some(Arc::clone(&map));
        Ok(map)
    }

    /// Bytes a row.
    fn stride(&self) -> usize {
        self.shape.0 * self.shape.1 * size_of::<f16>()
    }
}

impl Drop for FeatureCache {
    fn drop(&mut self) {
        // Who needs to know calls `sync`; what could not be synced is computed again.
        let _ = self.sync();
    }
}

/// Little-endian f16 numbers as f32.
fn widen(bytes: &[u8], to: &mut [f32]) {
    // SAFETY: f16 is a plain u16, for which every pattern of bits is a value.
    let (before, halves, _) = unsafe { bytes.align_to::<f16>() };
    if cfg!(target_endian = "little") && before.is_empty() && halves.len() == to.len() {
        halves.convert_to_f32_slice(to);
    } else {
        for (number, pair) in to.iter_mut().zip(bytes.chunks_exact(2)) {
            *number = f16::from_le_bytes([pair[0], pair[1]]).to_f32();
        }
    }
}

fn header(key: &Key, (positions, channels): (usize, usize)) -> String {
    serde_json::json!({
        "version": 1, "weights": key.weights, "preprocessing": key.preprocessing, "layer": key.layer,
        "positions": positions, "channels": channels,
    })
    .to_string()
}

/// The data file's path: its name is a digest of everything that features depend on.
fn data_path(folder: &Path, key: &Key, shape: (usize, usize)) -> PathBuf {
    let digest = Sha256::digest(header(key, shape).as_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("features-{name}.f16"))
}
