//! An explainer that asks the model alone: random masks and scores, neither gradients nor layers.

use burn::tensor::{Int, Tensor, TensorData};
use protovae_core::model::BoxModel;
use protovae_core::plugin::{Explainer, ExplainerConfig, Explanation, Target};
use protovae_core::random::{Purpose, normal_rows};
use protovae_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// RISE (Petsiuk, Das and Saenko 2018): how a target's score and the presence of a pixel vary together over random masks.
///
/// A mask is a grid of square cells of which half are kept; the others become grey. Relevance is the covariance of the score
/// with the pixel being kept, shared equally by the channels. Recipe: `{"type": "rise", "masks": 256, "cell": 4, "seed": 0}`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rise {
    /// Masks, 1 to 65536, default 256.
    pub masks: usize,
    /// Pixels a side of a cell, at least 1, default 4.
    pub cell: usize,
    /// The seed of the masks, default 0. All images see the same masks.
    pub seed: u64,
}

impl Default for Rise {
    fn default() -> Self {
        Self {
            masks: 256,
            cell: 4,
            seed: 0,
        }
    }
}

#[typetag::serde(name = "rise")]
impl ExplainerConfig for Rise {
    fn build(&self) -> Result<Box<dyn Explainer>> {
        if !(1..=65536).contains(&self.masks) {
            return Err(Error::config(
                "masks",
                format!("must lie between 1 and 65536, not {}", self.masks),
            ));
        }
        if self.cell == 0 {
            return Err(Error::config("cell", "must be at least 1"));
        }
        Ok(Box::new(*self))
    }
}

/// Masked copies of an image that the model sees at once.
const TOGETHER: usize = 64;

impl Explainer for Rise {
    fn name(&self) -> &str {
        "rise"
    }

    fn explain(
        &self,
        model: &BoxModel,
        images: Tensor<4>,
        targets: &[Target],
    ) -> Result<Explanation> {
        let columns = columns(model, targets)?;
        let [samples, channels, height, width] = images.dims();
        let masks = self.masks(height, width, &images);
        let presence = centred(masks.clone().flatten::<2>(1, 3));
        let mut maps = Vec::with_capacity(samples);
        for sample in 0..samples {
            let image = images.clone().narrow(0, sample, 1);
            let mut scores = Vec::new();
            for start in (0..self.masks).step_by(TOGETHER) {
                let count = TOGETHER.min(self.masks - start);
                let masked = image.clone() * masks.clone().narrow(0, start, count);
                let prediction = model.predict(masked);
                let all = match prediction.similarities {
                    Some(similarities) => Tensor::cat(vec![prediction.logits, similarities], 1),
                    None => prediction.logits,
                };
                let index = Tensor::<1, Int>::from_data(columns.as_slice(), &all.device());
                scores.push(all.select(1, index));
            }
            let scores = centred(Tensor::cat(scores, 0));
            let share = (self.masks * channels) as f64;
            let map = scores.transpose().matmul(presence.clone()) / share;
            let map = map.reshape([targets.len(), 1, height, width]);
            maps.push(map.expand([targets.len(), channels, height, width]));
        }
        Ok(Explanation {
            relevance: Tensor::cat(maps, 0),
            targets: targets.to_vec(),
        })
    }
}

impl Rise {
    /// All masks, `[masks, 1, H, W]` of 0 and 1, a function of the seed and the size alone.
    fn masks(&self, height: usize, width: usize, like: &Tensor<4>) -> Tensor<4> {
        let (rows, columns) = (height.div_ceil(self.cell), width.div_ceil(self.cell));
        let numbers: Vec<u64> = (0..self.masks as u64).collect();
        let device = like.device();
        let purpose = Purpose::Plugin;
        let grid = normal_rows(self.seed, 0, &numbers, rows * columns, purpose, &device);
        let grid: Vec<f32> = grid.into_data().iter::<f32>().collect();
        let mut pixels = Vec::with_capacity(self.masks * height * width);
        for cells in grid.chunks_exact((rows * columns).max(1)) {
            for y in 0..height {
                for x in 0..width {
                    let cell = cells[y / self.cell * columns + x / self.cell];
                    pixels.push(if cell > 0.0 { 1.0f32 } else { 0.0 });
                }
            }
        }
        let shape = [self.masks, 1, height, width];
        Tensor::from_data(TensorData::new(pixels, shape), &device)
    }
}

/// Each column minus its mean.
fn centred(values: Tensor<2>) -> Tensor<2> {
    let mean = values.clone().mean_dim(0);
    values - mean
}

/// Where in `[logits | similarities]` the scores of targets stand; an error for one that does not exist.
fn columns(model: &BoxModel, targets: &[Target]) -> Result<Vec<i64>> {
    let classes = model.classes();
    let prototypes = model
        .prototypes()
        .map_or(0, |bank| bank.classes * bank.per_class);
    let missing = |what| Error::Unsupported {
        model: model.kind().to_string(),
        what,
    };
    let column = |target: &Target| match target {
        Target::Class(class) if *class < classes => Ok(*class as i64),
        Target::Class(_) => Err(missing("such class")),
        Target::Prototype(row) if *row < prototypes => Ok((classes + row) as i64),
        _ => Err(missing("such prototype")),
    };
    if targets.is_empty() {
        return Err(Error::config(
            "targets",
            "at least one target must be named",
        ));
    }
    targets.iter().map(column).collect()
}
