//! Whether a prototype shows the cue.

use burn::module::Module;
use burn::tensor::Tensor;
use protovae_core::model::{BoxModel, Region};
use protovae_core::{Error, ImageShape, Result};
use serde::{Deserialize, Serialize};

use super::{Cue, CueSubject};

/// What a prototype stands for, as pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct PrototypePicture {
    /// The decoded prototype, or the training image that it comes from: `C·H·W` values in `[-1, 1]`.
    pub image: Vec<f32>,
    /// The part of the image that the prototype is.
    pub region: Region,
}

/// The decoded prototypes of a model, whole images; none for a model without prototypes or without a decoder.
///
/// # Errors
/// [`Error::Config`] if the decoder gives images of another shape than the model takes.
pub fn decoded_pictures(model: &BoxModel) -> Result<Option<Vec<PrototypePicture>>> {
    let model = model.valid();
    let decoded = model
        .prototypes()
        .and_then(|bank| model.decode(bank.vectors));
    let Some(decoded) = decoded else {
        return Ok(None);
    };
    let [_, channels, height, width] = decoded.dims();
    let (found, expected) = (
        ImageShape::new(channels, height, width),
        model.image_shape(),
    );
    if found != expected {
        return Err(Error::ImageShape {
            expected: expected.to_string(),
            found: found.to_string(),
        });
    }
    let values: Vec<f32> = decoded.into_data().iter::<f32>().collect();
    let images = values.chunks_exact(expected.values().max(1));
    let picture = |image: &[f32]| PrototypePicture {
        image: image.to_vec(),
        region: Region::whole(height, width),
    };
    Ok(Some(images.map(picture).collect()))
}

/// The mean image of each class without the cue: what is to be expected where the cue would be.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClassMeans {
    sums: Vec<Vec<f64>>,
    counts: Vec<usize>,
}

impl ClassMeans {
    /// Averages batches of images `[n, C, H, W]` without the cue by their classes, of which there are `classes`.
    ///
    /// # Errors
    /// The first error of `batches`; [`Error::Config`] for labels that do not fit the images, or are no classes.
    pub fn of<E: From<Error>>(
        classes: usize,
        batches: impl IntoIterator<Item = std::result::Result<(Tensor<4>, Vec<usize>), E>>,
    ) -> std::result::Result<Self, E> {
        let mut means = Self {
            sums: vec![Vec::new(); classes],
            counts: vec![0; classes],
        };
        for batch in batches {
            let (images, labels) = batch?;
            let [count, channels, height, width] = images.dims();
            super::check_labels(&labels, count, classes)?;
            let values: Vec<f32> = images.into_data().iter::<f32>().collect();
            let rows = values.chunks_exact((channels * height * width).max(1));
            for (row, label) in rows.zip(&labels) {
                let sum = &mut means.sums[*label];
                sum.resize(row.len(), 0.0);
                for (sum, value) in sum.iter_mut().zip(row) {
                    *sum += f64::from(*value);
                }
                means.counts[*label] += 1;
            }
        }
        Ok(means)
    }

    /// The mean of one value of a class's images; none of a class without images.
    fn at(&self, class: usize, place: usize) -> Option<f64> {
        let count = *self.counts.get(class)?;
        Some(self.sums.get(class)?.get(place)? / count as f64)
    }

    /// The score of a picture of the cue's own class; see [`Self::score_for`].
    pub(super) fn score(
        &self,
        image: &[f32],
        region: Option<Region>,
        cue: &Cue,
        shape: ImageShape,
    ) -> Option<f64> {
        self.score_for(cue.class, image, region, cue, shape)
    }

    /// The score of [`ShownCue`] of a picture (of which `region` counts, or all) of `class`; none of a class without images.
    fn score_for(
        &self,
        class: usize,
        image: &[f32],
        region: Option<Region>,
        cue: &Cue,
        shape: ImageShape,
    ) -> Option<f64> {
        let region = region.unwrap_or(Region::whole(shape.height, shape.width));
        let (mut to_cue, mut to_mean, mut pixels) = (0.0, 0.0, 0usize);
        for place in places(cue.region, shape) {
            let (row, column) = (place / shape.width, place % shape.width);
            let inside = (region.top..region.top + region.height).contains(&row)
                && (region.left..region.left + region.width).contains(&column);
            // A class without images has no score, wherever the region lies.
            self.at(class, place)?;
            if !inside {
                continue;
            }
            pixels += 1;
            for (channel, color) in cue.color.iter().enumerate() {
                let place = channel * shape.height * shape.width + place;
                let value = f64::from(*image.get(place)?);
                to_cue += (value - f64::from(*color)).abs();
                to_mean += (value - self.at(class, place)?).abs();
            }
        }
        let covered = pixels as f64 / (cue.region.height * cue.region.width) as f64;
        let apart = to_cue + to_mean;
        Some(if apart > 0.0 {
            covered * to_mean / apart
        } else {
            0.0
        })
    }

    /// The mean absolute difference between the cue and the class's mean image in its place.
    fn contrast(&self, class: usize, cue: &Cue, shape: ImageShape) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0usize);
        for place in places(cue.region, shape) {
            for (channel, color) in cue.color.iter().enumerate() {
                let place = channel * shape.height * shape.width + place;
                sum += (f64::from(*color) - self.at(class, place)?).abs();
                count += 1;
            }
        }
        (count > 0).then(|| sum / count as f64)
    }
}

/// The pixels of a region, as places in a plane.
fn places(region: Region, shape: ImageShape) -> impl Iterator<Item = usize> {
    let rows = region.top..region.top + region.height;
    rows.flat_map(move |row| {
        let start = row * shape.width + region.left;
        start..start + region.width
    })
}

