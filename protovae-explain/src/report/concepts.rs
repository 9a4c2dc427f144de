//! The concepts, one by one, and their part in single predictions.

use maud::{Markup, html};

use super::figures::{percent, scrolling};
use super::page::Room;
use super::{ConceptEntry, ConceptPart, Report};

/// Pixels that an image is shown wide.
const IMAGE: u32 = 48;

pub(super) fn section(report: &Report, room: Room) -> Option<Markup> {
    if report.concepts.is_empty() {
        return None;
    }
    // One scale for all, so that bars of different concepts can be compared.
    let spoken = report.concepts.iter().flat_map(|each| &each.speaks_for);
    let largest = spoken.fold(0f64, |most, (_, value)| most.max(value.abs()));
    Some(html! {
        p { "What the model looks for in images: its concepts, as numbers that it multiplies with weights and adds up to the score of a class. Each stands here with the test images that have most of it, and the classes that it speaks for: what it adds to their score, on average over the images that are taken for them." }
        div .prototypes .concepts { @for concept in &report.concepts { (entry(concept, largest, room)) } }
    })
}

fn entry(concept: &ConceptEntry, largest: f64, room: Room) -> Markup {
    let kinds = [("most", &concept.most), ("least", &concept.least)];
    html! {
        article .prototype {
            h4 { (concept.name) }
            p .small { (concept.usage) }
            @for (kind, pictures) in kinds {
                // Without its images a concept would say nothing: one is kept however little room there is.
                @if !pictures.is_empty() {
                    p .kind { (kind) " of it" }
                    div .row { @for picture in pictures.iter().take(room.neighbours.max(1)) { (picture.figure(IMAGE)) } }
                }
            }
            @if !concept.speaks_for.is_empty() {
                p .kind { "speaks for" }
                table .bars {
                    tbody {
                        @for (class, value) in &concept.speaks_for {
                            tr { th scope="row" { (class) } td { (format!("{value:+.2}")) } td { (bar(*value, largest, 0.0)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The parts of concepts in a prediction, as a table with bars.
pub(super) fn parts(parts: &[ConceptPart]) -> Markup {
    let largest = parts
        .iter()
        .fold(0f64, |most, part| most.max(part.contribution.abs()));
    let table = html! {
        table .bars {
            caption { "What each concept adds to the score of the class: its amount in the image times its weight." }
            thead { tr {
                th scope="col" { "concept" } th scope="col" { "amount" } th scope="col" { "weight" } th scope="col" { "adds" }
                th scope="col" { "" } th scope="col" { "share" }
            } }
            tbody {
                @for part in parts {
                    tr {
                        th scope="row" { (part.name) }
                        td { (format!("{:.2}", part.amount)) }
                        td { (format!("{:+.2}", part.weight)) }
                        td { (format!("{:+.2}", part.contribution)) }
                        td { (bar(part.contribution, largest, 50.0)) }
                        td { @if part.share > 0.0 { (percent(part.share)) } }
                    }
                }
            }
        }
    };
    scrolling("Concepts of this prediction", table)
}

/// A bar to the right of `origin` (0 to 100) for what speaks for a class, to the left for what speaks against it.
fn bar(value: f64, largest: f64, origin: f64) -> Markup {
    let share = if largest > 0.0 && value.is_finite() {
        (value.abs() / largest).min(1.0)
    } else {
        0.0
    };
    let (x, width, colour) = match value < 0.0 {
        true => (origin * (1.0 - share), origin * share, "against"),
        false => (origin, (100.0 - origin) * share, "for"),
    };
    html! {
        svg .bar viewBox="0 0 100 10" width="100" height="10" aria-hidden="true" {
            rect .(colour) x=(format!("{x:.1}")) y="0" width=(format!("{width:.1}")) height="10" {}
        }
    }
}
