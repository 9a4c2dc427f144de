//! The two inner loops of every convolution: sums of shifted planes, and products of planes.

// Loops over the indices of a tile unroll into registers; iterators over its arrays do not.
#![allow(clippy::needless_range_loop)]

use super::vector::Vector;

/// `out[m][p] = start[m] + Σ_k weights[k][m] · planes[offsets[k] + p]` for `M` rows and all positions.
///
/// # Safety
/// `weights` holds `offsets.len() · M` values, `start` holds `M`; `offsets[k] + p` lies in `planes` and
/// `m · out_stride + p` in `out` for every `p` below `positions` rounded up to a whole vector.
#[inline(always)]
unsafe fn sweep_rows<V: Vector, const M: usize>(
    weights: *const f32,
    start: *const f32,
    planes: *const f32,
    offsets: &[usize],
    out: *mut f32,
    out_stride: usize,
    positions: usize,
) {
    // SAFETY: every tile stays below `positions` rounded up to a vector, which the caller vouches for.
    unsafe {
        let mut at = 0;
        while at + 2 * V::LANES < positions {
            sweep_tile::<V, M, 3>(
                weights,
                start,
                planes.add(at),
                offsets,
                out.add(at),
                out_stride,
            );
            at += 3 * V::LANES;
        }
        if at + V::LANES < positions {
            sweep_tile::<V, M, 2>(
                weights,
                start,
                planes.add(at),
                offsets,
                out.add(at),
                out_stride,
            );
        } else if at < positions {
            sweep_tile::<V, M, 1>(
                weights,
                start,
                planes.add(at),
                offsets,
                out.add(at),
                out_stride,
            );
        }
    }
}

/// `M` rows by `N` vectors of [`sweep_rows`], all in registers.
///
/// # Safety
/// As [`sweep_rows`], for the `N` vectors from the pointers on.
#[inline(always)]
unsafe fn sweep_tile<V: Vector, const M: usize, const N: usize>(
    weights: *const f32,
    start: *const f32,
    planes: *const f32,
    offsets: &[usize],
    out: *mut f32,
    out_stride: usize,
) {
    // SAFETY: the caller vouches for the pointers and for the instruction set.
    unsafe {
        let mut sums = [[V::splat(0.0); N]; M];
        for m in 0..M {
            sums[m] = [V::splat(*start.add(m)); N];
        }
        let mut weight = weights;
        for &offset in offsets {
            let plane = planes.add(offset);
            let mut values = [V::splat(0.0); N];
            for n in 0..N {
                values[n] = V::load(plane.add(n * V::LANES));
            }
            for m in 0..M {
                let factor = V::splat(*weight.add(m));
                for n in 0..N {
                    sums[m][n] = sums[m][n].add_product(factor, values[n]);
                }
            }
            weight = weight.add(M);
        }
        for m in 0..M {
            for n in 0..N {
                sums[m][n].store(out.add(m * out_stride + n * V::LANES));
            }
        }
    }
}

/// [`sweep_rows`] for a number of rows known at run time, at most `V::ROWS`.
///
/// # Safety
/// As [`sweep_rows`].
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub unsafe fn sweep<V: Vector>(
    rows: usize,
    weights: *const f32,
    start: *const f32,
    planes: *const f32,
    offsets: &[usize],
    out: *mut f32,
    out_stride: usize,
    positions: usize,
) {
    macro_rules! rows {
        ($($count:literal)*) => {
            match rows {
                // SAFETY: passed on from the caller.
                $($count if $count <= V::ROWS => unsafe {
                    sweep_rows::<V, $count>(weights, start, planes, offsets, out, out_stride, positions)
                },)*
                _ => unreachable!("a tile has at most {} rows", V::ROWS),
            }
        };
    }
    rows!(1 2 3 4 5 6 7 8)
}

/// `products[m][n] (+)= Σ_p left[m][p] · planes[offsets[n] + p]` for `M` rows and all offsets.
///
/// # Safety
/// `m · left_stride + p` lies in `left` and `offsets[n] + p` in `planes` for every `p` below `positions` rounded up to a
/// whole vector; `products` holds `M` rows of `products_stride`, at least `offsets.len()`, values.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn product_rows<V: Vector, const M: usize>(
    left: *const f32,
    left_stride: usize,
    planes: *const f32,
    offsets: &[usize],
    products: *mut f32,
    products_stride: usize,
    positions: usize,
    add: bool,
) {
    // SAFETY: passed on from the caller; a tile covers as many offsets as are left.
    unsafe {
        let (threes, rest) = offsets.as_chunks::<3>();
        for (i, three) in threes.iter().enumerate() {
            product_tile::<V, M, 3>(
                left,
                left_stride,
                planes,
                three,
                products.add(3 * i),
                products_stride,
                positions,
                add,
            );
        }
        for (i, one) in rest.iter().enumerate() {
            let products = products.add(3 * threes.len() + i);
            product_tile::<V, M, 1>(
                left,
                left_stride,
                planes,
                &[*one],
                products,
                products_stride,
                positions,
                add,
            );
        }
    }
}

