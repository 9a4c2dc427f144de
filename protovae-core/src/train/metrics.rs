//! What training and evaluation report.

use std::collections::BTreeMap;

use burn::tensor::{ElementConversion, Tensor};
use serde::{Deserialize, Serialize};

use super::health::PrototypeHealth;
use crate::error::{Error, Result};
use crate::model::StepOutput;
use crate::train::Batch;

/// Accuracy and losses over some samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Samples seen.
    pub samples: u64,
    /// Share of samples whose largest logit is their label's, in `[0, 1]`.
    pub accuracy: f64,
    /// The weighted sum of the terms, averaged over samples.
    pub loss: f64,
    /// Each term without its weight, averaged over samples.
    pub terms: BTreeMap<String, f64>,
}

/// A line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MetricsLine {
    /// The latest training step, every `log_every` steps.
    Step {
        /// Epoch, from 1.
        epoch: usize,
        /// Step since the beginning of the run, from 1.
        step: usize,
        /// Of this step's batch.
        figures: Figures,
    },
    /// The end of an epoch.
    Epoch(Box<EpochRecord>),
}

/// What is known at the end of an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Steps since the beginning of the run.
    pub step: usize,
    /// Averages over the epoch's training batches, each as it was trained on; of no samples, and all 0, if the epoch had no steps.
    pub train: Figures,
    /// On the test set, after the epoch.
    pub test: Figures,
    /// The state of the prototypes on the test set, if the model has such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prototypes: Option<PrototypeHealth>,
    /// What a user should look at.
    pub warnings: Vec<String>,
    /// Wall-clock time; the only part of a line that two equal runs do not share.
    pub timing: Timing,
}

/// Wall-clock time of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// Seconds of the training part, in this process (a resumed epoch counts from its resumption).
    pub train_seconds: f64,
    /// Seconds of what the model did after the steps, such as moving prototypes onto training images.
    #[serde(default)]
    pub refining_seconds: f64,
    /// Seconds of the evaluation.
    pub test_seconds: f64,
    /// Seconds the trainer waited for batches.
    pub waited_seconds: f64,
    /// The share of the training part that was waiting, 0 to 1.
    #[serde(default)]
    pub waited_share: f64,
    /// Training images a second.
    pub images_per_second: f64,
}

/// Sums from which [`Figures`] are made; kept in checkpoints, so that a resumed epoch reports what an uninterrupted one does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sums {
    samples: u64,
    correct: u64,
    loss: f64,
    terms: BTreeMap<String, f64>,
}

/// The figures of one batch, still on the devices.
#[derive(Debug)]
pub(crate) struct DeviceFigures {
    pub(crate) step: usize,
    names: Vec<&'static str>,
    /// Samples of each part of the batch, and `[total, terms.., correct]` of it.
    parts: Vec<(usize, Tensor<1>)>,
}

/// The figures of one batch in host memory.
#[derive(Debug, Clone)]
pub(crate) struct BatchFigures {
    pub(crate) step: usize,
    samples: usize,
    names: Vec<&'static str>,
    values: Vec<f32>,
}

impl DeviceFigures {
    /// Figures of a batch, at step 0 until [`at`](Self::at) says otherwise.
    pub(crate) fn new(batch: &Batch, output: &StepOutput, total: &Tensor<1>) -> Self {
        // Off the graph, or each step's would live until the next fetch.
        let logits = output.logits.clone().without_autodiff();
        let labels = batch.labels.clone().without_autodiff();
        let predicted = logits.argmax(1).flatten::<1>(0, 1);
        let correct = predicted.equal(labels).int().sum().float();
        let mut values = vec![total.clone().without_autodiff()];
        let terms = output.terms.iter();
        values.extend(terms.map(|term| term.value.clone().without_autodiff()));
        values.push(correct);
        Self {
            step: 0,
            names: output.terms.iter().map(|term| term.name).collect(),
            parts: vec![(batch.indices.len(), Tensor::cat(values, 0))],
        }
    }

    /// Figures of the batch of which these are of the parts; none if there are none.
    pub(crate) fn of_parts(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        parts.into_iter().reduce(|mut all, part| {
            all.parts.extend(part.parts);
            all
        })
    }

    /// The same figures, of that step.
    pub(crate) fn at(self, step: usize) -> Self {
        Self { step, ..self }
    }

