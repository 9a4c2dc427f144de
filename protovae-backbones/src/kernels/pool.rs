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

/// Bytes that are kept at most.
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
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    blocks: Vec::new(),
    bytes: 0,
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
        while self.bytes > LIMIT {
            let oldest = self.blocks.remove(0);
            self.bytes -= size_of_val(oldest.as_slice());
        }
    }
}

/// Gives the memory that the kernels keep for their next results back to the system.
pub fn release_memory() {
    let blocks = with_pool(std::mem::take);
    drop(blocks);
}

/// A block in use, which goes back when it is dropped.
struct Block(Vec<Line>);

impl Block {
    fn new(lines: usize) -> Self {
        Self(with_pool(|pool| pool.take(lines)).unwrap_or_else(|| {
            let mut block = Vec::with_capacity(lines);
            // SAFETY: the capacity is there, and a line may be uninitialised.
            unsafe { block.set_len(lines) };
            block
        }))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.0);
        with_pool(|pool| pool.give(block));
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
}
