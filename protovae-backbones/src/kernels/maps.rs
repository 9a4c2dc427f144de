//! Feature maps between the layers of a network.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::{DType, Tensor};

use super::convolution::Convolution;
use super::layout::{self, Layout};
use super::max_pool::MaxPool;
use super::normalisation::Normalisation;
use super::normalise::Rectifier;
use super::pool::filled;
use super::primitive::{Differentiable, Plain, Tracked, contiguous, plain, values};
use super::residual;
use super::stock;

/// Feature maps, in the layout that suits the device: blocks of images for the kernels on the CPU, `[N, C, H, W]` anywhere
/// else. Layers hand them to each other without converting in between.
#[derive(Clone, Debug)]
pub struct Maps {
    /// `[blocks, H·W, C, lanes]` if there is a layout, else `[N, C, H, W]`.
    tensor: Tensor<4>,
    layout: Option<Layout>,
}

/// What [`Maps::relu_batch_norm`] gives.
#[derive(Clone, Debug)]
pub struct NormalisedMaps {
    /// The normalised maps.
    pub maps: Maps,
    /// Mean of the batch a channel, `[C]`, without autodiff.
    pub mean: Tensor<1>,
    /// Biased variance of the batch a channel, `[C]`, without autodiff.
    pub variance: Tensor<1>,
}

impl Maps {
    /// Of images or maps `[N, C, H, W]`.
    pub fn new(images: Tensor<4>) -> Self {
        let layout = Layout::new(images.dims());
        match layout.and_then(|layout| convert(&images, layout, Direction::IntoBlocks)) {
            Some(tensor) => Self { tensor, layout },
            None => Self {
                tensor: images,
                layout: None,
            },
        }
    }

    /// As they are in blocks.
    pub(super) fn blocked(tensor: Tensor<4>, layout: Layout) -> Self {
        Self {
            tensor,
            layout: Some(layout),
        }
    }

    /// Back to `[N, C, H, W]`.
    pub fn into_images(self) -> Tensor<4> {
        match self.layout {
            // The layout is there only on devices that can convert.
            Some(layout) => convert(&self.tensor, layout, Direction::IntoImages)
                .unwrap_or_else(|| self.tensor.reshape(layout.images())),
            None => self.tensor,
        }
    }

    /// `[N, C, H, W]`.
    pub fn dims(&self) -> [usize; 4] {
        self.layout
            .map_or_else(|| self.tensor.dims(), |layout| layout.images())
    }

    /// Whether gradients can flow through them.
    pub fn is_autodiff(&self) -> bool {
        self.tensor.is_autodiff()
    }

    /// Convolution with weight `[O, I, k, k]` and bias `[O]`.
    pub fn conv2d(self, weight: Tensor<4>, bias: Tensor<1>, stride: usize, padding: usize) -> Self {
        self.by_kernel(|input, layout| {
            Convolution::new(layout, &weight, &bias, [stride, padding], false)?
                .apply(input, &weight, &bias)
        })
        .unwrap_or_else(|images| Self::new(stock::conv2d(images, weight, bias, stride, padding)))
    }

    /// Transposed convolution with weight `[I, O, k, k]` and bias `[O]`.
    pub fn conv_transpose2d(
        self,
        weight: Tensor<4>,
        bias: Tensor<1>,
        stride: usize,
        padding: usize,
    ) -> Self {
        self.by_kernel(|input, layout| {
            Convolution::new(layout, &weight, &bias, [stride, padding], true)?
                .apply(input, &weight, &bias)
        })
        .unwrap_or_else(|images| {
            let output = stock::conv_transpose2d(images, weight, bias, stride, padding);
            Self::new(output)
        })
    }

    /// A convolution by these weights (transposed or not), then ReLU and `x·scale + shift` a channel. In one pass where no
    /// gradients can flow: what a trained network does most.
    pub fn convolution_relu_affine(
        self,
        (weight, bias): (Tensor<4>, Tensor<1>),
        [stride, padding]: [usize; 2],
        transposed: bool,
        [scale, shift]: [Tensor<1>; 2],
    ) -> Self {
        let fused =
            self.layout.and_then(|layout| {
                let factors = [&scale, &shift];
                Convolution::new(layout, &weight, &bias, [stride, padding], transposed)?
                    .apply_affine(&self.tensor, (&weight, &bias), factors, Rectifier::Before)
            });
        if let Some(maps) = fused {
            return maps;
        }
        let maps = if transposed {
            self.conv_transpose2d(weight, bias, stride, padding)
        } else {
            self.conv2d(weight, bias, stride, padding)
        };
        maps.relu_affine(scale, shift, false)
    }

