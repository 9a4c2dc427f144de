//! Whole networks: the canonised form computes the same, and the epsilon rule is the gradient times the input.

use burn::tensor::Tensor;
use protovae_core::ImageShape;
use protovae_core::plugin::LayerView;
use protovae_explain::relevance::{Composite, Normalization, Propagator, Rule};

use super::support::{
    ENCODERS, difference, digits, encoder, photographs, random, residual_layers, values,
    without_biases,
};

#[test]
fn a_canonised_encoder_computes_what_the_encoder_computes() {
    for (name, recipe, image, latent_dimensions) in ENCODERS {
        let encoder = encoder(recipe, image, latent_dimensions);
        let images = digits(12, image);
        let expected = values(encoder.encode(images.clone()).mean);
        for normalization in [Normalization::Fold, Normalization::Keep] {
            let composite = Composite {
                normalization,
                ..Composite::prp()
            };
            let propagator = Propagator::new(&encoder, image, &composite).unwrap();
            let found = values(propagator.mean(images.clone()).unwrap());
            let apart = difference(&found, &expected);
            assert!(apart < 1e-5, "{name}, {normalization:?}: {apart}");
            let prepared = propagator.prepare(images.clone()).unwrap();
            assert!(difference(&values(prepared.mean()), &expected) < 1e-5);
        }
    }
}

/// CIFAR-10's photographs, where `PROTOVAE_TEST_DATA` names the folder of the data sets.
#[test]
fn photographs_as_well() {
    let Some(images) = photographs(32) else {
        return;
    };
    let shape = ImageShape::new(3, 32, 32);
    for (name, recipe, image, latent_dimensions) in ENCODERS {
        if image != shape {
            continue;
        }
        let encoder = encoder(recipe, image, latent_dimensions);
        let expected = values(encoder.encode(images.clone()).mean);
        let propagator = Propagator::new(&encoder, image, &Composite::prp()).unwrap();
        let found = values(propagator.mean(images.clone()).unwrap());
        let apart = difference(&found, &expected);
        assert!(apart < 1e-5, "{name}: {apart}");
    }
}

#[test]
fn residual_branches_and_max_pooling_are_canonised_as_well() {
    let views = residual_layers(6);
    for (height, width) in [(32, 32), (45, 30)] {
        let image = ImageShape::new(3, height, width);
        let images = digits(4, image);
        let both = LayerView::replay(&views, images.clone()).unwrap();
        let expected = values(both.narrow(1, 0, 6));
        for normalization in [Normalization::Fold, Normalization::Keep] {
            let composite = Composite {
                normalization,
                ..Composite::prp()
            };
            let propagator = Propagator::of_layers(views.clone(), image, &composite).unwrap();
            let found = values(propagator.mean(images.clone()).unwrap());
            let apart = difference(&found, &expected);
            assert!(apart < 1e-5, "{height}×{width}, {normalization:?}: {apart}");
        }
    }
}

/// The same layers with weights that autodiff follows.
fn lifted(views: Vec<LayerView>) -> Vec<LayerView> {
    let lift = |view: LayerView| match view {
        LayerView::Conv2d {
            weight,
            bias,
            stride,
            padding,
        } => LayerView::Conv2d {
            weight: Tensor::from_inner(weight),
            bias: bias.map(Tensor::from_inner),
            stride,
            padding,
        },
        LayerView::Linear { weight, bias } => LayerView::Linear {
            weight: Tensor::from_inner(weight),
            bias: bias.map(Tensor::from_inner),
        },
        LayerView::ChannelAffine { scale, shift } => LayerView::ChannelAffine {
            scale: Tensor::from_inner(scale),
            shift: Tensor::from_inner(shift),
        },
        LayerView::Residual { body, shortcut } => LayerView::Residual {
            body: lifted(body),
            shortcut: lifted(shortcut),
        },
        other => other,
    };
    views.into_iter().map(lift).collect()
}

/// With ReLU, the epsilon rule sends `c·x·∂mean/∂x` to the pixels for relevance `c·mean`, whatever the biases: each layer's
/// division undoes the multiplication of the next.
fn epsilon_is_gradient_times_input(name: &str, views: &[LayerView], image: ImageShape) {
    let latent_dimensions = match views.last() {
        Some(LayerView::Linear { weight, .. }) => weight.dims()[1] / 2,
        _ => panic!("{name} does not end with a fully connected layer"),
    };
    let images =
        digits(3, image) + random([3, image.channels, image.height, image.width], 0.0, 0.2);
    let tiny = Rule::Epsilon { epsilon: 1e-12 };
    let composite = Composite {
        input: tiny,
        convolution: tiny,
        linear: tiny,
        pooling: tiny,
        residual: tiny,
        affine: tiny,
        normalization: Normalization::Fold,
    };
    let propagator = Propagator::of_layers(views.to_vec(), image, &composite).unwrap();
    let prepared = propagator.prepare(images.clone()).unwrap();
    let coefficients: Tensor<2> = random([3, latent_dimensions], -1.0, 1.0);
    let start = prepared.mean() * coefficients.clone();
    let found = values(prepared.relevance(start.unsqueeze_dim(1)).unwrap());

    let input = Tensor::from_inner(images.clone()).require_grad();
    let both = LayerView::replay(&lifted(views.to_vec()), input.clone()).unwrap();
    let mean = both.narrow(1, 0, latent_dimensions);
    let gradients = (mean * Tensor::from_inner(coefficients)).sum().backward();
    let expected = values(input.grad(&gradients).unwrap() * images);
    let apart = difference(&found, &expected);
    assert!(apart < 1e-3, "{name}: {apart}");
}

