//! What a cue that was planted in a run's training images does to its model.

use std::path::Path;

use burn::tensor::Device;
use protovae_core::model::{BoxModel, Region};
use protovae_data::{CueConfig, DataSplits, Dataset};
use protovae_explain::explainers;
use protovae_explain::measures::{
    ClassMeans, Cue, CueFigures, CueMeasure, CueSubject, PrototypePicture, decoded_pictures,
};

use crate::config::RunConfig;
use crate::error::{CliError, Result};
use crate::model_source::ModelSource;
use crate::{session, tables};

/// Training images of each class that its mean image is made of, the first.
const CLASS_IMAGES: usize = 500;

/// How a cue is measured; by default on all test images.
#[derive(Debug, Clone, Copy, Default)]
pub struct CueAsked {
    /// Threshold and relevance maps.
    pub measure: CueMeasure,
    /// At most so many test images, drawn by the seed.
    pub images: Option<usize>,
    /// The seed of this choice, and of the order in which images are taken for relevance maps.
    pub seed: u64,
}

/// Measures the cue of a run on its test images, which have none.
///
/// # Errors
/// [`CliError::Usage`] for a run without a cue; whatever loading and measuring may meet.
pub fn cue(
    run: &Path,
    device: &Device,
    data_dir: Option<&Path>,
    asked: &CueAsked,
) -> Result<CueFigures> {
    let source = ModelSource::named(run)?;
    let config = source.config()?;
    let planted = planted(&config, run)?;
    let device = device.clone().without_autodiff();
    let (model, card) = source.load(&device)?;
    let data = session::training_data(&source, data_dir, &card)?;
    let clean = session::clean_data(&config, data_dir)?;
    let subject = CueSubject {
        pictures: pictures(&model, data.train.as_ref(), &device)?,
        means: means(&clean, &device)?,
    };
    let most = asked.images.unwrap_or(usize::MAX);
    let chosen = tables::drawn(asked.seed, data.test.len(), most);
    // What starts at prototypes serves models that have them; gradients serve all.
    let methods = [session::method(None, &model), "integrated-gradients"];
    let methods = methods.into_iter().map(explainers::named);
    let methods: Vec<_> = methods.collect::<protovae_core::Result<_>>()?;
    asked.measure.measure(
        &model,
        &of_config(planted, &data)?,
        &subject,
        &methods,
        tables::batches(data.test.as_ref(), &chosen, &device),
    )
}

/// The cue of a run's configuration.
///
/// # Errors
/// [`CliError::Usage`] if there is none.
pub fn planted<'a>(config: &'a RunConfig, run: &Path) -> Result<&'a CueConfig> {
    config.cue.as_ref().ok_or_else(|| {
        CliError::Usage(format!(
            "{} was trained without a cue, so there is none to measure; `protovae train --set cue.class=0` plants one",
            run.display()
        ))
    })
}

fn of_config(cue: &CueConfig, data: &DataSplits) -> Result<Cue> {
    let patch = cue.patch(data.shape, data.classes.len())?;
    Ok(Cue {
        class: cue.class,
        region: Region {
            top: patch.top(),
            left: patch.left(),
            height: patch.size(),
            width: patch.size(),
        },
        color: patch.values(),
    })
}

/// The training images that prototypes come from, where they do, with the cue if they were trained with it; else what they
/// decode to.
fn pictures(
    model: &BoxModel,
    train: &dyn Dataset,
    device: &Device,
) -> Result<Vec<Option<PrototypePicture>>> {
    if let (Some(images), Some(bank)) = (
        tables::prototype_images(model, train, device)?,
        model.prototypes(),
    ) {
        let rows = 0..bank.classes * bank.per_class;
        let picture = |row| {
            images.get(row).map(|from| PrototypePicture {
                image: from.image.clone(),
                region: from.provenance.region,
            })
        };
        return Ok(rows.map(picture).collect());
    }
    let decoded = decoded_pictures(model)?.unwrap_or_default();
    Ok(decoded.into_iter().map(Some).collect())
}

fn means(clean: &DataSplits, device: &Device) -> Result<ClassMeans> {
    let classes = clean.classes.len();
    let mut counts = vec![0; classes];
    let mut rows = Vec::new();
    for index in 0..clean.train.len() {
        let count = counts.get_mut(clean.train.label(index)?);
        if let Some(count) = count.filter(|count| **count < CLASS_IMAGES) {
            *count += 1;
            rows.push(index);
        }
    }
    ClassMeans::of(
        classes,
        tables::batches(clean.train.as_ref(), &rows, device),
    )
}
