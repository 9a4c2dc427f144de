//! Linear maps between activations, their parts by sign, and their adjoints.

use burn::tensor::Tensor;
use burn::tensor::module::{avg_pool2d, conv_transpose2d, conv2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, ConvTransposeOptions};
use protovae_backbones::kernels;

/// `[C, H, W]` of one sample; a flat activation is `[F, 1, 1]`.
pub(super) type MapShape = [usize; 3];

/// A linear map of flattened activations `[N, in]` to `[N, out]`, without bias.
#[derive(Debug, Clone)]
pub(super) enum LinearMap {
    /// Weight `[out, in, height, width]`.
    Convolution {
        weight: Tensor<4>,
        stride: [usize; 2],
        padding: [usize; 2],
        input: MapShape,
    },
    /// Weight `[in, out]`.
    FullyConnected(Tensor<2>),
    /// Means over windows without padding.
    AveragePool {
        kernel: [usize; 2],
        stride: [usize; 2],
        input: MapShape,
    },
    /// A factor a value, `[1, F]`.
    Scale(Tensor<2>),
}

/// A map with some of the weights of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Positive,
    Negative,
    Squared,
    /// 1 for each connection.
    Ones,
}

impl LinearMap {
    /// Whether some weight can be negative.
    pub(super) fn is_positive(&self) -> bool {
        matches!(self, Self::AveragePool { .. })
    }

    pub(super) fn part(&self, part: Part) -> Self {
        fn of<const D: usize>(weight: &Tensor<D>, part: Part) -> Tensor<D> {
            let weight = weight.clone();
            match part {
                Part::Positive => weight.clamp_min(0.0),
                Part::Negative => weight.clamp_max(0.0),
                Part::Squared => weight.clone() * weight,
                Part::Ones => weight.ones_like(),
            }
        }
        match self {
            Self::Convolution {
                weight,
                stride,
                padding,
                input,
            } => Self::Convolution {
                weight: of(weight, part),
                stride: *stride,
                padding: *padding,
                input: *input,
            },
            Self::FullyConnected(weight) => Self::FullyConnected(of(weight, part)),
            // All weights are one positive number, and rules that square weights or count them divide by their sum.
            Self::AveragePool { .. } => self.clone(),
            Self::Scale(scale) => Self::Scale(of(scale, part)),
        }
    }

