//! Sums over a batch, a channel: the statistics of batch normalisation, and the gradients of its factors.

use std::ops::Range;

use super::layout::Layout;
use super::normalise::{Rectifier, Shape, activation, source};
use super::vector::{Kernel, Vector, dispatch};

/// What a sum over the batch adds up.
#[derive(Clone, Copy)]
enum Terms<'a> {
    /// Of the activation (without pooling) minus a pivot, and of the square of that.
    Moments { pivots: &'a [f32] },
    /// Of the output's gradient, and of that times the activation minus its mean. With a ReLU after the affine map (scale and
    /// shift a channel), the gradient counts where that is positive.
    Gradients {
        output: &'a [f32],
        means: &'a [f32],
        affine: &'a [[f32; 2]],
    },
}

/// Channels that are added up together, so that their sums stay in the first-level cache.
const CHANNELS: usize = 32;

/// The terms of some rows of a block, added up lane by lane.
struct SumRows<'a> {
    shape: &'a Shape,
    terms: Terms<'a>,
    input: &'a [f32],
    rows: Range<usize>,
    filled: usize,
}

impl SumRows<'_> {
    /// Adds the terms of a run of channels at one pixel to the sums.
    ///
    /// # Safety
    /// `from` points at the first of these channels at the pixel, `output` likewise at the output's gradient if it is
    /// needed; `sums` holds two sums a lane for each channel.
    #[inline(always)]
    unsafe fn add<V: Vector>(
        &self,
        from: *const f32,
        output: *const f32,
        channels: Range<usize>,
        sums: *mut f32,
    ) {
        let (lanes, pixel, row) = (
            self.shape.input.lanes,
            self.shape.input.pixel(),
            self.shape.input.row(),
        );
        let rectifier = self.shape.rectifier;
        for (index, channel) in channels.enumerate() {
            let mut at = 0;
            while at < lanes {
                // SAFETY: the caller vouches for the pointers and for the instruction set.
                unsafe {
                    let offset = index * lanes + at;
                    let (one, other) = match self.terms {
                        Terms::Moments { pivots } => {
                            let x = activation::<V>(from.add(offset), pixel, row, false, rectifier);
                            let value = x.plus(V::splat(-pivots[channel]));
                            (value, value.times(value))
                        }
                        Terms::Gradients { means, affine, .. } => {
                            let pool = self.shape.pool;
                            let x = activation::<V>(from.add(offset), pixel, row, pool, rectifier);
                            let mut g = V::load(output.add(offset));
                            if rectifier == Rectifier::After {
                                let [scale, shift] = affine[channel];
                                let y = V::splat(shift).add_product(x, V::splat(scale));
                                g = g.where_positive(y);
                            }
                            (g, g.times(x.plus(V::splat(-means[channel]))))
                        }
                    };
                    let sums = sums.add(2 * index * lanes + at);
                    V::load(sums).plus(one).store(sums);
                    V::load(sums.add(lanes)).plus(other).store(sums.add(lanes));
                }
                at += V::LANES;
            }
        }
    }
}

impl Kernel for SumRows<'_> {
    type Output = Vec<[f64; 2]>;
    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> Vec<[f64; 2]> {
        let shape = self.shape;
        let lanes = shape.input.lanes;
        let layout = match self.terms {
            Terms::Moments { .. } => &shape.input,
            Terms::Gradients { .. } => &shape.output,
        };
        let mut totals = Vec::with_capacity(layout.channels);
        let mut sums = vec![0.0; 2 * CHANNELS * lanes];
        let mut first = 0;
        while first < layout.channels {
            let channels = first..(first + CHANNELS).min(layout.channels);
            sums.fill(0.0);
            for row in self.rows.clone() {
                for column in 0..layout.size[1] {
                    let to = row * layout.row() + column * layout.pixel() + first * lanes;
                    let (from, output) = match self.terms {
                        Terms::Moments { .. } => (to, self.input.as_ptr()),
                        Terms::Gradients { output, .. } => (
                            source(shape, row, column) + first * lanes,
                            // SAFETY: the pixel lies in the block.
                            unsafe { output.as_ptr().add(to) },
                        ),
                    };
                    // SAFETY: as above; the sums hold two sums a lane for each of the channels.
                    unsafe {
                        let from = self.input.as_ptr().add(from);
                        self.add::<V>(from, output, channels.clone(), sums.as_mut_ptr());
                    }
                }
            }
            let total = |lanes: &[f32]| lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
            for pair in sums.chunks_exact(2 * lanes).take(channels.len()) {
                let (one, other) = pair.split_at(lanes);
                totals.push([total(&one[..self.filled]), total(&other[..self.filled])]);
            }
            first = channels.end;
        }
        totals
    }
}

/// Sums over the batch, a channel.
fn sums(shape: &Shape, input: &[f32], terms: Terms) -> Vec<[f64; 2]> {
    let layout: &Layout = match terms {
        Terms::Moments { .. } => &shape.input,
        Terms::Gradients { .. } => &shape.output,
    };
    let groups = layout.each_group(|block, rows| {
        let terms = match terms {
            Terms::Gradients {
                output,
                means,
                affine,
            } => Terms::Gradients {
                output: &output[block * layout.block()..][..layout.block()],
                means,
                affine,
            },
            moments => moments,
        };
        dispatch(SumRows {
            shape,
            terms,
            input: &input[block * shape.input.block()..][..shape.input.block()],
            rows,
            filled: shape.input.filled(block),
        })
    });
    let mut totals = vec![[0.0; 2]; layout.channels];
    for group in groups {
        for (total, sums) in totals.iter_mut().zip(group) {
            total[0] += sums[0];
            total[1] += sums[1];
        }
    }
    totals
}

/// Mean and biased variance of the activation, a channel.
pub fn statistics(shape: &Shape, input: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let layout = &shape.input;
    assert!(input.len() == layout.values());
    // Sums about a rough mean (that of some images' central pixel) do not cancel, however far the mean is from zero.
    let pixels = layout.pixels();
    let centre = layout.size[0] / 2 * layout.row() + layout.size[1] / 2 * layout.pixel();
    let some = layout.filled(0);
    let rectified = shape.rectifier == Rectifier::Before;
    let pivots: Vec<f32> = input[centre..][..layout.pixel()]
        .chunks_exact(layout.lanes)
        .map(|lanes| {
            let values = lanes[..some].iter();
            values
                .map(|&x| if rectified && x < 0.0 { 0.0 } else { x })
                .sum::<f32>()
                / some as f32
        })
        .collect();
    let count = (layout.batch * pixels) as f64;
    sums(shape, input, Terms::Moments { pivots: &pivots })
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

/// Sums, a channel, of the output's gradient, and of that times the activation minus `means`; `affine` as in
/// [`input_gradient`](super::normalise::input_gradient).
pub fn gradient_sums(
    shape: &Shape,
    input: &[f32],
    output: &[f32],
    means: &[f32],
    affine: &[[f32; 2]],
) -> Vec<[f32; 2]> {
    assert!(input.len() == shape.input.values() && output.len() == shape.output.values());
    assert!(means.len() == shape.input.channels && affine.len() == shape.input.channels);
    let terms = Terms::Gradients {
        output,
        means,
        affine,
    };
    sums(shape, input, terms)
        .into_iter()
        .map(|sums| sums.map(|sum| sum as f32))
        .collect()
}
