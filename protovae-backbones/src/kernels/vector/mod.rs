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

#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(target_arch = "x86_64")]
mod x86;

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

    /// What processors call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Sse2 => "SSE2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "AVX2 and FMA",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "AVX-512",
            #[cfg(target_arch = "aarch64")]
            Self::Neon => "NEON",
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
