//! ReLU, an affine map a channel, and 2×2 average pooling on slices, forward and backward.
//!
//! Images with large planes are worked on a plane at a time; images with tiny ones (down to the 1×1 of a vector) as one
//! row of `channels · plane` values, with the factors spread over it, so that both fill vectors.

use std::mem::MaybeUninit;

use burn::tensor::Bytes;
use rayon::prelude::*;

use super::pool::filled;
use super::vector::{Kernel, Vector, dispatch};

/// Parts that the batch is cut into for sums, which are added in order: independent of the threads.
const PARTS: usize = 16;

/// Planes below this size are worked on as one row.
const TINY: usize = 16;

/// Shape of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Height and width before pooling.
    pub size: [usize; 2],
    /// Whether 2×2 average pooling follows.
    pub pool: bool,
}

impl Shape {
    /// Shape of the output.
    pub fn output(&self) -> [usize; 4] {
        let [height, width] = self.size;
        let divisor = if self.pool { 2 } else { 1 };
        [self.batch, self.channels, height / divisor, width / divisor]
    }

    /// Values of a plane.
    pub fn plane(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Values of a plane of the output.
    pub fn out_plane(&self) -> usize {
        let [_, _, height, width] = self.output();
        height * width
    }

    /// Values of an image.
    pub fn image(&self) -> usize {
        self.channels * self.plane()
    }

    /// Values of an image of the output.
    pub fn out_image(&self) -> usize {
        self.channels * self.out_plane()
    }

    /// Images a part, and parts.
    pub fn parts(&self) -> (usize, usize) {
        let images = self.batch.div_ceil(PARTS);
        (images, self.batch.div_ceil(images))
    }

    /// Whether images are worked on as one row.
    pub fn is_row(&self) -> bool {
        !self.pool && self.plane() < TINY
    }
}

/// ReLU that keeps NaN, as burn's does: a diverged network should show.
#[inline(always)]
pub fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// Sums of 2×2 blocks of the activation, a quarter of each: average pooling.
#[inline(always)]
pub fn pool_plane(x: &[f32], width: usize, rows: &mut [f32], pooled: &mut [f32]) {
    let out_width = width / 2;
    for (out, pair) in pooled
        .chunks_exact_mut(out_width)
        .zip(x.chunks_exact(2 * width))
    {
        let (top, bottom) = pair.split_at(width);
        for ((sum, &a), &b) in rows.iter_mut().zip(top).zip(bottom) {
            *sum = relu(a) + relu(b);
        }
        for (value, [a, b]) in out.iter_mut().zip(rows.as_chunks::<2>().0) {
            *value = 0.25 * (a + b);
        }
    }
}

/// Every value `count` times over.
pub fn spread<T: Copy>(values: &[T], count: usize) -> Vec<T> {
    values
        .iter()
        .flat_map(|&value| std::iter::repeat_n(value, count))
        .collect()
}

/// Runs `work` on every image of the batch, with the output's part for it.
fn each_image(
    batch: usize,
    length: usize,
    work: impl Fn(usize, &mut [MaybeUninit<f32>]) + Sync,
) -> Bytes {
    // SAFETY: every image has its own part of the output, and `work` writes all of it (asserted by the tests: both users
    // zip over the whole of it).
    unsafe {
        filled(batch * length, |out| {
            (0..batch)
                .into_par_iter()
                .with_min_len((16_384 / length).max(1))
                .for_each(|image| {
                    let out = out.at(image * length).cast::<MaybeUninit<f32>>();
                    work(image, std::slice::from_raw_parts_mut(out, length));
                });
        })
    }
}

struct AffineImage<'a> {
    shape: &'a Shape,
    image: &'a [f32],
    /// Scale and shift, a channel or (for a row) a value.
    factors: &'a [[f32; 2]],
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for AffineImage<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self {
            shape,
            image,
            factors,
            out,
        } = self;
        if shape.is_row() {
            for ((out, &x), [scale, shift]) in out.iter_mut().zip(image).zip(factors) {
                out.write(relu(x) * scale + shift);
            }
            return;
        }
        let planes = image
            .chunks_exact(shape.plane())
            .zip(out.chunks_exact_mut(shape.out_plane()));
        if !shape.pool {
            for ((x, out), &[scale, shift]) in planes.zip(factors) {
                for (out, &x) in out.iter_mut().zip(x) {
                    out.write(relu(x) * scale + shift);
                }
            }
            return;
        }
        let mut rows = vec![0.0; shape.size[1]];
        let mut pooled = vec![0.0; shape.out_plane()];
        for ((x, out), &[scale, shift]) in planes.zip(factors) {
            pool_plane(x, shape.size[1], &mut rows, &mut pooled);
            for (out, &x) in out.iter_mut().zip(&pooled) {
                out.write(x * scale + shift);
            }
        }
    }
}

