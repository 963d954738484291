//! Which program this is.

/// The version, the commit that it was built from, and the features that it was built with.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("CANDLEWICK_COMMIT"),
    ", features ",
    env!("CANDLEWICK_FEATURES"),
    ")"
);
