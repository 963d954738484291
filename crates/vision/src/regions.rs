//! Region features: annotations that an object detector computed before, read from a file.

use crate::annotations::Annotations;
use candle_core::{Device, Tensor};
use candlewick_data::regions::{PhotoRegions, Regions};
use candlewick_data::{Error, Result};
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

    /// The annotations of the photos in these rows, on the CPU; P is the largest number of regions among them.
    ///
    /// # Errors
    /// When the file does not hold what it says.
    pub fn annotations(&self, rows: &[usize]) -> Result<Annotations> {
        let photos: Vec<PhotoRegions> =
            rows.iter().map(|&row| self.regions.get(&self.ids[row])).collect::<Result<_>>()?;
        let (p, c) = (photos.iter().map(|photo| photo.boxes.len()).max().unwrap_or(0), self.regions.features());
        let mut all = vec![0.0; photos.len() * p * c];
        for (photo, into) in photos.iter().zip(all.chunks_exact_mut((p * c).max(1))) {
            into[..photo.features.len()].copy_from_slice(&photo.features);
        }
        let counts = photos.iter().map(|photo| photo.boxes.len() as u32).collect();
        let annotations = Tensor::from_vec(all, (photos.len(), p, c), &Device::Cpu)?;
        Ok(Annotations::set(annotations)?.with_counts(counts)?)
    }
}

/// Opens a file of regions for a model that reads `annotation_size` features, or any number for `None`.
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
            Err(Error::Setting(fault))
        }
        _ => Ok(Arc::new(regions)),
    }
}

/// The encoder of a model that reads regions from a file: it has their size and sees no pictures.
pub(crate) struct RegionsEncoder([LayerInfo; 1]);

impl RegionsEncoder {
    pub fn new(channels: usize) -> Self {
        Self([LayerInfo { name: "regions".into(), channels, stride: 1 }])
    }
}

impl Encoder for RegionsEncoder {
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

    fn head(&self, map: &Tensor, mode: &mut Mode) -> candle_core::Result<Tensor> {
        self.layer("", map, mode)
    }

    fn for_inference(&self) -> candle_core::Result<Box<dyn Encoder>> {
        Ok(Box::new(Self(self.0.clone())))
    }
}
