//! Memory for large tensors that is used again.
//!
//! A training step makes and drops the same large tensors over and over. The system's allocator hands such blocks back to
//! the system, and taking them anew costs a page fault every 4 KiB: a sixth of the kernels' time on MNIST.

use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Bytes;
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty};

use super::buffer::Shared;

/// Values from which on a tensor's memory is kept; below, the system's allocator does so itself.
const LARGE: usize = 1 << 15;

/// Bytes that are kept in any case. Beyond them, blocks are kept as long as they and those in use are together not much more
/// than were in use at once before: a large network's step then finds its memory again, and the process takes little more than
/// its step needs.
const LIMIT: usize = 512 << 20;

/// Values of a cache line.
const LINE: usize = 16;

/// A cache line of values, not written yet or written.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([MaybeUninit<f32>; LINE]);

/// Blocks that no tensor uses, the one given back last at the end.
#[derive(Default)]
struct Pool {
    blocks: Vec<Vec<Line>>,
    bytes: usize,
    /// Bytes of the blocks in use.
    used: usize,
    /// The most that were ever in use.
    most_used: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    blocks: Vec::new(),
    bytes: 0,
    used: 0,
    most_used: 0,
});

fn with_pool<T>(work: impl FnOnce(&mut Pool) -> T) -> T {
    // A panic elsewhere cannot leave the pool in disorder.
    work(&mut POOL.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Pool {
    /// A block of at least so many lines, and not many more.
    fn take(&mut self, lines: usize) -> Option<Vec<Line>> {
        let fits = |block: &Vec<Line>| block.len() >= lines && block.len() <= lines + lines / 8;
        let index = self.blocks.iter().rposition(fits)?;
        let block = self.blocks.remove(index);
        self.bytes -= size_of_val(block.as_slice());
        Some(block)
    }

    fn give(&mut self, block: Vec<Line>) {
        self.bytes += size_of_val(block.as_slice());
        self.blocks.push(block);
        self.trim();
    }

    /// Blocks of so many bytes came into use.
    fn begin(&mut self, bytes: usize) {
        self.used += bytes;
        self.most_used = self.most_used.max(self.used);
        self.trim();
    }

    /// They are not in use any more.
    fn end(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }

    fn trim(&mut self) {
        // Half more than was in use at once, since blocks of one size do not serve for another.
        let most = self.most_used + self.most_used / 2;
        let limit = LIMIT.max(most.saturating_sub(self.used));
        while self.bytes > limit && !self.blocks.is_empty() {
            let oldest = self.blocks.remove(0);
            self.bytes -= size_of_val(oldest.as_slice());
        }
    }

    /// Everything that is kept, and a new count of what is used at most.
    fn empty(&mut self) -> Vec<Vec<Line>> {
        self.bytes = 0;
        self.most_used = self.used;
        std::mem::take(&mut self.blocks)
    }
}

/// Gives the memory that the kernels keep for their next results back to the system.
pub fn release_memory() {
    let blocks = with_pool(Pool::empty);
    drop(blocks);
}

/// A block in use, which goes back when it is dropped.
struct Block(Vec<Line>);

impl Block {
    fn new(lines: usize) -> Self {
        let kept = with_pool(|pool| {
            let kept = pool.take(lines);
            let length = kept.as_ref().map_or(lines, Vec::len);
            pool.begin(length * size_of::<Line>());
            kept
        });
        Self(kept.unwrap_or_else(|| {
            let mut block = Vec::with_capacity(lines);
            // SAFETY: the capacity is there, and a line may be uninitialised.
            unsafe { block.set_len(lines) };
            in_large_pages(&mut block);
            block
        }))
    }
}

/// Asks the system for pages of 2 MiB under a new block: fewer page faults, and maps of hundreds of MiB that the processor finds
/// without a walk through page tables. If the system does not want to, nothing changes.
#[cfg(target_os = "linux")]
fn in_large_pages(block: &mut [Line]) {
    const PAGE: usize = 2 << 20;
    let bytes = size_of_val(block);
    let pointer = block.as_mut_ptr().cast::<u8>();
    let before = pointer.align_offset(PAGE);
    let pages = bytes.saturating_sub(before) / PAGE;
    if pages > 0 {
        // SAFETY: the range lies in the block, which is ours; the advice does not change its content.
        unsafe {
            libc::madvise(
                pointer.add(before).cast(),
                pages * PAGE,
                libc::MADV_HUGEPAGE,
            )
        };
    }
}

/// Elsewhere pages are the system's choice.
#[cfg(not(target_os = "linux"))]
fn in_large_pages(_block: &mut [Line]) {}

impl Drop for Block {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.0);
        with_pool(|pool| {
            pool.end(size_of_val(block.as_slice()));
            pool.give(block);
        });
    }
}

