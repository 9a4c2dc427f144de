//! Batch normalisation with a ReLU before, after or not at all (+ pooling) as a burn operation with its own backward pass.

use burn::backend::Flex;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::Tensor;

use super::layout::Layout;
use super::maps::{Maps, NormalisedMaps};
use super::normalise::{self, Rectifier, Shape};
use super::primitive::{Differentiable, Inputs, Plain, Tracked, contiguous, plain, values, vector};
use super::sums;

/// An affine map a channel and perhaps a ReLU, by given factors or by the statistics of the batch.
#[derive(Clone, Copy, Debug)]
pub struct Normalisation {
    shape: Shape,
}

/// Statistics of a batch, for the backward pass.
#[derive(Clone, Debug)]
struct Statistics {
    mean: Vec<f32>,
    /// One over the standard deviation.
    inverse: Vec<f32>,
}

impl Normalisation {
    /// Over maps in that layout; none if the kernels do not do it.
    pub fn new(
        input: Layout,
        scale: &Tensor<1>,
        shift: &Tensor<1>,
        pool: bool,
        rectifier: Rectifier,
    ) -> Option<Self> {
        let shape = Shape::new(input, pool, rectifier)?;
        let fits = scale.dims() == [input.channels] && shift.dims() == [input.channels];
        fits.then_some(Self { shape })
    }

    /// By the statistics of the batch; none if the device is not the CPU, or the values are not `f32`.
    pub fn batch(
        self,
        input: &Tensor<4>,
        gamma: &Tensor<1>,
        beta: &Tensor<1>,
        epsilon: f64,
    ) -> Option<NormalisedMaps> {
        let inputs = Inputs::new(input, gamma, beta)?;
        let images = match &inputs {
            Inputs::Plain([input, ..]) => contiguous(input),
            Inputs::Tracked([input, ..]) => contiguous(input.primitive()),
        };
        let (mean, variance) = sums::statistics(&self.shape, values(&images));
        let inverse = variance
            .iter()
            .map(|&variance| (1.0 / (f64::from(variance) + epsilon).sqrt()) as f32)
            .collect();
        let tensor = |values: &[f32]| Tensor::from_primitive::<Flex>(vector(values.to_vec()));
        let (mean_tensor, variance_tensor) = (tensor(&mean), tensor(&variance));
        let statistics = Some(Statistics { mean, inverse });
        Some(NormalisedMaps {
            maps: self.run(inputs, statistics),
            mean: mean_tensor,
            variance: variance_tensor,
        })
    }

    /// By given factors; none if the device is not the CPU, or the values are not `f32`.
    pub fn affine(self, input: &Tensor<4>, scale: &Tensor<1>, shift: &Tensor<1>) -> Option<Maps> {
        Some(self.run(Inputs::new(input, scale, shift)?, None))
    }

    fn run(self, inputs: Inputs, statistics: Option<Statistics>) -> Maps {
        let output =
            match inputs {
                Inputs::Plain([input, scale, shift]) => Tensor::from_primitive::<Flex>(
                    self.forward(&input, &scale, &shift, statistics.as_ref()),
                ),
                Inputs::Tracked(inputs) => {
                    Tensor::from_primitive::<Differentiable>(self.tracked(inputs, statistics))
                }
            };
        Maps::blocked(output, self.shape.output)
    }

    fn forward(
        &self,
        input: &Plain,
        scale: &Plain,
        shift: &Plain,
        statistics: Option<&Statistics>,
    ) -> Plain {
        let (input, scale, shift) = (contiguous(input), contiguous(scale), contiguous(shift));
        let factors = factors(values(&scale), values(&shift), statistics);
        plain(
            normalise::affine(&self.shape, values(&input), &factors),
            &self.shape.output.shape(),
        )
    }

