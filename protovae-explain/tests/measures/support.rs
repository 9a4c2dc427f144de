//! A model and explainers small enough for pencil and paper.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use protovae_backbones as _;
use protovae_core::ImageShape;
use protovae_core::model::{BoxModel, Mode, Model, Prediction, StepOutput};
use protovae_core::plugin::{
    BoxEncoder, EncoderConfig, EncoderSpec, Explainer, Explanation, PrototypeBank, Target,
};
use protovae_core::random::Initializer;
use protovae_core::train::Batch;
use protovae_explain::measures::noise_image;

pub const SHAPE: ImageShape = ImageShape {
    channels: 1,
    height: 2,
    width: 2,
};

/// Similarity `p` is `w_p · (x + 1) / 2`, class `p` has prototype `p` alone, logits are similarities.
#[derive(Module, Debug)]
struct Linear {
    weights: Param<Tensor<2>>,
    encoder: BoxEncoder,
}

impl Model for Linear {
    fn kind(&self) -> &'static str {
        "linear"
    }
    fn losses(&self, _batch: &Batch, _mode: Mode) -> StepOutput {
        unimplemented!("not trained")
    }
    fn predict(&self, images: Tensor<4>) -> Prediction {
        let [samples, ..] = images.dims();
        let bright = (images.reshape([samples, 4]) + 1.0) / 2.0;
        let similarities = bright.matmul(self.weights.val().transpose());
        Prediction {
            logits: similarities.clone(),
            similarities: Some(similarities),
            latents: None,
        }
    }
    fn image_shape(&self) -> ImageShape {
        SHAPE
    }
    fn classes(&self) -> usize {
        self.weights.dims()[0]
    }
    fn encoder(&self) -> Option<&BoxEncoder> {
        Some(&self.encoder)
    }
    fn prototypes(&self) -> Option<PrototypeBank> {
        Some(PrototypeBank {
            vectors: self.weights.val(),
            classes: self.classes(),
            per_class: 1,
        })
    }
}

pub fn linear(weights: [[f32; 4]; 2]) -> BoxModel {
    let config: Box<dyn EncoderConfig> =
        serde_json::from_str(r#"{"type": "conv-pool", "widths": [1]}"#).unwrap();
    let spec = EncoderSpec {
        image: SHAPE,
        latent_dimensions: 1,
    };
    let device = Device::flex();
    let encoder = config
        .build(&spec, &mut Initializer::new(0, &device))
        .unwrap();
    BoxModel::new(Linear {
        weights: Param::from_tensor(Tensor::from_floats(weights, &device)),
        encoder,
    })
}

/// Class 0 sees all four pixels, most the last; class 1 sees none well.
pub fn model() -> BoxModel {
    linear([[1.0, 2.0, 3.0, 4.0], [0.1, 0.1, 0.1, 0.1]])
}

pub fn images(values: &[[f32; 4]]) -> Tensor<4> {
    let flat = values.concat();
    let data = TensorData::new(flat, [values.len(), 1, 2, 2]);
    Tensor::from_data(data, &Device::flex())
}

/// An explainer that says the same of every image.
#[derive(Debug)]
pub struct Fixed(pub &'static str, pub [f32; 4]);

impl Explainer for Fixed {
    fn name(&self) -> &str {
        self.0
    }
    fn explain(
        &self,
        _model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> protovae_core::Result<Explanation> {
        let rows = images.dims()[0] * targets.len();
        Ok(Explanation {
            relevance: self::images(&vec![self.1; rows]),
            targets: targets.to_vec(),
        })
    }
}

/// `w_0 · (x + 1) / 2` by hand.
pub fn score(pixels: [f32; 4]) -> f64 {
    let weights = [1.0, 2.0, 3.0, 4.0];
    let terms = pixels.iter().zip(weights);
    terms.map(|(x, w)| f64::from((x + 1.0) / 2.0) * w).sum()
}

pub fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-5
}

/// What each pixel adds to the score of class 0 in place of the noise, or the contrary of that.
#[derive(Debug)]
pub struct Contribution(pub &'static str, pub f32);

impl Explainer for Contribution {
    fn name(&self) -> &str {
        self.0
    }
    fn explain(
        &self,
        _model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> protovae_core::Result<Explanation> {
        assert_eq!(targets.len(), 1);
        let noise: [f32; 4] = noise_image(0, SHAPE).try_into().unwrap();
        let weights = self::images(&[[1.0, 2.0, 3.0, 4.0]]) * self.1;
        Ok(Explanation {
            relevance: (images - self::images(&[noise])) * weights,
            targets: targets.to_vec(),
        })
    }
}

pub fn scattered(count: usize) -> Tensor<4> {
    Device::flex().seed(9);
    Tensor::random(
        [count, 1, 2, 2],
        burn::tensor::Distribution::Uniform(0.2, 1.0),
        &Device::flex(),
    )
}
