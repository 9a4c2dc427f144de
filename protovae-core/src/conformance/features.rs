//! The promises of feature extractors.

use burn::tensor::{Device, Tensor};

use super::SAMPLES;
use super::exercise::{built, exercised, pick, round_trip};
use super::inputs::{flat, images, weighted_sum};
use crate::error::Result;
use crate::image_shape::ImageShape;
use crate::plugin::{Activation, EncoderConfig, LayerView};

/// Checks every promise of [`FeatureExtractor`](crate::plugin::FeatureExtractor) on what
/// [`EncoderConfig::build_features`] builds.
///
/// # Errors
/// [`Error::Contract`](crate::Error::Contract) for the first broken promise; whatever building fails with.
pub fn features(config: &dyn EncoderConfig, image: ImageShape) -> Result<()> {
    let (subject, module) = built(
        "features",
        &|init| config.build_features(image, init),
        &|subject, init| {
            round_trip::<_, Box<dyn EncoderConfig>>(subject, config)?.build_features(image, init)
        },
        &|module| module.type_name(),
    )?;
    let channels = module.channels();
    subject.require(!channels.is_empty(), || {
        "channels: expected at least one stage, found none".to_string()
    })?;
    let device = Device::flex().autodiff();
    let last = module.last_maps(images(SAMPLES, image, &device));
    subject.gradients(&module, &weighted_sum(&last.flatten::<2>(1, 3)))?;

    let module = exercised(
        &subject,
        module,
        &|samples, device| images(samples, image, device),
        &pick,
        &|when, module, images, samples, device| {
            let mut values = Vec::new();
            let all = module.maps(images.clone(), 0);
            subject.require(all.len() == channels.len(), || {
                let found = all.len();
                format!(
                    "maps ({when}): expected those of {} stages, found {found}",
                    channels.len()
                )
            })?;
            let mut before = [image.height, image.width];
            for (stage, (maps, channels)) in all.iter().zip(&channels).enumerate() {
                let [_, _, height, width] = maps.dims();
                subject.require(height <= before[0] && width <= before[1], || {
                    format!("maps ({when}): expected stage {stage} no larger than {before:?}, found {height}×{width}")
                })?;
                before = [height, width];
                let what = format!("maps of stage {stage} ({when})");
                let expected = [samples, *channels, height, width];
                values.push(("maps", subject.output(&what, maps, expected, device)?));
            }
            let late = module.maps(images, channels.len() + 1);
            let expected = values
                .last()
                .map(|(_, values)| values.clone())
                .unwrap_or_default();
            subject.require(late.len() == 1, || {
                format!(
                    "maps ({when}): expected the last stage alone, found {}",
                    late.len()
                )
            })?;
            for maps in &late {
                subject.same("the last maps, asked for alone", &expected, &flat(maps))?;
            }
            Ok(values)
        },
    )?;

    if let Some(layers) = module.layers() {
        let images = images(SAMPLES, image, &Device::flex());
        let expected: Tensor<4> = module.last_maps(images.clone());
        match LayerView::run(&layers, Activation::Maps(images)) {
            Some(Activation::Maps(found)) => {
                subject.same("layers: replayed maps", &flat(&expected), &flat(&found))?
            }
            _ => {
                return Err(subject.fails(
                    "layers: expected layers that fit each other and end in maps, found others",
                ));
            }
        }
    }
    Ok(())
}
