//! Loss scaling, for gradients that pass through numbers of a small range.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::model::BoxModel;

/// The factor of the loss before its gradient is taken, which gradients are divided by afterwards.
///
/// It is as large as gradients bear: halved, and the step left out, when one is no longer finite, and doubled after
/// [`PATIENCE`] steps that were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LossScale {
    factor: f64,
    /// Steps since the factor changed.
    steps: u32,
    /// Steps of the current epoch that were left out.
    pub(crate) skipped: u64,
}

const FIRST: f64 = 65_536.0;
const SMALLEST: f64 = 1.0;
const LARGEST: f64 = 16_777_216.0;
const PATIENCE: u32 = 2000;

impl Default for LossScale {
    fn default() -> Self {
        Self {
            factor: FIRST,
            steps: 0,
            skipped: 0,
        }
    }
}

impl LossScale {
    pub(crate) fn factor(&self) -> f64 {
        self.factor
    }

    /// The gradients as they are without the scale; none if they are not finite. Waits for the device.
    pub(crate) fn unscaled(
        &mut self,
        gradients: GradientsParams,
        model: &BoxModel,
    ) -> Option<GradientsParams> {
        if !is_finite(&gradients, model) {
            self.factor = (self.factor / 2.0).max(SMALLEST);
            self.steps = 0;
            self.skipped += 1;
            return None;
        }
        let unscaled = scaled(gradients, model, 1.0 / self.factor);
        self.steps += 1;
        if self.steps >= PATIENCE {
            self.factor = (self.factor * 2.0).min(LARGEST);
            self.steps = 0;
        }
        Some(unscaled)
    }
}

fn is_finite(gradients: &GradientsParams, model: &BoxModel) -> bool {
    /// The sum of all values without their signs.
    struct Size<'a>(&'a GradientsParams, Option<(Device, Tensor<1>)>);
    impl ModuleVisitor for Size<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let Some(gradient) = self.0.get::<D>(param.id) else {
                return;
            };
            let size = gradient.abs().sum();
            self.1 = Some(match self.1.take() {
                Some((device, sum)) => {
                    let sum = sum + size.to_device(&device);
                    (device, sum)
                }
                None => (size.device(), size),
            });
        }
    }
    let mut size = Size(gradients, None);
    model.visit(&mut size);
    size.1
        .is_none_or(|(_, size)| size.into_data().iter::<f32>().all(f32::is_finite))
}

fn scaled(gradients: GradientsParams, model: &BoxModel, factor: f64) -> GradientsParams {
    struct Scale(GradientsParams, f64);
    impl ModuleVisitor for Scale {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.remove::<D>(param.id) {
                self.0.register(param.id, gradient * self.1);
            }
        }
    }
    let mut scale = Scale(gradients, factor);
    model.visit(&mut scale);
    scale.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[derive(Module, Debug)]
    struct Two {
        matrix: Param<Tensor<2>>,
        vector: Param<Tensor<1>>,
    }

    impl crate::model::Model for Two {
        fn kind(&self) -> &'static str {
            unreachable!()
        }
        fn losses(
            &self,
            _: &crate::train::Batch,
            _: crate::model::Mode,
        ) -> crate::model::StepOutput {
            unreachable!()
        }
        fn predict(&self, _: Tensor<4>) -> crate::model::Prediction {
            unreachable!()
        }
        fn image_shape(&self) -> crate::ImageShape {
            unreachable!()
        }
        fn classes(&self) -> usize {
            unreachable!()
        }
    }

    #[test]
    fn it_halves_for_what_is_not_finite_and_doubles_with_patience() {
        let device = Device::flex();
        let two = Two {
            matrix: Param::from_tensor(Tensor::zeros([2, 3], &device)),
            vector: Param::from_tensor(Tensor::zeros([3], &device)),
        };
        let (matrix, vector) = (two.matrix.id, two.vector.id);
        let model = BoxModel::new(two);
        let gradients = |last: f32| {
            let mut gradients = GradientsParams::new();
            gradients.register(matrix, Tensor::<2>::full([2, 3], -65_536.0, &device));
            gradients.register(
                vector,
                Tensor::<1>::from_floats([0.0, 65_536.0, last], &device),
            );
            gradients
        };
        let mut scale = LossScale::default();
        let found = scale.unscaled(gradients(1.0), &model).unwrap();
        let values = |gradients: &GradientsParams| -> Vec<f32> {
            let vector = gradients.get::<1>(vector).unwrap();
            vector.into_data().iter::<f32>().collect()
        };
        assert_eq!(values(&found), [0.0, 1.0, 1.0 / 65_536.0]);
        for (turn, last) in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN]
            .into_iter()
            .enumerate()
        {
            assert!(scale.unscaled(gradients(last), &model).is_none());
            assert_eq!(scale.factor(), FIRST / f64::from(1 << (turn + 1)));
        }
        assert_eq!(scale.skipped, 3);
        for _ in 0..PATIENCE {
            assert_eq!(scale.factor(), FIRST / 8.0);
            scale.unscaled(gradients(1.0), &model).unwrap();
        }
        assert_eq!(scale.factor(), FIRST / 4.0);
        for _ in 0..60 {
            let _ = scale.unscaled(gradients(f32::NAN), &model);
        }
        assert_eq!(scale.factor(), SMALLEST);
    }
}
