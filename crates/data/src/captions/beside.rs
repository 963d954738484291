//! Pictures, each with a text of the same name beside it: `a.jpg` and `a.txt`, a caption a line.

use super::gathered::{Gathered, first_of};
use super::image_folder::split_in;
use super::paths::{folders_in, names_in};
use super::set::{ImageId, LoadOptions};
use crate::error::Result;
use crate::picture::ENDINGS;
use crate::text::utf8;
use crate::tree::{Tree, all_others, all_pictures, name_below};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Whether a picture in this folder, or in one of its folders, has its text beside it.
///
/// # Errors
/// When a folder cannot be read.
pub(super) fn has_texts(folder: &Path) -> Result<bool> {
    let mut folders = folders_in(folder)?;
    folders.insert(0, folder.to_path_buf());
    for folder in folders {
        let names = names_in(&folder)?;
        let texts: HashSet<&str> = names.iter().filter_map(|name| name.strip_suffix(".txt")).collect();
        if names.iter().any(|name| picture_stem(name).is_some_and(|stem| texts.contains(stem))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The name of a picture's file without its ending.
fn picture_stem(name: &str) -> Option<&str> {
    let (stem, ending) = name.rsplit_once('.')?;
    ENDINGS.contains(&ending.to_lowercase().as_str()).then_some(stem)
}

/// Reads the pictures below `root` that have a text.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn read(root: &Path, options: &LoadOptions, gathered: &mut Gathered) -> Result<()> {
    let tree = Tree::read(root)?;
    let (mut without, mut read) = (Vec::new(), HashSet::new());
    for path in all_pictures(&tree) {
        let name = name_below(root, &path);
        let text = path.with_extension("txt");
        if !text.is_file() {
            without.push(name);
            continue;
        }
        let split = split_in(&name).unwrap_or_else(|| options.split_of(&name));
        let (captions, broken) = captions(&text, &name, gathered)?;
        read.insert(text);
        // What is broken has been named already.
        if !captions.is_empty() || broken == 0 {
            gathered.add(ImageId::Text(name), path, split, captions);
        }
    }
    let others: Vec<PathBuf> = all_others(&tree).into_iter().filter(|path| !read.contains(path)).collect();
    let others: Vec<String> = others.iter().map(|path| name_below(root, path)).collect();
    for (count, what, names) in [
        (without.len(), "pictures without a .txt of their name", without),
        (others.len(), "files that are neither pictures nor their texts", others),
    ] {
        if count > 0 {
            gathered.notes.push(format!("left out {count} {what}: {}", first_of(&names)));
        }
    }
    Ok(())
}

/// The lines of a text that are captions, and how many are not UTF-8, which are noted in `gathered`.
fn captions(text: &Path, name: &str, gathered: &mut Gathered) -> Result<(Vec<String>, usize)> {
    let bytes = utf8::read(text)?;
    let lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let (mut captions, mut broken) = (Vec::new(), 0);
    for (index, line) in lines.filter(|(_, line)| !line.is_empty()) {
        match std::str::from_utf8(line) {
            Ok(line) => captions.push(line.trim().to_owned()),
            Err(_) => {
                gathered.captions += 1;
                gathered.broken.push((format!("{name}#{index}"), "the caption is not UTF-8"));
                broken += 1;
            }
        }
    }
    Ok((captions, broken))
}
