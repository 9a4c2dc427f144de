//! A spurious cue: how much a model leans on a patch that was planted in one class, whether its prototypes show it, and what is
//! left once those that do are taken out.

mod pass;
mod render;
mod shown;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use protovae_core::model::{BoxModel, Region};
use protovae_core::plugin::{Explainer, Target};
use protovae_core::{Error, ImageShape, Result};
use serde::{Deserialize, Serialize};

pub use shown::{
    ClassMeans, ClassShown, PrototypePicture, ShownCue, decoded_pictures, unused_rows,
};

use super::attacks::check_labels;
use super::{Summary, largest, pixel_maps, rows_of};
use pass::Pass;

/// A patch of one colour, and the class that it was planted in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cue {
    /// The class.
    pub class: usize,
    /// Where the patch lies.
    pub region: Region,
    /// Its value in each channel, in `[-1, 1]`.
    pub color: Vec<f32>,
}

impl Cue {
    /// Checks that it lies within images of `shape`, and that its class is one of `classes`.
    ///
    /// # Errors
    /// [`Error::Config`] naming what does not fit.
    pub fn check(&self, shape: ImageShape, classes: usize) -> Result<()> {
        let Region {
            top,
            left,
            height,
            width,
        } = self.region;
        let within = |start: usize, length: usize, all: usize| {
            let end = start.checked_add(length);
            length > 0 && end.is_some_and(|end| end <= all)
        };
        if !within(top, height, shape.height) || !within(left, width, shape.width) {
            return Err(Error::config(
                "cue.region",
                format!("{:?} does not lie within images of {shape}", self.region),
            ));
        }
        if self.color.len() != shape.channels {
            return Err(Error::config(
                "cue.color",
                format!(
                    "images of {shape} take a value a channel, not {}",
                    self.color.len()
                ),
            ));
        }
        if self.class >= classes {
            return Err(Error::config(
                "cue.class",
                format!(
                    "there is no class {}: there are {classes}, numbered from 0",
                    self.class
                ),
            ));
        }
        Ok(())
    }

    /// Images `[N, C, H, W]` that all carry the patch. It must lie within them.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use protovae_core::model::Region;
    /// use protovae_explain::measures::Cue;
    /// let region = Region { top: 0, left: 1, height: 1, width: 1 };
    /// let cue = Cue { class: 0, region, color: vec![1.0] };
    /// let images = cue.planted(Tensor::zeros([1, 1, 2, 2], &Device::flex()));
    /// assert_eq!(images.into_data().iter::<f32>().collect::<Vec<_>>(), [0.0, 1.0, 0.0, 0.0]);
    /// ```
    #[must_use]
    pub fn planted(&self, images: Tensor<4>) -> Tensor<4> {
        let [count, channels, ..] = images.dims();
        let Region {
            top,
            left,
            height,
            width,
        } = self.region;
        let color = TensorData::new(self.color.clone(), [1, channels, 1, 1]);
        let patch = Tensor::<4>::from_data(color, &images.device());
        let patch = patch.expand([count, channels, height, width]);
        let place = [0..count, 0..channels, top..top + height, left..left + width];
        images.slice_assign(place, patch)
    }

    /// The share of an image's pixels that it covers.
    fn area(&self, shape: ImageShape) -> f64 {
        (self.region.height * self.region.width) as f64 / (shape.height * shape.width) as f64
    }
}

/// What a model makes of images with a cue and without it. Every share lies in `[0, 1]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CueEffect {
    /// Accuracy on the images as they are.
    pub accuracy: Summary,
    /// Accuracy on the same images, all of which carry the cue.
    pub accuracy_with_cue: Summary,
    /// Accuracy on the images of the cue's class as they are: what the class is known by besides the cue.
    pub class_accuracy: Summary,
    /// Accuracy on the images of the cue's class, all of which carry it.
    pub class_accuracy_with_cue: Summary,
    /// Share of the other classes' images that are taken for the cue's class as they are.
    pub others_taken: Summary,
    /// The same once they carry the cue: how often the cue alone decides.
    pub others_taken_with_cue: Summary,
}

/// How well the model's reconstructions of the cue's class show the cue: the score of [`ShownCue`], averaged over images. It tells
/// whether the decoder could show the cue at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reconstructed {
    /// Of the class's images as they are.
    pub without_cue: Summary,
    /// Of the same images with the cue.
    pub with_cue: Summary,
}

/// How much of a relevance map falls on the cue: the sum of absolute relevance over its pixels, over that of all pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RelevanceOnCue {
    /// The explainer's name.
    pub explainer: String,
    /// The share of the image's pixels that the cue covers: what a map that knows nothing gives.
    pub area: f64,
    /// In the place of the cue, in images without it.
    pub without_cue: Summary,
    /// In images with it, for the class that the model then predicts.
    pub with_cue: Summary,
}

