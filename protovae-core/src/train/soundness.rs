//! Whether what is about to be saved can be gone on from.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::Batch;
use super::metrics::{BatchFigures, DeviceFigures};
use crate::device::on_workers;
use crate::model::{BoxModel, Mode};

/// The figures of a model on a batch as it evaluates, which changes nothing in it.
pub(crate) fn figures_after(model: &BoxModel, batch: &Batch) -> Option<BatchFigures> {
    let model = model.valid();
    let batch = Batch {
        images: batch.images.clone().without_autodiff(),
        labels: batch.labels.clone().without_autodiff(),
        ..batch.clone()
    };
    let device = batch.images.device();
    let output = on_workers(&device, || model.losses(&batch, Mode::Evaluation));
    let mut pending = vec![DeviceFigures::new(&batch, &output, &output.total())];
    DeviceFigures::fetch(&mut pending).pop()
}

/// The names of the trained parameters of a module that hold NaN or infinite values.
///
/// What is not trained may hold anything, such as a mask of infinities.
pub(crate) fn broken_parameters(module: &impl Module) -> Vec<String> {
    let mut broken = Broken::default();
    module.visit(&mut broken);
    broken.found
}

#[derive(Default)]
struct Broken {
    path: Vec<String>,
    found: Vec<String>,
}

impl ModuleVisitor for Broken {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if !value.is_require_grad() {
            return;
        }
        let finite = value.without_autodiff().is_finite().all();
        if !finite.into_scalar::<bool>() {
            self.found.push(self.path.join("."));
        }
    }
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[derive(Module, Debug)]
    struct Layers {
        first: Param<Tensor<2>>,
        second: Param<Tensor<1>>,
        mask: Param<Tensor<1>>,
    }

    #[test]
    fn trained_parameters_that_are_not_finite_are_named() {
        let device = Device::flex().autodiff();
        let layers = |first, second| Layers {
            first: Param::from_tensor(Tensor::from_floats([[1.0, first]], &device)),
            second: Param::from_tensor(Tensor::from_floats([second, 0.0], &device)),
            mask: Param::from_tensor(Tensor::from_floats([f32::NEG_INFINITY], &device))
                .set_require_grad(false),
        };
        assert!(broken_parameters(&layers(f32::MAX, -1.0)).is_empty());
        assert_eq!(broken_parameters(&layers(f32::NAN, 1.0)), ["first"]);
        assert_eq!(
            broken_parameters(&layers(1.0, f32::NEG_INFINITY)),
            ["second"]
        );
    }
}
