//! The gradients of weights and biases of convolutions, on slices.

use std::cell::RefCell;
use std::ops::Range;

use burn::tensor::Bytes;
use rayon::prelude::*;

use super::buffer::{Shared, with_sums};
use super::convolve::{TASKS, tiles};
use super::geometry::Geometry;
use super::layout::Layout;
use super::multiply::{Operand, PRODUCT_ROWS, Run, Target, add_into, product_columns, products};
use super::pool::filled;
use super::vector::{Kernel, Vector, dispatch};

/// Pixels of the small side that are multiplied at a time: enough to amortise the sums over lanes at the end, few enough
/// for the first-level cache.
const PIXELS: usize = 32;

/// Products with a value of the big side from which on packing it is worth the copy.
const PACKING: usize = 40;

/// Into how many parts the batch is cut, whose sums are added in the end: fewer for many weights, because each part has
/// sums of its own. It depends on the shapes alone, so that results do not depend on the number of threads.
fn parts(weights: usize) -> usize {
    match weights {
        0..=0x4000 => TASKS,
        0x4001..=0x10000 => 4,
        _ => 1,
    }
}

/// For each tap the runs of pixels that it joins, over some rows of the small side, counted through all blocks; pixels are
/// counted likewise.
fn runs(geometry: &Geometry, rows: Range<usize>) -> Vec<Vec<Run>> {
    let [height, width] = geometry.out;
    let big_pixels = geometry.size[0] * geometry.size[1];
    (0..geometry.square())
        .map(|tap| {
            let inside = |column| geometry.joined(1, column, tap % geometry.kernel);
            let first = (0..width).find(|&column| inside(column).is_some());
            let Some((first, column)) = first.and_then(|first| Some((first, inside(first)?)))
            else {
                return Vec::new();
            };
            let columns = (first..width).take_while(|&column| inside(column).is_some());
            let length = columns.count();
            rows.clone()
                .filter_map(|row| {
                    let big = geometry.joined(0, row % height, tap / geometry.kernel)?;
                    Some(Run {
                        small: row * width + first,
                        big: row / height * big_pixels + big * geometry.size[1] + column,
                        length,
                    })
                })
                .collect()
        })
        .collect()
}

/// Some rows of some blocks, and some channels of the small side.
struct Part<'a> {
    geometry: &'a Geometry,
    /// Layouts of the small and the big side.
    layouts: [&'a Layout; 2],
    small: &'a [f32],
    big: &'a [f32],
    /// Rows of the small side, counted through all blocks.
    rows: Range<usize>,
    channels: Range<usize>,
    sums: *mut f32,
}

/// Copies some pixels' channels tile by tile: `[tile][pixel][channel of the tile][image]`.
///
/// In the maps the pixels of one channel lie a power of two apart, and would share a few sets of the cache.
///
/// # Safety
/// The processor must have the instruction set of `V`.
#[inline(always)]
unsafe fn pack<V: Vector>(
    layout: &Layout,
    values: &[f32],
    pixels: Range<usize>,
    tiles: impl Iterator<Item = (usize, usize)>,
    packed: &mut Vec<f32>,
) {
    let length = pixels.len() * layout.pixel();
    if packed.len() < length {
        packed.resize(length, 0.0);
    }
    let mut to = 0;
    for (first, count) in tiles {
        for pixel in pixels.clone() {
            let from = &values[pixel * layout.pixel() + first * layout.lanes..];
            let (from, place) = (&from[..count * layout.lanes], &mut packed[to..]);
            let place = &mut place[..from.len()];
            for at in (0..from.len()).step_by(V::LANES) {
                // SAFETY: both have the same length, whole vectors.
                unsafe { V::load(from.as_ptr().add(at)).store(place.as_mut_ptr().add(at)) };
            }
            to += from.len();
        }
    }
}

impl Kernel for Part<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let geometry = self.geometry;
        let [small, big] = self.layouts;
        let (lanes, square) = (small.lanes, geometry.square());
        let (mut packed_small, mut packed_big) = PACKED.take();
        let most = (PIXELS / geometry.out[1]).max(1);
        let mut at = self.rows.start;
        while at < self.rows.end {
            let rows = at..(at + most).min(self.rows.end);
            at = rows.end;
            let runs = runs(geometry, rows.clone());
            let width = geometry.out[1];
            let left = rows.start * width..rows.end * width;
            let ends = runs.iter().flatten().map(|run| {
                let last = run.big + (run.length - 1) * geometry.stride;
                (run.big, last + 1)
            });
            let Some((first, end)) = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else {
                continue;
            };
            let right = first..end;
            let channels = self.channels.clone();
            let small_tiles = || {
                tiles(channels.len(), PRODUCT_ROWS)
                    .map(|(first, count)| (channels.start + first, count))
            };
            let big_tiles = || tiles(geometry.big, product_columns::<V>());
            // SAFETY: the caller checked for the instruction set.
            unsafe {
                let pixels = left.clone();
                pack::<V>(small, self.small, pixels, small_tiles(), &mut packed_small);
            }
            // How often a packed value is used.
            let pairs: usize = runs.iter().flatten().map(|run| run.length).sum();
            let packs = pairs * channels.len() >= PACKING * right.len();
            if packs {
                // SAFETY: as above.
                unsafe {
                    pack::<V>(big, self.big, right.clone(), big_tiles(), &mut packed_big);
                }
            }
            for (row, count) in small_tiles() {
                let on_small = Operand {
                    values: &packed_small[(row - channels.start) * left.len() * lanes..],
                    first: left.start,
                    pixel: count * lanes,
                    step: count * lanes,
                };
                for (column, columns) in big_tiles() {
                    let on_big = if packs {
                        Operand {
                            values: &packed_big[column * right.len() * lanes..],
                            first: right.start,
                            pixel: columns * lanes,
                            step: geometry.stride * columns * lanes,
                        }
                    } else {
                        Operand {
                            values: &self.big[column * lanes..],
                            first: 0,
                            pixel: big.pixel(),
                            step: geometry.stride * big.pixel(),
                        }
                    };
                    for (tap, runs) in runs.iter().enumerate() {
                        // SAFETY: the packed values hold the channels of the tiles at all pixels of the runs; the products
                        // lie in the sums, of which this part alone writes those of its channels.
                        unsafe {
                            let to = (row * geometry.big + column) * square + tap;
                            let target = Target {
                                at: self.sums.add(to),
                                row: geometry.big * square,
                                column: square,
                            };
                            products::<V>([count, columns], on_small, on_big, runs, lanes, target);
                        }
                    }
                }
            }
        }
        PACKED.set((packed_small, packed_big));
    }
}

