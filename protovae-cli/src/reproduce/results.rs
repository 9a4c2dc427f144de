//! What was found beside what the paper has.

use std::collections::BTreeMap;

use protovae_explain::side_by_side::{Spread, csv_line};
use serde::{Deserialize, Serialize};

use super::items::Reported;
use super::measured::Measured;
use super::plan::Plan;
use super::pool::Finished;

/// The results of an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// The item.
    pub item: String,
    /// One line on it.
    pub about: String,
    /// Version of the program.
    pub version: String,
    /// The machine: processor, threads, vector instructions, device.
    pub machine: String,
    /// What was changed of what the paper has, and what could not be run, a sentence each.
    pub changes: Vec<String>,
    /// In the order of the plan.
    pub cells: Vec<CellResult>,
    /// What was measured on the runs besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<Measured>,
}

/// What was found for a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellResult {
    /// The row's head.
    pub row: String,
    /// The column's head.
    pub column: String,
    /// The data set that was there, if runs are done; another than the column's is a stand-in.
    pub data: Option<String>,
    /// The command of the first run.
    pub command: String,
    /// Epochs trained.
    pub epochs: usize,
    /// The runs.
    pub runs: Vec<Finished>,
    /// What the paper has.
    pub reported: Option<Reported>,
    /// Whether settings were changed by hand, so that it does not compare with the paper.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
    /// Our mean and deviation, in per cent.
    pub found: Option<Spread>,
    /// The difference to the paper in standard errors of it, where both have deviations.
    pub errors: Option<f64>,
    /// In words.
    pub verdict: String,
}

impl CellResult {
    /// From the runs of a cell.
    pub fn new(
        row: &str,
        column: &str,
        command: String,
        epochs: usize,
        runs: Vec<Finished>,
        reported: Option<Reported>,
        changed: bool,
    ) -> Self {
        let accuracies: Vec<f64> = runs.iter().map(|run| 100.0 * run.accuracy).collect();
        let found = Spread::of(&accuracies);
        let data = runs.first().map(|run| run.data.clone());
        let whole = data.as_deref() == Some(column);
        let shortened = reported
            .and_then(|reported| reported.epochs)
            .filter(|planned| epochs < *planned);
        let errors = match (found, reported) {
            (Some(found), Some(reported)) if whole && shortened.is_none() && !changed => {
                errors(found, reported)
            }
            _ => None,
        };
        let verdict = match shortened {
            Some(planned) if found.is_some() && whole => {
                format!("{epochs} of {planned} epochs, not comparable")
            }
            _ if changed && found.is_some() && reported.is_some() && whole => {
                "other settings, not comparable".to_string()
            }
            _ => verdict(found, reported, whole, errors),
        };
        Self {
            row: row.to_string(),
            column: column.to_string(),
            data,
            command,
            epochs,
            runs,
            reported,
            changed,
            found,
            errors,
            verdict,
        }
    }

    /// Our mean and deviation in words.
    pub fn found_text(&self) -> String {
        match self.found {
            Some(Spread {
                mean,
                deviation: Some(deviation),
                ..
            }) => format!("{mean:.2} ± {deviation:.2}"),
            Some(Spread { mean, .. }) => format!("{mean:.2}"),
            None => "not run".to_string(),
        }
    }

    /// The paper's number in words.
    pub fn reported_text(&self) -> String {
        match self.reported {
            Some(Reported {
                percent,
                deviation: Some(deviation),
                ..
            }) => format!("{percent:.1} ± {deviation:.1}"),
            Some(Reported { percent, .. }) => format!("{percent:.1}"),
            None => "–".to_string(),
        }
    }

    /// What the numbers rest on: name, seeds, epochs, difference, standard errors.
    fn details(&self) -> [String; 5] {
        let dash = || "–".to_string();
        let seeds: Vec<String> = self.runs.iter().map(|run| run.seed.to_string()).collect();
        let stand_in = match &self.data {
            Some(data) if *data != self.column => format!(" ({data})"),
            _ => String::new(),
        };
        [
            format!("{}, {}{stand_in}", self.row, self.column),
            match seeds.is_empty() {
                true => dash(),
                false => seeds.join(", "),
            },
            self.epochs.to_string(),
            match (&self.found, &self.reported) {
                (Some(_), None) => dash(),
                _ => self.verdict.clone(),
            },
            self.errors.map_or_else(dash, |z| format!("{z:+.1}")),
        ]
    }
}

/// The difference of two means over its standard error.
fn errors(found: Spread, reported: Reported) -> Option<f64> {
    let own = found.deviation?.powi(2) / found.runs as f64;
    let theirs = match (reported.deviation, reported.runs) {
        (Some(deviation), Some(runs)) => deviation.powi(2) / runs.max(1) as f64,
        _ => return None,
    };
    let error = (own + theirs).sqrt();
    (error > 0.0).then(|| (found.mean - reported.percent) / error)
}

