//! From files to batches: pictures, captions, words, generated scenes, feature cache and loader.
//!
//! [`captions`] reads what people have (Flickr8k's lists, Karpathy's JSON, COCO's JSON, a simple list), [`words`] turns
//! captions into ids, [`picture`] decodes photos within limits, [`loader`] does so on worker threads, [`buckets`] puts
//! captions of like length into one batch, [`labelled`] reads pictures with a class each, [`features`] keeps what a frozen
//! encoder saw, [`regions`] reads what an object detector saw, [`faults`] collects what was broken on the way, and [`scenes`] draws pictures whose captions are known.

#![forbid(unsafe_code)]

pub mod buckets;
pub mod captions;
mod error;
pub mod faults;
pub mod features;
pub mod labelled;
pub mod loader;
mod note;
pub mod picture;
mod positional;
pub mod regions;
pub mod scenes;
pub mod text;
pub mod words;

pub use error::{Error, Result, escaped, shown};
pub use note::Note;
