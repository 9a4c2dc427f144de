//! Which runs an item takes, and what a budget leaves of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::items::{Cell, Item, Wanted};

/// What a plan was asked to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Seeds of everything that a table is the mean of.
    pub seeds: u64,
    /// Epochs in place of the paper's.
    pub epochs: Option<usize>,
    /// Keys that are set over every run's.
    pub set: Vec<String>,
    /// Seconds that all may take.
    pub budget: Option<f64>,
}

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
    /// What it was asked to be; not known of plans that were made before they had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
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
            asked: None,
        }
    }

    /// Whether both were asked for the same and train the same on the same data, for however many seeds and epochs a budget left them.
    pub fn is_again(&self, other: &Self) -> bool {
        let trained = |cell: &Cell| {
            let Wanted {
                preset,
                set,
                stand_in,
                ..
            } = cell.wanted.clone();
            (cell.row.clone(), cell.column.clone(), preset, set, stand_in)
        };
        self.asked.is_some()
            && self.asked == other.asked
            && self
                .cells
                .iter()
                .map(trained)
                .eq(other.cells.iter().map(trained))
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
        seconds(std::slice::from_ref(self), cost, done)
    }
}

/// The runs of several plans that are not done; what plans share is one run.
fn ahead(plans: &[Plan], done: &dyn Fn(&Task) -> bool) -> BTreeSet<Task> {
    let tasks = plans.iter().flat_map(Plan::tasks);
    tasks.filter(|task| !done(task)).collect()
}

fn seconds(plans: &[Plan], cost: &dyn Fn(&Wanted) -> Cost, done: &dyn Fn(&Task) -> bool) -> f64 {
    let each = ahead(plans, done).into_iter().map(|task| {
        let cost = cost(&task.wanted);
        task.wanted.epochs as f64 * cost.epoch + cost.once
    });
    each.sum()
}

/// Fewer seeds, then fewer epochs, until all plans together take no more than `budget` seconds; every change is noted in the plan. The same
/// is cut from all, so that what plans share stays one run.
pub fn shrink(
    plans: &mut [Plan],
    budget: f64,
    cost: &dyn Fn(&Wanted) -> Cost,
    done: &dyn Fn(&Task) -> bool,
) {
    let asked: Vec<u64> = plans.iter().map(|plan| plan.seeds).collect();
    while seconds(plans, cost, done) > budget {
        let most = plans.iter().map(|plan| plan.seeds).max().unwrap_or(1);
        if most <= 1 {
            break;
        }
        for plan in plans.iter_mut().filter(|plan| plan.seeds == most) {
            plan.seeds -= 1;
        }
    }
    for (plan, asked) in plans.iter_mut().zip(asked) {
        if plan.seeds < asked {
            plan.changes.push(format!(
                "{} of {asked} seeds, to keep to the budget",
                plan.seeds
            ));
        }
    }
    if seconds(plans, cost, done) > budget {
        fewer_epochs(plans, budget, cost, done);
    }
    let all = seconds(plans, cost, done);
    for plan in plans.iter_mut() {
        plan.estimated_seconds = plan.seconds(cost, done);
        if all > budget && !plan.cells.is_empty() {
            plan.changes.push(format!(
                "one epoch of everything takes longer than the budget: about {}",
                duration(all)
            ));
        }
    }
}

