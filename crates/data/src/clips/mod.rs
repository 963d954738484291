//! Clips of film with a class each.
//!
//! - a folder a class and in it a folder a clip, whose pictures are the frames by name, numbers in them by size; or a clip is a file: a GIF, or a film
//!   that the program `ffmpeg` reads, where it is there;
//! - the parts are folders `train`, `dev` and `test` above the classes, or told by UCF-101's lists (Soomro et al. 2012), `trainlist01.txt` and so on,
//!   `CLASS/CLIP` or `CLASS/CLIP.avi` a line, beside the classes' folders or beside a folder `frames` that holds them, with `classInd.txt`.
//!
//! [`moving`] draws clips.

mod films;
mod frames;
mod lists;
pub mod moving;
mod set;

pub use frames::FrameLimits;
pub use set::{Clip, ClipSet, LoadOptions, load};

#[cfg(test)]
mod tests;
