//! ReLU (before, after or not at all), an affine map a channel, and 2×2 average pooling on blocks of maps, forward and
//! backward.

use std::ops::Range;

use burn::tensor::Bytes;

use super::layout::Layout;
use super::pool::filled;
use super::vector::{Kernel, Vector, dispatch};

/// Where the ReLU stands beside the affine map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rectifier {
    /// The map gets what the ReLU gives.
    Before,
    /// The ReLU gets what the map gives.
    After,
    /// There is none.
    Absent,
}

/// Maps, where their ReLU stands, and whether 2×2 average pooling follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Before pooling.
    pub input: Layout,
    /// After it.
    pub output: Layout,
    /// Whether there is any.
    pub pool: bool,
    /// Where the ReLU stands.
    pub rectifier: Rectifier,
}

impl Shape {
    /// Of maps in that layout; none if nothing is left of them, or if they are pooled after a map whose result is rectified:
    /// the mean of what a ReLU gives is not the ReLU of the mean.
    pub fn new(input: Layout, pool: bool, rectifier: Rectifier) -> Option<Self> {
        if pool && rectifier == Rectifier::After {
            return None;
        }
        let [height, width] = input.size;
        let divisor = if pool { 2 } else { 1 };
        let size = [height / divisor, width / divisor];
        (size[0] > 0 && size[1] > 0).then_some(Self {
            input,
            output: input.with(input.channels, size),
            pool,
            rectifier,
        })
    }
}

/// The activation that the affine map gets: ReLU if it stands before, and the mean over four pixels if there is pooling.
///
/// # Safety
/// `from` points at a vector of the first of the pixels that belong together, `pixel` and `row` are the distances to its
/// neighbours.
#[inline(always)]
pub unsafe fn activation<V: Vector>(
    from: *const f32,
    pixel: usize,
    row: usize,
    pool: bool,
    rectifier: Rectifier,
) -> V {
    // SAFETY: the caller vouches for the pointers and for the instruction set.
    unsafe {
        let first = value::<V>(from, rectifier);
        if !pool {
            return first;
        }
        let top = first.plus(value::<V>(from.add(pixel), rectifier));
        let left = value::<V>(from.add(row), rectifier);
        let bottom = left.plus(value::<V>(from.add(row + pixel), rectifier));
        top.plus(bottom).times(V::splat(0.25))
    }
}

/// A vector of the maps, with the ReLU that stands before the affine map.
///
/// # Safety
/// `from` points at a vector.
#[inline(always)]
unsafe fn value<V: Vector>(from: *const f32, rectifier: Rectifier) -> V {
    // SAFETY: the caller vouches for the pointer and for the instruction set.
    unsafe {
        let value = V::load(from);
        if rectifier == Rectifier::Before {
            value.relu()
        } else {
            value
        }
    }
}

/// Where the values of an output pixel come from: offset in the input block.
#[inline(always)]
pub fn source(shape: &Shape, row: usize, column: usize) -> usize {
    let step = if shape.pool { 2 } else { 1 };
    step * row * shape.input.row() + step * column * shape.input.pixel()
}

struct AffineRows<'a> {
    shape: &'a Shape,
    input: &'a [f32],
    factors: &'a [[f32; 2]],
    rows: Range<usize>,
    out: *mut f32,
}

impl Kernel for AffineRows<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self {
            shape,
            input,
            factors,
            rows,
            out,
        } = self;
        let (lanes, pixel, row) = (shape.input.lanes, shape.input.pixel(), shape.input.row());
        for line in rows {
            for column in 0..shape.output.size[1] {
                let from = source(shape, line, column);
                let to = line * shape.output.row() + column * shape.output.pixel();
                for (channel, &[scale, shift]) in factors.iter().enumerate() {
                    let mut at = channel * lanes;
                    while at < (channel + 1) * lanes {
                        // SAFETY: the pixels lie in the block; so do their neighbours if there is pooling.
                        unsafe {
                            let from = input.as_ptr().add(from + at);
                            let x = activation::<V>(from, pixel, row, shape.pool, shape.rectifier);
                            let y = V::splat(shift).add_product(x, V::splat(scale));
                            let y = if shape.rectifier == Rectifier::After {
                                y.relu()
                            } else {
                                y
                            };
                            y.store(out.add(to + at));
                        }
                        at += V::LANES;
                    }
                }
            }
        }
    }
}

