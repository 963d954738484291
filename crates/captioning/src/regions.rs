//! Captioners whose annotations are regions that others computed, and which see no pictures themselves.

use crate::captioner::{AttentionMap, Caption};
use crate::dataset::{Pictures, Set};
use crate::seen::Seen;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candlewick_data::faults::Faults;
use candlewick_data::regions::{PhotoRegions, Regions};
use candlewick_encoders::{Encoder, LayerInfo};
use candlewick_parameters::Mode;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Photos with regions in a file.
pub struct RegionSet {
    /// The photos.
    pub paths: Vec<PathBuf>,
    /// What the file calls each.
    pub ids: Vec<String>,
    /// The regions.
    pub regions: Arc<Regions>,
}

impl RegionSet {
    /// The photos that the file knows, and which of `paths` they are.
    pub fn new(paths: &[PathBuf], regions: Arc<Regions>) -> (Self, Vec<usize>) {
        let known = paths.iter().enumerate().filter_map(|(row, path)| Some((row, path, regions.id(path)?.to_owned())));
        let (mut rows, mut set) = (Vec::new(), (Vec::new(), Vec::new()));
        for (row, path, id) in known {
            rows.push(row);
            set.0.push(path.clone());
            set.1.push(id);
        }
        (Self { paths: set.0, ids: set.1, regions }, rows)
    }

    /// What was seen in the photos in these rows, on the CPU; P is the largest number of regions among them.
    ///
    /// # Errors
    /// When the file does not hold what it says.
    pub fn seen(&self, rows: &[usize]) -> Result<Seen> {
        let photos: Vec<PhotoRegions> =
            rows.iter().map(|&row| self.regions.get(&self.ids[row])).collect::<std::result::Result<_, _>>()?;
        let (p, c) = (photos.iter().map(|photo| photo.boxes.len()).max().unwrap_or(0), self.regions.features());
        let mut all = vec![0.0; photos.len() * p * c];
        for (photo, into) in photos.iter().zip(all.chunks_exact_mut((p * c).max(1))) {
            into[..photo.features.len()].copy_from_slice(&photo.features);
        }
        let counts = photos.iter().map(|photo| photo.boxes.len() as u32).collect();
        let annotations = Tensor::from_vec(all, (photos.len(), p, c), &Device::Cpu)?;
        Ok(Seen::regions(annotations)?.with_counts(counts)?)
    }

    /// The caption of the photo in this row with its weights of regions as maps over the photo.
    ///
    /// # Errors
    /// When the file does not hold what it says.
    pub fn placed(&self, row: usize, mut caption: Caption) -> Result<Caption> {
        let boxes = self.regions.get(&self.ids[row])?.boxes;
        for map in caption.words.iter_mut().filter_map(|word| word.attention.as_mut()) {
            *map = AttentionMap::over(&boxes, &map.weights);
        }
        Ok(caption)
    }
}

/// Rows and columns of a map that regions are laid on.
const GRID: usize = 28;

impl AttentionMap {
    /// The map over a photo of weights of regions, whose boxes are given by their left, top, right and bottom as shares of width
    /// and height: each weight is spread evenly over the positions whose centres its box covers.
    pub fn over(boxes: &[[f32; 4]], weights: &[f32]) -> Self {
        let mut map = Self { height: GRID, width: GRID, weights: vec![0.0; GRID * GRID] };
        let covered = |from: f32, to: f32| {
            let (first, end) = ((from * GRID as f32 - 0.5).ceil(), (to * GRID as f32 - 0.5).floor() + 1.0);
            let first = (first.max(0.0) as usize).min(GRID - 1);
            // A box between two centres has the nearest.
            first..(end.max(0.0) as usize).clamp(first + 1, GRID)
        };
        for (&[left, top, right, bottom], &weight) in boxes.iter().zip(weights) {
            let (columns, rows) = (covered(left, right), covered(top, bottom));
            let share = weight / (columns.len() * rows.len()) as f32;
            for row in rows {
                map.weights[row * GRID..][columns.clone()].iter_mut().for_each(|sum| *sum += share);
            }
        }
        map
    }
}

