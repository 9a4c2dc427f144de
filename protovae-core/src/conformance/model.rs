//! The promises of whole models.

use burn::tensor::Device;

use super::exercise::{built, exercised, pick, round_trip};
use super::head::head_output;
use super::inputs::{flat, images, uniform, weighted_sum};
use super::state::State;
use super::subject::Subject;
use super::{SAMPLES, SEED};
use crate::error::{Error, Result};
use crate::image_shape::ImageShape;
use crate::model::{BoxModel, Mode, ModelConfig, ModelSpec, StepOutput};
use crate::plugin::{HeadOutput, without_columns};
use crate::random::Initializer;
use crate::train::{Batch, HostBatch};

/// Checks every promise of [`Model`](crate::model::Model) and [`ModelConfig`].
///
/// # Errors
/// [`Error::Contract`](crate::Error::Contract) for the first broken promise; whatever building the model fails with.
pub fn model(config: &dyn ModelConfig, spec: &ModelSpec) -> Result<()> {
    let (subject, module) = built(
        "model",
        &|init| config.build(spec, init),
        &|subject, init| round_trip::<_, Box<dyn ModelConfig>>(subject, config)?.build(spec, init),
        &|module| module.type_name(),
    )?;
    resolution(&subject, config, spec, &module)?;
    subject.require(module.image_shape() == spec.image, || {
        format!(
            "image_shape: expected {}, found {}",
            spec.image,
            module.image_shape()
        )
    })?;
    subject.require(module.classes() == spec.classes, || {
        format!(
            "classes: expected {}, found {}",
            spec.classes,
            module.classes()
        )
    })?;
    subject.require(!module.kind().is_empty(), || {
        "kind: expected a name, found none".to_string()
    })?;
    model_losses(&subject, &module, spec)?;

    let prototypes = module
        .prototypes()
        .map(|bank| bank.classes * bank.per_class);
    let module = exercised(
        &subject,
        module,
        &|samples, device| images(samples, spec.image, device),
        &pick,
        &|when, module, images, samples, device| {
            let predicted = module.predict(images);
            let expected = (samples, spec.classes, prototypes);
            let output = HeadOutput {
                logits: predicted.logits,
                similarities: predicted.similarities,
            };
            let mut values = head_output(&subject, when, &output, expected, device)?;
            if let Some(found) = predicted.latents {
                let [_, width] = found.dims();
                let what = format!("latents ({when})");
                values.push((
                    "latents",
                    subject.output(&what, &found, [samples, width], device)?,
                ));
                if let Some(decoded) = module.decode(found) {
                    let ImageShape {
                        channels,
                        height,
                        width,
                    } = spec.image;
                    let shape = [samples, channels, height, width];
                    let what = format!("decoded images ({when})");
                    values.push((
                        "decoded images",
                        subject.output(&what, &decoded, shape, device)?,
                    ));
                }
            }
            Ok(values)
        },
    )?;
    evaluation_losses(&subject, &module, spec)?;
    removal(&subject, &module, spec)
}

/// `resolved` is complete, stable, and builds the same model.
fn resolution(
    subject: &Subject,
    config: &dyn ModelConfig,
    spec: &ModelSpec,
    module: &BoxModel,
) -> Result<()> {
    let resolved = config.resolved(spec)?;
    let reread: Box<dyn ModelConfig> = round_trip(subject, &*resolved)?;
    let mut init = Initializer::new(SEED, &Device::flex().autodiff());
    subject.state(
        "the resolved recipe builds the same weights",
        &State::of(module),
        &reread.build(spec, &mut init)?,
    )?;
    let text = |config: &dyn ModelConfig| {
        serde_json::to_string(config).map_err(|error| subject.fails(format!("JSON: {error}")))
    };
    let (once, twice) = (text(&*resolved)?, text(&*resolved.resolved(spec)?)?);
    subject.require(once == twice, || {
        format!("resolved: expected {once} when resolved again, found {twice}")
    })?;
    let (name, resolved_name) = (config.reported_as(), resolved.reported_as());
    subject.require(!name.is_empty() && name == resolved_name, || {
        format!("reported_as: expected one name before and after resolution, found `{name}` and `{resolved_name}`")
    })
}

