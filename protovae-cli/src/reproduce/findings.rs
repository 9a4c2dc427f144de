//! What is measured on finished runs besides their accuracy. What takes long is kept beside the runs.

use std::fs;
use std::path::{Path, PathBuf};

use protovae_core::train::{EpochRecord, MetricsLine, PrototypeHealth, RunDirectory};
use protovae_explain::measures::CueFigures;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::measured::{Measured, MeasuredRow};
use super::pool::Pool;
use super::results::{CellResult, Results};
use super::{attacked, decoded};
use crate::commands::measure::{self, CueAsked};
use crate::error::{CliError, Result};
use crate::output::Voice;
use crate::{files, session};

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Findings {
    /// Accuracy under gradient attacks.
    Attacks,
    /// Distances and usage of prototypes after each epoch.
    Diversity,
    /// What a planted cue does, and whether prototypes show it.
    Cues,
    /// How sharp decoded prototypes are.
    Decoded,
}

/// The runs, where measuring happens, and what tells of it.
#[derive(Debug)]
pub struct Bench<'a> {
    /// The runs, their data and the device.
    pub pool: &'a Pool,
    /// The voice of progress.
    pub voice: Voice,
}

impl Findings {
    /// Measures the runs that are there.
    ///
    /// # Errors
    /// If a run cannot be read, or its data are gone.
    pub fn of(self, results: &Results, bench: &Bench) -> Result<Vec<Measured>> {
        match self {
            Self::Attacks => attacked::measured(results, bench),
            Self::Diversity => diversity(results, bench),
            Self::Cues => cues(results, bench),
            Self::Decoded => decoded::measured(results, bench),
        }
    }
}

/// The figures of those of one cell's runs that are here, each by `measure`, which gets the run's folder and the digest of its model.
pub(super) fn of_runs<T>(
    cell: &CellResult,
    bench: &Bench,
    measure: impl Fn(&Path, &str) -> Result<T>,
) -> Result<Vec<T>> {
    let folders = cell.runs.iter().map(|run| (bench.pool.folder(run), run));
    folders
        .filter(|(folder, _)| folder.is_dir())
        .map(|(folder, run)| measure(&folder, &run.model))
        .collect()
}

