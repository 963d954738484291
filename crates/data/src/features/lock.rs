//! A file that one process holds at a time, given back by the system however the process ends.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    #[cfg_attr(not(unix), expect(dead_code, reason = "held open, which is the lock"))]
    file: File,
}

impl Lock {
    /// Takes the lock `path`, or says who has it. The file stays when the lock goes: removing it would be a race.
    pub fn take(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::share_mode(&mut options, 0);
        let mut file = options.open(path).map_err(|error| refused(path, error, None))?;
        #[cfg(unix)]
        if let Err(error) = flock(&file, TAKE_AT_ONCE) {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            return Err(refused(path, error, Some(holder.trim().to_string()).filter(|holder| !holder.is_empty())));
        }
        // Only for the message of whoever comes second.
        let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        Ok(Self { file })
    }
}

fn refused(path: &Path, error: std::io::Error, holder: Option<String>) -> Error {
    let sharing_violation = cfg!(windows) && error.raw_os_error() == Some(32);
    if error.kind() != std::io::ErrorKind::WouldBlock && !sharing_violation {
        return Error::io(path)(error);
    }
    let who = holder.map_or("another run".to_string(), |id| format!("process {id}"));
    Error::cache(path, format!("is in use by {who}; wait until it has ended, or name another folder for the features"))
}

#[cfg(unix)]
impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would not do while a process that was just forked still shares it.
        let _ = flock(&self.file, GIVE_BACK);
    }
}

#[cfg(unix)]
const TAKE_AT_ONCE: std::os::raw::c_int = 2 | 4;
#[cfg(unix)]
const GIVE_BACK: std::os::raw::c_int = 8;

#[cfg(unix)]
fn flock(file: &File, operation: std::os::raw::c_int) -> std::io::Result<()> {
    use std::os::fd::AsRawFd as _;
    use std::os::raw::c_int;
    // The standard library's own file locks are younger than the compiler we promise to build with.
    unsafe extern "C" {
        fn flock(file: c_int, operation: c_int) -> c_int;
    }
    // SAFETY: the descriptor is open as long as `file` is, and flock touches no memory of ours.
    if unsafe { flock(file.as_raw_fd(), operation) } == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
