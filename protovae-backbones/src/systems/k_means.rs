//! k-means (Lloyd 1982), begun by k-means++ (Arthur and Vassilvitskii 2007).

use burn::tensor::{Device, Tensor, TensorData};
use protovae_core::loss::squared_distances;
use protovae_core::{Error, Result};
use rand::{Rng, RngExt};

/// Rounds after which it stops even if points still change sides.
const MOST_ROUNDS: usize = 300;

/// Points divided among centres.
#[derive(Debug, Clone, PartialEq)]
pub struct Clusters {
    /// `[clusters, width]` row by row; each is the mean of its points.
    pub centres: Vec<f32>,
    /// The centre of each point.
    pub assignment: Vec<usize>,
    /// The sum of squared distances of the points to their centres.
    pub inertia: f64,
    /// The nearest point to each centre.
    pub nearest: Vec<usize>,
}

/// Divides `points`, `[N, width]` row by row, among `clusters` centres, so that each point belongs to its nearest centre and
/// each centre is the mean of its points: the best of `restarts` beginnings drawn from `generator`.
///
/// A centre that loses all its points is put where the point lies that is farthest from its own. With fewer different points than
/// clusters some centres are equal. Sums are in `f64` and in the order of the points; the result depends on nothing else.
///
/// # Errors
/// [`Error::Config`] without points, width, clusters or restarts, or if a value is not finite.
///
/// ```
/// use burn::tensor::Device;
/// use protovae_backbones::systems::k_means;
/// use protovae_core::random::{Purpose, stream};
/// let points = [0.0, 0.2, 9.0, 9.4];
/// let mut generator = stream(0, 0, 0, Purpose::Plugin);
/// let found = k_means(&points, 1, 2, 3, &mut generator, &Device::flex())?;
/// let mut centres = found.centres.clone();
/// centres.sort_by(f32::total_cmp);
/// assert_eq!(centres, [0.1, 9.2]);
/// # Ok::<(), protovae_core::Error>(())
/// ```
pub fn k_means(
    points: &[f32],
    width: usize,
    clusters: usize,
    restarts: usize,
    generator: &mut impl Rng,
    device: &Device,
) -> Result<Clusters> {
    let refuse = |reason: String| Err(Error::config("k-means", reason));
    if width == 0 || clusters == 0 || restarts == 0 {
        return refuse("width, clusters and restarts must be at least 1".to_string());
    }
    if points.is_empty() || !points.len().is_multiple_of(width) {
        let count = points.len();
        return refuse(format!("{count} values are no points of {width}"));
    }
    if points.iter().any(|value| !value.is_finite()) {
        return refuse("a point is not finite".to_string());
    }
    let task = Task {
        points,
        width,
        tensor: matrix(points, width, device),
    };
    let mut best: Option<Clusters> = None;
    for _ in 0..restarts {
        let found = task.settle(task.begin(clusters, generator), clusters);
        if best
            .as_ref()
            .is_none_or(|best| found.inertia < best.inertia)
        {
            best = Some(found);
        }
    }
    // There was at least one beginning.
    best.ok_or_else(|| Error::config("k-means", "found nothing"))
}

fn matrix(values: &[f32], width: usize, device: &Device) -> Tensor<2> {
    let shape = [values.len() / width, width];
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

struct Task<'a> {
    points: &'a [f32],
    width: usize,
    tensor: Tensor<2>,
}

