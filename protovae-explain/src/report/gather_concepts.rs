//! Concepts for a report.

use super::gather::{Sources, pictures};
use super::{ConceptEntry, ConceptPart, Picture};
use crate::error::Result;
use crate::views::{ConceptEvidence, ConceptImage};

/// Images of each kind that a concept is shown with.
const IMAGES: usize = 6;

/// Classes that a concept is said to speak for.
const CLASSES: usize = 3;

/// Concepts that a prediction is explained by.
const PARTS: usize = 6;

pub(super) fn name(concept: usize) -> String {
    format!("concept {concept}")
}

pub(super) fn concepts(sources: &Sources) -> Result<Vec<ConceptEntry>> {
    let Some(table) = sources.concepts else {
        return Ok(Vec::new());
    };
    let shown = |found: &[ConceptImage]| -> Result<Vec<Picture>> {
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<usize> = found.iter().map(|each| each.image).collect();
        let texts = found.iter().map(|each| {
            let class = sources.class(each.label);
            let alt = format!("Test image of {class}, activation {:.2}", each.activation);
            (alt, format!("{class} {:.2}", each.activation))
        });
        pictures((sources.test.images)(&rows)?, texts)
    };
    let silent = table.never_active();
    (0..table.concepts)
        .map(|concept| {
            let least = match table.is_signed(concept) {
                true => table.least(concept, IMAGES),
                false => Vec::new(),
            };
            let usage = match silent.contains(&concept) {
                true => format!("Active in none of the {}.", sources.test.name),
                false => format!(
                    "Active in {:.0} of the {} {}.",
                    table.activity(concept) * table.len() as f64,
                    table.len(),
                    sources.test.name
                ),
            };
            let speaks_for = table.speaks_for(concept, CLASSES).into_iter();
            // What would be shown as 0.00 is left out.
            let speaks_for = speaks_for.filter(|each| each.contribution >= 0.005);
            Ok(ConceptEntry {
                name: name(concept),
                usage,
                most: shown(&table.most(concept, IMAGES))?,
                least: shown(&least)?,
                speaks_for: speaks_for
                    .map(|each| (sources.class(each.class), f64::from(each.contribution)))
                    .collect(),
            })
        })
        .collect()
}

/// The concepts that count most in a prediction, for or against, those that speak for it first.
pub(super) fn parts(evidence: &ConceptEvidence) -> Vec<ConceptPart> {
    let mut chosen: Vec<_> = evidence.contributions.iter().collect();
    chosen.sort_by(|a, b| b.contribution.abs().total_cmp(&a.contribution.abs()));
    chosen.truncate(PARTS);
    chosen.sort_by(|a, b| b.contribution.total_cmp(&a.contribution));
    chosen
        .into_iter()
        .filter(|each| each.contribution != 0.0)
        .map(|each| ConceptPart {
            name: name(each.concept),
            amount: f64::from(each.activation),
            weight: f64::from(each.weight),
            contribution: f64::from(each.contribution),
            share: f64::from(each.share),
        })
        .collect()
}
