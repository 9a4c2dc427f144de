//! Networks and images for the tests of relevance.

use std::cell::Cell;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use protovae_backbones as _;
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, ModelConfig, ModelSpec};
use protovae_core::plugin::{BoxEncoder, EncoderConfig, EncoderSpec, LayerView};
use protovae_core::random::{Initializer, Purpose, stream};
use protovae_data::{Cifar10Config, DataConfig, DataSearch, Mnist5kConfig};
use rand::RngExt;

pub fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// Uniform values, the same in every run: a test's n-th tensor depends on n and its shape alone.
///
/// Tests run side by side, so the generator that a device shares would give each run other values, and where a rule divides by
/// an output near 0, comparisons within rounding fail now and then.
pub fn random<const D: usize>(shape: [usize; D], low: f64, high: f64) -> Tensor<D> {
    thread_local! {
        static DRAWN: Cell<u64> = const { Cell::new(0) };
    }
    let number = DRAWN.replace(DRAWN.get() + 1);
    let mut generator = stream(12, 0, number, Purpose::Plugin);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| generator.random_range(low as f32..high as f32))
        .collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// The largest difference, in units of the largest value of `expected`.
pub fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected
        .iter()
        .fold(1e-12f32, |most, value| most.max(value.abs()));
    let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    apart.fold(0f32, f32::max) / largest
}

/// The encoders of Figure 1 and ResNet-18, by name: recipe, channels, height and width, latent dimensions.
pub const ENCODERS: [(&str, &str, ImageShape, usize); 5] = [
    (
        "MNIST and Fashion-MNIST",
        r#"{"type": "conv-pool", "widths": [32, 64]}"#,
        ImageShape::new(1, 28, 28),
        256,
    ),
    (
        "QuickDraw",
        r#"{"type": "conv-pool", "widths": [32, 64, 128]}"#,
        ImageShape::new(1, 28, 28),
        512,
    ),
    (
        "CIFAR-10",
        r#"{"type": "conv-pool", "widths": [32, 64, 128, 256]}"#,
        ImageShape::new(3, 32, 32),
        512,
    ),
    (
        "SVHN",
        r#"{"type": "conv-stride", "widths": [32, 64, 128, 256]}"#,
        ImageShape::new(3, 32, 32),
        512,
    ),
    (
        "ResNet-18",
        r#"{"type": "resnet18"}"#,
        ImageShape::new(3, 32, 32),
        512,
    ),
];

/// Handwritten digits, `[count, C, H, W]`: enlarged with black, and another digit in each channel.
pub fn digits(count: usize, shape: ImageShape) -> Tensor<4> {
    let splits = Mnist5kConfig::default()
        .load(&DataSearch::default())
        .unwrap();
    let mut pixels = vec![-1f32; count * shape.channels * shape.height * shape.width];
    let planes = pixels.chunks_exact_mut(shape.height * shape.width);
    let mut digit = vec![0f32; 28 * 28];
    for (number, plane) in planes.enumerate() {
        splits.train.image(number, &mut digit).unwrap();
        let rows = plane
            .chunks_exact_mut(shape.width)
            .zip(digit.chunks_exact(28));
        for (row, of_digit) in rows {
            let width = row.len().min(28);
            row[..width].copy_from_slice(&of_digit[..width]);
        }
    }
    tensor(&pixels, [count, shape.channels, shape.height, shape.width])
}

/// The first test images of CIFAR-10, `[count, 3, 32, 32]`, if the tests are told where it is.
pub fn photographs(count: usize) -> Option<Tensor<4>> {
    let search = DataSearch {
        data_dir: Some(std::env::var_os("PROTOVAE_TEST_DATA")?.into()),
    };
    let test = Cifar10Config::default().load(&search).unwrap().test;
    let pixels = test.shape().pixels();
    let mut values = vec![0f32; count * pixels];
    for (number, image) in values.chunks_exact_mut(pixels).enumerate() {
        test.image(number, image).unwrap();
    }
    Some(tensor(&values, [count, 3, 32, 32]))
}

