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

/// Values of the small side that a window holds, so that they stay in the second-level cache while the channels of the big side
/// go by.
const WINDOW: usize = 1 << 16;

/// Products with a value of the big side from which on packing it is worth the copy.
const PACKING: usize = 40;

/// Into how many parts the batch is cut, whose sums are added in the end: fewer for many weights, because each part has
/// sums of its own, unless it has many pixels. It depends on the shapes alone, so that results do not depend on the number of
/// threads.
fn parts(weights: usize, pixels: usize) -> usize {
    let least = match weights {
        0..=0x4000 => TASKS,
        0x4001..=0x10000 => 4,
        _ => 1,
    };
    (pixels / 384).clamp(least, TASKS)
}

/// Pixels of one side that are looked at together: some rows, counted through all blocks, and some columns of them.
#[derive(Clone, Copy, Debug)]
struct Window {
    first: [usize; 2],
    size: [usize; 2],
    /// Pixels in a row of the map.
    width: usize,
}

impl Window {
    /// The smallest with all pixels in these rows and columns, none if there are none.
    fn around(pixels: impl Iterator<Item = [Range<usize>; 2]>, width: usize) -> Option<Self> {
        let union = |a: Range<usize>, b: Range<usize>| a.start.min(b.start)..a.end.max(b.end);
        let [rows, columns] = pixels.reduce(|[rows, columns], [more_rows, more_columns]| {
            [union(rows, more_rows), union(columns, more_columns)]
        })?;
        Some(Self {
            first: [rows.start, columns.start],
            size: [rows.len(), columns.len()],
            width,
        })
    }

    fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Place of a pixel among those of the window.
    fn place(&self, row: usize, column: usize) -> usize {
        (row - self.first[0]) * self.size[1] + column - self.first[1]
    }

    /// Place of a pixel among those of all blocks.
    fn place_outside(&self, row: usize, column: usize) -> usize {
        row * self.width + column
    }
}

/// Pixels in a row of the small side and those of the big one that a tap joins them with: row, first column, number, and row
/// and first column on the other side.
#[derive(Clone, Copy, Debug)]
struct Joined {
    small: [usize; 2],
    big: [usize; 2],
    length: usize,
}

