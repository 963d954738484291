//! Photos by the hash of their bytes, and a memory of hashes that saves reading all photos at every start.

use super::checksummed_lines::{checked, with_checksum};
use crate::error::{Error, Result, one_line};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The SHA-256 of a photo's bytes: the same photo under another name is the same, a changed one is another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhotoHash([u8; 32]);

impl PhotoHash {
    /// The hash of a file's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl std::fmt::Display for PhotoHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for PhotoHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for PhotoHash {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{:?} is not 64 hexadecimal digits", one_line(text));
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(2 * index..2 * index + 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

/// A file that was written less than this long ago is not remembered: it could change again within one tick of its clock.
const SETTLED: Duration = Duration::from_secs(2);

/// Remembers which hash a file had, as long as its size and time of change stay the same.
///
/// The memory is the file `photos.index` in the cache's folder. Its lines carry checksums and are only ever appended, so several
/// processes may share it, and a torn line is only forgotten.
#[derive(Debug)]
pub struct PhotoHashes {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    files: HashMap<String, (Stamp, PhotoHash)>,
    unsaved: String,
}

/// What tells that a file was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    /// Nanoseconds since 1970.
    changed: u64,
}

impl PhotoHashes {
    /// Opens the memory in `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// When the folder cannot be made or the file cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let path = folder.join("photos.index");
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(Error::io(&path))?,
        };
        let mut known = Known::default();
        for line in text.split(|&byte| byte == b'\n').filter_map(checked) {
            if let Ok((file, bytes, changed, hash)) = serde_json::from_str::<(String, u64, u64, String)>(line)
                && let Ok(hash) = hash.parse()
            {
                known.files.insert(file, (Stamp { bytes, changed }, hash));
            }
        }
        Ok(Self { path, known: Mutex::new(known) })
    }

    /// The hash of the file `photo`, read only where it is new or changed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn hash(&self, photo: &Path) -> Result<PhotoHash> {
        let file = File::open(photo).map_err(Error::io(photo))?;
        let stamp = stamp(&file);
        // A name that is not UTF-8 cannot stand in a line of text; such a file is read each time.
        let name = std::fs::canonicalize(photo).ok().and_then(|path| path.into_os_string().into_string().ok());
        if let (Some(stamp), Some(name)) = (stamp, &name)
            && let Some(&(_, hash)) = self.lock().files.get(name).filter(|(then, _)| *then == stamp)
        {
            return Ok(hash);
        }
        let mut digest = Sha256::new();
        std::io::copy(&mut &file, &mut digest).map_err(Error::io(photo))?;
        let hash = PhotoHash(digest.finalize().into());
        if let (Some(stamp), Some(name)) =
            (stamp.filter(|&then| settled(then.changed) && self::stamp(&file) == Some(then)), name)
        {
            let mut known = self.lock();
            if let Ok(line) = serde_json::to_string(&(&name, stamp.bytes, stamp.changed, hash.to_string())) {
                known.unsaved.push_str(&with_checksum(&line));
            }
            known.files.insert(name, (stamp, hash));
        }
        Ok(hash)
    }

    /// Writes what is new to the file; without it the memory ends with the value.
    ///
    /// # Errors
    /// When the file cannot be written; then nothing is lost but time.
    pub fn save(&self) -> Result<()> {
        let mut known = self.lock();
        if known.unsaved.is_empty() {
            return Ok(());
        }
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path).map_err(Error::io(&self.path))?;
        // The line end in front closes a line that a crash tore.
        let lines = format!("\n{}", known.unsaved);
        file.write_all(lines.as_bytes()).map_err(Error::io(&self.path))?;
        known.unsaved.clear();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(file: &File) -> Option<Stamp> {
    let about = file.metadata().ok()?;
    let changed = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Stamp { bytes: about.len(), changed: u64::try_from(changed.as_nanos()).ok()? })
}

fn settled(changed: u64) -> bool {
    SystemTime::now().duration_since(UNIX_EPOCH + Duration::from_nanos(changed)).is_ok_and(|age| age >= SETTLED)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_hash_is_sha256_and_reads_back() {
        let hash = PhotoHash::of(b"abc");
        assert_eq!(hash.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hash.to_string().parse::<PhotoHash>().unwrap(), hash);
        assert!("ba78".parse::<PhotoHash>().is_err());
        assert!("é".repeat(32).parse::<PhotoHash>().is_err());
    }

    #[test]
    fn files_are_read_again_only_when_they_changed() {
        let folder = tempfile::tempdir().unwrap();
        let photo = folder.path().join("a.jpg");
        let write = |bytes: &[u8], age: u64| {
            std::fs::write(&photo, bytes).unwrap();
            let then = SystemTime::now() - Duration::from_secs(age);
            File::options().write(true).open(&photo).unwrap().set_modified(then).unwrap();
            then
        };
        let then = write(b"one", 1000);
        let hashes = PhotoHashes::open(folder.path()).unwrap();
        assert_eq!(hashes.hash(&photo).unwrap(), PhotoHash::of(b"one"));
        hashes.save().unwrap();
        // Same size and time: the memory is believed, which shows that the file is not read.
        std::fs::write(&photo, b"two").unwrap();
        File::options().write(true).open(&photo).unwrap().set_modified(then).unwrap();
        let again = PhotoHashes::open(folder.path()).unwrap();
        assert_eq!(again.hash(&photo).unwrap(), PhotoHash::of(b"one"));
        write(b"two", 500);
        assert_eq!(again.hash(&photo).unwrap(), PhotoHash::of(b"two"));
        write(b"three", 500);
        assert_eq!(again.hash(&photo).unwrap(), PhotoHash::of(b"three"));
        // A file that was written just now is not remembered.
        write(b"four4", 0);
        assert_eq!(again.hash(&photo).unwrap(), PhotoHash::of(b"four4"));
        assert_ne!(again.lock().files.values().next().unwrap().1, PhotoHash::of(b"four4"));
        // A torn line is forgotten, and what comes after it is not.
        write(b"five", 500);
        std::fs::write(folder.path().join("photos.index"), b"1234 torn").unwrap();
        let torn = PhotoHashes::open(folder.path()).unwrap();
        torn.hash(&photo).unwrap();
        torn.save().unwrap();
        assert_eq!(PhotoHashes::open(folder.path()).unwrap().lock().files.len(), 1);
    }
}