    /// ReLU, then batch normalisation by the statistics of the batch, then (`pool`) 2×2 average pooling.
    pub fn relu_batch_norm(
        self,
        gamma: Tensor<1>,
        beta: Tensor<1>,
        epsilon: f64,
        pool: bool,
    ) -> NormalisedMaps {
        self.by_kernel(|input, layout| {
            Normalisation::new(layout, &gamma, &beta, pool, Rectifier::Before)?
                .batch(input, &gamma, &beta, epsilon)
        })
        .unwrap_or_else(|images| {
            let normalised = stock::relu_batch_norm(images, gamma, beta, epsilon, pool);
            NormalisedMaps {
                maps: Self::new(normalised.output),
                mean: normalised.mean,
                variance: normalised.variance,
            }
        })
    }

    /// ReLU, then `x·scale + shift` a channel, then (`pool`) 2×2 average pooling: the evaluation form of
    /// [`Maps::relu_batch_norm`].
    pub fn relu_affine(self, scale: Tensor<1>, shift: Tensor<1>, pool: bool) -> Self {
        self.by_kernel(|input, layout| {
            Normalisation::new(layout, &scale, &shift, pool, Rectifier::Before)?
                .affine(input, &scale, &shift)
        })
        .unwrap_or_else(|images| Self::new(stock::relu_affine(images, scale, shift, pool)))
    }

    /// A convolution by these weights, then `x·scale + shift` a channel, then ReLU if `relu`. In one pass where no gradients
    /// can flow.
    pub fn convolution_affine(
        self,
        (weight, bias): (Tensor<4>, Tensor<1>),
        [stride, padding]: [usize; 2],
        [scale, shift]: [Tensor<1>; 2],
        relu: bool,
    ) -> Self {
        let fused = self.layout.and_then(|layout| {
            let factors = [&scale, &shift];
            Convolution::new(layout, &weight, &bias, [stride, padding], false)?.apply_affine(
                &self.tensor,
                (&weight, &bias),
                factors,
                rectifier(relu),
            )
        });
        fused.unwrap_or_else(|| {
            self.conv2d(weight, bias, stride, padding)
                .affine(scale, shift, relu)
        })
    }

    /// Batch normalisation by the statistics of the batch, then ReLU if `relu`.
    pub fn batch_norm(
        self,
        gamma: Tensor<1>,
        beta: Tensor<1>,
        epsilon: f64,
        relu: bool,
    ) -> NormalisedMaps {
        self.by_kernel(|input, layout| {
            Normalisation::new(layout, &gamma, &beta, false, rectifier(relu))?
                .batch(input, &gamma, &beta, epsilon)
        })
        .unwrap_or_else(|images| {
            let normalised = stock::batch_norm(images, gamma, beta, epsilon, relu);
            NormalisedMaps {
                maps: Self::new(normalised.output),
                mean: normalised.mean,
                variance: normalised.variance,
            }
        })
    }

    /// `x·scale + shift` a channel, then ReLU if `relu`: the evaluation form of [`Maps::batch_norm`].
    pub fn affine(self, scale: Tensor<1>, shift: Tensor<1>, relu: bool) -> Self {
        self.by_kernel(|input, layout| {
            Normalisation::new(layout, &scale, &shift, false, rectifier(relu))?
                .affine(input, &scale, &shift)
        })
        .unwrap_or_else(|images| Self::new(stock::affine(images, scale, shift, relu)))
    }

    /// `max(x + other, 0)` of each value of maps of one shape: the end of a residual block.
    pub fn add_relu(self, other: Self) -> Self {
        if let (Some(layout), true) = (self.layout, self.layout == other.layout)
            && let Some(tensor) = residual::add_relu(&self.tensor, &other.tensor)
        {
            return Self::blocked(tensor, layout);
        }
        Self::new(stock::add_relu(self.into_images(), other.into_images()))
    }

    /// The largest value of each `kernel`×`kernel` window; padding never wins. `padding` must be less than `kernel`.
    pub fn max_pool2d(self, kernel: usize, stride: usize, padding: usize) -> Self {
        self.by_kernel(|input, layout| MaxPool::new(layout, kernel, stride, padding)?.apply(input))
            .unwrap_or_else(|images| Self::new(stock::max_pool2d(images, kernel, stride, padding)))
    }