/// ReLU, scale and shift a channel, and pooling.
pub fn affine(shape: &Shape, images: &[f32], factors: &[[f32; 2]]) -> Bytes {
    let spread_factors = if shape.is_row() {
        spread(factors, shape.plane())
    } else {
        Vec::new()
    };
    let factors = if shape.is_row() {
        &spread_factors
    } else {
        factors
    };
    let length = shape.image();
    assert!(images.len() == shape.batch * length && factors.len() >= shape.channels);
    each_image(shape.batch, shape.out_image(), |image, out| {
        dispatch(AffineImage {
            shape,
            image: &images[image * length..][..length],
            factors,
            out,
        });
    })
}

struct GradientImage<'a> {
    shape: &'a Shape,
    image: &'a [f32],
    output: &'a [f32],
    factors: &'a [[f32; 3]],
    out: &'a mut [MaybeUninit<f32>],
}

impl Kernel for GradientImage<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self {
            shape,
            image,
            output,
            factors,
            out,
        } = self;
        if shape.is_row() {
            for (((out, &x), &g), [a, b, c]) in out.iter_mut().zip(image).zip(output).zip(factors) {
                let value = a * g + (b * x + c);
                out.write(if x > 0.0 { value } else { 0.0 });
            }
            return;
        }
        let planes = image
            .chunks_exact(shape.plane())
            .zip(output.chunks_exact(shape.out_plane()))
            .zip(out.chunks_exact_mut(shape.plane()))
            .zip(factors);
        if !shape.pool {
            for (((x, g), out), &[a, b, c]) in planes {
                for ((out, &x), &g) in out.iter_mut().zip(x).zip(g) {
                    let value = a * g + (b * x + c);
                    out.write(if x > 0.0 { value } else { 0.0 });
                }
            }
            return;
        }
        let [_, width] = shape.size;
        let mut row = vec![0.0; width];
        for (((x, g), out), &[a, b, c]) in planes {
            let mut gradients = g.chunks_exact(width / 2);
            let pairs = x.chunks(2 * width).zip(out.chunks_mut(2 * width));
            for (x, out) in pairs {
                // What both rows of a pair get from above; a last odd row or column gets nothing.
                row.fill(c);
                if let (Some(g), true) = (gradients.next(), x.len() == 2 * width) {
                    for (pair, &g) in row.as_chunks_mut::<2>().0.iter_mut().zip(g) {
                        *pair = [0.25 * a * g + c; 2];
                    }
                }
                for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
                    for ((out, &x), &above) in out.iter_mut().zip(x).zip(&row) {
                        let value = b * x + above;
                        out.write(if x > 0.0 { value } else { 0.0 });
                    }
                }
            }
        }
    }
}

/// Gradient of the input: `a·output + b·activation + c` where the input is positive, with `[a, b, c]` a channel.
pub fn input_gradient(
    shape: &Shape,
    images: &[f32],
    output: &[f32],
    factors: &[[f32; 3]],
) -> Bytes {
    let spread_factors = if shape.is_row() {
        spread(factors, shape.plane())
    } else {
        Vec::new()
    };
    let factors = if shape.is_row() {
        &spread_factors
    } else {
        factors
    };
    let (length, out_length) = (shape.image(), shape.out_image());
    assert!(images.len() == shape.batch * length && output.len() == shape.batch * out_length);
    assert!(factors.len() >= shape.channels);
    each_image(shape.batch, length, |image, out| {
        let (image, output) = (
            &images[image * length..][..length],
            &output[image * out_length..][..out_length],
        );
        dispatch(GradientImage {
            shape,
            image,
            output,
            factors,
            out,
        });
    })
}
