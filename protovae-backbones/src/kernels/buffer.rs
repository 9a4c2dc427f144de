//! Memory for the kernels: pointers that threads share, and scratch that a thread keeps.

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

/// Three buffers of a thread.
#[derive(Default)]
pub struct Scratch {
    /// Planes of the big side.
    pub big: Vec<f32>,
    /// Planes of the small side.
    pub small: Vec<f32>,
    /// What a sweep gives.
    pub out: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
    static SUMS: RefCell<Vec<f32>> = RefCell::default();
}

/// Lends this thread's buffer for the sums of all parts, while other threads' scratch is in use: `length` values of any
/// content. Kept, because a fresh one of this size costs the system a page fault every thousand values.
pub fn with_sums<T>(length: usize, work: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut sums = SUMS.take();
    at_least(&mut sums, length);
    let result = work(&mut sums[..length]);
    SUMS.set(sums);
    result
}

/// Lends this thread's scratch; its buffers keep their size from call to call.
///
/// Always inlined, so that `work` compiles for the instruction set of the caller.
#[inline(always)]
pub fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    // Taken out rather than borrowed, so that a nested call merely starts with an empty one.
    let mut scratch = SCRATCH.take();
    let result = work(&mut scratch);
    SCRATCH.set(scratch);
    result
}

/// A pointer to at least `length` values.
pub fn at_least(buffer: &mut Vec<f32>, length: usize) -> *mut f32 {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    buffer.as_mut_ptr()
}
