//! Which runs an item takes, and what a budget leaves of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::items::{Cell, Item, Wanted};

/// What is going to be run; stored beside the results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The item.
    pub item: String,
    /// The cells, with the epochs that they are trained.
    pub cells: Vec<Cell>,
    /// Seeds from 0.
    pub seeds: u64,
    /// What was changed of what the paper has, a sentence each.
    pub changes: Vec<String>,
    /// How long all of it is expected to take on this machine.
    pub estimated_seconds: f64,
}

/// One run of a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    /// The seed.
    pub seed: u64,
    /// What is trained.
    pub wanted: Wanted,
}

/// Seconds that an epoch of something takes, and everything after the last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Training and evaluation of one epoch.
    pub epoch: f64,
    /// Loading data, pictures at the end.
    pub once: f64,
}

impl Plan {
    /// The plan of an item; figures take one seed.
    pub fn new(item: &Item, seeds: u64) -> Self {
        Self {
            item: item.name.clone(),
            cells: item.cells.clone(),
            seeds: if item.is_figure() { 1 } else { seeds.max(1) },
            changes: Vec::new(),
            estimated_seconds: 0.0,
        }
    }

    /// All runs, the first seed of everything first; what two cells share is one run.
    pub fn tasks(&self) -> Vec<Task> {
        let mut tasks: Vec<Task> = Vec::new();
        for seed in 0..self.seeds {
            for cell in &self.cells {
                let task = Task {
                    seed,
                    wanted: cell.wanted.clone(),
                };
                if !tasks.contains(&task) {
                    tasks.push(task);
                }
            }
        }
        tasks
    }

    /// Seconds of all runs that are not done.
    pub fn seconds(&self, cost: &dyn Fn(&Wanted) -> Cost, done: &dyn Fn(&Task) -> bool) -> f64 {
        let tasks = self.tasks().into_iter().filter(|task| !done(task));
        tasks.map(|task| seconds(&task.wanted, cost)).sum()
    }

    /// Fewer seeds, then fewer epochs, until it takes no more than `budget` seconds; every change is noted.
    pub fn shrink(
        mut self,
        budget: f64,
        cost: &dyn Fn(&Wanted) -> Cost,
        done: &dyn Fn(&Task) -> bool,
    ) -> Self {
        let asked = self.seeds;
        while self.seeds > 1 && self.seconds(cost, done) > budget {
            self.seeds -= 1;
        }
        if self.seeds < asked {
            self.changes.push(format!(
                "{} of {asked} seeds, to keep to the budget",
                self.seeds
            ));
        }
        if self.seconds(cost, done) > budget {
            self.fewer_epochs(budget, cost, done);
        }
        self.estimated_seconds = self.seconds(cost, done);
        if self.estimated_seconds > budget {
            self.changes.push(format!(
                "one epoch of everything takes longer than the budget: about {}",
                duration(self.estimated_seconds)
            ));
        }
        self
    }

