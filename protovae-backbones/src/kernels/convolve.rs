//! Convolutions on slices: down (big side to small), up (small to big: transposed), and the gradients of both.

use rayon::prelude::*;

use super::buffer::{Scratch, Shared, at_least, filled, with_scratch};
use super::geometry::{Geometry, Layout};
use super::planes::{load_big, load_small, store_big, store_small};
use super::sweep::{products, sweep, total};
use super::vector::{Kernel, Level, Vector, dispatch};

/// Parts that the batch is cut into for the gradient of the weights. Their sums are added in order, so the number must
/// not depend on the threads.
const PARTS: usize = 16;

/// Weights in the order in which a sweep reads them, and where their taps lie.
struct Taps {
    /// For each tile of rows: the weights `[tap][row]`.
    weights: Vec<f32>,
    /// For each tap, where its plane begins.
    offsets: Vec<usize>,
}

impl Taps {
    /// Packs `weight(row, tap)` tile by tile.
    fn pack(rows: usize, offsets: Vec<usize>, weight: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let taps = offsets.len();
        let mut weights = vec![0.0; rows * taps];
        let mut parts = Vec::new();
        let mut rest = weights.as_mut_slice();
        for (first, count) in tiles(rows, Level::get().rows()) {
            let (part, after) = rest.split_at_mut(count * taps);
            parts.push((first, count, part));
            rest = after;
        }
        parts.into_par_iter().for_each(|(first, count, part)| {
            for (tap, values) in part.chunks_exact_mut(count).enumerate() {
                for (row, value) in values.iter_mut().enumerate() {
                    *value = weight(first + row, tap);
                }
            }
        });
        Self { weights, offsets }
    }
}

/// Cuts rows into tiles as even as can be, since a narrow one at the end would be slow: first row and number of rows.
fn tiles(rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = rows.div_ceil(most);
    (0..tiles).map(move |tile| {
        let first = tile * rows / tiles;
        (first, (tile + 1) * rows / tiles - first)
    })
}

/// Offsets of the big side's planes, for every tap in the order of the weights.
fn big_offsets(geometry: &Geometry, layout: &Layout) -> Vec<usize> {
    let (kernel, stride) = (geometry.kernel, geometry.stride);
    let mut offsets = Vec::with_capacity(geometry.taps());
    for channel in 0..geometry.big {
        for row in 0..kernel {
            for column in 0..kernel {
                let phase = (channel * stride + row % stride) * stride + column % stride;
                let shift = row / stride * layout.pitch + column / stride;
                offsets.push(phase * layout.big_plane + shift);
            }
        }
    }
    offsets
}

/// Weights of a sweep from the big side to the small one.
fn down_taps(geometry: &Geometry, layout: &Layout, weight: &[f32]) -> Taps {
    let taps = geometry.taps();
    Taps::pack(geometry.small, big_offsets(geometry, layout), |row, tap| {
        weight[row * taps + tap]
    })
}

/// Weights of the sweeps from the small side to each phase of the big one.
fn up_taps(geometry: &Geometry, layout: &Layout, weight: &[f32]) -> Vec<Taps> {
    let (kernel, stride) = (geometry.kernel, geometry.stride);
    let mut phases = Vec::with_capacity(stride * stride);
    for phase_row in 0..stride {
        for phase_column in 0..stride {
            let mut offsets = Vec::new();
            let mut sources = Vec::new();
            for channel in 0..geometry.small {
                for (t, row) in (phase_row..kernel).step_by(stride).enumerate() {
                    for (u, column) in (phase_column..kernel).step_by(stride).enumerate() {
                        let plane = channel * layout.small_plane + layout.front;
                        offsets.push(plane - t * layout.pitch - u);
                        sources.push((channel * geometry.big * kernel + row) * kernel + column);
                    }
                }
            }
            let square = kernel * kernel;
            phases.push(Taps::pack(geometry.big, offsets, |row, tap| {
                weight[sources[tap] + row * square]
            }));
        }
    }
    phases
}

/// First image and number of images of every group.
fn groups(geometry: &Geometry, layout: &Layout) -> usize {
    geometry.batch.div_ceil(layout.images)
}

