//! The arithmetic of squared distances between rows.
//!
//! Every value is computed by one thread in an order that depends on the shapes alone, so the results do not depend on the
//! number of threads.

use rayon::prelude::*;

/// Sums run in so many lanes, in which compilers see vectors, and which keep rounding errors small.
const LANES: usize = 16;

/// Below so many differences threads cost more than they gain.
const WORTH_THREADS: usize = 1 << 15;

/// Which rows of a matrix of prototypes each latent is compared with: `columns` of them from its start on.
#[derive(Debug, Clone)]
pub(super) struct Pairs {
    starts: Vec<usize>,
    columns: usize,
    prototypes: usize,
    width: usize,
}

impl Pairs {
    /// Pairs for latents `[starts, width]` and prototypes `[prototypes, width]`; none if there are none, or if one starts too
    /// late.
    pub(super) fn new(
        starts: Vec<usize>,
        columns: usize,
        [prototypes, width]: [usize; 2],
    ) -> Option<Self> {
        let last = starts.iter().copied().max()?;
        let fits = last
            .checked_add(columns)
            .is_some_and(|end| end <= prototypes);
        (fits && columns > 0 && width > 0).then_some(Self {
            starts,
            columns,
            prototypes,
            width,
        })
    }

    /// Of the distances.
    pub(super) fn shape(&self) -> [usize; 2] {
        [self.starts.len(), self.columns]
    }

    pub(super) fn latent_shape(&self) -> [usize; 2] {
        [self.starts.len(), self.width]
    }

    pub(super) fn prototype_shape(&self) -> [usize; 2] {
        [self.prototypes, self.width]
    }

    /// The squared distances, from values of [`latent_shape`](Self::latent_shape) and
    /// [`prototype_shape`](Self::prototype_shape).
    pub(super) fn squared_distances(&self, latents: &[f32], prototypes: &[f32]) -> Vec<f32> {
        let width = self.width;
        self.rows(self.shape(), |sample, distances| {
            let own = row(latents, sample, width);
            let others = prototypes
                .chunks_exact(width)
                .skip(self.starts.get(sample).copied().unwrap_or(0));
            for (distance, other) in distances.iter_mut().zip(others) {
                *distance = squared_distance(own, other);
            }
        })
    }

    /// `2 sum_p g_ip (z_i − phi_p)` for the gradient `g` of the distances.
    pub(super) fn latent_gradient(
        &self,
        distances: &[f32],
        latents: &[f32],
        prototypes: &[f32],
    ) -> Vec<f32> {
        let (width, columns) = (self.width, self.columns);
        self.rows(self.latent_shape(), |sample, gradient| {
            let others = prototypes
                .chunks_exact(width)
                .skip(self.starts.get(sample).copied().unwrap_or(0));
            let pulls: Vec<Pull> = row(distances, sample, columns)
                .iter()
                .zip(others)
                .map(|(weight, other)| (2.0 * weight, other))
                .collect();
            write_pulls(row(latents, sample, width), &pulls, gradient);
        })
    }

    /// `2 sum_i g_ip (phi_p − z_i)` for the gradient `g` of the distances.
    pub(super) fn prototype_gradient(
        &self,
        distances: &[f32],
        latents: &[f32],
        prototypes: &[f32],
    ) -> Vec<f32> {
        let (width, columns) = (self.width, self.columns);
        self.rows(self.prototype_shape(), |prototype, gradient| {
            let samples = distances
                .chunks_exact(columns)
                .zip(latents.chunks_exact(width));
            let pulls: Vec<Pull> = samples
                .zip(&self.starts)
                .filter_map(|((distances, latent), start)| {
                    let weight = distances.get(prototype.checked_sub(*start)?)?;
                    Some((2.0 * weight, latent))
                })
                .collect();
            write_pulls(row(prototypes, prototype, width), &pulls, gradient);
        })
    }

    /// A matrix of this shape, each row written by `write`, which should not read it first.
    fn rows(
        &self,
        [count, width]: [usize; 2],
        write: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Vec<f32> {
        let mut matrix = vec![0.0; count * width];
        if self.starts.len() * self.columns * self.width < WORTH_THREADS {
            for (index, row) in matrix.chunks_mut(width).enumerate() {
                write(index, row);
            }
        } else {
            matrix
                .par_chunks_mut(width)
                .enumerate()
                .for_each(|(index, row)| write(index, row));
        }
        matrix
    }
}

fn row(matrix: &[f32], index: usize, width: usize) -> &[f32] {
    matrix
        .get(index * width..)
        .map_or(&[], |rest| rest.get(..width).unwrap_or_default())
}

/// `‖a − b‖²`.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            let difference = a - b;
            *sum += difference * difference;
        }
    }
    // Sums of their own: with loops of unknown length on them the others would not stay in registers.
    let mut rest_sums = [0.0; LANES];
    for ((sum, a), b) in rest_sums.iter_mut().zip(a_rest).zip(b_rest) {
        let difference = a - b;
        *sum += difference * difference;
    }
    for (sum, rest) in sums.iter_mut().zip(rest_sums) {
        *sum += rest;
    }
    let mut half = LANES / 2;
    while half > 0 {
        let (low, high) = sums.split_at_mut(half);
        for (low, high) in low.iter_mut().zip(high) {
            *low += *high;
        }
        half /= 2;
    }
    sums[0]
}

/// A weight, and the row that the weight is of.
type Pull<'a> = (f32, &'a [f32]);

/// Writes `sum weight·(own − other)`: the differences themselves, for `own·sum weight − sum weight·other` would lose the gradient
/// near a prototype to cancellation.
fn write_pulls(own: &[f32], pulls: &[Pull], gradient: &mut [f32]) {
    // Memory fresh from the system reads as zeros too, but a page that is read before it is written is mapped twice, and the
    // second time all threads are interrupted.
    gradient.fill(0.0);
    // Four at a time, or loading and storing the gradient would take longer than the arithmetic.
    let (fours, rest) = pulls.as_chunks::<4>();
    for [(v, a), (w, b), (x, c), (y, d)] in fours {
        let others = a.iter().zip(*b).zip(c.iter().zip(*d));
        for ((sum, own), ((a, b), (c, d))) in gradient.iter_mut().zip(own).zip(others) {
            *sum += (v * (own - a) + w * (own - b)) + (x * (own - c) + y * (own - d));
        }
    }
    for (weight, other) in rest {
        for ((sum, own), other) in gradient.iter_mut().zip(own).zip(*other) {
            *sum += weight * (own - other);
        }
    }
}
