//! What features depend on, and the names of their files.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// What features depend on besides the photo.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The hash of the encoder's weights.
    pub weights: String,
    /// The preprocessing as JSON.
    pub preprocessing: String,
    /// The layer that is kept, by name.
    pub layer: String,
}

impl Key {
    /// The first line of an index of annotations of this shape (P, C).
    pub(super) fn header(&self, shape: (usize, usize)) -> String {
        serde_json::json!({
            "version": 1, "weights": self.weights, "preprocessing": self.preprocessing, "layer": self.layer,
            "positions": shape.0, "channels": shape.1,
        })
        .to_string()
    }

    /// The data file's path: its name is a digest of everything that features depend on.
    pub(super) fn data_path(&self, folder: &Path, shape: (usize, usize)) -> PathBuf {
        let digest = Sha256::digest(self.header(shape).as_bytes());
        let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        folder.join(format!("features-{name}.f16"))
    }
}