/// One group's way from planes of the big side to images of the small one.
///
/// # Safety
/// `planes` holds the group's planes, `images` its images of the small side, `start` one value a small channel.
#[inline(always)]
unsafe fn down_group<V: Vector>(
    geometry: &Geometry,
    layout: &Layout,
    taps: &Taps,
    start: *const f32,
    planes: *const f32,
    count: usize,
    out: *mut f32,
    images: *mut f32,
) {
    for (first, rows) in tiles(geometry.small, V::ROWS) {
        // SAFETY: `out` holds a tile's rows of positions rounded up; the planes extend beyond the positions by the reach
        // of the taps; the weights are packed for the same tiles.
        unsafe {
            let weights = taps.weights.as_ptr().add(first * taps.offsets.len());
            let positions = layout.positions(count);
            sweep::<V>(
                rows,
                weights,
                start.add(first),
                planes,
                &taps.offsets,
                out,
                layout.out_plane,
                positions,
            );
            for row in 0..rows {
                let plane = out.add(row * layout.out_plane);
                store_small::<V>(geometry, layout, plane, first + row, count, images);
            }
        }
    }
}

/// One group's way from planes of the small side to images of the big one.
///
/// # Safety
/// `planes` holds the group's planes, `images` its images of the big side, `start` one value a big channel.
#[inline(always)]
unsafe fn up_group<V: Vector>(
    geometry: &Geometry,
    layout: &Layout,
    phases: &[Taps],
    start: *const f32,
    planes: *const f32,
    count: usize,
    out: *mut f32,
    images: *mut f32,
) {
    let stride = geometry.stride;
    // SAFETY: `out` holds `stride` times a tile's rows of positions rounded up; the front of the planes holds the reach of
    // the taps; the weights are packed for the same tiles.
    unsafe {
        if !geometry.covers() {
            let [height, width] = geometry.size;
            for plane in 0..count * geometry.big {
                let value = *start.add(plane % geometry.big);
                let to = images.add(plane * height * width);
                for i in 0..height * width {
                    *to.add(i) = value;
                }
            }
        }
        let positions = layout.positions(count);
        for (first, rows) in tiles(geometry.big, V::ROWS) {
            for phase_row in 0..stride {
                for phase_column in 0..stride {
                    let taps = &phases[phase_row * stride + phase_column];
                    let weights = taps.weights.as_ptr().add(first * taps.offsets.len());
                    // Rows of a tile are `stride` planes apart, so that the column phases of a row lie together.
                    let to = out.add(phase_column * layout.out_plane);
                    let apart = stride * layout.out_plane;
                    sweep::<V>(
                        rows,
                        weights,
                        start.add(first),
                        planes,
                        &taps.offsets,
                        to,
                        apart,
                        positions,
                    );
                }
                for row in 0..rows {
                    let from = out.add(row * stride * layout.out_plane);
                    store_big::<V>(
                        geometry,
                        layout,
                        from,
                        layout.out_plane,
                        first + row,
                        phase_row,
                        count,
                        images,
                    );
                }
            }
        }
    }
}

impl Scratch {
    fn big_planes(&mut self, geometry: &Geometry, layout: &Layout) -> *mut f32 {
        let planes = geometry.big * geometry.stride * geometry.stride;
        at_least(&mut self.big, planes * layout.big_plane)
    }

    fn small_planes(&mut self, geometry: &Geometry, layout: &Layout) -> *mut f32 {
        at_least(&mut self.small, geometry.small * layout.small_plane)
    }

    fn out_planes(&mut self, geometry: &Geometry, layout: &Layout) -> *mut f32 {
        at_least(&mut self.out, 8 * geometry.stride * layout.out_plane)
    }
}

struct DownGroup<'a> {
    geometry: &'a Geometry,
    layout: &'a Layout,
    taps: &'a Taps,
    start: &'a [f32],
    images: &'a [f32],
    count: usize,
    out: *mut f32,
}

impl Kernel for DownGroup<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self {
            geometry,
            layout,
            taps,
            start,
            images,
            count,
            out,
        } = self;
        with_scratch(
            #[inline(always)]
            |scratch| {
                let planes = scratch.big_planes(geometry, layout);
                let sums = scratch.out_planes(geometry, layout);
                // SAFETY: the scratch has the sizes of the layout, and the slices those of the group.
                unsafe {
                    load_big::<V>(geometry, layout, images.as_ptr(), count, planes);
                    down_group::<V>(
                        geometry,
                        layout,
                        taps,
                        start.as_ptr(),
                        planes,
                        count,
                        sums,
                        out,
                    );
                }
            },
        );
    }
}

struct UpGroup<'a> {
    geometry: &'a Geometry,
    layout: &'a Layout,
    phases: &'a [Taps],
    start: &'a [f32],
    images: &'a [f32],
    count: usize,
    out: *mut f32,
}

