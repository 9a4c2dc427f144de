//! How the model was trained.

use maud::{Markup, html};

use super::Training;
use super::figures::facts;

pub(super) fn section(training: &Training) -> Markup {
    html! {
        (facts(&training.facts))
        div .charts { @for chart in &training.charts { (chart.figure()) } }
        @if !training.configuration.is_empty() {
            details {
                summary { "The whole configuration" }
                pre tabindex="0" { code { (training.configuration) } }
            }
        }
    }
}
