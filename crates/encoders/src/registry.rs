//! The registry of architectures: those of this crate in a table, and the caller's own.

use crate::architecture::Architecture;
use candle_core::{Error, Result};
use candlewick_parameters::nearest;
use std::sync::{LazyLock, PoisonError, RwLock};

static TABLE: LazyLock<Vec<Architecture>> = LazyLock::new(|| {
    let architectures = crate::networks::architectures();
    #[cfg(feature = "transformers")]
    let architectures = architectures.chain(crate::transformers::architectures());
    architectures.collect()
});

/// What [`add_network`] added; nothing is ever taken out.
static ADDED: RwLock<Vec<&'static Architecture>> = RwLock::new(Vec::new());

fn known(added: &[&'static Architecture]) -> impl Iterator<Item = &'static Architecture> {
    TABLE.iter().chain(added.iter().copied())
}

/// Makes a network of the caller's own known by its name: recipes, captioners and classifiers then build it as they build the
/// others, and open again the models that it is in.
///
/// It stays known as long as the program runs. [`crate::Backbone`] makes an encoder of a model that is no [`crate::Encoder`] yet, and
/// shows how the two go together.
///
/// # Errors
/// When a network has this name already.
pub fn add_network(architecture: Architecture) -> Result<()> {
    let mut added = ADDED.write().unwrap_or_else(PoisonError::into_inner);
    let name = architecture.name();
    if known(&added).any(|known| known.name() == name) {
        candle_core::bail!("{name}: there is a network of this name already; take another name")
    }
    added.push(Box::leak(Box::new(architecture)));
    Ok(())
}

/// The names that [`Architecture::find`] knows, those of [`add_network`] last.
pub fn networks() -> Vec<&'static str> {
    known(&ADDED.read().unwrap_or_else(PoisonError::into_inner)).map(Architecture::name).collect()
}

impl Architecture {
    /// The architecture of this name.
    ///
    /// # Errors
    /// When there is none: the message has the nearest name, or all of them where none is near.
    pub fn find(name: &str) -> Result<&'static Self> {
        let found = known(&ADDED.read().unwrap_or_else(PoisonError::into_inner)).find(|known| known.name() == name);
        found.ok_or_else(|| Error::Msg(format!("no network is called {name}{}", hint(name))))
    }
}

/// The nearest name, or all names.
fn hint(name: &str) -> String {
    let names = networks();
    let nearest = nearest(name, &names);
    if !nearest.is_empty() {
        return nearest;
    }
    let more = match cfg!(feature = "transformers") {
        true => "",
        false => "; built with the feature transformers, ViT, DINOv2, CLIP, SigLIP, BEiT and EVA-02 too",
    };
    format!("; there are {}{more}", names.join(", "))
}