impl Kernel for UpGroup<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let Self {
            geometry,
            layout,
            phases,
            start,
            images,
            count,
            out,
        } = self;
        with_scratch(
            #[inline(always)]
            |scratch| {
                let planes = scratch.small_planes(geometry, layout);
                let sums = scratch.out_planes(geometry, layout);
                // SAFETY: the scratch has the sizes of the layout, and the slices those of the group.
                unsafe {
                    load_small::<V>(geometry, layout, images.as_ptr(), count, planes);
                    up_group::<V>(
                        geometry,
                        layout,
                        phases,
                        start.as_ptr(),
                        planes,
                        count,
                        sums,
                        out,
                    );
                }
            },
        );
    }
}

/// From the big side to the small one: a convolution.
pub fn down(geometry: &Geometry, input: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let layout = &Layout::new(geometry);
    let taps = &down_taps(geometry, layout, weight);
    let (from, to) = (geometry.big_image(), geometry.small_image());
    assert!(input.len() == geometry.batch * from && bias.len() == geometry.small);
    // SAFETY: the groups cover the batch, each writes its own images, and all of each.
    unsafe {
        filled(geometry.batch * to, |out| {
            (0..groups(geometry, layout))
                .into_par_iter()
                .for_each(|group| {
                    let first = group * layout.images;
                    let count = layout.images.min(geometry.batch - first);
                    let images = &input[first * from..][..count * from];
                    let out = out.at(first * to);
                    dispatch(DownGroup {
                        geometry,
                        layout,
                        taps,
                        start: bias,
                        images,
                        count,
                        out,
                    });
                });
        })
    }
}

/// From the small side to the big one: a transposed convolution.
pub fn up(geometry: &Geometry, input: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let layout = &Layout::new(geometry);
    let phases = &up_taps(geometry, layout, weight);
    let (from, to) = (geometry.small_image(), geometry.big_image());
    assert!(input.len() == geometry.batch * from && bias.len() == geometry.big);
    // SAFETY: the groups cover the batch, each writes its own images, and all of each.
    unsafe {
        filled(geometry.batch * to, |out| {
            (0..groups(geometry, layout))
                .into_par_iter()
                .for_each(|group| {
                    let first = group * layout.images;
                    let count = layout.images.min(geometry.batch - first);
                    let images = &input[first * from..][..count * from];
                    let out = out.at(first * to);
                    dispatch(UpGroup {
                        geometry,
                        layout,
                        phases,
                        start: bias,
                        images,
                        count,
                        out,
                    });
                });
        })
    }
}

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
    pub input: Option<Vec<f32>>,
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
    groups: std::ops::Range<usize>,
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

/// Gradients of [`down`], or (`transposed`) of [`up`]: `big` and `small` are input and output gradient, or the other way.
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
    let weights = weight.len();
    let biases = if transposed {
        geometry.big
    } else {
        geometry.small
    };
    // Written by the first group of every part before anything is added.
    let mut weight_sums = vec![0.0; if wanted.weight { parts * weights } else { 0 }];
    let mut bias_sums = vec![0.0; if wanted.bias { parts * biases } else { 0 }];
    let (weight_out, bias_out) = (Shared::new(&mut weight_sums), Shared::new(&mut bias_sums));
    let run = |back: &Back| {
        (0..parts).into_par_iter().for_each(|part| {
            let groups = part * per_part..((part + 1) * per_part).min(groups);
            // SAFETY: every part has its own sums; if there are none, nothing is written.
            let (weight, bias) = unsafe {
                (
                    weight_out.at(if wanted.weight { part * weights } else { 0 }),
                    bias_out.at(if wanted.bias { part * biases } else { 0 }),
                )
            };
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
    let mut gradients = Gradients::default();
    if wanted.input {
        let image = if transposed {
            geometry.small_image()
        } else {
            geometry.big_image()
        };
        // SAFETY: the parts cover the batch, and every group writes all of its images.
        gradients.input = Some(unsafe {
            filled(geometry.batch * image, |out| {
                run(&if transposed {
                    Back::Down(down_taps(geometry, layout, weight), out)
                } else {
                    Back::Up(up_taps(geometry, layout, weight), out)
                });
            })
        });
    } else if wanted.weight || wanted.bias {
        run(&Back::None);
    }
    gradients.weight = wanted.weight.then(|| add_parts(weight_sums, weights));
    gradients.bias = wanted.bias.then(|| add_parts(bias_sums, biases));
    gradients
}

/// Sum of the parts, in order.
fn add_parts(mut sums: Vec<f32>, length: usize) -> Vec<f32> {
    let (result, rest) = sums.split_at_mut(length);
    let block = 16_384;
    result
        .par_chunks_mut(block)
        .enumerate()
        .for_each(|(index, result)| {
            for part in rest.chunks_exact(length) {
                let values = &part[index * block..][..result.len()];
                for (value, other) in result.iter_mut().zip(values) {
                    *value += other;
                }
            }
        });
    sums.truncate(length);
    sums
}