/// `M` rows by `N` offsets of [`product_rows`], all in registers.
///
/// # Safety
/// As [`product_rows`].
#[inline(always)]
#[allow(clippy::too_many_arguments)]
unsafe fn product_tile<V: Vector, const M: usize, const N: usize>(
    left: *const f32,
    left_stride: usize,
    planes: *const f32,
    offsets: &[usize; N],
    products: *mut f32,
    products_stride: usize,
    positions: usize,
    add: bool,
) {
    // SAFETY: the caller vouches for the pointers and for the instruction set.
    unsafe {
        let mut sums = [[V::splat(0.0); N]; M];
        let mut at = 0;
        while at < positions {
            let mut values = [V::splat(0.0); N];
            for n in 0..N {
                values[n] = V::load(planes.add(offsets[n] + at));
            }
            for m in 0..M {
                let factor = V::load(left.add(m * left_stride + at));
                for n in 0..N {
                    sums[m][n] = sums[m][n].add_product(factor, values[n]);
                }
            }
            at += V::LANES;
        }
        for m in 0..M {
            for n in 0..N {
                let to = products.add(m * products_stride + n);
                let sum = sums[m][n].sum();
                *to = if add { *to + sum } else { sum };
            }
        }
    }
}

/// [`product_rows`] for a number of rows known at run time, at most `V::ROWS`.
///
/// # Safety
/// As [`product_rows`].
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub unsafe fn products<V: Vector>(
    rows: usize,
    left: *const f32,
    left_stride: usize,
    planes: *const f32,
    offsets: &[usize],
    products: *mut f32,
    products_stride: usize,
    positions: usize,
    add: bool,
) {
    macro_rules! rows {
        ($($count:literal)*) => {
            match rows {
                // SAFETY: passed on from the caller.
                $($count if $count <= V::ROWS => unsafe {
                    product_rows::<V, $count>(
                        left, left_stride, planes, offsets, products, products_stride, positions, add,
                    )
                },)*
                _ => unreachable!("a tile has at most {} rows", V::ROWS),
            }
        };
    }
    rows!(1 2 3 4 5 6 7 8)
}

/// Sum of `positions` values, rounded up to a whole vector.
///
/// # Safety
/// `from` holds `positions` values rounded up to a whole vector.
#[inline(always)]
pub unsafe fn total<V: Vector>(from: *const f32, positions: usize) -> f32 {
    // SAFETY: the caller vouches for the pointer and for the instruction set.
    unsafe {
        let mut sum = V::splat(0.0);
        let mut at = 0;
        while at < positions {
            sum = sum.plus(V::load(from.add(at)));
            at += V::LANES;
        }
        sum.sum()
    }
}

/// Copies `length` values, without the call that `memcpy` would be for a short row.
///
/// # Safety
/// `from` and `to` hold `length` values and do not overlap.
#[inline(always)]
pub unsafe fn copy_row<V: Vector>(from: *const f32, to: *mut f32, length: usize) {
    // SAFETY: every access stays below `length`; the last vector may overlap the one before, with equal values.
    unsafe {
        let mut at = 0;
        while at + V::LANES <= length {
            V::load(from.add(at)).store(to.add(at));
            at += V::LANES;
        }
        if at == length {
            return;
        }
        if length >= V::LANES {
            V::load(from.add(length - V::LANES)).store(to.add(length - V::LANES));
            return;
        }
        while at + 4 <= length {
            to.add(at)
                .cast::<[f32; 4]>()
                .write_unaligned(from.add(at).cast::<[f32; 4]>().read_unaligned());
            at += 4;
        }
        while at < length {
            *to.add(at) = *from.add(at);
            at += 1;
        }
    }
}

/// Writes `length` zeros.
///
/// # Safety
/// `to` holds `length` values.
#[inline(always)]
pub unsafe fn zero_row<V: Vector>(to: *mut f32, length: usize) {
    // SAFETY: every access stays below `length`.
    unsafe {
        let mut at = 0;
        while at + V::LANES <= length {
            V::splat(0.0).store(to.add(at));
            at += V::LANES;
        }
        while at < length {
            *to.add(at) = 0.0;
            at += 1;
        }
    }
}
