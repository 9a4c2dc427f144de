//! Relevance on its way back, for several targets of each image.

use burn::tensor::{Int, Tensor};

use super::chain::Chain;
use super::linear_map::LinearMap;
use super::prepare::{Group, Input, Passage};

/// Relevance `[N, T, out]` through all passages, last first, to `[N, T, in]`.
pub(super) fn propagate(passages: &[Passage], relevance: Tensor<3>) -> Tensor<3> {
    let mut travelling = Travelling {
        relevance,
        factor: None,
    };
    let mut left = passages;
    while let Some((passage, before)) = left.split_last() {
        // Convolutions and pooling one after the other go through the kernels in one piece, where they can.
        let chain = Chain::at_the_end_of(left);
        if let Some((chain, rest)) = chain
            && let Some(relevance) = chain.pull_back(&travelling)
        {
            travelling = Travelling {
                relevance,
                factor: None,
            };
            left = rest;
            continue;
        }
        travelling = travelling.back(passage);
        left = before;
    }
    travelling.settled()
}

/// Relevance, and a factor of each image that is still to be multiplied with it: the next passage has one of its own, and
/// the two become one product.
pub(super) struct Travelling {
    /// `[N, T, F]`.
    pub(super) relevance: Tensor<3>,
    /// `[N, F]`.
    pub(super) factor: Option<Tensor<2>>,
}

impl Travelling {
    fn settled(self) -> Tensor<3> {
        match self.factor {
            Some(factor) => self.relevance * factor.unsqueeze_dim(1),
            None => self.relevance,
        }
    }

    fn back(self, passage: &Passage) -> Self {
        let relevance = match passage {
            Passage::Linear(groups) => return self.through(groups),
            Passage::Winner { places, pixels } => {
                to_winners(places.clone(), *pixels, self.settled())
            }
            Passage::Branches {
                body,
                shortcut,
                body_share,
                shortcut_share,
            } => {
                let relevance = self.settled();
                let left = relevance.clone() * body_share.clone().unsqueeze_dim(1);
                let right = relevance * shortcut_share.clone().unsqueeze_dim(1);
                propagate(body, left) + propagate(shortcut, right)
            }
        };
        Self {
            relevance,
            factor: None,
        }
    }

    fn through(self, groups: &[Group]) -> Self {
        let times = |group: &Group| match &self.factor {
            Some(factor) => group.factor.clone() * factor.clone(),
            None => group.factor.clone(),
        };
        if let [group] = groups
            && let ([map], [Input::Values(values)]) =
                (group.maps.as_slice(), group.inputs.as_slice())
        {
            return Self {
                relevance: adjoint(map, self.relevance.clone() * times(group).unsqueeze_dim(1)),
                factor: Some(values.clone()),
            };
        }
        let parts = groups.iter().map(|group| {
            through_group(
                group,
                self.relevance.clone() * times(group).unsqueeze_dim(1),
            )
        });
        // A linear layer has at least one group.
        let relevance = parts.reduce(|a, b| a + b).unwrap_or(self.relevance);
        Self {
            relevance,
            factor: None,
        }
    }
}

/// The transposed map of `[N, T, out]`.
fn adjoint(map: &LinearMap, relevance: Tensor<3>) -> Tensor<3> {
    let [samples, targets, outputs] = relevance.dims();
    let received = map.adjoint(relevance.reshape([samples * targets, outputs]));
    let inputs = received.dims()[1];
    received.reshape([samples, targets, inputs])
}

/// `Σ_t input_t ⊙ map_tᵀ(sent)`.
fn through_group(group: &Group, sent: Tensor<3>) -> Tensor<3> {
    let received: Vec<Tensor<3>> = match group.maps.as_slice() {
        [joined] => adjoint(joined, sent.clone()).chunk(group.inputs.len().max(1), 2),
        maps => maps.iter().map(|map| adjoint(map, sent.clone())).collect(),
    };
    let weighted = received
        .into_iter()
        .zip(&group.inputs)
        .map(|(part, input)| match input {
            Input::Values(values) => part * values.clone().unsqueeze_dim(1),
            Input::Constant(value) => part * *value,
        });
    // A group has at least one term.
    weighted.reduce(|a, b| a + b).unwrap_or(sent)
}

/// All of a window's relevance to the pixel that won it.
fn to_winners(places: Tensor<3, Int>, pixels: usize, relevance: Tensor<3>) -> Tensor<3> {
    let [samples, targets, _] = relevance.dims();
    let [_, channels, windows] = places.dims();
    let relevance = relevance.reshape([samples * targets * channels, windows]);
    let places = places
        .unsqueeze_dim::<4>(1)
        .expand([samples, targets, channels, windows])
        .reshape([samples * targets * channels, windows]);
    let empty = Tensor::<2>::zeros([samples * targets * channels, pixels], &relevance.device());
    empty
        .scatter(1, places, relevance, burn::tensor::IndexingUpdateOp::Add)
        .reshape([samples, targets, channels * pixels])
}