impl Task<'_> {
    fn point(&self, index: usize) -> &[f32] {
        &self.points[index * self.width..(index + 1) * self.width]
    }

    /// Squared distances of all points to centres, `[N, clusters]`.
    fn distances(&self, centres: &[f32]) -> Vec<f32> {
        let centres = matrix(centres, self.width, &self.tensor.device());
        let found = squared_distances(self.tensor.clone(), centres);
        found.into_data().iter::<f32>().collect()
    }

    /// Points drawn one after the other, each with a probability in proportion to its squared distance to the nearest before.
    fn begin(&self, clusters: usize, generator: &mut impl Rng) -> Vec<f32> {
        let count = self.points.len() / self.width;
        let mut centres = self.point(generator.random_range(0..count)).to_vec();
        let mut nearest = self.distances(&centres);
        for _ in 1..clusters {
            let total: f64 = nearest.iter().map(|distance| f64::from(*distance)).sum();
            let drawn = generator.random::<f64>() * total;
            let mut before = 0.0;
            let chosen = nearest.iter().position(|distance| {
                before += f64::from(*distance);
                before > drawn
            });
            // All points lie on centres already, or rounding ate the last of them.
            let chosen = chosen.unwrap_or_else(|| farthest(&nearest));
            let centre = self.point(chosen).to_vec();
            for (known, new) in nearest.iter_mut().zip(self.distances(&centre)) {
                *known = known.min(new);
            }
            centres.extend(centre);
        }
        centres
    }

    /// Lloyd's rounds until no point changes sides.
    fn settle(&self, mut centres: Vec<f32>, clusters: usize) -> Clusters {
        let mut assignment = Vec::new();
        let mut distances = self.distances(&centres);
        for _ in 0..MOST_ROUNDS {
            let found: Vec<usize> = distances.chunks_exact(clusters).map(least).collect();
            let settled = found == assignment;
            assignment = found;
            if settled {
                break;
            }
            centres = self.means(&mut assignment, &distances, clusters);
            distances = self.distances(&centres);
        }
        let rows = distances.chunks_exact(clusters);
        let own = rows
            .zip(&assignment)
            .map(|(row, centre)| f64::from(row[*centre]));
        let nearest = (0..clusters).map(|centre| {
            let column: Vec<f32> = distances
                .iter()
                .skip(centre)
                .step_by(clusters)
                .copied()
                .collect();
            least(&column)
        });
        Clusters {
            inertia: own.sum(),
            nearest: nearest.collect(),
            centres,
            assignment,
        }
    }

    /// The mean of each centre's points. A centre without points takes the one farthest from its own.
    fn means(&self, assignment: &mut [usize], distances: &[f32], clusters: usize) -> Vec<f32> {
        let mut own: Vec<f32> = distances
            .chunks_exact(clusters)
            .zip(assignment.iter())
            .map(|(row, centre)| row[*centre])
            .collect();
        let mut counts = vec![0usize; clusters];
        assignment.iter().for_each(|centre| counts[*centre] += 1);
        for centre in 0..clusters {
            if counts[centre] == 0 {
                let taken = farthest(&own);
                // The last point of a centre stays: two would be without else.
                if own[taken] > 0.0 && counts[assignment[taken]] > 1 {
                    counts[assignment[taken]] -= 1;
                    assignment[taken] = centre;
                    counts[centre] = 1;
                    own[taken] = 0.0;
                }
            }
        }
        let mut sums = vec![0f64; clusters * self.width];
        for (point, centre) in self.points.chunks_exact(self.width).zip(assignment.iter()) {
            let sum = &mut sums[centre * self.width..(centre + 1) * self.width];
            for (sum, value) in sum.iter_mut().zip(point) {
                *sum += f64::from(*value);
            }
        }
        let mut means = Vec::with_capacity(sums.len());
        for (centre, sum) in sums.chunks_exact(self.width).enumerate() {
            match counts[centre] {
                // Fewer different points than centres: it lies on one of them.
                0 => means.extend(self.point(farthest(&own))),
                count => means.extend(sum.iter().map(|sum| (sum / count as f64) as f32)),
            }
        }
        means
    }
}

/// The position of the smallest value, the first of equals.
fn least(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if value.total_cmp(&values[best]).is_lt() {
            best = index;
        }
    }
    best
}

/// The position of the largest value, the first of equals.
fn farthest(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if value.total_cmp(&values[best]).is_gt() {
            best = index;
        }
    }
    best
}
