//! Batch normalisation.

use burn::module::{Flag, Module, Param, RunningState};
use burn::tensor::Tensor;
use protovae_core::plugin::LayerView;
use protovae_core::random::Initializer;

use crate::kernels::Maps;

/// Batch normalisation of each channel: of what a ReLU gives in the small networks, before the ReLU in residual ones.
///
/// It trains (normalises by the statistics of the batch, and lets the running statistics follow them) if its input is on
/// an autodiff device, unless the module was frozen or comes from `valid()`; otherwise it normalises by the running
/// statistics. Unlike burn's own it keeps the unbiased variance, as PyTorch does, and what it saves is never one update
/// behind.
///
/// Clones share their running statistics (burn's [`RunningState`]); `valid()` and records make copies.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale of each normalised channel, `[C]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift of each normalised channel, `[C]`.
    pub beta: Param<Tensor<1>>,
    /// Running mean, `[C]`.
    pub running_mean: RunningState<Tensor<1>>,
    /// Running unbiased variance, `[C]`.
    pub running_var: RunningState<Tensor<1>>,
    /// Off in a frozen module and in `valid()`.
    pub training: Param<Flag>,
    /// Share of the newest batch in the running statistics.
    pub momentum: f64,
    /// Added to variances.
    pub epsilon: f64,
    /// Whether it never trains: see [`frozen`](Self::frozen).
    pub frozen: bool,
}

impl BatchNorm {
    /// Normalises `channels` channels: scale 1, shift 0, running mean 0 and variance 1, momentum 0.1, epsilon 1e-5.
    pub fn new(channels: usize, init: &mut Initializer) -> Self {
        Self {
            gamma: init.constant([channels], 1.0),
            beta: init.constant([channels], 0.0),
            running_mean: RunningState::new(Tensor::zeros([channels], init.device())),
            running_var: RunningState::new(Tensor::ones([channels], init.device())),
            training: Param::from_bool(true),
            momentum: 0.1,
            epsilon: 1e-5,
            frozen: false,
        }
    }

    /// This normalisation as the affine map of its running statistics, in training too: neither they nor scale and shift
    /// change from then on.
    pub fn frozen(self) -> Self {
        Self {
            gamma: self.gamma.set_require_grad(false),
            beta: self.beta.set_require_grad(false),
            frozen: true,
            ..self
        }
    }

    /// ReLU, normalisation and, if `pool`, 2×2 average pooling: `[N, C, H, W]` to the same or `[N, C, H/2, W/2]`.
    pub fn after_relu(&self, input: Tensor<4>, pool: bool) -> Tensor<4> {
        self.maps_after_relu(Maps::new(input), pool).into_images()
    }

    /// [`after_relu`](Self::after_relu) on maps as the layers hand them to each other.
    pub fn maps_after_relu(&self, input: Maps, pool: bool) -> Maps {
        if !self.trains_on(&input) {
            let (scale, shift) = self.scale_and_shift();
            return input.relu_affine(scale, shift, pool);
        }
        let [samples, _, height, width] = input.dims();
        let normalised =
            input.relu_batch_norm(self.gamma.val(), self.beta.val(), self.epsilon, pool);
        self.follow(
            normalised.mean,
            normalised.variance,
            samples * height * width,
        );
        normalised.maps
    }

    /// Normalisation, then ReLU if `relu`, of maps as the layers hand them to each other.
    pub fn forward_maps(&self, input: Maps, relu: bool) -> Maps {
        if !self.trains_on(&input) {
            let (scale, shift) = self.scale_and_shift();
            return input.affine(scale, shift, relu);
        }
        let [samples, _, height, width] = input.dims();
        let normalised = input.batch_norm(self.gamma.val(), self.beta.val(), self.epsilon, relu);
        let values = samples * height * width;
        self.follow(normalised.mean, normalised.variance, values);
        normalised.maps
    }

    /// Whether the statistics of this input's batch would be used.
    pub fn trains_on(&self, input: &Maps) -> bool {
        !self.frozen && input.is_autodiff() && self.training.is_enabled()
    }

