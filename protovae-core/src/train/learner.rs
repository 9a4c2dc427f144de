//! A model and its optimizer, moved by batches.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;

use super::adam::Adam;
use super::loss_scale::LossScale;
use super::metrics::DeviceFigures;
use super::parts::{self, Found, Wanted};
use super::rates::learning_rates;
use super::{Batch, TrainingConfig};
use crate::device::on_workers;
use crate::error::Result;
use crate::model::{BoxModel, Phase};
use crate::precision::Precision;

/// A model and its optimizer: what a training step changes.
///
/// [`Trainer`](super::Trainer) keeps one through a run; use it yourself for a loop of your own.
#[allow(missing_debug_implementations)]
pub struct Learner {
    model: BoxModel,
    optimizer: ModuleOptimizer,
    rates: ModuleLearningRate,
    precision: Precision,
    /// Only where gradients pass through a small range.
    loss_scale: Option<LossScale>,
}

impl Learner {
    /// A model, on an autodiff device, with a fresh optimizer.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if `learning_rates` name parameters that the model has not, or it cannot compute in
    /// the configuration's `precision`.
    pub fn new(model: BoxModel, config: &TrainingConfig) -> Result<Self> {
        config.check_model(&model)?;
        let rates = learning_rates(&model, config, &BTreeMap::new())?;
        let optimizer = ModuleOptimizer::from(Adam {
            beta_1: config.beta_1 as f32,
            beta_2: config.beta_2 as f32,
            epsilon: config.adam_epsilon as f32,
        });
        Ok(Self {
            model,
            optimizer,
            rates,
            precision: config.precision,
            loss_scale: (config.precision == Precision::F16).then(LossScale::default),
        })
    }

    /// Takes over the learning rates of a phase of training.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if they name parameters that the model has not.
    pub fn enter(&mut self, config: &TrainingConfig, phase: &Phase) -> Result<()> {
        self.rates = learning_rates(&self.model, config, &phase.learning_rates)?;
        Ok(())
    }

    /// The model as it stands.
    pub fn model(&self) -> &BoxModel {
        &self.model
    }

    pub(crate) fn optimizer(&self) -> &ModuleOptimizer {
        &self.optimizer
    }

    /// Replaces model and optimizer by what `change` makes of them.
    pub(crate) fn try_map(
        self,
        change: impl FnOnce(BoxModel, ModuleOptimizer) -> Result<(BoxModel, ModuleOptimizer)>,
    ) -> Result<Self> {
        let (model, optimizer) = change(self.model, self.optimizer)?;
        Ok(Self {
            model,
            optimizer,
            ..self
        })
    }

    /// The scale of the losses, for checkpoints.
    pub(crate) fn loss_scale(&self) -> Option<&LossScale> {
        self.loss_scale.as_ref()
    }

    /// Goes on with the scale of a checkpoint, if this learner scales losses.
    pub(crate) fn set_loss_scale(&mut self, loss_scale: Option<LossScale>) {
        if let (Some(own), Some(loaded)) = (&mut self.loss_scale, loss_scale) {
            *own = loaded;
        }
    }

    /// Steps left out since this was last asked, because gradients were not finite.
    pub(crate) fn take_skipped(&mut self) -> u64 {
        let scale = self.loss_scale.as_mut();
        scale.map_or(0, |scale| std::mem::take(&mut scale.skipped))
    }

    /// One step of optimisation: forward pass, losses, backward pass, update. Nothing waits for the
    /// device, but for `f16`, where a step is left out if its gradients are not finite.
    ///
    /// Takes the learner by value so that the optimizer holds the only handle on the weights and can change them in place.
    #[must_use]
    pub fn step(self, batch: &Batch) -> Self {
        self.step_in_parts(std::slice::from_ref(batch), 1)
    }

    /// One step on a batch in parts (see [`HostBatch::into_parts`](super::HostBatch::into_parts)), each on any device, part `i`
    /// by thread `i` modulo `threads`, which changes nothing but the time. The model stays where it is.
    ///
    /// The gradient is that of the whole batch for every loss term that is a mean over samples or does not depend on them.
    /// Batch normalisation sees the parts one by one.
    #[must_use]
    pub fn step_in_parts(self, parts: &[Batch], threads: usize) -> Self {
        self.step_on(parts, threads, false).0
    }

    /// As [`step_in_parts`](Self::step_in_parts), with the figures of the batch before the update; none of no parts.
    pub(crate) fn step_with_figures(
        self,
        parts: &[Batch],
        threads: usize,
    ) -> (Self, Option<DeviceFigures>) {
        self.step_on(parts, threads, true)
    }

    fn step_on(
        self,
        parts: &[Batch],
        threads: usize,
        figures: bool,
    ) -> (Self, Option<DeviceFigures>) {
        let Some(home) = self.model.devices().first().cloned() else {
            return (self, None);
        };
        let Self {
            model,
            mut optimizer,
            rates,
            precision,
            mut loss_scale,
        } = self;
        let wanted = Wanted {
            precision,
            scale: loss_scale.as_ref().map_or(1.0, LossScale::factor),
            figures,
        };
        let compute = || match parts {
            [batch] if batch.images.device() == home => {
                let found = parts::whole(&model, batch, wanted);
                (model, found)
            }
            parts => parts::summed(model, parts, threads, wanted),
        };
        // Several threads each go to the workers by themselves; waiting for them here must not be one of the workers.
        let (model, found) = if threads > 1 {
            compute()
        } else {
            on_workers(&home, compute)
        };
        let Found { gradients, figures } = found;
        let gradients = match &mut loss_scale {
            Some(scale) => scale.unscaled(gradients, &model),
            None => Some(gradients),
        };
        let model = match gradients {
            Some(gradients) => {
                on_workers(&home, || optimizer.step(rates.clone(), model, gradients))
            }
            None => model,
        };
        let learner = Self {
            model,
            optimizer,
            rates,
            precision,
            loss_scale,
        };
        (learner, figures)
    }
}
