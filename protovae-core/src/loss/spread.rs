//! The part of a KL divergence that the posterior's variances make, as an operation with its own backward pass.
//!
//! In tensor operations it is some ten passes over a tensor of `N·L` values on one thread; here it is two.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::primitive::{
    Differentiable, Plain, Tracked, contiguous, from_values, plain, tracked, values,
};

/// `sum_d (e^{v_d} − 1 − v_d)` of each row of `[N, L]`, as `[N, 1]`; never negative but for rounding, 0 only for a row of zeros.
pub(super) fn spread(log_variance: Tensor<2>) -> Tensor<2> {
    match on_cpu(&log_variance) {
        Some(found) => found,
        None => (log_variance.clone().exp() - log_variance - 1.0).sum_dim(1),
    }
}

/// None if the tensor is not of `f32` on the CPU, or empty.
fn on_cpu(log_variance: &Tensor<2>) -> Option<Tensor<2>> {
    let shape = log_variance.dims();
    if shape.contains(&0) {
        return None;
    }
    if !log_variance.device().is_autodiff() {
        let (sums, _) = sums_and_derivatives(plain(log_variance)?, shape, false);
        return Some(Tensor::from_primitive::<Flex>(sums));
    }
    let input: Tracked = tracked(log_variance)?;
    let found = match SpreadBackward
        .prepare::<NoCheckpointing>([input.node()])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(operation) => {
            let (sums, derivatives) = sums_and_derivatives(input.primitive().clone(), shape, true);
            operation.finish((derivatives, shape), sums)
        }
        OpsKind::UnTracked(operation) => {
            operation.finish(sums_and_derivatives(input.primitive().clone(), shape, false).0)
        }
    };
    Some(Tensor::from_primitive::<Differentiable>(found))
}

/// The sums, and, if `wanted`, `e^v − 1` for each value. A row is the work of one thread, so that the number of threads changes
/// nothing.
fn sums_and_derivatives(
    input: Plain,
    [rows, width]: [usize; 2],
    wanted: bool,
) -> (Plain, Vec<f32>) {
    let input = contiguous(input);
    let mut sums = vec![0.0; rows];
    let mut derivatives = vec![0.0; if wanted { rows * width } else { 0 }];
    let rows_in = values(&input).par_chunks_exact(width).zip(&mut sums);
    // Sums of hundreds of positive terms, in twice the precision.
    if wanted {
        rows_in
            .zip(derivatives.par_chunks_exact_mut(width))
            .for_each(|((row, sum), derivatives)| {
                let mut precise = 0.0;
                for (derivative, value) in derivatives.iter_mut().zip(row) {
                    *derivative = value.exp() - 1.0;
                    precise += f64::from(*derivative - value);
                }
                *sum = precise as f32;
            });
    } else {
        rows_in.for_each(|(row, sum)| {
            let terms = row.iter().map(|value| f64::from(value.exp() - 1.0 - value));
            *sum = terms.sum::<f64>() as f32;
        });
    }
    (from_values(sums, &[rows, 1]), derivatives)
}

#[derive(Debug)]
struct SpreadBackward;

impl Backward<Flex, 1> for SpreadBackward {
    /// The derivatives, and the input's shape.
    type State = (Vec<f32>, [usize; 2]);

    fn backward(
        self,
        operation: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [parent] = operation.parents;
        let (mut derivatives, shape) = operation.state;
        let output = contiguous(gradients.consume::<Flex>(&operation.node));
        let Some(node) = parent else {
            return;
        };
        derivatives
            .par_chunks_exact_mut(shape[1])
            .zip(values(&output))
            .for_each(|(row, gradient)| {
                for derivative in row {
                    *derivative *= gradient;
                }
            });
        gradients.register::<Flex>(node.id, from_values(derivatives, &shape));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::tensor::{Device, Distribution};
    use proptest::prelude::*;

    use super::*;

    fn flat(tensor: Tensor<2>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn it_agrees_with_tensor_operations(rows in 1..40usize, width in 1..70usize) {
            let device = Device::flex().autodiff();
            let input = Tensor::<2>::random([rows, width], Distribution::Normal(0.0, 2.0), &device);
            let weights = Tensor::<2>::random([rows, 1], Distribution::Normal(0.0, 1.0), &device);
            let run = |spread: &dyn Fn(Tensor<2>) -> Tensor<2>| {
                let input = input.clone().require_grad();
                let found = spread(input.clone());
                let gradients = (found.clone() * weights.clone()).sum().backward();
                (flat(found), flat(input.grad(&gradients).unwrap()))
            };
            let ours = run(&|v| on_cpu(&v).unwrap());
            let stock = run(&|v| (v.clone().exp() - v - 1.0).sum_dim(1));
            for (ours, stock) in [(&ours.0, &stock.0), (&ours.1, &stock.1)] {
                let largest = stock.iter().fold(1e-3f32, |most, value| most.max(value.abs()));
                for (ours, stock) in ours.iter().zip(stock) {
                    prop_assert!((ours - stock).abs() <= 1e-5 * largest, "{ours} {stock}");
                }
            }
            let without = on_cpu(&input.clone().inner()).unwrap();
            for (plain, tracked) in flat(without).iter().zip(&ours.0) {
                prop_assert!((plain - tracked).abs() <= 1e-5 * tracked.abs().max(1e-3));
            }
        }
    }

    #[test]
    fn gradients_are_central_differences() {
        let device = Device::flex().autodiff();
        let values = [-3.0, -0.5, 0.0, 0.25, 2.0, 4.0];
        let input = Tensor::<2>::from_floats([values], &device).require_grad();
        let gradients = spread(input.clone()).sum().backward();
        for (found, v) in flat(input.grad(&gradients).unwrap()).iter().zip(values) {
            let term = |v: f64| v.exp() - 1.0 - v;
            let expected = (term(v + 1e-5) - term(v - 1e-5)) / 2e-5;
            assert!((f64::from(*found) - expected).abs() < 1e-5 * expected.abs().max(1.0));
        }
    }

    #[test]
    fn nan_shows_in_its_row_only() {
        let input = Tensor::<2>::from_floats([[f32::NAN, 0.0], [0.0, 0.0]], &Device::flex());
        let found = flat(spread(input));
        assert!(found[0].is_nan() && found[1] == 0.0);
    }
}
