//! The promises of decoders.

use burn::tensor::Device;

use super::SAMPLES;
use super::exercise::{built, exercised, pick, round_trip};
use super::inputs::{latents, weighted_sum};
use crate::error::Result;
use crate::image_shape::ImageShape;
use crate::plugin::{DecoderConfig, DecoderSpec};

/// Checks every promise of [`Decoder`](crate::plugin::Decoder) and [`DecoderConfig`].
///
/// # Errors
/// [`Error::Contract`](crate::Error::Contract) for the first broken promise; whatever building the decoder fails with.
pub fn decoder(config: &dyn DecoderConfig, spec: &DecoderSpec) -> Result<()> {
    let (subject, module) = built(
        "decoder",
        &|init| config.build(spec, init),
        &|subject, init| {
            round_trip::<_, Box<dyn DecoderConfig>>(subject, config)?.build(spec, init)
        },
        &|module| module.type_name(),
    )?;
    let device = Device::flex().autodiff();
    let width = spec.latent_dimensions;
    let decoded = module.decode(latents(SAMPLES, width, &device));
    subject.gradients(&module, &weighted_sum(&decoded))?;

    let in_range = |when: &str, values: &[f32]| {
        let outside = values.iter().find(|value| !(-1.0..=1.0).contains(*value));
        match outside {
            Some(value) => Err(subject.fails(format!(
                "images ({when}): expected values in [-1, 1], found {value}"
            ))),
            None => Ok(()),
        }
    };
    let shape = |samples| {
        let ImageShape {
            channels,
            height,
            width,
        } = spec.image;
        [samples, channels, height, width]
    };
    let module = exercised(
        &subject,
        module,
        &|samples, device| latents(samples, width, device),
        &pick,
        &|when, module, latents, samples, device| {
            let decoded = module.decode(latents);
            let what = format!("images ({when})");
            let values = subject.output(&what, &decoded, shape(samples), device)?;
            in_range(when, &values)?;
            Ok(vec![("images", values)])
        },
    )?;
    // Latents far from where the prior puts them.
    let plain = Device::flex();
    let decoded = module.decode(latents(SAMPLES, width, &plain) * 100.0);
    let when = "evaluation, latents of size 100";
    let what = format!("images ({when})");
    in_range(
        when,
        &subject.output(&what, &decoded, shape(SAMPLES), &plain)?,
    )
}
