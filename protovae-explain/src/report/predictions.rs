//! Single predictions with their reasons.

use maud::{Markup, html};

use super::concepts::parts;
use super::figures::percent;
use super::page::Room;
use super::{EvidenceEntry, ExplainedPrediction, Report};

/// Pixels that a picture is shown wide, and a step of a path.
const PICTURE: u32 = 112;
const STEP: u32 = 64;

pub(super) fn section(report: &Report, room: Room) -> Option<Markup> {
    if report.predictions.is_empty() || room.predictions == 0 {
        return None;
    }
    let shown = fairly(&report.predictions, room.predictions);
    let with = |correct: Option<bool>| -> Vec<&ExplainedPrediction> {
        shown
            .iter()
            .copied()
            .filter(|each| each.correct == correct)
            .collect()
    };
    let groups = [
        ("Wrong", with(Some(false))),
        ("Right", with(Some(true))),
        ("Images without a label", with(None)),
    ];
    Some(html! {
        @if shown.iter().any(|each| each.evidence.iter().any(|entry| entry.most_similar.is_some())) {
            p { "Each prototype is compared with every patch of the image. Boxes show what the prototype was taken from, and where the image is most similar to it; the similarity there times the weight of the prototype is what it adds to the score of the class." }
        }
        @if report.concepts.is_empty() {
            p { "Red pixels speak for the similarity to the prototype, blue ones against it; each map has its own scale." }
        } @else {
            p { "Red pixels speak for the score of the class, blue ones against it; each map has its own scale." }
        }
        @for (name, predictions) in groups {
            @if !predictions.is_empty() {
                h3 { (name) }
                @for prediction in predictions { (explained(prediction)) }
            }
        }
    })
}

/// The first `count`, wrong and right ones in turn.
fn fairly(predictions: &[ExplainedPrediction], count: usize) -> Vec<&ExplainedPrediction> {
    let (wrong, others): (Vec<_>, Vec<_>) = predictions
        .iter()
        .partition(|each| each.correct == Some(false));
    let mut chosen = Vec::with_capacity(count);
    let (mut wrong, mut others) = (wrong.into_iter(), others.into_iter());
    while chosen.len() < count {
        let before = chosen.len();
        chosen.extend(wrong.next());
        if chosen.len() < count {
            chosen.extend(others.next());
        }
        if chosen.len() == before {
            break;
        }
    }
    chosen
}

fn explained(prediction: &ExplainedPrediction) -> Markup {
    html! {
        article .prediction {
            h4 { (prediction.heading) }
            div .about {
                div .row {
                    @if let Some(image) = &prediction.image { (image.figure(PICTURE)) }
                    @if let Some(image) = &prediction.reconstruction { (image.figure(PICTURE)) }
                }
                div .words { @for sentence in &prediction.words { p { (sentence) } } }
            }
            @if !prediction.evidence.is_empty() {
                div .evidence { @for entry in &prediction.evidence { (evidence(entry)) } }
            }
            @if !prediction.concepts.is_empty() { (parts(&prediction.concepts)) }
            @if !prediction.path.is_empty() {
                p .kind { (prediction.path_words) }
                div .row .path { @for step in &prediction.path { (step.figure(STEP)) } }
            }
        }
    }
}

fn evidence(entry: &EvidenceEntry) -> Markup {
    html! {
        section .reason {
            h5 { (entry.name) }
            @if entry.share.is_finite() {
                p .small { (percent(entry.share)) " of the evidence: similarity " (format!("{:.2} × weight {:.2} = {:.2} points", entry.similarity, entry.weight, entry.similarity * entry.weight)) }
            }
            div .row {
                @for picture in [&entry.prototype, &entry.most_similar, &entry.relevance, &entry.overlay].into_iter().flatten() {
                    (picture.figure(88))
                }
            }
        }
    }
}
