//! What every network of the paper promises.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use burn::module::Module;
use burn::store::ModuleRecord;
use burn::tensor::{Device, Tensor};
use protovae_backbones::networks::Network;
use protovae_core::ImageShape;
use protovae_core::model::trainable_values;
use protovae_core::plugin::{
    BoxDecoder, BoxEncoder, DecoderSpec, EncoderSpec, LayerView, Posterior,
};
use protovae_core::random::Initializer;

use common::{assert_every_gradient, distance, flat, loss, noise, trainable, values};

fn encoder(network: Network, seed: u64) -> BoxEncoder {
    let spec = EncoderSpec {
        image: network.image(),
        latent_dimensions: network.latent_dimensions(),
    };
    let mut init = Initializer::new(seed, &Device::flex().autodiff());
    network.encoder().build(&spec, &mut init).unwrap()
}

fn decoder(network: Network, seed: u64) -> BoxDecoder {
    let spec = DecoderSpec {
        image: network.image(),
        latent_dimensions: network.latent_dimensions(),
    };
    let mut init = Initializer::new(seed, &Device::flex().autodiff());
    network.decoder().build(&spec, &mut init).unwrap()
}

fn images(network: Network, samples: usize, device: &Device) -> Tensor<4> {
    let ImageShape {
        channels,
        height,
        width,
    } = network.image();
    noise([samples, channels, height, width], 3, device)
}

fn latents(network: Network, samples: usize, device: &Device) -> Tensor<2> {
    noise([samples, network.latent_dimensions()], 5, device)
}

fn encode(encoder: &BoxEncoder, images: Tensor<4>) -> Tensor<2> {
    let Posterior { mean, log_variance } = encoder.encode(images);
    Tensor::cat(vec![mean, log_variance], 1)
}

#[test]
fn parameters_are_as_many_as_in_the_paper() {
    let counts = [
        (Network::Mnist, 1_887_808, 873_313),
        (Network::FashionMnist, 1_887_808, 873_313),
        (Network::QuickDraw, 2_323_392, 794_017),
        (Network::Cifar10, 2_488_576, 1_286_499),
        (Network::Svhn, 3_882_656, 1_286_499),
        // torchvision's 11,176,512 in front of the tail; by hand from Figure 1's layers.
        (Network::Celeba, 12_751_424, 7_245_091),
    ];
    for (network, in_encoder, in_decoder) in counts {
        assert_eq!(trainable(&encoder(network, 0)), in_encoder, "{network}");
        assert_eq!(trainable_values(&encoder(network, 0)), in_encoder);
        assert_eq!(trainable(&decoder(network, 0)), in_decoder, "{network}");
    }
}

#[test]
fn parameters_have_tidy_names() {
    let names: Vec<_> = values(&encoder(Network::Mnist, 0)).into_keys().collect();
    let expected = [
        "blocks.0.convolution.bias",
        "blocks.0.convolution.weight",
        "blocks.0.normalization.beta",
        "blocks.0.normalization.gamma",
        "blocks.0.normalization.running_mean",
        "blocks.0.normalization.running_var",
    ];
    assert_eq!(names[..6], expected);
    assert_eq!(
        names[12..],
        [
            "tail.hidden.bias",
            "tail.hidden.weight",
            "tail.posterior.bias",
            "tail.posterior.weight"
        ]
    );
    let decoder = values(&decoder(Network::Mnist, 0));
    for name in [
        "start.linear.weight",
        "start.normalization.gamma",
        "stages.0.convolution.weight",
        "stages.3.normalization.running_var",
        "output.bias",
    ] {
        assert!(decoder.contains_key(name), "{name}");
    }
}

#[test]
fn evaluation_has_the_right_shapes_and_ignores_the_batch() {
    let device = Device::flex();
    for network in Network::ALL {
        let width = network.latent_dimensions();
        let encoder = encoder(network, 1).valid();
        let batch = images(network, 3, &device);
        let posterior = encoder.encode(batch.clone());
        assert_eq!(posterior.mean.dims(), [3, width]);
        assert_eq!(posterior.log_variance.dims(), [3, width]);
        let alone = encode(&encoder, batch.clone().narrow(0, 1, 1));
        let together = encode(&encoder, batch).narrow(0, 1, 1);
        assert!(distance(&alone, &together) < 1e-5, "{network}");

        let decoder = decoder(network, 1).valid();
        let batch = latents(network, 3, &device);
        let decoded = decoder.decode(batch.clone());
        assert_eq!(decoded.dims()[1..], images(network, 1, &device).dims()[1..]);
        assert!(flat(&decoded).iter().all(|value| value.abs() <= 1.0));
        let alone = decoder.decode(batch.narrow(0, 1, 1));
        assert!(
            distance(&alone, &decoded.narrow(0, 1, 1)) < 1e-5,
            "{network}"
        );
    }
}

#[test]
fn replayed_layers_give_what_encode_gives() {
    let device = Device::flex();
    for network in Network::SMALL {
        let encoder = encoder(network, 2);
        // Statistics of their own, or the affine layers would be nearly the identity.
        encoder.encode(images(network, 4, &device.clone().autodiff()));
        for encoder in [encoder.valid(), encoder] {
            let layers = encoder.layers().unwrap();
            let batch = images(network, 2, &device);
            let replayed = LayerView::replay(&layers, batch.clone()).unwrap();
            assert!(!replayed.is_autodiff());
            let encoded = encode(&encoder.valid(), batch);
            assert!(distance(&replayed, &encoded) < 1e-5, "{network}");
        }
    }
}

