//! Folders of clips with a class each.

use super::frames::{FrameLimits, Source};
use super::lists;
use crate::classes;
use crate::error::{Error, Result};
use crate::skipped::{DEFAULT_MAX_SHARE, Skipped};
use crate::split::{Parts, Split, check_share};
use crate::tree::{Tree, all_others, all_pictures, check_folder, name_below, named};
use image::RgbImage;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Clips with a class each, in their parts.
#[derive(Clone, Debug)]
pub struct ClipSet {
    /// The classes' names; a label is a place in this list.
    pub classes: Vec<String>,
    /// The clips by their splits.
    pub parts: Parts<Clip>,
    /// The clips that were left out; [`Skipped::report`] tells them.
    pub skipped: Skipped,
    /// What else is left out, a line for each kind: files that are no clips, clips that no list names.
    pub notes: Vec<String>,
}

/// A clip and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// What its set calls it: `bend/daria_bend`.
    pub name: String,
    /// Its class.
    pub label: u32,
    pub(super) source: Source,
}

impl Clip {
    /// The clip in a folder of pictures or in a file, of which no class is known.
    ///
    /// # Errors
    /// When there is no clip: neither pictures in a folder nor a GIF or a film.
    pub fn open(path: &Path) -> Result<Self> {
        let source = match std::fs::metadata(path).map_err(Error::io(path))?.is_dir() {
            true => Source::of_folder(&Tree::read(path)?),
            false => Source::of_file(path),
        };
        let source = source.ok_or_else(|| {
            Error::items(path, 0, "is no clip; wanted a folder of pictures, a GIF or a film (.mp4, .avi and others)")
        })?;
        match source.fault() {
            Some(fault) => Err(Error::items(path, 0, fault)),
            None => Ok(Self { name: path.display().to_string(), label: 0, source }),
        }
    }

    /// The folder of its frames, or its file.
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// Decodes the frames, all of one size, two at least.
    ///
    /// # Errors
    /// One line that names the file and the fault: a frame that cannot be decoded or is of another size than the first, a clip of one frame or
    /// of more than are allowed, a film where there is no `ffmpeg`.
    pub fn frames(&self, limits: &FrameLimits) -> Result<Vec<RgbImage>> {
        self.source.frames(limits)
    }
}

/// What [`load`] cannot know from the files.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Which of UCF-101's three lists is read: `trainlist01.txt` is 1.
    pub list: usize,
    /// The share of a set without a dev part that becomes one, chosen by a hash of the name.
    pub dev_share: f64,
    /// The share of clips that may be broken and skipped.
    pub max_share: f64,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { list: 1, dev_share: 0.1, max_share: DEFAULT_MAX_SHARE }
    }
}

/// A clip before it is looked into.
pub(super) struct Found {
    /// `CLASS/CLIP`, without the ending of a file.
    pub name: String,
    pub class: String,
    pub source: Source,
    pub split: Split,
}

/// Finds the clips in the folder; frames are decoded when they are asked for.
///
/// A clip without two frames is skipped and named in [`ClipSet::skipped`]; of a GIF or a film that shows later.
///
/// # Errors
/// One line that names the file, the line where there is one, and the fault: no clips, one class alone, a class that the training part does not
/// have, a clip in a list that is not there, a clip in two lists, too many broken clips.
pub fn load(folder: &Path, options: &LoadOptions) -> Result<ClipSet> {
    check_share(options.dev_share)?;
    check_folder(folder, "a folder for each class")?;
    let below = ["frames", "UCF-101"].map(|name| folder.join(name)).into_iter().find(|path| path.is_dir());
    let root = below.unwrap_or_else(|| folder.to_path_buf());
    let tree = Tree::read(&root)?;
    let mut found = clips(&root, &tree);
    if found.is_empty() {
        let fault = "has no clips; a set has a folder for each class, and in it a folder of pictures, a GIF or a film for each clip";
        return Err(Error::items(folder, 0, fault));
    }
    let mut notes = Vec::new();
    let others = no_clips(&tree, &found);
    if !others.is_empty() {
        notes.push(format!("passed over {} files that are no clips: {}", others.len(), named(&root, &others)));
    }
    notes.extend(lists::apply(folder, options.list, &mut found)?);
    finish(folder, found, notes, options)
}

/// The files below the classes' folders that are of no clip.
fn no_clips(tree: &Tree, found: &[Found]) -> Vec<PathBuf> {
    let paths: HashSet<&Path> = found.iter().map(|one| one.source.path()).collect();
    let of_none = |file: &PathBuf| !file.ancestors().any(|path| paths.contains(path));
    let below = tree.folders.iter().flat_map(|class| all_pictures(class).into_iter().chain(all_others(class)));
    below.filter(of_none).collect()
}

/// The clips of all classes, below folders of splits where there are such.
fn clips(root: &Path, tree: &Tree) -> Vec<Found> {
    let split_of = |tree: &Tree| Split::of_folder(&tree.name());
    // A folder that is called as a split is called is one where it holds classes, folders with clips in them.
    let holds_classes = |tree: &&Tree| {
        split_of(tree).is_some() && tree.folders.iter().any(|class| !of_class(class, Split::Train, root).is_empty())
    };
    let splits: Vec<&Tree> = tree.folders.iter().filter(holds_classes).collect();
    if splits.iter().any(|tree| split_of(tree) == Some(Split::Train)) {
        let of_split = |tree: &&Tree| {
            let split = split_of(tree).unwrap_or(Split::Train);
            tree.folders.iter().flat_map(|class| of_class(class, split, &tree.path)).collect::<Vec<_>>()
        };
        return splits.iter().flat_map(of_split).collect();
    }
    tree.folders.iter().flat_map(|class| of_class(class, Split::Train, root)).collect()
}

/// The clips of a class.
fn of_class(tree: &Tree, split: Split, root: &Path) -> Vec<Found> {
    let folders = tree.folders.iter().filter_map(Source::of_folder);
    let files = tree.loose().filter_map(|file| Source::of_file(&file));
    let found = |source: Source| {
        let name = name_below(root, source.path());
        let stem = source.ending().and_then(|ending| name.strip_suffix(&format!(".{ending}")).map(str::to_owned));
        Found { name: stem.unwrap_or(name), class: tree.name(), source, split }
    };
    folders.chain(files).map(found).collect()
}

fn finish(folder: &Path, found: Vec<Found>, notes: Vec<String>, options: &LoadOptions) -> Result<ClipSet> {
    let training = found.iter().filter(|one| one.split == Split::Train).map(|one| one.class.as_str());
    let classes = classes::sorted(training);
    if let Some(fault) = classes::too_few(&classes) {
        return Err(Error::items(folder, 0, fault));
    }
    let skipped = Skipped::new("clips", found.len(), options.max_share);
    let mut parts = Parts::default();
    for Found { name, class, source, split } in found {
        let label = classes::place(&classes, &class).ok_or_else(|| {
            let fault = format!("is of the class {class}, which the training part does not have");
            Error::items(source.path(), 0, fault)
        })?;
        match source.fault() {
            Some(fault) => skipped.record(&name, fault)?,
            None => parts.of_mut(split).push(Clip { name, label, source }),
        }
    }
    parts.hold_out(options.dev_share, |clip: &Clip| clip.name.clone());
    Ok(ClipSet { classes, parts, skipped, notes })
}

/// A file that is there, of these names.
pub(super) fn first_file(paths: &[PathBuf]) -> Option<&PathBuf> {
    paths.iter().find(|path| path.is_file())
}
