//! UCF-101's lists of the clips of each part.

use super::set::{Found, first_file};
use crate::error::{Error, Result, shown};
use crate::split::Split;
use crate::text::read_utf8;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What the lists begin with.
const LISTS: [(&str, Split); 3] = [("trainlist", Split::Train), ("devlist", Split::Dev), ("testlist", Split::Test)];

/// Puts clips into the parts that the lists `number` name; clips in none are left out and told. Without lists nothing is changed.
pub(super) fn apply(folder: &Path, number: usize, found: &mut Vec<Found>) -> Result<Option<String>> {
    let folders = [folder.to_path_buf(), folder.join("ucfTrainTestlist")];
    let list = |begin: &str, number: usize| -> Option<PathBuf> {
        let paths: Vec<PathBuf> = folders.iter().map(|folder| folder.join(format!("{begin}{number:02}.txt"))).collect();
        first_file(&paths).cloned()
    };
    let lists: Vec<(Split, PathBuf)> =
        LISTS.iter().filter_map(|(begin, split)| Some((*split, list(begin, number)?))).collect();
    if !lists.iter().any(|(split, _)| *split == Split::Train) {
        return match (1..100).find(|&other| list("trainlist", other).is_some()) {
            None => Ok(None),
            Some(other) => {
                let fault = format!("has no trainlist{number:02}.txt, but number {other}; name that");
                Err(Error::items(folder, 0, fault))
            }
        };
    }
    let mut wanted: HashMap<String, (Split, &Path)> = HashMap::new();
    for (split, file) in &lists {
        for (line, name) in (1..).zip(read_utf8(file)?.lines()).filter(|(_, name)| !name.trim().is_empty()) {
            let name = name_in(name);
            if !found.iter().any(|clip| clip.name == name) {
                return Err(Error::items(
                    file,
                    line,
                    format!("names {name}, which is not there; put it there or mend the list"),
                ));
            }
            if let Some((_, other)) = wanted.insert(name.clone(), (*split, file)) {
                let fault = format!("names {name}, as {} does; a clip is in one part, once", shown(other));
                return Err(Error::items(file, line, fault));
            }
        }
    }
    let (listed, others): (Vec<Found>, Vec<Found>) =
        std::mem::take(found).into_iter().partition(|clip| wanted.contains_key(&clip.name));
    let names: Vec<&str> = others.iter().take(5).map(|clip| clip.name.as_str()).collect();
    let note = format!("left out {} clips that no list {number:02} names: {}", others.len(), names.join(", "));
    *found = listed;
    for clip in found {
        clip.split = wanted.get(&clip.name).map_or(clip.split, |(split, _)| *split);
    }
    Ok((!others.is_empty()).then_some(note))
}

/// `CLASS/CLIP` of a line `CLASS/CLIP.avi 1`, whose number is the class's in `classInd.txt` and says nothing more.
fn name_in(line: &str) -> String {
    let line = line.trim();
    let name = match line.rsplit_once(char::is_whitespace) {
        Some((name, number)) if number.parse::<u32>().is_ok() => name.trim_end(),
        _ => line,
    };
    let name = name.replace('\\', "/");
    match name.rsplit_once('.') {
        Some((stem, ending)) if super::films::is_film(ending) || ending.eq_ignore_ascii_case("gif") => stem.to_owned(),
        _ => name,
    }
}
