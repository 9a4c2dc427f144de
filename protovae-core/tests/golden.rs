//! Every loss, and the gradient of the whole loss, against an independent program (`golden/losses.py`, PyTorch in float64).
//!
//! The bar is an error of at most 1e-4, relative to the largest magnitude in the compared tensor, plus 1e-7.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use burn::tensor::Device;
use protovae_core::loss::{
    Convention, Distance, FrobeniusNorm, Latent, LossConfig, MixtureInputs, MixtureWeights,
    Reduction, cross_entropy, distances, kl_divergence, mixture_divergence, mixture_weights,
    orthonormality, own_class_prototypes, own_class_similarities, reconstruction_errors,
    similarity, vae_loss, vae_loss_in_full,
};
use serde_json::Value;

use common::{Inputs, flat, scalar, tensor};

const RELATIVE: f64 = 1e-4;
const ABSOLUTE: f64 = 1e-7;

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().map(|item| item.as_f64().unwrap()).collect(),
        single => vec![single.as_f64().unwrap()],
    }
}

/// Compares found values with golden ones and counts the comparison.
struct Comparison {
    place: String,
    compared: usize,
}

impl Comparison {
    fn near(&mut self, name: &str, found: &[f32], golden: &Value) {
        let golden = numbers(golden);
        assert_eq!(found.len(), golden.len(), "{}: {name}", self.place);
        let largest = golden
            .iter()
            .fold(0f64, |most, value| most.max(value.abs()));
        let allowed = RELATIVE * largest + ABSOLUTE;
        for (index, (found, golden)) in found.iter().zip(&golden).enumerate() {
            let error = (f64::from(*found) - golden).abs();
            assert!(
                error <= allowed,
                "{}: {name}[{index}] is {found}, golden {golden}, allowed error {allowed}",
                self.place
            );
        }
        self.compared += 1;
    }
}

