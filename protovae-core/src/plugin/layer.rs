//! What relevance propagation needs to know of a layer.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module::{avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};

/// One layer of an encoder as it computes in evaluation. Tensors are without autodiff.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LayerView {
    /// A convolution with weight `[out, in, height, width]`, no dilation, no groups.
    Conv2d {
        /// `[out, in, height, width]`.
        weight: Tensor<4>,
        /// `[out]`.
        bias: Option<Tensor<1>>,
        /// Vertical and horizontal.
        stride: [usize; 2],
        /// Zeros added above and below, left and right.
        padding: [usize; 2],
    },
    /// `max(x, 0)`.
    Relu,
    /// The affine map a batch normalisation is in evaluation: `x·scale + shift` a channel of maps, or a value of what is flat.
    ChannelAffine {
        /// `gamma / sqrt(variance + eps)`, `[C]` or `[F]`.
        scale: Tensor<1>,
        /// `beta − mean·scale`, `[C]` or `[F]`.
        shift: Tensor<1>,
    },
    /// Mean over windows without padding.
    AvgPool2d {
        /// Vertical and horizontal.
        kernel: [usize; 2],
        /// Vertical and horizontal.
        stride: [usize; 2],
    },
    /// Mean over the whole of each map: `[N, C, H, W]` to `[N, C, 1, 1]`.
    GlobalAvgPool,
    /// Largest value of windows; padding never wins.
    MaxPool2d {
        /// Vertical and horizontal.
        kernel: [usize; 2],
        /// Vertical and horizontal.
        stride: [usize; 2],
        /// Above and below, left and right.
        padding: [usize; 2],
    },
    /// The sum of two branches that start at the same activation.
    Residual {
        /// The branch with the weights.
        body: Vec<LayerView>,
        /// The other; empty for the identity.
        shortcut: Vec<LayerView>,
    },
    /// `[N, C, H, W]` to `[N, C·H·W]`.
    Flatten,
    /// A fully connected layer with weight `[in, out]`.
    Linear {
        /// `[in, out]`.
        weight: Tensor<2>,
        /// `[out]`.
        bias: Option<Tensor<1>>,
    },
}

/// The value between two layers.
#[derive(Debug, Clone)]
pub enum Activation {
    /// `[N, C, H, W]`.
    Maps(Tensor<4>),
    /// `[N, F]`.
    Flat(Tensor<2>),
}

impl LayerView {
    /// Applies the layer; `None` if it does not take this kind of activation, or not so many channels or features, or maps so small.
    pub fn apply(&self, input: Activation) -> Option<Activation> {
        if !self.takes(&input) {
            return None;
        }
        match (self, input) {
            (
                Self::Conv2d {
                    weight,
                    bias,
                    stride,
                    padding,
                },
                Activation::Maps(x),
            ) => Some(Activation::Maps(conv2d(
                x,
                weight.clone(),
                bias.clone(),
                ConvOptions::new(*stride, *padding, [1, 1], 1),
            ))),
            (Self::Relu, Activation::Maps(x)) => Some(Activation::Maps(relu(x))),
            (Self::Relu, Activation::Flat(x)) => Some(Activation::Flat(relu(x))),
            (Self::ChannelAffine { scale, shift }, Activation::Maps(x)) => {
                let channels = scale.dims()[0];
                let shape = [1, channels, 1, 1];
                Some(Activation::Maps(
                    x * scale.clone().reshape(shape) + shift.clone().reshape(shape),
                ))
            }
            (Self::ChannelAffine { scale, shift }, Activation::Flat(x)) => Some(Activation::Flat(
                x * scale.clone().unsqueeze() + shift.clone().unsqueeze(),
            )),
            (Self::AvgPool2d { kernel, stride }, Activation::Maps(x)) => Some(Activation::Maps(
                avg_pool2d(x, AvgPoolOptions::new(*kernel).with_stride(*stride)),
            )),
            (Self::GlobalAvgPool, Activation::Maps(x)) => {
                Some(Activation::Maps(x.mean_dim(2).mean_dim(3)))
            }
            (
                Self::MaxPool2d {
                    kernel,
                    stride,
                    padding,
                },
                Activation::Maps(x),
            ) => Some(Activation::Maps(max_pool2d(
                x,
                MaxPoolOptions::new(*kernel)
                    .with_stride(*stride)
                    .with_padding(*padding),
            ))),
            (Self::Residual { body, shortcut }, input) => {
                let first = Self::run(body, input.clone())?;
                match (first, Self::run(shortcut, input)?) {
                    (Activation::Maps(a), Activation::Maps(b)) if a.dims() == b.dims() => {
                        Some(Activation::Maps(a + b))
                    }
                    (Activation::Flat(a), Activation::Flat(b)) if a.dims() == b.dims() => {
                        Some(Activation::Flat(a + b))
                    }
                    _ => None,
                }
            }
            (Self::Flatten, Activation::Maps(x)) => Some(Activation::Flat(x.flatten(1, 3))),
            (Self::Linear { weight, bias }, Activation::Flat(x)) => {
                let y = x.matmul(weight.clone());
                Some(Activation::Flat(match bias {
                    Some(bias) => y + bias.clone().unsqueeze(),
                    None => y,
                }))
            }
            _ => None,
        }
    }

