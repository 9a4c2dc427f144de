//! The gradients of convolutions, on slices.

use std::ops::Range;

use burn::tensor::Bytes;
use rayon::prelude::*;

use super::buffer::{Shared, with_scratch, with_sums};
use super::convolve::{down_group, groups, up_group};
use super::geometry::{Geometry, Layout};
use super::planes::{load_big, load_small};
use super::pool::filled;
use super::sweep::{products, total};
use super::taps::{Taps, big_offsets, down_taps, tiles, up_taps};
use super::vector::{Kernel, Vector, dispatch};

/// Parts that the batch is cut into for the gradient of the weights. Their sums are added in order, so the number must
/// not depend on the threads.
const PARTS: usize = 16;

/// Which gradients are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Of the input.
    pub input: bool,
    /// Of the weights.
    pub weight: bool,
    /// Of the bias.
    pub bias: bool,
}

/// Gradients, as far as wanted.
#[derive(Default)]
pub struct Gradients {
    /// Of the input.
    pub input: Option<Bytes>,
    /// Of the weights.
    pub weight: Option<Vec<f32>>,
    /// Of the bias.
    pub bias: Option<Vec<f32>>,
}

/// How the gradient of the input comes about.
enum Back {
    None,
    Down(Taps, Shared),
    Up(Vec<Taps>, Shared),
}

struct Part<'a> {
    geometry: &'a Geometry,
    layout: &'a Layout,
    /// Offsets of the taps in the planes of the big side.
    offsets: &'a [usize],
    /// Images of the big side (input of a convolution, output gradient of a transposed one).
    big: &'a [f32],
    small: &'a [f32],
    back: &'a Back,
    zeros: &'a [f32],
    wanted: Wanted,
    transposed: bool,
    groups: Range<usize>,
    /// This part's sums of the gradients of weights and bias.
    weight: *mut f32,
    bias: *mut f32,
}

impl Kernel for Part<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (geometry, layout) = (self.geometry, self.layout);
        let needs_big =
            self.wanted.weight || (self.transposed && (self.wanted.input || self.wanted.bias));
        let needs_small =
            self.wanted.weight || (!self.transposed && (self.wanted.input || self.wanted.bias));
        with_scratch(
            #[inline(always)]
            |scratch| {
                let big = scratch.big_planes(geometry, layout);
                let small = scratch.small_planes(geometry, layout);
                let sums = scratch.out_planes(geometry, layout);
                for group in self.groups.clone() {
                    let first = group * layout.images;
                    let count = layout.images.min(geometry.batch - first);
                    let positions = layout.positions(count);
                    let add = group != self.groups.start;
                    // SAFETY: scratch and slices have the sizes of layout and geometry; this part alone writes to its sums
                    // and to the images of its groups.
                    unsafe {
                        if needs_big {
                            let images = self.big[first * geometry.big_image()..].as_ptr();
                            load_big::<V>(geometry, layout, images, count, big);
                        }
                        if needs_small {
                            let images = self.small[first * geometry.small_image()..].as_ptr();
                            load_small::<V>(geometry, layout, images, count, small);
                        }
                        match self.back {
                            Back::None => {}
                            Back::Down(taps, out) => {
                                let out = out.at(first * geometry.small_image());
                                down_group::<V>(
                                    geometry,
                                    layout,
                                    taps,
                                    self.zeros.as_ptr(),
                                    big,
                                    count,
                                    sums,
                                    out,
                                );
                            }
                            Back::Up(phases, out) => {
                                let out = out.at(first * geometry.big_image());
                                up_group::<V>(
                                    geometry,
                                    layout,
                                    phases,
                                    self.zeros.as_ptr(),
                                    small,
                                    count,
                                    sums,
                                    out,
                                );
                            }
                        }
                        let left = small.add(layout.front);
                        if self.wanted.weight {
                            let taps = self.offsets.len();
                            for (row, rows) in tiles(geometry.small, V::ROWS) {
                                let left = left.add(row * layout.small_plane);
                                let to = self.weight.add(row * taps);
                                products::<V>(
                                    rows,
                                    left,
                                    layout.small_plane,
                                    big,
                                    self.offsets,
                                    to,
                                    taps,
                                    positions,
                                    add,
                                );
                            }
                        }
                        if self.wanted.bias && self.transposed {
                            let phases = geometry.stride * geometry.stride;
                            for channel in 0..geometry.big {
                                let mut sum = 0.0;
                                for phase in 0..phases {
                                    sum += total::<V>(
                                        big.add((channel * phases + phase) * layout.big_plane),
                                        positions,
                                    );
                                }
                                let to = self.bias.add(channel);
                                *to = if add { *to + sum } else { sum };
                            }
                        } else if self.wanted.bias {
                            for channel in 0..geometry.small {
                                let sum =
                                    total::<V>(left.add(channel * layout.small_plane), positions);
                                let to = self.bias.add(channel);
                                *to = if add { *to + sum } else { sum };
                            }
                        }
                    }
                }
            },
        );
    }
}

