//! The cache: rows of f16 in one file, and an index of them in another.

use super::checksummed_lines::{whole_lines, with_checksum};
use super::hashes::PhotoHash;
use super::key::Key;
use super::lock::Lock;
use crate::error::{Error, Result};
use crate::positional::read_exact_at;
use candle_core::{Device, Tensor};
use half::f16;
use half::slice::{HalfBitsSliceExt as _, HalfFloatSliceExt as _};
use rayon::prelude::*;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// How many bytes of rows are written before they are synced without being asked.
const SYNC_EVERY: usize = 64 << 20;

/// How many bytes of a row are read at a time.
const BLOCK: usize = 64 << 10;

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
        Self::open_when_free(folder, key, shape, None)
    }

    /// Opens the cache as [`FeatureCache::open`] does, but where another process has it open, tells `waiting` a line on it and waits
    /// until that has ended.
    ///
    /// # Errors
    /// When the folder cannot be written, or the files are not of this key.
    pub fn open_when_free(
        folder: &Path,
        key: &Key,
        shape: (usize, usize),
        waiting: Option<&mut dyn FnMut(String)>,
    ) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let path = key.data_path(folder, shape);
        let lock = Lock::take(&path.with_extension("lock"), waiting)?;
        let index_path = path.with_extension("index");
        let mut cache = Self::new(open_writable(&path)?, open_writable(&index_path)?, path, shape, Some(lock));
        let header = key.header(shape);
        match cache.read_index(&header)? {
            Found::Whole => {
                // Whatever a crash left behind the last whole line and its row goes; no reader knows of it.
                let length = (cache.rows.len() * cache.stride()) as u64;
                cache.index.set_len(cache.index_length).map_err(Error::io(&index_path))?;
                cache.data.set_len(length).map_err(Error::io(&cache.path))?;
            }
            Found::Nothing | Found::Damaged => cache.made_anew(&header)?,
        }
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
        let path = key.data_path(folder, shape);
        let index_path = path.with_extension("index");
        let open = |path: &Path| File::open(path).map_err(Error::io(path));
        let mut cache = Self::new(open(&path)?, open(&index_path)?, path, shape, None);
        cache.read_index(&key.header(shape))?;
        Ok(cache)
    }

    fn new(data: File, index: File, path: PathBuf, shape: (usize, usize), lock: Option<Lock>) -> Self {
        Self { data, index, path, shape, rows: HashMap::new(), pending: Vec::new(), index_length: 0, lock }
    }

    /// Reads the whole lines of the index, up to the first that is damaged or whose row is not there.
    fn read_index(&mut self, header: &str) -> Result<Found> {
        let index_path = self.path.with_extension("index");
        let text = std::fs::read(&index_path).map_err(Error::io(&index_path))?;
        let mut lines = whole_lines(&text);
        let Some((found, end)) = lines.next() else { return Ok(Found::Nothing) };
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
        let rest = text.get(self.index_length as usize..).unwrap_or_default();
        Ok(if rest.contains(&b'\n') { Found::Damaged } else { Found::Whole })
    }

    /// Writes the rows that are known, and nothing else, into new files, and puts these in the place of the old.
    fn made_anew(&mut self, header: &str) -> Result<()> {
        let (data_path, index_path) = (self.path.clone(), self.path.with_extension("index"));
        let (new_data, new_index) = (self.path.with_extension("f16.new"), self.path.with_extension("index.new"));
        let old = std::mem::replace(&mut self.data, emptied(&new_data)?);
        let old_rows = std::mem::take(&mut self.rows);
        self.index = emptied(&new_index)?;
        self.index_length = 0;
        let mut known: Vec<(PhotoHash, Row)> = old_rows.into_iter().collect();
        known.sort_by_key(|(_, row)| row.number);
        let mut bytes = vec![0; self.stride()];
        let mut lines = with_checksum(header);
        for (photo, Row { number, checksum }) in known {
            let read = read_exact_at(&old, &mut bytes, (number * self.stride()) as u64);
            if read.is_ok() && crc32c::crc32c(&bytes) == checksum {
                let row = Row { number: self.rows.len(), checksum };
                self.write_row(row.number, &bytes).map_err(|error| self.cannot_write(&error))?;
                lines += &index_line(&photo, row);
                self.rows.insert(photo, row);
            }
        }
        let written = self.data.sync_data().and_then(|()| self.append_to_index(lines.as_bytes()));
        // In this order: whichever was renamed when the power fails, the rows that the index tells of are those in the data.
        let renamed = written.and_then(|()| std::fs::rename(&new_data, &data_path));
        renamed.and_then(|()| std::fs::rename(&new_index, &index_path)).map_err(|error| self.cannot_write(&error))
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
        let lines: String = self.pending.iter().map(|(photo, row)| index_line(photo, *row)).collect();
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
    /// As [`FeatureCache::get`].
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
        // By blocks that the processor's cache holds, so that a row is not allocated anew for each photo.
        let (mut block, mut halves) = ([0; BLOCK], [0; BLOCK / 2]);
        let (mut at, mut checksum) = ((row.number * self.stride()) as u64, 0);
        for to in to.chunks_mut(BLOCK / 2) {
            let (bytes, halves) = (&mut block[..2 * to.len()], &mut halves[..to.len()]);
            read_exact_at(&self.data, bytes, at).map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => {
                    Error::cache(&self.path, "was cut short by somebody; remove it to have it made anew")
                }
                _ => Error::io(&self.path)(error),
            })?;
            at += bytes.len() as u64;
            checksum = crc32c::crc32c_append(checksum, bytes);
            let pairs = bytes.as_chunks().0.iter();
            halves.iter_mut().zip(pairs).for_each(|(half, &pair)| *half = u16::from_le_bytes(pair));
            halves.reinterpret_cast::<f16>().convert_to_f32_slice(to);
        }
        if checksum != row.checksum {
            return fail(format!(
                "the features of photo {photo} were damaged on disk; remove the file to have them made anew"
            ));
        }
        Ok(())
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

/// What an index was found to be.
enum Found {
    /// Without a header.
    Nothing,
    /// Whole but for a torn last line.
    Whole,
    /// With lines behind one that is damaged or has no row.
    Damaged,
}

fn open_writable(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(Error::io(path))
}

/// A new empty file; what a crash left under its name goes, which nobody else reads.
fn emptied(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).map_err(Error::io(path))
}

fn index_line(photo: &PhotoHash, row: Row) -> String {
    with_checksum(&format!("{photo} {:08x}", row.checksum))
}
