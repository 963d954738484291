//! What the driver that counts was asked for.

use candle_core::Result;
use std::sync::Mutex;

/// What was asked since the last time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub launches: i64,
    pub products: i64,
    pub allocations: i64,
    pub uploads: i64,
    pub downloads: i64,
    pub copies: i64,
    pub fills: i64,
    pub events: i64,
    pub waits: i64,
}

impl Counts {
    /// Without what other work asked for.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn without(self, other: Self) -> Self {
        Self {
            launches: self.launches - other.launches,
            products: self.products - other.products,
            allocations: self.allocations - other.allocations,
            uploads: self.uploads - other.uploads,
            downloads: self.downloads - other.downloads,
            copies: self.copies - other.copies,
            fills: self.fills - other.fills,
            events: self.events - other.events,
            waits: self.waits - other.waits,
        }
    }
}

unsafe extern "C" {
    fn driver_counts(into: *mut Counts);
    fn driver_hurry(wanted: std::ffi::c_int);
}

/// Whether copies from the host's pinned memory are done at once; without it they are as late as they may be.
#[allow(dead_code, reason = "not every test needs it")]
pub fn hurry(wanted: bool) {
    // SAFETY: it sets a number.
    unsafe { driver_hurry(wanted.into()) }
}

fn counts() -> Counts {
    let mut counts = Counts::default();
    // SAFETY: it writes nine numbers.
    unsafe { driver_counts(&raw mut counts) };
    counts
}

/// There is one driver: tests take turns.
pub static DRIVER: Mutex<()> = Mutex::new(());

/// What the second call asks for: the first one loads kernels.
pub fn asked<T>(work: impl Fn() -> Result<T>) -> Counts {
    work().unwrap();
    counts();
    // What is kept until the end may wait where it goes.
    let _done = work().unwrap();
    counts()
}
