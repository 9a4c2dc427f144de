//! The push: each prototype becomes the nearest patch of any training image of its class.

use burn::tensor::{Tensor, TensorData};
use protovae_core::Result;
use protovae_core::device::on_workers;
use protovae_core::loss::squared_distances;
use protovae_core::model::{EpochDone, Model, Provenance, Region};
use protovae_core::train::Batch;

use super::ProtoPNet;
use super::provenance::Sources;

/// Where the prototypes are after a push.
pub(super) struct Pushed {
    /// `[P, c]`.
    pub(super) prototypes: Tensor<2>,
    /// `[P, 9]`, as [`Sources`] has it.
    pub(super) sources: Tensor<2>,
}

/// The nearest patch so far.
struct Nearest {
    distance: f32,
    sample: u64,
    /// Its number in the image, row by row.
    patch: usize,
    /// All patches of the image, `[h·w, c]`.
    image: Vec<f32>,
}

impl Nearest {
    /// Whether a patch at this distance comes before it: a nearer one, or of equally near ones the one of the first image.
    fn comes_after(&self, distance: f32, sample: u64) -> bool {
        let order = distance.total_cmp(&self.distance);
        order.then(sample.cmp(&self.sample)).is_lt()
    }
}

/// The push of `model`, which is as `valid()`. A prototype without an image of its class stays where it is.
pub(super) fn push(model: &ProtoPNet, done: &EpochDone<'_>) -> Result<Pushed> {
    let per_class = model.settings.per_class;
    let prototypes = model.prototypes.val();
    let [total, channels] = prototypes.dims();
    let mut nearest: Vec<Option<Nearest>> = (0..total).map(|_| None).collect();
    let mut size = [0; 2];
    for batch in done.batches(model.image_shape(), model.classes())? {
        let batch = batch?;
        let (patches, distances, found) = on_workers(done.device, || {
            let (patches, size) = model.patches(batch.images.clone());
            let distances = squared_distances(patches.clone(), prototypes.clone());
            (values(patches), values(distances), size)
        });
        size = found;
        let patches_each = size[0] * size[1];
        let images = patches.chunks_exact((patches_each * channels).max(1));
        let rows = distances.chunks_exact((patches_each * total).max(1));
        let named = labels_of(&batch).into_iter().zip(&batch.indices);
        for ((image, distances), (label, sample)) in images.zip(rows).zip(named) {
            let own = nearest.iter_mut().enumerate();
            for (row, best) in own.skip(label * per_class).take(per_class) {
                let Some((patch, distance)) = smallest(distances, row, total) else {
                    continue;
                };
                if best
                    .as_ref()
                    .is_none_or(|best| best.comes_after(distance, *sample))
                {
                    *best = Some(Nearest {
                        distance,
                        sample: *sample,
                        patch,
                        image: image.to_vec(),
                    });
                }
            }
        }
    }
    let mut vectors = values(prototypes);
    let mut places = Vec::with_capacity(total);
    for (vector, nearest) in vectors.chunks_exact_mut(channels.max(1)).zip(&nearest) {
        let Some(nearest) = nearest else {
            places.push(None);
            continue;
        };
        let start = nearest.patch * channels;
        vector.copy_from_slice(&nearest.image[start..start + channels]);
        let map: Vec<f32> = nearest
            .image
            .chunks_exact(channels)
            .map(|patch| similarity_to(patch, vector, model.settings.epsilon))
            .collect();
        let shape = model.settings.image;
        places.push(Some(Provenance {
            sample: nearest.sample,
            patch: Some([nearest.patch / size[1], nearest.patch % size[1]]),
            region: Region::of_largest(&map, size, [shape.height, shape.width]),
        }));
    }
    Ok(Pushed {
        prototypes: Tensor::from_data(TensorData::new(vectors, [total, channels]), done.device),
        sources: Sources::write(&places, done.device),
    })
}

/// The first smallest of every `step`-th value from `start` on, and its number.
fn smallest(values: &[f32], start: usize, step: usize) -> Option<(usize, f32)> {
    let each = values.iter().copied().skip(start).step_by(step.max(1));
    each.enumerate().min_by(|a, b| a.1.total_cmp(&b.1))
}

fn similarity_to(patch: &[f32], prototype: &[f32], epsilon: f64) -> f32 {
    let apart = patch.iter().zip(prototype);
    let distance: f32 = apart.map(|(a, b)| (a - b) * (a - b)).sum();
    ((1.0 - epsilon) / (f64::from(distance) + epsilon)).ln_1p() as f32
}

/// The labels of a batch; the model's training has checked that they are below the number of classes.
pub(super) fn labels_of(batch: &Batch) -> Vec<usize> {
    let labels = batch.labels.to_data();
    labels.iter::<i64>().map(|label| label as usize).collect()
}

pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
