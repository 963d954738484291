//! What sequences are read from: texts, tables, sounds, notes, pictures by rows, clips; and what is drawn.

mod clips;
mod config;
mod frames;
mod labelled;
mod load;
mod moving;
mod pictures;
mod preprocessing;
mod reading;
mod sounds;

pub use config::{AddingConfig, ClipsConfig, DataConfig, Fold, FramesConfig, MovingConfig, SoundConfig, ValuesConfig};
pub use labelled::{Input, Labelled, LabelledSequences};
pub(super) use pictures::greys;
pub use preprocessing::SequencePreprocessing;