fn verdict(
    found: Option<Spread>,
    reported: Option<Reported>,
    whole: bool,
    errors: Option<f64>,
) -> String {
    let Some(found) = found else {
        return "not run".to_string();
    };
    let Some(reported) = reported else {
        return "no number in the paper".to_string();
    };
    if !whole {
        return "a stand-in, not comparable".to_string();
    }
    let difference = found.mean - reported.percent;
    // Published to one decimal place: nothing below half of it is known.
    let deviation = reported.deviation.unwrap_or(0.0).max(0.05);
    let apart = format!("{difference:+.2} points");
    // A tenth is no tenth exactly.
    if difference.abs() <= deviation + 1e-9 {
        return format!("{apart}: within the paper's deviation");
    }
    match errors {
        Some(errors) if errors.abs() <= 2.0 => format!("{apart}: within two standard errors"),
        _ if difference > 0.0 => format!("{apart}: above the paper"),
        _ => format!("{apart}: below the paper"),
    }
}

impl Results {
    /// The rows in order, and for each its cells by column.
    fn rows(&self) -> Vec<(&str, BTreeMap<&str, &CellResult>)> {
        let mut rows: Vec<(&str, BTreeMap<&str, &CellResult>)> = Vec::new();
        for cell in &self.cells {
            match rows.iter_mut().find(|(row, _)| *row == cell.row) {
                Some((_, cells)) => {
                    cells.insert(&cell.column, cell);
                }
                None => rows.push((&cell.row, BTreeMap::from([(cell.column.as_str(), cell)]))),
            }
        }
        rows
    }

    fn columns(&self) -> Vec<&str> {
        let mut columns: Vec<&str> = Vec::new();
        for cell in &self.cells {
            if !columns.contains(&cell.column.as_str()) {
                columns.push(&cell.column);
            }
        }
        columns
    }

    /// Markdown: a table of our numbers and the paper's, a list of what each rests on, and what was changed.
    pub fn markdown(&self) -> String {
        format!("# {}: {}\n\n{}", self.item, self.about, self.tables())
    }

    /// What [`markdown`](Self::markdown) has below its heading.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        let columns = self.columns();
        let mut head = vec![String::new()];
        for column in &columns {
            head.extend([(*column).to_string(), "the paper".to_string()]);
        }
        text += &line(&head);
        text += &line(
            &head
                .iter()
                .enumerate()
                .map(|(index, _)| if index == 0 { "---" } else { "---:" }.to_string())
                .collect::<Vec<_>>(),
        );
        for (row, cells) in self.rows() {
            let mut words = vec![row.to_string()];
            for column in &columns {
                let cell = cells.get(column);
                let dash = || "–".to_string();
                words.push(cell.map_or_else(dash, |cell| cell.found_text()));
                words.push(cell.map_or_else(dash, |cell| cell.reported_text()));
            }
            text += &line(&words);
        }
        text += "\nTest accuracy in per cent after the last epoch, mean ± standard deviation over seeds.\n\n";
        let head = ["", "seeds", "epochs", "to the paper", "standard errors"];
        text += &line(&head.map(String::from));
        text += &line(&["---"; 5].map(String::from));
        for cell in &self.cells {
            text += &line(&cell.details());
        }
        text += "\nThe commands of the first seeds:\n\n```console\n";
        for cell in &self.cells {
            text += &format!("$ {}\n", cell.command);
        }
        text += "```\n";
        if !self.changes.is_empty() {
            text += "\nNot as in the paper, or not whole:\n\n";
            for change in &self.changes {
                text += &format!("* {change}\n");
            }
        }
        for measured in &self.measured {
            text += &format!("\n{}", measured.markdown());
        }
        text += &format!(
            "\n{}; protovae {}{}.\n",
            self.machine,
            self.version,
            self.builds()
        );
        text
    }

    /// How many builds of the program made the runs, if it was not one.
    fn builds(&self) -> String {
        let runs = || self.cells.iter().flat_map(|cell| &cell.runs);
        let mut builds: Vec<&str> = runs().filter_map(|run| run.program.as_deref()).collect();
        builds.sort_unstable();
        builds.dedup();
        let unknown = runs().any(|run| run.program.is_none());
        match builds.len() + usize::from(unknown) {
            0 | 1 => String::new(),
            several => format!(", {several} builds of it (`results.json` names each run's)"),
        }
    }

    /// CSV: a row a run.
    pub fn csv(&self) -> String {
        let mut text =
            "row,column,data,seed,epochs,accuracy,seconds,run,model-sha256\r\n".to_string();
        for cell in &self.cells {
            for run in &cell.runs {
                let words = [
                    cell.row.clone(),
                    cell.column.clone(),
                    run.data.clone(),
                    run.seed.to_string(),
                    run.epochs.to_string(),
                    run.accuracy.to_string(),
                    format!("{:.1}", run.seconds),
                    run.run.clone(),
                    run.model.clone(),
                ];
                text += &csv_line(&words);
            }
        }
        text
    }

    /// What of a plan is there.
    pub fn of(
        plan: &Plan,
        about: &str,
        machine: String,
        changes: Vec<String>,
        cells: Vec<CellResult>,
    ) -> Self {
        let mut all = plan.changes.clone();
        all.extend(changes);
        Self {
            item: plan.item.clone(),
            about: about.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            machine,
            changes: all,
            cells,
            measured: Vec::new(),
        }
    }
}

