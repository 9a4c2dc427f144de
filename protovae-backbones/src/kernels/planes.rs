//! Moving images into the flat planes of [`Layout`] and out of them.

// Shapes, layout and pointers of a group of images.
#![allow(clippy::too_many_arguments)]

use super::geometry::{Geometry, Layout};
use super::sweep::{copy_row, zero_row};
use super::vector::Vector;

/// Lays `count` images of the big side out as planes, a channel's `stride²` phases after one another.
///
/// # Safety
/// `images` holds `count` images of the big side and `planes` `big · stride²` planes; `count` is at most a group's.
#[inline(always)]
pub unsafe fn load_big<V: Vector>(
    geometry: &Geometry,
    layout: &Layout,
    images: *const f32,
    count: usize,
    planes: *mut f32,
) {
    let [height, width] = geometry.size;
    let (stride, padding) = (geometry.stride, geometry.padding);
    let mut plane = planes;
    for channel in 0..geometry.big {
        for phase_row in 0..stride {
            let (top, bottom) = geometry.inside(0, phase_row);
            for phase_column in 0..stride {
                let (left, right) = geometry.inside(1, phase_column);
                // SAFETY: a plane holds `count · rows · pitch` positions; `inside` gives rows below `layout.rows` and
                // columns up to `layout.pitch`, and only those whose source lies in the image.
                unsafe {
                    let mut to = plane;
                    for image in 0..count {
                        let source = images.add((image * geometry.big + channel) * height * width);
                        zero_row::<V>(to, top * layout.pitch);
                        to = to.add(top * layout.pitch);
                        for a in top..bottom {
                            let y = a * stride + phase_row - padding;
                            zero_row::<V>(to, left);
                            if left < right {
                                let x = left * stride + phase_column - padding;
                                let from = source.add(y * width + x);
                                if stride == 1 {
                                    copy_row::<V>(from, to.add(left), right - left);
                                } else if stride == 2 {
                                    gather(from, to.add(left), right - left, 2);
                                } else {
                                    gather(from, to.add(left), right - left, stride);
                                }
                            }
                            zero_row::<V>(to.add(right), layout.pitch - right);
                            to = to.add(layout.pitch);
                        }
                        zero_row::<V>(to, (layout.rows - bottom) * layout.pitch);
                        to = to.add((layout.rows - bottom) * layout.pitch);
                    }
                    zero_row::<V>(to, layout.big_plane - layout.positions(count));
                    plane = plane.add(layout.big_plane);
                }
            }
        }
    }
}

/// Copies every `stride`-th value.
///
/// # Safety
/// `to` holds `length` values and `from` `(length - 1) · stride + 1`.
#[inline(always)]
unsafe fn gather(from: *const f32, to: *mut f32, length: usize, stride: usize) {
    for i in 0..length {
        // SAFETY: the caller vouches for both.
        unsafe { *to.add(i) = *from.add(i * stride) };
    }
}

/// Lays `count` images of the small side out as planes.
///
/// # Safety
/// `images` holds `count` images of the small side and `planes` `small` planes; `count` is at most a group's.
#[inline(always)]
pub unsafe fn load_small<V: Vector>(
    geometry: &Geometry,
    layout: &Layout,
    images: *const f32,
    count: usize,
    planes: *mut f32,
) {
    let [height, width] = geometry.out;
    for channel in 0..geometry.small {
        // SAFETY: a plane holds the front and `count · rows · pitch` positions; rows and pitch are at least an image's.
        unsafe {
            let plane = planes.add(channel * layout.small_plane);
            zero_row::<V>(plane, layout.front);
            let mut to = plane.add(layout.front);
            for image in 0..count {
                let mut from = images.add((image * geometry.small + channel) * height * width);
                for _ in 0..height {
                    copy_row::<V>(from, to, width);
                    zero_row::<V>(to.add(width), layout.pitch - width);
                    from = from.add(width);
                    to = to.add(layout.pitch);
                }
                zero_row::<V>(to, (layout.rows - height) * layout.pitch);
                to = to.add((layout.rows - height) * layout.pitch);
            }
            zero_row::<V>(
                to,
                layout.small_plane - layout.front - layout.positions(count),
            );
        }
    }
}

/// Takes one channel of `count` images of the small side out of a plane without front.
///
/// # Safety
/// `plane` holds the positions of `count` images; `images` holds `count` images of the small side.
#[inline(always)]
pub unsafe fn store_small<V: Vector>(
    geometry: &Geometry,
    layout: &Layout,
    plane: *const f32,
    channel: usize,
    count: usize,
    images: *mut f32,
) {
    let [height, width] = geometry.out;
    for image in 0..count {
        // SAFETY: rows and pitch are at least an image's, so every source is a position of this image.
        unsafe {
            let mut to = images.add((image * geometry.small + channel) * height * width);
            let mut from = plane.add(layout.positions(image));
            for _ in 0..height {
                copy_row::<V>(from, to, width);
                from = from.add(layout.pitch);
                to = to.add(width);
            }
        }
    }
}

/// Takes, for one channel and one row phase, the rows of `count` images of the big side out of `stride` planes.
///
/// # Safety
/// `planes` holds `stride` planes, `out_plane` apart, with the positions of `count` images, one a column phase; `images`
/// holds `count` images of the big side.
#[inline(always)]
pub unsafe fn store_big<V: Vector>(
    geometry: &Geometry,
    layout: &Layout,
    planes: *const f32,
    planes_stride: usize,
    channel: usize,
    phase_row: usize,
    count: usize,
    images: *mut f32,
) {
    let [height, width] = geometry.size;
    let (stride, padding) = (geometry.stride, geometry.padding);
    let (top, bottom) = geometry.inside(0, phase_row);
    for image in 0..count {
        for a in top..bottom {
            let y = a * stride + phase_row - padding;
            // SAFETY: `inside` gives rows below `layout.rows`, columns below `layout.pitch`, and only those whose
            // target lies in the image.
            unsafe {
                let to = images.add(((image * geometry.big + channel) * height + y) * width);
                let from = planes.add(layout.positions(image) + a * layout.pitch);
                if stride == 1 {
                    let (left, right) = geometry.inside(1, 0);
                    copy_row::<V>(from.add(left), to.add(left - padding), right - left);
                } else if stride == 2 && geometry.covers() {
                    // Even and odd columns of the image, and where each begins in its phase.
                    let (even, odd) = (padding % 2, (padding + 1) % 2);
                    let evens = from.add(even * planes_stride + geometry.inside(1, even).0);
                    let odds = from.add(odd * planes_stride + geometry.inside(1, odd).0);
                    interleave(evens, odds, to, width);
                } else {
                    for phase in 0..stride {
                        let (left, right) = geometry.inside(1, phase);
                        for b in left..right {
                            let x = b * stride + phase - padding;
                            *to.add(x) = *from.add(phase * planes_stride + b);
                        }
                    }
                }
            }
        }
    }
}

/// Writes the values of two rows in turn.
///
/// # Safety
/// `to` holds `length` values, `evens` the rounded up half of them and `odds` the rounded down one.
#[inline(always)]
unsafe fn interleave(evens: *const f32, odds: *const f32, to: *mut f32, length: usize) {
    // SAFETY: the caller vouches for all three.
    unsafe {
        for i in 0..length / 2 {
            *to.add(2 * i) = *evens.add(i);
            *to.add(2 * i + 1) = *odds.add(i);
        }
        if length % 2 == 1 {
            *to.add(length - 1) = *evens.add(length / 2);
        }
    }
}
