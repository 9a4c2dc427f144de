//! How different a class's prototypes are, and how evenly they are used.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::Result;
use protovae_core::model::BoxModel;
use serde::{Deserialize, Serialize};

use super::attacks::check_labels;
use super::question::{no_prototypes, similarities};
use super::{HostImages, largest};

/// Distances, usage and entropy of prototypes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Diversity {
    /// A prototype is a duplicate if it lies nearer to an earlier one of its class than this share of the mean distance between
    /// the classes' mean prototypes; default 0.05.
    pub duplicate_below: f64,
}

impl Default for Diversity {
    fn default() -> Self {
        Self {
            duplicate_below: 0.05,
        }
    }
}

/// The prototypes of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassDiversity {
    /// Euclidean distances of all pairs: (0, 1), (0, 2), …, (1, 2), …
    pub distances: Vec<f64>,
    /// For each prototype the images of the class to which it is the most similar of the class.
    pub usage: Vec<usize>,
    /// Entropy of the usage over `ln M`: 1 if all are used alike, 0 if one is used alone. None without images, or if M = 1.
    pub usage_entropy: Option<f64>,
    /// Entropy over `ln M` of an image's similarities to the class's prototypes (divided by their sum), averaged over the
    /// images of the class. None without images, or if M = 1.
    pub similarity_entropy: Option<f64>,
    /// Prototypes that no image uses.
    pub dead: usize,
    /// Prototypes that repeat an earlier one.
    pub duplicates: usize,
}

/// The prototypes of a model, measured on some images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DiversityFound {
    /// Images looked at.
    pub images: usize,
    /// Class by class.
    pub classes: Vec<ClassDiversity>,
    /// Mean distance between the classes' mean prototypes.
    pub class_distance: f64,
    /// Mean over classes of the mean distance within a class; 0 if M = 1.
    pub mean_distance: f64,
    /// Mean over the classes that have one.
    pub usage_entropy: Option<f64>,
    /// Mean over the classes that have one.
    pub similarity_entropy: Option<f64>,
    /// Share of all prototypes that no image of their class uses.
    pub dead: f64,
    /// Share of all prototypes that repeat an earlier one of their class.
    pub duplicates: f64,
}

impl Diversity {
    /// Measures a model's prototypes on images `[N, C, H, W]` and their true classes.
    ///
    /// # Errors
    /// If the model has no prototypes, or images and labels do not fit each other and the model.
    pub fn measure(
        &self,
        model: &BoxModel,
        images: &Tensor<4>,
        labels: &[usize],
    ) -> Result<DiversityFound> {
        let model = model.valid();
        let images = HostImages::new(&model, images)?;
        check_labels(labels, images.count, model.classes())?;
        let bank = model.prototypes().ok_or_else(|| no_prototypes(&model))?;
        let (classes, per_class) = (bank.classes, bank.per_class);
        let latent = bank.vectors.dims()[1].max(1);
        let values: Vec<f64> = bank.vectors.into_data().iter::<f64>().collect();
        let vectors: Vec<&[f64]> = values.chunks_exact(latent).collect();

        let mut usage = vec![vec![0usize; per_class]; classes];
        let mut entropies = vec![Vec::new(); classes];
        let make = |row: usize| images.image(row).to_vec();
        images.show(&model, images.count, make, |start, prediction| {
            let (similarities, width) = similarities(&model, &prediction)?;
            for (row, label) in similarities.chunks_exact(width).zip(&labels[start..]) {
                let own = row.get(label * per_class..(label + 1) * per_class);
                let own = own.unwrap_or_default();
                if let Some(count) = usage[*label].get_mut(largest(own)) {
                    *count += 1;
                }
                let own: Vec<f64> = own.iter().map(|value| f64::from(*value)).collect();
                entropies[*label].extend(entropy(&own));
            }
            Ok(())
        })?;

        let groups: Vec<&[&[f64]]> = vectors.chunks_exact(per_class.max(1)).collect();
        let means: Vec<Vec<f64>> = groups.iter().map(|group| middle(group)).collect();
        let means: Vec<&[f64]> = means.iter().map(Vec::as_slice).collect();
        let class_distance = mean(&pairs(&means)).unwrap_or(0.0);
        let near = self.duplicate_below * class_distance;
        let found: Vec<ClassDiversity> = groups
            .iter()
            .zip(usage.into_iter().zip(&entropies))
            .map(|(group, (usage, entropies))| {
                let repeats = |later: &usize| {
                    let earlier = group[..*later].iter();
                    earlier
                        .map(|other| distance(other, group[*later]))
                        .any(|far| far <= near)
                };
                let counts: Vec<f64> = usage.iter().map(|count| *count as f64).collect();
                ClassDiversity {
                    distances: pairs(group),
                    usage_entropy: entropy(&counts),
                    similarity_entropy: mean(entropies),
                    dead: usage.iter().filter(|count| **count == 0).count(),
                    duplicates: (0..group.len()).filter(repeats).count(),
                    usage,
                }
            })
            .collect();
        let all = (classes * per_class).max(1) as f64;
        let share = |count: fn(&ClassDiversity) -> usize| {
            found.iter().map(count).sum::<usize>() as f64 / all
        };
        let over = |value: &dyn Fn(&ClassDiversity) -> Option<f64>| {
            mean(&found.iter().filter_map(value).collect::<Vec<f64>>())
        };
        Ok(DiversityFound {
            images: images.count,
            class_distance,
            mean_distance: over(&|class| mean(&class.distances)).unwrap_or(0.0),
            usage_entropy: over(&|class| class.usage_entropy),
            similarity_entropy: over(&|class| class.similarity_entropy),
            dead: share(|class| class.dead),
            duplicates: share(|class| class.duplicates),
            classes: found,
        })
    }
}

/// Entropy of shares over the logarithm of their number; none for fewer than two or a sum that is not above 0.
fn entropy(weights: &[f64]) -> Option<f64> {
    let sum: f64 = weights.iter().sum();
    if weights.len() < 2 || sum.is_nan() || sum <= 0.0 {
        return None;
    }
    let terms = weights
        .iter()
        .map(|weight| weight / sum)
        .filter(|share| *share > 0.0);
    let entropy = -terms.map(|share| share * share.ln()).sum::<f64>();
    // A single term gives −0, which would be written as such.
    Some((entropy / (weights.len() as f64).ln()).clamp(0.0, 1.0) + 0.0)
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f64>().sqrt()
}

/// Distances of all pairs.
fn pairs(points: &[&[f64]]) -> Vec<f64> {
    let of = |(first, point): (usize, &&[f64])| -> Vec<f64> {
        let others = points[first + 1..].iter();
        others.map(|other| distance(point, other)).collect()
    };
    points.iter().enumerate().flat_map(of).collect()
}

fn middle(points: &[&[f64]]) -> Vec<f64> {
    let width = points.first().map_or(0, |point| point.len());
    let coordinate = |axis: usize| points.iter().map(|point| point[axis]).sum::<f64>();
    (0..width)
        .map(|axis| coordinate(axis) / points.len() as f64)
        .collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropies_by_hand() {
        assert_eq!(entropy(&[5.0, 5.0]), Some(1.0));
        assert_eq!(entropy(&[7.0, 0.0, 0.0]), Some(0.0));
        assert_eq!(entropy(&[0.0, 0.0]), None);
        assert_eq!(entropy(&[3.0]), None);
        let expected = -(0.25f64 * 0.25f64.ln() + 0.75 * 0.75f64.ln()) / 2f64.ln();
        assert!((entropy(&[1.0, 3.0]).unwrap_or(f64::NAN) - expected).abs() < 1e-12);
    }
}
