//! Randomness as pure functions: of (seed, epoch, sample index) for noise, of the seed for weights.
//!
//! No generator is ever advanced from step to step, so a resumed run draws what the uninterrupted one would have drawn,
//! and no backend's own generator is involved, so that every device starts from the same weights.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand::distr::Distribution;
use rand_chacha::ChaCha8Rng;
use rand_distr::{StandardNormal, Uniform};

use crate::error::{Error, Result};

/// What a random stream is for; streams with different purposes never overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights.
    Weights = 1,
    /// The noise of the reparameterised posterior sample.
    Posterior = 2,
    /// Whatever a plugin needs besides.
    Plugin = 3,
}

/// The generator of one stream: ChaCha8 keyed with `(seed, epoch, index, purpose)`.
pub fn stream(seed: u64, epoch: u64, index: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    for (chunk, word) in key
        .chunks_exact_mut(8)
        .zip([seed, epoch, index, purpose as u64])
    {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// Standard normal noise `[N, width]`: row `i` depends on `(seed, epoch, indices[i])` alone.
pub fn normal_rows(
    seed: u64,
    epoch: u64,
    indices: &[u64],
    width: usize,
    purpose: Purpose,
    device: &Device,
) -> Tensor<2> {
    let mut values: Vec<f32> = Vec::with_capacity(indices.len() * width);
    for index in indices {
        let mut generator = stream(seed, epoch, *index, purpose);
        values.extend((0..width).map(|_| -> f32 { StandardNormal.sample(&mut generator) }));
    }
    Tensor::from_data(TensorData::new(values, [indices.len(), width]), device)
}

/// Draws initial weights on a device from a seed, the same on every backend.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use protovae_core::random::Initializer;
/// let mut init = Initializer::new(7, &Device::flex());
/// let weight = init.uniform([3, 4], -0.08, 0.08);
/// assert_eq!(weight.val().dims(), [3, 4]);
/// ```
#[derive(Debug)]
pub struct Initializer {
    device: Device,
    generator: ChaCha8Rng,
    /// Values that recipes may announce yet.
    left: usize,
}

/// Most values that the weights of a model may have in all (2 GiB).
const MOST_VALUES: usize = 1 << 29;

impl Initializer {
    /// Weights for `seed` on `device` (an autodiff device for a model that is to be trained).
    pub fn new(seed: u64, device: &Device) -> Self {
        Self {
            device: device.clone(),
            generator: stream(seed, 0, 0, Purpose::Weights),
            left: MOST_VALUES,
        }
    }

    /// The same for a model of at most so many values, such as a file can hold.
    #[must_use]
    pub fn with_most(self, values: usize) -> Self {
        Self {
            left: values.min(MOST_VALUES),
            ..self
        }
    }

    /// Announces that so many values are about to be drawn, so that what does not fit into memory is refused before. `key` is the
    /// dotted path of the setting that asks for them.
    ///
    /// Whether recipes announce their weights is up to them; those of this project announce all that grow large with a setting.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use protovae_core::random::Initializer;
    /// let mut init = Initializer::new(7, &Device::flex()).with_most(100);
    /// init.reserve("model.encoder.widths", 60)?;
    /// assert!(init.reserve("model.decoder.stages", 60).is_err());
    /// # Ok::<(), protovae_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] at `key` if all that were announced are more than the model may have.
    pub fn reserve(&mut self, key: &str, values: usize) -> Result<()> {
        match self.left.checked_sub(values) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Error::config(
                key,
                format!(
                    "asks for {values} weights, but the model may have only {} more",
                    self.left
                ),
            )),
        }
    }

    /// The device on which the weights are put.
    pub fn device(&self) -> &Device {
        &self.device
    }

    fn parameter<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::from_data(
            TensorData::new(values, shape),
            &self.device,
        ))
    }

    /// Uniform in `[low, high)`; `low` everywhere if the interval is empty.
    pub fn uniform<const D: usize>(
        &mut self,
        shape: [usize; D],
        low: f32,
        high: f32,
    ) -> Param<Tensor<D>> {
        let count = shape.iter().product();
        let values = match Uniform::new(low, high) {
            Ok(distribution) => (0..count)
                .map(|_| distribution.sample(&mut self.generator))
                .collect(),
            Err(_) => vec![low; count],
        };
        self.parameter(values, shape)
    }

    /// Normal with the given mean and standard deviation.
    pub fn normal<const D: usize>(
        &mut self,
        shape: [usize; D],
        mean: f32,
        deviation: f32,
    ) -> Param<Tensor<D>> {
        let count = shape.iter().product();
        let values = (0..count)
            .map(|_| {
                let standard: f32 = StandardNormal.sample(&mut self.generator);
                mean + deviation * standard
            })
            .collect();
        self.parameter(values, shape)
    }

    /// Kaiming normal for ReLU over the outgoing connections of a convolution weight `[out, in, height, width]`:
    /// deviation `sqrt(2 / (out·height·width))`.
    pub fn kaiming_normal_fan_out(&mut self, shape: [usize; 4]) -> Param<Tensor<4>> {
        let fan_out = (shape[0] * shape[2] * shape[3]).max(1);
        self.normal(shape, 0.0, (2.0 / fan_out as f32).sqrt())
    }

    /// The same value everywhere in a tensor of `shape`.
    pub fn constant<const D: usize>(&mut self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        self.parameter(vec![value; shape.iter().product()], shape)
    }

    /// The value of a function of the index.
    pub fn values<const D: usize>(
        &mut self,
        shape: [usize; D],
        values: impl Fn([usize; D]) -> f32,
    ) -> Param<Tensor<D>> {
        let count: usize = shape.iter().product();
        let data = (0..count)
            .map(|flat| {
                let mut rest = flat;
                let mut index = [0; D];
                for axis in (0..D).rev() {
                    index[axis] = rest % shape[axis];
                    rest /= shape[axis];
                }
                values(index)
            })
            .collect();
        self.parameter(data, shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_depends_on_the_sample_not_on_its_place() {
        let device = Device::flex();
        let noise = |epoch, indices: &[u64]| {
            normal_rows(3, epoch, indices, 5, Purpose::Posterior, &device).into_data()
        };
        let both = noise(1, &[8, 2]);
        let swapped = noise(1, &[2, 8]);
        let both: Vec<f32> = both.iter::<f32>().collect();
        let swapped: Vec<f32> = swapped.iter::<f32>().collect();
        assert_eq!(both[..5], swapped[5..]);
        assert_eq!(both[5..], swapped[..5]);
        let later: Vec<f32> = noise(2, &[8, 2]).iter::<f32>().collect();
        assert_ne!(both, later);
    }

    #[test]
    fn weights_repeat_for_a_seed_and_have_the_asked_spread() {
        let draw = |seed| -> Vec<f32> {
            let mut init = Initializer::new(seed, &Device::flex());
            init.normal([100, 100], 1.0, 2.0)
                .val()
                .into_data()
                .iter::<f32>()
                .collect()
        };
        let values = draw(5);
        assert_eq!(values, draw(5));
        assert_ne!(values, draw(6));
        let mean = values.iter().sum::<f32>() / 1e4;
        let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 1e4).sqrt();
        assert!((mean - 1.0).abs() < 0.1 && (deviation - 2.0).abs() < 0.1);
    }
}