/// For each tap what it joins over a window of the small side; rows are counted through all blocks on both sides.
fn joined(geometry: &Geometry, window: &Window) -> Vec<Vec<Joined>> {
    let height = geometry.out[0];
    let columns = window.first[1]..window.first[1] + window.size[1];
    let rows = window.first[0]..window.first[0] + window.size[0];
    (0..geometry.square())
        .map(|tap| {
            let inside = |column| geometry.joined(1, column, tap % geometry.kernel);
            let first = columns.clone().find(|&column| inside(column).is_some());
            let Some((first, column)) = first.and_then(|first| Some((first, inside(first)?)))
            else {
                return Vec::new();
            };
            let seen = (first..columns.end).take_while(|&column| inside(column).is_some());
            let length = seen.count();
            rows.clone()
                .filter_map(|row| {
                    let big = geometry.joined(0, row % height, tap / geometry.kernel)?;
                    Some(Joined {
                        small: [row, first],
                        big: [row / height * geometry.size[0] + big, column],
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

/// Copies a window's pixels of some channels: `[pixel][channel][image]`.
///
/// In the maps the pixels of one channel lie a power of two apart, and would share a few sets of the cache.
///
/// # Safety
/// The processor must have the instruction set of `V`.
#[inline(always)]
unsafe fn pack<V: Vector>(
    layout: &Layout,
    values: &[f32],
    window: &Window,
    (first, count): (usize, usize),
    packed: &mut [f32],
) {
    let width = count * layout.lanes;
    let mut places = packed.chunks_exact_mut(width);
    for row in window.first[0]..window.first[0] + window.size[0] {
        let pixel = window.place_outside(row, window.first[1]);
        for (pixel, place) in (pixel..pixel + window.size[1]).zip(&mut places) {
            let from = &values[pixel * layout.pixel() + first * layout.lanes..][..width];
            for at in (0..width).step_by(V::LANES) {
                // SAFETY: both have the same length, whole vectors.
                unsafe { V::load(from.as_ptr().add(at)).store(place.as_mut_ptr().add(at)) };
            }
        }
    }
}

/// The first `length` values of memory that is kept.
fn grown(memory: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if memory.len() < length {
        memory.resize(length, 0.0);
    }
    &mut memory[..length]
}

impl Part<'_> {
    /// The windows of the small side, each as the ones that are multiplied at a time.
    fn windows(&self) -> Vec<Vec<Window>> {
        let width = self.geometry.out[1];
        let lanes = self.layouts[0].lanes;
        let rows = (PIXELS / width).max(1);
        let mut windows = Vec::new();
        for (first_column, columns) in tiles(width, PIXELS) {
            let values = self.channels.len() * rows * columns * lanes;
            let bundle = rows * (WINDOW / values).max(1);
            for start in self.rows.clone().step_by(bundle) {
                let end = (start + bundle).min(self.rows.end);
                let pieces = (start..end).step_by(rows).map(|row| Window {
                    first: [row, first_column],
                    size: [rows.min(end - row), columns],
                    width,
                });
                windows.push(pieces.collect());
            }
        }
        windows
    }

    /// Adds the products of a window.
    ///
    /// # Safety
    /// The processor must have the instruction set of `V`.
    #[inline(always)]
    unsafe fn add<V: Vector>(
        &self,
        pieces: &[Window],
        packed_small: &mut Vec<f32>,
        packed_big: &mut Vec<f32>,
    ) {
        let geometry = self.geometry;
        let [small, big] = self.layouts;
        let (lanes, square) = (small.lanes, geometry.square());
        let found: Vec<_> = pieces.iter().map(|piece| joined(geometry, piece)).collect();
        let flat = || found.iter().flatten().flatten();
        let sides = |rows: usize, columns: Range<usize>| [rows..rows + 1, columns];
        let on_small = flat().map(|join| {
            let [row, column] = join.small;
            sides(row, column..column + join.length)
        });
        let on_big = flat().map(|join| {
            let [row, column] = join.big;
            sides(
                row,
                column..column + (join.length - 1) * geometry.stride + 1,
            )
        });
        let (Some(left), Some(right)) = (
            Window::around(on_small, geometry.out[1]),
            Window::around(on_big, geometry.size[1]),
        ) else {
            return;
        };
        // How often a packed value is used.
        let pairs: usize = flat().map(|join| join.length).sum();
        let packs = pairs * self.channels.len() >= PACKING * right.pixels();
        let run = |join: &Joined| Run {
            small: left.place(join.small[0], join.small[1]),
            big: if packs {
                right.place(join.big[0], join.big[1])
            } else {
                right.place_outside(join.big[0], join.big[1])
            },
            length: join.length,
        };
        let runs: Vec<Vec<Vec<Run>>> = found
            .iter()
            .map(|taps| {
                let taps = taps.iter();
                taps.map(|joins| joins.iter().map(run).collect()).collect()
            })
            .collect();
        let small_tiles = || {
            tiles(self.channels.len(), PRODUCT_ROWS)
                .map(|(first, count)| (self.channels.start + first, count))
        };
        let packed_small = grown(packed_small, left.pixels() * self.channels.len() * lanes);
        let place = |row: usize| (row - self.channels.start) * left.pixels() * lanes;
        for (row, count) in small_tiles() {
            let to = &mut packed_small[place(row)..][..left.pixels() * count * lanes];
            // SAFETY: the caller checked for the instruction set.
            unsafe { pack::<V>(small, self.small, &left, (row, count), to) };
        }
        for (column, columns) in tiles(geometry.big, product_columns::<V>()) {
            let on_big = if packs {
                let to = grown(packed_big, right.pixels() * columns * lanes);
                // SAFETY: as above.
                unsafe { pack::<V>(big, self.big, &right, (column, columns), to) };
                Operand {
                    values: to,
                    pixel: columns * lanes,
                    step: geometry.stride * columns * lanes,
                }
            } else {
                Operand {
                    values: &self.big[column * lanes..],
                    pixel: big.pixel(),
                    step: geometry.stride * big.pixel(),
                }
            };
            for runs in &runs {
                for (row, count) in small_tiles() {
                    let on_small = Operand {
                        values: &packed_small[place(row)..],
                        pixel: count * lanes,
                        step: count * lanes,
                    };
                    for (tap, runs) in runs.iter().enumerate() {
                        if runs.is_empty() {
                            continue;
                        }
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
    }
}

impl Kernel for Part<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let (mut packed_small, mut packed_big) = PACKED.take();
        for pieces in self.windows() {
            // SAFETY: the caller checked for the instruction set.
            unsafe { self.add::<V>(&pieces, &mut packed_small, &mut packed_big) };
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
    let pixels = units * geometry.out[1];
    let parts = parts(weights, pixels).min(units);
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
