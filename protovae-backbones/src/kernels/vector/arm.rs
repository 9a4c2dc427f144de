//! Vectors of 64-bit ARM: NEON.

use super::{Anywhere, Vector};
use std::arch::aarch64::*;

/// Four lanes: NEON, which every 64-bit ARM processor has.
#[derive(Clone, Copy)]
pub struct Neon(float32x4_t);

// SAFETY: every 64-bit ARM processor has NEON.
unsafe impl Vector for Neon {
    const LANES: usize = 4;
    const ROWS: usize = 8;
    const WIDE: bool = true;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: NEON is there.
        Self(unsafe { vdupq_n_f32(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for four readable values.
        Self(unsafe { (*from.cast::<Anywhere<float32x4_t>>()).0 })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for four writable values.
        unsafe { *to.cast::<Anywhere<float32x4_t>>() = Anywhere(self.0) }
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: NEON is there.
        Self(unsafe { vfmaq_f32(self.0, a.0, b.0) })
    }
    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        // SAFETY: NEON is there.
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        // SAFETY: NEON is there.
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // SAFETY: NEON is there. Of an unordered pair the second comes out: NaN stays.
        Self(unsafe { vmaxq_f32(vdupq_n_f32(0.0), self.0) })
    }
    #[inline(always)]
    unsafe fn where_positive(self, other: Self) -> Self {
        // SAFETY: NEON is there.
        Self(unsafe {
            vreinterpretq_f32_u32(vandq_u32(
                vcgtq_f32(other.0, vdupq_n_f32(0.0)),
                vreinterpretq_u32_f32(self.0),
            ))
        })
    }
    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [Self; 4]) -> [f32; 4] {
        // SAFETY: NEON is there; a vector of four is as large as four values.
        unsafe {
            let sums = vpaddq_f32(vpaddq_f32(a.0, b.0), vpaddq_f32(c.0, d.0));
            std::mem::transmute::<float32x4_t, [f32; 4]>(sums)
        }
    }
}