impl AllocationController for Block {
    fn alloc_align(&self) -> usize {
        align_of::<Line>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(
        &mut self,
        _: AccessPolicy,
    ) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes = size_of_val(self.0.as_slice());
        // SAFETY: the same memory, of plain bytes; the caller writes initialised data only.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), bytes) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes = size_of_val(self.0.as_slice());
        // SAFETY: the same memory, of plain bytes.
        Ok(unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), bytes) })
    }
}

/// Memory of `length` values that `fill` writes through the pointer, without zeros written first.
///
/// # Safety
/// `fill` must write all `length` values.
pub unsafe fn filled(length: usize, fill: impl FnOnce(Shared)) -> Bytes {
    if length < LARGE {
        let mut values = vec![0.0; length];
        fill(Shared::new(&mut values));
        return Bytes::from_elems(values);
    }
    let mut block = Block::new(length.div_ceil(LINE));
    fill(Shared::from_pointer(block.0.as_mut_ptr().cast()));
    // SAFETY: the caller vouches that `fill` wrote the first `length` values of the block.
    unsafe { Bytes::from_controller(Box::new(block), length * size_of::<f32>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_taken_again_if_they_fit() {
        let mut pool = Pool::default();
        let block = |lines| vec![Line([MaybeUninit::new(0.0); LINE]); lines];
        pool.give(block(100));
        pool.give(block(1000));
        assert!(pool.take(101).is_none());
        assert!(pool.take(80).is_none());
        assert_eq!(pool.take(95).map(|block| block.len()), Some(100));
        assert_eq!(pool.bytes, 64_000);
    }

    #[test]
    fn the_oldest_blocks_go_first() {
        let mut pool = Pool::default();
        for lines in 1..=3 {
            let mut block = Vec::with_capacity(lines * (LIMIT / 64 / 4));
            // SAFETY: the capacity is there, and a line may be uninitialised.
            unsafe { block.set_len(block.capacity()) };
            pool.give(block);
        }
        assert!(pool.bytes <= LIMIT);
        assert_eq!(pool.blocks.len(), 1);
    }

    #[test]
    fn as_much_is_kept_as_was_in_use_at_once() {
        let mut pool = Pool::default();
        let block = || {
            let mut block = Vec::with_capacity(LIMIT / 64 / 2);
            // SAFETY: the capacity is there, and a line may be uninitialised.
            unsafe { block.set_len(block.capacity()) };
            block
        };
        let size = LIMIT / 2;
        pool.begin(6 * size);
        for kept in 1..=6 {
            pool.end(size);
            pool.give(block());
            assert_eq!(pool.blocks.len(), kept);
        }
        // Blocks of other sizes take their place.
        pool.begin(3 * size);
        assert_eq!(pool.blocks.len(), 6);
        pool.begin(2 * size);
        assert_eq!(pool.blocks.len(), 4);
        pool.end(5 * size);
        assert_eq!(pool.empty().len(), 4);
        pool.give(block());
        pool.give(block());
        pool.give(block());
        assert_eq!(pool.bytes, LIMIT);
    }
}