/// An encoder whose batch normalisation has seen images, so that its scales and shifts are not those of the start.
pub fn encoder(recipe: &str, image: ImageShape, latent_dimensions: usize) -> BoxEncoder {
    let config: Box<dyn EncoderConfig> = serde_json::from_str(recipe).unwrap();
    let device = Device::flex().autodiff();
    let spec = EncoderSpec {
        image,
        latent_dimensions,
    };
    let encoder = config
        .build(&spec, &mut Initializer::new(5, &device))
        .unwrap();
    for _ in 0..8 {
        encoder.encode(Tensor::from_inner(digits(16, image)));
    }
    encoder.valid()
}

/// The layers with all biases and shifts taken away, and means of activations near what they were.
pub fn without_biases(views: Vec<LayerView>) -> Vec<LayerView> {
    let strip = |view: LayerView| match view {
        LayerView::Conv2d {
            weight,
            stride,
            padding,
            ..
        } => LayerView::Conv2d {
            weight,
            bias: None,
            stride,
            padding,
        },
        LayerView::Linear { weight, .. } => LayerView::Linear { weight, bias: None },
        LayerView::ChannelAffine { scale, shift } => LayerView::ChannelAffine {
            scale,
            shift: shift.zeros_like(),
        },
        LayerView::Residual { body, shortcut } => LayerView::Residual {
            body: without_biases(body),
            shortcut: without_biases(shortcut),
        },
        other => other,
    };
    views.into_iter().map(strip).collect()
}

/// A convolution and normalisation with random weights, as ResNet has them.
fn convolution(inputs: usize, outputs: usize, kernel: usize, stride: usize) -> [LayerView; 2] {
    let bound = (3.0 / (inputs * kernel * kernel) as f64).sqrt();
    [
        LayerView::Conv2d {
            weight: random([outputs, inputs, kernel, kernel], -bound, bound),
            bias: None,
            stride: [stride; 2],
            padding: [kernel / 2; 2],
        },
        LayerView::ChannelAffine {
            scale: random([outputs], 0.5, 1.5),
            shift: random([outputs], -0.3, 0.3),
        },
    ]
}

/// Layers of ResNet-18's kinds and order, narrower: strided 7×7 convolution, max pooling, residual blocks with and without
/// a convolution beside them, global pooling, the fully connected tail.
pub fn residual_layers(latent_dimensions: usize) -> Vec<LayerView> {
    let mut views: Vec<LayerView> = convolution(3, 8, 7, 2).into();
    views.push(LayerView::Relu);
    views.push(LayerView::MaxPool2d {
        kernel: [3, 3],
        stride: [2, 2],
        padding: [1, 1],
    });
    let mut width = 8;
    for (outputs, stride) in [(8, 1), (8, 1), (16, 2), (16, 1), (32, 2), (32, 1)] {
        let mut body: Vec<LayerView> = convolution(width, outputs, 3, stride).into();
        body.push(LayerView::Relu);
        body.extend(convolution(outputs, outputs, 3, 1));
        let shortcut = match stride {
            1 => Vec::new(),
            _ => convolution(width, outputs, 1, stride).into(),
        };
        views.push(LayerView::Residual { body, shortcut });
        views.push(LayerView::Relu);
        width = outputs;
    }
    views.push(LayerView::GlobalAvgPool);
    views.push(LayerView::Flatten);
    let units = 2 * latent_dimensions;
    let linear = |inputs: usize| LayerView::Linear {
        weight: random([inputs, units], -0.3, 0.3),
        bias: Some(random([units], -0.1, 0.1)),
    };
    views.extend([linear(width), LayerView::Relu, linear(units)]);
    views
}

pub fn protovae() -> BoxModel {
    let recipe = r#"{"type": "protovae", "latent_dimensions": 4, "prototypes_per_class": 2,
        "encoder": {"type": "conv-pool", "widths": [4, 6]},
        "decoder": {"type": "conv-transpose", "start": [4, 4, 4], "stages": [{"transpose": 4}]},
        "head": {"type": "prototype"}}"#;
    let config: Box<dyn ModelConfig> = serde_json::from_str(recipe).unwrap();
    let spec = ModelSpec {
        image: ImageShape::new(1, 8, 8),
        classes: 3,
    };
    let mut init = Initializer::new(1, &Device::flex().autodiff());
    config.build(&spec, &mut init).unwrap().valid()
}
