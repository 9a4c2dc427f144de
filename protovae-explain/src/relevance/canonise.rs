//! From an encoder's layers to the layers that rules are defined for.

use burn::tensor::Tensor;
use protovae_core::plugin::LayerView;

use super::composite::Normalization;
use super::linear_map::{LinearMap, MapShape};

/// A layer that a rule is defined for.
#[derive(Debug, Clone)]
pub(super) enum Layer {
    /// A linear map and its bias: `[1, out]`, a value for each pixel of each map.
    Linear {
        map: LinearMap,
        bias: Option<Tensor<2>>,
        kind: Kind,
    },
    Relu,
    MaxPool {
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
        input: MapShape,
    },
    Residual {
        body: Vec<Layer>,
        shortcut: Vec<Layer>,
    },
}

/// What a linear layer is, for the choice of its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Convolution,
    FullyConnected,
    Pooling,
    Affine,
}

/// Canonical layers and the shape of what they give.
#[derive(Debug, Clone)]
pub(super) struct Canonical {
    pub(super) layers: Vec<Layer>,
    pub(super) output: MapShape,
}

/// An affine map a channel on its way to a layer that can take it in: `[C]` each.
struct Pending {
    scale: Tensor<1>,
    shift: Tensor<1>,
}

/// Values a channel as values of flattened maps, `[1, C·H·W]`.
fn spread(channels: Tensor<1>, [count, height, width]: MapShape) -> Tensor<2> {
    channels
        .reshape([count, 1])
        .expand([count, height * width])
        .reshape([1, count * height * width])
}

/// The canonical form of `views`, which start at activations of `shape`; the reason if there is none.
pub(super) fn canonise(
    views: &[LayerView],
    mut shape: MapShape,
    normalization: Normalization,
) -> Result<Canonical, String> {
    let mut layers: Vec<Layer> = Vec::with_capacity(views.len());
    let mut pending: Option<Pending> = None;
    for (number, view) in views.iter().enumerate() {
        let misfit = || format!("layer {number} does not take maps of shape {shape:?}");
        let elements: usize = shape.iter().product();
        match view {
            LayerView::ChannelAffine { scale, shift } => {
                if scale.dims()[0] != shape[0] || shift.dims()[0] != shape[0] {
                    return Err(misfit());
                }
                let fold = normalization == Normalization::Fold;
                if fold && pending.is_none() && fold_back(layers.last_mut(), scale, shift, shape) {
                    continue;
                }
                let earlier = pending.take();
                let joined = match earlier {
                    Some(earlier) => Pending {
                        scale: earlier.scale * scale.clone(),
                        shift: earlier.shift * scale.clone() + shift.clone(),
                    },
                    None => Pending {
                        scale: scale.clone(),
                        shift: shift.clone(),
                    },
                };
                if fold && can_be_taken_in(&views[number + 1..]) {
                    pending = Some(joined);
                } else {
                    layers.push(affine(joined, shape));
                }
            }
            LayerView::Conv2d {
                weight,
                bias,
                stride,
                padding,
            } => {
                let map = LinearMap::Convolution {
                    weight: weight.clone(),
                    stride: *stride,
                    padding: *padding,
                    input: shape,
                };
                let output = map.output(shape).ok_or_else(misfit)?;
                let bias = bias.clone().map(|bias| spread(bias, output));
                let (map, bias) = match pending.take() {
                    Some(affine) => take_in(map, bias, affine, shape),
                    None => (map, bias),
                };
                layers.push(Layer::Linear {
                    map,
                    bias,
                    kind: Kind::Convolution,
                });
                shape = output;
            }
            LayerView::Linear { weight, bias } => {
                if weight.dims()[0] != elements {
                    return Err(misfit());
                }
                let outputs = weight.dims()[1];
                let map = LinearMap::FullyConnected(weight.clone());
                let bias = bias.clone().map(|bias| bias.reshape([1, outputs]));
                let (map, bias) = match pending.take() {
                    Some(affine) => take_in(map, bias, affine, shape),
                    None => (map, bias),
                };
                layers.push(Layer::Linear {
                    map,
                    bias,
                    kind: Kind::FullyConnected,
                });
                shape = [outputs, 1, 1];
            }
            LayerView::AvgPool2d { .. } | LayerView::GlobalAvgPool => {
                let (kernel, stride) = match view {
                    LayerView::AvgPool2d { kernel, stride } => (*kernel, *stride),
                    _ => ([shape[1], shape[2]], [shape[1], shape[2]]),
                };
                let map = LinearMap::AveragePool {
                    kernel,
                    stride,
                    input: shape,
                };
                let output = map.output(shape).ok_or_else(misfit)?;
                layers.push(Layer::Linear {
                    map,
                    bias: None,
                    kind: Kind::Pooling,
                });
                shape = output;
            }
            LayerView::MaxPool2d {
                kernel,
                stride,
                padding,
            } => {
                let windows = |axis: usize| {
                    (shape[axis + 1] + 2 * padding[axis])
                        .checked_sub(kernel[axis])
                        .map(|rest| rest / stride[axis].max(1) + 1)
                };
                let (Some(height), Some(width)) = (windows(0), windows(1)) else {
                    return Err(misfit());
                };
                layers.push(Layer::MaxPool {
                    kernel: *kernel,
                    stride: *stride,
                    padding: *padding,
                    input: shape,
                });
                shape = [shape[0], height, width];
            }
            LayerView::Residual { body, shortcut } => {
                let body = canonise(body, shape, normalization)?;
                let shortcut = canonise(shortcut, shape, normalization)?;
                if body.output != shortcut.output {
                    return Err(format!(
                        "the branches of layer {number} give {:?} and {:?}",
                        body.output, shortcut.output
                    ));
                }
                layers.push(Layer::Residual {
                    body: body.layers,
                    shortcut: shortcut.layers,
                });
                shape = body.output;
            }
            LayerView::Relu => layers.push(Layer::Relu),
            // Activations are kept flat. A pending affine map keeps to the channels of the maps before: see `take_in`.
            LayerView::Flatten => {
                // What follows has a value for each pixel, and cannot be joined with one for each channel.
                let follows = views.get(number + 1);
                if matches!(follows, Some(LayerView::ChannelAffine { .. }))
                    && let Some(affine) = pending.take()
                {
                    layers.push(self::affine(affine, shape));
                }
                if pending.is_none() {
                    shape = [elements, 1, 1];
                }
            }
            other => return Err(format!("layer {number} ({other:?}) has no rule")),
        }
    }
    if let Some(affine) = pending.take() {
        layers.push(self::affine(affine, shape));
    }
    Ok(Canonical {
        layers,
        output: shape,
    })
}

