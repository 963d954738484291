//! Files of the Hugging Face hub.

use super::Failure;
use hf_hub::{Cache, api::sync::ApiBuilder};
use std::path::{Path, PathBuf};
use toml::Table;

/// Where a repository may keep its weights, the better first.
const FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// The weights of a repository such as `timm/resnet18.tv_in1k`: from the hub's cache on this machine, or else from the hub.
///
/// # Errors
/// When they are neither in the cache nor to be had; one line that says so.
pub fn weights(repository: &str) -> Result<PathBuf, Failure> {
    find(repository, "--weights")
}

/// The file that `--encoder-weights` names, itself or as `hub:REPO`.
///
/// # Errors
/// As [`weights`] says.
pub fn encoder_weights(named: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    let repository = named.and_then(Path::to_str).and_then(|named| named.strip_prefix("hub:"));
    match repository {
        Some(repository) => find(repository, "--encoder-weights").map(Some),
        None => Ok(named.map(Path::to_owned)),
    }
}

/// Puts files in the place of pretrained weights that a recipe names as `hub:REPO`.
///
/// # Errors
/// As [`weights`] says.
pub fn recipe_weights(recipe: &mut Table) -> Result<(), Failure> {
    for (_, value) in recipe.iter_mut() {
        let Some(pretrained) = value.as_table_mut().and_then(|table| table.get_mut("pretrained")) else { continue };
        if let Some(repository) = pretrained.as_str().and_then(|named| named.strip_prefix("hub:")) {
            *pretrained = find(repository, "--encoder-weights")?.display().to_string().into();
        }
    }
    Ok(())
}

fn find(repository: &str, flag: &str) -> Result<PathBuf, Failure> {
    let cache = Cache::from_env();
    let cached = cache.model(repository.to_owned());
    if let Some(path) = FILES.iter().find_map(|file| cached.get(file)) {
        return Ok(path);
    }
    let unavailable = |reason: String| {
        let (folder, reason) = (cache.path().display(), reason.lines().next().unwrap_or_default().to_owned());
        Failure::Work(format!(
            "hub:{repository}: not in the cache {folder}, and the hub gave nothing ({reason}); download it where there is a network, or name a file with {flag} FILE"
        ))
    };
    let api = ApiBuilder::from_env().with_progress(false).build().map_err(|error| unavailable(error.to_string()))?;
    let remote = api.model(repository.to_owned());
    let mut reason = String::new();
    for file in FILES {
        match remote.get(file) {
            Ok(path) => return Ok(path),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(unavailable(reason))
}
