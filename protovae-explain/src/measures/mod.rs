//! Measures of explanations: how much a map is worth, always beside a random map.
//!
//! * [`Masking`]: what is left of a score when only the most relevant part of the image is kept (Average Drop, Average Increase);
//! * [`RelevanceOrdering`]: how fast a score rises when pixels come back in the order of their relevance;
//! * [`Robustness`]: how far maps and similarities move under small noise in the image;
//! * [`Attacks`]: the accuracy that is left under FGSM and PGD;
//! * [`Diversity`]: distances and usage of the prototypes;
//! * [`CueMeasure`]: what a planted cue does, and which prototypes show it;
//! * [`sharpness`] and [`variety`] of images, such as decoded prototypes.
//!
//! The first three ask of every image one [`Question`] in one of two [`Form`]s. [`compare`] takes all measures of several
//! explainers and gives a [`Table`], with standard errors of the paired differences to the random map.
//!
//! A map is used as one relevance a pixel, the sum over channels; where pixels tie, the one with the lower index
//! (row by row) counts as more relevant. Everything is deterministic.

mod attacks;
mod compare;
mod cue;
mod diversity;
mod masking;
mod noise;
mod ordering;
mod question;
mod render;
mod robustness;
mod sharpness;
mod table;

pub use attacks::{Attacked, Attacks, Transferred};
pub use compare::{Comparison, Curve, Measure, Settings, compare};
pub use cue::{
    ClassMeans, ClassShown, Cue, CueEffect, CueFigures, CueMeasure, CueSubject, PrototypePicture,
    Reconstructed, RelevanceOnCue, ShownCue, WithoutShown, decoded_pictures, unused_rows,
};
pub use diversity::{ClassDiversity, Diversity, DiversityFound};
pub use masking::{Keep, Masked, Masking};
pub use noise::{Noise, noise_image};
pub use ordering::{Ordered, RelevanceOrdering};
pub use question::{Form, Question, pixel_maps};
pub use robustness::Robustness;
pub use sharpness::{sharpness, variety};
pub use table::{Better, Measured, Quantity, Row, Summary, Table};

use burn::tensor::{Device, Tensor, TensorData};
use protovae_core::model::{BoxModel, Prediction};
use protovae_core::{Error, ImageShape, Result};

use crate::check::check_images;
use crate::explainers::rows_at_once;

/// The pixels of a map from the most to the least relevant; of equal ones the first comes first.
pub fn ranking(map: &[f32]) -> Vec<usize> {
    let mut pixels: Vec<usize> = (0..map.len()).collect();
    // A stable sort keeps pixels that tie in the order of their indices. Adding 0 makes −0 into 0.
    pixels.sort_by(|a, b| (map[*b] + 0.0).total_cmp(&(map[*a] + 0.0)));
    pixels
}

/// Images in host memory, to build changed ones from.
struct HostImages {
    values: Vec<f32>,
    shape: ImageShape,
    count: usize,
    device: Device,
}

impl HostImages {
    /// Checks that there are images, and that the model takes them.
    fn new(model: &BoxModel, images: &Tensor<4>) -> Result<Self> {
        check_images(model, images)?;
        let images = images.clone().without_autodiff();
        let [count, channels, height, width] = images.dims();
        let shape = ImageShape::new(channels, height, width);
        if count == 0 {
            return Err(Error::config("images", "at least one image must be given"));
        }
        let device = images.device();
        Ok(Self {
            values: images.into_data().iter::<f32>().collect(),
            shape,
            count,
            device,
        })
    }

    /// Pixels of a map.
    fn plane(&self) -> usize {
        self.shape.height * self.shape.width
    }

    fn image(&self, index: usize) -> &[f32] {
        let size = self.shape.values();
        &self.values[index * size..(index + 1) * size]
    }

    /// Puts pixels of `from` (all their channels) into an image.
    fn paste(&self, image: &mut [f32], from: &[f32], pixels: &[usize]) {
        let plane = self.plane();
        for (image, from) in image.chunks_exact_mut(plane).zip(from.chunks_exact(plane)) {
            for pixel in pixels {
                image[*pixel] = from[*pixel];
            }
        }
    }

    /// Has the model see `rows` images, made one at a time and shown as many at once as the memory should hold; `see` gets the
    /// number of the first and what the model says.
    fn show(
        &self,
        model: &BoxModel,
        rows: usize,
        mut make: impl FnMut(usize) -> Vec<f32>,
        mut see: impl FnMut(usize, Prediction) -> Result<()>,
    ) -> Result<()> {
        let ImageShape {
            channels,
            height,
            width,
        } = self.shape;
        let together = rows_at_once(height, width);
        for start in (0..rows).step_by(together) {
            let count = together.min(rows - start);
            let mut batch = Vec::with_capacity(count * self.shape.values());
            for row in start..start + count {
                batch.extend(make(row));
            }
            let data = TensorData::new(batch, [count, channels, height, width]);
            see(start, model.predict(Tensor::from_data(data, &self.device)))?;
        }
        Ok(())
    }
}

/// The values of a tensor, row by row.
fn rows_of(tensor: Tensor<2>) -> (Vec<f32>, usize) {
    let width = tensor.dims()[1].max(1);
    (tensor.into_data().iter::<f32>().collect(), width)
}

/// The largest of some values, the first of equal ones.
fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// Checks maps against the images that they are of.
fn check_maps(images: &HostImages, question: &Question, maps: &[Vec<f32>]) -> Result<()> {
    let fits = maps.len() == images.count
        && question.targets.len() == images.count
        && maps.iter().all(|map| map.len() == images.plane());
    if fits {
        Ok(())
    } else {
        Err(Error::config(
            "maps",
            format!(
                "{} images of {} pixels take as many targets and maps",
                images.count,
                images.plane()
            ),
        ))
    }
}

/// Checks a share.
fn check_share(key: &str, share: f64) -> Result<()> {
    if share > 0.0 && share < 1.0 {
        Ok(())
    } else {
        Err(Error::config(
            key,
            format!("must lie between 0 and 1, not {share}"),
        ))
    }
}
