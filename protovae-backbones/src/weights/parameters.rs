//! Modules taken apart into named values, and put together again.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

/// A parameter or running statistic of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its path, such as `encoder.tail.hidden.weight`.
    pub path: String,
    /// The type of the module that it belongs to, such as `Linear`.
    pub module: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

/// All floating-point parameters and running statistics of a module, in its own order.
pub fn parameters(module: &impl Module) -> Vec<Parameter> {
    let mut walk = Walk::default();
    module.visit(&mut walk);
    walk.found
        .into_iter()
        .map(|(parameter, _)| parameter)
        .collect()
}

/// The same with their values in single precision.
pub(super) fn values(module: &impl Module) -> Vec<(Parameter, Vec<f32>)> {
    let mut walk = Walk {
        with_values: true,
        ..Walk::default()
    };
    module.visit(&mut walk);
    walk.found
}

/// The module with the values at these paths; what is at other paths stays.
pub(super) fn with_values<M: Module>(module: M, values: BTreeMap<String, Vec<f32>>) -> M {
    module.map(&mut Fill {
        path: Vec::new(),
        values,
    })
}

#[derive(Default)]
struct Walk {
    path: Vec<String>,
    modules: Vec<String>,
    with_values: bool,
    found: Vec<(Parameter, Vec<f32>)>,
}

impl ModuleVisitor for Walk {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let parameter = Parameter {
            path: self.path.join("."),
            module: innermost(&self.modules),
            shape: tensor.dims().to_vec(),
        };
        let values = match self.with_values {
            true => tensor.into_data().iter::<f32>().collect(),
            false => Vec::new(),
        };
        self.found.push((parameter, values));
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.push(name.to_string());
        self.modules.push(container.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
        self.modules.pop();
    }
}

/// The type of the innermost module, past lists, tuples and options; burn writes it as `Struct:Linear`.
fn innermost(containers: &[String]) -> String {
    let mut inwards = containers.iter().rev();
    inwards
        .find_map(|container| container.strip_prefix("Struct:"))
        .unwrap_or_default()
        .to_string()
}

struct Fill {
    path: Vec<String>,
    values: BTreeMap<String, Vec<f32>>,
}

impl ModuleMapper for Fill {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(values) = self.values.remove(&self.path.join(".")) else {
            return param;
        };
        param.map(|old| {
            let data = TensorData::new(values, old.dims());
            Tensor::from_data(data, &old.device()).set_require_grad(old.is_require_grad())
        })
    }

    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}
