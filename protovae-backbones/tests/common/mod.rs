//! Modules taken apart by the paths of their parameters.

#![allow(dead_code)] // each test file uses its share

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

/// The values of a tensor, flat.
pub fn flat<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().iter::<f32>().collect()
}

/// The largest difference of two tensors of one shape.
pub fn distance<const D: usize>(left: &Tensor<D>, right: &Tensor<D>) -> f32 {
    assert_eq!(left.dims(), right.dims());
    let pairs = flat(left).into_iter().zip(flat(right));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Values between −1 and 1 without a pattern, the same for the same seed.
pub fn noise<const D: usize>(
    shape: [usize; D],
    seed: u64,
    like: &burn::tensor::Device,
) -> Tensor<D> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_data(TensorData::new(values, shape), like)
}

pub fn is_statistic(path: &str) -> bool {
    path.ends_with(".running_mean") || path.ends_with(".running_var")
}

struct Reader<'a> {
    path: Vec<String>,
    gradients: Option<&'a Gradients>,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for Reader<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = match self.gradients {
            Some(gradients) => param.val().grad(gradients),
            None => Some(param.val()),
        };
        if let Some(tensor) = tensor {
            let twice = self.found.insert(self.path.join("."), flat(&tensor));
            assert!(twice.is_none(), "two parameters at {:?}", self.path);
        }
    }
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}

fn read<M: Module>(module: &M, gradients: Option<&Gradients>) -> BTreeMap<String, Vec<f32>> {
    let mut reader = Reader {
        path: Vec::new(),
        gradients,
        found: BTreeMap::new(),
    };
    module.visit(&mut reader);
    reader.found
}

/// Every parameter and running statistic by its path.
pub fn values<M: Module>(module: &M) -> BTreeMap<String, Vec<f32>> {
    read(module, None)
}

/// The gradient of every parameter that has one, by its path.
pub fn gradients<M: Module>(module: &M, gradients: &Gradients) -> BTreeMap<String, Vec<f32>> {
    read(module, Some(gradients))
}

/// Parameters that are trained; running statistics are not.
pub fn trainable<M: Module>(module: &M) -> usize {
    values(module)
        .iter()
        .filter(|(path, _)| !is_statistic(path))
        .map(|(_, values)| values.len())
        .sum()
}

struct Writer<'a> {
    path: Vec<String>,
    values: &'a BTreeMap<String, Vec<f32>>,
}

impl ModuleMapper for Writer<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let values = self.values[&path].clone();
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

/// The module with every parameter and running statistic replaced by the values at its path.
pub fn with_values<M: Module>(module: M, values: &BTreeMap<String, Vec<f32>>) -> M {
    module.map(&mut Writer {
        path: Vec::new(),
        values,
    })
}

/// The sum with weights of its own for each element, so that no gradient cancels by symmetry.
pub fn loss<const D: usize>(output: Tensor<D>) -> Tensor<1> {
    let weights = noise(output.dims(), 11, &output.device());
    (output * weights).sum()
}

/// Each trained parameter has a finite gradient that is not all zero, and no running statistic has any.
pub fn assert_every_gradient<M: Module>(module: &M, loss: &Tensor<1>) {
    let gradients = gradients(module, &loss.backward());
    for path in values(module).keys().filter(|path| !is_statistic(path)) {
        let gradient = gradients
            .get(path)
            .unwrap_or_else(|| panic!("no gradient at {path}"));
        assert!(gradient.iter().all(|value| value.is_finite()), "{path}");
        assert!(gradient.iter().any(|value| *value != 0.0), "{path}");
    }
    let statistics = gradients.keys().filter(|path| is_statistic(path));
    assert_eq!(statistics.count(), 0);
}