fn fewer_epochs(
    plans: &mut [Plan],
    budget: f64,
    cost: &dyn Fn(&Wanted) -> Cost,
    done: &dyn Fn(&Task) -> bool,
) {
    let tasks = ahead(plans, done);
    let once: f64 = tasks.iter().map(|task| cost(&task.wanted).once).sum();
    let epochs: f64 = tasks
        .iter()
        .map(|task| task.wanted.epochs as f64 * cost(&task.wanted).epoch)
        .sum();
    let share = ((budget - once) / epochs.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
    for plan in plans {
        let mut said = BTreeSet::new();
        for cell in &mut plan.cells {
            let before = cell.wanted.epochs;
            let after = ((before as f64 * share).floor() as usize).clamp(1, before.max(1));
            // What is done in full stays.
            let kept = !tasks.iter().any(|task| task.wanted == cell.wanted);
            if after < before && !kept {
                cell.wanted.epochs = after;
                said.insert((before, after));
            }
        }
        for (before, after) in said {
            plan.changes
                .push(format!("{after} of {before} epochs, to keep to the budget"));
        }
    }
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

/// Reads `90s`, `30m` or `2h`, in seconds.
pub fn parse_duration(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is no time such as 90s, 30m or 2h");
    let units = [('s', 1.0), ('m', 60.0), ('h', 3600.0)];
    let found = units
        .iter()
        .find_map(|(unit, factor)| Some((text.trim().strip_suffix(*unit)?, factor)));
    let (number, factor) = found.ok_or_else(wrong)?;
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number * factor),
        _ => Err(wrong()),
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

    fn shrunk(
        seeds: u64,
        budget: f64,
        cost: &dyn Fn(&Wanted) -> Cost,
        done: &dyn Fn(&Task) -> bool,
    ) -> Plan {
        let mut plans = [plan(seeds)];
        shrink(&mut plans, budget, cost, done);
        let [plan] = plans;
        plan
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
        let roomy = shrunk(4, full, &|_| COST, &none);
        assert!(roomy.changes.is_empty() && roomy.seeds == 4);
        let fewer = shrunk(4, full * 0.6, &|_| COST, &none);
        assert_eq!((fewer.seeds, fewer.changes.len()), (2, 1));
        let short = shrunk(4, 300.0, &|_| COST, &none);
        assert_eq!(short.seeds, 1);
        assert_eq!(short.cells[0].wanted.epochs, 3);
        assert_eq!(short.changes.len(), 2, "{:?}", short.changes);
        assert!(short.estimated_seconds <= 300.0);
        let impossible = shrunk(4, 1.0, &|_| COST, &none);
        assert!(
            impossible
                .changes
                .last()
                .unwrap()
                .contains("longer than the budget")
        );
        // What is done costs nothing and stays as it is.
        let all = |_: &Task| true;
        let done = shrunk(4, 1.0, &|_| COST, &all);
        assert!(done.seeds == 4 && done.changes.is_empty() && done.estimated_seconds == 0.0);
    }

    #[test]
    fn what_plans_share_costs_once_and_stays_shared() {
        let figure = Plan::new(&items::find("fig2").unwrap()[0], 4);
        let none = |_: &Task| false;
        // The figure's three runs are the table's.
        assert_eq!(
            seconds(&[plan(1), figure.clone()], &|_| COST, &none),
            plan(1).seconds(&|_| COST, &none)
        );
        for budget in [1700.0, 300.0] {
            let mut plans = [plan(4), figure.clone()];
            shrink(&mut plans, budget, &|_| COST, &none);
            assert!(seconds(&plans, &|_| COST, &none) <= budget);
            let [table, figure] = plans;
            let runs = table.tasks();
            assert!(figure.tasks().iter().all(|task| runs.contains(task)));
        }
    }

    #[test]
    fn a_plan_is_known_again_whatever_a_budget_left_of_it() {
        let asked = |budget| Asked {
            seeds: 4,
            epochs: None,
            set: Vec::new(),
            budget,
        };
        let mut fresh = plan(4);
        assert!(!fresh.is_again(&fresh.clone()), "not known what was asked");
        fresh.asked = Some(asked(Some(300.0)));
        let mut stored = [fresh.clone()];
        shrink(&mut stored, 300.0, &|_| COST, &|_| false);
        let [mut stored] = stored;
        assert!(stored.cells != fresh.cells && stored.is_again(&fresh));
        stored.asked = Some(asked(Some(301.0)));
        assert!(!stored.is_again(&fresh));
        stored.asked.clone_from(&fresh.asked);
        stored.cells[0].wanted.stand_in = Some("mnist-5k".to_string());
        assert!(!stored.is_again(&fresh), "other data are there now");
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
            let shrunk = shrunk(4, budget, &|_| cost, &none);
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
        for wrong in ["", "45", "m", "-3m", "0", "3 days", "nan"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(duration(40.2), "40 s");
        assert_eq!(duration(3900.0), "1 h 5 min");
    }
}
