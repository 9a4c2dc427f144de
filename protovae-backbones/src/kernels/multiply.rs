//! The two inner loops of every convolution, both on register tiles of whole vectors of images.

// Loops over the indices of a tile unroll into registers; iterators over its arrays do not.
#![allow(clippy::needless_range_loop)]
// Pointers and strides of a matrix product.
#![allow(clippy::too_many_arguments)]

use super::geometry::Link;
use super::normalise::Rectifier;
use super::vector::Vector;

/// Most vectors of a block of images.
pub const VECTORS: usize = 2;

/// Most rows and columns of a tile of [`products`]; with sixteen registers there is room for three columns.
pub const PRODUCT_ROWS: usize = 4;

/// Most columns of a tile of [`products`].
pub const fn product_columns<V: Vector>() -> usize {
    if V::WIDE { 6 } else { 3 }
}

/// What is done with a sum before it is stored: nothing, or scale and shift of its channel with a ReLU before, after or not at
/// all.
#[derive(Clone, Copy, Debug)]
pub enum Finish {
    /// Nothing.
    Plain,
    /// A scale and a shift for each of the tile's channels.
    Affine(Rectifier, *const f32, *const f32),
}

/// `out[m][image] = start[m] + Σ_link Σ_k weights[tap][k][m] · source[pixel][k][image]` for `M` channels of one pixel and
/// `N` vectors of images.
///
/// # Safety
/// `source` holds `channels · N` vectors for each pixel that a link names, `weights` `channels · M` values for each tap,
/// `start` and the vectors of `finish` hold `M` values and `out` `M · N` vectors.
#[inline(always)]
unsafe fn sum_tile<V: Vector, const M: usize, const N: usize>(
    links: &[Link],
    weights: *const f32,
    start: *const f32,
    finish: Finish,
    source: *const f32,
    channels: usize,
    out: *mut f32,
) {
    // SAFETY: the caller vouches for the pointers and for the instruction set.
    unsafe {
        let mut sums = [[V::splat(0.0); N]; M];
        for m in 0..M {
            sums[m] = [V::splat(*start.add(m)); N];
        }
        for link in links {
            let mut from = source.add(link.pixel * channels * N * V::LANES);
            let mut weight = weights.add(link.tap * channels * M);
            for _ in 0..channels {
                let mut values = [V::splat(0.0); N];
                for n in 0..N {
                    values[n] = V::load(from.add(n * V::LANES));
                }
                for m in 0..M {
                    let factor = V::splat(*weight.add(m));
                    for n in 0..N {
                        sums[m][n] = sums[m][n].add_product(factor, values[n]);
                    }
                }
                from = from.add(N * V::LANES);
                weight = weight.add(M);
            }
        }
        if let Finish::Affine(rectifier, scale, shift) = finish {
            for m in 0..M {
                let (scale, shift) = (V::splat(*scale.add(m)), V::splat(*shift.add(m)));
                for n in 0..N {
                    let x = match rectifier {
                        Rectifier::Before => sums[m][n].relu(),
                        _ => sums[m][n],
                    };
                    let y = shift.add_product(x, scale);
                    sums[m][n] = match rectifier {
                        Rectifier::After => y.relu(),
                        _ => y,
                    };
                }
            }
        }
        for m in 0..M {
            for n in 0..N {
                sums[m][n].store(out.add((m * N + n) * V::LANES));
            }
        }
    }
}

/// [`sum_tile`] for a number of rows, at most `V::ROWS`, and of lanes known at run time.
///
/// # Safety
/// As [`sum_tile`]; `lanes` is one or two vectors.
#[inline(always)]
pub unsafe fn sum<V: Vector>(
    rows: usize,
    lanes: usize,
    links: &[Link],
    weights: *const f32,
    start: *const f32,
    finish: Finish,
    source: *const f32,
    channels: usize,
    out: *mut f32,
) {
    macro_rules! rows {
        ($($count:literal)*) => {
            match (rows, lanes == V::LANES) {
                $(
                    // SAFETY: passed on from the caller.
                    ($count, true) if $count <= V::ROWS => unsafe {
                        sum_tile::<V, $count, 1>(links, weights, start, finish, source, channels, out);
                    },
                    // SAFETY: passed on from the caller.
                    ($count, false) if $count <= V::ROWS => unsafe {
                        sum_tile::<V, $count, VECTORS>(links, weights, start, finish, source, channels, out);
                    },
                )*
                _ => unreachable!("a tile has at most {} rows", V::ROWS),
            }
        };
    }
    rows!(1 2 3 4 5 6 7 8);
}

