//! What a frozen encoder saw in each photo, on disk: computed once, in f16.
//!
//! A cache is two files. The data file has one row of P·C little-endian f16 numbers a photo. The index has a line a row:
//! the photo's hash and the row's checksum, behind a checksum of the line itself. A row's line is written after the row
//! was synced, so whatever moment the power fails at, a line that is whole speaks of a row that is whole; what comes after
//! the last whole line is cut off when the cache is opened again.
//!
//! What a reader may know of is never cut or written over: where more than the torn end of a line is damaged, both files are
//! made anew beside the old ones and renamed, and whoever has the old ones open goes on reading these.
//!
//! Nothing in it can be stale: another encoder, layer or preprocessing has other files ([`Key`]), and a photo that was
//! changed has another hash ([`PhotoHash`]), while one that was only renamed keeps its own.

mod cache;
mod checksummed_lines;
mod hashes;
mod key;
mod lock;

pub use cache::FeatureCache;
pub use hashes::{PhotoHash, PhotoHashes};
pub use key::Key;