impl Set {
    /// The set with annotations from a file of regions; photos that it does not know are recorded and left out.
    pub(crate) fn with_regions(self, regions: &Arc<Regions>, faults: &Faults) -> Result<Self> {
        let (known, rows) = RegionSet::new(self.paths(), Arc::clone(regions));
        let fault = format!("{} has no regions of it", regions.path().display());
        let kept: std::collections::HashSet<usize> = rows.into_iter().collect();
        for (_, path) in self.paths().iter().enumerate().filter(|(row, _)| !kept.contains(row)) {
            faults.record(&path.display().to_string(), Error::Config(fault.clone()))?;
        }
        let set = self.retain(|row| kept.contains(&row));
        Ok(Self { pictures: Pictures::Regions(known), ..set })
    }

    /// The set with annotations from a file of regions, and a line that names the photos that it does not know.
    ///
    /// # Errors
    /// When it does not know more than the share `max_share` of the photos.
    pub fn seen_in(self, regions: &Arc<Regions>, max_share: f64) -> Result<(Self, Option<String>)> {
        let faults = Faults::new("photos", self.pictures.len(), max_share);
        let set = self.with_regions(regions, &faults)?;
        Ok((set, faults.report()))
    }
}

/// Opens a file of regions for a captioner that reads `annotation_size` features, or any number for `None`.
///
/// # Errors
/// As [`Regions::open`] says, and when the file has another number of features.
pub fn open_regions(path: &Path, annotation_size: Option<usize>) -> Result<Arc<Regions>> {
    let regions = Regions::open(path)?;
    let found = regions.features();
    match annotation_size {
        Some(wanted) if wanted != found => {
            let shown = path.display();
            let fault = format!("{shown}: regions have {found} features; the captioner was trained on {wanted}");
            Err(Error::Config(fault))
        }
        _ => Ok(Arc::new(regions)),
    }
}

/// The encoder of a captioner that reads regions from a file: it has their size and sees no pictures.
pub(crate) struct FromFile([LayerInfo; 1]);

impl FromFile {
    pub fn new(channels: usize) -> Self {
        Self([LayerInfo { name: "regions".into(), channels, stride: 1 }])
    }
}

impl Encoder for FromFile {
    fn name(&self) -> &str {
        "regions"
    }

    fn layers(&self) -> &[LayerInfo] {
        &self.0
    }

    fn layer(&self, _: &str, _: &Tensor, _: &mut Mode) -> candle_core::Result<Tensor> {
        candle_core::bail!(
            "this captioner reads regions from a file and sees no pictures; name the file with --regions"
        )
    }

    fn classes(&self) -> Option<usize> {
        None
    }

    fn classify(&self, map: &Tensor, mode: &mut Mode) -> candle_core::Result<Tensor> {
        self.layer("", map, mode)
    }

    fn for_inference(&self) -> candle_core::Result<Box<dyn Encoder>> {
        Ok(Box::new(Self(self.0.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_regions_are_spread_over_their_boxes() {
        let map = AttentionMap::over(
            &[[0.0, 0.0, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0], [0.01, 0.01, 0.011, 0.011]],
            &[0.5, 0.3, 0.2],
        );
        let at = |x: usize, y: usize| map.weights[y * GRID + x];
        assert!((map.weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        assert!((at(3, 20) - 0.5 / 392.0).abs() < 1e-7 && (at(20, 20) - 0.3 / 196.0).abs() < 1e-7);
        assert_eq!(at(20, 3), 0.0);
        assert!((at(0, 0) - 0.5 / 392.0 - 0.2).abs() < 1e-6);
        assert_eq!(map.peak(), (0.5 / 28.0, 0.5 / 28.0));
        // Boxes beyond the photo's borders count as far as they lie in it.
        let beyond = AttentionMap::over(&[[-0.5, 0.9, 1.5, 1.2]], &[1.0]);
        assert!((beyond.weights.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}
