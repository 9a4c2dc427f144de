//! Several runs side by side: systems in rows, figures in columns, seeds joined to means and deviations.
//!
//! ```
//! use std::collections::BTreeMap;
//! use protovae_explain::side_by_side::{Figure, RunFigures, SideBySide};
//! let run = |seed, accuracy| RunFigures {
//!     run: format!("runs/mnist-{seed}"),
//!     system: "protovae".to_string(),
//!     data: "mnist".to_string(),
//!     settings: "the same but for the seed".to_string(),
//!     seed,
//!     epochs: 10,
//!     figures: BTreeMap::from([(Figure::Accuracy, accuracy)]),
//!     published: None,
//! };
//! let table = SideBySide::of(vec![run(0, 0.994), run(1, 0.992)]);
//! assert_eq!(table.groups.len(), 1);
//! let accuracy = table.groups[0].spreads[&Figure::Accuracy];
//! assert!((accuracy.mean - 0.993).abs() < 1e-12);
//! assert!(table.markdown().contains("99.30 ± 0.14 %"));
//! ```

mod figure;
mod page;
mod render;

pub use figure::Figure;
pub use page::PrototypeRow;
pub use render::csv_line;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A number that was published for a system on a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// Accuracy, a share.
    pub accuracy: f64,
    /// Its deviation over runs, if given.
    pub deviation: Option<f64>,
    /// Where it stands, such as `Table 8`.
    pub place: String,
}

/// What is known of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFigures {
    /// The run directory.
    pub run: String,
    /// The system and what sets it apart, as the table's first column has it.
    pub system: String,
    /// The data set.
    pub data: String,
    /// Everything that decides the result but the seed: runs with the same are one system in several seeds.
    pub settings: String,
    /// The seed.
    pub seed: u64,
    /// Epochs trained.
    pub epochs: usize,
    /// What was found; figures that a system has not are left out.
    pub figures: BTreeMap<Figure, f64>,
    /// What was published for it.
    pub published: Option<Published>,
}

/// A figure over the seeds of one system.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Runs that have it.
    pub runs: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, with `n − 1`; none for one run.
    pub deviation: Option<f64>,
}

impl Spread {
    /// Of some values; none of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let runs = values.len();
        if runs == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / runs as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self {
            runs,
            mean,
            deviation: (runs > 1).then(|| (squares / (runs - 1) as f64).sqrt()),
        })
    }
}

/// One system on one data set, in one or more seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The system.
    pub system: String,
    /// The data set.
    pub data: String,
    /// Epochs trained.
    pub epochs: usize,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The run directories.
    pub runs: Vec<String>,
    /// Each figure that at least one run has.
    pub spreads: BTreeMap<Figure, Spread>,
    /// What was published.
    pub published: Option<Published>,
}

/// Runs side by side.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SideBySide {
    /// Systems, in the order in which they and their data sets came first.
    pub groups: Vec<Group>,
    /// What was measured, and on what, a sentence each.
    pub notes: Vec<String>,
    /// The runs, as they came.
    pub runs: Vec<RunFigures>,
}

impl SideBySide {
    /// Joins runs that differ by their seed alone. The same run twice counts once, and of several with the same settings and the same
    /// seed the first: they say nothing of the spread over seeds.
    pub fn of(runs: Vec<RunFigures>) -> Self {
        let mut unique: Vec<RunFigures> = Vec::new();
        for run in runs {
            let made_alike = |other: &RunFigures| {
                (&other.settings, &other.data, other.epochs, other.seed)
                    == (&run.settings, &run.data, run.epochs, run.seed)
            };
            if !unique
                .iter()
                .any(|other| other.run == run.run || made_alike(other))
            {
                unique.push(run);
            }
        }
        let mut groups: Vec<Vec<&RunFigures>> = Vec::new();
        for run in &unique {
            let same = |group: &&mut Vec<&RunFigures>| {
                group.iter().all(|other| {
                    (&other.settings, &other.data, other.epochs)
                        == (&run.settings, &run.data, run.epochs)
                })
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(run),
                None => groups.push(vec![run]),
            }
        }
        let join = |runs: &Vec<&RunFigures>| -> Option<Group> {
            let first = runs.first()?;
            let spread = |figure: Figure| {
                let values: Vec<f64> = runs
                    .iter()
                    .filter_map(|run| run.figures.get(&figure).copied())
                    .collect();
                Some((figure, Spread::of(&values)?))
            };
            Some(Group {
                system: first.system.clone(),
                data: first.data.clone(),
                epochs: first.epochs,
                seeds: runs.iter().map(|run| run.seed).collect(),
                runs: runs.iter().map(|run| run.run.clone()).collect(),
                spreads: Figure::ALL.into_iter().filter_map(spread).collect(),
                published: first.published.clone(),
            })
        };
        Self {
            groups: groups.iter().filter_map(join).collect(),
            notes: Vec::new(),
            runs: unique,
        }
    }

    /// The data sets, in the order in which they came.
    pub fn data(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for group in &self.groups {
            if !names.contains(&group.data.as_str()) {
                names.push(&group.data);
            }
        }
        names
    }
}
