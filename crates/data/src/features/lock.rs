//! A file that one process holds at a time, given back by the system however the process ends.

use crate::error::{Error, Result};
use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock `path`. Where another process has it, `waiting` is told and the lock waited for; without it, that is an error.
    ///
    /// The file stays when the lock goes: removing it would be a race.
    pub fn take(path: &Path, waiting: Option<&mut dyn FnMut(String)>) -> Result<Self> {
        let options = || File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options().map_err(Error::io(path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let who = match holder.trim() {
                    "" => "another run".to_string(),
                    id => format!("process {id}"),
                };
                let Some(waiting) = waiting else {
                    let advice = "wait until it has ended, or name another folder for the features";
                    return Err(Error::cache(path, format!("is in use by {who}; {advice}")));
                };
                waiting(Error::cache(path, format!("is in use by {who}; waiting until it has ended")).to_string());
                file.lock().map_err(Error::io(path))?;
            }
            Err(TryLockError::Error(error)) => return Err(Error::io(path)(error)),
        }
        // Only for the message of whoever comes second.
        let _ = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| write!(file, "{}", std::process::id()));
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would not do while a process that was just forked still shares it.
        let _ = self.file.unlock();
    }
}
