//! Each rule on a layer small enough for pencil and paper.

use burn::tensor::Tensor;
use protovae_core::ImageShape;
use protovae_core::plugin::LayerView;
use protovae_explain::relevance::{Composite, Normalization, Propagator, Rule};

use super::support::{difference, tensor, values};

/// Inputs 1, −2 and 0.5; two outputs with weights (2, 1, −4) and (−1, 3, 2), and biases 1 and −1.
///
/// Contributions to the first output: 2, −2, −2, sum −2, with bias −1; to the second: −1, −6, 1, sum −6, with bias −7.
fn layer() -> Vec<LayerView> {
    vec![
        LayerView::Flatten,
        LayerView::Linear {
            // The second half computes the log variance, which nobody asks for.
            weight: tensor(
                &[
                    2., -1., 9., 9., //
                    1., 3., 9., 9., //
                    -4., 2., 9., 9.,
                ],
                [3, 4],
            ),
            bias: Some(tensor(&[1., -1., 9., 9.], [4])),
        },
    ]
}

fn relevance(rule: Rule) -> Vec<f32> {
    let composite = Composite {
        input: rule,
        ..Composite::prp()
    };
    let image = ImageShape::new(1, 1, 3);
    let propagator = Propagator::of_layers(layer(), image, &composite).unwrap();
    assert_eq!(propagator.latent_dimensions(), 2);
    let prepared = propagator
        .prepare(tensor(&[1., -2., 0.5], [1, 1, 1, 3]))
        .unwrap();
    assert!(difference(&values(prepared.mean()), &[-1., -7.]) < 1e-6);
    // The first output has relevance 3, the second 14.
    values(prepared.relevance(tensor(&[3., 14.], [1, 1, 2])).unwrap())
}

fn assert_near(found: &[f32], expected: &[f32]) {
    assert!(
        difference(found, expected) < 1e-5,
        "{found:?} not {expected:?}"
    );
}

#[test]
fn epsilon() {
    // Denominators −1 − 1 = −2 and −7 − 1 = −8.
    let found = relevance(Rule::Epsilon { epsilon: 1.0 });
    assert_near(
        &found,
        &[
            3. * 2. / -2. - 14. / -8.,
            3. * -2. / -2. + 14. * -6. / -8.,
            3. * -2. / -2. + 14. * 1. / -8.,
        ],
    );
}

#[test]
fn alpha_1_beta_0() {
    // Positive parts: 2 with bias 1 of the first output; 1 of the second, whose bias is negative.
    let found = relevance(Rule::ALPHA_1_BETA_0);
    assert_near(&found, &[3. * 2. / 3., 0., 14. * 1. / 1.]);
}

#[test]
fn alpha_2_beta_1() {
    let found = relevance(Rule::AlphaBeta {
        alpha: 2.0,
        beta: 1.0,
    });
    // Negative parts: −2, −2 of the first output; −1, −6 and bias −1 of the second.
    assert_near(
        &found,
        &[
            2. * 3. * 2. / 3. + 14. / -8.,
            -3. * -2. / -4. - 14. * -6. / -8.,
            -3. * -2. / -4. + 2. * 14. * 1. / 1.,
        ],
    );
}

#[test]
fn gamma() {
    // Both outputs are negative: negative contributions and biases count half as much again.
    let found = relevance(Rule::Gamma { gamma: 0.5 });
    let first = -1. + 0.5 * -4.;
    let second = -7. + 0.5 * -8.;
    assert_near(
        &found,
        &[
            3. * 2. / first + 14. * -1.5 / second,
            3. * -3. / first + 14. * -9. / second,
            3. * -3. / first + 14. * 1. / second,
        ],
    );
}

#[test]
fn z_plus() {
    assert_near(&relevance(Rule::ZPlus), &[3., 0., 14.]);
}

#[test]
fn z_box() {
    // x·w − low·w⁺ − high·w⁻ with bounds −3 and 3: (2 + 6, −2 + 3, −2 + 12) and (−1 + 3, −6 + 9, 1 + 6).
    let found = relevance(Rule::ZBox {
        low: -3.0,
        high: 3.0,
    });
    assert_near(
        &found,
        &[
            3. * 8. / 19. + 14. * 2. / 12.,
            3. * 1. / 19. + 14. * 3. / 12.,
            3. * 10. / 19. + 14. * 7. / 12.,
        ],
    );
}

#[test]
fn flat() {
    assert_near(&relevance(Rule::Flat), &[17. / 3.; 3]);
}

#[test]
fn w_square() {
    let found = relevance(Rule::WSquare);
    assert_near(
        &found,
        &[
            3. * 4. / 21. + 14. * 1. / 14.,
            3. * 1. / 21. + 14. * 9. / 14.,
            3. * 16. / 21. + 14. * 4. / 14.,
        ],
    );
}

