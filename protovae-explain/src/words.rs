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

    pub(crate) fn text(&self) -> String {
        let lines = self.padded().into_iter();
        let lines = lines.map(|cells| cells.join("  ").trim_end().to_string() + "\n");
        lines.collect()
    }

    pub(crate) fn markdown(&self) -> String {
        let mut lines = self.padded().into_iter();
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = lines.next().map(line).unwrap_or_default();
        let rule = |(column, width): (usize, &usize)| match column {
            0 => "-".repeat((*width).max(3)),
            _ => "-".repeat(width.saturating_sub(1).max(2)) + ":",
        };
        text += &line(self.widths().iter().enumerate().map(rule).collect());
        text.extend(lines.map(line));
        text
    }
}