    fn fewer_epochs(
        &mut self,
        budget: f64,
        cost: &dyn Fn(&Wanted) -> Cost,
        done: &dyn Fn(&Task) -> bool,
    ) {
        let tasks: Vec<Task> = self
            .tasks()
            .into_iter()
            .filter(|task| !done(task))
            .collect();
        let once: f64 = tasks.iter().map(|task| cost(&task.wanted).once).sum();
        let epochs: f64 = tasks
            .iter()
            .map(|task| task.wanted.epochs as f64 * cost(&task.wanted).epoch)
            .sum();
        let share = ((budget - once) / epochs.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        let mut said: BTreeMap<(usize, usize), ()> = BTreeMap::new();
        for cell in &mut self.cells {
            let before = cell.wanted.epochs;
            let after = ((before as f64 * share).floor() as usize).clamp(1, before);
            // What is done in full stays.
            let kept = !tasks.iter().any(|task| task.wanted == cell.wanted);
            if after < before && !kept {
                cell.wanted.epochs = after;
                said.insert((before, after), ());
            }
        }
        for (before, after) in said.into_keys() {
            self.changes
                .push(format!("{after} of {before} epochs, to keep to the budget"));
        }
    }
}

fn seconds(wanted: &Wanted, cost: &dyn Fn(&Wanted) -> Cost) -> f64 {
    let cost = cost(wanted);
    wanted.epochs as f64 * cost.epoch + cost.once
}

/// `1 h 5 min`, `40 s`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min", (whole + 30) / 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Reads `90s`, `30m`, `2h` or a number of seconds.
pub fn parse_duration(text: &str) -> Result<f64, String> {
    let (number, factor) = match text.trim().strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.trim().ends_with('m') => (number, 60.0),
        Some(number) if text.trim().ends_with('h') => (number, 3600.0),
        Some(number) => (number, 1.0),
        None => (text.trim(), 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number * factor),
        _ => Err(format!("`{text}` is no time such as 90s, 30m or 2h")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::items;
    use super::*;

    fn plan(seeds: u64) -> Plan {
        Plan::new(&items::find("table5").unwrap()[0], seeds)
    }

    const COST: Cost = Cost {
        epoch: 20.0,
        once: 5.0,
    };

    #[test]
    fn a_plan_runs_the_first_seed_of_everything_first_and_nothing_twice() {
        let tasks = plan(2).tasks();
        assert_eq!(tasks.len(), 8);
        assert!(tasks[..4].iter().all(|task| task.seed == 0));
        let figures = Plan::new(&items::find("fig4").unwrap()[0], 4);
        assert_eq!(figures.tasks().len(), 2, "figures take one seed");
    }

    #[test]
    fn budgets_take_seeds_before_epochs_and_say_so() {
        let none = |_: &Task| false;
        let full = plan(4).seconds(&|_| COST, &none);
        assert_eq!(full, 16.0 * 205.0);
        let roomy = plan(4).shrink(full, &|_| COST, &none);
        assert!(roomy.changes.is_empty() && roomy.seeds == 4);
        let fewer = plan(4).shrink(full * 0.6, &|_| COST, &none);
        assert_eq!((fewer.seeds, fewer.changes.len()), (2, 1));
        let short = plan(4).shrink(300.0, &|_| COST, &none);
        assert_eq!(short.seeds, 1);
        assert_eq!(short.cells[0].wanted.epochs, 3);
        assert_eq!(short.changes.len(), 2, "{:?}", short.changes);
        assert!(short.estimated_seconds <= 300.0);
        let impossible = plan(4).shrink(1.0, &|_| COST, &none);
        assert!(
            impossible
                .changes
                .last()
                .unwrap()
                .contains("longer than the budget")
        );
        // What is done costs nothing and stays as it is.
        let all = |_: &Task| true;
        let done = plan(4).shrink(1.0, &|_| COST, &all);
        assert!(done.seeds == 4 && done.changes.is_empty() && done.estimated_seconds == 0.0);
    }

    proptest! {
        #[test]
        fn a_shrunk_plan_keeps_to_its_budget_if_one_epoch_does(
            budget in 1.0f64..20_000.0,
            epoch in 0.1f64..500.0,
            once in 0.0f64..50.0,
        ) {
            let cost = Cost { epoch, once };
            let none = |_: &Task| false;
            let shrunk = plan(4).shrink(budget, &|_| cost, &none);
            prop_assert!(shrunk.seeds >= 1 && shrunk.cells.iter().all(|cell| cell.wanted.epochs >= 1));
            if 4.0 * (epoch + once) <= budget {
                prop_assert!(shrunk.estimated_seconds <= budget + 1e-6);
            }
            let changed = shrunk.seeds < 4 || shrunk.cells[0].wanted.epochs < 10;
            // That one epoch takes longer than the budget is no change of the plan.
            let said = shrunk.changes.iter().any(|change| !change.starts_with("one epoch"));
            prop_assert_eq!(changed, said);
        }
    }

    #[test]
    fn times_are_read_and_written() {
        assert_eq!(parse_duration("90s"), Ok(90.0));
        assert_eq!(parse_duration("30m"), Ok(1800.0));
        assert_eq!(parse_duration("1.5h"), Ok(5400.0));
        assert_eq!(parse_duration("45"), Ok(45.0));
        for wrong in ["", "m", "-3m", "0", "3 days", "nan"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration(40.2), "40 s");
        assert_eq!(duration(3900.0), "1 h 5 min");
    }
}
