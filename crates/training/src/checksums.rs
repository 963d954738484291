//! The checksums of a checkpoint's files, as `sha256sum` writes them: `sha256sum -c SHA256SUMS` checks them too.

use crate::{Error, Result};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

/// The file with a line per file of its folder: its SHA-256 in hexadecimal digits, two spaces, its name.
pub(crate) const CHECKSUMS: &str = "SHA256SUMS";

/// The text of the checksums of all files that lie in a folder.
pub(crate) fn of_folder(folder: &Path) -> Result<String> {
    let mut lines = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(Error::file(folder, "cannot be read"))? {
        let entry = entry.map_err(Error::file(folder, "cannot be read"))?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_file() && name != CHECKSUMS {
            lines.insert(name, of_file(&path)?);
        }
    }
    Ok(lines.into_iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect())
}

/// Compares files of a folder with its checksums; `remedy` says what to do about a file that is another.
///
/// # Errors
/// When a file is missing, or its bytes are not those that were written; the message names it.
pub(crate) fn check(folder: &Path, names: &[&str], remedy: &str) -> Result<()> {
    let sums = folder.join(CHECKSUMS);
    let text = fs::read_to_string(&sums)
        .map_err(|error| Error::corrupt(&sums, format!("cannot be read ({error}); {remedy}")))?;
    let known: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once("  ")).map(|(s, n)| (n, s)).collect();
    for &name in names {
        let path = folder.join(name);
        match known.get(name) {
            None => return Err(Error::corrupt(&sums, format!("does not tell of {name}; {remedy}"))),
            Some(&wanted) if of_file(&path)? != wanted => {
                let fault =
                    format!("damaged or changed since it was written: {CHECKSUMS} beside it tells of other bytes");
                return Err(Error::corrupt(&path, format!("{fault}; {remedy}")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Refuses a model folder whose weights or words are not those that training wrote there; one without checksums is taken as it is.
///
/// # Errors
/// One line that names the file and what to do.
pub fn check_model(folder: &Path) -> Result<()> {
    let sums = folder.join(CHECKSUMS);
    let text = match fs::read(&sums) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        read => String::from_utf8_lossy(&read.map_err(Error::file(&sums, "cannot be read"))?).into_owned(),
    };
    // Settings beside them may be changed by hand.
    let told =
        |name: &&str| text.lines().any(|line| line.ends_with(&format!("  {name}"))) && folder.join(name).is_file();
    let names: Vec<&str> = [crate::MODEL_FILE, "tokenizer.json"].into_iter().filter(told).collect();
    check(folder, &names, &format!("take another copy of it, or remove {CHECKSUMS} if it was changed on purpose"))
}

fn of_file(path: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    let copied = File::open(path).and_then(|mut file| std::io::copy(&mut file, &mut digest));
    copied.map_err(Error::file(path, "cannot be read"))?;
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_flipped_bit_is_told_and_settings_may_be_edited() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| fs::write(folder.path().join(name), content).unwrap();
        let check = || check_model(folder.path()).map_err(|error| error.to_string());
        write("model.safetensors", b"weights");
        write("generation_config.json", b"{}");
        check().unwrap();
        let sums = of_folder(folder.path()).unwrap();
        assert!(
            sums.starts_with(
                "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a  generation_config.json\n"
            )
        );
        write(CHECKSUMS, sums.as_bytes());
        write("generation_config.json", b"{\"num_beams\": 3}");
        check().unwrap();
        write("model.safetensors", b"weighus");
        let fault = check().unwrap_err();
        assert!(fault.contains("model.safetensors: damaged or changed") && !fault.contains('\n'), "{fault}");
        fs::remove_file(folder.path().join(CHECKSUMS)).unwrap();
        check().unwrap();
    }
}
