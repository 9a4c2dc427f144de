//! The random map, the baseline of every comparison.

use burn::tensor::{Tensor, TensorData};
use protovae_core::Result;
use protovae_core::model::BoxModel;
use protovae_core::plugin::{Explainer, ExplainerConfig, Explanation, Target};
use protovae_core::random::{Purpose, stream};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::scores::Columns;

/// Uniform noise in `[-1, 1]`, drawn from the seed, the image's pixels and the target. Tag `random`.
///
/// The same image gets the same noise wherever it stands in a batch; another image, however near, gets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomMap {
    /// The seed; default 0.
    #[serde(default)]
    pub seed: u64,
}

#[typetag::serde(name = "random")]
impl ExplainerConfig for RandomMap {
    fn build(&self) -> Result<Box<dyn Explainer>> {
        Ok(Box::new(*self))
    }
}

/// FNV-1a over the bits of the pixels: tells images apart, and needs to do no more.
fn digest(pixels: &[f32]) -> u64 {
    let bytes = pixels
        .iter()
        .flat_map(|pixel| pixel.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Explainer for RandomMap {
    fn name(&self) -> &str {
        "random"
    }

    fn explain(
        &self,
        model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> Result<Explanation> {
        let images = images.without_autodiff();
        // No score is used, but a target that does not exist must fail here as it does elsewhere.
        Columns::new(model, &images, targets)?;
        let [samples, channels, height, width] = images.dims();
        let device = images.device();
        let pixels = channels * height * width;
        let values: Vec<f32> = images.into_data().iter::<f32>().collect();
        let mut relevance: Vec<f32> = Vec::with_capacity(samples * targets.len() * pixels);
        for image in values.chunks_exact(pixels.max(1)) {
            let digest = digest(image);
            for target in targets {
                let number = match target {
                    Target::Prototype(row) => 2 * *row as u64,
                    Target::Class(class) => 2 * *class as u64 + 1,
                    _ => u64::MAX,
                };
                let mut generator = stream(self.seed, number, digest, Purpose::Plugin);
                relevance.extend((0..pixels).map(|_| generator.random_range(-1.0f32..=1.0)));
            }
        }
        let dims = [samples * targets.len(), channels, height, width];
        Ok(Explanation {
            relevance: Tensor::from_data(TensorData::new(relevance, dims), &device),
            targets: targets.to_vec(),
        })
    }
}
