//! Runs side by side as text, Markdown and CSV.

use super::{Figure, Group, SideBySide};
use crate::measures::Better;
use crate::words::Words;

impl Group {
    /// The system, with its number of seeds if there are several, and its epochs.
    pub(super) fn label(&self) -> String {
        let seeds = match self.seeds.len() {
            1 => String::new(),
            count => format!(", {count} seeds"),
        };
        let epochs = match self.epochs {
            1 => "1 epoch".to_string(),
            count => format!("{count} epochs"),
        };
        format!("{} ({epochs}{seeds})", self.system)
    }

    pub(super) fn cell(&self, figure: Figure) -> String {
        self.spreads.get(&figure).map_or_else(
            || "–".to_string(),
            |spread| figure.text(spread.mean, spread.deviation),
        )
    }

    /// The published accuracy.
    pub(super) fn published_text(&self) -> String {
        self.published.as_ref().map_or_else(
            || "–".to_string(),
            |published| {
                let accuracy = 100.0 * published.accuracy;
                match published.deviation {
                    Some(deviation) => format!("{accuracy:.1} ± {:.1} %", 100.0 * deviation),
                    None => format!("{accuracy:.1} %"),
                }
            },
        )
    }
}

/// The head of a figure's column.
pub(super) fn heading(figure: Figure) -> String {
    let arrow = match figure.better() {
        Some(Better::Lower) => " ↓",
        Some(Better::Higher) => " ↑",
        None => "",
    };
    format!("{}{arrow}", figure.title())
}

impl SideBySide {
    /// The systems on one data set.
    pub(super) fn on<'a>(&'a self, data: &'a str) -> impl Iterator<Item = &'a Group> {
        self.groups.iter().filter(move |group| group.data == data)
    }

    /// The figures that at least one system on a data set has.
    pub(super) fn columns(&self, data: &str) -> Vec<Figure> {
        let has = |figure: &Figure| {
            self.on(data)
                .any(|group| group.spreads.contains_key(figure))
        };
        Figure::ALL.into_iter().filter(has).collect()
    }

    pub(super) fn has_published(&self, data: &str) -> bool {
        self.on(data).any(|group| group.published.is_some())
    }

    fn words(&self, data: &str) -> Words {
        let columns = self.columns(data);
        let published = self.has_published(data);
        let mut head = vec![data.to_string()];
        let mut rows: Vec<Vec<String>> = self.on(data).map(|group| vec![group.label()]).collect();
        for figure in columns {
            head.push(heading(figure));
            for (row, group) in rows.iter_mut().zip(self.on(data)) {
                row.push(group.cell(figure));
            }
            if figure == Figure::Accuracy && published {
                head.push("the paper".to_string());
                for (row, group) in rows.iter_mut().zip(self.on(data)) {
                    row.push(group.published_text());
                }
            }
        }
        Words { head, rows }
    }

    fn render(&self, draw: fn(Words) -> String) -> String {
        let mut parts: Vec<String> = self
            .data()
            .into_iter()
            .map(|data| draw(self.words(data)))
            .collect();
        if self.groups.iter().any(|group| group.seeds.len() > 1) {
            parts.push("±: standard deviation over seeds.\n".to_string());
        }
        parts.extend(self.notes.iter().map(|note| format!("{note}\n")));
        parts.join("\n")
    }

    /// A table a data set for a terminal: a row a system, or a column a system if that is narrower.
    pub fn text(&self) -> String {
        self.render(|words| words.narrow().text())
    }

    /// A table a data set as Markdown: a row a system, or a column a system if these are fewer.
    pub fn markdown(&self) -> String {
        self.render(|words| words.tall().markdown())
    }

    /// CSV (RFC 4180): a row a system, for each figure its mean and its deviation over seeds, empty where there is none.
    pub fn csv(&self) -> String {
        let name = |figure: Figure| {
            serde_json::to_value(figure)
                .ok()
                .and_then(|value| value.as_str().map(str::to_string))
                .unwrap_or_default()
        };
        let mut head: Vec<String> = ["data", "system", "epochs", "seeds", "runs"]
            .map(String::from)
            .to_vec();
        for figure in Figure::ALL {
            head.extend([name(figure), format!("{}-deviation", name(figure))]);
        }
        head.extend(["published-accuracy", "published-deviation"].map(String::from));
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        let joined = |parts: Vec<String>| parts.join(" ");
        let rows = self.groups.iter().map(|group| {
            let mut row = vec![
                group.data.clone(),
                group.system.clone(),
                group.epochs.to_string(),
                joined(group.seeds.iter().map(u64::to_string).collect()),
                joined(group.runs.clone()),
            ];
            for figure in Figure::ALL {
                let spread = group.spreads.get(&figure);
                row.push(number(spread.map(|spread| spread.mean)));
                row.push(number(spread.and_then(|spread| spread.deviation)));
            }
            let published = group.published.as_ref();
            row.push(number(published.map(|published| published.accuracy)));
            row.push(number(published.and_then(|published| published.deviation)));
            row
        });
        [head]
            .into_iter()
            .chain(rows)
            .map(|row| csv_line(&row))
            .collect()
    }
}

/// A line of CSV (RFC 4180), with its end.
///
/// ```
/// use protovae_explain::side_by_side::csv_line;
/// let cells = ["a", "b, \"c\""].map(String::from);
/// assert_eq!(csv_line(&cells), "a,\"b, \"\"c\"\"\"\r\n");
/// ```
pub fn csv_line(cells: &[String]) -> String {
    let cell = |cell: &String| match cell.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.clone(),
    };
    let cells: Vec<String> = cells.iter().map(cell).collect();
    cells.join(",") + "\r\n"
}