/// Pooling, and scale and shift a channel, with a ReLU where the shape has it.
pub fn affine(shape: &Shape, input: &[f32], factors: &[[f32; 2]]) -> Bytes {
    assert!(input.len() == shape.input.values() && factors.len() == shape.input.channels);
    // SAFETY: the groups cover the output, and each writes all of its rows.
    unsafe {
        filled(shape.output.values(), |out| {
            shape.output.each_group(|block, rows| {
                dispatch(AffineRows {
                    shape,
                    input: &input[block * shape.input.block()..][..shape.input.block()],
                    factors,
                    rows,
                    out: out.at(block * shape.output.block()),
                });
            });
        })
    }
}

struct GradientRows<'a> {
    shape: &'a Shape,
    input: &'a [f32],
    output: &'a [f32],
    factors: &'a [[f32; 3]],
    affine: &'a [[f32; 2]],
    rows: Range<usize>,
    /// Lanes with an image.
    filled: usize,
    out: *mut f32,
}

impl Kernel for GradientRows<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self {
            shape,
            input,
            output,
            factors,
            affine,
            rows,
            filled,
            out,
        } = self;
        let (lanes, pixel) = (shape.input.lanes, shape.input.pixel());
        let share = if shape.pool { 0.25 } else { 1.0 };
        let step = if shape.pool { 2 } else { 1 };
        for line in rows {
            for column in 0..shape.input.size[1] {
                let base = line * shape.input.row() + column * pixel;
                // A last odd row or column is in no mean and gets nothing from above.
                let above = [line / step, column / step];
                let above = (above[0] < shape.output.size[0] && above[1] < shape.output.size[1])
                    .then(|| above[0] * shape.output.row() + above[1] * pixel);
                for (channel, (&[a, b, c], &[scale, shift])) in
                    factors.iter().zip(affine).enumerate()
                {
                    let mut at = channel * lanes;
                    while at < (channel + 1) * lanes {
                        // SAFETY: the pixels lie in their blocks.
                        unsafe {
                            let x = V::load(input.as_ptr().add(base + at));
                            let mut value = V::splat(c).add_product(V::splat(b), x);
                            if let Some(above) = above {
                                let mut g = V::load(output.as_ptr().add(above + at));
                                if shape.rectifier == Rectifier::After {
                                    let y = V::splat(shift).add_product(x, V::splat(scale));
                                    g = g.where_positive(y);
                                }
                                value = value.add_product(V::splat(a * share), g);
                            }
                            if shape.rectifier == Rectifier::Before {
                                value = value.where_positive(x);
                            }
                            value.store(out.add(base + at));
                        }
                        at += V::LANES;
                    }
                    if filled < lanes {
                        // Sums over the batch downstream count on zeros.
                        // SAFETY: within the pixel that was just written.
                        unsafe {
                            let empty = out.add(base + channel * lanes + filled);
                            std::ptr::write_bytes(empty, 0, lanes - filled);
                        }
                    }
                }
            }
        }
    }
}

/// Gradient of the input: `a·output + b·input + c`, with `[a, b, c]` a channel; `output` is a quarter of its pixel's for each
/// of the four that were averaged, if there is pooling. With a ReLU before the affine map it is zero where the input is not
/// positive; with one after it, whose scale and shift a channel are `affine`, `output` counts where that is positive.
pub fn input_gradient(
    shape: &Shape,
    input: &[f32],
    output: &[f32],
    factors: &[[f32; 3]],
    affine: &[[f32; 2]],
) -> Bytes {
    assert!(input.len() == shape.input.values() && output.len() == shape.output.values());
    assert!(factors.len() == shape.input.channels && affine.len() == shape.input.channels);
    // SAFETY: the groups cover the input, and each writes all of its rows.
    unsafe {
        filled(shape.input.values(), |out| {
            shape.input.each_group(|block, rows| {
                dispatch(GradientRows {
                    shape,
                    input: &input[block * shape.input.block()..][..shape.input.block()],
                    output: &output[block * shape.output.block()..][..shape.output.block()],
                    factors,
                    affine,
                    rows,
                    filled: shape.input.filled(block),
                    out: out.at(block * shape.input.block()),
                });
            });
        })
    }
}
