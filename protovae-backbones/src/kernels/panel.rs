//! Matrix products on panels: some rows of one matrix by a panel of columns of another, in register tiles.

// Loops over the indices of a tile unroll into registers; iterators over its arrays do not.
#![allow(clippy::needless_range_loop)]

use super::vector::{Kernel, Level, Vector};

/// Vectors in a row of a panel.
const VECTORS: usize = 2;

/// Columns of a panel.
pub fn columns() -> usize {
    VECTORS * Level::get().lanes()
}

/// Packs columns `first..` of a matrix into a panel: rows of [`columns`] values, zero beyond the matrix.
///
/// `values` holds the matrix, in which a step along the inner index is `inner_step` values and one to the next column is
/// `column_step`; one of the two is 1.
pub fn pack(
    values: &[f32],
    [inner_step, column_step]: [usize; 2],
    first: usize,
    count: usize,
    panel: &mut [f32],
) {
    let width = columns();
    let count = count.min(width);
    if column_step == 1 {
        for (inner, row) in panel.chunks_exact_mut(width).enumerate() {
            let (filled, rest) = row.split_at_mut(count);
            let values = &values[inner * inner_step + first..][..count];
            // In pieces of known size, which need no call.
            let (pieces, places) = (values.as_chunks::<8>(), filled.as_chunks_mut::<8>());
            for (place, piece) in places.0.iter_mut().zip(pieces.0) {
                *place = *piece;
            }
            places.1.copy_from_slice(pieces.1);
            rest.fill(0.0);
        }
        return;
    }
    // Four columns at a time: their values lie far apart, the places they go to side by side.
    for start in (0..width).step_by(4) {
        let sources: [&[f32]; 4] = std::array::from_fn(|index| {
            let column = start + index;
            if column < count {
                &values[(first + column) * column_step..]
            } else {
                &[]
            }
        });
        for (inner, row) in panel.chunks_exact_mut(width).enumerate() {
            for (value, source) in row[start..start + 4].iter_mut().zip(&sources) {
                *value = source.get(inner * inner_step).copied().unwrap_or(0.0);
            }
        }
    }
}

/// Rows of the left matrix by one panel.
pub struct PanelProduct<'a> {
    /// The left matrix, from its first row.
    pub left: &'a [f32],
    /// Values from a row to the next, and along the inner index.
    pub steps: [usize; 2],
    /// Rows.
    pub rows: usize,
    /// The panel, [`columns`] values for each inner index.
    pub panel: &'a [f32],
    /// What the sums start with, a column: as many values as a panel has columns.
    pub start: &'a [f32],
    /// Columns that are wanted.
    pub columns: usize,
    /// First value of the result, and values from a row to the next.
    pub out: *mut f32,
    /// Values from a row of the result to the next.
    pub out_row: usize,
}

/// `M` rows by a whole panel.
///
/// # Safety
/// `left` holds the rows for every inner index of the panel; `out` holds `M` rows of `V::LANES · VECTORS` values, `out_row`
/// apart.
#[inline(always)]
unsafe fn tile<V: Vector, const M: usize>(
    left: *const f32,
    [row, step]: [usize; 2],
    panel: &[f32],
    start: *const f32,
    out: *mut f32,
    out_row: usize,
) {
    // SAFETY: the caller vouches for the pointers and for the instruction set.
    unsafe {
        let mut sums = [[V::splat(0.0); VECTORS]; M];
        for n in 0..VECTORS {
            let value = V::load(start.add(n * V::LANES));
            for m in 0..M {
                sums[m][n] = value;
            }
        }
        let mut right = panel.as_ptr();
        let mut at = 0;
        for _ in 0..panel.len() / (VECTORS * V::LANES) {
            let mut values = [V::splat(0.0); VECTORS];
            for n in 0..VECTORS {
                values[n] = V::load(right.add(n * V::LANES));
            }
            for m in 0..M {
                let factor = V::splat(*left.add(m * row + at));
                for n in 0..VECTORS {
                    sums[m][n] = sums[m][n].add_product(factor, values[n]);
                }
            }
            right = right.add(VECTORS * V::LANES);
            at += step;
        }
        for m in 0..M {
            for n in 0..VECTORS {
                sums[m][n].store(out.add(m * out_row + n * V::LANES));
            }
        }
    }
}

/// [`tile`] for a number of rows known at run time, at most `V::ROWS`.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn rows_of_tile<V: Vector>(
    rows: usize,
    left: *const f32,
    steps: [usize; 2],
    panel: &[f32],
    start: *const f32,
    out: *mut f32,
    out_row: usize,
) {
    macro_rules! rows {
        ($($count:literal)*) => {
            match rows {
                $(
                    // SAFETY: passed on from the caller.
                    $count if $count <= V::ROWS => unsafe {
                        tile::<V, $count>(left, steps, panel, start, out, out_row);
                    },
                )*
                _ => unreachable!("a tile has at most {} rows", V::ROWS),
            }
        };
    }
    rows!(1 2 3 4 5 6 7 8);
}

/// Values of the largest tile.
const TILE: usize = 8 * VECTORS * 16;

impl Kernel for PanelProduct<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let width = VECTORS * V::LANES;
        let inner = self.panel.len() / width;
        let [row, step] = self.steps;
        assert!(self.start.len() >= width && self.columns <= width && inner > 0);
        assert!((self.rows - 1) * row + (inner - 1) * step < self.left.len());
        let mut partial = [0.0f32; TILE];
        for (first, count) in super::convolve::tiles(self.rows, V::ROWS) {
            // SAFETY: checked above for the left side and the panel; a partial panel goes through a tile of its own, of which
            // only the wanted columns are copied.
            unsafe {
                let left = self.left.as_ptr().add(first * row);
                let out = self.out.add(first * self.out_row);
                let start = self.start.as_ptr();
                if self.columns == width {
                    rows_of_tile::<V>(
                        count,
                        left,
                        self.steps,
                        self.panel,
                        start,
                        out,
                        self.out_row,
                    );
                    continue;
                }
                let tile = partial.as_mut_ptr();
                rows_of_tile::<V>(count, left, self.steps, self.panel, start, tile, width);
                for m in 0..count {
                    let to = out.add(m * self.out_row);
                    std::ptr::copy_nonoverlapping(tile.add(m * width), to, self.columns);
                }
            }
        }
    }
}