/// Pixels in a row of the small side, and those of the big side that a tap joins them with.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// First pixel of the small side.
    pub small: usize,
    /// First pixel of the big side.
    pub big: usize,
    /// Number of pixels.
    pub length: usize,
}

/// Where the values of one side of a product lie.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// The tile's channels.
    pub values: &'a [f32],
    /// Values of a pixel.
    pub pixel: usize,
    /// Values from a pixel of a run to its next.
    pub step: usize,
}

/// Where the products go.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The tile's first product.
    pub at: *mut f32,
    /// Values from a channel of the small side to the next.
    pub row: usize,
    /// Values from a channel of the big side to the next.
    pub column: usize,
}

/// `target[m][n] += Σ small[pixel][m][image] · big[pixel'][n][image]` over all images and the pixels of all runs, for `M`
/// channels of the small side by `N` of the big one; a block has `L` vectors of images.
///
/// # Safety
/// The operands hold `L` vectors for each of their channels at all pixels of the runs; the target's
/// products are there and no one else's.
#[inline(always)]
unsafe fn product_tile<V: Vector, const M: usize, const N: usize, const L: usize>(
    small: Operand,
    big: Operand,
    runs: &[Run],
    target: Target,
) {
    // SAFETY: the caller vouches for the pointers and for the instruction set.
    unsafe {
        let mut sums = [[V::splat(0.0); N]; M];
        for run in runs {
            let mut left = small.values.as_ptr().add(run.small * small.pixel);
            let mut right = big.values.as_ptr().add(run.big * big.pixel);
            for _ in 0..run.length {
                for at in 0..L {
                    let mut values = [V::splat(0.0); N];
                    for n in 0..N {
                        values[n] = V::load(right.add((n * L + at) * V::LANES));
                    }
                    for m in 0..M {
                        let factor = V::load(left.add((m * L + at) * V::LANES));
                        for n in 0..N {
                            sums[m][n] = sums[m][n].add_product(factor, values[n]);
                        }
                    }
                }
                left = left.add(small.step);
                right = right.add(big.step);
            }
        }
        // Four sums at a time, which costs little more than one. Through memory, so that the sums above, whose indices are
        // known, stay in registers.
        let mut flat = [V::splat(0.0); 24];
        const { assert!(M * N <= 24) };
        for m in 0..M {
            for n in 0..N {
                flat[m * N + n] = sums[m][n];
            }
        }
        let (fours, _) = flat.as_chunks::<4>();
        for (four, vectors) in fours.iter().take((M * N).div_ceil(4)).enumerate() {
            let totals = V::sums(*vectors);
            for (i, total) in totals.into_iter().enumerate().take(M * N - 4 * four) {
                let index = 4 * four + i;
                *target
                    .at
                    .add(index / N * target.row + index % N * target.column) += total;
            }
        }
    }
}

/// [`product_tile`] for numbers of channels known at run time, at most [`PRODUCT_ROWS`] by [`product_columns`].
///
/// # Safety
/// As [`product_tile`].
#[inline(always)]
pub unsafe fn products<V: Vector>(
    [rows, columns]: [usize; 2],
    small: Operand,
    big: Operand,
    runs: &[Run],
    lanes: usize,
    target: Target,
) {
    macro_rules! sizes {
        ($($m:literal $n:literal,)*) => {
            match (rows, columns, lanes == V::LANES) {
                $(
                    // SAFETY: passed on from the caller.
                    ($m, $n, true) if $n <= product_columns::<V>() => unsafe {
                        product_tile::<V, $m, $n, 1>(small, big, runs, target);
                    },
                    // SAFETY: passed on from the caller.
                    ($m, $n, false) if $n <= product_columns::<V>() => unsafe {
                        product_tile::<V, $m, $n, VECTORS>(small, big, runs, target);
                    },
                )*
                _ => unreachable!("a tile of products is smaller than {rows}×{columns}"),
            }
        };
    }
    sizes!(
        1 1, 1 2, 1 3, 1 4, 1 5, 1 6, 2 1, 2 2, 2 3, 2 4, 2 5, 2 6, 3 1, 3 2, 3 3, 3 4, 3 5, 3 6, 4 1, 4 2, 4 3, 4 4, 4 5, 4 6,
    );
}

/// Adds `length` vectors' worth of values into `sums`, lane by lane.
///
/// # Safety
/// Both hold `length` values, a whole number of vectors.
#[inline(always)]
pub unsafe fn add_into<V: Vector>(sums: *mut f32, values: *const f32, length: usize) {
    // SAFETY: the caller vouches for the pointers and for the instruction set.
    unsafe {
        let mut at = 0;
        while at < length {
            let sum = V::load(sums.add(at)).plus(V::load(values.add(at)));
            sum.store(sums.add(at));
            at += V::LANES;
        }
    }
}
