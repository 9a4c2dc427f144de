//! Settings of the trainer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rates::learning_rates;
use crate::error::{Error, Result};
use crate::model::BoxModel;
use crate::precision::Precision;

/// Adam divides by its epsilon where gradients vanish, at first multiplied by as little as `√(1 − beta_2)`.
const SMALLEST_EPSILON: f64 = 1e-30;

/// How a model is trained. The defaults are the paper's (Table 2, MNIST).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingConfig {
    /// Passes over the training set; default 10.
    pub epochs: usize,
    /// Samples a step; default 128.
    pub batch_size: usize,
    /// A batch is computed in so many parts, one after the other, and stepped on once: less memory for nearly the same step (batch
    /// normalisation sees a part at a time). Default 1.
    #[serde(skip_serializing_if = "is_one")]
    pub batch_parts: usize,
    /// In what the layers of encoder and decoder compute: `f32` (the default), `bf16` or `f16`. Not every device has the others.
    #[serde(skip_serializing_if = "is_full")]
    pub precision: Precision,
    /// Adam's rate, constant; default 0.001.
    pub learning_rate: f64,
    /// Rates of their own for parameters whose names, as the model file has them, begin so: `{"encoder": 1e-4, "encoder.tail":
    /// 1e-3}` trains a pretrained encoder slowly, and not its fully connected tail. Names are compared part by part; of several
    /// beginnings the longest holds. A rate of 0 keeps parameters as they are. Default none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub learning_rates: BTreeMap<String, f64>,
    /// Adam's first decay; default 0.9.
    pub beta_1: f64,
    /// Adam's second decay; default 0.999.
    pub beta_2: f64,
    /// Adam's epsilon, at least 1e-30; default 1e-8.
    pub adam_epsilon: f64,
    /// A line in `metrics.jsonl` every so many steps; default 50.
    pub log_every: usize,
    /// A checkpoint every so many steps besides the one at each epoch's end; 0, the default, for none.
    pub checkpoint_every: usize,
    /// Checkpoints kept; default 2, at least 1.
    pub keep_checkpoints: usize,
    /// Threads that prepare batches, 0 for none; the result does not depend on it. Default 1.
    pub loader_threads: usize,
    /// Ends each epoch and each evaluation after so many batches; for trying a configuration out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_batches: Option<usize>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde asks for it.
fn is_one(value: &usize) -> bool {
    *value == 1
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_full(value: &Precision) -> bool {
    !value.is_lower()
}

impl Default for TrainingConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 128,
            batch_parts: 1,
            precision: Precision::F32,
            learning_rate: 1e-3,
            learning_rates: BTreeMap::new(),
            beta_1: 0.9,
            beta_2: 0.999,
            adam_epsilon: 1e-8,
            log_every: 50,
            checkpoint_every: 0,
            keep_checkpoints: 2,
            loader_threads: 1,
            max_batches: None,
        }
    }
}

impl TrainingConfig {
    /// Checks the ranges; `key` is the path of this config, for the message.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first value out of range.
    pub fn check(&self, key: &str) -> Result<()> {
        let fail = |name: &str, reason: String| Err(Error::config(format!("{key}.{name}"), reason));
        for (name, value, highest) in [
            ("epochs", self.epochs, 1_000_000),
            ("batch_size", self.batch_size, 1 << 20),
            ("batch_parts", self.batch_parts, self.batch_size.max(1)),
            ("log_every", self.log_every, usize::MAX),
            ("keep_checkpoints", self.keep_checkpoints, usize::MAX),
            ("max_batches", self.max_batches.unwrap_or(1), usize::MAX),
        ] {
            if value == 0 || value > highest {
                return fail(
                    name,
                    format!("must lie between 1 and {highest}, not {value}"),
                );
            }
        }
        if self.loader_threads > 1024 {
            return fail("loader_threads", "must be at most 1024".to_string());
        }
        // All of these are computed with in 32 bits, so it is what becomes of them there that counts.
        for (name, value, smallest) in [
            (
                "learning_rate",
                self.learning_rate,
                f64::from(f32::MIN_POSITIVE),
            ),
            ("adam_epsilon", self.adam_epsilon, SMALLEST_EPSILON),
        ] {
            if !(value >= smallest && (value as f32).is_finite()) {
                let range = format!("at least {smallest:e} and at most {:e}", f32::MAX);
                return fail(name, format!("must be {range}, not {value}"));
            }
        }
        for (name, rate) in &self.learning_rates {
            if !((*rate as f32).is_finite() && *rate >= 0.0) {
                let reason = format!("must be 0 or a positive number, not {rate}");
                return fail(&format!("learning_rates.{name}"), reason);
            }
        }
        for (name, value) in [("beta_1", self.beta_1), ("beta_2", self.beta_2)] {
            if !(0.0..1.0).contains(&(value as f32)) {
                let reason = format!("must be at least 0 and below 1 in 32 bits, not {value}");
                return fail(name, reason);
            }
        }
        Ok(())
    }

    /// Checks that the model can be trained so: that `learning_rates` name parameters of it, and that it can compute in
    /// `precision`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first that do not, and what the model has; or the precision.
    pub fn check_model(&self, model: &BoxModel) -> Result<()> {
        if self.precision.is_lower() && !model.takes_lower_precision() {
            let reason = format!(
                "this model's encoder or decoder computes in f32 alone, not in {}",
                self.precision
            );
            return Err(Error::config("training.precision", reason));
        }
        learning_rates(model, self, &BTreeMap::new()).map(drop)
    }
}
