//! The program's allocator.
//!
//! Training makes and drops maps of many megabytes at every layer. The system's allocator gives such pages back each time,
//! and the system clears them anew; this one keeps them.

use libmimalloc_sys::{mi_option_set, mi_option_t, mi_option_use_numa_nodes};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// mimalloc's `purge_delay`, which stands before `use_numa_nodes` in its header and which the bindings leave out.
const PURGE_DELAY: mi_option_t = mi_option_use_numa_nodes - 1;

/// Tells the allocator to give nothing back before the program ends.
pub fn keep_pages() {
    // SAFETY: setting an option is allowed at any time; −1 means never.
    unsafe { mi_option_set(PURGE_DELAY, -1) };
}
