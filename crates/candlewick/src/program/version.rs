//! Which program this is.

/// The version, the commit that a release was built from, and the features that it was built with.
pub const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("CANDLEWICK_BUILD"), ", features ", env!("CANDLEWICK_FEATURES"), ")");
