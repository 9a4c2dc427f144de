//! From an item to a plan: which data are there, what everything costs, what a budget leaves.

use std::num::NonZeroUsize;

use protovae_data::DataSplits;

use super::{Found, There, Work, stored};
use crate::args::ConfigSource;
use crate::commands::bench;
use crate::error::{CliError, Result};
use crate::reproduce::items::{Item, Wanted};
use crate::reproduce::plan::{Asked, Cost, Plan, Task, shrink};
use crate::{config, presets, session};

impl Work<'_> {
    pub(super) fn config(&self, wanted: &Wanted) -> Result<config::RunConfig> {
        let source = ConfigSource {
            preset: Some(wanted.preset.clone()),
            set: wanted.set.clone(),
            data_dir: self.arguments.data_dir.clone(),
            ..ConfigSource::default()
        };
        Ok(config::load(&source)?.config)
    }

    pub(super) fn load(&self, wanted: &Wanted) -> Result<DataSplits> {
        let config = self.config(wanted)?;
        session::data(&config, self.arguments.data_dir.as_deref())
    }

    /// The data set of a configuration, or why there is none.
    pub(super) fn there(&mut self, wanted: &Wanted) -> Result<There> {
        let key = self.config(wanted)?.to_json()?["data"].to_string();
        if let Some(known) = self.data.get(&key) {
            return Ok(known.clone());
        }
        let found = match self.load(wanted) {
            Ok(data) => Ok(Found {
                images: [data.train.len(), data.test.len()],
                name: data.name,
            }),
            // Where it was looked for is of this machine, and nothing for a table.
            Err(CliError::Data(error)) => {
                let reason = error.to_string();
                Err(reason
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches('.')
                    .to_string())
            }
            Err(error) => return Err(error),
        };
        self.data.insert(key, found.clone());
        Ok(found)
    }

    fn epochs(&self) -> Option<usize> {
        self.arguments.epochs.map(NonZeroUsize::get)
    }

    /// The plan of an item on the data that are there, before any budget.
    pub(super) fn plan(&mut self, item: &Item) -> Result<Plan> {
        let mut plan = Plan::new(item, self.arguments.seeds);
        plan.asked = Some(Asked {
            seeds: self.arguments.seeds,
            epochs: self.epochs(),
            set: self.arguments.set.clone(),
            budget: self.arguments.budget,
        });
        let compared = compared(&self.arguments.set)?;
        for cell in &mut plan.cells {
            cell.wanted.set.extend(self.arguments.set.iter().cloned());
            cell.changed = !compared;
        }
        for set in &self.arguments.set {
            plan.changes.push(format!("{set}, as asked"));
        }
        let mut kept = Vec::new();
        for mut cell in std::mem::take(&mut plan.cells) {
            match self.there(&cell.wanted)? {
                Ok(found) => {
                    let asked = self.config(&cell.wanted)?.to_json()?;
                    if asked["data"]["type"] != found.name.as_str() {
                        plan.changes.push(format!(
                            "{} is not as published here: {} stands in for it under its own name",
                            cell.column, found.name
                        ));
                        cell.wanted.stand_in = Some(found.name);
                    }
                    kept.push(cell);
                }
                Err(reason) => match stand_in(&cell.wanted) {
                    Some(other) => {
                        plan.changes.push(format!(
                            "mnist is not here ({reason}): the embedded mnist-5k stands in for it under its own name and with the settings of its own preset"
                        ));
                        cell.wanted = other;
                        kept.push(cell);
                    }
                    None => plan.changes.push(format!(
                        "{}, {}: not run, {reason}; get the data and repeat the command",
                        cell.row, cell.column
                    )),
                },
            }
        }
        if let Some(epochs) = self.epochs() {
            for cell in &mut kept {
                let usual = std::mem::replace(&mut cell.wanted.epochs, epochs);
                if epochs != usual {
                    let change = format!("{epochs} of {usual} epochs, as asked");
                    plan.changes.push(change);
                }
            }
        }
        plan.cells = kept;
        let mut seen = Vec::new();
        plan.changes.retain(|change| {
            let new = !seen.contains(change);
            seen.push(change.clone());
            new
        });
        Ok(plan)
    }

    pub(super) fn cost(&mut self, wanted: &Wanted) -> Result<Cost> {
        let key = (wanted.preset.clone(), wanted.set.clone());
        if let Some(cost) = self.costs.get(&key) {
            return Ok(*cost);
        }
        let [train, test] = self
            .there(wanted)?
            .map(|found| found.images)
            .unwrap_or_default();
        let config = self.config(wanted)?;
        let spec = match presets::find(&wanted.preset)?.spec {
            spec if wanted.set.iter().all(|set| !set.starts_with("data.")) => spec,
            // Sizes and classes may be others than the preset's.
            _ => session::model_spec(&self.load(wanted)?),
        };
        let [training, evaluation] = bench::rates(config, spec, &self.device)?;
        let cost = Cost {
            epoch: train as f64 / training + test as f64 / evaluation,
            // Loading, pictures, and a pass or two over the test images.
            once: 3.0 + 3.0 * test as f64 / evaluation,
        };
        self.costs.insert(key, cost);
        Ok(cost)
    }

    /// Measures what everything costs, and shrinks plans that take longer than the budget. Plans that were made before for the same
    /// budget are kept to, or else the runs of a repeated command would be others.
    pub(super) fn keep_to_budget(&mut self, plans: &mut [Plan]) -> Result<()> {
        let wanted: Vec<Wanted> = plans
            .iter()
            .flat_map(|plan| plan.cells.iter().map(|cell| cell.wanted.clone()))
            .collect();
        if !wanted.is_empty() {
            self.voice.note("measuring how fast this machine is");
        }
        for wanted in &wanted {
            self.cost(wanted)?;
        }
        let costs = &self.costs;
        let cost = |wanted: &Wanted| {
            let key = (wanted.preset.clone(), wanted.set.clone());
            costs.get(&key).copied().unwrap_or(Cost {
                epoch: 0.0,
                once: 0.0,
            })
        };
        let pool = &self.pool;
        let done = |task: &Task| matches!(pool.finished(task), Ok(Some(_)));
        if let Some(budget) = self.arguments.budget {
            let before: Option<Vec<Plan>> =
                plans.iter().map(|plan| self.made_before(plan)).collect();
            match before {
                Some(before) => plans.clone_from_slice(&before),
                None => shrink(plans, budget, &cost, &done),
            }
        }
        for plan in plans.iter_mut() {
            plan.estimated_seconds = plan.seconds(&cost, &done);
        }
        Ok(())
    }

    /// The stored plan that `plan` became under the same budget; a plan without runs is that itself.
    fn made_before(&self, plan: &Plan) -> Option<Plan> {
        if plan.cells.is_empty() {
            return Some(plan.clone());
        }
        let stored = stored(&self.arguments.out.join(&plan.item));
        stored.ok().flatten().filter(|stored| stored.is_again(plan))
    }
}

