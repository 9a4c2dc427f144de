//! Measures of explanations, and of strangeness.

use maud::{Markup, html};

use super::figures::{number, scrolling};
use super::{MeasureTable, Measures, Strangeness};

pub(super) fn section(measures: &Measures) -> Markup {
    html! {
        p { "Measured on " (measures.images) ". Beside each measure stands by how many standard errors it is better than a random map; below 2 there is no telling them apart." }
        @for table in &measures.tables { (one(table)) }
        @if !measures.charts.is_empty() {
            div .charts { @for chart in &measures.charts { (chart.figure()) } }
        }
        @if !measures.notes.is_empty() { ul { @for note in &measures.notes { li { (note) } } } }
    }
}

fn one(table: &MeasureTable) -> Markup {
    let rows = html! {
        table {
            caption { strong { (table.name) } " " (table.meaning) }
            thead { tr { th scope="col" { "explainer" } th scope="col" { "mean" } th scope="col" { "standard error" } th scope="col" { "better than random by" } } }
            tbody {
                @for row in &table.rows {
                    tr {
                        th scope="row" { (row.explainer) }
                        td { (number(row.mean)) }
                        td { "± " (number(row.standard_error)) }
                        td { @match row.better_by {
                            Some(better) if better.is_finite() => { (format!("{better:+.1}")) " s.e." },
                            _ => "–",
                        } }
                    }
                }
            }
        }
    };
    scrolling(&table.name, rows)
}

pub(super) fn strangeness(strangeness: &Strangeness) -> Markup {
    html! {
        @for sentence in &strangeness.words { p { (sentence) } }
        @if let Some(chart) = &strangeness.chart { (chart.figure()) }
        @if !strangeness.strangest.is_empty() {
            h3 { "The strangest held-out images" }
            div .row { @for picture in &strangeness.strangest { (picture.figure(72)) } }
        }
    }
}
