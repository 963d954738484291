//! Networks that look at a picture and tell what is on it, in Rust, on candle.
//!
//! This crate gathers the others under one name; take it with `default-features = false` to leave the command line out,
//! or take the one crate that you need.
//!
//! Pages to read: [`guide::lecture`], every idea of the lecture with the command that shows it, [`guide::photos`], captioners of photos of
//! one's own, and [`guide::pytorch`], from PyTorch's names to ours.
//!
//! ```no_run
//! use candlewick::captioning::{Captioner, GenerationConfig};
//! use candlewick::candle::Device;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let captioner = Captioner::from_pretrained("runs/flickr8k", &Device::Cpu)?;
//! let photo = candlewick::data::picture::decode("photo.jpg".as_ref(), &Default::default())?;
//! let caption = captioner.caption(&photo, &GenerationConfig::beam(5))?;
//! println!("{}", caption.text);
//! # Ok(())
//! # }
//! ```

pub use candle_core as candle;
pub use candlewick_captioning as captioning;
pub use candlewick_data as data;
pub use candlewick_data::image;
pub use candlewick_encoders as encoders;
pub use candlewick_generation as generation;
pub use candlewick_kernels as kernels;
pub use candlewick_metrics as metrics;
pub use candlewick_pages as pages;
pub use candlewick_parameters as parameters;
pub use candlewick_recurrent as recurrent;
pub use candlewick_tasks as tasks;
pub use candlewick_training as training;
pub use candlewick_vision as vision;

/// Pages to read.
pub mod guide {
    #[doc = include_str!("guide/lecture.md")]
    pub mod lecture {}

    #[doc = include_str!("guide/photos.md")]
    pub mod photos {}

    #[doc = include_str!("guide/pytorch.md")]
    pub mod pytorch {}
}

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
