//! Test accuracy epoch by epoch: tables of the book.

use protovae_explain::side_by_side::Spread;

use super::results::{CellResult, Results, line};

/// Epochs at the end of a run whose spread is shown.
const LATE: usize = 10;

impl Results {
    /// Both tables below, as the file `epochs.md`.
    pub fn course(&self) -> String {
        format!(
            "# {}: test accuracy in per cent after each epoch\n\n{}\n## The last {LATE} epochs of long runs\n\n{}",
            self.item,
            self.by_epoch(),
            self.late()
        )
    }

    /// Markdown: a row a run, a column an epoch, test accuracy in per cent; of the runs of which it is known.
    pub fn by_epoch(&self) -> String {
        let known = |cell: &CellResult| cell.runs.iter().any(|run| !run.by_epoch.is_empty());
        let cells: Vec<&CellResult> = self.cells.iter().filter(|cell| known(cell)).collect();
        let runs = cells.iter().flat_map(|cell| &cell.runs);
        let longest = runs.map(|run| run.by_epoch.len()).max().unwrap_or(0);
        let mut head = vec![String::new(), "seed".to_string()];
        head.extend((1..=longest).map(|epoch| epoch.to_string()));
        let mut text = ruled(&head);
        for cell in cells {
            for run in cell.runs.iter().filter(|run| !run.by_epoch.is_empty()) {
                let mut words = vec![named(cell), run.seed.to_string()];
                words.extend((0..longest).map(|epoch| {
                    let accuracy = run.by_epoch.get(epoch);
                    accuracy
                        .map_or_else(|| "–".to_string(), |share| format!("{:.1}", 100.0 * share))
                }));
                text += &line(&words);
            }
        }
        text
    }

    /// Markdown: for each run of at least twice ten epochs the accuracy after the last, and mean, deviation, lowest and highest of the
    /// last ten.
    pub fn late(&self) -> String {
        let head = [
            "",
            "seed",
            "last epoch",
            "mean of the last ten",
            "lowest",
            "highest",
        ];
        let mut text = ruled(&head.map(String::from));
        for cell in &self.cells {
            for run in cell
                .runs
                .iter()
                .filter(|run| run.by_epoch.len() >= 2 * LATE)
            {
                let late: Vec<f64> = run.by_epoch[run.by_epoch.len() - LATE..]
                    .iter()
                    .map(|share| 100.0 * share)
                    .collect();
                let Some(Spread {
                    mean,
                    deviation: Some(deviation),
                    ..
                }) = Spread::of(&late)
                else {
                    continue;
                };
                let most = |better: fn(f64, f64) -> f64| late.iter().copied().reduce(better);
                let percent = |value: Option<f64>| format!("{:.2}", value.unwrap_or_default());
                text += &line(&[
                    named(cell),
                    run.seed.to_string(),
                    percent(late.last().copied()),
                    format!("{mean:.2} ± {deviation:.2}"),
                    percent(most(f64::min)),
                    percent(most(f64::max)),
                ]);
            }
        }
        text
    }
}

fn named(cell: &CellResult) -> String {
    let data = cell.data.as_ref().unwrap_or(&cell.column);
    format!("{}, {data}", cell.row)
}

/// The head of a table whose columns but the first are numbers.
fn ruled(head: &[String]) -> String {
    let rule = |(column, _)| if column == 0 { "---" } else { "---:" }.to_string();
    line(head) + &line(&head.iter().enumerate().map(rule).collect::<Vec<_>>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::pool::Finished;
    use super::*;

    fn results(runs: Vec<Finished>) -> Results {
        Results {
            item: "table5".to_string(),
            about: String::new(),
            version: "0".to_string(),
            machine: String::new(),
            changes: Vec::new(),
            cells: vec![CellResult::new(
                "full",
                "mnist",
                String::new(),
                3,
                runs,
                None,
                false,
            )],
            measured: Vec::new(),
        }
    }

    fn run(seed: u64, by_epoch: Vec<f64>) -> Finished {
        Finished {
            by_epoch,
            ..Finished::example(seed, "mnist", 0.5)
        }
    }

    #[test]
    fn epochs_are_columns_and_runs_rows() {
        let found = results(vec![
            run(0, vec![0.114, 0.3]),
            run(1, vec![0.5]),
            run(2, vec![]),
        ]);
        assert_eq!(
            found.by_epoch(),
            "|  | seed | 1 | 2 |\n| --- | ---: | ---: | ---: |\n| full, mnist | 0 | 11.4 | 30.0 |\n| full, mnist | 1 | 50.0 | – |\n"
        );
    }

    #[test]
    fn the_end_of_long_runs_by_hand() {
        let mut long = vec![0.1; 10];
        long.extend([0.8, 0.9].repeat(5));
        let found = results(vec![run(0, long), run(1, vec![0.5; 19])]);
        let text = found.late();
        // The deviation of five 80 and five 90: 5·sqrt(10/9).
        assert_eq!(
            text.lines().last().unwrap(),
            "| full, mnist | 0 | 90.00 | 85.00 ± 5.27 | 80.00 | 90.00 |"
        );
        assert_eq!(text.lines().count(), 3);
    }
}
