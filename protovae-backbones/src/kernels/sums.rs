//! Sums over a batch, a channel: the statistics of batch normalisation, and the gradients of its factors.

use rayon::prelude::*;

use super::normalise::{Shape, pool_plane, relu, spread};
use super::vector::{Kernel, Vector, dispatch};

/// Images that are added up in `f32` before the sum goes to `f64`.
const BLOCK: usize = 32;

/// Lanes of a sum.
const LANES: usize = 16;

/// Sum of the lanes of one plane.
#[inline(always)]
fn add_lanes(lanes: [f32; LANES]) -> f64 {
    let mut lanes = lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    f64::from(lanes[0])
}

/// Sums of two terms over pairs of values.
#[inline(always)]
fn sum_pairs(a: &[f32], b: &[f32], terms: impl Fn(f32, f32) -> [f32; 2]) -> [f64; 2] {
    let (mut first, mut second) = ([0.0; LANES], [0.0; LANES]);
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            let [x, y] = terms(a[lane], b[lane]);
            first[lane] += x;
            second[lane] += y;
        }
    }
    for (lane, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        let [x, y] = terms(a, b);
        first[lane] += x;
        second[lane] += y;
    }
    [add_lanes(first), add_lanes(second)]
}

/// What a sum over the batch adds up.
#[derive(Clone, Copy)]
enum Sums<'a> {
    /// Of the activation minus a pivot, and of the square of that.
    Moments { pivots: &'a [f32] },
    /// Of the output's gradient, and of that times the activation minus its mean.
    Gradients { output: &'a [f32], means: &'a [f32] },
}

struct SumPart<'a> {
    shape: &'a Shape,
    images: &'a [f32],
    sums: Sums<'a>,
    range: std::ops::Range<usize>,
}

impl SumPart<'_> {
    #[inline(always)]
    fn planes(self) -> Vec<[f64; 2]> {
        let Self {
            shape,
            images,
            sums,
            range,
        } = self;
        let plane = shape.plane();
        let mut totals = vec![[0.0; 2]; shape.channels];
        let mut rows = vec![0.0; shape.size[1]];
        let mut pooled = vec![0.0; shape.out_plane()];
        for image in range {
            for (channel, total) in totals.iter_mut().enumerate() {
                let index = image * shape.channels + channel;
                let x = &images[index * plane..][..plane];
                let [first, second] = match sums {
                    Sums::Moments { pivots } => {
                        let pivot = pivots[channel];
                        sum_pairs(
                            x,
                            x,
                            #[inline(always)]
                            |x, _| {
                                let value = relu(x) - pivot;
                                [value, value * value]
                            },
                        )
                    }
                    Sums::Gradients { output, means } => {
                        let mean = means[channel];
                        let output = &output[index * pooled.len()..][..pooled.len()];
                        if shape.pool {
                            pool_plane(x, shape.size[1], &mut rows, &mut pooled);
                            sum_pairs(
                                &pooled,
                                output,
                                #[inline(always)]
                                |x, g| [g, g * (x - mean)],
                            )
                        } else {
                            sum_pairs(
                                x,
                                output,
                                #[inline(always)]
                                |x, g| [g, g * (relu(x) - mean)],
                            )
                        }
                    }
                };
                total[0] += first;
                total[1] += second;
            }
        }
        totals
    }

    #[inline(always)]
    fn rows(self) -> Vec<[f64; 2]> {
        let Self {
            shape,
            images,
            sums,
            range,
        } = self;
        let (plane, length) = (shape.plane(), shape.image());
        let mut totals = vec![[0.0; 2]; shape.channels];
        let centres = match sums {
            Sums::Moments { pivots } => spread(pivots, plane),
            Sums::Gradients { means, .. } => spread(means, plane),
        };
        let (mut first, mut second) = (vec![0.0; length], vec![0.0; length]);
        let mut image = range.start;
        while image < range.end {
            let end = range.end.min(image + BLOCK);
            first.fill(0.0);
            second.fill(0.0);
            for image in image..end {
                let x = &images[image * length..][..length];
                let sums_of = first.iter_mut().zip(&mut second).zip(x).zip(&centres);
                match sums {
                    Sums::Moments { .. } => {
                        for (((first, second), &x), &pivot) in sums_of {
                            let value = relu(x) - pivot;
                            *first += value;
                            *second += value * value;
                        }
                    }
                    Sums::Gradients { output, .. } => {
                        let output = &output[image * length..][..length];
                        for ((((first, second), &x), &mean), &g) in sums_of.zip(output) {
                            *first += g;
                            *second += g * (relu(x) - mean);
                        }
                    }
                }
            }
            let columns = first.chunks_exact(plane).zip(second.chunks_exact(plane));
            for (total, (first, second)) in totals.iter_mut().zip(columns) {
                total[0] += first.iter().map(|&x| f64::from(x)).sum::<f64>();
                total[1] += second.iter().map(|&x| f64::from(x)).sum::<f64>();
            }
            image = end;
        }
        totals
    }
}

impl Kernel for SumPart<'_> {
    type Output = Vec<[f64; 2]>;
    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> Vec<[f64; 2]> {
        if self.shape.is_row() {
            self.rows()
        } else {
            self.planes()
        }
    }
}

/// Sums over the batch, a channel.
fn sums(shape: &Shape, images: &[f32], sums: Sums) -> Vec<[f64; 2]> {
    let (per_part, parts) = shape.parts();
    let parts: Vec<_> = (0..parts)
        .into_par_iter()
        .map(|part| {
            let range = part * per_part..((part + 1) * per_part).min(shape.batch);
            dispatch(SumPart {
                shape,
                images,
                sums,
                range,
            })
        })
        .collect();
    let mut totals = vec![[0.0; 2]; shape.channels];
    for part in parts {
        for (total, sums) in totals.iter_mut().zip(part) {
            total[0] += sums[0];
            total[1] += sums[1];
        }
    }
    totals
}

/// Mean and biased variance of the activation, a channel.
pub fn statistics(shape: &Shape, images: &[f32]) -> (Vec<f32>, Vec<f32>) {
    // Sums about a rough mean (the first image's) do not cancel, however far the mean is from zero.
    let plane = shape.plane();
    let pivots: Vec<f32> = images
        .chunks_exact(plane)
        .take(shape.channels)
        .map(|x| x.iter().map(|&x| relu(x)).sum::<f32>() / plane as f32)
        .collect();
    let count = (shape.batch * plane) as f64;
    sums(shape, images, Sums::Moments { pivots: &pivots })
        .iter()
        .zip(&pivots)
        .map(|([first, second], &pivot)| {
            let shift = first / count;
            let variance = second / count - shift * shift;
            // `max` would turn NaN into zero.
            let variance = if variance < 0.0 { 0.0 } else { variance };
            ((f64::from(pivot) + shift) as f32, variance as f32)
        })
        .unzip()
}

/// Sums, a channel, of the output's gradient, and of that times the activation minus `means`.
pub fn gradient_sums(
    shape: &Shape,
    images: &[f32],
    output: &[f32],
    means: &[f32],
) -> Vec<[f32; 2]> {
    sums(shape, images, Sums::Gradients { output, means })
        .into_iter()
        .map(|sums| sums.map(|sum| sum as f32))
        .collect()
}