fn cases() -> Vec<Value> {
    let golden: Value = serde_json::from_str(include_str!("golden/losses.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn inputs(case: &Value) -> Inputs {
    let device = Device::flex();
    let size = |name: &str| case["dims"][name].as_u64().unwrap() as usize;
    let (n, k, m, l) = (size("n"), size("k"), size("m"), size("l"));
    let image = [n, size("channels"), size("height"), size("width")];
    let read = |name: &str| -> Vec<f32> {
        numbers(&case["inputs"][name])
            .into_iter()
            .map(|value| value as f32)
            .collect()
    };
    let labels: Vec<usize> = read("labels")
        .into_iter()
        .map(|label| label as usize)
        .collect();
    Inputs {
        images: tensor(read("images"), image, &device),
        reconstruction: tensor(read("reconstruction"), image, &device),
        mean: tensor(read("mean"), [n, l], &device),
        log_variance: tensor(read("log_variance"), [n, l], &device),
        noise: tensor(read("noise"), [n, l], &device),
        labels: common::labels(&labels, &device),
        prototypes: tensor(read("prototypes"), [k * m, l], &device),
        classifier: tensor(read("classifier"), [k, k * m], &device),
        per_class: m,
    }
}

const REDUCTIONS: [(&str, Reduction); 2] = [("sum", Reduction::Sum), ("mean", Reduction::Mean)];

#[test]
fn every_loss_is_the_golden_one() {
    for case in cases() {
        let inputs = inputs(&case);
        let golden = &case["outputs"];
        let mut check = Comparison {
            place: case["name"].as_str().unwrap().to_string(),
            compared: 0,
        };
        let config = LossConfig::new(Convention::Paper);
        let clamped = inputs.clamped(&config);
        check.near(
            "log_variance_clamped",
            &flat(clamped.clone()),
            &golden["log_variance_clamped"],
        );
        check.near(
            "z_sampled",
            &flat(inputs.latents(&config)),
            &golden["z_sampled"],
        );
        let own_prototypes = own_class_prototypes(inputs.by_class(), inputs.labels.clone());
        let kl = |reduction| {
            kl_divergence(
                inputs.mean.clone(),
                clamped.clone(),
                own_prototypes.clone(),
                reduction,
            )
        };
        for (z, latent) in [("mean", Latent::Mean), ("sampled", Latent::Sampled)] {
            for (d, distance) in [
                ("squared", Distance::Squared),
                ("euclidean", Distance::Euclidean),
            ] {
                let latents = inputs.latents(&LossConfig {
                    latent,
                    ..config.clone()
                });
                let apart = distances(latents, inputs.prototypes.clone(), distance);
                let key = |name: &str| format!("{name}_{z}_{d}");
                let mut near = |name: String, found: &[f32]| {
                    check.near(&name, found, &golden[&name]);
                };
                near(key("distance"), &flat(apart.clone()));
                let similarities = similarity(apart, 1e-4);
                near(key("similarity"), &flat(similarities.clone()));
                let logits = similarities
                    .clone()
                    .matmul(inputs.classifier.clone().transpose());
                near(key("logits"), &flat(logits.clone()));
                let entropy = cross_entropy(logits, inputs.labels.clone());
                near(key("cross_entropy"), &[scalar(entropy)]);
                let own =
                    own_class_similarities(similarities, inputs.labels.clone(), inputs.per_class);
                for (kind, which) in [
                    ("all", MixtureWeights::All),
                    ("positive", MixtureWeights::Positive),
                ] {
                    for (over, reduction) in REDUCTIONS {
                        let divergence = kl(reduction);
                        let weights = mixture_weights(own.clone(), &divergence, which);
                        near(format!("weights_{z}_{d}_{kind}"), &flat(weights.clone()));
                        near(
                            format!("mixture_kl_{z}_{d}_{kind}_{over}"),
                            &[scalar(mixture_divergence(weights, divergence))],
                        );
                    }
                }
            }
        }
        for (over, reduction) in REDUCTIONS {
            let mut near = |name: String, found: &[f32]| {
                check.near(&name, found, &golden[&name]);
            };
            near(format!("kl_{over}"), &flat(kl(reduction).total()));
            let errors = reconstruction_errors(
                inputs.images.clone(),
                inputs.reconstruction.clone(),
                reduction,
            );
            near(format!("reconstruction_{over}"), &[scalar(errors.mean())]);
            for (name, norm) in [
                ("squared", FrobeniusNorm::Squared),
                ("frobenius", FrobeniusNorm::Plain),
                ("over-dimensions", FrobeniusNorm::PlainOverDimensions),
            ] {
                let found = orthonormality(inputs.by_class(), norm, reduction);
                near(format!("orthonormality_{name}_{over}"), &[scalar(found)]);
            }
        }
        let apart = distances(
            inputs.latents(&config),
            inputs.prototypes.clone(),
            Distance::Squared,
        );
        let all = MixtureInputs {
            images: inputs.images.clone(),
            reconstructions: inputs.reconstruction.clone(),
            mean: inputs.mean.clone(),
            log_variance: clamped.clone(),
            prototypes: inputs.by_class(),
            similarities: similarity(apart, 1e-4),
            labels: inputs.labels.clone(),
        };
        check.near(
            "eq3",
            &[scalar(vae_loss_in_full(all.clone()))],
            &golden["eq3"],
        );
        check.near("eq5", &[scalar(vae_loss(all))], &golden["eq5"]);
        // Every golden output was compared; weights twice, once for each reduction of the KL beside them.
        let twice = golden
            .as_object()
            .unwrap()
            .keys()
            .filter(|name| name.starts_with("weights_"))
            .count();
        assert_eq!(check.compared, golden.as_object().unwrap().len() + twice);
    }
}

#[test]
fn the_whole_loss_and_its_gradients_are_the_golden_ones() {
    for case in cases() {
        let inputs = inputs(&case);
        for convention in [
            Convention::Paper,
            Convention::Reference2022,
            Convention::SampledMean,
        ] {
            let config = LossConfig::new(convention);
            let name = serde_json::to_value(convention).unwrap();
            let name = name.as_str().unwrap();
            let golden = &case["totals"][name];
            let mut check = Comparison {
                place: format!("{}, {name}", case["name"].as_str().unwrap()),
                compared: 0,
            };
            let (terms, gradients) = inputs.differentiate(&config);
            let values = terms.values();
            for (index, name) in ["prediction", "reconstruction", "kl", "orthonormality"]
                .into_iter()
                .enumerate()
            {
                check.near(name, &values[index..=index], &golden[name]);
            }
            check.near("total", &[scalar(terms.total())], &golden["total"]);
            for (name, found) in gradients.named() {
                check.near(
                    &format!("gradient of {name}"),
                    found,
                    &golden["gradients"][name],
                );
            }
            assert_eq!(
                check.compared,
                5 + golden["gradients"].as_object().unwrap().len()
            );
        }
        assert_eq!(case["totals"].as_object().unwrap().len(), 3);
    }
}
