//! Runs that were made on other machines, known from the results that were written there.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::pool::Finished;
use super::results::Results;
use crate::error::{CliError, Result};

/// The runs of stored results, by the command that makes the first of them.
#[derive(Debug, Default)]
pub struct Elsewhere {
    runs: BTreeMap<String, Vec<Told>>,
}

/// A run, and the machine that it was made on.
#[derive(Debug, Clone)]
struct Told {
    run: Finished,
    machine: String,
}

impl Elsewhere {
    /// Reads files that `reproduce` wrote; where two have the same run, the first counts.
    ///
    /// # Errors
    /// If one cannot be read or is no such file.
    pub fn read(paths: &[PathBuf]) -> Result<Self> {
        let mut known = Self::default();
        for path in paths {
            let bytes = fs::read(path).map_err(|source| CliError::Read {
                path: path.clone(),
                source,
            })?;
            let damaged = |reason: String| {
                CliError::Core(protovae_core::Error::Damaged {
                    path: path.clone(),
                    reason: format!("no results.json of `reproduce`: {reason}"),
                })
            };
            let results: Results =
                serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
            let mut runs = results.cells.iter().flat_map(|cell| &cell.runs);
            if let Some(run) = runs.find(|run| !run.is_plausible()) {
                let reason = "accuracies are shares between 0 and 1, and this run has others";
                return Err(damaged(format!("{}: {reason}", run.run)));
            }
            known.add(results);
        }
        Ok(known)
    }

    fn add(&mut self, results: Results) {
        for cell in results.cells {
            let runs = self.runs.entry(cell.command).or_default();
            for run in cell.runs {
                if runs.iter().all(|told| told.run.seed != run.seed) {
                    let machine = results.machine.clone();
                    runs.push(Told { run, machine });
                }
            }
        }
    }

    /// Adds to `runs`, those of one cell that are here, what is known of other machines, with seeds below `seeds`; gives the machines of what
    /// was added. A cell holds runs on one data set: that of the runs that are here, else `stand_in`, else the first that is known.
    pub fn complete(
        &self,
        command: &str,
        seeds: u64,
        stand_in: Option<&str>,
        runs: &mut Vec<Finished>,
    ) -> Vec<String> {
        let mut machines: Vec<String> = Vec::new();
        for told in self.runs.get(command).into_iter().flatten() {
            let seed = told.run.seed;
            let data = runs.first().map(|run| run.data.as_str()).or(stand_in);
            let fits = data.is_none_or(|data| data == told.run.data);
            if fits && seed < seeds && runs.iter().all(|run| run.seed != seed) {
                runs.push(told.run.clone());
                match &told.run.machine {
                    Some(machine) => machines.push(machine.clone()),
                    // Of a file that was itself gathered from several.
                    None => machines.extend(told.machine.split("; ").map(str::to_string)),
                }
            }
        }
        runs.sort_by_key(|run| run.seed);
        machines
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::results::CellResult;
    use super::*;

    fn run(seed: u64, accuracy: f64) -> Finished {
        Finished::example(seed, "mnist", accuracy)
    }

    fn file(folder: &std::path::Path, machine: &str, runs: Vec<Finished>) -> PathBuf {
        let command = "protovae train --preset mnist".to_string();
        let results = Results {
            item: "table5".to_string(),
            about: "ablations".to_string(),
            version: "0".to_string(),
            machine: machine.to_string(),
            changes: Vec::new(),
            cells: vec![CellResult::new(
                "full", "mnist", command, 10, runs, None, false,
            )],
            measured: Vec::new(),
        };
        let path = folder.join(format!("{machine}.json"));
        fs::write(&path, serde_json::to_vec(&results).unwrap()).unwrap();
        path
    }

    #[test]
    fn what_is_missing_comes_from_elsewhere_and_what_is_here_stays() {
        let folder = tempfile::tempdir().unwrap();
        let first = file(folder.path(), "one; three", vec![run(0, 0.5), run(3, 0.6)]);
        let mut other = run(2, 0.8);
        other.machine = Some("a node".to_string());
        let second = file(folder.path(), "two", vec![run(3, 0.7), other, run(9, 0.9)]);
        let known = Elsewhere::read(&[first, second]).unwrap();
        let mut runs = vec![run(0, 0.99)];
        let command = "protovae train --preset mnist";
        let machines = known.complete(command, 4, None, &mut runs);
        let found: Vec<(u64, f64)> = runs.iter().map(|run| (run.seed, run.accuracy)).collect();
        assert_eq!(found, [(0, 0.99), (2, 0.8), (3, 0.6)]);
        assert_eq!(machines, ["one", "three", "a node"]);
        assert!(known.complete("another", 4, None, &mut runs).is_empty());
        assert_eq!(runs.len(), 3);
        let mut others = Vec::new();
        known.complete(command, 4, Some("mnist-5k"), &mut others);
        assert!(others.is_empty(), "runs on another set");
        others.push(Finished::example(1, "mnist-5k", 0.5));
        known.complete(command, 4, None, &mut others);
        assert_eq!(others.len(), 1, "runs on another set");
    }

    #[test]
    fn files_of_another_kind_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        fs::write(&path, "{}").unwrap();
        let error = Elsewhere::read(&[path]).unwrap_err().to_string();
        assert!(error.contains("plan.json"), "{error}");
        let percent = file(folder.path(), "percent", vec![run(0, 99.3)]);
        let error = Elsewhere::read(&[percent]).unwrap_err().to_string();
        assert!(error.contains("mnist-0: accuracies are shares"), "{error}");
        assert!(Elsewhere::read(&[folder.path().join("none.json")]).is_err());
    }
}