    fn tracked(
        self,
        [input, scale, shift]: [Tracked; 3],
        statistics: Option<Statistics>,
    ) -> Tracked {
        let output = self.forward(
            input.primitive(),
            scale.primitive(),
            shift.primitive(),
            statistics.as_ref(),
        );
        let nodes = [input.node(), scale.node(), shift.node()];
        match NormalisationBackward
            .prepare::<NoCheckpointing>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(mut operation) => {
                let nodes = [
                    operation.checkpoint(&input),
                    operation.checkpoint(&scale),
                    operation.checkpoint(&shift),
                ];
                operation.finish((self, nodes, statistics), output)
            }
            OpsKind::UnTracked(operation) => operation.finish(output),
        }
    }
}

/// Scale and shift of each channel, of values as they are: `gamma` and `beta` are those of normalised ones if there are
/// statistics.
fn factors(gamma: &[f32], beta: &[f32], statistics: Option<&Statistics>) -> Vec<[f32; 2]> {
    let pairs = gamma.iter().zip(beta);
    let mut factors: Vec<[f32; 2]> = pairs.map(|(&scale, &shift)| [scale, shift]).collect();
    if let Some(Statistics { mean, inverse }) = statistics {
        for (([scale, shift], mean), inverse) in factors.iter_mut().zip(mean).zip(inverse) {
            *scale *= inverse;
            *shift -= mean * *scale;
        }
    }
    factors
}

#[derive(Debug)]
struct NormalisationBackward;

impl Backward<Flex, 3> for NormalisationBackward {
    /// The operation, where its input, scale and shift are kept, and the statistics if the scale is relative to them.
    type State = (Normalisation, [NodeId; 3], Option<Statistics>);

    fn backward(
        self,
        operation: Ops<Self::State, 3>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let [input_node, scale_node, shift_node] = operation.parents;
        let (Normalisation { shape }, [input, scale, shift], statistics) = operation.state;
        let output = contiguous(&gradients.consume::<Flex>(&operation.node));
        let input = contiguous(&checkpointer.retrieve_node_output::<Plain>(input));
        let scale = contiguous(&checkpointer.retrieve_node_output::<Plain>(scale));
        let shift = contiguous(&checkpointer.retrieve_node_output::<Plain>(shift));
        let affine = factors(values(&scale), values(&shift), statistics.as_ref());
        let (images, output, scale) = (values(&input), values(&output), values(&scale));
        let count = (shape.input.batch * shape.input.pixels()) as f32;

        let zeros = vec![0.0; shape.input.channels];
        let means = statistics
            .as_ref()
            .map_or(&zeros, |statistics| &statistics.mean);
        // Sums, a channel, of the output's gradient and of its product with the centred activation.
        let found = sums::gradient_sums(&shape, images, output, means, &affine);
        let shift_gradient: Vec<f32> = found.iter().map(|sums| sums[0]).collect();
        let mut scale_gradient: Vec<f32> = found.iter().map(|sums| sums[1]).collect();
        if let Some(Statistics { inverse, .. }) = &statistics {
            for (gradient, inverse) in scale_gradient.iter_mut().zip(inverse) {
                *gradient *= inverse;
            }
        }
        if let Some(node) = input_node {
            // The gradient of the activation is `a·output + b·activation + c`, a channel.
            let factors: Vec<[f32; 3]> = match &statistics {
                None => scale.iter().map(|&scale| [scale, 0.0, 0.0]).collect(),
                Some(Statistics { mean, inverse }) => (0..shape.input.channels)
                    .map(|channel| {
                        let factor = scale[channel] * inverse[channel];
                        let slope = scale_gradient[channel] * inverse[channel] / count;
                        let constant = slope * mean[channel] - shift_gradient[channel] / count;
                        [factor, -factor * slope, factor * constant]
                    })
                    .collect(),
            };
            let gradient = normalise::input_gradient(&shape, images, output, &factors, &affine);
            gradients.register::<Flex>(node.id, plain(gradient, &shape.input.shape()));
        }
        if let Some(node) = scale_node {
            gradients.register::<Flex>(node.id, vector(scale_gradient));
        }
        if let Some(node) = shift_node {
            gradients.register::<Flex>(node.id, vector(shift_gradient));
        }
    }
}
