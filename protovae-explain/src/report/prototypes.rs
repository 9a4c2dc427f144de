//! The prototypes, class by class.

use maud::{Markup, html};

use super::page::Room;
use super::{PrototypeEntry, Report};

/// Pixels that a prototype is shown wide, and a neighbour.
const PROTOTYPE: u32 = 112;
const NEIGHBOUR: u32 = 48;

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
    Some(html! {
        @if !report.prototypes.is_empty() {
            p { "What the model compares images with: its prototypes, decoded. Beside each, the training images that lie nearest to it, and of its own class those that lie farthest." }
        }
        @for class in &report.prototypes {
            h3 { (class.class) }
            div .prototypes { @for prototype in &class.prototypes { (entry(prototype, room)) } }
        }
        @if let Some(map) = &report.latent_map {
            @if !report.prototypes.is_empty() { h3 { "Where they lie" } }
            (map.figure())
        }
    })
}

fn entry(prototype: &PrototypeEntry, room: Room) -> Markup {
    let kinds = [
        ("nearest", &prototype.nearest),
        ("farthest of its class", &prototype.farthest),
    ];
    html! {
        article .prototype {
            h4 { (prototype.name) }
            @if let Some(picture) = &prototype.picture { (picture.figure(PROTOTYPE)) }
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
