//! The promises of heads.

use burn::tensor::{Device, Tensor};

use super::SAMPLES;
use super::exercise::{built, exercised, pick, round_trip};
use super::inputs::{flat, latents, weighted_sum};
use super::subject::Subject;
use crate::error::Result;
use crate::plugin::{BoxHead, HeadConfig, HeadOutput, HeadSpec, without_columns};

/// Shapes of a head's output; values of logits and, if there are any, of similarities.
pub(super) fn head_output(
    subject: &Subject,
    when: &str,
    output: &HeadOutput,
    expected: (usize, usize, Option<usize>),
    device: &Device,
) -> Result<Vec<(&'static str, Vec<f32>)>> {
    let (samples, classes, prototypes) = expected;
    let logits = subject.output(
        &format!("logits ({when})"),
        &output.logits,
        [samples, classes],
        device,
    )?;
    let mut values = vec![("logits", logits)];
    match (&output.similarities, prototypes) {
        (Some(similarities), Some(prototypes)) => {
            let found = subject.output(
                &format!("similarities ({when})"),
                similarities,
                [samples, prototypes],
                device,
            )?;
            if let Some(value) = found.iter().find(|value| **value <= 0.0) {
                return Err(subject.fails(format!(
                    "similarities ({when}): expected positive values, found {value}"
                )));
            }
            values.push(("similarities", found));
        }
        (None, None) => {}
        (found, expected) => {
            let told = |there: bool| if there { "some" } else { "none" };
            return Err(subject.fails(format!(
                "similarities ({when}): expected {} beside {} prototypes, found {}",
                told(expected.is_some()),
                told(expected.is_some()),
                told(found.is_some())
            )));
        }
    }
    Ok(values)
}

/// Checks every promise of [`PrototypeHead`](crate::plugin::PrototypeHead) and [`HeadConfig`].
///
/// # Errors
/// [`Error::Contract`](crate::Error::Contract) for the first broken promise; whatever building the head fails with.
pub fn head(config: &dyn HeadConfig, spec: &HeadSpec) -> Result<()> {
    let (subject, module) = built(
        "head",
        &|init| config.build(spec, init),
        &|subject, init| round_trip::<_, Box<dyn HeadConfig>>(subject, config)?.build(spec, init),
        &|module| module.type_name(),
    )?;
    let device = Device::flex().autodiff();
    let output = module.classify(latents(SAMPLES, spec.latent_dimensions, &device));
    let mut loss = weighted_sum(&output.logits);
    if let Some(similarities) = &output.similarities {
        loss = loss + weighted_sum(similarities);
    }
    subject.gradients(&module, &loss)?;

    let prototypes = match module.prototypes() {
        Some(bank) => {
            let expected = (spec.classes, spec.prototypes_per_class);
            subject.require((bank.classes, bank.per_class) == expected, || {
                format!(
                    "prototypes: expected {} classes of {}, found {} of {}",
                    expected.0, expected.1, bank.classes, bank.per_class
                )
            })?;
            let count = bank.classes * bank.per_class;
            let shape = [count, spec.latent_dimensions];
            subject.output("prototypes", &bank.vectors, shape, &device)?;
            Some(count)
        }
        None => None,
    };
    let module = exercised(
        &subject,
        module,
        &|samples, device| latents(samples, spec.latent_dimensions, device),
        &pick,
        &|when, module, latents, samples, device| {
            let output = module.classify(latents);
            let expected = (samples, spec.classes, prototypes);
            head_output(&subject, when, &output, expected, device)
        },
    )?;
    if let Some(count) = prototypes {
        largest_on_itself(&subject, &module, count)?;
    }
    class_weights(&subject, &module, spec)?;
    removal(&subject, &module, spec)
}

/// A latent that equals a prototype is more similar to it than to any other, and than other prototypes are.
fn largest_on_itself(subject: &Subject, module: &BoxHead, count: usize) -> Result<()> {
    let Some(bank) = module.prototypes() else {
        return Err(subject.fails("prototypes: expected some in evaluation too, found none"));
    };
    let Some(similarities) = module.classify(bank.vectors).similarities else {
        return Err(subject.fails("similarities: expected some in evaluation too, found none"));
    };
    let values = flat(&similarities);
    let at = |latent: usize, prototype: usize| {
        values
            .get(latent * count + prototype)
            .copied()
            .unwrap_or(f32::NAN)
    };
    for prototype in 0..count {
        let own = at(prototype, prototype);
        for other in 0..count {
            for (found, of) in [
                (
                    at(prototype, other),
                    "similarity of that latent to prototype",
                ),
                (at(other, prototype), "similarity to it of prototype"),
            ] {
                subject.require(found <= own, || {
                    format!(
                        "similarities: expected {own}, of a latent that equals prototype {prototype}, \
                         to be the largest, found a {of} {other} of {found}"
                    )
                })?;
            }
        }
    }
    Ok(())
}

/// Class weights say how much logits change with similarities.
fn class_weights(subject: &Subject, module: &BoxHead, spec: &HeadSpec) -> Result<()> {
    let Some(weights) = module.class_weights() else {
        return Ok(());
    };
    let device = Device::flex();
    let output = module.classify(latents(SAMPLES, spec.latent_dimensions, &device));
    let Some(similarities) = output.similarities else {
        return Err(subject.fails("class_weights: expected none without similarities, found some"));
    };
    let [_, count] = similarities.dims();
    subject.output("class_weights", &weights, [spec.classes, count], &device)?;
    // Differences of samples, which a bias leaves alone.
    let difference =
        |all: &Tensor<2>| all.clone().narrow(0, 1, SAMPLES - 1) - all.clone().narrow(0, 0, 1);
    let expected = difference(&similarities).matmul(weights.transpose());
    subject.same(
        "class_weights: how logits change with similarities",
        &flat(&expected),
        &flat(&difference(&output.logits)),
    )
}

/// A head without some prototypes has their class weights at 0 and everything else as it was.
fn removal(subject: &Subject, module: &BoxHead, spec: &HeadSpec) -> Result<()> {
    const WHAT: &str = "without_prototypes";
    let rows = [1, 0, usize::MAX];
    let Some(left) = module.without_prototypes(&rows) else {
        return Ok(());
    };
    let latents = latents(SAMPLES, spec.latent_dimensions, &Device::flex());
    let (before, after) = (module.classify(latents.clone()), left.classify(latents));
    let (Some(before), Some(after)) = (before.similarities, after.similarities) else {
        return Err(subject.fails(format!("{WHAT}: expected none without similarities")));
    };
    subject.same(
        &format!("{WHAT}: similarities"),
        &flat(&before),
        &flat(&after),
    )?;
    let (Some(before), Some(after)) = (module.class_weights(), left.class_weights()) else {
        return Err(subject.fails(format!("{WHAT}: expected class weights")));
    };
    subject.same(
        &format!("{WHAT}: class weights"),
        &flat(&without_columns(before, &rows)),
        &flat(&after),
    )?;
    class_weights(subject, &left, spec)
}
