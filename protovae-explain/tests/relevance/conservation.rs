//! No relevance is lost or made between a similarity and the pixels, for networks without biases and rules that conserve.

use burn::tensor::Tensor;
use proptest::prelude::*;
use protovae_core::ImageShape;
use protovae_core::plugin::LayerView;
use protovae_explain::relevance::{Composite, Propagator, Rule};

use super::support::{
    ENCODERS, difference, digits, encoder, random, residual_layers, tensor, values, without_biases,
};

/// Similarities of random prototypes near the means, shared over latent dimensions by closeness: `[N, T, L]`, and `[N·T]`.
fn similarities(mean: Tensor<2>, targets: usize) -> (Tensor<3>, Vec<f32>) {
    let [samples, width] = mean.dims();
    let apart = random([samples, targets, width], -1.0, 1.0);
    let squares = apart.clone() * apart;
    let distance = squares.clone().sum_dim(2);
    let similarity = ((distance.clone() + 1.0) / (distance + 1e-4)).log();
    let close = (squares + 1e-3).recip();
    let shares = close.clone() / close.sum_dim(2);
    let totals = values(similarity.clone());
    (shares * similarity, totals)
}

/// The largest loss between similarities and pixels, in units of each similarity, which is what is handed on.
fn conserved(views: &[LayerView], image: ImageShape, composite: &Composite) -> f32 {
    let (samples, targets) = (3, 4);
    let propagator =
        Propagator::of_layers(without_biases(views.to_vec()), image, composite).unwrap();
    let prepared = propagator.prepare(digits(samples, image)).unwrap();
    let (start, expected) = similarities(prepared.mean(), targets);
    let relevance = prepared.relevance(start).unwrap();
    let pixels = image.channels * image.height * image.width;
    let found = values(relevance.reshape([samples * targets, pixels]).sum_dim(1));
    let apart = found
        .iter()
        .zip(&expected)
        .map(|(a, b)| (a - b).abs() / b.abs());
    apart.fold(0f32, f32::max)
}

fn rules() -> impl Iterator<Item = (&'static str, Composite)> {
    let mut all: Vec<_> = ["prp", "epsilon-plus-flat", "z-plus", "alpha2-beta1"]
        .map(|name| (name, Composite::named(name).unwrap()))
        .into();
    let prp = Composite::prp();
    all.push((
        "w² at the pixels",
        Composite {
            input: Rule::WSquare,
            ..prp
        },
    ));
    all.into_iter()
}

#[test]
fn similarity_reaches_the_pixels_in_every_encoder() {
    for (name, recipe, image, latent_dimensions) in ENCODERS {
        let views = encoder(recipe, image, latent_dimensions).layers().unwrap();
        // See below for the rule that residual branches do without.
        let without = (name == "ResNet-18").then_some("alpha2-beta1");
        for (rule, composite) in rules().filter(|(rule, _)| Some(*rule) != without) {
            let lost = conserved(&views, image, &composite);
            assert!(lost < 1e-3, "{name}, {rule}: {lost}");
        }
    }
}

#[test]
fn similarity_reaches_the_pixels_through_residual_branches() {
    for draw in 0..8 {
        // Wide enough that to every output of a fully connected layer some input contributes positively; where none does,
        // z-plus has nobody to give to.
        let views = residual_layers(24);
        // Alpha 2 beta 1 doubles what has no negative contributions to take half of it back, as windows on black have.
        for (rule, composite) in rules().filter(|(name, _)| *name != "alpha2-beta1") {
            let lost = conserved(&views, ImageShape::new(3, 32, 32), &composite);
            assert!(lost < 1e-3, "{rule}, draw {draw}: {lost}");
        }
    }
}

/// `x·w` of one fully connected layer with three outputs.
fn one_layer(weights: &[f32], pixels: usize) -> Vec<LayerView> {
    let mut both = Vec::new();
    for row in weights.chunks_exact(3) {
        both.extend_from_slice(row);
        both.extend([0.0; 3]);
    }
    vec![
        LayerView::Flatten,
        LayerView::Linear {
            weight: tensor(&both, [pixels, 6]),
            bias: None,
        },
    ]
}

proptest! {
    #[test]
    fn each_rule_conserves_on_one_layer(
        pixels in prop::collection::vec(-1f32..1.0, 5),
        weights in prop::collection::vec(-1f32..1.0, 15),
        start in prop::collection::vec(0.1f32..2.0, 3),
        gamma in 0.0f64..3.0,
        alpha in 1.0f64..3.0,
    ) {
        let outputs: Vec<f32> = (0..3)
            .map(|output| (0..5).map(|pixel| pixels[pixel] * weights[pixel * 3 + output]).sum())
            .collect();
        // Outputs near zero have no shares to speak of, and an output needs contributions of both signs for alpha-beta.
        prop_assume!(outputs.iter().all(|output| output.abs() > 0.05));
        let signs = |output: usize, sign: f32| -> f32 {
            (0..5).map(|pixel| (sign * pixels[pixel] * weights[pixel * 3 + output]).max(0.0)).sum()
        };
        prop_assume!((0..3).all(|output| signs(output, 1.0) > 0.05 && signs(output, -1.0) > 0.05));
        let rules = [
            Rule::Epsilon { epsilon: 1e-9 },
            Rule::AlphaBeta { alpha, beta: alpha - 1.0 },
            Rule::Gamma { gamma },
            Rule::ZPlus,
            Rule::ZBox { low: -1.0, high: 1.0 },
            Rule::Flat,
            Rule::WSquare,
        ];
        let image = ImageShape::new(1, 1, 5);
        for rule in rules {
            let composite = Composite { input: rule, ..Composite::prp() };
            let views = one_layer(&weights, 5);
            let propagator = Propagator::of_layers(views, image, &composite).unwrap();
            let prepared = propagator.prepare(tensor(&pixels, [1, 1, 1, 5])).unwrap();
            let found = values(prepared.relevance(tensor(&start, [1, 1, 3])).unwrap());
            let (found, expected): (f32, f32) = (found.iter().sum(), start.iter().sum());
            prop_assert!((found - expected).abs() < 1e-3 * expected, "{rule:?}: {found} not {expected}");
        }
    }

    /// What is handed on is linear in the start, and no image sees another.
    #[test]
    fn propagation_is_linear_in_its_start(first in -2f64..2.0, second in -2f64..2.0) {
        let image = ImageShape::new(3, 12, 12);
        let views = residual_layers(4);
        let propagator = Propagator::of_layers(views, image, &Composite::prp()).unwrap();
        let prepared = propagator.prepare(digits(2, image)).unwrap();
        let (a, b) = (random([2, 1, 4], 0.0, 1.0), random([2, 1, 4], 0.0, 1.0));
        let through = |start: Tensor<3>| prepared.relevance(start).unwrap();
        let joined = values(through(a.clone() * first + b.clone() * second));
        let apart = values(through(a) * first + through(b) * second);
        prop_assert!(difference(&joined, &apart) < 1e-3);
    }
}
