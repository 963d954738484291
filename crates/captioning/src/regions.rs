//! Captions of pictures whose annotations are regions from a file.

use crate::caption::Caption;
use crate::dataset::CaptionDataset;
use crate::{Error, Result};
use candlewick_data::regions::Regions;
use candlewick_data::skipped::Skipped;
use candlewick_vision::{AttentionMap, PictureSource, RegionSet};
use std::sync::Arc;

/// The caption of the photo in this row with its weights of regions as maps over the photo.
///
/// # Errors
/// When the file does not hold what it says.
pub fn place_regions(regions: &RegionSet, row: usize, mut caption: Caption) -> Result<Caption> {
    let boxes = regions.regions.get(&regions.ids[row])?.boxes;
    for map in caption.words.iter_mut().filter_map(|word| word.attention.as_mut()) {
        *map = AttentionMap::over(&boxes, &map.weights);
    }
    Ok(caption)
}

impl CaptionDataset {
    /// The set with annotations from a file of regions; photos that it does not know are recorded and left out.
    pub(crate) fn with_regions(self, regions: &Arc<Regions>, faults: &Skipped) -> Result<Self> {
        let (known, rows) = RegionSet::new(self.pictures.paths(), Arc::clone(regions));
        let fault = format!("{} has no regions of it", regions.path().display());
        let kept: std::collections::HashSet<usize> = rows.into_iter().collect();
        for (_, path) in self.pictures.paths().iter().enumerate().filter(|(row, _)| !kept.contains(row)) {
            faults.record(&path.display().to_string(), Error::Setting(fault.clone()))?;
        }
        let set = self.retain(|row| kept.contains(&row));
        Ok(Self { pictures: PictureSource::Regions(known), ..set })
    }

    /// The set with annotations from a file of regions, and a line that names the photos that it does not know.
    ///
    /// # Errors
    /// When it does not know more than the share `max_share` of the photos.
    pub fn seen_in(self, regions: &Arc<Regions>, max_share: f64) -> Result<(Self, Option<String>)> {
        let faults = Skipped::new("photos", self.pictures.len(), max_share);
        let set = self.with_regions(regions, &faults)?;
        Ok((set, faults.report()))
    }
}
