//! Folders of WAV files with a class each.

use super::wav::{self, Sound};
use crate::classes;
use crate::error::{Error, Result};
use crate::skipped::{DEFAULT_MAX_SHARE, Skipped};
use crate::split::{Parts, Split, check_share};
use crate::text::read_utf8;
use crate::tree::{Tree, all_others, all_pictures, check_folder, name_below, named};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// Sounds with a class each, in their parts.
#[derive(Clone, Debug)]
pub struct SoundSet {
    /// The classes' names; a label is a place in this list.
    pub classes: Vec<String>,
    /// Samples a second of all of them.
    pub rate: u32,
    /// The sounds by their splits.
    pub parts: Parts<SoundFile>,
    /// The files that were left out; [`Skipped::report`] tells them.
    pub skipped: Skipped,
    /// What else is left out, a line for each kind: files that are no sound of a class.
    pub notes: Vec<String>,
}

/// A sound in a file, and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoundFile {
    /// The file.
    pub path: PathBuf,
    /// Its class.
    pub label: u32,
}

impl SoundFile {
    /// Reads the samples.
    ///
    /// # Errors
    /// As [`Sound::read`] says.
    pub fn read(&self) -> Result<Sound> {
        Sound::read(&self.path)
    }
}

/// What [`load`] cannot know from the files.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Samples a second that all files have; where it is left out, those of most of them.
    pub rate: Option<u32>,
    /// The share of a set without a dev part that becomes one, chosen by a hash of the name, or of the number where names have one: all
    /// recordings of a number are held out together.
    pub dev_share: f64,
    /// The share of files that may be broken and skipped.
    pub max_share: f64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { rate: None, dev_share: 0.1, max_share: DEFAULT_MAX_SHARE }
    }
}

/// A file before it is looked into.
struct Found {
    path: PathBuf,
    /// What it is called in its set.
    name: String,
    class: String,
    split: Split,
    /// By whose hash it is held out.
    held_out_by: String,
}

/// Reads which sounds are in the folder, and looks into each file's header.
///
/// Files that are cut short, are no WAV or have another rate are skipped and named in [`SoundSet::skipped`].
///
/// # Errors
/// One line that names the folder or the file and the fault: no sounds, names that tell no class, one class alone, a label that the training
/// part does not have, too many broken files.
pub fn load(folder: &Path, options: &LoadOptions) -> Result<SoundSet> {
    check_share(options.dev_share)?;
    check_folder(folder, "WAV files or a folder for each class")?;
    let tree = Tree::read(folder)?;
    let of_classes = by_folders(folder, &tree)?;
    let mut found = if of_classes.is_empty() { by_names(folder)? } else { of_classes };
    let notes = passed_over(&tree, &found);
    let skipped = Skipped::new("sounds", found.len(), options.max_share);
    let mut rates = BTreeMap::new();
    let mut read = Vec::new();
    for one in found.drain(..) {
        match wav::rate(&one.path) {
            Ok(rate) => {
                *rates.entry(rate).or_insert(0usize) += 1;
                read.push((one, rate));
            }
            Err(error) => skipped.record(&one.name, told(&one, error))?,
        }
    }
    let most = rates.into_iter().max_by_key(|&(rate, count)| (count, rate)).map(|(rate, _)| rate);
    let Some(wanted) = options.rate.or(most) else {
        return Err(Error::items(folder, 0, "has no sounds that can be read"));
    };
    for (one, rate) in read {
        match rate == wanted {
            true => found.push(one),
            false => skipped.record(&one.name, format!("has {rate} samples a second; wanted {wanted}"))?,
        }
    }
    let classes = classes_of(folder, &found)?;
    let parts = parts(found, &classes, options.dev_share)?;
    Ok(SoundSet { classes, rate: wanted, parts, skipped, notes })
}

