//! How many floating-point operations the kernels have done.

use std::sync::atomic::{AtomicU64, Ordering};

static OPERATIONS: AtomicU64 = AtomicU64::new(0);

/// Floating-point operations that the convolutions and fully connected layers of this process have done on the CPU so far,
/// a multiplication and an addition each; without those that padding would have multiplied by zero.
pub fn operations() -> u64 {
    OPERATIONS.load(Ordering::Relaxed)
}

/// Counts `products` multiplications with an addition each.
pub(super) fn count(products: usize) {
    OPERATIONS.fetch_add(2 * products as u64, Ordering::Relaxed);
}
