//! The promises of encoders.

use burn::tensor::{Device, Tensor};

use super::SAMPLES;
use super::exercise::{built, exercised, pick, round_trip};
use super::inputs::{flat, images, weighted_sum};
use super::subject::Subject;
use crate::error::Result;
use crate::plugin::{EncoderConfig, EncoderSpec, LayerView, Posterior};

/// `[mean | log_variance]` of [`SAMPLES`] images.
fn joined(
    subject: &Subject,
    when: &str,
    posterior: Posterior,
    spec: &EncoderSpec,
) -> Result<Tensor<2>> {
    let expected = [SAMPLES, spec.latent_dimensions];
    for (what, found) in [
        ("mean", posterior.mean.dims()),
        ("log_variance", posterior.log_variance.dims()),
    ] {
        subject.require(found == expected, || {
            format!("{what} ({when}, N = {SAMPLES}): expected shape {expected:?}, found {found:?}")
        })?;
    }
    Ok(Tensor::cat(vec![posterior.mean, posterior.log_variance], 1))
}

/// Checks every promise of [`Encoder`](crate::plugin::Encoder) and [`EncoderConfig`].
///
/// # Errors
/// [`Error::Contract`](crate::Error::Contract) for the first broken promise; whatever building the encoder fails with.
pub fn encoder(config: &dyn EncoderConfig, spec: &EncoderSpec) -> Result<()> {
    let (subject, module) = built(
        "encoder",
        &|init| config.build(spec, init),
        &|subject, init| {
            round_trip::<_, Box<dyn EncoderConfig>>(subject, config)?.build(spec, init)
        },
        &|module| module.type_name(),
    )?;
    let device = Device::flex().autodiff();
    let posterior = module.encode(images(SAMPLES, spec.image, &device));
    let both = joined(&subject, "training", posterior, spec)?;
    subject.gradients(&module, &weighted_sum(&both))?;

    let module = exercised(
        &subject,
        module,
        &|samples, device| images(samples, spec.image, device),
        &pick,
        &|when, module, images, samples, device| {
            let expected = [samples, spec.latent_dimensions];
            let posterior = module.encode(images);
            let value = |what: &str, found: &Tensor<2>| {
                subject.output(&format!("{what} ({when})"), found, expected, device)
            };
            Ok(vec![
                ("mean", value("mean", &posterior.mean)?),
                (
                    "log_variance",
                    value("log_variance", &posterior.log_variance)?,
                ),
            ])
        },
    )?;

    if let Some(layers) = module.layers() {
        let images = images(SAMPLES, spec.image, &Device::flex());
        let expected = joined(&subject, "evaluation", module.encode(images.clone()), spec)?;
        let replayed = LayerView::replay(&layers, images).ok_or_else(|| {
            subject.fails("layers: expected layers that fit each other and end flat, found others")
        })?;
        let found = subject.output(
            "layers: what they replay to",
            &replayed,
            expected.dims(),
            &Device::flex(),
        )?;
        subject.same(
            "layers: replayed [mean | log_variance]",
            &flat(&expected),
            &found,
        )?;
    }
    Ok(())
}
