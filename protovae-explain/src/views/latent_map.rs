//! The latent space in two dimensions.

use nalgebra::{DMatrix, SymmetricEigen};
use serde::{Deserialize, Serialize};

use super::LatentTable;

/// Posterior means and prototypes on the two directions in which the means differ most (principal components).
///
/// Of the crates for UMAP the maintained one optimises with threads that race, so that two runs differ; a view that changes
/// from run to run is of no use in a report. Principal components are exact, linear, and say how much they leave out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatentMap {
    /// A point for each image of the table.
    pub images: Vec<[f32; 2]>,
    /// A point for each prototype.
    pub prototypes: Vec<[f32; 2]>,
    /// The share of the means' variance along each of the two directions.
    pub explained: [f32; 2],
}

/// Images from which directions are computed; more would not move them visibly.
const MOST_IMAGES: usize = 4000;

impl LatentMap {
    /// The map of a table; none if the model has no latents, or there are fewer than two images.
    pub fn of(table: &LatentTable) -> Option<Self> {
        let width = table.latent_dimensions;
        if width == 0 || table.len() < 2 || table.means.len() != table.len() * width {
            return None;
        }
        let step = table.len().div_ceil(MOST_IMAGES);
        let chosen: Vec<&[f32]> = table.means.chunks_exact(width).step_by(step).collect();
        let count = chosen.len();
        let mut center = vec![0f64; width];
        for mean in &chosen {
            for (sum, value) in center.iter_mut().zip(*mean) {
                *sum += f64::from(*value) / count as f64;
            }
        }
        let rows = DMatrix::from_fn(count, width, |row, column| {
            f64::from(chosen[row][column]) - center[column]
        });
        let covariance = rows.tr_mul(&rows) / count as f64;
        let total = covariance.trace();
        if !total.is_finite() {
            return None;
        }
        let eigen = SymmetricEigen::new(covariance);
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|a, b| {
            eigen.eigenvalues[*b]
                .total_cmp(&eigen.eigenvalues[*a])
                .then(a.cmp(b))
        });
        let mut directions: [Vec<f64>; 2] = [vec![0.0; width], vec![0.0; width]];
        let mut explained = [0f32; 2];
        for (axis, column) in order.into_iter().take(2).enumerate() {
            let direction: Vec<f64> = eigen.eigenvectors.column(column).iter().copied().collect();
            // A direction and its opposite serve alike: take the one whose largest entry is positive.
            let largest = direction
                .iter()
                .copied()
                .max_by(|a, b| a.abs().total_cmp(&b.abs()));
            let sign = largest.map_or(1.0, f64::signum);
            directions[axis] = direction.into_iter().map(|value| value * sign).collect();
            explained[axis] = (eigen.eigenvalues[column].max(0.0) / total.max(1e-30)) as f32;
        }
        let point = |latent: &[f32]| {
            directions.each_ref().map(|direction| {
                let along = latent.iter().zip(&center).zip(direction);
                along
                    .map(|((value, center), direction)| (f64::from(*value) - center) * direction)
                    .sum::<f64>() as f32
            })
        };
        Some(Self {
            images: table.means.chunks_exact(width).map(point).collect(),
            prototypes: table.prototypes.chunks_exact(width).map(point).collect(),
            explained,
        })
    }
}