fn affine(Pending { scale, shift }: Pending, shape: MapShape) -> Layer {
    Layer::Linear {
        map: LinearMap::Scale(spread(scale, shape)),
        bias: Some(spread(shift, shape)),
        kind: Kind::Affine,
    }
}

/// Whether a convolution or fully connected layer follows with nothing but average pooling in between.
fn can_be_taken_in(following: &[LayerView]) -> bool {
    let next = following.iter().find(|view| {
        !matches!(
            view,
            LayerView::AvgPool2d { .. }
                | LayerView::GlobalAvgPool
                | LayerView::Flatten
                | LayerView::ChannelAffine { .. }
        )
    });
    matches!(
        next,
        Some(LayerView::Conv2d { .. } | LayerView::Linear { .. })
    )
}

/// Makes an affine map part of the layer right before it, if that is a convolution or fully connected.
fn fold_back(
    last: Option<&mut Layer>,
    scale: &Tensor<1>,
    shift: &Tensor<1>,
    shape: MapShape,
) -> bool {
    let Some(Layer::Linear { map, bias, .. }) = last else {
        return false;
    };
    match map {
        LinearMap::Convolution { weight, .. } => {
            let outputs = weight.dims()[0];
            // After flattening there is a value for each pixel, which no kernel has.
            if shape[0] != outputs {
                return false;
            }
            *weight = weight.clone() * scale.clone().reshape([outputs, 1, 1, 1]);
        }
        LinearMap::FullyConnected(weight) => {
            let outputs = weight.dims()[1];
            *weight = weight.clone() * scale.clone().reshape([1, outputs]);
        }
        _ => return false,
    }
    let shift = spread(shift.clone(), shape);
    *bias = Some(match bias.take() {
        Some(bias) => bias * spread(scale.clone(), shape) + shift,
        None => shift,
    });
    true
}

/// The layer `map(x·scale + shift) + bias` as a linear map of `x` and a bias. Where the map pads with zeros, what the shift
/// adds differs from pixel to pixel.
fn take_in(
    map: LinearMap,
    bias: Option<Tensor<2>>,
    Pending { scale, shift }: Pending,
    shape: MapShape,
) -> (LinearMap, Option<Tensor<2>>) {
    let added = map.forward(spread(shift, shape));
    let bias = match bias {
        Some(bias) => bias + added,
        None => added,
    };
    let channels = shape[0];
    let map = match map {
        LinearMap::Convolution {
            weight,
            stride,
            padding,
            input,
        } => LinearMap::Convolution {
            weight: weight * scale.reshape([1, channels, 1, 1]),
            stride,
            padding,
            input,
        },
        LinearMap::FullyConnected(weight) => {
            let elements: usize = shape.iter().product();
            LinearMap::FullyConnected(weight * spread(scale, shape).reshape([elements, 1]))
        }
        other => other,
    };
    (map, Some(bias))
}
