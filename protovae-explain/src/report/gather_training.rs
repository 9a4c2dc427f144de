//! From the records of a run's epochs to what the report says of the training.

use protovae_core::train::{EpochRecord, Figures};

use super::{Chart, Training};
use crate::error::Result;
use crate::pictures::charts::{ChartLabels, LineChart, Series};

/// Nothing if no epoch is known.
pub(super) fn training(epochs: &[EpochRecord], configuration: &str) -> Result<Option<Training>> {
    if epochs.is_empty() {
        return Ok(None);
    }
    let curve = |name: &str, value: &dyn Fn(&EpochRecord) -> f64| Series {
        name: name.to_string(),
        points: epochs
            .iter()
            .map(|record| (record.epoch as f64, value(record)))
            .collect(),
    };
    let labels = |title: &str, y: &str| ChartLabels {
        title: title.to_string(),
        x: "epoch".to_string(),
        y: y.to_string(),
        ..ChartLabels::default()
    };
    let mut charts = vec![Chart::lines(
        &LineChart {
            labels: labels("Accuracy over the epochs", "accuracy, %"),
            series: vec![
                // An epoch without steps has no point: what is not finite is left out.
                curve("training", &|record| {
                    let train = record.train.of_any();
                    100.0 * train.map_or(f64::NAN, |train| train.accuracy)
                }),
                curve("test", &|record| 100.0 * record.test.accuracy),
            ],
            ..LineChart::default()
        },
        "Accuracy",
    )?];
    if let Some(first) = epochs.first() {
        for term in first.test.terms.keys() {
            let of = |figures: &Figures| {
                let figures = figures.of_any();
                let value = figures.and_then(|figures| figures.terms.get(term).copied());
                value.unwrap_or(f64::NAN)
            };
            charts.push(Chart::lines(
                &LineChart {
                    labels: labels(&format!("The term {term} over the epochs"), term),
                    series: vec![
                        curve("training", &|record| of(&record.train)),
                        curve("test", &|record| of(&record.test)),
                    ],
                    ..LineChart::default()
                },
                format!("Loss: {term}"),
            )?);
        }
    }
    let seconds: f64 = epochs
        .iter()
        .map(|record| record.timing.train_seconds)
        .sum();
    let last = epochs.last();
    let trained = |record: &&EpochRecord| record.train.of_any().is_some();
    let last_trained = epochs.iter().rev().find(trained);
    Ok(Some(Training {
        facts: vec![
            ("epochs".to_string(), epochs.len().to_string()),
            (
                "steps".to_string(),
                last.map_or(0, |last| last.step).to_string(),
            ),
            ("training time".to_string(), format!("{:.0} s", seconds)),
            (
                "training images a second".to_string(),
                format!(
                    "{:.0}",
                    last_trained.map_or(f64::NAN, |last| last.timing.images_per_second)
                ),
            ),
        ],
        charts,
        configuration: configuration.to_string(),
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use protovae_core::train::Timing;

    use super::*;

    fn record(epoch: usize, samples: u64, train: f64, test: f64) -> EpochRecord {
        let figures = |samples, value| Figures {
            samples,
            accuracy: value,
            loss: value,
            terms: BTreeMap::from([("prediction".to_string(), value)]),
        };
        EpochRecord {
            epoch,
            step: 10,
            train: figures(samples, train),
            test: figures(100, test),
            prototypes: None,
            warnings: Vec::new(),
            timing: Timing {
                images_per_second: samples as f64,
                ..Timing::default()
            },
        }
    }

    #[test]
    fn an_epoch_without_steps_has_no_point() {
        let drawn = |last: EpochRecord| {
            let epochs = [record(1, 90, 0.5, 0.4), record(2, 90, 0.6, 0.5), last];
            training(&epochs, "{}").unwrap().unwrap()
        };
        let svgs = |training: &Training| -> Vec<String> {
            let charts = training.charts.iter();
            charts.map(|chart| chart.figure().into_string()).collect()
        };
        let without = drawn(record(3, 0, 0.0, 0.6));
        assert_eq!(svgs(&without), svgs(&drawn(record(3, 0, 0.7, 0.6))));
        assert_ne!(svgs(&without), svgs(&drawn(record(3, 90, 0.0, 0.6))));
        assert!(
            without
                .facts
                .iter()
                .any(|(name, value)| name.contains("second") && value == "90")
        );
        // None at all is nothing to fail about.
        training(&[record(1, 0, 0.0, 0.6)], "{}").unwrap().unwrap();
        assert!(training(&[], "{}").unwrap().is_none());
    }
}
