//! Convolutions on slices: down (big side to small) and up (small to big: transposed).

use std::mem::MaybeUninit;
use std::ops::Range;

use burn::tensor::Bytes;
use rayon::prelude::*;

use super::buffer::Shared;
use super::geometry::{Geometry, Links};
use super::layout::Layout;
use super::multiply::{Finish, sum};
use super::normalise::Rectifier;
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

/// Source channels that are packed together, so that whole cache lines are written: the places of the taps lie a power of
/// two apart, in a few sets of the cache.
const SOURCES: usize = 8;

/// Weights in the order in which the sums read them: for each tile of target channels `[tap][source channel][row]`.
pub struct Packed {
    values: Bytes,
    /// First channel and number of channels of each tile.
    tiles: Vec<(usize, usize)>,
    /// Values a target channel.
    taps: usize,
}

impl Packed {
    /// Packs weights whose taps from a source to a target lie in `taps(target, source)`.
    fn new<'a>(
        [targets, sources, square]: [usize; 3],
        taps: impl Fn(usize, usize) -> &'a [f32] + Sync,
    ) -> Self {
        let tiles = tiles(targets, Level::get().rows()).collect();
        Self::in_tiles(tiles, [targets, sources, square], taps)
    }

    /// [`Packed::new`] with tiles of one's own.
    fn in_tiles<'a>(
        tiles: Vec<(usize, usize)>,
        [targets, sources, square]: [usize; 3],
        taps: impl Fn(usize, usize) -> &'a [f32] + Sync,
    ) -> Self {
        let taps_of = sources * square;
        let pack = |to: Shared, &(first, count): &(usize, usize)| {
            // SAFETY: the tiles' parts of the values lie one after another; each is written by one thread, and all of it.
            let part = unsafe {
                let to = to.at(first * taps_of).cast::<MaybeUninit<f32>>();
                std::slice::from_raw_parts_mut(to, count * taps_of)
            };
            let mut block: [&[f32]; SOURCES * 8] = [&[]; SOURCES * 8];
            for start in (0..sources).step_by(SOURCES) {
                let block = &mut block[..SOURCES.min(sources - start) * count];
                for (index, row) in block.iter_mut().enumerate() {
                    *row = taps(first + index % count, start + index / count);
                }
                for tap in 0..square {
                    let places = &mut part[(tap * sources + start) * count..][..block.len()];
                    for (place, row) in places.iter_mut().zip(block.iter()) {
                        place.write(row[tap]);
                    }
                }
            }
        };
        // SAFETY: the tiles cover all targets.
        let values = unsafe {
            filled(targets * taps_of, |to| {
                if targets * taps_of < 1 << 14 {
                    tiles.iter().for_each(|tile| pack(to, tile));
                } else {
                    tiles.par_iter().for_each(|tile| pack(to, tile));
                }
            })
        };
        Self {
            values,
            tiles,
            taps: taps_of,
        }
    }

    /// First channel and number of channels of each tile.
    pub fn tiles(&self) -> &[(usize, usize)] {
        &self.tiles
    }

    /// The weights of a tile from that channel on.
    pub fn tile(&self, first: usize) -> *const f32 {
        let values: *const f32 = self.values.as_ptr().cast();
        // SAFETY: the tiles' channels are those for which there are values.
        unsafe { values.add(first * self.taps) }
    }

    /// For the way from the big side to the small one; weights are `[small][big][tap]` in either kind of convolution.
    pub fn down(geometry: &Geometry, weight: &[f32]) -> Self {
        let (small, big, square) = (geometry.small, geometry.big, geometry.square());
        Self::new([small, big, square], |target, source| {
            &weight[(target * big + source) * square..][..square]
        })
    }

    /// For the way from the small side to the big one.
    pub fn up(geometry: &Geometry, weight: &[f32]) -> Self {
        let (small, big, square) = (geometry.small, geometry.big, geometry.square());
        Self::new([big, small, square], |target, source| {
            &weight[(source * big + target) * square..][..square]
        })
    }

    /// [`Packed::up`] for a big side whose channels are `terms` times as many as one wants, term by term: the terms of a
    /// channel come side by side, and never in two tiles.
    pub fn up_by_term(geometry: &Geometry, weight: &[f32], terms: usize) -> Self {
        let (small, big, square) = (geometry.small, geometry.big, geometry.square());
        let channels = big / terms;
        let tiles = tiles(channels, (Level::get().rows() / terms).max(1));
        let tiles = tiles.map(|(first, count)| (first * terms, count * terms));
        Self::in_tiles(tiles.collect(), [big, small, square], |target, source| {
            let target = target % terms * channels + target / terms;
            &weight[(source * big + target) * square..][..square]
        })
    }
}

