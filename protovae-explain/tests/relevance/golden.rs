//! Values computed by `tests/golden/relevance.py`: each rule by its formula, on dense matrices in float64.

use std::collections::BTreeMap;

use protovae_core::ImageShape;
use protovae_core::plugin::LayerView;
use protovae_explain::relevance::{Composite, Normalization, Propagator};
use serde::Deserialize;

use super::support::{difference, tensor, values};

#[derive(Deserialize)]
struct Case {
    shape: [usize; 3],
    layers: Vec<Layer>,
    image: Vec<f32>,
    mean: Vec<f32>,
    start: Vec<Vec<f32>>,
    relevance: BTreeMap<String, Vec<Vec<f32>>>,
}

#[derive(Deserialize)]
struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Values {
    fn tensor<const D: usize>(&self) -> burn::tensor::Tensor<D> {
        tensor(&self.values, self.shape.as_slice().try_into().unwrap())
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Layer {
    Conv {
        weight: Values,
        bias: Option<Values>,
        stride: usize,
        padding: usize,
    },
    Affine {
        scale: Values,
        shift: Values,
    },
    Linear {
        weight: Values,
        bias: Values,
    },
    Avg {
        kernel: usize,
        stride: usize,
    },
    Max {
        kernel: usize,
        stride: usize,
        padding: usize,
    },
    Global {},
    Relu,
    Flatten,
    Residual {
        body: Vec<Layer>,
        shortcut: Vec<Layer>,
    },
}

impl Layer {
    fn view(&self) -> LayerView {
        match self {
            Self::Conv {
                weight,
                bias,
                stride,
                padding,
            } => LayerView::Conv2d {
                weight: weight.tensor(),
                bias: bias.as_ref().map(Values::tensor),
                stride: [*stride; 2],
                padding: [*padding; 2],
            },
            Self::Affine { scale, shift } => LayerView::ChannelAffine {
                scale: scale.tensor(),
                shift: shift.tensor(),
            },
            Self::Linear { weight, bias } => LayerView::Linear {
                weight: weight.tensor(),
                bias: Some(bias.tensor()),
            },
            Self::Avg { kernel, stride } => LayerView::AvgPool2d {
                kernel: [*kernel; 2],
                stride: [*stride; 2],
            },
            Self::Max {
                kernel,
                stride,
                padding,
            } => LayerView::MaxPool2d {
                kernel: [*kernel; 2],
                stride: [*stride; 2],
                padding: [*padding; 2],
            },
            Self::Global {} => LayerView::GlobalAvgPool,
            Self::Relu => LayerView::Relu,
            Self::Flatten => LayerView::Flatten,
            Self::Residual { body, shortcut } => LayerView::Residual {
                body: body.iter().map(Self::view).collect(),
                shortcut: shortcut.iter().map(Self::view).collect(),
            },
        }
    }
}

#[test]
fn relevance_is_what_the_formulas_give() {
    let text = include_str!("../golden/relevance.json");
    let cases: BTreeMap<String, Case> = serde_json::from_str(text).unwrap();
    assert_eq!(cases.len(), 3);
    for (name, case) in cases {
        let [channels, height, width] = case.shape;
        let mut views: Vec<LayerView> = case.layers.iter().map(Layer::view).collect();
        // The golden network ends with the mean; an encoder has the log variance beside it.
        if let Some(LayerView::Linear { weight, bias }) = views.last_mut() {
            *weight = weight.clone().repeat_dim(1, 2);
            *bias = bias.clone().map(|bias| bias.repeat_dim(0, 2));
        }
        for (composite, expected) in case.relevance {
            let rules = Composite::named(&composite).unwrap();
            assert_eq!(rules.normalization, Normalization::Fold);
            let image = ImageShape::new(channels, height, width);
            let propagator = Propagator::of_layers(views.clone(), image, &rules).unwrap();
            let pixels = tensor(&case.image, [1, channels, height, width]);
            let prepared = propagator.prepare(pixels).unwrap();
            assert!(difference(&values(prepared.mean()), &case.mean) < 1e-5);
            let start = tensor(&case.start.concat(), [1, case.start.len(), case.mean.len()]);
            let found = values(prepared.relevance(start).unwrap());
            let count = channels * height * width;
            for (found, expected) in found.chunks_exact(count).zip(&expected) {
                let apart = difference(found, expected);
                assert!(apart < 1e-4, "{name}, {composite}: {apart}");
            }
        }
    }
}
