//! The hyperbolic tangent at the end of a decoder, and ReLU between fully connected layers, as burn operations with their own
//! backward passes.
//!
//! The system's `tanhf` takes a value at a time, some ten nanoseconds each; burn's operations run on one thread.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::{Bytes, DType, Tensor};
use rayon::prelude::*;

use super::pool::filled;
use super::primitive::{Differentiable, Plain, Tracked, contiguous, plain, values};
use super::vector::{Kernel, Vector, dispatch};

/// Values that a thread works on at a time.
const CHUNK: usize = 1 << 13;

/// `tanh x` to within a few units in the last place: an odd rational function of `x` (that of Eigen and XLA), from where it
/// differs from `x` up to where it rounds to ±1.
#[inline(always)]
#[allow(clippy::excessive_precision)]
fn tanh_of(x: f32) -> f32 {
    const LARGEST: f32 = 7.905_311_1;
    const SMALLEST: f32 = 0.0004;
    const ABOVE: [f32; 7] = [
        -2.760_768_477e-16,
        2.000_187_905e-13,
        -8.604_671_522e-11,
        5.122_297_091e-8,
        1.485_722_357e-5,
        6.372_619_288e-4,
        4.893_524_558e-3,
    ];
    const BELOW: [f32; 4] = [
        1.198_258_395e-6,
        1.185_347_057e-4,
        2.268_434_632e-3,
        4.893_525_185e-3,
    ];
    // Comparisons that keep NaN.
    let limited = if x > LARGEST { LARGEST } else { x };
    let limited = if limited < -LARGEST {
        -LARGEST
    } else {
        limited
    };
    let square = limited * limited;
    let mut above = ABOVE[0];
    for factor in &ABOVE[1..] {
        above = above * square + factor;
    }
    let mut below = BELOW[0];
    for factor in &BELOW[1..] {
        below = below * square + factor;
    }
    let value = limited * above / below;
    if x.abs() < SMALLEST { x } else { value }
}

/// A function of each value whose derivative follows from its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The hyperbolic tangent.
    Tanh,
    /// `max(x, 0)`.
    Relu,
}

/// Either pass over some values.
struct Pass<'a> {
    activation: Activation,
    /// Input of the forward pass, or output for the backward one.
    values: &'a [f32],
    /// The output's gradient in the backward pass.
    gradient: Option<&'a [f32]>,
    out: *mut f32,
}

impl Kernel for Pass<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        // SAFETY: `out` holds as many values as there are.
        unsafe { self.write_all() }
    }
}

impl Pass<'_> {
    /// # Safety
    /// `out` holds as many values as there are.
    #[inline(always)]
    unsafe fn write_all(self) {
        match (self.activation, self.gradient) {
            (Activation::Tanh, None) => unsafe {
                write(self.out, self.values.iter().map(|&x| tanh_of(x)))
            },
            // NaN stays what it is.
            (Activation::Relu, None) => {
                let values = self.values.iter();
                unsafe { write(self.out, values.map(|&x| if x < 0.0 { 0.0 } else { x })) };
            }
            (Activation::Tanh, Some(gradient)) => {
                let pairs = self.values.iter().zip(gradient);
                unsafe { write(self.out, pairs.map(|(&y, &g)| g * (1.0 - y * y))) };
            }
            (Activation::Relu, Some(gradient)) => {
                let pairs = self.values.iter().zip(gradient);
                unsafe {
                    write(
                        self.out,
                        pairs.map(|(&y, &g)| if y <= 0.0 { 0.0 } else { g }),
                    )
                };
            }
        }
    }
}

/// Writes values one after another.
///
/// # Safety
/// `out` has room for all of them.
#[inline(always)]
unsafe fn write(out: *mut f32, values: impl Iterator<Item = f32>) {
    for (index, value) in values.enumerate() {
        // SAFETY: as the caller warrants.
        unsafe { out.add(index).write(value) };
    }
}

/// The function of each of some values; or, if there is the output's gradient, the input's, for values that the function gave.
pub fn pass(activation: Activation, values: &[f32], gradient: Option<&[f32]>) -> Bytes {
    assert!(gradient.is_none_or(|gradient| gradient.len() == values.len()));
    // SAFETY: the chunks cover all values, and each writes all of its own.
    unsafe {
        filled(values.len(), |out| {
            let chunks = values.par_chunks(CHUNK).enumerate();
            chunks.for_each(|(index, values)| {
                let first = index * CHUNK;
                dispatch(Pass {
                    activation,
                    values,
                    gradient: gradient.map(|gradient| &gradient[first..][..values.len()]),
                    out: out.at(first),
                });
            });
        })
    }
}

/// `tanh` of each value; none if the device is not the CPU, or they are not `f32`.
pub fn tanh(input: &Tensor<4>) -> Option<Tensor<4>> {
    apply(Activation::Tanh, input)
}

/// `max(x, 0)` of each value; none if the device is not the CPU, or they are not `f32`.
pub fn relu(input: &Tensor<2>) -> Option<Tensor<2>> {
    apply(Activation::Relu, input)
}

fn apply<const D: usize>(activation: Activation, input: &Tensor<D>) -> Option<Tensor<D>> {
    if input.dtype() != DType::F32 {
        return None;
    }
    let shape = input.dims();
    let forward = |input: &Plain| plain(pass(activation, values(&contiguous(input)), None), &shape);
    let input = input.clone();
    if !input.device().is_autodiff() {
        let input = input.try_into_primitive::<Flex>().ok()?;
        return Some(Tensor::from_primitive::<Flex>(forward(&input)));
    }
    let input: Tracked = input.try_into_primitive::<Differentiable>().ok()?;
    let output = forward(input.primitive());
    let output = match ActivationBackward::<D>(activation)
        .prepare::<NoCheckpointing>([input.node()])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(operation) => operation.finish((output.clone(), shape), output),
        OpsKind::UnTracked(operation) => operation.finish(output),
    };
    Some(Tensor::from_primitive::<Differentiable>(output))
}

#[derive(Debug)]
struct ActivationBackward<const D: usize>(Activation);

impl<const D: usize> Backward<Flex, 1> for ActivationBackward<D> {
    /// The output and its shape.
    type State = (Plain, [usize; D]);

    fn backward(
        self,
        operation: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [input] = operation.parents;
        let (output, shape) = operation.state;
        let gradient = contiguous(&gradients.consume::<Flex>(&operation.node));
        if let Some(node) = input {
            let made = pass(self.0, values(&output), Some(values(&gradient)));
            gradients.register::<Flex>(node.id, plain(made, &shape));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tanh_of;

    #[test]
    fn tanh_agrees_with_that_of_twice_the_precision() {
        for step in -120_000..=120_000 {
            let x = step as f32 * 1e-4;
            let exact = f64::from(x).tanh();
            let error = (f64::from(tanh_of(x)) - exact).abs();
            assert!(error <= 6e-7 * exact.abs(), "{x}: {error}");
        }
        for x in [f32::MAX, f32::INFINITY] {
            assert!((tanh_of(x) - 1.0).abs() < 2e-7 && (tanh_of(-x) + 1.0).abs() < 2e-7);
        }
        assert!(tanh_of(f32::NAN).is_nan());
        assert_eq!(tanh_of(0.0), 0.0);
        assert_eq!(tanh_of(1e-30), 1e-30);
    }
}
