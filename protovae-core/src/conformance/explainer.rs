//! The promises of explainers.

use burn::module::Module;
use burn::tensor::Device;

use super::SAMPLES;
use super::inputs::images;
use super::state::State;
use super::subject::Subject;
use crate::error::Result;
use crate::model::BoxModel;
use crate::plugin::{Explainer, Target};

/// Checks every promise of [`Explainer`] on a model (as `model.valid()`), for classes and for prototypes.
///
/// A method that takes only one of the two kinds of targets passes if it refuses the other with an error.
///
/// # Errors
/// [`Error::Contract`](crate::Error::Contract) for the first broken promise.
pub fn explainer(explainer: &dyn Explainer, model: &BoxModel) -> Result<()> {
    let subject = Subject {
        plugin: "explainer",
        name: explainer.name().to_string(),
    };
    subject.require(!subject.name.is_empty(), || {
        "name: expected one, found none".to_string()
    })?;
    let device = match model.devices().into_iter().next() {
        Some(device) => device.without_autodiff(),
        None => Device::flex(),
    };
    let model = model.valid();
    let before = State::of(&model);
    let prototypes = model
        .prototypes()
        .map_or(0, |bank| bank.classes * bank.per_class);
    let classes = model.classes();
    let mut kinds: Vec<Vec<Target>> = vec![(0..classes).map(Target::Class).collect()];
    if prototypes > 0 {
        kinds.push((0..prototypes).map(Target::Prototype).collect());
    }
    let mut refusals = Vec::new();
    let mut taken = Vec::new();
    for targets in &kinds {
        let first = targets.first().copied();
        let one = images(1, model.image_shape(), &device);
        match explainer.explain(&model, one, first.as_slice()) {
            Ok(_) => taken.push(targets.clone()),
            Err(error) => refusals.push(error.to_string()),
        }
    }
    subject.require(!taken.is_empty(), || {
        format!("explain: expected relevance for a class or a prototype, found {refusals:?}")
    })?;
    let mixed: Vec<Target> = taken
        .iter()
        .filter_map(|targets| targets.last().copied())
        .collect();
    taken.push(mixed);
    for targets in &taken {
        for targets in [targets.get(..1).unwrap_or_default(), targets.as_slice()] {
            for samples in [1, SAMPLES] {
                relevance(&subject, explainer, &model, targets, samples, &device)?;
            }
        }
    }
    subject.state("explaining does not change the model", &before, &model)?;
    for target in [Target::Class(classes), Target::Prototype(prototypes)] {
        let one = images(1, model.image_shape(), &device);
        subject.require(explainer.explain(&model, one, &[target]).is_err(), || {
            format!(
                "explain: expected an error for {target:?}, which does not exist, found relevance"
            )
        })?;
    }
    Ok(())
}

fn relevance(
    subject: &Subject,
    explainer: &dyn Explainer,
    model: &BoxModel,
    targets: &[Target],
    samples: usize,
    device: &Device,
) -> Result<()> {
    let shape = model.image_shape();
    let when = format!("N = {samples}, T = {}", targets.len());
    let explain = || {
        let images = images(samples, shape, device);
        let found = explainer
            .explain(model, images, targets)
            .map_err(|error| subject.fails(format!("explain ({when}): {error}")))?;
        subject.require(found.targets == targets, || {
            format!(
                "targets ({when}): expected {targets:?}, found {:?}",
                found.targets
            )
        })?;
        let rows = samples * targets.len();
        let expected = [rows, shape.channels, shape.height, shape.width];
        subject.output(
            &format!("relevance ({when})"),
            &found.relevance,
            expected,
            device,
        )
    };
    let (first, second) = (explain()?, explain()?);
    let repeats = first
        .iter()
        .zip(&second)
        .all(|(a, b)| a.to_bits() == b.to_bits());
    subject.require(repeats, || {
        format!("relevance ({when}): expected the same from the same call, found another")
    })
}
