//! The last layer alone: logistic regression on the similarities of all training images, sparse towards other classes.

use burn::tensor::{Device, Tensor, TensorData};
use protovae_core::Result;
use protovae_core::device::on_workers;
use protovae_core::model::{EpochDone, Model};
use protovae_core::random::{Purpose, normal_rows};

use super::push::{labels_of, values};
use super::{ProtoPNet, Pruning, Settings};

/// Adam's decays and the number that keeps its denominator away from 0.
const DECAYS: [f32; 2] = [0.9, 0.999];
const TINY: f32 = 1e-8;

/// What the last layer is trained on. Features and prototypes are frozen meanwhile, so that one pass computes it.
pub(super) struct Problem {
    classes: usize,
    per_class: usize,
    /// `[N, K·M]` row by row.
    similarities: Vec<f32>,
    /// `N`.
    labels: Vec<usize>,
    /// Images a step: as many as in the run's batches.
    batch: usize,
    /// For each prototype whether it counts.
    kept: Vec<bool>,
}

impl Problem {
    /// Looks at all training images with `model`, which is as `valid()`.
    pub(super) fn new(model: &ProtoPNet, done: &EpochDone<'_>) -> Result<Self> {
        let mut problem = Self {
            classes: model.settings.classes,
            per_class: model.settings.per_class,
            similarities: Vec::new(),
            labels: Vec::new(),
            batch: 0,
            kept: values(model.kept.val())
                .into_iter()
                .map(|kept| kept != 0.0)
                .collect(),
        };
        for batch in done.batches(model.image_shape(), model.classes())? {
            let batch = batch?;
            let labels = labels_of(&batch);
            problem.batch = problem.batch.max(labels.len());
            problem.labels.extend(labels);
            let found = on_workers(done.device, || model.predict(batch.images.clone()));
            problem
                .similarities
                .extend(found.similarities.map(values).unwrap_or_default());
        }
        Ok(problem)
    }

    /// `K·M`.
    fn prototypes(&self) -> usize {
        self.classes * self.per_class
    }

    /// Leaves out prototypes that are not typical of their class.
    pub(super) fn prune(&mut self, pruning: Pruning) {
        let total = self.prototypes();
        for row in 0..total {
            let of_row = self.similarities.iter().skip(row).step_by(total);
            let mut nearest: Vec<(f32, usize)> =
                of_row.copied().zip(self.labels.iter().copied()).collect();
            // Stable, so that of equally similar images the first come first.
            nearest.sort_by(|a, b| b.0.total_cmp(&a.0));
            let own = nearest.iter().take(pruning.neighbours);
            let own = own
                .filter(|(_, label)| *label == row / self.per_class)
                .count();
            self.kept[row] = own >= pruning.threshold;
        }
    }

    /// 1 for each prototype that counts, `[K·M]`.
    pub(super) fn kept(&self, device: &Device) -> Tensor<1> {
        let kept: Vec<f32> = self
            .kept
            .iter()
            .map(|kept| f32::from(u8::from(*kept)))
            .collect();
        Tensor::from_data(TensorData::new(kept, [self.kept.len()]), device)
    }

    /// The weights `[K, K·M]` after training, with an Adam of their own that begins anew.
    ///
    /// It is done here, value by value in one thread: the problem is small, and the result is the same on every device.
    pub(super) fn trained(
        &self,
        weights: Tensor<2>,
        settings: &Settings,
        done: &EpochDone<'_>,
    ) -> Tensor<2> {
        let shape = weights.dims();
        let mut weights = values(weights);
        let mut adam = Adam::new(weights.len(), settings.rates.last_layer as f32);
        let mut gradient = vec![0f32; weights.len()];
        for iteration in 0..settings.last_layer_iterations {
            for batch in self.order(iteration, done).chunks(self.batch.max(1)) {
                self.gradient(&weights, batch, settings, &mut gradient);
                adam.step(&mut weights, &gradient);
            }
        }
        Tensor::from_data(TensorData::new(weights, shape), done.device)
    }

    /// All images in an order that depends on seed, epoch and iteration alone.
    fn order(&self, iteration: usize, done: &EpochDone<'_>) -> Vec<usize> {
        let (epoch, place) = (done.epoch as u64, iteration as u64);
        let count = self.labels.len();
        let drawn = normal_rows(
            done.seed,
            epoch,
            &[place],
            count,
            Purpose::Plugin,
            &Device::flex(),
        );
        let drawn = values(drawn);
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|a, b| drawn[*a].total_cmp(&drawn[*b]).then(a.cmp(b)));
        order
    }

    /// The gradient of the mean loss of some images.
    fn gradient(
        &self,
        weights: &[f32],
        images: &[usize],
        settings: &Settings,
        gradient: &mut [f32],
    ) {
        let total = self.prototypes();
        let l1 = settings.weights.l1 as f32;
        for (index, (gradient, weight)) in gradient.iter_mut().zip(weights).enumerate() {
            let (class, row) = (index / total, index % total);
            let counts = row / self.per_class != class && self.kept[row] && *weight != 0.0;
            *gradient = if counts { l1 * weight.signum() } else { 0.0 };
        }
        let share = settings.weights.cross_entropy as f32 / images.len().max(1) as f32;
        let mut seen = vec![0f32; total];
        let mut scores = vec![0f32; self.classes];
        for image in images {
            let similarities = &self.similarities[image * total..(image + 1) * total];
            for ((seen, similarity), kept) in seen.iter_mut().zip(similarities).zip(&self.kept) {
                *seen = if *kept { *similarity } else { 0.0 };
            }
            for (score, weights) in scores.iter_mut().zip(weights.chunks_exact(total)) {
                *score = weights
                    .iter()
                    .zip(&seen)
                    .map(|(weight, seen)| weight * seen)
                    .sum();
            }
            softmax(&mut scores);
            scores[self.labels[*image]] -= 1.0;
            for (score, gradient) in scores.iter().zip(gradient.chunks_exact_mut(total)) {
                let factor = share * score;
                for (gradient, seen) in gradient.iter_mut().zip(&seen) {
                    *gradient += factor * seen;
                }
            }
        }
    }
}

fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores
        .iter_mut()
        .for_each(|score| *score = (*score - largest).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// Adam on a few values.
struct Adam {
    rate: f32,
    moments: Vec<[f32; 2]>,
    powers: [f32; 2],
}

impl Adam {
    fn new(values: usize, rate: f32) -> Self {
        Self {
            rate,
            moments: vec![[0.0; 2]; values],
            powers: [1.0; 2],
        }
    }

    fn step(&mut self, values: &mut [f32], gradient: &[f32]) {
        for (power, decay) in self.powers.iter_mut().zip(DECAYS) {
            *power *= decay;
        }
        let corrections = self.powers.map(|power| 1.0 - power);
        let each = values.iter_mut().zip(gradient).zip(&mut self.moments);
        for ((value, gradient), moments) in each {
            for ((moment, decay), new) in moments
                .iter_mut()
                .zip(DECAYS)
                .zip([*gradient, gradient * gradient])
            {
                *moment = *moment * decay + new * (1.0 - decay);
            }
            let [first, second] = [moments[0] / corrections[0], moments[1] / corrections[1]];
            *value -= self.rate * first / (second.sqrt() + TINY);
        }
    }
}
