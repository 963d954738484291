//! A folder a class, as torchvision's ImageFolder: classes in the order of their names, their pictures at any depth.
//!
//! A folder that is called as a split is called may be a class as well: a split's folder holds folders, a class's pictures.

use super::set::{Examples, LabelledImages};
use crate::error::{Error, Result};
use crate::split::{Split, share};
use crate::tree::{Tree, all_pictures, name_below, named};
use std::path::{Path, PathBuf};

/// The set in this folder.
pub(super) fn load(folder: &Path, dev_share: f64) -> Result<LabelledImages> {
    let mut top = Tree::read(folder)?;
    let mut passed_over = Vec::new();
    let splits = take_splits(folder, &mut top, &mut passed_over)?;
    let of = |wanted: Split| splits.iter().find(|(split, _)| *split == wanted).map(|(_, tree)| tree);
    let train = of(Split::Train).unwrap_or(&top);
    let classes = classes(train, &mut passed_over)?;
    let all = pictures(train, &classes)?;
    let mut part = |split: Split| match of(split) {
        None => Ok(None),
        Some(tree) => {
            foreign(tree, &classes)?;
            tree.passed_over(&mut passed_over);
            pictures(tree, &classes).map(Some)
        }
    };
    let (dev, test) = (part(Split::Dev)?, part(Split::Test)?.unwrap_or_default());
    let (train, dev) = match dev {
        Some(dev) => (all, dev),
        None => all.into_iter().partition(|(path, _)| share(&name_below(&train.path, path)) >= dev_share),
    };
    let notes = match passed_over.len() {
        0 => Vec::new(),
        count => vec![format!(
            "passed over {count} files and folders that are no pictures of a class: {}",
            named(folder, &passed_over)
        )],
    };
    let (train, dev, test) = (Examples::files(train), Examples::files(dev), Examples::files(test));
    Ok(LabelledImages { classes, train, dev, test, notes })
}

/// The split that a folder of this name may be.
fn split_of(tree: &Tree) -> Option<Split> {
    Split::of_folder(&tree.name())
}

/// Takes the folders of splits out of the set's folder; none where its folders are classes.
fn take_splits(folder: &Path, top: &mut Tree, passed_over: &mut Vec<PathBuf>) -> Result<Vec<(Split, Tree)>> {
    let (called, others): (Vec<&Tree>, Vec<&Tree>) =
        top.folders.iter().filter(|tree| tree.has_pictures()).partition(|tree| split_of(tree).is_some());
    let names = |trees: &[&Tree]| trees.iter().map(|tree| tree.name()).collect::<Vec<_>>().join(", ");
    // Two splits with a class in common are no classes, whatever lies in or beside them.
    let shared = |tree: &Tree| {
        let another = called.iter().filter(|other| other.path != tree.path).flat_map(|other| &other.folders);
        another
            .into_iter()
            .any(|theirs| tree.folders.iter().any(|own| own.has_pictures() && own.name() == theirs.name()))
    };
    let holding: Vec<&Tree> = called.iter().copied().filter(|tree| tree.holds_classes() || shared(tree)).collect();
    let ambiguous = |fault: String| Err(Error::labelled(folder, fault));
    if holding.is_empty() {
        return match others.is_empty() && called.len() > 1 {
            true => ambiguous(format!(
                "{} may be splits or classes: they hold pictures themselves, and a split holds a folder for each class; \
                 put the pictures into such folders, or give the classes other names",
                names(&called)
            )),
            false => Ok(Vec::new()),
        };
    }
    if !others.is_empty() && !holding.iter().any(|tree| shared(tree)) {
        return ambiguous(format!(
            "{} may be splits or classes: they hold folders, as splits do, and lie beside {}; \
             move all classes into train, or give the classes other names",
            names(&holding),
            names(&others)
        ));
    }
    if !holding.iter().any(|tree| split_of(tree) == Some(Split::Train)) {
        return ambiguous(format!("has splits ({}) but no folder train with a folder for each class", names(&holding)));
    }
    for (index, tree) in holding.iter().enumerate() {
        if let Some(other) = holding.iter().take(index).find(|other| split_of(other) == split_of(tree)) {
            return ambiguous(format!("{} and {} are one split twice; keep one", other.name(), tree.name()));
        }
    }
    let paths: Vec<PathBuf> = holding.iter().map(|tree| tree.path.clone()).collect();
    let (splits, rest): (Vec<Tree>, Vec<Tree>) =
        std::mem::take(&mut top.folders).into_iter().partition(|tree| paths.contains(&tree.path));
    passed_over.extend(rest.into_iter().map(|tree| tree.path));
    passed_over.extend(top.loose());
    Ok(splits.into_iter().filter_map(|tree| Some((split_of(&tree)?, tree))).collect())
}

/// The classes: the folders with pictures, of which there are two at least.
fn classes(root: &Tree, passed_over: &mut Vec<PathBuf>) -> Result<Vec<String>> {
    for tree in root.folders.iter().filter(|tree| !tree.has_pictures()) {
        if let Some(unreadable) = tree.first_unreadable() {
            let fault = format!(
                "has no picture that can be read, but {}; save them as JPEG or PNG, or remove the folder",
                name_below(&tree.path, unreadable)
            );
            return Err(Error::labelled(&tree.path, fault));
        }
    }
    root.passed_over(passed_over);
    let classes: Vec<String> = root.folders.iter().filter(|tree| tree.has_pictures()).map(Tree::name).collect();
    match classes.as_slice() {
        [] => {
            let kinds = crate::picture::ENDINGS.join(", ");
            let fault =
                format!("has 0 classes; a set of pictures has a folder for each class, with pictures in it ({kinds})");
            Err(Error::labelled(&root.path, fault))
        }
        [one] => Err(Error::labelled(&root.path, format!("has one class, {one}; a classifier wants two"))),
        _ => Ok(classes),
    }
}

/// Refuses a class that the train split does not have.
fn foreign(root: &Tree, classes: &[String]) -> Result<()> {
    match root.folders.iter().find(|tree| tree.has_pictures() && !classes.contains(&tree.name())) {
        Some(tree) => Err(Error::labelled(&tree.path, "is a class that the train split does not have")),
        None => Ok(()),
    }
}

/// The pictures in the classes' folders, by class and then by name.
fn pictures(root: &Tree, classes: &[String]) -> Result<Vec<(PathBuf, u32)>> {
    let mut found = Vec::new();
    for tree in &root.folders {
        if let Some((label, _)) = (0u32..).zip(classes).find(|(_, class)| **class == tree.name()) {
            found.extend(all_pictures(tree).into_iter().map(|path| (path, label)));
        }
    }
    Ok(found)
}
