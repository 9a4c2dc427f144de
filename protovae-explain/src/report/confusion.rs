//! How often the model is right, and what it takes for what.

use maud::{Markup, html};

use super::Results;
use super::figures::{number, percent, scrolling};

/// More classes than this do not fit a table; the most confused pairs are listed then.
const MOST_CLASSES: usize = 20;

/// Confused pairs that are listed.
const PAIRS: usize = 12;

pub(super) fn section(results: &Results) -> Markup {
    html! {
        p { "Of " (results.images) ", " strong { (percent(results.accuracy)) } " are taken for what they are." }
        @if results.classes.len() <= MOST_CLASSES { (matrix(results)) }
        (pairs(results))
        @if !results.terms.is_empty() {
            details {
                summary { "Each term of the loss" }
                table {
                    caption { "Loss on the same images" }
                    thead { tr { th scope="col" { "term" } th scope="col" { "value" } } }
                    tbody {
                        @for (name, value) in &results.terms { tr { th scope="row" { (name) } td { (number(*value)) } } }
                    }
                }
            }
        }
    }
}

fn matrix(results: &Results) -> Markup {
    let name = |class: usize| {
        results
            .classes
            .get(class)
            .cloned()
            .unwrap_or_else(|| class.to_string())
    };
    let table = html! {
        table .confusion {
            caption { "Rows: what images are. Columns: what they are taken for. The last column: the share of the class that is right." }
            thead {
                tr {
                    td {}
                    @for class in 0..results.confusion.len() { th scope="col" { (name(class)) } }
                    th scope="col" { "right" }
                }
            }
            tbody {
                @for (class, row) in results.confusion.iter().enumerate() {
                    @let total: u64 = row.iter().sum();
                    tr {
                        th scope="row" { (name(class)) }
                        @for (predicted, count) in row.iter().enumerate() {
                            td .{ (tint(*count, total, class == predicted)) } { @if *count > 0 { (count) } @else { span .zero { "0" } } }
                        }
                        td { (percent(share(row.get(class).copied().unwrap_or(0), total))) }
                    }
                }
            }
        }
    };
    scrolling("Confusion matrix", table)
}

fn share(part: u64, total: u64) -> f64 {
    if total == 0 {
        f64::NAN
    } else {
        part as f64 / total as f64
    }
}

/// The class of a cell's colour: `r` for right or `w` for wrong, and a step from 0 to 4.
fn tint(count: u64, total: u64, right: bool) -> String {
    let share = if total == 0 {
        0.0
    } else {
        count as f64 / total as f64
    };
    let step = if right {
        match share {
            share if share >= 0.95 => 4,
            share if share >= 0.85 => 3,
            share if share >= 0.6 => 2,
            share if share > 0.0 => 1,
            _ => 0,
        }
    } else {
        match share {
            share if share >= 0.2 => 4,
            share if share >= 0.08 => 3,
            share if share >= 0.03 => 2,
            share if share > 0.0 => 1,
            _ => 0,
        }
    };
    format!("{}{step}", if right { 'r' } else { 'w' })
}

fn pairs(results: &Results) -> Markup {
    let name = |class: usize| {
        results
            .classes
            .get(class)
            .cloned()
            .unwrap_or_else(|| class.to_string())
    };
    let mut confused: Vec<(u64, u64, usize, usize)> = Vec::new();
    for (class, row) in results.confusion.iter().enumerate() {
        let total: u64 = row.iter().sum();
        let wrong = row
            .iter()
            .enumerate()
            .filter(|(predicted, count)| *predicted != class && **count > 0);
        confused.extend(wrong.map(|(predicted, count)| (*count, total, class, predicted)));
    }
    confused.sort_by(|a, b| b.0.cmp(&a.0).then((a.2, a.3).cmp(&(b.2, b.3))));
    confused.truncate(PAIRS);
    html! {
        @if confused.is_empty() {
            p { "No image is taken for anything else." }
        } @else {
            details open[results.classes.len() > MOST_CLASSES] {
                summary { "What is confused most" }
                ol {
                    @for (count, total, class, predicted) in confused {
                        li { strong { (name(class)) } " taken for " strong { (name(predicted)) } ": " (count) " of " (total) " (" (percent(share(count, total))) ")" }
                    }
                }
            }
        }
    }
}
