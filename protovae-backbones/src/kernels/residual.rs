//! The end of a residual block, `max(a + b, 0)`, as a burn operation with its own backward pass.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::{Bytes, DType, Tensor};
use rayon::prelude::*;

use super::activation::{Activation, pass};
use super::pool::filled;
use super::primitive::{Differentiable, Plain, Tracked, contiguous, plain, values};
use super::vector::{Kernel, Vector, dispatch};

/// Values that a thread works on at a time.
const CHUNK: usize = 1 << 13;

struct Sum<'a> {
    one: &'a [f32],
    other: &'a [f32],
    out: *mut f32,
}

impl Kernel for Sum<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        for (index, (&one, &other)) in self.one.iter().zip(self.other).enumerate() {
            let sum = one + other;
            // NaN stays what it is.
            let sum = if sum < 0.0 { 0.0 } else { sum };
            // SAFETY: the caller vouches for as many values as there are.
            unsafe { self.out.add(index).write(sum) };
        }
    }
}

fn forward(one: &[f32], other: &[f32]) -> Bytes {
    assert!(one.len() == other.len());
    // SAFETY: the chunks cover all values, and each writes all of its own.
    unsafe {
        filled(one.len(), |out| {
            let chunks = one.par_chunks(CHUNK).zip(other.par_chunks(CHUNK));
            chunks.enumerate().for_each(|(index, (one, other))| {
                let out = out.at(index * CHUNK);
                dispatch(Sum { one, other, out });
            });
        })
    }
}

/// `max(one + other, 0)` of each value of two tensors of one shape; none if they are not on the CPU, or not of `f32`.
pub fn add_relu(one: &Tensor<4>, other: &Tensor<4>) -> Option<Tensor<4>> {
    let shape = one.dims();
    if one.dtype() != DType::F32 || other.dtype() != DType::F32 || other.dims() != shape {
        return None;
    }
    let run = |one: &Plain, other: &Plain| {
        let (one, other) = (contiguous(one), contiguous(other));
        plain(forward(values(&one), values(&other)), &shape)
    };
    let (one, other) = (one.clone(), other.clone());
    if !one.device().is_autodiff() && !other.device().is_autodiff() {
        let one = one.try_into_primitive::<Flex>().ok()?;
        let other = other.try_into_primitive::<Flex>().ok()?;
        return Some(Tensor::from_primitive::<Flex>(run(&one, &other)));
    }
    let one: Tracked = one.try_into_primitive::<Differentiable>().ok()?;
    let other: Tracked = other.try_into_primitive::<Differentiable>().ok()?;
    let output = run(one.primitive(), other.primitive());
    let output = match AddReluBackward
        .prepare::<NoCheckpointing>([one.node(), other.node()])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(operation) => operation.finish((output.clone(), shape), output),
        OpsKind::UnTracked(operation) => operation.finish(output),
    };
    Some(Tensor::from_primitive::<Differentiable>(output))
}

#[derive(Debug)]
struct AddReluBackward;

impl Backward<Flex, 2> for AddReluBackward {
    /// The output and its shape.
    type State = (Plain, [usize; 4]);

    fn backward(
        self,
        operation: Ops<Self::State, 2>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let (output, shape) = operation.state;
        let gradient = contiguous(&gradients.consume::<Flex>(&operation.node));
        // The same for both: nothing is written to it, so they can share it.
        let made = pass(Activation::Relu, values(&output), Some(values(&gradient)));
        let made = plain(made, &shape);
        for node in operation.parents.into_iter().flatten() {
            gradients.register::<Flex>(node.id, made.clone());
        }
    }
}
