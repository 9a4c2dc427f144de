//! Convolutions as burn operations with their own backward pass.

use burn::backend::Flex;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::{Bytes, Tensor};

use super::convolve;
use super::geometry::Geometry;
use super::gradients::{Wanted, gradients as kernel_gradients};
use super::primitive::{Differentiable, Inputs, Plain, Tracked, contiguous, plain, values, vector};

/// A convolution, apart from its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    geometry: Geometry,
    transposed: bool,
}

impl Convolution {
    /// A convolution of these shapes; none if the kernels do not do it.
    pub fn new(
        input: &Tensor<4>,
        weight: &Tensor<4>,
        bias: &Tensor<1>,
        [stride, padding]: [usize; 2],
        transposed: bool,
    ) -> Option<Self> {
        let geometry = if transposed {
            Geometry::transposed
        } else {
            Geometry::convolution
        };
        let [bias] = bias.dims();
        let geometry = geometry(input.dims(), weight.dims(), bias, stride, padding)?;
        Some(Self {
            geometry,
            transposed,
        })
    }

    /// The result, on the device of the inputs; none if that is not the CPU's, or the values are not `f32`.
    pub fn apply(
        self,
        input: &Tensor<4>,
        weight: &Tensor<4>,
        bias: &Tensor<1>,
    ) -> Option<Tensor<4>> {
        Some(match Inputs::new(input, weight, bias)? {
            Inputs::Plain([input, weight, bias]) => {
                Tensor::from_primitive::<Flex>(self.forward(&input, &weight, &bias))
            }
            Inputs::Tracked(inputs) => {
                Tensor::from_primitive::<Differentiable>(self.tracked(inputs))
            }
        })
    }

    fn forward(&self, input: &Plain, weight: &Plain, bias: &Plain) -> Plain {
        let (input, weight, bias) = (contiguous(input), contiguous(weight), contiguous(bias));
        let run = if self.transposed {
            convolve::up
        } else {
            convolve::down
        };
        let result = run(
            &self.geometry,
            values(&input),
            values(&weight),
            values(&bias),
        );
        plain(
            result,
            &if self.transposed {
                self.big_shape()
            } else {
                self.small_shape()
            },
        )
    }

    fn tracked(self, [input, weight, bias]: [Tracked; 3]) -> Tracked {
        let output = self.forward(input.primitive(), weight.primitive(), bias.primitive());
        let nodes = [input.node(), weight.node(), bias.node()];
        match ConvolutionBackward
            .prepare::<NoCheckpointing>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut operation) => {
                let state = (
                    self,
                    operation.checkpoint(&input),
                    operation.checkpoint(&weight),
                );
                operation.finish(state, output)
            }
            OpsKind::UnTracked(operation) => operation.finish(output),
        }
    }

    fn big_shape(&self) -> [usize; 4] {
        let Geometry {
            batch, big, size, ..
        } = self.geometry;
        [batch, big, size[0], size[1]]
    }

    fn small_shape(&self) -> [usize; 4] {
        let Geometry {
            batch, small, out, ..
        } = self.geometry;
        [batch, small, out[0], out[1]]
    }
}

#[derive(Debug)]
struct ConvolutionBackward;

impl Backward<Flex, 3> for ConvolutionBackward {
    /// The operation, and where its input and weight are kept.
    type State = (Convolution, NodeId, NodeId);

    fn backward(
        self,
        operation: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [input_node, weight_node, bias_node] = operation.parents;
        let (convolution, input, weight) = operation.state;
        let output = contiguous(&gradients.consume::<Flex>(&operation.node));
        let input = contiguous(&checkpointer.retrieve_node_output::<Plain>(input));
        let weight = contiguous(&checkpointer.retrieve_node_output::<Plain>(weight));
        let Geometry {
            big, small, kernel, ..
        } = convolution.geometry;
        let wanted = Wanted {
            input: input_node.is_some(),
            weight: weight_node.is_some(),
            bias: bias_node.is_some(),
        };
        let transposed = convolution.transposed;
        let (on_big, on_small) = if transposed {
            (&output, &input)
        } else {
            (&input, &output)
        };
        let found = kernel_gradients(
            &convolution.geometry,
            values(on_big),
            values(on_small),
            values(&weight),
            transposed,
            wanted,
        );
        if let (Some(node), Some(gradient)) = (input_node, found.input) {
            let shape = if transposed {
                convolution.small_shape()
            } else {
                convolution.big_shape()
            };
            gradients.register::<Flex>(node.id, plain(gradient, &shape));
        }
        if let (Some(node), Some(gradient)) = (weight_node, found.weight) {
            gradients.register::<Flex>(
                node.id,
                plain(Bytes::from_elems(gradient), &[small, big, kernel, kernel]),
            );
        }
        if let (Some(node), Some(gradient)) = (bias_node, found.bias) {
            gradients.register::<Flex>(node.id, vector(gradient));
        }
    }
}
