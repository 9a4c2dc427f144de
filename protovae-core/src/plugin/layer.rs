//! What relevance propagation needs to know of a layer.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module::{avg_pool2d, conv2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions};

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
    /// The affine map a batch normalisation is in evaluation: `x·scale + shift` a channel.
    ChannelAffine {
        /// `gamma / sqrt(variance + eps)`, `[C]`.
        scale: Tensor<1>,
        /// `beta − mean·scale`, `[C]`.
        shift: Tensor<1>,
    },
    /// Mean over windows without padding.
    AvgPool2d {
        /// Vertical and horizontal.
        kernel: [usize; 2],
        /// Vertical and horizontal.
        stride: [usize; 2],
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

/// The value between two layers: an image-like or a flat activation.
#[derive(Debug, Clone)]
pub(crate) enum Activation {
    Maps(Tensor<4>),
    Flat(Tensor<2>),
}

impl LayerView {
    /// Applies the layer; `None` if it does not take this kind of activation.
    fn apply(&self, input: Activation) -> Option<Activation> {
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
            (Self::AvgPool2d { kernel, stride }, Activation::Maps(x)) => Some(Activation::Maps(
                avg_pool2d(x, AvgPoolOptions::new(*kernel).with_stride(*stride)),
            )),
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

    /// Runs `layers` on `images`; `None` if they do not fit together or do not end flat.
    pub fn replay(layers: &[LayerView], images: Tensor<4>) -> Option<Tensor<2>> {
        let mut activation = Activation::Maps(images);
        for layer in layers {
            activation = layer.apply(activation)?;
        }
        match activation {
            Activation::Flat(x) => Some(x),
            Activation::Maps(_) => None,
        }
    }
}
