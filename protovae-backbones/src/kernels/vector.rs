//! Vectors of `f32` in three widths, and the choice among them at run time.
//!
//! The build targets the oldest x86-64, so the hot loops are written once against [`Vector`], always inlined, and
//! instantiated inside functions that have the wider instruction sets switched on.

use std::sync::OnceLock;

/// A vector of `f32`.
///
/// # Safety
/// The methods of an implementor may only be called on a processor with its instruction set.
/// `load` and `store` touch `LANES` values from the pointer on, in any alignment.
pub unsafe trait Vector: Copy {
    /// Values in a vector.
    const LANES: usize;
    /// Most rows of a register tile.
    const ROWS: usize;
    /// Whether there are thirty-two registers rather than sixteen.
    const WIDE: bool;
    /// The same value in every lane.
    unsafe fn splat(value: f32) -> Self;
    /// Reads `LANES` values.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes `LANES` values.
    unsafe fn store(self, to: *mut f32);
    /// `a · b + self`.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// Lane by lane sum.
    unsafe fn plus(self, other: Self) -> Self;
    /// Lane by lane product.
    unsafe fn times(self, other: Self) -> Self;
    /// Zero where negative; NaN stays NaN, because a diverged network should show.
    unsafe fn relu(self) -> Self;
    /// Zero wherever `other` is not positive.
    unsafe fn where_positive(self, other: Self) -> Self;
    /// Sums of the lanes of four vectors, in a fixed order.
    unsafe fn sums(vectors: [Self; 4]) -> [f32; 4];
}

/// A value at any address. Read and written through a pointer to this, a vector is one instruction in every profile; the
/// functions of the standard library for it bring a branch each where debug assertions are on.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Anywhere<T>(T);

/// Plain code, which the compiler vectorises as the target allows.
#[derive(Clone, Copy)]
pub struct Portable([f32; 4]);

// SAFETY: plain code runs on every processor.
unsafe impl Vector for Portable {
    const LANES: usize = 4;
    const ROWS: usize = 6;
    const WIDE: bool = false;
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller vouches for four readable values.
        Self(unsafe { (*from.cast::<Anywhere<[f32; 4]>>()).0 })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller vouches for four writable values.
        unsafe { *to.cast::<Anywhere<[f32; 4]>>() = Anywhere(self.0) }
    }
    #[inline(always)]
    unsafe fn add_product(mut self, a: Self, b: Self) -> Self {
        for lane in 0..4 {
            // Not `mul_add`: without the instruction that is a slow library call.
            self.0[lane] += a.0[lane] * b.0[lane];
        }
        self
    }
    #[inline(always)]
    unsafe fn plus(mut self, other: Self) -> Self {
        for lane in 0..4 {
            self.0[lane] += other.0[lane];
        }
        self
    }
    #[inline(always)]
    unsafe fn times(mut self, other: Self) -> Self {
        for lane in 0..4 {
            self.0[lane] *= other.0[lane];
        }
        self
    }
    #[inline(always)]
    unsafe fn relu(self) -> Self {
        Self(self.0.map(|value| if value < 0.0 { 0.0 } else { value }))
    }
    #[inline(always)]
    unsafe fn where_positive(mut self, other: Self) -> Self {
        for lane in 0..4 {
            self.0[lane] = if other.0[lane] > 0.0 {
                self.0[lane]
            } else {
                0.0
            };
        }
        self
    }
    #[inline(always)]
    unsafe fn sums(vectors: [Self; 4]) -> [f32; 4] {
        vectors.map(|Self(v)| (v[0] + v[2]) + (v[1] + v[3]))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
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
                std::mem::transmute::<__m128, [f32; 4]>(_mm_add_ps(
                    _mm_add_ps(a, c),
                    _mm_add_ps(b, d),
                ))
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
}

#[cfg(target_arch = "aarch64")]
mod arm {
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
}

/// Environment variable that limits the instruction set, to `avx2`, `sse2` or `portable`. Different ones round differently; with
/// it a run can be repeated on another processor, and the narrower paths tested on a wide one.
pub const LIMIT: &str = "PROTOVAE_SIMD";

/// Instruction sets that the kernels know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What the build targets.
    Portable,
    /// SSE2.
    #[cfg(target_arch = "x86_64")]
    Sse2,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512F, beside AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Level {
    /// Values in a vector.
    pub fn lanes(self) -> usize {
        match self {
            Self::Portable => Portable::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Sse2 => x86::Sse2::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::Avx2::LANES,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => x86::Avx512::LANES,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => arm::Neon::LANES,
        }
    }

    /// Most rows of a register tile: the `ROWS` of the vector.
    pub fn rows(self) -> usize {
        match self {
            Self::Portable => Portable::ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Sse2 => x86::Sse2::ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::Avx2::ROWS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => x86::Avx512::ROWS,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => arm::Neon::ROWS,
        }
    }

    /// The best level of this processor, at most the one named in the environment: see [`LIMIT`].
    pub fn get() -> Self {
        static LEVEL: OnceLock<Level> = OnceLock::new();
        *LEVEL.get_or_init(|| Self::detect(std::env::var(LIMIT).as_deref().unwrap_or_default()))
    }

    /// The best level of this processor, at most `limit`.
    #[cfg(target_arch = "x86_64")]
    fn detect(limit: &str) -> Self {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        match limit {
            "portable" => Self::Portable,
            "sse2" => Self::Sse2,
            _ if !avx2 => Self::Sse2,
            "avx2" => Self::Avx2,
            _ if !is_x86_feature_detected!("avx512f") => Self::Avx2,
            _ => Self::Avx512,
        }
    }

    /// The best level of this processor, at most `limit`.
    #[cfg(target_arch = "aarch64")]
    fn detect(limit: &str) -> Self {
        if limit == "portable" {
            Self::Portable
        } else {
            Self::Neon
        }
    }

    /// The only level of this processor.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn detect(_limit: &str) -> Self {
        Self::Portable
    }
}

/// Work written once for every vector width.
pub trait Kernel {
    /// What comes out.
    type Output;
    /// Does the work. Implementations must be `#[inline(always)]`, so that they compile for the caller's instruction set.
    ///
    /// # Safety
    /// The processor must have the instruction set of `V`.
    unsafe fn run<V: Vector>(self) -> Self::Output;
}

/// Runs a kernel with the best instruction set of this processor.
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    match Level::get() {
        // SAFETY: plain code runs everywhere.
        Level::Portable => unsafe { kernel.run::<Portable>() },
        // SAFETY: every x86-64 has SSE2.
        #[cfg(target_arch = "x86_64")]
        Level::Sse2 => unsafe { kernel.run::<x86::Sse2>() },
        // SAFETY: `Level` found AVX2 and FMA.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { with_avx2(kernel) },
        // SAFETY: `Level` found AVX-512F, AVX2 and FMA.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { with_avx512(kernel) },
        // SAFETY: every 64-bit ARM processor has NEON.
        #[cfg(target_arch = "aarch64")]
        Level::Neon => unsafe { kernel.run::<arm::Neon>() },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn with_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller checked for the instruction set.
    unsafe { kernel.run::<x86::Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn with_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller checked for the instruction set.
    unsafe { kernel.run::<x86::Avx512>() }
}