    /// The shape of the outputs for inputs of `input`; none if they do not fit.
    pub(super) fn output(&self, input: MapShape) -> Option<MapShape> {
        let [channels, height, width] = input;
        let windows = |kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]| {
            let along = |size: usize, axis: usize| {
                (size + 2 * padding[axis])
                    .checked_sub(kernel[axis])
                    .map(|rest| rest / stride[axis].max(1) + 1)
            };
            Some([along(height, 0)?, along(width, 1)?])
        };
        match self {
            Self::Convolution {
                weight,
                stride,
                padding,
                ..
            } => {
                let [outputs, inputs, rows, columns] = weight.dims();
                let [height, width] = windows([rows, columns], *stride, *padding)?;
                (inputs == channels).then_some([outputs, height, width])
            }
            Self::FullyConnected(weight) => {
                let [inputs, outputs] = weight.dims();
                (inputs == channels * height * width).then_some([outputs, 1, 1])
            }
            Self::AveragePool { kernel, stride, .. } => {
                let [height, width] = windows(*kernel, *stride, [0, 0])?;
                Some([channels, height, width])
            }
            Self::Scale(scale) => (scale.dims()[1] == channels * height * width).then_some(input),
        }
    }

    /// `[N, in]` to `[N, out]`.
    pub(super) fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let [samples, _] = input.dims();
        match self {
            Self::Convolution {
                weight,
                stride,
                padding,
                input: [channels, height, width],
            } => {
                let maps = input.reshape([samples, *channels, *height, *width]);
                let square = stride[0] == stride[1] && padding[0] == padding[1];
                let [outputs, _, rows, columns] = weight.dims();
                let output = if square && rows == columns {
                    let bias = Tensor::zeros([outputs], &weight.device());
                    kernels::conv2d(maps, weight.clone(), bias, stride[0], padding[0])
                } else {
                    let options = ConvOptions::new(*stride, *padding, [1, 1], 1);
                    conv2d(maps, weight.clone(), None, options)
                };
                output.flatten(1, 3)
            }
            Self::FullyConnected(weight) => {
                let outputs = weight.dims()[1];
                let bias = Tensor::zeros([outputs], &weight.device());
                kernels::linear(input, weight.clone(), bias)
            }
            Self::AveragePool {
                kernel,
                stride,
                input: [channels, height, width],
            } => {
                let maps = input.reshape([samples, *channels, *height, *width]);
                let options = AvgPoolOptions::new(*kernel).with_stride(*stride);
                avg_pool2d(maps, options).flatten(1, 3)
            }
            Self::Scale(scale) => input * scale.clone(),
        }
    }

    /// The transposed map: `[B, out]` to `[B, in]`.
    pub(super) fn adjoint(&self, output: Tensor<2>) -> Tensor<2> {
        let [samples, _] = output.dims();
        match self {
            Self::Convolution {
                weight,
                stride,
                padding,
                input: [_, height, width],
            } => convolution_adjoint(
                output,
                weight.clone(),
                (*stride, *padding),
                [*height, *width],
            ),
            Self::FullyConnected(weight) => kernels::linear_transposed(output, weight.clone()),
            Self::AveragePool {
                kernel,
                stride,
                input,
            } => {
                let [channels, height, width] = *input;
                let area = (kernel[0] * kernel[1]) as f64;
                let [rows, columns] = [height / kernel[0], width / kernel[1]];
                if kernel == stride && [rows * kernel[0], columns * kernel[1]] == [height, width] {
                    return repeated(output / area, [channels, rows, columns], *kernel);
                }
                // Each channel by itself, as a convolution of one channel.
                let window =
                    Tensor::full([1, 1, kernel[0], kernel[1]], 1.0 / area, &output.device());
                let each = output.reshape([(samples * channels) as i64, -1]);
                convolution_adjoint(each, window, (*stride, [0, 0]), [height, width])
                    .reshape([samples, channels * height * width])
            }
            Self::Scale(scale) => output * scale.clone(),
        }
    }

    /// One map whose adjoint gives the adjoints of all of `maps`, which are parts of one map, beside each other; none if
    /// they cannot be joined.
    pub(super) fn joined(maps: &[Self]) -> Option<Self> {
        match maps.first()? {
            Self::Convolution {
                stride,
                padding,
                input: [channels, height, width],
                ..
            } => {
                let weights = maps.iter().map(|map| match map {
                    Self::Convolution { weight, .. } => Some(weight.clone()),
                    _ => None,
                });
                Some(Self::Convolution {
                    weight: Tensor::cat(weights.collect::<Option<Vec<_>>>()?, 1),
                    stride: *stride,
                    padding: *padding,
                    input: [channels * maps.len(), *height, *width],
                })
            }
            Self::FullyConnected(_) => {
                let weights = maps.iter().map(|map| match map {
                    Self::FullyConnected(weight) => Some(weight.clone()),
                    _ => None,
                });
                let weights = weights.collect::<Option<Vec<_>>>()?;
                Some(Self::FullyConnected(Tensor::cat(weights, 0)))
            }
            _ => None,
        }
    }
}

/// Maps `[B, C·H·W]` with each value repeated over a window.
pub(super) fn repeated(
    maps: Tensor<2>,
    [channels, height, width]: MapShape,
    [tall, wide]: [usize; 2],
) -> Tensor<2> {
    let [samples, _] = maps.dims();
    maps.reshape([samples * channels * height, 1, width, 1])
        .expand([samples * channels * height, tall, width, wide])
        .reshape([samples, channels * height * tall * width * wide])
}

/// The adjoint of a convolution with weight `[O, I, h, w]`: `[B, O·H'·W']` to `[B, I·H·W]`.
fn convolution_adjoint(
    output: Tensor<2>,
    weight: Tensor<4>,
    (stride, padding): ([usize; 2], [usize; 2]),
    size: [usize; 2],
) -> Tensor<2> {
    let [samples, _] = output.dims();
    let [outputs, inputs, rows, columns] = weight.dims();
    let kernel = [rows, columns];
    let seen = |axis: usize| (size[axis] + 2 * padding[axis] - kernel[axis]) / stride[axis] + 1;
    let windows = [seen(0), seen(1)];
    // Rows and columns that the windows do not reach.
    let rest = |axis: usize| {
        size[axis] + 2 * padding[axis] - kernel[axis] - (windows[axis] - 1) * stride[axis]
    };
    let maps = output.reshape([samples, outputs, windows[0], windows[1]]);
    let plain = rest(0) == 0 && rest(1) == 0;
    let square = rows == columns && stride[0] == stride[1] && padding[0] == padding[1];
    let spread = if plain && square {
        let bias = Tensor::zeros([inputs], &weight.device());
        kernels::conv_transpose2d(maps, weight, bias, stride[0], padding[0])
    } else {
        let options = ConvTransposeOptions::new(stride, padding, [rest(0), rest(1)], [1, 1], 1);
        conv_transpose2d(maps, weight, None, options)
    };
    spread.flatten(1, 3)
}
