//! Memory for the kernels: pointers that threads share, and sums that a thread keeps.

use std::cell::RefCell;

/// A pointer that threads share, each writing its own part.
#[derive(Clone, Copy)]
pub struct Shared(*mut f32);

// SAFETY: a bare pointer; whoever writes through it vouches that no two threads touch the same value.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// To a buffer of one's own.
    pub fn new(values: &mut [f32]) -> Self {
        Self(values.as_mut_ptr())
    }

    /// To memory that need not be initialised.
    pub fn from_pointer(pointer: *mut f32) -> Self {
        Self(pointer)
    }

    /// The pointer, moved by `offset` values.
    ///
    /// # Safety
    /// `offset` lies within the buffer.
    pub unsafe fn at(self, offset: usize) -> *mut f32 {
        // SAFETY: the caller vouches for the offset.
        unsafe { self.0.add(offset) }
    }
}

thread_local! {
    static SUMS: RefCell<Vec<f32>> = RefCell::default();
}

/// Lends this thread's buffer for the sums of all parts, while other threads' scratch is in use: `length` values of any
/// content. Kept, because a fresh one of this size costs the system a page fault every thousand values.
pub fn with_sums<T>(length: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut sums = SUMS.take();
    if sums.len() < length {
        sums.resize(length, 0.0);
    }
    let result = work(&mut sums[..length]);
    SUMS.set(sums);
    result
}
