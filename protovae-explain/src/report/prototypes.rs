//! The prototypes, class by class.

use maud::{Markup, html};

use super::page::Room;
use super::{PrototypeEntry, Report};

/// Pixels that a prototype is shown wide, and a neighbour.
const PROTOTYPE: u32 = 112;
const NEIGHBOUR: u32 = 48;

/// Pixels of the longer side of a part that is shown beside its image.
const PART: u32 = 60;

/// What the section is called; without prototypes it shows the latent space alone.
pub(super) fn heading(report: &Report) -> &'static str {
    match report.prototypes.is_empty() {
        true => "The latent space",
        false => "Prototypes",
    }
}

pub(super) fn section(report: &Report, room: Room) -> Option<Markup> {
    if report.prototypes.is_empty() && report.latent_map.is_none() {
        return None;
    }
    let all = || report.prototypes.iter().flat_map(|class| &class.prototypes);
    let what = if all().any(|entry| entry.part.is_some()) {
        "What the model compares images with: parts of training images, which boxes show, each alone beside its image. Below each, the training images that are most similar to it anywhere, and of its own class those that are least."
    } else if all().any(|entry| !entry.origin.is_empty()) {
        "What the model compares images with: training images. Beside each, the training images that lie nearest to it, and of its own class those that lie farthest."
    } else {
        "What the model compares images with: its prototypes, decoded. Beside each, the training images that lie nearest to it, and of its own class those that lie farthest."
    };
    Some(html! {
        @if !report.prototypes.is_empty() { p { (what) } }
        @for class in &report.prototypes {
            h3 { (class.class) }
            div .prototypes { @for prototype in class.prototypes.iter().take(room.prototypes) { (entry(prototype, room)) } }
            @if class.prototypes.len() > room.prototypes {
                p .small { "and " (class.prototypes.len() - room.prototypes) " more, for which this page has no room" }
            }
        }
        @if let Some(map) = &report.latent_map {
            @if !report.prototypes.is_empty() { h3 { "Where they lie" } }
            (map.figure())
        }
    })
}

/// How wide a part is shown, so that its longer side fits beside the whole.
fn part_side(part: &super::Picture) -> u32 {
    let (width, height) = (u64::from(part.width.max(1)), u64::from(part.height.max(1)));
    let side = u64::from(PART) * width / width.max(height);
    (side as u32).max(1)
}

fn entry(prototype: &PrototypeEntry, room: Room) -> Markup {
    let [nearest, farthest] = match &prototype.part {
        Some(_) => ["most similar", "least similar of its class"],
        None => ["nearest", "farthest of its class"],
    };
    let kinds = [
        (nearest, &prototype.nearest),
        (farthest, &prototype.farthest),
    ];
    html! {
        article .prototype {
            h4 { (prototype.name) }
            @match (&prototype.picture, &prototype.part) {
                (Some(picture), Some(part)) => div .row { (picture.figure(PROTOTYPE)) (part.figure(part_side(part))) },
                (Some(picture), None) => (picture.figure(PROTOTYPE)),
                _ => {}
            }
            @if !prototype.origin.is_empty() { p .small { (prototype.origin) } }
            p .small { (prototype.usage) }
            @for (kind, pictures) in kinds {
                @if !pictures.is_empty() && room.neighbours > 0 {
                    p .kind { (kind) }
                    div .row { @for picture in pictures.iter().take(room.neighbours) { (picture.figure(NEIGHBOUR)) } }
                }
            }
        }
    }
}
