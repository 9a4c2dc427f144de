//! Tables of words: aligned columns, or Markdown.

/// A grid of words with a head.
pub(crate) struct Words {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Words {
    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.head]);
            let lengths = cells.map(|row| row.get(column).map_or(0, |cell| cell.chars().count()));
            lengths.max().unwrap_or(0)
        };
        (0..self.head.len()).map(width).collect()
    }

    /// The same with rows for columns; the corner stays.
    pub(crate) fn turned(&self) -> Self {
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let mut columns = (0..self.head.len()).map(|column| -> Vec<String> {
            let rows = [&self.head].into_iter().chain(&self.rows);
            rows.map(|row| cell(row, column)).collect()
        });
        Self {
            head: columns.next().unwrap_or_default(),
            rows: columns.collect(),
        }
    }

    /// As it is or turned, whichever is narrower.
    pub(crate) fn narrow(self) -> Self {
        let turned = self.turned();
        let width = |words: &Self| words.widths().iter().map(|width| width + 2).sum::<usize>();
        match width(&turned) < width(&self) {
            true => turned,
            false => self,
        }
    }

    /// As it is or turned, whichever has fewer columns.
    pub(crate) fn tall(self) -> Self {
        match self.rows.len() + 1 < self.head.len() {
            true => self.turned(),
            false => self,
        }
    }

    /// Rows of cells padded to the width of their column, the first to the left and the others to the right.
    fn padded(&self) -> Vec<Vec<String>> {
        let widths = self.widths();
        let pad = |row: &Vec<String>| -> Vec<String> {
            let cells = row.iter().zip(&widths).enumerate();
            cells
                .map(|(column, (cell, width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect()
        };
        [&self.head]
            .into_iter()
            .chain(&self.rows)
            .map(pad)
            .collect()
    }

    /// With everything in the cells that would end a cell or a row written otherwise.
    fn escaped(&self) -> Self {
        let cell = |cell: &String| cell.replace('|', "\\|").replace(['\n', '\r'], " ");
        let row = |row: &Vec<String>| row.iter().map(cell).collect();
        Self {
            head: row(&self.head),
            rows: self.rows.iter().map(row).collect(),
        }
    }

    pub(crate) fn text(&self) -> String {
        let lines = self.padded().into_iter();
        let lines = lines.map(|cells| cells.join("  ").trim_end().to_string() + "\n");
        lines.collect()
    }

    pub(crate) fn markdown(&self) -> String {
        let escaped = self.escaped();
        let mut lines = escaped.padded().into_iter();
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = lines.next().map(line).unwrap_or_default();
        let rule = |(column, width): (usize, &usize)| match column {
            0 => "-".repeat((*width).max(3)),
            _ => "-".repeat(width.saturating_sub(1).max(2)) + ":",
        };
        text += &line(escaped.widths().iter().enumerate().map(rule).collect());
        text.extend(lines.map(line));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(rows: &[&[&str]]) -> Words {
        let row = |row: &&[&str]| row.iter().map(ToString::to_string).collect();
        let mut rows: Vec<Vec<String>> = rows.iter().map(row).collect();
        Words {
            head: rows.remove(0),
            rows,
        }
    }

    #[test]
    fn tables_are_turned_where_that_makes_them_narrower() {
        let wide = words(&[&["set", "a", "b", "c"], &["run", "1", "2", "3"]]);
        let turned = "set  run\na      1\nb      2\nc      3\n";
        assert_eq!(wide.turned().text(), turned);
        assert_eq!(wide.turned().turned().text(), wide.text());
        assert_eq!(wide.tall().text(), turned);
        let unruly = words(&[&["cats|dogs", "a\nb"], &["run", "1"]]);
        assert_eq!(
            unruly.markdown().lines().next(),
            Some("| cats\\|dogs | a b |")
        );
        assert!(unruly.text().starts_with("cats|dogs"));
        let long = words(&[
            &["set", "a", "b"],
            &["a long name of a run", "1", "2"],
            &["another long name of a run", "3", "4"],
        ]);
        let kept = long.text();
        assert_eq!(long.narrow().text(), kept);
        let square = words(&[&["set", "a"], &["run", "1"]]);
        assert_eq!(square.tall().head, ["set", "a"]);
    }
}