fn batch(samples: usize, turn: u64, spec: &ModelSpec, device: &Device) -> Result<Batch> {
    let host = HostBatch {
        images: uniform(samples * spec.image.values(), 1 + turn),
        labels: (0..samples)
            .map(|sample| (sample + turn as usize) % spec.classes.max(1))
            .collect(),
        indices: (0..samples as u64).collect(),
        shape: spec.image,
    };
    Batch::new(host, spec.image, spec.classes, SEED, 0, device)
}

/// Shapes and names of one batch's losses.
fn step_output(
    subject: &Subject,
    when: &str,
    output: &StepOutput,
    names: &mut Option<Vec<&'static str>>,
    device: &Device,
) -> Result<()> {
    let found: Vec<&'static str> = output.terms.iter().map(|term| term.name).collect();
    match names {
        Some(expected) => subject.require(*expected == found, || {
            format!("losses ({when}): expected terms {expected:?} as before, found {found:?}")
        })?,
        None => *names = Some(found.clone()),
    }
    subject.require(output.terms.iter().any(|term| term.weight > 0.0), || {
        format!(
            "losses ({when}): expected a term with a weight above zero, found {found:?} without"
        )
    })?;
    for term in &output.terms {
        let what = format!("loss term `{}` ({when})", term.name);
        subject.output(&what, &term.value, [1], device)?;
    }
    Ok(())
}

/// Losses of training batches, and the gradients of all terms together.
fn model_losses(subject: &Subject, module: &BoxModel, spec: &ModelSpec) -> Result<()> {
    let device = Device::flex().autodiff();
    let mut names = None;
    for (turn, samples) in [(0, SAMPLES), (1, SAMPLES), (2, 1)] {
        let output = module.losses(&batch(samples, turn, spec, &device)?, Mode::Training);
        let when = format!("training, N = {samples}");
        step_output(subject, &when, &output, &mut names, &device)?;
        subject.output(
            &format!("logits of losses ({when})"),
            &output.logits,
            [samples, spec.classes],
            &device,
        )?;
    }
    // In evaluation mode no term is left out for its weight.
    let output = module.losses(&batch(SAMPLES, 0, spec, &device)?, Mode::Evaluation);
    let all = output
        .terms
        .iter()
        .map(|term| term.value.clone())
        .reduce(|sum, term| sum + term);
    let Some(mut all) = all else {
        return Err(subject.fails("losses (evaluation): expected a term, found none"));
    };
    // A classifier of the mean alone does not train what makes the log variance; only there that is no fault.
    if let Some(encoder) = module.encoder() {
        let posterior = encoder.encode(images(SAMPLES, spec.image, &device));
        if module.decode(posterior.mean).is_none() {
            all = all + weighted_sum(&posterior.log_variance);
        }
    }
    subject.gradients(module, &all)
}

/// A model without some prototypes has their class weights at 0 and everything else as it was.
fn removal(subject: &Subject, module: &BoxModel, spec: &ModelSpec) -> Result<()> {
    const WHAT: &str = "without_prototypes";
    let rows = [1, 0, usize::MAX];
    let left = match module.without_prototypes(&rows) {
        Err(Error::Unsupported { .. }) => return Ok(()),
        left => left?,
    };
    let images = images(SAMPLES, spec.image, &Device::flex());
    let similarities = |model: &BoxModel| model.predict(images.clone()).similarities;
    let (Some(before), Some(after)) = (similarities(module), similarities(&left)) else {
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
    )
}

/// Losses in evaluation: the same names for every batch, logits that are those of `predict`.
fn evaluation_losses(subject: &Subject, module: &BoxModel, spec: &ModelSpec) -> Result<()> {
    let device = Device::flex();
    let before = State::of(module);
    let mut names = None;
    for (turn, samples) in [(0, SAMPLES), (1, 1)] {
        let batch = batch(samples, turn, spec, &device)?;
        let output = module.losses(&batch, Mode::Evaluation);
        let when = format!("evaluation, N = {samples}");
        step_output(subject, &when, &output, &mut names, &device)?;
        subject.same(
            &format!("logits of losses and of predict ({when})"),
            &flat(&module.predict(batch.images.clone()).logits),
            &flat(&output.logits),
        )?;
    }
    subject.state("evaluation does not change the module", &before, module)
}
