//! Flickr8k's token file and split lists.

use super::gathered::{Gathered, named};
use super::paths::{folder_of, name_of, names_in};
use super::photo_folders::PhotoFolders;
use super::set::{ImageId, LoadOptions};
use crate::error::{Error, Result, shown};
use crate::split::Split;
use crate::text::utf8;
use std::collections::HashMap;
use std::path::Path;

/// Captions by photo; a caption that is not UTF-8 is `None`.
type Captions<'a> = HashMap<&'a str, Vec<Option<&'a str>>>;

/// Reads the token file `file` and the split lists beside it.
pub(super) fn read(file: &Path, text: &[u8], options: &LoadOptions, gathered: &mut Gathered) -> Result<()> {
    let captions = parse(file, text)?;
    let here = folder_of(file);
    let names = names_in(here)?;
    let mut folders = PhotoFolders::new(file, options);
    let mut lists = 0;
    for (split, end) in
        [(Split::Train, "trainImages.txt"), (Split::Dev, "devImages.txt"), (Split::Test, "testImages.txt")]
    {
        let found: Vec<&str> = names.iter().map(String::as_str).filter(|name| name.ends_with(end)).collect();
        let name = match found.as_slice() {
            [] => continue,
            [name] => *name,
            _ => {
                let fault = format!("has {} lists of the {split} split ({}); keep one", found.len(), found.join(", "));
                return Err(Error::captions(here, fault));
            }
        };
        let list = here.join(name);
        lists += 1;
        let photos = utf8::read_utf8(&list)?;
        let photos: Vec<&str> = photos.lines().map(str::trim).filter(|photo| !photo.is_empty()).collect();
        let without: Vec<String> =
            photos.iter().filter(|photo| !captions.contains_key(*photo)).map(ToString::to_string).collect();
        if !without.is_empty() {
            let fault = format!("{} have no captions in {}; mend the list", named(&without), name_of(file));
            return Err(Error::captions(&list, fault));
        }
        let before = gathered.missing.len();
        for photo in photos {
            let path = folders.find(&[photo], gathered);
            add(photo, path, split, &captions, gathered);
        }
        if let Some(missing) = gathered.missing.get(before..).filter(|missing| !missing.is_empty()) {
            let looked: Vec<_> = gathered.looked_in.iter().map(|folder| shown(folder)).collect();
            let what = "put them there, name their folder, or take them out of the list";
            let fault = format!("{} have no file (looked in {}); {what}", named(missing), looked.join(", "));
            return Err(Error::captions(&list, fault));
        }
    }
    if lists == 0 {
        let wanted = "Flickr_8k.trainImages.txt, Flickr_8k.devImages.txt or Flickr_8k.testImages.txt";
        return Err(Error::captions(here, format!("has no split list; put {wanted} beside {}", name_of(file))));
    }
    Ok(())
}

fn add(photo: &str, path: std::path::PathBuf, split: Split, captions: &Captions<'_>, gathered: &mut Gathered) {
    let all = captions.get(photo).map(Vec::as_slice).unwrap_or_default();
    let mut kept = Vec::with_capacity(all.len());
    for (index, caption) in all.iter().enumerate() {
        match caption {
            Some(caption) if !caption.trim().is_empty() => kept.push((*caption).to_string()),
            broken => {
                let reason = if broken.is_some() { "the caption is empty" } else { "the caption is not UTF-8" };
                gathered.broken.push((format!("{photo}#{index}"), reason));
                gathered.captions += 1;
            }
        }
    }
    if !kept.is_empty() {
        gathered.add(ImageId::Text(photo.to_string()), path, split, kept);
    }
}

/// The lines `NAME#k<TAB>caption`; they need not be sorted.
fn parse<'a>(file: &Path, text: &'a [u8]) -> Result<Captions<'a>> {
    let mut captions = Captions::new();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            continue;
        }
        // A caption that was cut off behind its tab lost the tab to the trimming as well.
        let (key, caption) = match line.iter().position(|&byte| byte == b'\t') {
            Some(tab) => (&line[..tab], &line[tab + 1..]),
            None => (line, &line[line.len()..]),
        };
        let photo = std::str::from_utf8(key).ok().and_then(|key| key.rsplit_once('#')).filter(|(name, number)| {
            !name.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        let Some((photo, _)) = photo else {
            let wanted = "is not of the form NAME.jpg#k<TAB>caption; mend or remove the line";
            return Err(Error::captions(file, format!("line {} {wanted}", index + 1)));
        };
        captions.entry(photo).or_default().push(std::str::from_utf8(caption).ok());
    }
    Ok(captions)
}
