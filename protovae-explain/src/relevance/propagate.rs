//! Relevance on its way back, for several targets of each image.

use burn::tensor::{Int, Tensor};

use super::linear_map::LinearMap;
use super::prepare::{Group, Input, Passage};

/// Relevance `[N, T, out]` through all passages, last first, to `[N, T, in]`.
pub(super) fn propagate(passages: &[Passage], relevance: Tensor<3>) -> Tensor<3> {
    passages
        .iter()
        .rev()
        .fold(relevance, |relevance, passage| back(passage, relevance))
}

fn back(passage: &Passage, relevance: Tensor<3>) -> Tensor<3> {
    match passage {
        Passage::Linear(groups) => {
            let parts = groups
                .iter()
                .map(|group| through_group(group, relevance.clone()));
            // A linear layer has at least one group.
            parts.reduce(|a, b| a + b).unwrap_or(relevance)
        }
        Passage::Winner { places, pixels } => to_winners(places.clone(), *pixels, relevance),
        Passage::Branches {
            body,
            shortcut,
            body_share,
            shortcut_share,
        } => {
            let left = relevance.clone() * body_share.clone().unsqueeze_dim(1);
            let right = relevance * shortcut_share.clone().unsqueeze_dim(1);
            propagate(body, left) + propagate(shortcut, right)
        }
    }
}

fn through_group(group: &Group, relevance: Tensor<3>) -> Tensor<3> {
    let [samples, targets, outputs] = relevance.dims();
    let sent = relevance * group.factor.clone().unsqueeze_dim(1);
    let sent = sent.reshape([samples * targets, outputs]);
    let received: Vec<Tensor<3>> = match group.maps.as_slice() {
        [joined] => {
            let all = joined.adjoint(sent);
            let inputs = all.dims()[1] / group.inputs.len().max(1);
            let all = all.reshape([samples, targets, inputs * group.inputs.len()]);
            let parts = 0..group.inputs.len();
            parts
                .map(|part| all.clone().narrow(2, part * inputs, inputs))
                .collect()
        }
        maps => {
            let each = |map: &LinearMap| {
                let part = map.adjoint(sent.clone());
                let inputs = part.dims()[1];
                part.reshape([samples, targets, inputs])
            };
            maps.iter().map(each).collect()
        }
    };
    let weighted = received
        .into_iter()
        .zip(&group.inputs)
        .map(|(part, input)| match input {
            Input::Values(values) => part * values.clone().unsqueeze_dim(1),
            Input::Constant(value) => part * *value,
        });
    weighted
        .reduce(|a, b| a + b)
        .unwrap_or_else(|| Tensor::zeros([samples, targets, outputs], &group.factor.device()))
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
