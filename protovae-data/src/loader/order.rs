//! The order in which an epoch visits the images.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Keeps this stream of random numbers apart from others made of the same seed and epoch.
const STREAM: &[u8; 16] = b"protovae:shuffle";

/// The order of the images of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Order {
    /// By index.
    #[default]
    Sequential,
    /// By [`permutation`] of the seed and the epoch.
    Shuffled {
        /// The seed of the run.
        seed: u64,
    },
}

impl Order {
    /// The indices 0..n in this order.
    #[must_use]
    pub fn indices(&self, epoch: u64, n: usize) -> Vec<usize> {
        match *self {
            Self::Sequential => (0..n).collect(),
            Self::Shuffled { seed } => permutation(seed, epoch, n),
        }
    }
}

/// A permutation of 0..n that is a pure function of its arguments, on every machine and in every version of this crate.
///
/// The key of ChaCha8 (nonce and counter 0) is the 32 bytes seed (little-endian), epoch (little-endian),
/// `protovae:shuffle`; its output is read as little-endian u64. Fisher-Yates from the end: for i = n−1 down to 1, draw x until
/// x < 2⁶⁴ − (2⁶⁴ mod (i+1)), and swap i with x mod (i+1).
///
/// ```
/// let order = protovae_data::permutation(7, 0, 10);
/// assert_eq!(order, [1, 9, 6, 2, 3, 4, 5, 7, 8, 0]);
/// ```
#[must_use]
pub fn permutation(seed: u64, epoch: u64, n: usize) -> Vec<usize> {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    key[16..].copy_from_slice(STREAM);
    let mut random = ChaCha8Rng::from_seed(key);
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        let bound = last as u64 + 1;
        // 2^64 mod bound without 128 bits: the remainder of 2^64 − bound. Values from the incomplete last block of `bound`
        // numbers would favour the small remainders.
        let excess = bound.wrapping_neg() % bound;
        let x = loop {
            let x = random.next_u64();
            if x <= u64::MAX - excess {
                break x;
            }
        };
        order.swap(last, (x % bound) as usize);
    }
    order
}