/// Whether runs with these settings can be compared with the paper's.
///
/// # Errors
/// [`CliError::Usage`] for settings that plans have an option for.
fn compared(assignments: &[String]) -> Result<bool> {
    let mut compared = true;
    for assignment in assignments {
        let key = assignment.split('=').next().unwrap_or_default();
        let option = match key {
            "training.epochs" => "--epochs",
            "seed" => "--seeds",
            _ => {
                let harmless = ["initial_weights.", "data.path", "training.loader_threads"];
                compared &= harmless.iter().any(|harmless| key.starts_with(harmless));
                continue;
            }
        };
        return Err(CliError::Usage(format!(
            "--set {assignment}: a plan has its own; use {option}"
        )));
    }
    Ok(compared)
}

/// What is trained in place of something on MNIST, where MNIST is not there.
fn stand_in(wanted: &Wanted) -> Option<Wanted> {
    let preset = presets::find(&wanted.preset).ok()?;
    if preset.config["data"]["type"] != "mnist" {
        return None;
    }
    let mut other = wanted.clone();
    match wanted.preset.as_str() {
        // The settings that suit the smaller set.
        "mnist" => {
            other.preset = "mnist-5k".to_string();
            let own = presets::find(&other.preset).ok()?;
            other.epochs = own.config["training"]["epochs"].as_u64()? as usize;
        }
        _ => other.set.push("data.type=mnist-5k".to_string()),
    }
    Some(other)
}