#[test]
fn flat_counts_only_pixels_that_are_there() {
    // A 3×3 convolution over 1×2 pixels: two of nine weights see a pixel, whichever the position.
    let views = vec![
        LayerView::Conv2d {
            weight: tensor(&[7.; 9], [1, 1, 3, 3]),
            bias: None,
            stride: [1, 1],
            padding: [1, 1],
        },
        LayerView::Flatten,
        LayerView::Linear {
            weight: tensor(&[1., 0., 0., 0., 0., 1., 0., 0.], [2, 4]),
            bias: None,
        },
    ];
    let composite = Composite {
        input: Rule::Flat,
        ..Composite::prp()
    };
    let propagator = Propagator::of_layers(views, ImageShape::new(1, 1, 2), &composite).unwrap();
    let prepared = propagator.prepare(tensor(&[1., 2.], [1, 1, 1, 2])).unwrap();
    let found = values(prepared.relevance(tensor(&[5., 0.], [1, 1, 2])).unwrap());
    assert_near(&found, &[2.5, 2.5]);
}

#[test]
fn max_pooling_gives_all_to_the_winner_and_means_share_by_value() {
    let tail = |inputs: usize| {
        let mut weight = vec![0f32; inputs * 2 * inputs];
        for index in 0..inputs {
            weight[index * 2 * inputs + index] = 1.0;
        }
        LayerView::Linear {
            weight: tensor(&weight, [inputs, 2 * inputs]),
            bias: None,
        }
    };
    let image = ImageShape::new(1, 2, 4);
    let pixels = tensor(&[1., 2., 3., 4., 5., -6., 8., 5.], [1, 1, 2, 4]);
    // The fully connected layer is the first that has weights, so it is given the rule of inner layers here.
    let composite = Composite {
        input: Rule::Epsilon { epsilon: 1e-6 },
        ..Composite::prp()
    };
    for (pool, expected) in [
        (
            LayerView::MaxPool2d {
                kernel: [2, 2],
                stride: [2, 2],
                padding: [0, 0],
            },
            [0., 0., 0., 0., 10., 0., 20., 0.],
        ),
        (
            LayerView::AvgPool2d {
                kernel: [2, 2],
                stride: [2, 2],
            },
            [5., 10., 3., 4., 25., -30., 8., 5.],
        ),
    ] {
        let views = vec![pool, LayerView::Flatten, tail(2)];
        let propagator = Propagator::of_layers(views, image, &composite).unwrap();
        let prepared = propagator.prepare(pixels.clone()).unwrap();
        let start: Tensor<3> = tensor(&[10., 20.], [1, 1, 2]);
        assert_near(&values(prepared.relevance(start).unwrap()), &expected);
    }
}

#[test]
fn branches_share_by_what_they_add() {
    // y = 3·x + x for the first pixel, 3·x − … for none: the body carries three quarters.
    let views = vec![
        LayerView::Residual {
            body: vec![LayerView::Conv2d {
                weight: tensor(&[3.], [1, 1, 1, 1]),
                bias: None,
                stride: [1, 1],
                padding: [0, 0],
            }],
            shortcut: vec![],
        },
        LayerView::Flatten,
        LayerView::Linear {
            weight: tensor(&[1., 0.], [1, 2]),
            bias: None,
        },
    ];
    let composite = Composite {
        input: Rule::Epsilon { epsilon: 1e-6 },
        ..Composite::prp()
    };
    let propagator = Propagator::of_layers(views, ImageShape::new(1, 1, 1), &composite).unwrap();
    let prepared = propagator.prepare(tensor(&[2.], [1, 1, 1, 1])).unwrap();
    assert_near(&values(prepared.mean()), &[8.]);
    assert_near(
        &values(prepared.relevance(tensor(&[6.], [1, 1, 1])).unwrap()),
        &[6.],
    );
}

#[test]
fn a_kept_normalisation_is_an_affine_map() {
    // y = 2·x + 3; epsilon gives x's share 2·x/y of what comes, alpha 1 beta 0 as well since both are positive.
    let views = vec![
        LayerView::ChannelAffine {
            scale: tensor(&[2.], [1]),
            shift: tensor(&[3.], [1]),
        },
        LayerView::Relu,
        LayerView::Flatten,
        LayerView::Linear {
            weight: tensor(&[1., 0.], [1, 2]),
            bias: None,
        },
    ];
    for normalization in [Normalization::Keep, Normalization::Fold] {
        let composite = Composite {
            input: Rule::Epsilon { epsilon: 1e-6 },
            normalization,
            ..Composite::prp()
        };
        let image = ImageShape::new(1, 1, 1);
        let propagator = Propagator::of_layers(views.clone(), image, &composite).unwrap();
        let prepared = propagator.prepare(tensor(&[0.5], [1, 1, 1, 1])).unwrap();
        assert_near(
            &values(prepared.relevance(tensor(&[8.], [1, 1, 1])).unwrap()),
            &[2.],
        );
    }
}
