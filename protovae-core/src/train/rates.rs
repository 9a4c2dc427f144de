//! Learning rates of their own for some parameters.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleVisitor, Param, ParamGroup};
use burn::optim::LearningRate;
use burn::optim::lr_scheduler::module_lr_scheduler::{ModuleLearningRate, ModuleLrScheduler};
use burn::tensor::Tensor;

use super::TrainingConfig;
use crate::error::{Error, Result};

/// The rate of each parameter of a module: that of the longest beginning of its name in `learning_rates`, else
/// `learning_rate`. The rates of a phase are laid over them: of two beginnings of a name the longer one holds, of equal ones the
/// phase's, but what the longest of a phase's has at 0 stays at 0.
///
/// burn's optimizers ask for a rate parameter by parameter, so this holds on every device, and an optimizer's record does not
/// depend on it.
///
/// # Errors
/// [`Error::Config`] if no parameter's name begins with one of them.
pub(crate) fn learning_rates(
    module: &impl Module,
    config: &TrainingConfig,
    phase: &BTreeMap<String, LearningRate>,
) -> Result<ModuleLearningRate> {
    let mut rates = ModuleLrScheduler::new(config.learning_rate);
    if config.learning_rates.is_empty() && phase.is_empty() {
        return Ok(rates.step());
    }
    let mut names = Names::default();
    module.visit(&mut names);
    for beginning in config.learning_rates.keys().chain(phase.keys()) {
        if !names.found.iter().any(|name| begins(name, beginning)) {
            return Err(Error::config(
                "training.learning_rates",
                names.unknown(beginning),
            ));
        }
    }
    // By the bits of the rate: those that share one are a group.
    let mut groups: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for name in names.found {
        let rate = match (
            longest(phase, &name),
            longest(&config.learning_rates, &name),
        ) {
            (Some((phase, rate)), Some((own, _))) if rate == 0.0 || phase.len() >= own.len() => {
                rate
            }
            (_, Some((_, rate))) | (Some((_, rate)), None) => rate,
            (None, None) => continue,
        };
        groups.entry(rate.to_bits()).or_default().push(name);
    }
    for (rate, names) in groups {
        rates = rates.with_group(ParamGroup::from_paths(names), f64::from_bits(rate));
    }
    Ok(rates.step())
}

/// The longest beginning of a name, and its rate.
fn longest<'a>(
    rates: &'a BTreeMap<String, LearningRate>,
    name: &str,
) -> Option<(&'a str, LearningRate)> {
    let fitting = rates
        .iter()
        .filter(|(beginning, _)| begins(name, beginning));
    let (beginning, rate) = fitting.max_by_key(|(beginning, _)| beginning.len())?;
    Some((beginning, *rate))
}

