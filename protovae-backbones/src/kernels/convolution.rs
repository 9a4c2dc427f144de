//! Convolutions as burn operations with their own backward pass.

use burn::backend::Flex;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;

use super::convolve::{self, Affine};
use super::geometry::Geometry;
use super::gradients::{channel_sums, weight_gradient};
use super::layout::Layout;
use super::maps::Maps;
use super::normalise::Rectifier;
use super::operations;
use super::primitive::{Differentiable, Inputs, Plain, Tracked, contiguous, plain, values, vector};

/// A convolution, apart from its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    geometry: Geometry,
    transposed: bool,
    /// Of the small and of the big side.
    layouts: [Layout; 2],
}

impl Convolution {
    /// A convolution of maps in that layout; none if the shapes do not fit together or the kernels do not do it.
    pub fn new(
        input: Layout,
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
        let geometry = geometry(input.images(), weight.dims(), bias, stride, padding)?;
        let layouts = [
            input.with(geometry.small, geometry.out),
            input.with(geometry.big, geometry.size),
        ];
        Some(Self {
            geometry,
            transposed,
            layouts,
        })
    }

    /// The result, on the device of the inputs; none if that is not the CPU's, or the values are not `f32`.
    pub fn apply(self, input: &Tensor<4>, weight: &Tensor<4>, bias: &Tensor<1>) -> Option<Maps> {
        let output = match Inputs::new(input, weight, bias)? {
            Inputs::Plain([input, weight, bias]) => {
                Tensor::from_primitive::<Flex>(self.forward(&input, &weight, &bias, None))
            }
            Inputs::Tracked(inputs) => {
                Tensor::from_primitive::<Differentiable>(self.tracked(inputs))
            }
        };
        Some(Maps::blocked(output, *self.output()))
    }

    /// [`apply`](Self::apply), then scale and shift a channel and perhaps a ReLU; none if there is autodiff, or for its
    /// reasons.
    pub fn apply_affine(
        self,
        input: &Tensor<4>,
        (weight, bias): (&Tensor<4>, &Tensor<1>),
        [scale, shift]: [&Tensor<1>; 2],
        rectifier: Rectifier,
    ) -> Option<Maps> {
        let channels = [self.output().channels];
        if scale.dims() != channels || shift.dims() != channels {
            return None;
        }
        let (Inputs::Plain([input, weight, bias]), Inputs::Plain([_, scale, shift])) = (
            Inputs::new(input, weight, bias)?,
            Inputs::new(input, scale, shift)?,
        ) else {
            return None;
        };
        let output = self.forward(&input, &weight, &bias, Some((rectifier, [&scale, &shift])));
        let output = Tensor::from_primitive::<Flex>(output);
        Some(Maps::blocked(output, *self.output()))
    }

    fn count(&self) {
        operations::count(self.geometry.batch * self.geometry.products());
    }

    fn input(&self) -> &Layout {
        let [small, big] = &self.layouts;
        if self.transposed { small } else { big }
    }

    fn output(&self) -> &Layout {
        let [small, big] = &self.layouts;
        if self.transposed { big } else { small }
    }

    fn forward(
        &self,
        input: &Plain,
        weight: &Plain,
        bias: &Plain,
        finish: Option<(Rectifier, [&Plain; 2])>,
    ) -> Plain {
        let finish = finish.map(|(rectifier, factors)| (rectifier, factors.map(contiguous)));
        let (input, weight, bias) = (contiguous(input), contiguous(weight), contiguous(bias));
        self.count();
        let run = if self.transposed {
            convolve::up
        } else {
            convolve::down
        };
        let result = run(
            &self.geometry,
            [self.input(), self.output()],
            values(&input),
            values(&weight),
            values(&bias),
            finish.as_ref().map(|(rectifier, factors)| Affine {
                rectifier: *rectifier,
                factors: factors.each_ref().map(values),
            }),
        );
        plain(result, &self.output().shape())
    }

    fn tracked(self, [input, weight, bias]: [Tracked; 3]) -> Tracked {
        let output = self.forward(
            input.primitive(),
            weight.primitive(),
            bias.primitive(),
            None,
        );
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
        let Convolution {
            geometry,
            transposed,
            layouts: [small, big],
        } = convolution;
        if let Some(node) = input_node {
            convolution.count();
            let back = if transposed {
                convolve::down
            } else {
                convolve::up
            };
            let zeros = vec![0.0; convolution.input().channels];
            let gradient = back(
                &geometry,
                [convolution.output(), convolution.input()],
                values(&output),
                values(&weight),
                &zeros,
                None,
            );
            gradients.register::<Flex>(node.id, plain(gradient, &convolution.input().shape()));
        }
        if let Some(node) = weight_node {
            convolution.count();
            let (on_small, on_big) = if transposed {
                (&input, &output)
            } else {
                (&output, &input)
            };
            let (on_small, on_big) = (values(on_small), values(on_big));
            let gradient = weight_gradient(&geometry, [&small, &big], on_small, on_big);
            let Geometry { kernel, .. } = geometry;
            let shape = [geometry.small, geometry.big, kernel, kernel];
            gradients.register::<Flex>(node.id, plain(gradient, &shape));
        }
        if let Some(node) = bias_node {
            let gradient = channel_sums(convolution.output(), values(&output));
            gradients.register::<Flex>(node.id, vector(gradient));
        }
    }
}