    /// Whether the parts of the layer fit each other and the activation.
    fn takes(&self, input: &Activation) -> bool {
        let windows = |[height, width]: [usize; 2],
                       kernel: [usize; 2],
                       stride: [usize; 2],
                       padding: [usize; 2]| {
            [height, width].into_iter().enumerate().all(|(axis, side)| {
                let padded = side.saturating_add(padding[axis].saturating_mul(2));
                kernel[axis] > 0 && stride[axis] > 0 && kernel[axis] <= padded
            })
        };
        match (self, input) {
            (
                Self::Conv2d {
                    weight,
                    bias,
                    stride,
                    padding,
                },
                Activation::Maps(x),
            ) => {
                let ([out, inputs, rows, columns], [_, channels, height, width]) =
                    (weight.dims(), x.dims());
                inputs == channels
                    && bias.as_ref().is_none_or(|bias| bias.dims() == [out])
                    && windows([height, width], [rows, columns], *stride, *padding)
            }
            (Self::ChannelAffine { scale, shift }, Activation::Maps(x)) => {
                let [_, channels, ..] = x.dims();
                scale.dims() == [channels] && shift.dims() == [channels]
            }
            (Self::ChannelAffine { scale, shift }, Activation::Flat(x)) => {
                let [_, features] = x.dims();
                scale.dims() == [features] && shift.dims() == [features]
            }
            (Self::AvgPool2d { kernel, stride }, Activation::Maps(x)) => {
                let [_, _, height, width] = x.dims();
                windows([height, width], *kernel, *stride, [0, 0])
            }
            (
                Self::MaxPool2d {
                    kernel,
                    stride,
                    padding,
                },
                Activation::Maps(x),
            ) => {
                let [_, _, height, width] = x.dims();
                windows([height, width], *kernel, *stride, *padding)
            }
            (Self::Linear { weight, bias }, Activation::Flat(x)) => {
                let ([inputs, out], [_, features]) = (weight.dims(), x.dims());
                inputs == features && bias.as_ref().is_none_or(|bias| bias.dims() == [out])
            }
            _ => true,
        }
    }

    /// Runs `layers` one after the other; `None` if they do not fit together.
    pub fn run(layers: &[LayerView], input: Activation) -> Option<Activation> {
        layers
            .iter()
            .try_fold(input, |activation, layer| layer.apply(activation))
    }

    /// Runs `layers` on images `[N, C, H, W]`, which gives `[N, F]`; `None` if they do not fit together or do not end flat.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use protovae_core::plugin::LayerView;
    /// let device = Device::flex();
    /// let layers = [
    ///     LayerView::AvgPool2d { kernel: [2, 2], stride: [2, 2] },
    ///     LayerView::Flatten,
    ///     LayerView::Linear { weight: Tensor::ones([4, 3], &device), bias: None },
    /// ];
    /// let images = Tensor::<4>::ones([5, 1, 4, 4], &device);
    /// assert_eq!(LayerView::replay(&layers, images.clone()).map(|y| y.dims()), Some([5, 3]));
    /// assert!(LayerView::replay(&layers[..1], images).is_none());
    /// ```
    pub fn replay(layers: &[LayerView], images: Tensor<4>) -> Option<Tensor<2>> {
        match Self::run(layers, Activation::Maps(images))? {
            Activation::Flat(x) => Some(x),
            Activation::Maps(_) => None,
        }
    }
}