/// Whether the first parts of a dotted name are these.
fn begins(name: &str, beginning: &str) -> bool {
    name.strip_prefix(beginning)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The names of a module's parameters, as a model file has them.
#[derive(Default)]
struct Names {
    path: Vec<String>,
    found: Vec<String>,
}

impl Names {
    /// What is said of a beginning that no name has: the names of the parts that there are, as deep as it goes right.
    fn unknown(&self, beginning: &str) -> String {
        let parent = beginning.char_indices().rev().find_map(|(at, char)| {
            let parent = &beginning[..at];
            let known = || self.found.iter().any(|name| begins(name, parent));
            (char == '.' && known()).then_some(parent)
        });
        let parts: BTreeSet<&str> = self
            .found
            .iter()
            .filter_map(|name| match parent {
                Some(parent) if begins(name, parent) => name[parent.len()..].strip_prefix('.'),
                Some(_) => None,
                None => Some(name.as_str()),
            })
            .filter_map(|rest| rest.split('.').next())
            .collect();
        let parts = match parts.len() {
            0 => "nothing in it".to_string(),
            _ => parts.into_iter().collect::<Vec<_>>().join(", "),
        };
        let whose = parent.map_or_else(|| "the model".to_string(), |parent| format!("`{parent}`"));
        format!("no parameter's name begins with `{beginning}`; {whose} has {parts}")
    }
}

impl ModuleVisitor for Names {
    fn visit_float<const D: usize>(&mut self, _: &Param<Tensor<D>>) {
        self.found.push(self.path.join("."));
    }
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use burn::optim::{GradientsParams, ModuleOptimizer};
    use burn::tensor::{Device, TensorData};

    use super::super::adam::Adam;
    use super::*;

    #[derive(Module, Debug)]
    struct Network {
        encoder: Encoder,
        encoders: Param<Tensor<1>>,
        head: Param<Tensor<2>>,
    }

    #[derive(Module, Debug)]
    struct Encoder {
        first: Param<Tensor<2>>,
        tail: Tail,
    }

    #[derive(Module, Debug)]
    struct Tail {
        last: Param<Tensor<1>>,
    }

    /// As in `tests/golden/learning_rates.py`.
    fn values<const D: usize>(shape: [usize; D], seed: usize) -> Tensor<D> {
        let count: usize = shape.iter().product();
        let value = |index: usize| ((index + 1 + 7 * seed) as f64).sin() / 2.0;
        let values = (0..count).map(|index| value(index) as f32).collect();
        Tensor::from_data(TensorData::new::<f32, _>(values, shape), &Device::flex())
    }

    fn network() -> Network {
        Network {
            encoder: Encoder {
                first: Param::from_tensor(values([2, 3], 0).autodiff()),
                tail: Tail {
                    last: Param::from_tensor(values([4], 1).autodiff()),
                },
            },
            encoders: Param::from_tensor(values([3], 2).autodiff()),
            head: Param::from_tensor(values([2, 2], 3).autodiff()),
        }
    }

    fn config(rates: &[(&str, f64)]) -> TrainingConfig {
        let rates = rates.iter().map(|(name, rate)| (name.to_string(), *rate));
        TrainingConfig {
            learning_rate: 1e-2,
            learning_rates: rates.collect(),
            ..TrainingConfig::default()
        }
    }

    fn flat<const D: usize>(param: &Param<Tensor<D>>) -> Vec<f32> {
        param.val().into_data().iter::<f32>().collect()
    }

    /// The optimizer is written and read between the steps, as resuming does.
    #[test]
    fn steps_are_pytorchs() {
        let text = include_str!("../../tests/golden/learning_rates.json");
        let golden: BTreeMap<String, Vec<f64>> = serde_json::from_str(text).unwrap();
        let config = config(&[("encoder", 1e-3), ("encoder.tail", 2e-2), ("head", 0.0)]);
        let fresh = || {
            ModuleOptimizer::from(Adam {
                beta_1: 0.9,
                beta_2: 0.99,
                epsilon: 1e-8,
            })
        };
        let (mut network, mut optimizer) = (network(), fresh());
        let rates = learning_rates(&network, &config, &BTreeMap::new()).unwrap();
        for step in 1..=3 {
            let mut gradients = GradientsParams::new();
            let seed = |number: usize| 10 * step + number;
            gradients.register(network.encoder.first.id, values([2, 3], seed(0)));
            gradients.register(network.encoder.tail.last.id, values([4], seed(1)));
            gradients.register(network.encoders.id, values([3], seed(2)));
            gradients.register(network.head.id, values([2, 2], seed(3)));
            network = optimizer.step(rates.clone(), network, gradients);
            let record = optimizer.into_bytes().unwrap();
            optimizer = fresh().from_bytes(record).unwrap();
        }
        for (name, found) in [
            ("encoder.first", flat(&network.encoder.first)),
            ("encoder.tail.last", flat(&network.encoder.tail.last)),
            ("encoders", flat(&network.encoders)),
            ("head", flat(&network.head)),
        ] {
            let expected = &golden[name];
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                let apart = (f64::from(*found) - expected).abs();
                assert!(apart < 1e-6, "{name}: {found} not {expected}");
            }
        }
    }

    #[test]
    fn names_that_the_model_has_not_are_errors() {
        for (name, said) in [
            ("encode", "the model has encoder, encoders, head"),
            ("decoder.weight", "the model has encoder, encoders, head"),
            ("encoder.tial", "`encoder` has first, tail"),
            ("encoder.tail.first", "`encoder.tail` has last"),
            (
                "encoder.tail.last.x",
                "`encoder.tail.last` has nothing in it",
            ),
            ("", "the model has encoder, encoders, head"),
        ] {
            let error = learning_rates(&network(), &config(&[(name, 0.1)]), &BTreeMap::new())
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(error.contains("training.learning_rates"), "{name}: {error}");
            assert!(error.ends_with(said), "{name}: {error}");
        }
    }
}
