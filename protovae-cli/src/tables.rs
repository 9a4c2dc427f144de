//! What a model makes of a data set, and the strangeness detector that is learned from it.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use protovae_core::model::BoxModel;
use protovae_core::train::write_atomically;
use protovae_data::{Dataset, permutation};
use protovae_explain::views::{
    ConceptTable, LatentTable, PrototypeImages, StrangenessDetector, has_concepts,
};

use crate::error::{CliError, Result};

/// Images that go through a model at once, if they are small.
const BATCH: usize = 256;

/// Values of the images that go through at once, if there are more than one: as many as 32 images of 224×224 in colour have.
const VALUES: usize = 32 * 3 * 224 * 224;

/// The rows of `count` of `images` images, or of all if there are fewer: the first in the order that a seed gives.
pub fn drawn(seed: u64, images: usize, count: usize) -> Vec<usize> {
    let mut rows = permutation(seed, 0, images);
    rows.truncate(count);
    rows
}

/// The images of a data set at these rows, in batches `[n, C, H, W]` with their labels.
pub fn batches<'a>(
    dataset: &'a dyn Dataset,
    rows: &'a [usize],
    device: &'a Device,
) -> impl Iterator<Item = Result<(Tensor<4>, Vec<usize>)>> + 'a {
    let most = (VALUES / dataset.shape().pixels().max(1)).clamp(1, BATCH);
    rows.chunks(most).map(|rows| images(dataset, rows, device))
}

/// The images of a data set at these rows, and their labels.
pub fn images(
    dataset: &dyn Dataset,
    rows: &[usize],
    device: &Device,
) -> Result<(Tensor<4>, Vec<usize>)> {
    let shape = dataset.shape();
    let mut values = vec![0f32; rows.len() * shape.pixels()];
    let mut labels = Vec::with_capacity(rows.len());
    for (image, row) in values.chunks_exact_mut(shape.pixels().max(1)).zip(rows) {
        dataset.image(*row, image)?;
        labels.push(dataset.label(*row)?);
    }
    let dimensions = [rows.len(), shape.channels, shape.height, shape.width];
    let data = TensorData::new(values, dimensions);
    Ok((Tensor::from_data(data, device), labels))
}

/// [`images`] without the labels, as the libraries ask for them.
pub fn images_of<'a>(
    dataset: &'a dyn Dataset,
    device: &'a Device,
) -> impl Fn(&[usize]) -> protovae_explain::Result<Tensor<4>> + 'a {
    move |rows| {
        let found = images(dataset, rows, device);
        found.map(|(images, _)| images).map_err(|error| {
            protovae_explain::Error::Core(protovae_core::Error::Data(Box::new(error)))
        })
    }
}

/// The training images that a model's prototypes come from; none if they come from none.
pub fn prototype_images(
    model: &BoxModel,
    train: &dyn Dataset,
    device: &Device,
) -> Result<Option<PrototypeImages>> {
    let device = device.clone().without_autodiff();
    let images = images_of(train, &device);
    Ok(PrototypeImages::of(model, train.len(), &images)?)
}

/// The table of all images of a data set.
pub fn latent_table(
    model: &BoxModel,
    dataset: &dyn Dataset,
    device: &Device,
) -> Result<LatentTable> {
    let rows: Vec<usize> = (0..dataset.len()).collect();
    LatentTable::new(model, batches(dataset, &rows, device))
}

/// The concepts of all images of a data set; none if the model does not explain itself by concepts.
pub fn concept_table(
    model: &BoxModel,
    dataset: &dyn Dataset,
    device: &Device,
) -> Result<Option<ConceptTable>> {
    if !has_concepts(model) {
        return Ok(None);
    }
    let rows: Vec<usize> = (0..dataset.len()).collect();
    ConceptTable::new(model, batches(dataset, &rows, device)).map(Some)
}

/// The share of held-out images that the detector of a run takes for strange.
pub const SHARE_REJECTED: f64 = 0.01;

/// Where the detector of a model lies.
pub fn strangeness_path(model: &Path) -> PathBuf {
    model.with_file_name("strangeness.json")
}

/// Learns a detector from held-out images and writes it beside the model; none for models without prototypes.
pub fn learn_strangeness(table: &LatentTable, model: &Path) -> Result<Option<PathBuf>> {
    if table.prototype_count() == 0 {
        return Ok(None);
    }
    let detector = StrangenessDetector::of(table, SHARE_REJECTED)?;
    let text = serde_json::to_string_pretty(&detector)?;
    let path = strangeness_path(model);
    write_atomically(&path, text.as_bytes())?;
    Ok(Some(path))
}

/// The detector beside a model; none if there is no such file, as beside models of earlier versions.
pub fn strangeness(model: &Path) -> Result<Option<StrangenessDetector>> {
    let path = strangeness_path(model);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CliError::Read { path, source }),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        CliError::Core(protovae_core::Error::Damaged {
            path,
            reason: format!("{error}; delete it to predict without"),
        })
    })
}
