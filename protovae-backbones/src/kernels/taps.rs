//! The weights of a convolution in the order in which the sweeps read them, and where their taps lie in the planes.

use rayon::prelude::*;

use super::geometry::{Geometry, Layout};
use super::vector::Level;

/// Weights in the order in which a sweep reads them, and where their taps lie.
pub struct Taps {
    /// For each tile of rows: the weights `[tap][row]`.
    pub weights: Vec<f32>,
    /// For each tap, where its plane begins.
    pub offsets: Vec<usize>,
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
pub fn tiles(rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = rows.div_ceil(most);
    (0..tiles).map(move |tile| {
        let first = tile * rows / tiles;
        (first, (tile + 1) * rows / tiles - first)
    })
}

/// Offsets of the big side's planes, for every tap in the order of the weights.
pub fn big_offsets(geometry: &Geometry, layout: &Layout) -> Vec<usize> {
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
pub fn down_taps(geometry: &Geometry, layout: &Layout, weight: &[f32]) -> Taps {
    let taps = geometry.taps();
    Taps::pack(geometry.small, big_offsets(geometry, layout), |row, tap| {
        weight[row * taps + tap]
    })
}

/// Weights of the sweeps from the small side to each phase of the big one.
pub fn up_taps(geometry: &Geometry, layout: &Layout, weight: &[f32]) -> Vec<Taps> {
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