/// The columns of [`cues`], and where each is found.
type CueColumn = (&'static str, fn(&CueFigures) -> Option<f64>);

const CUE_COLUMNS: [CueColumn; 10] = [
    ("accuracy", |found| Some(found.effect.accuracy.mean)),
    ("accuracy, all with the cue", |found| {
        Some(found.effect.accuracy_with_cue.mean)
    }),
    ("its class", |found| Some(found.effect.class_accuracy.mean)),
    ("others taken for it", |found| {
        Some(found.effect.others_taken.mean)
    }),
    ("others with the cue taken for it", |found| {
        Some(found.effect.others_taken_with_cue.mean)
    }),
    ("prototypes of its class that show it", |found| {
        let class = found.shown.as_ref()?.classes.get(found.cue.class)?;
        Some(class.count as f64 / class.scores.len().max(1) as f64)
    }),
    ("relevance on the patch", |found| {
        Some(found.relevance.as_ref()?.with_cue.mean)
    }),
    ("without these prototypes: accuracy", |found| {
        Some(found.without_shown.as_ref()?.effect.accuracy.mean)
    }),
    ("its class", |found| {
        Some(found.without_shown.as_ref()?.effect.class_accuracy.mean)
    }),
    ("others with the cue taken for it", |found| {
        let without = found.without_shown.as_ref()?;
        Some(without.effect.others_taken_with_cue.mean)
    }),
];

fn cues(results: &Results, bench: &Bench) -> Result<Vec<Measured>> {
    let asked = CueAsked::default();
    let described = format!("{asked:?}");
    let mut rows = Vec::new();
    for cell in &results.cells {
        let found = of_runs(cell, bench, |run, model| {
            kept(bench, run, "cue", model, &described, || {
                bench.voice.note(format!("measuring {}", run.display()));
                let device = session::device(&bench.pool.device, bench.voice)?;
                measure::cue(run, &device, bench.pool.data_dir.as_deref(), &asked)
            })
        })?;
        if found.is_empty() {
            continue;
        }
        let values: Vec<Vec<Option<f64>>> = found
            .iter()
            .map(|found| {
                CUE_COLUMNS
                    .iter()
                    .map(|(_, figure)| figure(found))
                    .collect()
            })
            .collect();
        let name = format!("{}, {}", cell.column, cell.row);
        rows.push(MeasuredRow::over_runs(&name, CUE_COLUMNS.len(), &values));
    }
    Ok(vec![Measured {
        about: "what a planted cue does, all test images".to_string(),
        name: "cues".to_string(),
        shares: true,
        axis: None,
        columns: CUE_COLUMNS
            .iter()
            .map(|(name, _)| (*name).to_string())
            .collect(),
        rows,
    }])
}

/// What was measured of a run's model, in a file beside the pool.
#[derive(Debug, Serialize, Deserialize)]
struct Kept<T> {
    model: String,
    asked: String,
    found: T,
}

/// What is kept of an earlier measurement of the same model in the same way; else what `measure` finds, which is kept.
pub(super) fn kept<T: Serialize + DeserializeOwned>(
    bench: &Bench,
    run: &Path,
    kind: &str,
    model: &str,
    asked: &str,
    measure: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let name = run.file_name().unwrap_or_default().to_string_lossy();
    let folder = bench.pool.root.join("measured");
    let path: PathBuf = folder.join(format!("{name}.{kind}.json"));
    if let Ok(bytes) = fs::read(&path)
        && let Ok(kept) = serde_json::from_slice::<Kept<T>>(&bytes)
        && kept.model == model
        && kept.asked == asked
    {
        return Ok(kept.found);
    }
    let kept = Kept {
        model: model.to_string(),
        asked: asked.to_string(),
        found: measure()?,
    };
    files::create_folder(&folder)?;
    files::write_json(&path, &kept)?;
    Ok(kept.found)
}

fn diversity(results: &Results, bench: &Bench) -> Result<Vec<Measured>> {
    type Figure = fn(&PrototypeHealth) -> Option<f64>;
    let figures: [(&str, &str, bool, Figure); 3] = [
        (
            "spread",
            "largest distance between two prototypes of a class, mean over classes, by the mean distance between classes",
            false,
            spread,
        ),
        (
            "entropy",
            "entropy of how often each prototype is the nearest of its class, test images, 1 for all alike",
            false,
            entropy,
        ),
        (
            "dead",
            "prototypes that are the nearest of no test image of their class",
            true,
            dead,
        ),
    ];
    let mut rows = Vec::new();
    let mut longest = 0;
    for cell in &results.cells {
        let found = of_runs(cell, bench, |run, _| epochs(run))?;
        if found.is_empty() {
            continue;
        }
        longest = found.iter().map(Vec::len).fold(longest, usize::max);
        rows.push((cell.row.as_str(), found));
    }
    let tables = figures
        .iter()
        .map(|(name, about, shares, figure)| Measured {
            about: (*about).to_string(),
            name: (*name).to_string(),
            shares: *shares,
            axis: Some("epoch".to_string()),
            columns: (1..=longest).map(|epoch| epoch.to_string()).collect(),
            rows: rows
                .iter()
                .map(|(row, runs)| {
                    let values: Vec<Vec<Option<f64>>> = runs
                        .iter()
                        .map(|run| run.iter().map(figure).collect())
                        .collect();
                    MeasuredRow::over_runs(row, longest, &values)
                })
                .collect(),
        });
    Ok(tables.collect())
}

/// The state of a run's prototypes after each epoch.
fn epochs(run: &Path) -> Result<Vec<PrototypeHealth>> {
    let lines = RunDirectory::open(run)?.read_metrics()?;
    let epochs = lines.into_iter().filter_map(|line| match line {
        MetricsLine::Epoch(record) => {
            let EpochRecord { prototypes, .. } = *record;
            prototypes
        }
        _ => None,
    });
    let found: Vec<PrototypeHealth> = epochs.collect();
    if found.is_empty() {
        return Err(CliError::Usage(format!(
            "{} says nothing of prototypes",
            run.display()
        )));
    }
    Ok(found)
}

fn spread(health: &PrototypeHealth) -> Option<f64> {
    let largest = &health.largest_distance;
    let mean = largest.iter().sum::<f64>() / largest.len().max(1) as f64;
    (health.class_distance > 0.0).then(|| mean / health.class_distance)
}

/// Over classes of which there are images, and which have more than one prototype.
fn entropy(health: &PrototypeHealth) -> Option<f64> {
    let of_class = |usage: &Vec<u64>| {
        let all: u64 = usage.iter().sum();
        let shares = usage.iter().filter(|count| **count > 0);
        let entropy: f64 = shares
            .map(|count| *count as f64 / all as f64)
            .map(|share| -share * share.ln())
            .sum();
        (all > 0 && usage.len() > 1).then(|| entropy / (usage.len() as f64).ln())
    };
    let classes: Vec<f64> = health.usage.iter().filter_map(of_class).collect();
    (!classes.is_empty()).then(|| classes.iter().sum::<f64>() / classes.len() as f64)
}

fn dead(health: &PrototypeHealth) -> Option<f64> {
    let all: usize = health.usage.iter().map(Vec::len).sum();
    (all > 0).then(|| health.dead as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(usage: Vec<Vec<u64>>) -> PrototypeHealth {
        PrototypeHealth {
            dead: usage.iter().flatten().filter(|count| **count == 0).count(),
            usage,
            smallest_distance: vec![1.0, 1.0],
            largest_distance: vec![1.0, 3.0],
            class_distance: 8.0,
            duplicates: 0,
            collapsed: Vec::new(),
        }
    }

    #[test]
    fn figures_of_prototypes_by_hand() {
        let even = health(vec![vec![5, 5], vec![7, 7]]);
        assert_eq!(spread(&even), Some(0.25));
        assert_eq!(entropy(&even), Some(1.0));
        assert_eq!(dead(&even), Some(0.0));
        let one = health(vec![vec![5, 0], vec![0, 0]]);
        // The second class has no images, so that nothing is known of its usage.
        assert_eq!(entropy(&one), Some(0.0));
        assert_eq!(dead(&one), Some(0.75));
    }
}
