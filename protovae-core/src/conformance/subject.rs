//! Who is being tested, and how it is said that a promise is broken.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::TOLERANCE;
use super::inputs::flat;
use super::state::{GradientCollector, State};
use crate::error::{Error, Result};

/// Who is being tested, for messages.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) plugin: &'static str,
    pub(super) name: String,
}

impl Subject {
    pub(super) fn fails(&self, reason: impl Into<String>) -> Error {
        Error::Contract {
            plugin: self.plugin,
            name: self.name.clone(),
            reason: reason.into(),
        }
    }

    pub(super) fn require(&self, holds: bool, reason: impl FnOnce() -> String) -> Result<()> {
        if holds {
            Ok(())
        } else {
            Err(self.fails(reason()))
        }
    }

    /// Shape, device and finiteness of an output; its values.
    pub(super) fn output<const D: usize>(
        &self,
        what: &str,
        found: &Tensor<D>,
        expected: [usize; D],
        device: &Device,
    ) -> Result<Vec<f32>> {
        self.require(found.dims() == expected, || {
            format!(
                "{what}: expected shape {expected:?}, found {:?}",
                found.dims()
            )
        })?;
        let on = found.device();
        self.require(on == *device, || {
            format!("{what}: expected on the device of the input, {device:?}, found on {on:?}")
        })?;
        self.require(on.is_autodiff() == device.is_autodiff(), || {
            let with = |autodiff| if autodiff { "with" } else { "without" };
            format!(
                "{what}: expected {} autodiff as the input, found {}",
                with(device.is_autodiff()),
                with(on.is_autodiff())
            )
        })?;
        let values = flat(found);
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => {
                Err(self.fails(format!("{what}: expected finite values, found {value}")))
            }
            None => Ok(values),
        }
    }

    /// Two computations of the same; `largest` sets the scale.
    pub(super) fn same(&self, what: &str, expected: &[f32], found: &[f32]) -> Result<()> {
        self.require(expected.len() == found.len(), || {
            format!(
                "{what}: expected {} values, found {}",
                expected.len(),
                found.len()
            )
        })?;
        let largest = expected
            .iter()
            .fold(1f32, |most, value| most.max(value.abs()));
        let apart = expected
            .iter()
            .zip(found)
            .map(|(a, b)| ((a - b).abs(), a, b));
        let worst = apart.max_by(|a, b| a.0.total_cmp(&b.0));
        match worst {
            // A NaN is no agreement either.
            Some((error, expected, found)) if error.is_nan() || error > TOLERANCE * largest => {
                Err(self.fails(format!("{what}: expected {expected}, found {found}")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn state<M: Module>(&self, what: &str, before: &State, module: &M) -> Result<()> {
        let after = State::of(module);
        match before.difference(&after) {
            Some(difference) => Err(self.fails(format!("{what}: {difference}"))),
            None => Ok(()),
        }
    }

    /// Each trained parameter has a finite gradient, and not all of them vanish.
    pub(super) fn gradients<M: Module>(&self, module: &M, loss: &Tensor<1>) -> Result<()> {
        let trained = State::of(module).trained;
        if trained.is_empty() {
            return Ok(());
        }
        self.require(loss.is_tracked(), || {
            "gradients: expected outputs that depend on the parameters, found none that does"
                .to_string()
        })?;
        let gradients = loss.backward();
        let mut collector = GradientCollector::new(&gradients);
        module.visit(&mut collector);
        for path in &trained {
            let gradient = collector.found.get(path).ok_or_else(|| {
                self.fails(format!(
                    "gradients: expected one for parameter `{path}`, found none"
                ))
            })?;
            if let Some(value) = gradient.iter().find(|value| !value.is_finite()) {
                return Err(self.fails(format!(
                    "gradients: expected a finite one for parameter `{path}`, found {value}"
                )));
            }
        }
        let moves = collector
            .found
            .values()
            .flatten()
            .any(|value| *value != 0.0);
        self.require(moves, || {
            "gradients: expected one that is not zero, found none".to_string()
        })
    }
}
