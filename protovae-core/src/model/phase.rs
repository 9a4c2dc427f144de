//! Models that do not train every epoch alike.

use std::collections::BTreeMap;

use burn::module::Param;
use burn::tensor::{Device, Tensor};

use crate::error::Result;
use crate::image_shape::ImageShape;
use crate::train::{Batch, BatchSource};

/// How an epoch trains.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// Whether there are optimisation steps; without, the epoch consists of what follows it.
    pub steps: bool,
    /// Rates of parameters by the beginnings of their names, laid over `training.learning_rates`: a longer beginning there holds
    /// against a shorter one here, so that a part of what a phase names can have a rate of its own. A rate of 0 keeps parameters, and
    /// what the optimizer remembers of them, as they are, whatever `training.learning_rates` says.
    pub learning_rates: BTreeMap<String, f64>,
}

impl Default for Phase {
    fn default() -> Self {
        Self {
            steps: true,
            learning_rates: BTreeMap::new(),
        }
    }
}

/// What a model may use after the steps of an epoch.
#[allow(missing_debug_implementations)]
pub struct EpochDone<'a> {
    /// The epoch that was trained, from 0.
    pub epoch: usize,
    /// Epochs of the run.
    pub epochs: usize,
    /// The run's seed.
    pub seed: u64,
    /// The training images, without augmentation, in the order of the data set.
    pub images: &'a dyn BatchSource,
    /// At most so many batches of them, if the run is limited.
    pub max_batches: Option<usize>,
    /// The device of the parameters, without autodiff.
    pub device: &'a Device,
}

impl EpochDone<'_> {
    /// Whether this was the last epoch.
    pub fn is_last(&self) -> bool {
        self.epoch + 1 >= self.epochs
    }

    /// The training images, batch by batch, on the device.
    ///
    /// # Errors
    /// If they cannot be read, or are not of this shape and these classes.
    pub fn batches(
        &self,
        image: ImageShape,
        classes: usize,
    ) -> Result<impl Iterator<Item = Result<Batch>> + '_> {
        let most = self.max_batches.unwrap_or(usize::MAX);
        let batches = self.images.epoch(0, 0)?.take(most);
        Ok(batches.map(move |host| Batch::new(host?, image, classes, self.seed, 0, self.device)))
    }
}

/// A parameter with another value, on the same device and with the same identity: an optimizer goes on with it.
///
/// ```
/// use burn::module::Param;
/// use burn::tensor::{Device, Tensor};
/// use protovae_core::model::replaced;
/// let device = Device::flex().autodiff();
/// let old = Param::from_tensor(Tensor::<1>::from_floats([1.0, 2.0], &device));
/// let new = replaced(&old, Tensor::from_floats([3.0, 4.0], &Device::flex()));
/// assert_eq!(new.id, old.id);
/// assert!(new.val().is_require_grad());
/// assert_eq!(new.val().sum().into_scalar::<f32>(), 7.0);
/// ```
pub fn replaced<const D: usize>(
    parameter: &Param<Tensor<D>>,
    value: Tensor<D>,
) -> Param<Tensor<D>> {
    parameter.clone().map(|old| {
        let trained = old.is_require_grad();
        // Moving a tensor does not make it take part in autodiff.
        let device = old.device();
        let value = value.without_autodiff();
        let value = value.to_device(&device.clone().without_autodiff());
        match device.is_autodiff() {
            true => value.autodiff().set_require_grad(trained),
            false => value,
        }
    })
}
