//! Which photos can be decoded.

use candlewick_data::Result;
use candlewick_data::loader::{Loader, LoaderConfig};
use candlewick_data::picture::{self, Limits};
use candlewick_data::skipped::Skipped;
use std::path::PathBuf;

/// Whether each photo can be decoded; those that cannot are recorded. `progress` is called for each photo.
///
/// # Errors
/// When more of them are broken than `faults` allows.
pub fn readable(paths: &[PathBuf], faults: &Skipped, progress: &mut dyn FnMut()) -> Result<Vec<bool>> {
    let config = LoaderConfig { workers: 2, ..LoaderConfig::default() };
    let tried = Loader::new(paths.to_vec(), config, |path: PathBuf| -> Result<Option<String>> {
        let tried = picture::reduced(&path, &Limits::default(), |_| Result::Ok(()));
        Ok(tried.err().map(|fault| fault.to_string()))
    });
    let mut good = Vec::with_capacity(paths.len());
    for (path, fault) in paths.iter().zip(tried) {
        let fault = fault?;
        progress();
        good.push(fault.is_none());
        if let Some(fault) = fault {
            faults.record(&path.display().to_string(), fault)?;
        }
    }
    Ok(good)
}
