//! From pictures to annotations, for any task that looks at pictures.
//!
//! A [`PictureEncoder`] is an encoder with its preprocessing and device; it gives [`Annotations`]. A [`PictureSource`] is where a data
//! set's pictures come from: photo files seen through [`Views`], generated scenes, annotations that [`cached`] computed before, or
//! regions of an object detector ([`RegionSet`]). [`AttentionMap`] lays attention weights over a picture.

#![forbid(unsafe_code)]

mod annotations;
mod attention_map;
mod cache;
mod config;
mod picture_encoder;
mod readable;
mod recipe;
mod regions;
mod source;
mod views;

pub use annotations::Annotations;
pub use attention_map::AttentionMap;
pub use cache::{AnnotationCache, CachedPart, cached};
pub use candlewick_data::{Error, Result};
pub use config::{EncoderConfig, WeightsFile};
pub use image;
pub use picture_encoder::{ENCODER, PictureEncoder};
pub use readable::readable;
pub use recipe::{EncoderRecipe, check_stage, preprocessing};
pub use regions::{RegionSet, open_regions};
pub use source::{CachedAnnotations, EncoderInput, PictureSource, retained};
pub use views::{Part, View, Views};

/// The README's examples, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
