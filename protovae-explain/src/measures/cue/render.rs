//! What a cue does, as text: aligned columns, or Markdown.

use super::super::Summary;
use super::{CueEffect, CueFigures};
use crate::words::Words;

fn percent(share: Summary) -> String {
    match share.images {
        0 => "–".to_string(),
        _ => format!(
            "{:.1} ± {:.1} %",
            100.0 * share.mean,
            100.0 * share.standard_error
        ),
    }
}

impl CueFigures {
    /// Tables with words between them, as Markdown; classes by their names.
    #[must_use]
    pub fn markdown(&self, class_names: &[String]) -> String {
        self.render(class_names, Words::markdown)
    }

    /// Tables with words between them, in columns for a terminal; classes by their names.
    #[must_use]
    pub fn text(&self, class_names: &[String]) -> String {
        self.render(class_names, Words::text)
    }

    /// Classes and prototypes as users name them: `3:0`.
    fn prototype(&self, row: usize) -> String {
        let per_class = self
            .shown
            .iter()
            .flat_map(|shown| &shown.classes)
            .map(|class| class.scores.len())
            .next()
            .unwrap_or(1)
            .max(1);
        format!("{}:{}", row / per_class, row % per_class)
    }

    fn render(&self, class_names: &[String], draw: fn(&Words) -> String) -> String {
        let name = |class: usize| class_names.get(class).map_or("", String::as_str);
        let own = name(self.cue.class);
        let mut parts = vec![draw(&self.effects(own))];
        parts.push(format!(
            "{} images, {} of class {own}; ± one standard error.\n",
            self.effect.accuracy.images, self.effect.class_accuracy.images
        ));
        if let Some(without) = &self.without_shown {
            let removed: Vec<String> = without
                .removed
                .iter()
                .map(|row| self.prototype(*row))
                .collect();
            let mut said = format!(
                "Removed, because they show the cue: {}.",
                removed.join(", ")
            );
            if let Some(left) = without.left {
                said.push_str(&format!(
                    " All prototypes of class {own} that count show it; {}, which shows it least, was left.",
                    self.prototype(left)
                ));
            }
            parts.push(said + "\n");
        }
        if let Some(shown) = &self.shown {
            let lines = shown.classes.iter().enumerate().map(|(class, found)| {
                let scores = found.scores.iter().map(|score| match score {
                    Some(score) => format!("{score:.2}"),
                    None => "–".to_string(),
                });
                vec![
                    name(class).to_string(),
                    format!("{} of {}", found.count, found.scores.len()),
                    scores.collect::<Vec<_>>().join(" "),
                    found
                        .contrast
                        .map_or("–".to_string(), |far| format!("{far:.2}")),
                ]
            });
            parts.push(draw(&Words {
                head: [
                    "class",
                    "show the cue",
                    "scores of its prototypes",
                    "contrast",
                ]
                .map(str::to_string)
                .to_vec(),
                rows: lines.collect(),
            }));
            parts.push(format!(
                "A score of 1 is the cue, 0 the class's mean image without it; above {} a prototype shows the cue. \
                 Contrast: how far the cue is from that mean, at most 2.\n",
                shown.threshold
            ));
        }
        if let Some(found) = &self.reconstructed {
            parts.push(format!(
                "Reconstructions of class {own} score {:.2} without the cue and {:.2} with it.\n",
                found.without_cue.mean, found.with_cue.mean
            ));
        }
        if let Some(found) = &self.relevance {
            parts.push(format!(
                "Relevance by {} in the place of the cue, of {} images: {} without it, {} with it; it covers {:.1} % of the pixels.\n",
                found.explainer,
                found.with_cue.images,
                percent(found.without_cue),
                percent(found.with_cue),
                100.0 * found.area
            ));
        }
        parts.extend(self.notes.iter().map(|note| format!("note: {note}\n")));
        parts.join("\n")
    }

    /// A row a share; a column without the cue, one with it, and two more for the model without prototypes that show it.
    fn effects(&self, own: &str) -> Words {
        let effects: Vec<&CueEffect> = [&self.effect]
            .into_iter()
            .chain(self.without_shown.iter().map(|without| &without.effect))
            .collect();
        let row = |title: String, pick: fn(&CueEffect) -> [Summary; 2]| {
            let cells = effects.iter().flat_map(|effect| pick(effect)).map(percent);
            [title].into_iter().chain(cells).collect()
        };
        let head = [
            "",
            "clean",
            "with the cue",
            "clean, removed",
            "with the cue, removed",
        ];
        Words {
            head: head
                .into_iter()
                .take(1 + 2 * effects.len())
                .map(str::to_string)
                .collect(),
            rows: vec![
                row("accuracy".to_string(), |effect| {
                    [effect.accuracy, effect.accuracy_with_cue]
                }),
                row(format!("accuracy on class {own}"), |effect| {
                    [effect.class_accuracy, effect.class_accuracy_with_cue]
                }),
                row(format!("others taken for {own}"), |effect| {
                    [effect.others_taken, effect.others_taken_with_cue]
                }),
            ],
        }
    }
}
