//! Where the photos of a caption file lie.

use super::gathered::Gathered;
use super::paths::{folder_of, name_of};
use super::set::LoadOptions;
use std::path::{Path, PathBuf};

/// The folders that may hold the photos, the one that held the last first.
pub(super) struct PhotoFolders {
    folders: Vec<PathBuf>,
    need_files: bool,
}

impl PhotoFolders {
    /// The folders for the caption file `file`: the given one, or its own, the one above, and the usual ones in these.
    pub fn new(file: &Path, options: &LoadOptions) -> Self {
        let mut folders = Vec::new();
        if let Some(given) = &options.images {
            folders.push(given.clone());
        } else {
            let own = folder_of(file);
            // COCO keeps `annotations/captions_train2014.json` beside `train2014/`.
            let part = name_of(file).trim_end_matches(".json");
            let part = part.trim_start_matches("captions_").trim_start_matches("image_info_").to_string();
            for base in [own.to_path_buf(), own.join("..")] {
                for folder in ["images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset", &part] {
                    folders.push(base.join(folder));
                    folders.push(base.join("images").join(&part));
                }
                folders.push(base);
            }
            folders.retain(|folder| folder.is_dir());
            let mut seen = std::collections::HashSet::new();
            folders.retain(|folder| seen.insert(folder.clone()));
        }
        Self { folders, need_files: options.need_files }
    }

    /// The path of the photo with one of these names; one that is nowhere is noted in `gathered`.
    pub fn find(&mut self, names: &[&str], gathered: &mut Gathered) -> PathBuf {
        let paths = |folder: &Path| names.iter().map(|name| folder.join(name)).collect::<Vec<_>>();
        for index in 0..self.folders.len() {
            let Some(found) = paths(&self.folders[index]).into_iter().find(|path| path.is_file()) else { continue };
            // Photos of one file mostly lie together.
            self.folders.swap(0, index);
            return found;
        }
        if self.need_files {
            gathered.missing.push(names.first().copied().unwrap_or_default().to_string());
            gathered.looked_in.clone_from(&self.folders);
        }
        let first = self.folders.first().map(PathBuf::as_path).unwrap_or(Path::new(""));
        paths(first).into_iter().next().unwrap_or_default()
    }
}
