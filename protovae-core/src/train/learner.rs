//! A model and its optimizer, moved by batches.

use burn::optim::lr_scheduler::module_lr_scheduler::ModuleLearningRate;
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;

use super::adam::Adam;
use super::metrics::DeviceFigures;
use super::rates::learning_rates;
use super::{Batch, TrainingConfig};
use crate::device::on_workers;
use crate::error::Result;
use crate::model::{BoxModel, Mode, Phase, StepOutput};

/// A model and its optimizer: what a training step changes.
///
/// [`Trainer`](super::Trainer) keeps one through a run; use it yourself for a loop of your own.
#[allow(missing_debug_implementations)]
pub struct Learner {
    model: BoxModel,
    optimizer: ModuleOptimizer,
    rates: ModuleLearningRate,
}

impl Learner {
    /// A model, on an autodiff device, with a fresh optimizer.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if `learning_rates` name parameters that the model has not.
    pub fn new(model: BoxModel, config: &TrainingConfig) -> Result<Self> {
        let rates = learning_rates(&model, config)?;
        let optimizer = ModuleOptimizer::from(Adam {
            beta_1: config.beta_1 as f32,
            beta_2: config.beta_2 as f32,
            epsilon: config.adam_epsilon as f32,
        });
        Ok(Self {
            model,
            optimizer,
            rates,
        })
    }

    /// Takes over the learning rates of a phase of training.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if they name parameters that the model has not.
    pub fn enter(&mut self, config: &TrainingConfig, phase: &Phase) -> Result<()> {
        let mut config = config.clone();
        config.learning_rates.extend(phase.learning_rates.clone());
        self.rates = learning_rates(&self.model, &config)?;
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
            rates: self.rates,
        })
    }

    /// One step of optimisation: forward pass, losses, backward pass, update. Nothing waits for the device.
    ///
    /// Takes the learner by value so that the optimizer holds the only handle on the weights and can change them in place.
    #[must_use]
    pub fn step(self, batch: &Batch) -> Self {
        self.step_and(batch, |_, _| ()).0
    }

    /// As [`step`](Self::step), with the figures of the batch before the update.
    pub(crate) fn step_with_figures(self, batch: &Batch) -> (Self, DeviceFigures) {
        self.step_and(batch, |output, total| {
            DeviceFigures::new(batch, output, total)
        })
    }

    fn step_and<T: Send>(
        self,
        batch: &Batch,
        look: impl FnOnce(&StepOutput, &Tensor<1>) -> T + Send,
    ) -> (Self, T) {
        on_workers(&batch.images.device(), || self.step_here(batch, look))
    }

    fn step_here<T>(
        self,
        batch: &Batch,
        look: impl FnOnce(&StepOutput, &Tensor<1>) -> T,
    ) -> (Self, T) {
        let Self {
            model,
            mut optimizer,
            rates,
        } = self;
        let output = model.losses(batch, Mode::Training);
        let total = output.total();
        let seen = look(&output, &total);
        drop(output);
        let gradients = GradientsParams::from_grads(total.backward(), &model);
        drop(total);
        let model = optimizer.step(rates.clone(), model, gradients);
        let learner = Self {
            model,
            optimizer,
            rates,
        };
        (learner, seen)
    }
}
