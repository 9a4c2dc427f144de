//! The operations as data: drawn, run by either path, and compared.

use burn::tensor::{Device, Tensor};

use super::values::{Source, bits, close, close_above, flat, loss, tensor, values};

use crate::kernels::convolution::Convolution;
use crate::kernels::layout::Layout;
use crate::kernels::normalisation::Normalisation;
use crate::kernels::normalise::Rectifier;
use crate::kernels::{self, Maps, activation, linear, stock};

/// An operation of the layers, apart from its tensors.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Of `[N, I, H, W]`, `[O, I, k, k]` and `[O]`.
    Convolution { stride: usize, padding: usize },
    /// Of `[N, I, H, W]`, `[I, O, k, k]` and `[O]`.
    TransposedConvolution { stride: usize, padding: usize },
    /// ReLU and normalisation of `[N, C, H, W]` by its own statistics, then `[C]` and `[C]`.
    BatchNorm { epsilon: f64, pool: bool },
    /// ReLU of `[N, C, H, W]`, then `[C]` and `[C]`.
    Affine { pool: bool },
    /// A convolution as above, transposed or not, then ReLU, `[C]` and `[C]`.
    ConvolutionAffine {
        stride: usize,
        padding: usize,
        transposed: bool,
    },
    /// Of `[N, in]`, `[in, out]` and `[out]`.
    Linear,
    /// Of `[N, C, H, W]`.
    Tanh,
    /// Of `[N, W]`.
    Relu,
    /// From `[N, C·H·W, 1, 1]` to maps `[C, H, W]`.
    Unflatten { maps: [usize; 3] },
}

/// Who computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The kernels.
    Kernels,
    /// burn's own operations.
    Stock,
}

/// An operation and the shapes of its inputs.
#[derive(Clone, Debug)]
pub struct Case {
    pub operation: Operation,
    pub shapes: Vec<Vec<usize>>,
}

/// What comes out of a case, all flat.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The output; of a batch normalisation also mean and variance.
    pub outputs: Vec<Vec<f32>>,
    /// Of [`loss`], an input each; none where none was wanted.
    pub gradients: Vec<Option<Vec<f32>>>,
}

impl Outcome {
    /// Outputs and gradients.
    pub fn all(&self) -> Vec<Vec<f32>> {
        let gradients = self.gradients.iter().flatten();
        self.outputs.iter().chain(gradients).cloned().collect()
    }
}

impl Case {
    /// A convolution from `channels[0]` to `channels[1]` channels.
    pub fn convolution(
        batch: usize,
        [inputs, outputs]: [usize; 2],
        [height, width]: [usize; 2],
        [kernel, stride, padding]: [usize; 3],
    ) -> Self {
        Self {
            operation: Operation::Convolution { stride, padding },
            shapes: vec![
                vec![batch, inputs, height, width],
                vec![outputs, inputs, kernel, kernel],
                vec![outputs],
            ],
        }
    }

    /// A transposed convolution from `channels[0]` to `channels[1]` channels.
    pub fn transposed(
        batch: usize,
        [inputs, outputs]: [usize; 2],
        [height, width]: [usize; 2],
        [kernel, stride, padding]: [usize; 3],
    ) -> Self {
        Self {
            operation: Operation::TransposedConvolution { stride, padding },
            shapes: vec![
                vec![batch, inputs, height, width],
                vec![inputs, outputs, kernel, kernel],
                vec![outputs],
            ],
        }
    }

    /// ReLU and batch normalisation.
    pub fn batch_norm(shape: [usize; 4], epsilon: f64, pool: bool) -> Self {
        Self {
            operation: Operation::BatchNorm { epsilon, pool },
            shapes: vec![shape.to_vec(), vec![shape[1]], vec![shape[1]]],
        }
    }

    /// ReLU and an affine map a channel.
    pub fn affine(shape: [usize; 4], pool: bool) -> Self {
        Self {
            operation: Operation::Affine { pool },
            shapes: vec![shape.to_vec(), vec![shape[1]], vec![shape[1]]],
        }
    }

    /// A convolution, transposed or not, then ReLU and an affine map a channel.
    pub fn then_affine(self) -> Self {
        let (operation, outputs) = match self.operation {
            Operation::Convolution { stride, padding } => (
                Operation::ConvolutionAffine {
                    stride,
                    padding,
                    transposed: false,
                },
                self.shapes[2][0],
            ),
            Operation::TransposedConvolution { stride, padding } => (
                Operation::ConvolutionAffine {
                    stride,
                    padding,
                    transposed: true,
                },
                self.shapes[2][0],
            ),
            other => panic!("{other:?} is no convolution"),
        };
        let mut shapes = self.shapes;
        shapes.extend([vec![outputs], vec![outputs]]);
        Self { operation, shapes }
    }