    /// The mean of each map, `[N, C]`.
    pub fn global_average(self) -> Tensor<2> {
        let [samples, channels, ..] = self.dims();
        let means = match self.layout {
            Some(layout) => {
                let means = match layout.pixels() {
                    1 => self.tensor,
                    _ => self.tensor.mean_dim(1),
                };
                Self::blocked(means, layout.with(channels, [1, 1])).into_images()
            }
            None => self.tensor.mean_dim(2).mean_dim(3),
        };
        means.reshape([samples, channels])
    }

    /// Maps of one pixel and `C·H·W` channels as maps `[N, C, H, W]`; the inverse of flattening.
    pub fn unflatten(self, [channels, height, width]: [usize; 3]) -> Self {
        let flat = self.dims();
        self.by_kernel(|input, layout| {
            if flat != [layout.batch, channels * height * width, 1, 1] {
                return None;
            }
            let maps = layout.with(channels, [height, width]);
            Some(Self::blocked(
                convert(input, maps, Direction::Unflatten)?,
                maps,
            ))
        })
        .unwrap_or_else(|images| Self::new(images.reshape([flat[0], channels, height, width])))
    }

    /// What a kernel makes of these maps; or the maps as images, if it does not do it.
    #[allow(clippy::result_large_err)] // The other outcome, not an error that is passed up.
    fn by_kernel<T>(
        self,
        kernel: impl FnOnce(&Tensor<4>, Layout) -> Option<T>,
    ) -> Result<T, Tensor<4>> {
        self.layout
            .and_then(|layout| kernel(&self.tensor, layout))
            .ok_or_else(|| self.into_images())
    }
}

/// A ReLU after the affine map, or none.
fn rectifier(relu: bool) -> Rectifier {
    if relu {
        Rectifier::After
    } else {
        Rectifier::Absent
    }
}

/// From one order of the same values to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    IntoBlocks,
    IntoImages,
    Unflatten,
    Flatten,
}

impl Direction {
    fn back(self) -> Self {
        match self {
            Self::IntoBlocks => Self::IntoImages,
            Self::IntoImages => Self::IntoBlocks,
            Self::Unflatten => Self::Flatten,
            Self::Flatten => Self::Unflatten,
        }
    }

    fn run(self, layout: &Layout, input: &Plain) -> Plain {
        let input = contiguous(input);
        let from = values(&input);
        // SAFETY: each function writes as many values as are asked for here.
        let (made, shape) = unsafe {
            match self {
                Self::IntoBlocks => (
                    filled(layout.values(), |to| layout::into_blocks(layout, from, to)),
                    layout.shape(),
                ),
                Self::IntoImages => (
                    filled(layout.batch * layout.image(), |to| {
                        layout::into_images(layout, from, to);
                    }),
                    layout.images(),
                ),
                Self::Unflatten => (
                    filled(layout.values(), |to| {
                        layout::rearrange(layout, from, to, true);
                    }),
                    layout.shape(),
                ),
                Self::Flatten => (
                    filled(layout.values(), |to| {
                        layout::rearrange(layout, from, to, false);
                    }),
                    layout.with(layout.image(), [1, 1]).shape(),
                ),
            }
        };
        plain(made, &shape)
    }
}

/// The values in another order; none if the device is not the CPU, or they are not `f32`.
fn convert(input: &Tensor<4>, layout: Layout, direction: Direction) -> Option<Tensor<4>> {
    if input.dtype() != DType::F32 {
        return None;
    }
    let input = input.clone();
    if !input.device().is_autodiff() {
        let input = input.try_into_primitive::<Flex>().ok()?;
        return Some(Tensor::from_primitive::<Flex>(
            direction.run(&layout, &input),
        ));
    }
    let input: Tracked = input.try_into_primitive::<Differentiable>().ok()?;
    let output = direction.run(&layout, input.primitive());
    let output = match ConversionBackward
        .prepare::<NoCheckpointing>([input.node()])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(operation) => operation.finish((layout, direction), output),
        OpsKind::UnTracked(operation) => operation.finish(output),
    };
    Some(Tensor::from_primitive::<Differentiable>(output))
}

#[derive(Debug)]
struct ConversionBackward;

impl Backward<Flex, 1> for ConversionBackward {
    type State = (Layout, Direction);

    fn backward(
        self,
        operation: Ops<Self::State, 1>,
        gradients: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [input] = operation.parents;
        let (layout, direction) = operation.state;
        let output = gradients.consume::<Flex>(&operation.node);
        if let Some(node) = input {
            gradients.register::<Flex>(node.id, direction.back().run(&layout, &output));
        }
    }
}
