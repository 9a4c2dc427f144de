//! Squared distances between the rows of two matrices, as an operation with its own backward pass.
//!
//! In tensor operations the differences of all pairs are a tensor of `N·P·L` values, written and read several times each way;
//! here they stay in registers.

mod rows;
#[cfg(test)]
mod tests;

use burn::backend::Flex;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::{Int, Tensor};

use crate::primitive::{
    Differentiable, Plain, Tracked, contiguous, from_values, plain, tracked, values,
};
use rows::Pairs;

/// `‖z_i − phi_p‖²` for latents `[N, L]` and prototypes `[P, L]`, as `[N, P]`; none if they are not `f32` on the CPU, or empty.
pub(super) fn all_pairs(latents: &Tensor<2>, prototypes: &Tensor<2>) -> Option<Tensor<2>> {
    let ([samples, width], [count, other_width]) = (latents.dims(), prototypes.dims());
    if width != other_width {
        return None;
    }
    apply(latents, prototypes, || {
        Pairs::new(vec![0; samples], count, [count, width])
    })
}

/// `‖z_i − phi_{y_i, j}‖²` for latents `[N, L]`, prototypes `[K, M, L]` and labels `[N]`, as `[N, M]`; none if they are not
/// `f32` on the CPU, or empty, or a label is out of range.
pub(super) fn own_class_pairs(
    latents: &Tensor<2>,
    by_class: &Tensor<3>,
    labels: &Tensor<1, Int>,
) -> Option<Tensor<2>> {
    let [classes, per_class, width] = by_class.dims();
    let ([samples, latent_width], [label_count]) = (latents.dims(), labels.dims());
    if width != latent_width || label_count != samples {
        return None;
    }
    let prototypes = by_class.clone().reshape([classes * per_class, width]);
    apply(latents, &prototypes, || {
        let labels = labels.to_data();
        let starts = labels
            .iter::<i64>()
            .map(|label| {
                let label = usize::try_from(label).ok()?;
                (label < classes).then_some(label * per_class)
            })
            .collect::<Option<_>>()?;
        Pairs::new(starts, per_class, [classes * per_class, width])
    })
}

/// `‖a_i − b_i‖²` for two matrices `[N, L]`, as `[N, 1]`; none if they are not `f32` on the CPU, or empty.
pub(super) fn same_rows(a: &Tensor<2>, b: &Tensor<2>) -> Option<Tensor<2>> {
    let shape = a.dims();
    if shape != b.dims() {
        return None;
    }
    apply(a, b, || Pairs::new((0..shape[0]).collect(), 1, shape))
}

/// `pairs` is asked for only once the tensors are known to be on the CPU: it may read others, for which a device would have to
/// be waited for.
fn apply(
    latents: &Tensor<2>,
    prototypes: &Tensor<2>,
    pairs: impl FnOnce() -> Option<Pairs>,
) -> Option<Tensor<2>> {
    if latents.device().is_autodiff() {
        let inputs = [tracked(latents)?, tracked(prototypes)?];
        let output = tracked_distances(pairs()?, inputs);
        Some(Tensor::from_primitive::<Differentiable>(output))
    } else {
        let (latents, prototypes) = (plain(latents)?, plain(prototypes)?);
        let output = distances(&pairs()?, latents, prototypes);
        Some(Tensor::from_primitive::<Flex>(output))
    }
}

fn distances(pairs: &Pairs, latents: Plain, prototypes: Plain) -> Plain {
    let (latents, prototypes) = (contiguous(latents), contiguous(prototypes));
    let found = pairs.squared_distances(values(&latents), values(&prototypes));
    from_values(found, &pairs.shape())
}

fn tracked_distances(pairs: Pairs, [latents, prototypes]: [Tracked; 2]) -> Tracked {
    let output = distances(
        &pairs,
        latents.primitive().clone(),
        prototypes.primitive().clone(),
    );
    let nodes = [latents.node(), prototypes.node()];
    match DistancesBackward
        .prepare::<NoCheckpointing>(nodes)
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(mut operation) => {
            let state = (
                pairs,
                operation.checkpoint(&latents),
                operation.checkpoint(&prototypes),
            );
            operation.finish(state, output)
        }
        OpsKind::UnTracked(operation) => operation.finish(output),
    }
}

#[derive(Debug)]
struct DistancesBackward;

impl Backward<Flex, 2> for DistancesBackward {
    /// The pairs, and where latents and prototypes are kept.
    type State = (Pairs, NodeId, NodeId);

    fn backward(
        self,
        operation: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [latent_node, prototype_node] = operation.parents;
        let (pairs, latents, prototypes) = operation.state;
        let output = contiguous(gradients.consume::<Flex>(&operation.node));
        let latents = contiguous(checkpointer.retrieve_node_output::<Plain>(latents));
        let prototypes = contiguous(checkpointer.retrieve_node_output::<Plain>(prototypes));
        let (output, latents, prototypes) =
            (values(&output), values(&latents), values(&prototypes));
        if let Some(node) = latent_node {
            let found = pairs.latent_gradient(output, latents, prototypes);
            gradients.register::<Flex>(node.id, from_values(found, &pairs.latent_shape()));
        }
        if let Some(node) = prototype_node {
            let found = pairs.prototype_gradient(output, latents, prototypes);
            gradients.register::<Flex>(node.id, from_values(found, &pairs.prototype_shape()));
        }
    }
}