/// The model without the prototypes of the cue's class that show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WithoutShown {
    /// Rows of the bank that were taken out.
    pub removed: Vec<usize>,
    /// A row of the bank that shows the cue and was left all the same, the one that shows it least, because all of its class
    /// show it: a class without prototypes can hardly be predicted.
    pub left: Option<usize>,
    /// What this model makes of the same images.
    pub effect: CueEffect,
}

/// What [`CueMeasure`] finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CueFigures {
    /// The cue.
    pub cue: Cue,
    /// What the model makes of images with it and without.
    pub effect: CueEffect,
    /// Which prototypes show it; none if there are no pictures of them.
    pub shown: Option<ShownCue>,
    /// The control of `shown`; none for models without a decoder.
    pub reconstructed: Option<Reconstructed>,
    /// What falls on it of relevance maps; none if none was asked for.
    pub relevance: Option<RelevanceOnCue>,
    /// The model without the prototypes that show it; none if none of its class does.
    pub without_shown: Option<WithoutShown>,
    /// What could not be measured, and why.
    pub notes: Vec<String>,
}

/// Measures what a planted cue does to a model.
///
/// A prototype *shows* the cue if its score, see [`ShownCue`], is above [`threshold`](Self::threshold). All numbers are taken a
/// second time from the model without the prototypes of the cue's class that show it
/// ([`Model::without_prototypes`](protovae_core::model::Model::without_prototypes)). If that were all prototypes
/// of the class that count, the one with the lowest score stays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CueMeasure {
    /// Scores above this one show the cue; 0 to 1, default 0.5: nearer to the cue than to what is there without it.
    pub threshold: f64,
    /// Relevance maps are made of so many images, the first; default 100.
    pub maps: usize,
}

impl Default for CueMeasure {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            maps: 100,
        }
    }
}

/// What is known of a model's prototypes and classes before its images are looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CueSubject {
    /// A picture of each prototype in the order of the bank, or none; empty for a model whose prototypes cannot be shown.
    pub pictures: Vec<Option<PrototypePicture>>,
    /// What is to be expected without the cue.
    pub means: ClassMeans,
}

impl CueMeasure {
    /// Checks the threshold.
    ///
    /// # Errors
    /// [`Error::Config`] unless it lies between 0 and 1.
    pub fn check(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.threshold) {
            return Ok(());
        }
        let reason = format!("must lie between 0 and 1, not {}", self.threshold);
        Err(Error::config("cue threshold", reason))
    }

    /// Measures on batches of images `[n, C, H, W]` without the cue and their true classes. With explainers, relevance
    /// maps as well, of the first of them that supports the model.
    ///
    /// # Errors
    /// The first error of `batches`; [`Error::Config`] if cue, images, pictures or labels do not fit the model, or there are no images;
    /// what the explainer fails with, but for what it does not support, which is a note.
    pub fn measure<E: From<Error>>(
        &self,
        model: &BoxModel,
        cue: &Cue,
        subject: &CueSubject,
        explainers: &[Box<dyn Explainer>],
        batches: impl IntoIterator<Item = std::result::Result<(Tensor<4>, Vec<usize>), E>>,
    ) -> std::result::Result<CueFigures, E> {
        let model = model.valid();
        let shape = model.image_shape();
        cue.check(shape, model.classes())?;
        self.check()?;
        let mut notes = Vec::new();
        let shown = ShownCue::of(&model, cue, subject, self.threshold)?;
        if shown.is_none() {
            notes.push(format!(
                "{} models have no prototypes that can be shown",
                model.kind()
            ));
        }
        let left = match &shown {
            Some(shown) => without(&model, cue, shown, &mut notes)?,
            None => None,
        };
        let mut whole = Pass::default();
        let mut part = left.as_ref().map(|_| Pass::default());
        let mut reconstructions = [Vec::new(), Vec::new()];
        let mut first: Vec<Tensor<4>> = Vec::new();
        let mut wanted = if explainers.is_empty() { 0 } else { self.maps };
        for batch in batches {
            let (images, labels) = batch?;
            let images = images.without_autodiff();
            let [count, channels, height, width] = images.dims();
            let found = ImageShape::new(channels, height, width);
            if found != shape {
                return Err(E::from(Error::ImageShape {
                    expected: shape.to_string(),
                    found: found.to_string(),
                }));
            }
            check_labels(&labels, count, model.classes())?;
            if count == 0 {
                continue;
            }
            let both = [images.clone(), cue.planted(images.clone())];
            let predictions = both.clone().map(|images| model.predict(images));
            let logits = [0, 1].map(|which| predictions[which].logits.clone());
            whole.add(logits, &labels, cue.class);
            if let (Some((left, ..)), Some(part)) = (&left, &mut part) {
                let logits = both.map(|images| left.predict(images).logits);
                part.add(logits, &labels, cue.class);
            }
            for (scores, prediction) in reconstructions.iter_mut().zip(predictions) {
                let decoded = prediction.latents.and_then(|latents| model.decode(latents));
                let Some(decoded) = decoded else { continue };
                let all: Vec<f32> = decoded.into_data().iter::<f32>().collect();
                let rows = all.chunks_exact(shape.values().max(1)).zip(&labels);
                for (row, _) in rows.filter(|(_, label)| **label == cue.class) {
                    scores.extend(subject.means.score(row, None, cue, shape));
                }
            }
            if wanted > 0 {
                let taken = wanted.min(count);
                first.push(images.narrow(0, 0, taken));
                wanted -= taken;
            }
        }
        if whole.is_empty() {
            return Err(Error::config("images", "at least one image must be given").into());
        }
        let relevance = match first.is_empty() {
            true => None,
            false => relevance(&model, cue, explainers, &Tensor::cat(first, 0), &mut notes)?,
        };
        let [without_cue, with_cue] = reconstructions.map(|scores| Summary::of(&scores));
        let without_shown = left
            .zip(part)
            .map(|((_, removed, left), part)| WithoutShown {
                removed,
                left,
                effect: part.effect(),
            });
        Ok(CueFigures {
            cue: cue.clone(),
            effect: whole.effect(),
            shown,
            reconstructed: (with_cue.images > 0).then_some(Reconstructed {
                without_cue,
                with_cue,
            }),
            relevance,
            without_shown,
            notes,
        })
    }
}

