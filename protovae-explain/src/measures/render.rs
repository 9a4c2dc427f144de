//! Comparisons as text: aligned columns, or Markdown.

use super::{Better, Comparison, Form, Noise, Quantity, Row, Table};
use crate::words::Words;

/// By how many standard errors of the difference a mean has to beat the random map to be marked.
const MARGIN: f64 = 2.0;

fn cell(row: &Row) -> String {
    let mark = match row.beats_random(MARGIN) {
        Some(true) => " *",
        _ => "",
    };
    let z = row.z.map_or(String::new(), |z| format!(" (z {z:+.1})"));
    let summary = row.summary;
    format!(
        "{:.4} ± {:.4}{z}{mark}",
        summary.mean, summary.standard_error
    )
}

impl Table {
    /// The quantities of one form: a row an explainer, a column a quantity.
    fn words(&self, form: Form) -> Option<Words> {
        let rows: Vec<&Row> = self.rows.iter().filter(|row| row.form == form).collect();
        let mut quantities: Vec<Quantity> = Vec::new();
        let mut explainers: Vec<&str> = Vec::new();
        for row in &rows {
            if !quantities.contains(&row.quantity) {
                quantities.push(row.quantity);
            }
            if !explainers.contains(&row.explainer.as_str()) {
                explainers.push(&row.explainer);
            }
        }
        let title = |quantity: &Quantity| {
            let arrow = match quantity.better() {
                Better::Lower => "↓",
                Better::Higher => "↑",
            };
            format!("{} {arrow}", quantity.title())
        };
        let head = [form.name().to_string()].into_iter();
        let line = |explainer: &&str| -> Vec<String> {
            let cells = quantities.iter().map(|quantity| {
                let row = self.row(explainer, *quantity, form);
                row.map_or("–".to_string(), cell)
            });
            [explainer.to_string()].into_iter().chain(cells).collect()
        };
        (!rows.is_empty()).then(|| Words {
            head: head.chain(quantities.iter().map(title)).collect(),
            rows: explainers.iter().map(line).collect(),
        })
    }

    /// Markdown: a table a form, an explainer a row, mean ± standard error (z of the paired difference to the random map), and
    /// a star where it beats the random map by more than two standard errors.
    pub fn markdown(&self) -> String {
        let tables: Vec<String> = Form::ALL
            .into_iter()
            .filter_map(|form| Some(self.words(form)?.markdown()))
            .collect();
        tables.join("\n")
    }
}

impl Comparison {
    /// All tables with words between them, as Markdown.
    pub fn markdown(&self) -> String {
        self.render(Words::markdown)
    }

    /// All tables with words between them, in columns for a terminal.
    pub fn text(&self) -> String {
        self.render(Words::text)
    }

    fn render(&self, draw: fn(&Words) -> String) -> String {
        let mut parts = Vec::new();
        for form in Form::ALL {
            parts.extend(self.table.words(form).map(|words| draw(&words)));
        }
        if !parts.is_empty() {
            parts.push(format!(
                "{} images; mean ± standard error (z: the paired difference to the random map over its standard error); \
                 ↓ less is better, ↑ more is better; * better than the random map by more than two standard errors.\n",
                self.images
            ));
        }
        if !parts.is_empty() {
            let noise = match self.settings.masking.noise {
                Noise::Uniform => "noise uniform over the range of pixels",
                Noise::Shuffled => "noise made of the pixels of the measured images",
            };
            let share = 100.0 * self.settings.masking.share;
            parts.push(format!(
                "Masking keeps {share:.0} % of the pixels; what is taken away becomes {noise}.\n"
            ));
        }
        let changed: Vec<&Row> = self
            .table
            .rows
            .iter()
            .filter(|row| row.quantity == Quantity::MapChange)
            .collect();
        if let Some(row) = changed.first() {
            let robustness = &self.settings.robustness;
            parts.push(format!(
                "Changes: the largest of {} draws of noise up to {}, on the first {} images.\n",
                robustness.draws, robustness.epsilon, row.summary.images
            ));
        }
        if let Some(change) = self.similarity_change {
            parts.push(format!(
                "Change of the similarities under the same noise: {:.4} ± {:.4}.\n",
                change.mean, change.standard_error
            ));
        }
        parts.extend(self.attacks.is_some().then(|| draw(&self.attack_words())));
        parts.extend(self.diversity_text());
        parts.extend(self.notes.iter().map(|note| format!("note: {note}\n")));
        parts.join("\n")
    }

    fn attack_words(&self) -> Words {
        let percent = |accuracy: super::Summary| {
            format!(
                "{:.1} ± {:.1} %",
                100.0 * accuracy.mean,
                100.0 * accuracy.standard_error
            )
        };
        let lines = self.attacks.iter().flatten().map(|attacked| {
            vec![
                format!("{}", attacked.epsilon),
                percent(attacked.fgsm),
                percent(attacked.pgd),
                percent(attacked.margin),
            ]
        });
        Words {
            head: [
                "epsilon",
                "accuracy, FGSM",
                "accuracy, PGD",
                "accuracy, PGD on the margin",
            ]
            .map(String::from)
            .to_vec(),
            rows: lines.collect(),
        }
    }

    fn diversity_text(&self) -> Option<String> {
        let found = self.diversity.as_ref()?;
        let entropy = |entropy: Option<f64>| match entropy {
            Some(entropy) => format!("{entropy:.3}"),
            None => "–".to_string(),
        };
        Some(format!(
            "Prototypes: mean distance within a class {:.2}, between classes {:.2}; entropy of usage {}, of similarities {}; \
             {:.1} % unused, {:.1} % duplicates.\n",
            found.mean_distance,
            found.class_distance,
            entropy(found.usage_entropy),
            entropy(found.similarity_entropy),
            100.0 * found.dead,
            100.0 * found.duplicates,
        ))
    }
}