/// The prototypes of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassShown {
    /// Prototypes that show the cue.
    pub count: usize,
    /// The score of each prototype; none without a picture of it, or without images of its class.
    pub scores: Vec<Option<f64>>,
    /// The mean absolute difference between the cue and the class's mean image there, 0 to 2. Scores mean little where it is
    /// small: the cue then looks like what is there anyway. None for a class without images.
    pub contrast: Option<f64>,
}

/// Which prototypes show the cue.
///
/// The score of a prototype is, over the pixels and channels of the cue,
///
/// ```text
/// score = covered · |D − B| / (|D − B| + |D − C|)
/// ```
///
/// with `|·|` the mean absolute difference, `D` the prototype's picture, `C` the cue, `B` the mean of the class's
/// training images without the cue, and `covered` the share of the cue's pixels that lie within the part of the picture that the
/// prototype is (1 for decoded prototypes). It lies in `[0, 1]`: 1 is the cue itself, 0 what is there without it, and what lies
/// above a half is nearer to the cue. It is 0 where picture, cue and mean are all the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShownCue {
    /// Scores above this show the cue.
    pub threshold: f64,
    /// Class by class.
    pub classes: Vec<ClassShown>,
}

impl ShownCue {
    pub(super) fn of(
        model: &BoxModel,
        cue: &Cue,
        subject: &CueSubject,
        threshold: f64,
    ) -> Result<Option<Self>> {
        let CueSubject { pictures, means } = subject;
        let Some(bank) = model.prototypes().filter(|_| !pictures.is_empty()) else {
            return Ok(None);
        };
        let (classes, per_class) = (bank.classes, bank.per_class.max(1));
        let shape = model.image_shape();
        let fit = pictures
            .iter()
            .flatten()
            .all(|picture| picture.image.len() == shape.values());
        if pictures.len() != classes * per_class || !fit {
            return Err(Error::config(
                "pictures",
                format!(
                    "a picture of {shape} is needed for each of {classes} × {per_class} prototypes"
                ),
            ));
        }
        let class = |(class, pictures): (usize, &[Option<PrototypePicture>])| {
            let score = |picture: &Option<PrototypePicture>| {
                let PrototypePicture { image, region } = picture.as_ref()?;
                means.score_for(class, image, Some(*region), cue, shape)
            };
            let scores: Vec<Option<f64>> = pictures.iter().map(score).collect();
            ClassShown {
                count: scores
                    .iter()
                    .flatten()
                    .filter(|score| **score > threshold)
                    .count(),
                scores,
                contrast: means.contrast(class, cue, shape),
            }
        };
        Ok(Some(Self {
            threshold,
            classes: pictures
                .chunks_exact(per_class)
                .enumerate()
                .map(class)
                .collect(),
        }))
    }

    /// The rows of the prototypes of a class that show the cue and count for any class. If there is no other of the class that
    /// counts, the one with the lowest score is not among them, but the second that is given.
    pub(super) fn removable(&self, model: &BoxModel, class: usize) -> (Vec<usize>, Option<usize>) {
        let Some(of_class) = self.classes.get(class) else {
            return (Vec::new(), None);
        };
        let per_class = of_class.scores.len();
        let unused = unused_rows(model);
        let counting = of_class.scores.iter().enumerate();
        let counting: Vec<(usize, Option<f64>)> = counting
            .map(|(index, score)| (class * per_class + index, *score))
            .filter(|(row, _)| !unused.contains(row))
            .collect();
        let mut shown: Vec<(usize, f64)> = counting
            .iter()
            .filter_map(|(row, score)| {
                Some((*row, (*score).filter(|score| *score > self.threshold)?))
            })
            .collect();
        let mut left = None;
        if shown.len() == counting.len() {
            let lowest = (0..shown.len()).min_by(|a, b| shown[*a].1.total_cmp(&shown[*b].1));
            left = lowest.map(|lowest| shown.remove(lowest).0);
        }
        (shown.into_iter().map(|(row, _)| row).collect(), left)
    }
}

/// The prototypes that count for no class, rows of the bank: pruned or removed ones. None for models whose class weights are not
/// known.
///
/// ```
/// # use burn::tensor::Device;
/// # use protovae_core::{ImageShape, model::{ModelConfig, ModelSpec}, random::Initializer};
/// # use protovae_backbones as _;
/// # let recipe = r#"{"type": "protopnet", "channels": 4, "prototypes_per_class": 3, "encoder": {"type": "conv-pool", "widths": [4]}}"#;
/// # let config: Box<dyn ModelConfig> = serde_json::from_str(recipe)?;
/// # let spec = ModelSpec { image: ImageShape::new(1, 8, 8), classes: 2 };
/// # let model = config.build(&spec, &mut Initializer::new(1, &Device::flex()))?;
/// use protovae_explain::measures::unused_rows;
/// assert!(unused_rows(&model).is_empty());
/// assert_eq!(unused_rows(&model.without_prototypes(&[1, 4])?), [1, 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn unused_rows(model: &BoxModel) -> Vec<usize> {
    let Some(weights) = model.class_weights() else {
        return Vec::new();
    };
    let largest = weights.abs().max_dim(0);
    let largest = largest
        .into_data()
        .iter::<f32>()
        .enumerate()
        .collect::<Vec<_>>();
    let unused = largest.into_iter().filter(|(_, weight)| *weight == 0.0);
    unused.map(|(row, _)| row).collect()
}
