//! How a similarity is shared over latent dimensions.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// How a similarity is shared over latent dimensions: `c_d ≥ 0`, the weight of dimension `d`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Sharing {
    /// How much nearer to the prototype the image lies than the origin of the latent space does:
    /// `c_d = max(0, phi_d² − (mu_d − phi_d)²)`. A dimension in which nothing is said (`mu_d` near 0) gets nothing, so that the
    /// division by its value in the epsilon rule stays bounded. Where no dimension is nearer, as
    /// [`Sharing::InverseDistance`].
    #[default]
    Gain,
    /// The closeness of the publication of PRP: `c_d = 1 / ((mu_d − phi_d)² + eta)`. It does not ask how large `mu_d` is, while
    /// epsilon rules on the layer behind divide by it: where `mu_d` is near 0, maps change much with small noise in the image.
    InverseDistance {
        /// Keeps a dimension that agrees exactly from taking all, in squared latent units; above 0, usually 1e-3.
        eta: f64,
    },
}

/// `eta` where nothing else is said.
pub(super) const ETA: f64 = 1e-3;

impl Sharing {
    /// `c_d / Σ c_d`, `[N, P, L]`, for means `[N, L]` and prototypes `[P, L]`.
    pub(super) fn shares(self, mean: Tensor<2>, prototypes: Tensor<2>) -> Tensor<3> {
        let prototypes = prototypes.unsqueeze_dim::<3>(0);
        let apart = mean.unsqueeze_dim::<3>(1) - prototypes.clone();
        let squares = apart.clone() * apart;
        let shares = |weights: Tensor<3>| weights.clone() / weights.sum_dim(2);
        match self {
            Self::InverseDistance { eta } => shares((squares + eta).recip()),
            Self::Gain => {
                let gain = (prototypes.clone() * prototypes - squares.clone()).clamp_min(0.0);
                let total = gain.clone().sum_dim(2);
                let nothing = total.clone().lower_equal_elem(0.0);
                let by_gain = gain / total.mask_fill(nothing.clone(), 1.0);
                let [samples, count, width] = by_gain.dims();
                let otherwise = shares((squares + ETA).recip());
                by_gain.mask_where(nothing.expand([samples, count, width]), otherwise)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;

    use super::*;

    const INVERSE: Sharing = Sharing::InverseDistance { eta: ETA };

    fn shares(sharing: Sharing, mean: &[f32], prototype: &[f32]) -> Vec<f32> {
        let tensor = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [1, values.len()]);
            Tensor::<2>::from_data(data, &Device::flex())
        };
        let found = sharing.shares(tensor(mean), tensor(prototype));
        found.into_data().iter::<f32>().collect()
    }

    fn close(found: &[f32], expected: &[f32]) {
        let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
        assert!(
            apart.fold(0.0, f32::max) < 1e-6,
            "{found:?} not {expected:?}"
        );
    }

    #[test]
    fn by_hand() {
        // Gains: 4 − 1 = 3, 1 − 0 = 1, 0 − 9 and so nothing, 0 for a dimension that says nothing.
        let found = shares(Sharing::Gain, &[1.0, 1.0, 3.0, 0.0], &[2.0, 1.0, 0.0, 2.0]);
        close(&found, &[0.75, 0.25, 0.0, 0.0]);
        let sharing = Sharing::InverseDistance { eta: 1.0 };
        let found = shares(sharing, &[1.0, 0.0], &[2.0, 0.0]);
        close(&found, &[1.0 / 3.0, 2.0 / 3.0]);
    }

    #[test]
    fn where_nothing_is_gained_closeness_decides() {
        let (mean, prototype) = ([3.0, -1.0, 0.5], [0.0, 1.0, -2.0]);
        let found = shares(Sharing::Gain, &mean, &prototype);
        close(&found, &shares(INVERSE, &mean, &prototype));
    }

    proptest! {
        #[test]
        fn shares_are_shares(
            mean in prop::collection::vec(-5f32..5.0, 6),
            prototype in prop::collection::vec(-5f32..5.0, 6),
        ) {
            for sharing in [Sharing::Gain, INVERSE] {
                let found = shares(sharing, &mean, &prototype);
                prop_assert!(found.iter().all(|share| (0.0..=1.0).contains(share)));
                prop_assert!((found.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
            // What goes to a dimension is bounded by its value, so that dividing by it is harmless.
            let found = shares(Sharing::Gain, &mean, &prototype);
            let gain = |(mean, prototype): (&f32, &f32)| (mean * (2.0 * prototype - mean)).max(0.0);
            let all: f32 = mean.iter().zip(&prototype).map(gain).sum();
            prop_assume!(all > 1e-3);
            for ((share, mean), prototype) in found.iter().zip(&mean).zip(&prototype) {
                let bound = mean.abs() * (2.0 * prototype - mean).abs() / all;
                prop_assert!(*share <= bound + 1e-4);
            }
        }
    }
}
