//! What a module holds: the values of its parameters, and their gradients.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bool, Gradients, Int, Tensor, TensorData};

use super::inputs::flat;

/// The path from a module's root to a parameter.
#[derive(Debug, Default)]
struct Path(Vec<String>);

impl Path {
    fn text(&self) -> String {
        self.0.join(".")
    }
}

/// Every value a module holds, by path.
#[derive(Debug, Default)]
pub(super) struct State {
    path: Path,
    values: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
    /// Paths of parameters that are trained; running statistics are not.
    pub(super) trained: Vec<String>,
    /// Paths of parameters on a device without autodiff.
    pub(super) plain: Vec<String>,
}

impl State {
    pub(super) fn of<M: Module>(module: &M) -> Self {
        let mut state = Self::default();
        module.visit(&mut state);
        state
    }

    fn keep(&mut self, data: TensorData) {
        let shape = data.shape().to_vec();
        let values = data.iter::<f64>().collect();
        self.values.insert(self.path.text(), (shape, values));
    }

    /// The first difference, bit for bit.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        let paths = self.values.keys().chain(other.values.keys());
        for path in paths {
            let (Some(left), Some(right)) = (self.values.get(path), other.values.get(path)) else {
                return Some(format!(
                    "expected the same parameters, found `{path}` in one only"
                ));
            };
            if left.0 != right.0 {
                return Some(format!(
                    "expected shape {:?} for `{path}`, found {:?}",
                    left.0, right.0
                ));
            }
            for (expected, found) in left.1.iter().zip(&right.1) {
                if expected.to_bits() != found.to_bits() {
                    return Some(format!("expected {expected} in `{path}`, found {found}"));
                }
            }
        }
        None
    }
}

impl ModuleVisitor for State {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if value.is_require_grad() {
            self.trained.push(self.path.text());
        }
        if !value.device().is_autodiff() {
            self.plain.push(self.path.text());
        }
        self.keep(value.into_data());
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.keep(param.val().into_data());
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.keep(param.val().int().into_data());
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.to_string());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }
}

pub(super) struct GradientCollector<'a> {
    path: Path,
    gradients: &'a Gradients,
    pub(super) found: BTreeMap<String, Vec<f32>>,
}

impl<'a> GradientCollector<'a> {
    pub(super) fn new(gradients: &'a Gradients) -> Self {
        Self {
            path: Path::default(),
            gradients,
            found: BTreeMap::new(),
        }
    }
}

impl ModuleVisitor for GradientCollector<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            self.found.insert(self.path.text(), flat(&gradient));
        }
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.0.push(name.to_string());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.0.pop();
    }
}
