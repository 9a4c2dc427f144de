//! Parameters with a learning rate of their own.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use protovae_core::model::BoxModel;
use protovae_core::train::{RunDirectory, Silent, TrainingConfig};

use crate::support::{fit, fit_model, fresh, metrics, model_bytes, new_run, recipe, settings};

fn with_rates(epochs: usize, rates: &[(&str, f64)]) -> TrainingConfig {
    let rates = rates.iter().map(|(name, rate)| (name.to_string(), *rate));
    TrainingConfig {
        learning_rates: rates.collect(),
        ..settings(epochs)
    }
}

fn trained(config: &TrainingConfig) -> BoxModel {
    fit_model(config, fresh(&*recipe()), None, false, &mut Silent)
        .unwrap()
        .model
}

#[derive(Default)]
struct Values {
    path: Vec<String>,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val().into_data().iter::<f32>().collect();
        self.found.insert(self.path.join("."), values);
    }
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }
    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}

fn values(model: &BoxModel) -> BTreeMap<String, Vec<f32>> {
    let mut values = Values::default();
    model.visit(&mut values);
    values.found
}

#[test]
fn a_rate_of_zero_keeps_parameters_and_the_longest_name_holds() {
    let before = values(&fresh(&*recipe()));
    let config = with_rates(2, &[("encoder", 0.0), ("encoder.bias", 0.02)]);
    let after = values(&trained(&config));
    assert_eq!(after["encoder.weight"], before["encoder.weight"]);
    for name in ["encoder.bias", "decoder.weight"] {
        assert_ne!(after[name], before[name], "{name}");
    }
}

#[test]
fn the_general_rate_by_name_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let plain = model_bytes(folder.path(), &trained(&settings(2)));
    let named = trained(&with_rates(2, &[("encoder", 0.02), ("head", 0.02)]));
    assert_eq!(model_bytes(folder.path(), &named), plain);
    let slower = trained(&with_rates(2, &[("encoder", 0.002)]));
    assert_ne!(model_bytes(folder.path(), &slower), plain);
}

#[test]
fn runs_with_rates_go_on_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let rates = [("encoder", 0.001), ("encoder.bias", 0.05)];
    let straight = new_run(folder.path().join("straight"));
    let whole = fit(&with_rates(3, &rates), &straight, false).unwrap();
    let run = new_run(folder.path().join("resumed"));
    fit(&with_rates(1, &rates), &run, false).unwrap();
    let run = RunDirectory::open(run.path()).unwrap();
    let resumed = fit(&with_rates(3, &rates), &run, true).unwrap();
    assert_eq!(
        model_bytes(run.path(), &resumed.model),
        model_bytes(straight.path(), &whole.model)
    );
    assert_eq!(metrics(&run), metrics(&straight));
}

#[test]
fn wrong_names_and_rates_are_errors() {
    let said = |config: &TrainingConfig| {
        let checked = config.check("training").and_then(|()| {
            config.check_model(&fresh(&*recipe()))?;
            fit_model(config, fresh(&*recipe()), None, false, &mut Silent).map(drop)
        });
        checked.unwrap_err().to_string()
    };
    let error = said(&with_rates(1, &[("encodr", 0.1)]));
    assert!(error.contains("`encodr`"), "{error}");
    assert!(error.contains("decoder, encoder"), "{error}");
    for rate in [-1.0, f64::NAN, f64::INFINITY] {
        let error = said(&with_rates(1, &[("encoder", rate)]));
        assert!(error.contains("learning_rates.encoder"), "{error}");
    }
}