/// Gradients of [`down`](super::convolve::down), or (`transposed`) of [`up`](super::convolve::up): `big` and `small` are
/// input and output gradient, or the other way.
pub fn gradients(
    geometry: &Geometry,
    big: &[f32],
    small: &[f32],
    weight: &[f32],
    transposed: bool,
    wanted: Wanted,
) -> Gradients {
    let layout = &Layout::new(geometry);
    assert!(big.len() == geometry.batch * geometry.big_image());
    assert!(small.len() == geometry.batch * geometry.small_image());
    let offsets = &big_offsets(geometry, layout);
    let zeros = &vec![0.0; geometry.big.max(geometry.small)];
    let groups = groups(geometry, layout);
    let per_part = groups.div_ceil(PARTS);
    let parts = groups.div_ceil(per_part);
    // Sums of a part: those of the weights, then those of the bias.
    let weights = if wanted.weight { weight.len() } else { 0 };
    let biases = match (wanted.bias, transposed) {
        (false, _) => 0,
        (true, true) => geometry.big,
        (true, false) => geometry.small,
    };
    let stride = weights + biases;
    let image = if transposed {
        geometry.small_image()
    } else {
        geometry.big_image()
    };
    with_sums(parts * stride, |sums| {
        let shared = Shared::new(sums);
        let run = |back: &Back| {
            (0..parts).into_par_iter().for_each(|part| {
                let groups = part * per_part..((part + 1) * per_part).min(groups);
                // SAFETY: every part has its own sums; if there are none, nothing is written.
                let (weight, bias) =
                    unsafe { (shared.at(part * stride), shared.at(part * stride + weights)) };
                dispatch(Part {
                    geometry,
                    layout,
                    offsets,
                    big,
                    small,
                    back,
                    zeros,
                    wanted,
                    transposed,
                    groups,
                    weight,
                    bias,
                });
            });
        };
        let input = if wanted.input {
            // SAFETY: the parts cover the batch, and every group writes all of its images.
            Some(unsafe {
                filled(geometry.batch * image, |out| {
                    run(&if transposed {
                        Back::Down(down_taps(geometry, layout, weight), out)
                    } else {
                        Back::Up(up_taps(geometry, layout, weight), out)
                    });
                })
            })
        } else {
            run(&Back::None);
            None
        };
        Gradients {
            input,
            weight: wanted.weight.then(|| add_parts(sums, stride, 0..weights)),
            bias: wanted
                .bias
                .then(|| add_parts(sums, stride, weights..stride)),
        }
    })
}

/// Sum of the parts, in order; a part has `stride` values, of which `range` are added.
fn add_parts(sums: &[f32], stride: usize, range: Range<usize>) -> Vec<f32> {
    const BLOCK: usize = 16_384;
    let (first, rest) = sums.split_at(stride);
    let mut result = first[range.clone()].to_vec();
    result
        .par_chunks_mut(BLOCK)
        .enumerate()
        .for_each(|(index, result)| {
            for part in rest.chunks_exact(stride) {
                let values = &part[range.start + index * BLOCK..][..result.len()];
                for (value, other) in result.iter_mut().zip(values) {
                    *value += other;
                }
            }
        });
    result
}