    /// Moves the running statistics towards a batch's mean and biased variance a channel, `[C]` each, of `values` values
    /// a channel. A single value tells nothing of a variance, which then stays as it is.
    pub fn follow(&self, mean: Tensor<1>, variance: Tensor<1>, values: usize) {
        let toward = |state: &RunningState<Tensor<1>>, new: Tensor<1>| {
            let old = state.value_sync();
            let new = old * (1.0 - self.momentum) + new.without_autodiff() * self.momentum;
            state.update(new.detach());
            // An update alone stays pending until the next one, and what is pending is not saved.
            state.value_sync();
        };
        toward(&self.running_mean, mean);
        if values > 1 {
            let unbiased = values as f64 / (values - 1) as f64;
            toward(&self.running_var, variance * unbiased);
        }
    }

    /// The map `x·scale + shift` that normalisation by the running statistics is, `[C]` each.
    pub fn scale_and_shift(&self) -> (Tensor<1>, Tensor<1>) {
        let deviation = (self.running_var.value_sync() + self.epsilon).sqrt();
        let scale = self.gamma.val() / deviation;
        let shift = self.beta.val() - self.running_mean.value_sync() * scale.clone();
        (scale, shift)
    }

    /// The layer as relevance propagation sees it, without the ReLU before it.
    pub fn layer_view(&self) -> LayerView {
        let (scale, shift) = self.scale_and_shift();
        LayerView::ChannelAffine {
            scale: scale.without_autodiff(),
            shift: shift.without_autodiff(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use burn::tensor::Device;

    use super::*;

    fn flat<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    fn assert_near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} not {expected}");
        }
    }

    #[test]
    fn statistics_follow_by_hand() {
        let device = Device::flex().autodiff();
        let norm = BatchNorm::new(2, &mut Initializer::new(0, &device));
        // Two samples, two channels, 1×2: after the ReLU, channel 0 holds 0, 2, 4, 6 and channel 1 holds 1, 1, 3, 3.
        let batch = [
            [[[-5.0f32, 2.0]], [[1.0, 1.0]]],
            [[[4.0, 6.0]], [[3.0, 3.0]]],
        ];
        let input = Tensor::<4>::from_floats(batch, &device);
        let output = norm.after_relu(input.clone(), false);
        // Mean 3 and 2, biased variance 5 and 1.
        let (five, one) = (5.00001f32.sqrt(), 1.00001f32.sqrt());
        assert_near(
            &flat(output),
            &[
                -3.0 / five,
                -1.0 / five,
                -1.0 / one,
                -1.0 / one,
                1.0 / five,
                3.0 / five,
                1.0 / one,
                1.0 / one,
            ],
        );
        // Unbiased variance 20/3 and 4/3; a tenth of it and nine tenths of 1.
        assert_near(&flat(norm.running_mean.value()), &[0.3, 0.2]);
        assert_near(
            &flat(norm.running_var.value()),
            &[0.9 + 2.0 / 3.0, 0.9 + 0.4 / 3.0],
        );
        norm.after_relu(input, true);
        assert_near(&flat(norm.running_mean.value()), &[0.57, 0.38]);

        let (scale, shift) = norm.valid().scale_and_shift();
        let variance = 0.9 * (0.9 + 2.0 / 3.0) + 2.0 / 3.0f32;
        let expected = 1.0 / (variance + 1e-5).sqrt();
        assert_near(&flat(scale)[..1], &[expected]);
        assert_near(&flat(shift)[..1], &[-0.57 * expected]);
    }

    #[test]
    fn a_single_value_leaves_the_variance_alone() {
        let device = Device::flex().autodiff();
        let norm = BatchNorm::new(1, &mut Initializer::new(0, &device));
        let output = norm.after_relu(Tensor::from_floats([[[[4.0]]]], &device), false);
        assert_near(&flat(output), &[0.0]);
        assert_near(&flat(norm.running_mean.value()), &[0.4]);
        assert_near(&flat(norm.running_var.value()), &[1.0]);
    }
}