/// A row of a Markdown table.
pub fn line(words: &[String]) -> String {
    let cells: Vec<String> = words.iter().map(|word| word.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cell(data: &str, accuracies: &[f64], reported: Option<Reported>) -> CellResult {
        let runs = accuracies
            .iter()
            .enumerate()
            .map(|(seed, accuracy)| Finished::example(seed as u64, data, *accuracy));
        CellResult::new(
            "full",
            "mnist",
            "protovae".to_string(),
            10,
            runs.collect(),
            reported,
            false,
        )
    }

    const PAPER: Option<Reported> = Some(Reported {
        percent: 99.4,
        deviation: Some(0.1),
        runs: Some(4),
        epochs: Some(10),
    });

    #[test]
    fn verdicts_say_what_the_numbers_say() {
        let close = cell("mnist", &[0.9942, 0.9938], PAPER);
        assert!(
            close.verdict.contains("within the paper's deviation"),
            "{}",
            close.verdict
        );
        let at_its_edge = cell("mnist", &[0.995], PAPER);
        assert!(
            at_its_edge.verdict.contains("within the paper's deviation"),
            "{}",
            at_its_edge.verdict
        );
        let below = cell("mnist", &[0.98, 0.981, 0.979], PAPER);
        assert!(below.verdict.contains("below"), "{}", below.verdict);
        // (98.0 − 99.4) / sqrt(0.1² / 3 + 0.1² / 4)
        assert!((below.errors.unwrap() + 1.4 / (0.01f64 / 3.0 + 0.0025).sqrt()).abs() < 1e-9);
        let wide = cell("mnist", &[0.97, 0.99, 1.0], PAPER);
        assert!(
            wide.verdict.contains("two standard errors"),
            "{}",
            wide.verdict
        );
        let one = cell("mnist", &[0.999], PAPER);
        assert!(
            one.errors.is_none() && one.verdict.contains("above"),
            "{}",
            one.verdict
        );
        assert!(
            cell("mnist-5k", &[0.99], PAPER)
                .verdict
                .contains("stand-in")
        );
        let longer = PAPER.map(|paper| Reported {
            epochs: Some(31),
            ..paper
        });
        let shortened = cell("mnist", &[0.5, 0.6], longer);
        assert_eq!(shortened.verdict, "10 of 31 epochs, not comparable");
        assert!(shortened.errors.is_none());
        assert_eq!(cell("mnist", &[], PAPER).verdict, "not run");
        assert_eq!(cell("mnist", &[], longer).verdict, "not run");
        let CellResult { command, runs, .. } = close;
        let changed = CellResult::new("full", "mnist", command, 10, runs, PAPER, true);
        assert_eq!(changed.verdict, "other settings, not comparable");
        assert!(changed.errors.is_none());
        assert_eq!(
            cell("mnist", &[0.9], None).verdict,
            "no number in the paper"
        );
    }

    #[test]
    fn tables_and_files_hold_everything() {
        let results = Results {
            item: "table5".to_string(),
            about: "ablations".to_string(),
            version: "0".to_string(),
            machine: "two cores".to_string(),
            changes: vec!["2 of 4 seeds".to_string()],
            cells: vec![cell("mnist", &[0.9942, 0.9938], PAPER), {
                let mut other = cell("mnist", &[], PAPER);
                other.row = "a|b, \"c\"".to_string();
                other
            }],
            measured: Vec::new(),
        };
        let text = results.markdown();
        assert!(
            text.contains("| full | 99.40 ± 0.03 | 99.4 ± 0.1 |"),
            "{text}"
        );
        assert!(text.contains("a\\|b") && text.contains("not run"), "{text}");
        assert!(text.contains("* 2 of 4 seeds"), "{text}");
        assert_eq!(results.csv().lines().count(), 3);
        let json = serde_json::to_string(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&json).unwrap(), results);
    }
}