    /// A fully connected layer.
    pub fn linear([samples, inputs, outputs]: [usize; 3]) -> Self {
        Self {
            operation: Operation::Linear,
            shapes: vec![vec![samples, inputs], vec![inputs, outputs], vec![outputs]],
        }
    }

    /// The hyperbolic tangent.
    pub fn tanh(shape: [usize; 4]) -> Self {
        Self {
            operation: Operation::Tanh,
            shapes: vec![shape.to_vec()],
        }
    }

    /// ReLU of rows.
    pub fn relu(shape: [usize; 2]) -> Self {
        Self {
            operation: Operation::Relu,
            shapes: vec![shape.to_vec()],
        }
    }

    /// The inverse of flattening.
    pub fn unflatten(batch: usize, maps: [usize; 3]) -> Self {
        Self {
            operation: Operation::Unflatten { maps },
            shapes: vec![vec![batch, maps.iter().product(), 1, 1]],
        }
    }

    /// Values for the inputs, the same for the same seed.
    pub fn draw(&self, seed: u64) -> Vec<Vec<f32>> {
        let mut source = Source(seed);
        let values = |shape: &Vec<usize>| {
            let count = shape.iter().product();
            (0..count).map(|_| source.normal()).collect()
        };
        self.shapes.iter().map(values).collect()
    }

    fn output(&self, path: Path, inputs: &[Tensor<1>]) -> Vec<Tensor<1>> {
        let ours = path == Path::Kernels;
        let four = |index: usize| shaped::<4>(&inputs[index], &self.shapes[index]);
        let two = |index: usize| shaped::<2>(&inputs[index], &self.shapes[index]);
        let one = |index: usize| inputs[index].clone();
        match self.operation {
            Operation::Convolution { stride, padding } => {
                let run = if ours { kernels::conv2d } else { stock::conv2d };
                vec![flat(run(four(0), four(1), one(2), stride, padding))]
            }
            Operation::TransposedConvolution { stride, padding } => {
                let run = if ours {
                    kernels::conv_transpose2d
                } else {
                    stock::conv_transpose2d
                };
                vec![flat(run(four(0), four(1), one(2), stride, padding))]
            }
            Operation::BatchNorm { epsilon, pool } => {
                let run = if ours {
                    kernels::relu_batch_norm
                } else {
                    stock::relu_batch_norm
                };
                let normalised = run(four(0), one(1), one(2), epsilon, pool);
                assert!(!normalised.mean.device().is_autodiff());
                assert!(!normalised.variance.device().is_autodiff());
                vec![
                    flat(normalised.output),
                    normalised.mean,
                    normalised.variance,
                ]
            }
            Operation::Affine { pool } => {
                let run = if ours {
                    kernels::relu_affine
                } else {
                    stock::relu_affine
                };
                vec![flat(run(four(0), one(1), one(2), pool))]
            }
            Operation::ConvolutionAffine {
                stride,
                padding,
                transposed,
            } => {
                let (weight, bias, factors) = (four(1), one(2), [one(3), one(4)]);
                if ours {
                    let geometry = [stride, padding];
                    let maps = Maps::new(four(0));
                    let maps =
                        maps.convolution_relu_affine((weight, bias), geometry, transposed, factors);
                    return vec![flat(maps.into_images())];
                }
                let run = if transposed {
                    stock::conv_transpose2d
                } else {
                    stock::conv2d
                };
                let [scale, shift] = factors;
                let maps = run(four(0), weight, bias, stride, padding);
                vec![flat(stock::relu_affine(maps, scale, shift, false))]
            }
            Operation::Linear => {
                let run = if ours { kernels::linear } else { stock::linear };
                vec![flat(run(two(0), two(1), one(2)))]
            }
            Operation::Tanh => {
                let run = if ours { kernels::tanh } else { stock::tanh };
                vec![flat(run(four(0)))]
            }
            Operation::Relu => {
                let run = if ours {
                    kernels::relu
                } else {
                    burn::tensor::activation::relu
                };
                vec![flat(run(two(0)))]
            }
            Operation::Unflatten { maps } => {
                let [channels, height, width] = maps;
                let shape = [self.shapes[0][0], channels, height, width];
                vec![flat(if ours {
                    let maps = Maps::new(four(0)).unflatten(maps);
                    assert_eq!(maps.dims(), shape);
                    maps.into_images()
                } else {
                    four(0).reshape(shape)
                })]
            }
        }
    }

