//! The page around its sections.

use maud::{Markup, html};

use super::document::{Document, Section, document};
use super::figures::{facts, too_large};
use super::{Report, concepts, confusion, measured, predictions, prototypes, training};
use crate::error::Result;

/// How much of what takes room is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Neighbours of each kind a prototype.
    pub(super) neighbours: usize,
    /// Explained predictions.
    pub(super) predictions: usize,
    /// Prototypes of each class.
    pub(super) prototypes: usize,
}

impl Report {
    /// The largest page that mail and browsers take without complaint: 10 MB.
    pub const LARGEST: usize = 10_000_000;

    /// The page, of at most `limit` bytes. Pictures of neighbours, then of predictions, then prototypes are left out until it fits,
    /// and the page says so.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) if it does not fit even without them.
    pub fn to_html(&self, limit: usize) -> Result<String> {
        let most = self.predictions.len();
        let rooms = [
            (usize::MAX, most, usize::MAX),
            (3, most, usize::MAX),
            (1, most, usize::MAX),
            (1, most.div_ceil(2), usize::MAX),
            (0, most.div_ceil(4), usize::MAX),
            (0, 0, usize::MAX),
            (0, 0, 3),
            (0, 0, 1),
            (0, 0, 0),
        ];
        let mut smallest = 0;
        for (step, (neighbours, predictions, prototypes)) in rooms.into_iter().enumerate() {
            let room = Room {
                neighbours,
                predictions,
                prototypes,
            };
            let page = self.page(room, step > 0).into_string();
            if page.len() <= limit {
                return Ok(page);
            }
            smallest = page.len();
        }
        Err(too_large(smallest, limit))
    }

    fn sections(&self, room: Room) -> Vec<Section> {
        let mut sections = Vec::new();
        let mut add = |id, heading, content: Option<Markup>| {
            if let Some(content) = content {
                sections.push(Section {
                    id,
                    heading,
                    content,
                });
            }
        };
        add(
            "model",
            "The model",
            (!self.facts.is_empty()).then(|| facts(&self.facts)),
        );
        add(
            "training",
            "Training",
            self.training.as_ref().map(training::section),
        );
        add(
            "results",
            "Accuracy",
            self.results.as_ref().map(confusion::section),
        );
        add("concepts", "Concepts", concepts::section(self, room));
        add(
            "prototypes",
            prototypes::heading(self),
            prototypes::section(self, room),
        );
        add(
            "predictions",
            "Predictions, explained",
            predictions::section(self, room),
        );
        add(
            "measures",
            "What the explanations are worth",
            self.measures.as_ref().map(measured::section),
        );
        add(
            "strangeness",
            "Strange images",
            self.strangeness.as_ref().map(measured::strangeness),
        );
        add(
            "words",
            "Words on this page",
            Some(glossary(!self.concepts.is_empty())),
        );
        add(
            "provenance",
            "How this page was made",
            (!self.provenance.is_empty()).then(|| facts(&self.provenance)),
        );
        sections
    }

    fn page(&self, room: Room, shortened: bool) -> Markup {
        let mut warnings = self.warnings.clone();
        if shortened {
            warnings.push(
                "Some pictures are left out, because the page would have been too large with them."
                    .to_string(),
            );
        }
        document(&Document {
            title: &self.title,
            subtitle: &self.subtitle,
            headline: &self.headline,
            warnings: &warnings,
            sections: self.sections(room),
        })
    }
}

fn glossary(concepts: bool) -> Markup {
    const CONCEPT: (&str, &str) = (
        "Concept",
        "A number that the model computes from an image, which says how much there is of something that it has learned to look for. A class's score is the sum of the concepts, each times its weight for the class.",
    );
    const WORDS: [(&str, &str); 9] = [
        (
            "Prototype",
            "What stands for a way in which a class looks. In some models it is a point in the latent space, which the decoder turns into a picture; in others it is a training image, or a part of one.",
        ),
        (
            "Latent space",
            "The space of a few hundred numbers into which the encoder maps an image.",
        ),
        (
            "Similarity",
            "How near an image lies to a prototype: large for near, close to 0 for far. Classes are decided by similarities alone.",
        ),
        (
            "Share of the evidence",
            "What one prototype adds to the score of the predicted class, as a part of all that speaks for it.",
        ),
        (
            "Relevance",
            "How much a pixel speaks for the image's similarity to a prototype (red) or against it (blue). It is shared out from the similarity back through the layers of the encoder.",
        ),
        (
            "Counterfactual",
            "The decoded point at which the decision turns, on the straight way from the image to the nearest prototype of another class.",
        ),
        (
            "Average Drop",
            "How much of the score is lost when all but the most relevant half of the image is replaced by noise. Less is better.",
        ),
        (
            "Relevance ordering",
            "The most relevant pixels of an image are pasted into noise first. The sooner the score rises, the larger the area under its curve, and the better.",
        ),
        (
            "Random map",
            "Noise in place of an explanation. What is no better than this says nothing.",
        ),
    ];
    // Models have one or the other.
    let words = WORDS.into_iter().filter(|(word, _)| {
        !(concepts
            && [
                "Prototype",
                "Similarity",
                "Share of the evidence",
                "Counterfactual",
            ]
            .contains(word))
    });
    let words = concepts.then_some(CONCEPT).into_iter().chain(words);
    html! {
        dl .glossary { @for (word, meaning) in words { dt { (word) } dd { (meaning) } } }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{ClassPrototypes, Picture, PrototypeEntry};
    use super::*;

    #[test]
    fn prototypes_are_the_last_that_a_small_page_does_without() {
        let noise = image::RgbImage::from_fn(64, 64, |x, y| {
            image::Rgb([(x * y % 251) as u8, (x * 7 + y * 13) as u8, (x ^ y) as u8])
        });
        let entry = |name: usize| PrototypeEntry {
            name: format!("prototype {name}"),
            picture: Some(Picture::new(&noise, "a prototype", "").unwrap()),
            ..PrototypeEntry::default()
        };
        let report = Report {
            prototypes: vec![ClassPrototypes {
                class: "zero".to_string(),
                prototypes: (0..20).map(entry).collect(),
            }],
            ..Report::default()
        };
        let whole = report.to_html(Report::LARGEST).unwrap();
        assert!(whole.contains("prototype 19") && !whole.contains("no room"));
        let smaller = report.to_html(whole.len() / 2).unwrap();
        assert!(smaller.contains("prototype 2") && smaller.contains("17 more"));
        assert!(!smaller.contains("prototype 3") && smaller.contains("left out"));
        assert!(report.to_html(100).is_err());
    }
}