#[test]
fn epsilon_agrees_with_automatic_differentiation() {
    for (name, recipe, image, latent_dimensions) in ENCODERS {
        let views = encoder(recipe, image, latent_dimensions).layers().unwrap();
        epsilon_is_gradient_times_input(name, &views, image);
    }
    let views = residual_layers(6);
    epsilon_is_gradient_times_input("residual", &views, ImageShape::new(3, 37, 32));
    let bare = without_biases(views);
    epsilon_is_gradient_times_input("residual, bare", &bare, ImageShape::new(3, 32, 32));
}

#[test]
fn what_cannot_be_propagated_is_an_error() {
    let image = ImageShape::new(1, 8, 8);
    let views = residual_layers(3);
    let error = Propagator::of_layers(views.clone(), image, &Composite::prp()).unwrap_err();
    assert!(error.to_string().contains("layer 0"), "{error}");
    let image = ImageShape::new(3, 16, 16);
    let propagator = Propagator::of_layers(views.clone(), image, &Composite::prp()).unwrap();
    assert!(
        propagator
            .prepare(random([2, 3, 16, 15], -1.0, 1.0))
            .is_err()
    );
    assert!(propagator.mean(random([2, 1, 16, 16], -1.0, 1.0)).is_err());
    let prepared = propagator
        .prepare(random([2, 3, 16, 16], -1.0, 1.0))
        .unwrap();
    for shape in [[2, 1, 4], [1, 1, 3], [2, 0, 3]] {
        assert!(
            prepared
                .relevance(Tensor::zeros(shape, &burn::tensor::Device::flex()))
                .is_err()
        );
    }
    let impossible = Composite {
        convolution: Rule::Gamma { gamma: -1.0 },
        ..Composite::prp()
    };
    let error = Propagator::of_layers(views, image, &impossible).unwrap_err();
    assert!(
        error.to_string().contains("composite.convolution"),
        "{error}"
    );
    assert!(
        Composite::named("prpp")
            .unwrap_err()
            .to_string()
            .contains("epsilon-plus-flat")
    );
}

#[test]
fn any_network_is_propagated_from_all_of_its_outputs() {
    let views = residual_layers(6);
    let image = ImageShape::new(3, 32, 32);
    let images = digits(3, image);
    let expected = LayerView::replay(&views, images.clone()).unwrap();
    let outputs = expected.dims()[1];
    let propagator = Propagator::of_network(views.clone(), image, &Composite::prp()).unwrap();
    assert_eq!(propagator.latent_dimensions(), outputs);
    let prepared = propagator.prepare(images.clone()).unwrap();
    assert!(difference(&values(prepared.mean()), &values(expected)) < 1e-5);
    // What starts at the first half goes where it goes from the mean.
    let half = outputs / 2;
    let start = random([3, 2, half], 0.0, 1.0);
    let of_mean = Propagator::of_layers(views, image, &Composite::prp()).unwrap();
    let expected = of_mean
        .prepare(images)
        .unwrap()
        .relevance(start.clone())
        .unwrap();
    let none = Tensor::zeros([3, 2, half], &start.device());
    let found = prepared
        .relevance(Tensor::cat(vec![start, none], 2))
        .unwrap();
    assert!(difference(&values(found), &values(expected)) < 1e-5);
}

/// Normalisation of a flattened map has a value for each pixel, which neither a kernel nor normalisation by channels can take in.
#[test]
fn normalisation_behind_flattening_is_canonised_as_well() {
    let affine = |count| LayerView::ChannelAffine {
        scale: random([count], 0.5, 1.5),
        shift: random([count], -0.5, 0.5),
    };
    let image = ImageShape::new(1, 5, 4);
    let convolution = LayerView::Conv2d {
        weight: random([3, 1, 3, 3], -1.0, 1.0),
        bias: Some(random([3], -1.0, 1.0)),
        stride: [1, 1],
        padding: [1, 1],
    };
    let linear = LayerView::Linear {
        weight: random([60, 4], -1.0, 1.0),
        bias: None,
    };
    let images = digits(3, image);
    for before in [
        vec![],
        vec![affine(3)],
        vec![LayerView::Relu],
        vec![LayerView::Relu, affine(3)],
    ] {
        let mut views = vec![convolution.clone()];
        views.extend(before);
        views.extend([LayerView::Flatten, affine(60), linear.clone()]);
        let expected = values(LayerView::replay(&views, images.clone()).unwrap());
        for normalization in [Normalization::Fold, Normalization::Keep] {
            let composite = Composite {
                normalization,
                ..Composite::prp()
            };
            let propagator = Propagator::of_network(views.clone(), image, &composite).unwrap();
            let found = values(propagator.mean(images.clone()).unwrap());
            assert!(difference(&found, &expected) < 1e-5, "{normalization:?}");
        }
    }
}
