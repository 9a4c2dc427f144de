//! Convolutions and average pooling one after the other, as one call of the kernels.

use burn::tensor::Tensor;
use protovae_backbones::kernels::{PullbackStep, pullback};

use super::linear_map::{LinearMap, MapShape, repeated};
use super::prepare::{Group, Input, Passage};
use super::propagate::Travelling;

/// The passages of a chain, in the order of the layers.
pub(super) struct Chain<'a>(Vec<Link<'a>>);

enum Link<'a> {
    Convolution {
        group: &'a Group,
        weight: &'a Tensor<4>,
        stride: usize,
        padding: usize,
        /// `[C, H, W]` of the layer's input.
        input: MapShape,
    },
    Pooling {
        group: &'a Group,
        kernel: [usize; 2],
        input: MapShape,
    },
}

impl<'a> Link<'a> {
    fn new(passage: &'a Passage) -> Option<Self> {
        let Passage::Linear(groups) = passage else {
            return None;
        };
        let [group] = groups.as_slice() else {
            return None;
        };
        let [map] = group.maps.as_slice() else {
            return None;
        };
        match map {
            LinearMap::Convolution {
                weight,
                stride,
                padding,
                input: [channels, height, width],
            } => (stride[0] == stride[1] && padding[0] == padding[1]).then(|| Self::Convolution {
                group,
                weight,
                stride: stride[0],
                padding: padding[0],
                input: [channels / group.inputs.len().max(1), *height, *width],
            }),
            LinearMap::AveragePool {
                kernel,
                stride,
                input,
            } => {
                let whole =
                    input[1].is_multiple_of(kernel[0]) && input[2].is_multiple_of(kernel[1]);
                (kernel == stride && whole && group.inputs.len() == 1).then_some(Self::Pooling {
                    group,
                    kernel: *kernel,
                    input: *input,
                })
            }
            _ => None,
        }
    }

    /// `[C, H, W]` of the layer's output.
    fn output(&self) -> Option<MapShape> {
        match self {
            Self::Convolution {
                group,
                input: [channels, height, width],
                ..
            } => {
                let joined = [channels * group.inputs.len(), *height, *width];
                group.maps.first()?.output(joined)
            }
            Self::Pooling { group, input, .. } => group.maps.first()?.output(*input),
        }
    }
}

/// A step that is not complete yet: each passage adds its factors.
struct Open {
    convolution: Option<(Tensor<4>, usize, usize)>,
    window: [usize; 2],
    output: MapShape,
    /// `[N, F]` for each term; none for a factor of 1.
    factors: Vec<Option<Tensor<2>>>,
}

impl Open {
    fn closed(self, ones: impl Fn(usize) -> Tensor<2>) -> PullbackStep {
        let values = self.output.iter().product();
        let factors = self.factors.into_iter();
        PullbackStep {
            convolution: self.convolution,
            window: self.window,
            output: self.output,
            factors: factors
                .map(|factor| factor.unwrap_or_else(|| ones(values)))
                .collect(),
        }
    }

    fn times(&mut self, other: &Tensor<2>) {
        for factor in &mut self.factors {
            *factor = Some(match factor.take() {
                Some(factor) => factor * other.clone(),
                None => other.clone(),
            });
        }
    }
}

impl<'a> Chain<'a> {
    /// The chain that `passages` end with and the passages before it; none if there is no convolution in it.
    pub(super) fn at_the_end_of(passages: &'a [Passage]) -> Option<(Self, &'a [Passage])> {
        let mut links: Vec<Link> = passages.iter().rev().map_while(Link::new).collect();
        links.reverse();
        let rest = &passages[..passages.len() - links.len()];
        let convolves = |link: &Link| matches!(link, Link::Convolution { .. });
        links.iter().any(convolves).then_some((Self(links), rest))
    }

    /// Relevance `[N, T, out]` back to `[N, T, in]`; none if the kernels do not do it.
    pub(super) fn pull_back(&self, travelling: &Travelling) -> Option<Tensor<3>> {
        let [samples, targets, width] = travelling.relevance.dims();
        let device = travelling.relevance.device();
        let input = self.0.last()?.output()?;
        let ones = |values: usize| Tensor::<2>::ones([samples, values], &device);
        let mut steps = Vec::with_capacity(self.0.len() + 1);
        let mut open = Open {
            convolution: None,
            window: [1, 1],
            output: input,
            factors: vec![travelling.factor.clone()],
        };
        for link in self.0.iter().rev() {
            match link {
                Link::Pooling {
                    group,
                    kernel,
                    input,
                } => {
                    let area = (kernel[0] * kernel[1]) as f64;
                    open.times(&(group.factor.clone() / area));
                    for factor in open.factors.iter_mut().flatten() {
                        *factor = repeated(factor.clone(), open.output, *kernel);
                    }
                    open.window = [open.window[0] * kernel[0], open.window[1] * kernel[1]];
                    open.output = *input;
                    match group.inputs.first() {
                        Some(Input::Values(values)) => open.times(values),
                        Some(Input::Constant(value)) => {
                            let values = input.iter().product();
                            open.times(&(ones(values) * *value));
                        }
                        None => {}
                    }
                }
                Link::Convolution {
                    group,
                    weight,
                    stride,
                    padding,
                    input,
                } => {
                    open.times(&group.factor);
                    steps.push(open.closed(ones));
                    let factor = |term: &Input| match term {
                        Input::Values(values) => values.clone(),
                        Input::Constant(value) => ones(input.iter().product()) * *value,
                    };
                    open = Open {
                        convolution: Some(((*weight).clone(), *stride, *padding)),
                        window: [1, 1],
                        output: *input,
                        factors: group.inputs.iter().map(|term| Some(factor(term))).collect(),
                    };
                }
            }
        }
        steps.push(open.closed(ones));
        let maps = travelling
            .relevance
            .clone()
            .reshape([samples * targets, width]);
        let pulled = pullback(&maps, targets, input, &steps)?;
        let values = pulled.dims()[1];
        Some(pulled.reshape([samples, targets, values]))
    }
}
