//! Vectors of x86-64: SSE2, AVX2 and AVX-512.

use super::{Anywhere, Vector};
use std::arch::x86_64::*;

/// Four lanes: SSE2, which every x86-64 has.
#[derive(Clone, Copy)]
pub struct Sse2(__m128);

// SAFETY: every x86-64 has SSE2.
unsafe impl Vector for Sse2 {
    const LANES: usize = 4;
    const ROWS: usize = 6;
    const WIDE: bool = false;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: every x86-64 has SSE2.
        Self(unsafe { _mm_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for four readable values.
        Self(unsafe { (*from.cast::<Anywhere<__m128>>()).0 })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for four writable values.
        unsafe { *to.cast::<Anywhere<__m128>>() = Anywhere(self.0) }
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: every x86-64 has SSE2.
        Self(unsafe { _mm_add_ps(self.0, _mm_mul_ps(a.0, b.0)) })
    }
    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        // SAFETY: every x86-64 has SSE2.
        Self(unsafe { _mm_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        // SAFETY: every x86-64 has SSE2.
        Self(unsafe { _mm_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // SAFETY: every x86-64 has SSE2. Of an unordered pair the second comes out: NaN stays.
        Self(unsafe { _mm_max_ps(_mm_setzero_ps(), self.0) })
    }
    #[inline(always)]
    unsafe fn where_positive(self, other: Self) -> Self {
        // SAFETY: every x86-64 has SSE2.
        Self(unsafe { _mm_and_ps(_mm_cmpgt_ps(other.0, _mm_setzero_ps()), self.0) })
    }
    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [Self; 4]) -> [f32; 4] {
        // SAFETY: every x86-64 has SSE2; a vector of four is as large as four values.
        unsafe {
            let (mut a, mut b, mut c, mut d) = (a.0, b.0, c.0, d.0);
            _MM_TRANSPOSE4_PS(&mut a, &mut b, &mut c, &mut d);
            std::mem::transmute::<__m128, [f32; 4]>(_mm_add_ps(_mm_add_ps(a, c), _mm_add_ps(b, d)))
        }
    }
}

/// Eight lanes: AVX2 and FMA.
#[derive(Clone, Copy)]
pub struct Avx2(__m256);

// SAFETY: every method only uses AVX2 and FMA, which the caller has to have checked for.
unsafe impl Vector for Avx2 {
    const LANES: usize = 8;
    const ROWS: usize = 6;
    const WIDE: bool = false;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller vouches for AVX2.
        Self(unsafe { _mm256_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for AVX2 and for eight readable values.
        Self(unsafe { (*from.cast::<Anywhere<__m256>>()).0 })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for AVX2 and for eight writable values.
        unsafe { *to.cast::<Anywhere<__m256>>() = Anywhere(self.0) }
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller vouches for FMA.
        Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
    }
    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        // SAFETY: the caller vouches for AVX2.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        // SAFETY: the caller vouches for AVX2.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // SAFETY: the caller vouches for AVX2. Of an unordered pair the second comes out: NaN stays.
        Self(unsafe { _mm256_max_ps(_mm256_setzero_ps(), self.0) })
    }
    #[inline(always)]
    unsafe fn where_positive(self, other: Self) -> Self {
        // SAFETY: the caller vouches for AVX2.
        Self(unsafe {
            _mm256_and_ps(
                _mm256_cmp_ps::<_CMP_GT_OQ>(other.0, _mm256_setzero_ps()),
                self.0,
            )
        })
    }
    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [Self; 4]) -> [f32; 4] {
        // SAFETY: the caller vouches for AVX2; a vector of four is as large as four values.
        unsafe {
            let halves = _mm256_hadd_ps(_mm256_hadd_ps(a.0, b.0), _mm256_hadd_ps(c.0, d.0));
            let sums = _mm_add_ps(
                _mm256_castps256_ps128(halves),
                _mm256_extractf128_ps::<1>(halves),
            );
            std::mem::transmute::<__m128, [f32; 4]>(sums)
        }
    }
}

/// Sixteen lanes: AVX-512F.
#[derive(Clone, Copy)]
pub struct Avx512(__m512);

// SAFETY: every method only uses AVX-512F, which the caller has to have checked for.
unsafe impl Vector for Avx512 {
    const LANES: usize = 16;
    const ROWS: usize = 8;
    const WIDE: bool = true;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller vouches for AVX-512F.
        Self(unsafe { _mm512_set1_ps(value) })
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for AVX-512F and for sixteen readable values.
        Self(unsafe { (*from.cast::<Anywhere<__m512>>()).0 })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for AVX-512F and for sixteen writable values.
        unsafe { *to.cast::<Anywhere<__m512>>() = Anywhere(self.0) }
    }
    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller vouches for AVX-512F.
        Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
    }
    #[inline(always)]
    unsafe fn plus(self, other: Self) -> Self {
        // SAFETY: the caller vouches for AVX-512F.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn times(self, other: Self) -> Self {
        // SAFETY: the caller vouches for AVX-512F.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        // SAFETY: the caller vouches for AVX-512F. Of an unordered pair the second comes out: NaN stays.
        Self(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
    }
    #[inline(always)]
    unsafe fn where_positive(self, other: Self) -> Self {
        // SAFETY: the caller vouches for AVX-512F.
        Self(unsafe {
            _mm512_maskz_mov_ps(
                _mm512_cmp_ps_mask::<_CMP_GT_OQ>(other.0, _mm512_setzero_ps()),
                self.0,
            )
        })
    }
    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [Self; 4]) -> [f32; 4] {
        // Instructions that know all thirty-two registers: `vhaddps` does not, and would keep every vector that ends in
        // it, through all of the loop before, in the lower sixteen.
        // SAFETY: the caller vouches for AVX-512F.
        unsafe {
            let pair = |x, y| _mm512_add_ps(_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
            let ab = _mm512_castps_pd(pair(a.0, b.0));
            let cd = _mm512_castps_pd(pair(c.0, d.0));
            let low = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
            let high = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
            let quarters = _mm512_add_ps(low, high);
            let swapped = _mm512_shuffle_f32x4::<0b01_00_11_10>(quarters, quarters);
            let halves = _mm512_add_ps(quarters, swapped);
            let swapped = _mm512_shuffle_f32x4::<0b10_11_00_01>(halves, halves);
            let sums = _mm512_castps512_ps128(_mm512_add_ps(halves, swapped));
            std::mem::transmute::<__m128, [f32; 4]>(sums)
        }
    }
}
