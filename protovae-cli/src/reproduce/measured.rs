//! Tables of what was measured on runs, with a chart where their columns are numbers.

use protovae_core::Result;
use protovae_explain::pictures::charts::{ChartLabels, LineChart, Series, standalone};
use protovae_explain::report::SheetTable;
use protovae_explain::side_by_side::Spread;
use serde::{Deserialize, Serialize};

use super::results::line;

/// A table of numbers over the seeds of runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// What it shows, in a sentence.
    pub about: String,
    /// A short name for files.
    pub name: String,
    /// Whether the numbers are shares, written in per cent.
    pub shares: bool,
    /// What the columns are, if they are numbers; then there is a chart.
    pub axis: Option<String>,
    /// The head of each column.
    pub columns: Vec<String>,
    /// The rows in order.
    pub rows: Vec<MeasuredRow>,
}

/// A row of a [`Measured`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredRow {
    /// Its head.
    pub name: String,
    /// As many as there are columns.
    pub values: Vec<Option<Spread>>,
}

impl MeasuredRow {
    /// Joins the values of several runs, `values[run][column]`.
    pub fn over_runs(name: &str, columns: usize, values: &[Vec<Option<f64>>]) -> Self {
        let column = |column: usize| {
            let all = values.iter().filter_map(|run| run.get(column).copied()?);
            Spread::of(&all.collect::<Vec<f64>>())
        };
        Self {
            name: name.to_string(),
            values: (0..columns).map(column).collect(),
        }
    }
}

impl Measured {
    fn word(&self, value: Option<Spread>) -> String {
        let Some(Spread {
            mean, deviation, ..
        }) = value
        else {
            return "–".to_string();
        };
        let (factor, digits) = if self.shares { (100.0, 1) } else { (1.0, 3) };
        let mean = factor * mean;
        match deviation {
            Some(deviation) => format!("{mean:.digits$} ± {:.digits$}", factor * deviation),
            None => format!("{mean:.digits$}"),
        }
    }

    /// Markdown: what it is, and the table.
    pub fn markdown(&self) -> String {
        let unit = if self.shares { ", per cent" } else { "" };
        let mut text = format!("{}{unit}:\n\n", self.about);
        let mut head = vec![self.axis.clone().unwrap_or_default()];
        head.extend(self.columns.iter().cloned());
        text += &line(&head);
        let rule = |index: usize| if index == 0 { "---" } else { "---:" }.to_string();
        text += &line(&(0..head.len()).map(rule).collect::<Vec<_>>());
        for row in self.words() {
            text += &line(&row);
        }
        text
    }

    fn words(&self) -> Vec<Vec<String>> {
        let rows = self.rows.iter().map(|row| {
            let mut words = vec![row.name.clone()];
            words.extend(row.values.iter().map(|value| self.word(*value)));
            words
        });
        rows.collect()
    }

    /// For a page.
    pub fn sheet(&self) -> SheetTable {
        let mut head = vec![self.axis.clone().unwrap_or_default()];
        head.extend(self.columns.iter().cloned());
        let unit = if self.shares { ", per cent" } else { "" };
        SheetTable {
            caption: format!("{}{unit}", self.about),
            head,
            rows: self.words(),
        }
    }

    /// The rows as curves over the columns, if these are numbers.
    ///
    /// # Errors
    /// If the chart cannot be drawn.
    pub fn chart(&self) -> Result<Option<LineChart>> {
        let Some(axis) = &self.axis else {
            return Ok(None);
        };
        let places: Vec<f64> = self
            .columns
            .iter()
            .filter_map(|column| column.parse().ok())
            .collect();
        if places.len() != self.columns.len() {
            return Ok(None);
        }
        let factor = if self.shares { 100.0 } else { 1.0 };
        let series = self.rows.iter().map(|row| Series {
            name: row.name.clone(),
            points: places
                .iter()
                .zip(&row.values)
                .filter_map(|(place, value)| Some((*place, factor * (*value)?.mean)))
                .collect(),
        });
        Ok(Some(LineChart {
            labels: ChartLabels {
                title: self.about.clone(),
                x: axis.clone(),
                y: if self.shares { "per cent" } else { "" }.to_string(),
                ..ChartLabels::default()
            },
            y_range: self.shares.then_some((0.0, 100.0)),
            series: series.collect(),
        }))
    }

    /// The chart as a file of its own.
    ///
    /// # Errors
    /// If the chart cannot be drawn.
    pub fn svg(&self) -> crate::error::Result<Option<String>> {
        Ok(match self.chart()? {
            Some(chart) => Some(standalone(&chart.svg()?)),
            None => None,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_joined_column_by_column() {
        let row = MeasuredRow::over_runs(
            "both",
            3,
            &[
                vec![Some(0.5), None, Some(0.1)],
                vec![Some(0.7), None, None],
            ],
        );
        let measured = Measured {
            about: "accuracy under an attack".to_string(),
            name: "attacks".to_string(),
            shares: true,
            axis: Some("epsilon".to_string()),
            columns: ["0", "0.1", "0.2"].map(String::from).to_vec(),
            rows: vec![row],
        };
        let text = measured.markdown();
        assert!(text.contains("| both | 60.0 ± 14.1 | – | 10.0 |"), "{text}");
        let chart = measured.chart().unwrap().unwrap();
        assert_eq!(chart.series[0].points.len(), 2);
        assert!(measured.svg().unwrap().unwrap().contains("epsilon"));
        let words = Measured {
            axis: None,
            ..measured.clone()
        };
        assert_eq!(words.svg().unwrap(), None);
        let json = serde_json::to_string(&measured).unwrap();
        assert_eq!(serde_json::from_str::<Measured>(&json).unwrap(), measured);
    }
}
