//! Relevance propagation through a network that knows nothing of this project: its layers are told, nothing else.
//!
//! ```console
//! cargo run --release -p protovae-explain --example own_network
//! ```

#![allow(clippy::print_stdout)]

use std::error::Error;

use burn::tensor::activation::relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Int, Tensor, TensorData};
use protovae_core::ImageShape;
use protovae_core::loss::cross_entropy;
use protovae_core::plugin::LayerView;
use protovae_core::random::Initializer;
use protovae_data::{DataConfig, DataSearch, Dataset, Mnist5kConfig};
use protovae_explain::relevance::{Composite, Propagator};

/// A network of one's own, here in two tensors: convolution 5×5 with stride 2, ReLU, fully connected layer.
struct Network {
    kernels: Tensor<4>,
    weights: Tensor<2>,
}

impl Network {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let options = ConvOptions::new([2, 2], [2, 2], [1, 1], 1);
        let maps = relu(conv2d(images, self.kernels.clone(), None, options));
        maps.flatten::<2>(1, 3).matmul(self.weights.clone())
    }

    /// The same network for relevance propagation.
    fn layers(&self) -> Vec<LayerView> {
        vec![
            LayerView::Conv2d {
                weight: self.kernels.clone(),
                bias: None,
                stride: [2, 2],
                padding: [2, 2],
            },
            LayerView::Relu,
            LayerView::Flatten,
            LayerView::Linear {
                weight: self.weights.clone(),
                bias: None,
            },
        ]
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let digits = Mnist5kConfig::default().load(&DataSearch::default())?;
    let (images, labels) = read(&*digits.train, 500, &device)?;
    let network = train(images, labels, &device);
    let (images, labels) = read(&*digits.test, 500, &device)?;
    let right = network
        .logits(images.clone())
        .argmax(1)
        .squeeze_dim::<1>(1)
        .equal(labels)
        .float()
        .mean();
    println!("accuracy {:.1} %", 100.0 * right.into_scalar::<f32>());

    // Which pixels of the eighth digit speak for the class it is taken for?
    let image = images.narrow(0, 7, 1);
    let logits: Vec<f32> = network.logits(image.clone()).into_data().iter().collect();
    let class = (0..10).fold(0, |best, class| {
        if logits[class] > logits[best] {
            class
        } else {
            best
        }
    });
    let propagator = Propagator::of_network(
        network.layers(),
        ImageShape::new(1, 28, 28),
        &Composite::prp(),
    )?;
    let mut start = vec![0f32; 10];
    start[class] = logits[class];
    let start = Tensor::<3>::from_data(TensorData::new(start, [1, 1, 10]), &device);
    let relevance = propagator.prepare(image)?.relevance(start)?;
    let relevance: Vec<f32> = relevance.into_data().iter().collect();
    println!(
        "a {class}: logit {:.3}, relevance of all pixels {:.3}",
        logits[class],
        relevance.iter().sum::<f32>()
    );
    let most = relevance
        .iter()
        .fold(0f32, |most, value| most.max(value.abs()));
    for row in relevance.chunks(28).step_by(2) {
        let mark = |value: &f32| match value / most {
            share if share > 0.3 => '#',
            share if share > 0.1 => '+',
            share if share < -0.3 => '=',
            share if share < -0.1 => '-',
            _ => ' ',
        };
        println!("{}", row.iter().map(mark).collect::<String>().trim_end());
    }
    Ok(())
}

/// The first `count` images of a set, and their classes.
fn read(
    set: &dyn Dataset,
    count: usize,
    device: &Device,
) -> Result<(Tensor<4>, Tensor<1, Int>), Box<dyn Error>> {
    let mut values = vec![0f32; count * set.shape().pixels()];
    let mut labels = Vec::with_capacity(count);
    for (index, image) in values.chunks_exact_mut(set.shape().pixels()).enumerate() {
        set.image(index, image)?;
        labels.push(set.label(index)? as i64);
    }
    let images = TensorData::new(values, [count, 1, 28, 28]);
    let labels = Tensor::from_data(labels.as_slice(), device);
    Ok((Tensor::from_data(images, device), labels))
}

/// Trains for a moment by plain gradient descent.
fn train(images: Tensor<4>, labels: Tensor<1, Int>, device: &Device) -> Network {
    let mut init = Initializer::new(3, device);
    let mut network = Network {
        kernels: init.normal([8, 1, 5, 5], 0.0, 0.2).val(),
        weights: init.normal([8 * 14 * 14, 10], 0.0, 0.02).val(),
    };
    let images = Tensor::from_inner(images);
    let labels = Tensor::from_inner(labels);
    for _ in 0..100 {
        let now = Network {
            kernels: Tensor::from_inner(network.kernels.clone()).require_grad(),
            weights: Tensor::from_inner(network.weights.clone()).require_grad(),
        };
        let loss = cross_entropy(now.logits(images.clone()), labels.clone());
        let gradients = loss.backward();
        if let (Some(kernels), Some(weights)) =
            (now.kernels.grad(&gradients), now.weights.grad(&gradients))
        {
            network.kernels = network.kernels - kernels * 0.05;
            network.weights = network.weights - weights * 0.05;
        }
    }
    network
}