    /// Outputs and all gradients, on the CPU with autodiff.
    pub fn run(&self, path: Path, inputs: &[Vec<f32>]) -> Outcome {
        self.run_wanting(path, inputs, |_| true)
    }

    /// Outputs, and the gradients of the inputs that are `wanted`.
    pub fn run_wanting(
        &self,
        path: Path,
        inputs: &[Vec<f32>],
        wanted: impl Fn(usize) -> bool,
    ) -> Outcome {
        let device = Device::flex().autodiff();
        let leaves: Vec<_> = inputs
            .iter()
            .enumerate()
            .map(|(index, values)| {
                let leaf = tensor(values, &device);
                if wanted(index) {
                    leaf.require_grad()
                } else {
                    leaf
                }
            })
            .collect();
        let outputs = self.output(path, &leaves);
        let gradients = loss(outputs[0].clone()).backward();
        Outcome {
            outputs: outputs.into_iter().map(values).collect(),
            gradients: leaves
                .iter()
                .map(|leaf| leaf.grad(&gradients).map(values))
                .collect(),
        }
    }

    /// Outputs on the CPU without autodiff.
    pub fn run_without_autodiff(&self, path: Path, inputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let device = Device::flex();
        let inputs: Vec<_> = inputs
            .iter()
            .map(|values| tensor(values, &device))
            .collect();
        let outputs = self.output(path, &inputs);
        assert!(!outputs[0].device().is_autodiff());
        outputs.into_iter().map(values).collect()
    }

    /// Whether the kernels do it; if not, the stock operations would be compared with themselves.
    pub fn is_taken(&self) -> bool {
        let device = Device::flex();
        let inputs: Vec<_> = self
            .shapes
            .iter()
            .map(|shape| Tensor::<1>::zeros([shape.iter().product::<usize>()], &device))
            .collect();
        let four = |index: usize| shaped::<4>(&inputs[index], &self.shapes[index]);
        let two = |index: usize| shaped::<2>(&inputs[index], &self.shapes[index]);
        let layout = |index: usize| Layout::new(four(index).dims()).unwrap();
        let convolution = |geometry: [usize; 2], transposed: bool| {
            Convolution::new(layout(0), &four(1), &inputs[2], geometry, transposed).is_some()
        };
        match self.operation {
            Operation::Convolution { stride, padding } => convolution([stride, padding], false),
            Operation::TransposedConvolution { stride, padding } => {
                convolution([stride, padding], true)
            }
            Operation::ConvolutionAffine {
                stride,
                padding,
                transposed,
            } => convolution([stride, padding], transposed),
            Operation::BatchNorm { pool, .. } | Operation::Affine { pool } => {
                Normalisation::new(layout(0), &inputs[1], &inputs[2], pool, Rectifier::Before)
                    .is_some()
            }
            Operation::Linear => linear::linear(&two(0), &two(1), &inputs[2]).is_some(),
            Operation::Tanh => activation::tanh(&four(0)).is_some(),
            Operation::Relu => activation::relu(&two(0)).is_some(),
            Operation::Unflatten { .. } => Layout::new(four(0).dims()).is_some(),
        }
    }

    /// The kernels take the case, agree with stock in every output and gradient, and give the same bits without autodiff.
    pub fn check(&self, seed: u64) {
        assert!(self.is_taken(), "{self:?}");
        let inputs = self.draw(seed);
        let ours = self.run(Path::Kernels, &inputs);
        let stock = self.run(Path::Stock, &inputs);
        let count = stock.outputs[0].len();
        close(&ours.outputs, &stock.outputs, &format!("{self:?}"));
        // Where rounding decides on which side of zero a sum falls before a ReLU, gradients may differ by any amount.
        if !matches!(self.operation, Operation::ConvolutionAffine { .. }) {
            for (input, (ours, stock)) in ours.gradients.iter().zip(&stock.gradients).enumerate() {
                let (ours, stock) = (ours.as_deref().unwrap(), stock.as_deref().unwrap());
                // As far as a sum of so many terms gets from zero if they go either way: it may end up near it.
                let way = (count as f32 / stock.len() as f32).sqrt();
                let what = format!("gradient of input {input} of {self:?}");
                close_above(way.max(1.0), ours, stock, &what);
            }
        }
        let plain = self.run_without_autodiff(Path::Kernels, &inputs);
        assert_eq!(bits(&plain), bits(&ours.outputs), "{self:?}");
    }
}

fn shaped<const D: usize>(tensor: &Tensor<1>, shape: &[usize]) -> Tensor<D> {
    let shape: [usize; D] = shape.try_into().unwrap();
    tensor.clone().reshape(shape)
}
