//! Convolutions on slices: down (big side to small) and up (small to big: transposed).

// Shapes, layout and pointers of a group of images.
#![allow(clippy::too_many_arguments)]

use burn::tensor::Bytes;
use rayon::prelude::*;

use super::buffer::{Scratch, at_least, with_scratch};
use super::geometry::{Geometry, Layout};
use super::planes::{load_big, load_small, store_big, store_small};
use super::pool::filled;
use super::sweep::sweep;
use super::taps::{Taps, down_taps, tiles, up_taps};
use super::vector::{Kernel, Vector, dispatch};

/// Number of groups of images.
pub fn groups(geometry: &Geometry, layout: &Layout) -> usize {
    geometry.batch.div_ceil(layout.images)
}

/// One group's way from planes of the big side to images of the small one.
///
/// # Safety
/// `planes` holds the group's planes, `images` its images of the small side, `start` one value a small channel.
#[inline(always)]
pub unsafe fn down_group<V: Vector>(
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
pub unsafe fn up_group<V: Vector>(
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
    /// As many planes as a group needs.
    pub fn big_planes(&mut self, geometry: &Geometry, layout: &Layout) -> *mut f32 {
        let planes = geometry.big * geometry.stride * geometry.stride;
        at_least(&mut self.big, planes * layout.big_plane)
    }

    /// As many planes as a group needs.
    pub fn small_planes(&mut self, geometry: &Geometry, layout: &Layout) -> *mut f32 {
        at_least(&mut self.small, geometry.small * layout.small_plane)
    }

    /// As many planes as a group needs.
    pub fn out_planes(&mut self, geometry: &Geometry, layout: &Layout) -> *mut f32 {
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
pub fn down(geometry: &Geometry, input: &[f32], weight: &[f32], bias: &[f32]) -> Bytes {
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
pub fn up(geometry: &Geometry, input: &[f32], weight: &[f32], bias: &[f32]) -> Bytes {
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
