//! From files to batches: pictures, captions, words, generated scenes, feature cache and loader.
//!
//! [`captions`] reads what people have (Flickr8k's lists, JSON of Karpathy, COCO and VizWiz, imagefolders, texts beside pictures), [`text::words`] turns captions
//! into ids, [`picture`] decodes photos within limits, [`loader`] does so on worker threads, [`buckets`] puts captions of like length
//! into one batch, [`image_classes`] reads pictures with a class each, [`labelled_text`] sentences, [`sound`] sounds and [`clips`] film, [`values`] sequences of
//! numbers and sets of notes, [`parallel`] sentences with their translations, [`questions`] questions about pictures, [`features`] keeps the annotations of a
//! frozen encoder, [`regions`] reads those of an object detector, [`skipped`] collects what was broken on the way, and [`scenes`] draws pictures whose captions
//! are known; [`placed`] moves pictures within larger ones.

#![forbid(unsafe_code)]

pub mod buckets;
pub mod captions;
mod classes;
pub mod clips;
mod error;
pub mod features;
pub mod image_classes;
pub mod labelled_text;
pub mod loader;
mod note;
pub mod parallel;
pub mod picture;
pub mod placed;
mod positional;
pub mod questions;
pub mod regions;
pub mod scenes;
pub mod skipped;
pub mod sound;
mod split;
pub mod text;
pub mod tokens;
mod tree;
pub mod values;

pub use error::{Error, Result, escaped, shown};
pub use image;
pub use note::Note;
pub use split::{Parts, Split};

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