    /// Fetches many batches' figures with one transfer.
    pub(crate) fn fetch(pending: &mut Vec<Self>) -> Vec<BatchFigures> {
        let taken = std::mem::take(pending);
        if taken.is_empty() {
            return Vec::new();
        }
        let parts = || taken.iter().flat_map(|one| &one.parts);
        let Some(device) = parts().next().map(|(_, values)| values.device()) else {
            return Vec::new();
        };
        let values = parts().map(|(_, values)| values.clone().to_device(&device));
        let all: Vec<f32> = Tensor::cat(values.collect(), 0)
            .into_data()
            .iter::<f32>()
            .collect();
        let mut rest = all.as_slice();
        taken
            .iter()
            .map(|one| {
                let width = one.names.len() + 2;
                let parts = one.parts.iter().map(|(samples, _)| {
                    let (values, tail) = rest.split_at(width.min(rest.len()));
                    rest = tail;
                    (*samples, values)
                });
                BatchFigures::of_parts(one.step, &one.names, parts)
            })
            .collect()
    }
}

impl BatchFigures {
    /// Of parts with so many samples: losses are averaged over all samples, hits are counted.
    fn of_parts<'a>(
        step: usize,
        names: &[&'static str],
        parts: impl Iterator<Item = (usize, &'a [f32])>,
    ) -> Self {
        let parts: Vec<_> = parts.collect();
        let samples = parts.iter().map(|(samples, _)| samples).sum();
        let values = match parts.as_slice() {
            [(_, values)] => values.to_vec(),
            parts => {
                let correct = names.len() + 1;
                let share = |index: usize, part: usize| match index {
                    _ if index == correct => 1.0,
                    _ => part as f64 / samples as f64,
                };
                let sum = |index: usize| {
                    let values = parts.iter().map(|(part, values)| {
                        let value = values.get(index).copied().unwrap_or(f32::NAN);
                        f64::from(value) * share(index, *part)
                    });
                    values.sum::<f64>() as f32
                };
                (0..=correct).map(sum).collect()
            }
        };
        Self {
            step,
            samples,
            names: names.to_vec(),
            values,
        }
    }

    /// The same figures, of that step.
    pub(crate) fn at(self, step: usize) -> Self {
        Self { step, ..self }
    }

    fn loss(&self) -> f32 {
        self.values.first().copied().unwrap_or(f32::NAN)
    }

    fn terms(&self) -> impl Iterator<Item = (&'static str, f32)> + '_ {
        self.names
            .iter()
            .zip(self.values.iter().skip(1))
            .map(|(name, value)| (*name, *value))
    }

    fn correct(&self) -> u64 {
        self.values.last().copied().unwrap_or(0.0).elem::<u64>()
    }

    /// Fails if the loss or a term is NaN or infinite.
    pub(crate) fn check_finite(&self, epoch: usize, last_good: &str) -> Result<()> {
        if self.loss().is_finite() && self.terms().all(|(_, value)| value.is_finite()) {
            return Ok(());
        }
        let mut terms = vec![format!("loss {}", self.loss())];
        terms.extend(self.terms().map(|(name, value)| format!("{name} {value}")));
        Err(Error::NotFinite {
            epoch,
            step: self.step,
            terms: terms.join(", "),
            checkpoint: last_good.to_string(),
        })
    }

    pub(crate) fn figures(&self) -> Figures {
        let mut sums = Sums::default();
        sums.add(self);
        sums.figures()
    }
}

impl Figures {
    /// These figures, unless they are of no samples at all and mean nothing.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use protovae_core::train::Figures;
    /// let figures = Figures { samples: 0, accuracy: 0.0, loss: 0.0, terms: BTreeMap::new() };
    /// assert!(figures.of_any().is_none());
    /// ```
    pub fn of_any(&self) -> Option<&Self> {
        (self.samples > 0).then_some(self)
    }

    /// Fails if the loss or a term is NaN or infinite: the last step of an epoch may have broken the model.
    pub(crate) fn check_finite(&self, epoch: usize, step: usize, last_good: &str) -> Result<()> {
        if self.loss.is_finite() && self.terms.values().all(|value| value.is_finite()) {
            return Ok(());
        }
        let mut terms = vec![format!("test loss {}", self.loss)];
        terms.extend(
            self.terms
                .iter()
                .map(|(name, value)| format!("{name} {value}")),
        );
        Err(Error::NotFinite {
            epoch,
            step,
            terms: terms.join(", "),
            checkpoint: last_good.to_string(),
        })
    }
}

impl Sums {
    pub(crate) fn add(&mut self, batch: &BatchFigures) {
        let samples = batch.samples as f64;
        self.samples += batch.samples as u64;
        self.correct += batch.correct();
        self.loss += f64::from(batch.loss()) * samples;
        for (name, value) in batch.terms() {
            *self.terms.entry(name.to_string()).or_default() += f64::from(value) * samples;
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let samples = self.samples.max(1) as f64;
        Figures {
            samples: self.samples,
            accuracy: self.correct as f64 / samples,
            loss: self.loss / samples,
            terms: self
                .terms
                .iter()
                .map(|(name, sum)| (name.clone(), sum / samples))
                .collect(),
        }
    }
}