/// The model without the prototypes of the cue's class that show it, these, and one that was left although it shows it.
type Without = (BoxModel, Vec<usize>, Option<usize>);

fn without(
    model: &BoxModel,
    cue: &Cue,
    shown: &ShownCue,
    notes: &mut Vec<String>,
) -> Result<Option<Without>> {
    let (removed, left) = shown.removable(model, cue.class);
    if removed.is_empty() {
        let reason = match left {
            Some(_) => "the one prototype of the cue's class that counts shows the cue",
            None => "no prototype of the cue's class shows the cue",
        };
        notes.push(format!("{reason}: none is removed"));
        return Ok(None);
    }
    match model.without_prototypes(&removed) {
        Err(error @ Error::Unsupported { .. }) => {
            notes.push(format!("none is removed: {error}"));
            Ok(None)
        }
        model => Ok(Some((model?, removed, left))),
    }
}

/// By the first explainer that supports the model; none, and notes, if none does.
fn relevance(
    model: &BoxModel,
    cue: &Cue,
    explainers: &[Box<dyn Explainer>],
    images: &Tensor<4>,
    notes: &mut Vec<String>,
) -> Result<Option<RelevanceOnCue>> {
    let mut refused = Vec::new();
    for explainer in explainers {
        match relevance_by(explainer.as_ref(), model, cue, images) {
            Err(error @ Error::Unsupported { .. }) => {
                refused.push(format!("no relevance by {}: {error}", explainer.name()));
            }
            found => return found.map(Some),
        }
    }
    notes.extend(refused);
    Ok(None)
}

fn relevance_by(
    explainer: &dyn Explainer,
    model: &BoxModel,
    cue: &Cue,
    images: &Tensor<4>,
) -> Result<RelevanceOnCue> {
    let shape = model.image_shape();
    let share = |images: Tensor<4>| -> Result<Summary> {
        let (logits, width) = rows_of(model.predict(images.clone()).logits);
        let targets: Vec<Target> = logits
            .chunks_exact(width)
            .map(|row| Target::Class(largest(row)))
            .collect();
        let maps = pixel_maps(model, explainer, &images, &targets)?;
        let shares: Vec<f64> = maps
            .iter()
            .filter_map(|map| share_within(map, cue.region, shape.width))
            .collect();
        Ok(Summary::of(&shares))
    };
    Ok(RelevanceOnCue {
        explainer: explainer.name().to_string(),
        area: cue.area(shape),
        without_cue: share(images.clone())?,
        with_cue: share(cue.planted(images.clone()))?,
    })
}

/// The absolute values within a region over those of the whole map; none for a map without any.
fn share_within(map: &[f32], region: Region, width: usize) -> Option<f64> {
    let sum = |values: &[f32]| {
        let values = values.iter().map(|value| f64::from(value.abs()));
        values.sum::<f64>()
    };
    let rows = map.chunks_exact(width.max(1)).skip(region.top);
    let columns = region.left..region.left + region.width;
    let inside: f64 = rows
        .take(region.height)
        .filter_map(|row| row.get(columns.clone()).map(sum))
        .sum();
    let all = sum(map);
    (all > 0.0 && all.is_finite()).then(|| inside / all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relevance_within_a_region_by_hand() {
        let map = [1.0, -2.0, 3.0, 0.0, 4.0, -5.0, 0.0, 1.0, 0.0];
        let region = Region {
            top: 0,
            left: 1,
            height: 2,
            width: 2,
        };
        assert_eq!(share_within(&map, region, 3), Some(14.0 / 16.0));
        assert_eq!(share_within(&[0.0; 9], region, 3), None);
        assert_eq!(share_within(&map, Region::whole(3, 3), 3), Some(1.0));
    }
}
