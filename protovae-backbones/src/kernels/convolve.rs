//! Convolutions on slices: down (big side to small) and up (small to big: transposed).

use std::ops::Range;

use burn::tensor::Bytes;
use rayon::prelude::*;

use super::buffer::Shared;
use super::geometry::{Geometry, Links};
use super::layout::Layout;
use super::multiply::sum;
use super::pool::filled;
use super::vector::{Kernel, Level, Vector, dispatch};

/// Tasks that a layer is cut into at least, if it can be: enough for the threads of a large machine.
pub const TASKS: usize = 16;

/// Values of maps that a task should work on at a time, to stay in the second-level cache.
const CACHED: usize = 1 << 16;

/// Cuts rows into tiles as even as can be, since a narrow one at the end would be slow: first row and number of rows.
pub fn tiles(rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = rows.div_ceil(most);
    (0..tiles).map(move |tile| {
        let first = tile * rows / tiles;
        (first, (tile + 1) * rows / tiles - first)
    })
}

/// Weights in the order in which the sums read them: for each tile of target channels `[tap][source channel][row]`.
pub struct Packed {
    values: Vec<f32>,
    /// First channel and number of channels of each tile.
    tiles: Vec<(usize, usize)>,
    /// Values a target channel.
    taps: usize,
}

impl Packed {
    /// Packs `weight(target, source, tap)`.
    fn new(
        [targets, sources, square]: [usize; 3],
        weight: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        let taps = sources * square;
        let tiles: Vec<_> = tiles(targets, Level::get().rows()).collect();
        let mut values = vec![0.0; targets * taps];
        let mut parts = Vec::with_capacity(tiles.len());
        let mut rest = values.as_mut_slice();
        for &(first, count) in &tiles {
            let (part, after) = rest.split_at_mut(count * taps);
            parts.push((first, count, part));
            rest = after;
        }
        let pack = |(first, count, part): (usize, usize, &mut [f32])| {
            for (index, row) in part.chunks_exact_mut(count).enumerate() {
                for (m, value) in row.iter_mut().enumerate() {
                    *value = weight(first + m, index % sources, index / sources);
                }
            }
        };
        if targets * taps < 1 << 14 {
            parts.into_iter().for_each(pack);
        } else {
            parts.into_par_iter().for_each(pack);
        }
        Self {
            values,
            tiles,
            taps,
        }
    }

    /// For the way from the big side to the small one; weights are `[small][big][tap]` in either kind of convolution.
    pub fn down(geometry: &Geometry, weight: &[f32]) -> Self {
        let (small, big, square) = (geometry.small, geometry.big, geometry.square());
        Self::new([small, big, square], |target, source, tap| {
            weight[(target * big + source) * square + tap]
        })
    }

    /// For the way from the small side to the big one.
    pub fn up(geometry: &Geometry, weight: &[f32]) -> Self {
        let (small, big, square) = (geometry.small, geometry.big, geometry.square());
        Self::new([big, small, square], |target, source, tap| {
            weight[(source * big + target) * square + tap]
        })
    }
}

/// Some rows of a block, and some tiles of their channels.
struct Rows<'a> {
    links: &'a Links,
    packed: &'a Packed,
    start: &'a [f32],
    source: &'a [f32],
    channels: usize,
    layout: &'a Layout,
    rows: Range<usize>,
    tiles: Range<usize>,
    out: *mut f32,
}

impl Kernel for Rows<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let width = self.layout.size[1];
        let lanes = self.layout.lanes;
        for &(first, count) in &self.packed.tiles[self.tiles] {
            let weights = self.packed.values[first * self.packed.taps..].as_ptr();
            let start = self.start[first..].as_ptr();
            for pixel in self.rows.start * width..self.rows.end * width {
                // SAFETY: source and target hold whole blocks of their layouts, in which the links lie; the weights are
                // packed for these tiles.
                unsafe {
                    let out = self.out.add(pixel * self.layout.pixel() + first * lanes);
                    sum::<V>(
                        count,
                        lanes,
                        self.links.of(pixel),
                        weights,
                        start,
                        self.source.as_ptr(),
                        self.channels,
                        out,
                    );
                }
            }
        }
    }
}

/// For every pixel of `to` the sum over its links, plus `start` of its channel.
fn convolve(
    [from, to]: [&Layout; 2],
    links: impl Fn(Range<usize>) -> Links + Sync,
    packed: &Packed,
    start: &[f32],
    source: &[f32],
) -> Bytes {
    assert!(source.len() == from.values() && start.len() == to.channels);
    assert!(packed.values.len() == to.channels * packed.taps && from.lanes == to.lanes);
    let rows = (CACHED / from.row().max(to.row())).clamp(1, to.size[0]);
    let chunks = to.size[0].div_ceil(rows);
    let groups = TASKS.div_ceil(to.blocks() * chunks).min(packed.tiles.len());
    // SAFETY: the tasks cover the target, and each writes all of its own rows and channels.
    unsafe {
        filled(to.values(), |out: Shared| {
            let tasks = to.blocks() * chunks * groups;
            (0..tasks).into_par_iter().for_each(|task| {
                let (block, chunk, group) = (
                    task / (chunks * groups),
                    task / groups % chunks,
                    task % groups,
                );
                let tiles = packed.tiles.len();
                let rows = chunk * rows..((chunk + 1) * rows).min(to.size[0]);
                dispatch(Rows {
                    links: &links(rows.clone()),
                    packed,
                    start,
                    source: &source[block * from.block()..][..from.block()],
                    channels: from.channels,
                    layout: to,
                    rows,
                    tiles: group * tiles / groups..(group + 1) * tiles / groups,
                    out: out.at(block * to.block()),
                });
            });
        })
    }
}

/// From the big side to the small one: a convolution.
pub fn down(
    geometry: &Geometry,
    [from, to]: [&Layout; 2],
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
) -> Bytes {
    assert!(from.channels == geometry.big && to.channels == geometry.small);
    assert!(from.size == geometry.size && to.size == geometry.out);
    let packed = Packed::down(geometry, weight);
    let links = |rows| geometry.down_links(rows);
    convolve([from, to], links, &packed, bias, input)
}

/// From the small side to the big one: a transposed convolution.
pub fn up(
    geometry: &Geometry,
    [from, to]: [&Layout; 2],
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
) -> Bytes {
    assert!(from.channels == geometry.small && to.channels == geometry.big);
    assert!(from.size == geometry.out && to.size == geometry.size);
    let packed = Packed::up(geometry, weight);
    let links = |rows| geometry.up_links(rows);
    convolve([from, to], links, &packed, bias, input)
}
