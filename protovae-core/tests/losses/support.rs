//! Problems of any size, and what their answers are compared with.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use protovae_core::loss::{
    Convention, Distance, FrobeniusNorm, MixtureInputs, MixtureWeights, Reduction,
};

use crate::common::{Inputs, labels, tensor, values};

pub(super) const DISTANCES: [Distance; 2] = [Distance::Squared, Distance::Euclidean];
pub(super) const REDUCTIONS: [Reduction; 2] = [Reduction::Sum, Reduction::Mean];
pub(super) const NORMS: [FrobeniusNorm; 3] = [
    FrobeniusNorm::Squared,
    FrobeniusNorm::Plain,
    FrobeniusNorm::PlainOverDimensions,
];
pub(super) const WEIGHTS: [MixtureWeights; 2] = [MixtureWeights::All, MixtureWeights::Positive];
pub(super) const CONVENTIONS: [Convention; 3] = [
    Convention::Paper,
    Convention::Reference2022,
    Convention::SampledMean,
];
pub(super) const EPSILON: f64 = 1e-4;

/// The sizes of a problem, and a seed for its values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Problem {
    pub(super) samples: usize,
    pub(super) classes: usize,
    pub(super) per_class: usize,
    pub(super) width: usize,
    pub(super) seed: u64,
}

pub(super) fn problems() -> impl Strategy<Value = Problem> {
    (1..5usize, 2..5usize, 1..5usize, 1..7usize, any::<u64>()).prop_map(
        |(samples, classes, per_class, width, seed)| Problem {
            samples,
            classes,
            per_class,
            width,
            seed,
        },
    )
}

impl Problem {
    pub(super) fn draw<const D: usize>(
        &self,
        stream: u64,
        shape: [usize; D],
        low: f32,
        high: f32,
    ) -> Tensor<D> {
        let values = values(
            shape.iter().product(),
            self.seed
                .wrapping_add(stream.wrapping_mul(0x1234_5678_9abc)),
            low,
            high,
        );
        tensor(values, shape, &Device::flex())
    }

    pub(super) fn label_values(&self) -> Vec<usize> {
        values(self.samples, self.seed ^ 0xabc, 0.0, self.classes as f32)
            .into_iter()
            .map(|value| (value as usize).min(self.classes - 1))
            .collect()
    }

    pub(super) fn inputs(&self) -> Inputs {
        let Self {
            samples,
            classes,
            per_class,
            width,
            ..
        } = *self;
        let all = classes * per_class;
        Inputs {
            images: self.draw(1, [samples, 2, 2, 3], -1.0, 1.0),
            reconstruction: self.draw(2, [samples, 2, 2, 3], -1.0, 1.0),
            mean: self.draw(3, [samples, width], -2.0, 2.0),
            log_variance: self.draw(4, [samples, width], -3.0, 3.0),
            noise: self.draw(5, [samples, width], -2.0, 2.0),
            labels: labels(&self.label_values(), &Device::flex()),
            prototypes: self.draw(6, [all, width], -2.0, 2.0),
            classifier: self.draw(7, [classes, all], -1.0, 1.0),
            per_class,
        }
    }

    /// Any positive similarities `[N, K·M]`, over eight orders of magnitude.
    pub(super) fn similarities(&self) -> Tensor<2> {
        self.draw(8, [self.samples, self.classes * self.per_class], -14.0, 4.0)
            .exp()
    }

    pub(super) fn mixture(&self) -> MixtureInputs {
        let inputs = self.inputs();
        MixtureInputs {
            prototypes: inputs.by_class(),
            images: inputs.images,
            reconstructions: inputs.reconstruction,
            mean: inputs.mean,
            log_variance: inputs.log_variance,
            similarities: self.similarities(),
            labels: inputs.labels,
        }
    }
}

pub(super) fn near(found: f32, expected: f32, relative: f32) -> bool {
    (found - expected).abs() <= relative * expected.abs().max(1.0)
}

pub(super) fn all_finite(values: &[f32]) -> bool {
    values.iter().all(|value| value.is_finite())
}

pub(super) fn config() -> ProptestConfig {
    ProptestConfig::with_cases(64)
}