thread_local! {
    /// Memory for packed pixels of either side, kept from call to call.
    static PACKED: RefCell<(Vec<f32>, Vec<f32>)> = RefCell::default();
}

/// Gradient of the weights `[small][big][tap]`, from the maps of both sides; one of them is the input, the other the
/// gradient of the output.
pub fn weight_gradient(
    geometry: &Geometry,
    layouts: [&Layout; 2],
    small: &[f32],
    big: &[f32],
) -> Bytes {
    let [small_layout, big_layout] = layouts;
    assert!(small.len() == small_layout.values() && big.len() == big_layout.values());
    assert!(small_layout.size == geometry.out && big_layout.size == geometry.size);
    assert!(small_layout.channels == geometry.small && big_layout.channels == geometry.big);
    let weights = geometry.small * geometry.big * geometry.square();
    let units = small_layout.blocks() * geometry.out[0];
    let parts = parts(weights).min(units);
    let slices = TASKS
        .div_ceil(parts)
        .min(geometry.small.div_ceil(PRODUCT_ROWS));
    let run = |sums: Shared| {
        (0..parts * slices)
            .into_par_iter()
            .with_max_len(1)
            .for_each(|task| {
                let (part, slice) = (task / slices, task % slices);
                let channels =
                    slice * geometry.small / slices..(slice + 1) * geometry.small / slices;
                let row = geometry.big * geometry.square();
                // SAFETY: every part has its own sums, and of those every slice its own channels.
                unsafe {
                    let sums = sums.at(part * weights);
                    std::ptr::write_bytes(sums.add(channels.start * row), 0, channels.len() * row);
                    dispatch(Part {
                        geometry,
                        layouts,
                        small,
                        big,
                        rows: part * units / parts..(part + 1) * units / parts,
                        channels,
                        sums,
                    });
                }
            });
    };
    if parts == 1 {
        // SAFETY: the slices cover all weights, and zeros are written first.
        return unsafe { filled(weights, run) };
    }
    with_sums(parts * weights, |sums| {
        run(Shared::new(sums));
        add_parts(sums, weights)
    })
}

/// Sum of the parts, in order.
fn add_parts(sums: &[f32], weights: usize) -> Bytes {
    const BLOCK: usize = 4096;
    let (first, rest) = sums.split_at(weights);
    let mut result = first.to_vec();
    result
        .par_chunks_mut(BLOCK)
        .enumerate()
        .for_each(|(index, result)| {
            for part in rest.chunks_exact(weights) {
                let values = &part[index * BLOCK..][..result.len()];
                for (value, other) in result.iter_mut().zip(values) {
                    *value += other;
                }
            }
        });
    Bytes::from_elems(result)
}

/// Sums of some rows of a block, a channel and lane.
struct Lanes<'a> {
    layout: &'a Layout,
    pixels: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for Lanes<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for pixel in self.pixels.chunks_exact(self.layout.pixel()) {
            // SAFETY: a pixel holds as many values as there are sums, whole vectors.
            unsafe { add_into::<V>(self.sums.as_mut_ptr(), pixel.as_ptr(), pixel.len()) };
        }
    }
}

/// Sum over batch and pixels, a channel: the gradient of a bias. Lanes without an image hold zeros.
pub fn channel_sums(layout: &Layout, values: &[f32]) -> Vec<f32> {
    assert!(values.len() == layout.values());
    let groups = layout.each_group(|block, rows| {
        let mut sums = vec![0.0; layout.pixel()];
        let first = block * layout.block() + rows.start * layout.row();
        let pixels = &values[first..][..rows.len() * layout.row()];
        dispatch(Lanes {
            layout,
            pixels,
            sums: &mut sums,
        });
        let channels = sums.chunks_exact(layout.lanes);
        channels
            .map(|lanes| lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>())
            .collect::<Vec<f64>>()
    });
    let mut totals = vec![0.0; layout.channels];
    for group in groups {
        for (total, sum) in totals.iter_mut().zip(group) {
            *total += sum;
        }
    }
    totals.into_iter().map(|total| total as f32).collect()
}
