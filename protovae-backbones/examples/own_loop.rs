//! A network of this crate, with its kernels, in a training loop of one's own: a classifier of digits by cross-entropy.
//!
//! ```console
//! cargo run --release -p protovae-backbones --example own_loop
//! ```

#![allow(clippy::print_stdout)]

use std::error::Error;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use protovae_backbones::encoders::PooledEncoderConfig;
use protovae_backbones::layers::Linear;
use protovae_core::ImageShape;
use protovae_core::loss::cross_entropy;
use protovae_core::plugin::{BoxEncoder, EncoderConfig, EncoderSpec};
use protovae_core::random::Initializer;
use protovae_data::{DataConfig, DataSearch, Loader, LoaderConfig, Mnist5kConfig, Order};

/// The encoder of this crate, and a layer of it, in a module of one's own.
#[derive(Module, Debug)]
struct Classifier {
    encoder: BoxEncoder,
    classes: Linear,
}

impl Classifier {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.classes.forward(self.encoder.encode(images).mean)
    }
}

/// A batch as tensors.
fn tensors(batch: protovae_data::HostBatch, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    let labels: Vec<i64> = batch.labels.iter().map(|label| *label as i64).collect();
    let images = TensorData::new(batch.images, [labels.len(), 1, 28, 28]);
    let labels = Tensor::from_data(labels.as_slice(), device);
    (Tensor::from_data(images, device), labels)
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::flex().autodiff();
    let mut init = Initializer::new(0, &device);
    let spec = EncoderSpec {
        image: ImageShape::new(1, 28, 28),
        latent_dimensions: 32,
    };
    let recipe = PooledEncoderConfig {
        widths: vec![8, 16],
    };
    let mut model = Classifier {
        encoder: recipe.build(&spec, &mut init)?,
        classes: Linear::new(32, 10, &mut init),
    };

    let digits = Mnist5kConfig::default().load(&DataSearch::default())?;
    let settings = LoaderConfig {
        batch_size: 64,
        threads: 1,
        prefetch: 2,
        order: Order::Shuffled { seed: 0 },
    };
    let loader = Loader::new(digits.train, settings)?;
    let mut optimizer = AdamConfig::new().init();
    for (step, batch) in loader.epoch(0, 0).enumerate() {
        let (images, labels) = tensors(batch?, &device);
        let loss = cross_entropy(model.logits(images), labels);
        if step % 20 == 0 {
            println!(
                "step {step:2}: loss {:.3}",
                loss.clone().into_scalar::<f32>()
            );
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-3, model, gradients);
    }

    // Evaluation needs `valid()`: batch normalisation trains on any other.
    let model = model.valid();
    let settings = LoaderConfig {
        batch_size: 1000,
        order: Order::Sequential,
        ..settings
    };
    for batch in Loader::new(digits.test, settings)?.epoch(0, 0) {
        let (images, labels) = tensors(batch?, &Device::flex());
        let right = model
            .logits(images)
            .argmax(1)
            .squeeze_dim::<1>(1)
            .equal(labels);
        let share = right.float().mean().into_scalar::<f32>();
        println!("accuracy on 1,000 other digits: {:.1} %", 100.0 * share);
    }
    Ok(())
}
