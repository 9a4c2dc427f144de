//! The similarity of each patch, as ProtoPNet explains itself.

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use protovae_core::model::{BoxModel, upsampled};
use protovae_core::plugin::{Explainer, ExplainerConfig, Explanation, Target};
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::scores::Columns;

/// For models that compare patches: the similarity of each patch to a prototype, upsampled to the image and shared equally by
/// its channels. For a class the maps of all prototypes, each times its weight for the class. Tag `similarity-map`.
///
/// It is no attribution: it says where the model looks, not which pixels move the similarity. A patch sees more of the image than
/// its own place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimilarityMap {}

#[typetag::serde(name = "similarity-map")]
impl ExplainerConfig for SimilarityMap {
    fn build(&self) -> Result<Box<dyn Explainer>> {
        Ok(Box::new(*self))
    }
}

/// The name of the explainer that suits a model: `similarity-map` for models that compare patches, `prp` for those with an encoder
/// whose layers it can walk, `integrated-gradients` for others.
pub fn suited(model: &BoxModel) -> &'static str {
    let shape = model.image_shape();
    let device = model.devices().into_iter().next();
    let compares_patches = device.is_some_and(|device| {
        let dims = [1, shape.channels, shape.height, shape.width];
        let image = Tensor::zeros(dims, &device.without_autodiff());
        model.valid().similarity_maps(image).is_some()
    });
    let walked = model.prototypes().is_some()
        && model
            .encoder()
            .is_some_and(|encoder| encoder.layers().is_some());
    match (compares_patches, walked) {
        (true, _) => "similarity-map",
        (false, true) => "prp",
        (false, false) => "integrated-gradients",
    }
}

impl Explainer for SimilarityMap {
    fn name(&self) -> &str {
        "similarity map"
    }

    fn explain(
        &self,
        model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> Result<Explanation> {
        let model = model.valid();
        let images = images.without_autodiff();
        // Refuses targets that do not exist.
        Columns::new(&model, &images, targets)?;
        let unsupported = |what| Error::Unsupported {
            model: model.kind().to_string(),
            what,
        };
        let ([samples, channels, height, width], device) = (images.dims(), images.device());
        let maps = model
            .similarity_maps(images)
            .ok_or_else(|| unsupported("similarities of patches to prototypes"))?;
        let [_, prototypes, rows, columns] = maps.dims();
        let maps: Vec<f32> = maps.into_data().iter::<f32>().collect();
        let weights: Option<Vec<f32>> = model
            .class_weights()
            .map(|weights| weights.into_data().iter::<f32>().collect());
        let cells = rows * columns;
        let mut relevance = Vec::with_capacity(samples * targets.len() * channels * height * width);
        for of_image in maps.chunks_exact((prototypes * cells).max(1)) {
            for target in targets {
                let map: Vec<f32> = match target {
                    Target::Prototype(row) => of_image[row * cells..(row + 1) * cells].to_vec(),
                    Target::Class(class) => {
                        let weights = weights
                            .as_ref()
                            .and_then(|all| all.get(class * prototypes..(class + 1) * prototypes))
                            .ok_or_else(|| unsupported("weights from similarities to classes"))?;
                        (0..cells)
                            .map(|cell| {
                                let each = weights.iter().enumerate();
                                each.map(|(row, weight)| weight * of_image[row * cells + cell])
                                    .sum()
                            })
                            .collect()
                    }
                    _ => return Err(unsupported("such target")),
                };
                let large = upsampled(&map, [rows, columns], [height, width]);
                let share = 1.0 / channels.max(1) as f32;
                for _ in 0..channels {
                    relevance.extend(large.iter().map(|value| value * share));
                }
            }
        }
        let dims = [samples * targets.len(), channels, height, width];
        Ok(Explanation {
            relevance: Tensor::from_data(TensorData::new(relevance, dims), &device),
            targets: targets.to_vec(),
        })
    }
}
