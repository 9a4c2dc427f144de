//! The two inner loops of every convolution: sums of shifted planes, and products of planes.

// Loops over the indices of a tile unroll into registers; iterators over its arrays do not.
#![allow(clippy::needless_range_loop)]
// Pointers and strides of a matrix product.
#![allow(clippy::too_many_arguments)]

use super::vector::Vector;

/// Calls a macro with the tiles: rows, then columns with sixteen registers and with thirty-two. A tile needs a register for
/// each of its sums, for a column of values and for a factor or two, and about ten sums to hide the latency of a product.
macro_rules! tile_sizes {
    ($rows:ident) => {
        $rows!(1, 8, 8; 2, 4, 8; 3, 3, 6; 4, 2, 5; 5, 2, 4; 6, 2, 4; 7, 1, 3; 8, 1, 3;)
    };
}

/// `out[m][p] = start[m] + Σ_k weights[k][m] · planes[offsets[k] + p]` for `M` rows and all positions.
///
/// # Safety
/// `weights` holds `offsets.len() · M` values, `start` holds `M`; `offsets[k] + p` lies in `planes` and
/// `m · out_stride + p` in `out` for every `p` below `positions` rounded up to a whole vector.
#[inline(always)]
unsafe fn sweep_rows<V: Vector, const M: usize, const N: usize>(
    weights: *const f32,
    start: *const f32,
    planes: *const f32,
    offsets: &[usize],
    out: *mut f32,
    out_stride: usize,
    positions: usize,
) {
    let vectors = positions.div_ceil(V::LANES);
    let mut done = 0;
    macro_rules! tiles {
        ($columns:expr) => {
            while vectors - done >= $columns {
                let at = done * V::LANES;
                // SAFETY: the tile stays below `positions` rounded up to a vector, which the caller vouches for.
                unsafe {
                    let (planes, out) = (planes.add(at), out.add(at));
                    sweep_tile::<V, M, { $columns }>(weights, start, planes, offsets, out, out_stride);
                }
                done += $columns;
            }
        };
    }
    tiles!(N);
    if N > 4 {
        tiles!(4);
    }
    if N > 2 {
        tiles!(2);
    }
    tiles!(1);
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
        ($($count:literal, $narrow:literal, $wide:literal;)*) => {
            match rows {
                $($count if $count <= V::ROWS => {
                    // SAFETY: passed on from the caller.
                    unsafe {
                        if V::WIDE {
                            sweep_rows::<V, $count, $wide>(weights, start, planes, offsets, out, out_stride, positions);
                        } else {
                            sweep_rows::<V, $count, $narrow>(weights, start, planes, offsets, out, out_stride, positions);
                        }
                    }
                })*
                _ => unreachable!("a tile has at most {} rows", V::ROWS),
            }
        };
    }
    tile_sizes!(rows);
}

/// `products[m][n] (+)= Σ_p left[m][p] · planes[offsets[n] + p]` for `M` rows and all offsets.
///
/// # Safety
/// `m · left_stride + p` lies in `left` and `offsets[n] + p` in `planes` for every `p` below `positions` rounded up to a
/// whole vector; `products` holds `M` rows of `products_stride`, at least `offsets.len()`, values.
#[inline(always)]
unsafe fn product_rows<V: Vector, const M: usize, const N: usize>(
    left: *const f32,
    left_stride: usize,
    planes: *const f32,
    offsets: &[usize],
    products: *mut f32,
    products_stride: usize,
    positions: usize,
    add: bool,
) {
    let mut done = 0;
    macro_rules! tiles {
        ($columns:expr) => {
            while let Some(offsets) = offsets[done..].first_chunk::<{ $columns }>() {
                // SAFETY: passed on from the caller; the tile covers as many products as offsets.
                unsafe {
                    let products = products.add(done);
                    product_tile::<V, M, { $columns }>(
                        left,
                        left_stride,
                        planes,
                        offsets,
                        products,
                        products_stride,
                        positions,
                        add,
                    );
                }
                done += $columns;
            }
        };
    }
    tiles!(N);
    if N > 4 {
        tiles!(4);
    }
    if N > 2 {
        tiles!(2);
    }
    tiles!(1);
}

/// `M` rows by `N` offsets of [`product_rows`], all in registers.
///
/// # Safety
/// As [`product_rows`].
#[inline(always)]
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
        // Four sums at a time, which costs little more than one. Through memory, so that the sums above, whose indices are
        // known, stay in registers.
        let mut flat = [V::splat(0.0); 32];
        const { assert!(M * N <= 32) };
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
                let to = products.add(index / N * products_stride + index % N);
                *to = if add { *to + total } else { total };
            }
        }
    }
}

/// [`product_rows`] for a number of rows known at run time, at most `V::ROWS`.
///
/// # Safety
/// As [`product_rows`].
#[inline(always)]
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
        ($($count:literal, $narrow:literal, $wide:literal;)*) => {
            match rows {
                $($count if $count <= V::ROWS => {
                    // SAFETY: passed on from the caller.
                    unsafe {
                        if V::WIDE {
                            product_rows::<V, $count, $wide>(
                                left, left_stride, planes, offsets, products, products_stride, positions, add,
                            );
                        } else {
                            product_rows::<V, $count, $narrow>(
                                left, left_stride, planes, offsets, products, products_stride, positions, add,
                            );
                        }
                    }
                })*
                _ => unreachable!("a tile has at most {} rows", V::ROWS),
            }
        };
    }
    tile_sizes!(rows);
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