/// A line on the files that are no sound of a class, but for lists and what is written about the set.
fn passed_over(tree: &Tree, found: &[Found]) -> Vec<String> {
    let sounds: HashSet<&Path> = found.iter().map(|one| one.path.as_path()).collect();
    let mut others: Vec<PathBuf> = all_others(tree).into_iter().chain(all_pictures(tree)).collect();
    others.retain(|path| {
        !sounds.contains(path.as_path()) && path.extension().is_none_or(|end| end != "txt" && end != "md")
    });
    let note =
        || format!("passed over {} files that are no sounds of a class: {}", others.len(), named(&tree.path, &others));
    if others.is_empty() { Vec::new() } else { vec![note()] }
}

fn told(one: &Found, error: Error) -> String {
    let message = error.to_string();
    message.strip_prefix(&format!("{}: ", crate::error::shown(&one.path))).unwrap_or(&message).to_owned()
}

/// The classes of the training part.
fn classes_of(folder: &Path, found: &[Found]) -> Result<Vec<String>> {
    let training = found.iter().filter(|one| one.split == Split::Train).map(|one| one.class.as_str());
    let classes = classes::sorted(training);
    match classes::too_few(&classes) {
        None => Ok(classes),
        Some(fault) => Err(Error::items(folder, 0, fault)),
    }
}

/// The sounds by their splits.
fn parts(found: Vec<Found>, classes: &[String], dev_share: f64) -> Result<Parts<SoundFile>> {
    let mut parts = Parts::default();
    found.into_iter().for_each(|one| parts.of_mut(one.split).push(one));
    parts.hold_out(dev_share, |one: &Found| one.held_out_by.clone());
    let sound = |one: Found| match classes::place(classes, &one.class) {
        Some(label) => Ok(SoundFile { path: one.path, label }),
        None => {
            let fault = format!("is of the class {}, which the training part does not have", one.class);
            Err(Error::items(&one.path, 0, fault))
        }
    };
    let all = |part: Vec<Found>| part.into_iter().map(sound).collect::<Result<Vec<_>>>();
    Ok(Parts { train: all(parts.train)?, dev: all(parts.dev)?, test: all(parts.test)? })
}

fn is_wav(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("wav"))
}

/// The sounds in a folder's folders, which are their classes; none where there are none.
fn by_folders(folder: &Path, tree: &Tree) -> Result<Vec<Found>> {
    let list = |name: &str| -> Result<HashSet<String>> {
        let file = folder.join(name);
        let text = if file.is_file() { read_utf8(&file)? } else { String::new() };
        Ok(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect())
    };
    let (dev, test) = (list("validation_list.txt")?, list("testing_list.txt")?);
    let mut found = Vec::new();
    for class in tree.folders.iter().filter(|class| !class.name().starts_with('_') && class.name() != "recordings") {
        for path in all_others(class).into_iter().filter(|path| is_wav(path)) {
            let name = name_below(folder, &path);
            let split = match () {
                () if dev.contains(&name) => Split::Dev,
                () if test.contains(&name) => Split::Test,
                () => Split::Train,
            };
            found.push(Found { path, held_out_by: name.clone(), name, class: class.name(), split });
        }
    }
    Ok(found)
}

/// The sounds of a folder, whose names tell their classes.
fn by_names(folder: &Path) -> Result<Vec<Found>> {
    let below = folder.join("recordings");
    let place = if below.is_dir() { &below } else { folder };
    let mut found = Vec::new();
    for path in Tree::read(place)?.loose().filter(|path| is_wav(path)) {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let mut parts = stem.rsplitn(3, '_');
        let (number, speaker, class) = (parts.next(), parts.next(), parts.next());
        let (Some(number), Some(_), Some(class)) = (number.and_then(|text| text.parse::<u32>().ok()), speaker, class)
        else {
            let fault = "tells no class by its name; wanted LABEL_SPEAKER_NUMBER.wav, or a folder for each class";
            return Err(Error::items(&path, 0, fault));
        };
        let split = if number < 5 { Split::Test } else { Split::Train };
        let held_out_by = number.to_string();
        found.push(Found { name: name_below(folder, &path), class: class.to_owned(), split, held_out_by, path });
    }
    match found.is_empty() {
        true => Err(Error::items(folder, 0, "has no WAV files, neither of its own nor in a folder for each class")),
        false => Ok(found),
    }
}