/// Scale and shift a channel that follow a convolution, and where the ReLU stands.
#[derive(Clone, Copy, Debug)]
pub struct Affine<'a> {
    /// Where the ReLU stands.
    pub rectifier: Rectifier,
    /// Scale and shift.
    pub factors: [&'a [f32]; 2],
}

/// Some rows of a block, and some tiles of their channels.
struct Rows<'a> {
    links: &'a Links,
    packed: &'a Packed,
    start: &'a [f32],
    finish: Option<Affine<'a>>,
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
            let weights = self.packed.tile(first);
            let start = self.start[first..].as_ptr();
            let finish = self.finish.map_or(Finish::Plain, |affine| {
                let [scale, shift] = affine.factors.map(|values| values[first..].as_ptr());
                Finish::Affine(affine.rectifier, scale, shift)
            });
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
                        finish,
                        self.source.as_ptr(),
                        self.channels,
                        out,
                    );
                }
            }
        }
    }
}

/// For every pixel of `to` the sum over its links, plus `start` of its channel; then what `finish` has.
fn convolve(
    [from, to]: [&Layout; 2],
    links: impl Fn(Range<usize>) -> Links + Sync,
    packed: &Packed,
    start: &[f32],
    finish: Option<Affine>,
    source: &[f32],
) -> Bytes {
    let channels = to.channels;
    let fits = |affine: Affine| affine.factors.map(<[f32]>::len) == [channels; 2];
    assert!(finish.is_none_or(fits));
    assert!(source.len() == from.values() && start.len() == to.channels);
    assert!(packed.tiles.last().map(|tile| tile.0 + tile.1) == Some(to.channels));
    assert!(packed.taps.is_multiple_of(from.channels) && from.lanes == to.lanes);
    let rows = (CACHED / from.row().max(to.row())).clamp(1, to.size[0]);
    let chunks = to.size[0].div_ceil(rows);
    let groups = TASKS.div_ceil(to.blocks() * chunks).min(packed.tiles.len());
    let rows_of = |chunk: usize| chunk * rows..((chunk + 1) * rows).min(to.size[0]);
    let links: Vec<Links> = (0..chunks)
        .into_par_iter()
        .map(|chunk| links(rows_of(chunk)))
        .collect();
    // SAFETY: the tasks cover the target, and each writes all of its own rows and channels.
    unsafe {
        filled(to.values(), |out: Shared| {
            let tasks = to.blocks() * chunks * groups;
            (0..tasks).into_par_iter().with_max_len(1).for_each(|task| {
                let (block, chunk, group) = (
                    task / (chunks * groups),
                    task / groups % chunks,
                    task % groups,
                );
                let tiles = packed.tiles.len();
                dispatch(Rows {
                    links: &links[chunk],
                    packed,
                    start,
                    finish,
                    source: &source[block * from.block()..][..from.block()],
                    channels: from.channels,
                    layout: to,
                    rows: rows_of(chunk),
                    tiles: group * tiles / groups..(group + 1) * tiles / groups,
                    out: out.at(block * to.block()),
                });
            });
        })
    }
}

/// From the big side to the small one: a convolution; then what `finish` has.
pub fn down(
    geometry: &Geometry,
    [from, to]: [&Layout; 2],
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
    finish: Option<Affine>,
) -> Bytes {
    assert!(from.channels == geometry.big && to.channels == geometry.small);
    assert!(from.size == geometry.size && to.size == geometry.out);
    let packed = Packed::down(geometry, weight);
    let links = |rows| geometry.down_links(rows);
    convolve([from, to], links, &packed, bias, finish, input)
}

/// From the small side to the big one: a transposed convolution; then as [`down`].
pub fn up(
    geometry: &Geometry,
    [from, to]: [&Layout; 2],
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
    finish: Option<Affine>,
) -> Bytes {
    assert!(from.channels == geometry.small && to.channels == geometry.big);
    assert!(from.size == geometry.out && to.size == geometry.size);
    let packed = Packed::up(geometry, weight);
    let links = |rows| geometry.up_links(rows);
    convolve([from, to], links, &packed, bias, finish, input)
}