#[test]
fn gradients_reach_every_parameter() {
    let device = Device::flex().autodiff();
    for network in Network::ALL {
        let encoder = encoder(network, 3);
        let output = encode(&encoder, images(network, 4, &device));
        assert_every_gradient(&encoder, &loss(output));
        let decoder = decoder(network, 3);
        let output = decoder.decode(latents(network, 4, &device));
        assert_every_gradient(&decoder, &loss(output));
    }
}

#[test]
fn in_evaluation_gradients_reach_the_image_and_nothing_changes() {
    let device = Device::flex();
    let encoder = encoder(Network::Svhn, 4).valid();
    let before = values(&encoder);
    let batch = images(Network::Svhn, 2, &device);
    let tracked = Tensor::from_inner(batch.clone()).require_grad();
    let output = encode(&encoder, tracked.clone());
    assert!(distance(&output.clone().without_autodiff(), &encode(&encoder, batch)) < 1e-5);
    let gradient = tracked.grad(&loss(output).backward()).unwrap();
    assert!(flat(&gradient).iter().any(|value| *value != 0.0));
    assert_eq!(values(&encoder), before);
}

#[test]
fn one_sample_can_be_trained_on() {
    let device = Device::flex().autodiff();
    let decoder = decoder(Network::Mnist, 5);
    let decoded = decoder.decode(latents(Network::Mnist, 1, &device));
    assert!(flat(&decoded).iter().all(|value| value.is_finite()));
    for (path, values) in values(&decoder) {
        assert!(values.iter().all(|value| value.is_finite()), "{path}");
    }
}

#[test]
fn records_keep_everything() {
    let device = Device::flex().autodiff();
    let trained = encoder(Network::QuickDraw, 6);
    for _ in 0..3 {
        trained.encode(images(Network::QuickDraw, 2, &device));
    }
    let bytes = trained.clone().into_record().into_bytes().unwrap();
    let fresh = encoder(Network::QuickDraw, 7);
    assert_ne!(values(&fresh), values(&trained));
    let loaded = fresh.load_record(ModuleRecord::from_bytes(bytes).unwrap());
    assert_eq!(values(&loaded), values(&trained));
    let batch = images(Network::QuickDraw, 2, &Device::flex());
    let left = flat(&encode(&loaded.valid(), batch.clone()));
    assert_eq!(left, flat(&encode(&trained.valid(), batch)));

    let trained = decoder(Network::QuickDraw, 6);
    trained.decode(latents(Network::QuickDraw, 3, &device));
    let bytes = trained.clone().into_record().into_bytes().unwrap();
    let fresh = decoder(Network::QuickDraw, 7);
    let loaded = fresh.load_record(ModuleRecord::from_bytes(bytes).unwrap());
    assert_eq!(values(&loaded), values(&trained));
}

#[test]
fn a_copy_in_evaluation_is_not_changed_by_training() {
    let device = Device::flex().autodiff();
    let encoder = encoder(Network::Mnist, 8);
    let copy = encoder.valid();
    let before = values(&copy);
    encoder.encode(images(Network::Mnist, 2, &device));
    assert_eq!(values(&copy), before);
    assert_ne!(values(&encoder), before);
    // Back in training, it trains.
    let copy = copy.train();
    copy.encode(images(Network::Mnist, 2, &device));
    assert_eq!(values(&copy), values(&encoder));
    // Frozen, it does not.
    let frozen = copy.freeze();
    let before = values(&frozen);
    frozen.encode(images(Network::Mnist, 2, &device));
    assert_eq!(values(&frozen), before);
}

#[test]
fn a_seed_gives_the_same_weights() {
    for network in Network::SMALL {
        assert_eq!(values(&encoder(network, 9)), values(&encoder(network, 9)));
        assert_eq!(values(&decoder(network, 9)), values(&decoder(network, 9)));
    }
    let (one, other) = (encoder(Network::Mnist, 9), encoder(Network::Mnist, 10));
    assert_ne!(values(&one), values(&other));
}

fn within(values: &[f32], bound: f32) -> bool {
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
    let most = values
        .iter()
        .fold(0f32, |most, value| most.max(value.abs()));
    most <= bound && most > 0.9 * bound && mean.abs() < 0.1 * f64::from(bound)
}

#[test]
fn weights_start_as_in_the_released_code() {
    for network in Network::SMALL {
        for (path, values) in values(&encoder(network, 12)) {
            match path.rsplit('.').next().unwrap() {
                "weight" => assert!(within(&values, 0.08), "{path}"),
                "bias" | "beta" | "running_mean" => assert!(values.iter().all(|v| *v == 0.0)),
                _ => assert!(values.iter().all(|v| *v == 1.0), "{path}"),
            }
        }
    }
    let decoder = values(&decoder(Network::Cifar10, 12));
    let deviation = |path: &str| {
        let values = &decoder[path];
        (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt()
    };
    for (path, fan_out) in [
        ("stages.0.convolution.weight", 128.0 * 9.0),
        ("stages.6.convolution.weight", 32.0 * 9.0),
        ("output.weight", 3.0 * 9.0),
    ] {
        let expected = (2.0f32 / fan_out).sqrt();
        assert!((deviation(path) / expected - 1.0).abs() < 0.1, "{path}");
    }
    assert!(within(&decoder["stages.1.convolution.weight"], 0.08));
    assert!(within(&decoder["start.linear.weight"], 0.08));
    for (path, values) in decoder {
        if path.ends_with("bias") {
            assert!(values.iter().all(|v| *v == 0.0), "{path}");
        }
    }
}
