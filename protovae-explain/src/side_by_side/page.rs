//! Runs side by side on one HTML page, with prototypes in rows.

use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::render::heading;
use super::{Figure, SideBySide};
use crate::report::Picture;
use crate::report::document::{Document, Section, document};
use crate::report::figures::scrolling;

/// Pixels that a prototype is shown wide.
const PROTOTYPE: u32 = 64;

/// What a system takes as typical of a class: a row of the page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrototypeRow {
    /// The data set.
    pub data: String,
    /// The class; empty for what belongs to no class, such as concepts.
    pub class: String,
    /// The system.
    pub system: String,
    /// Its prototypes.
    pub pictures: Vec<Picture>,
}

impl SideBySide {
    /// The page.
    pub fn to_html(&self, rows: &[PrototypeRow]) -> String {
        let mut sections = vec![Section {
            id: "figures",
            heading: "Figures",
            content: html! {
                @for data in self.data() { (self.table(data)) }
                details {
                    summary { "What the columns say" }
                    dl .glossary {
                        @for figure in self.all_columns() { dt { (figure.title()) } dd { (figure.meaning()) } }
                    }
                }
            },
        }];
        if !rows.is_empty() {
            sections.push(Section {
                id: "prototypes",
                heading: "What each system takes as typical",
                content: prototypes(rows),
            });
        }
        sections.push(Section {
            id: "runs",
            heading: "Runs",
            content: self.run_list(),
        });
        let systems = self.groups.len();
        let subtitle = format!(
            "{} runs of {systems} {}, measured in the same way on the same images.",
            self.runs.len(),
            if systems == 1 { "system" } else { "systems" },
        );
        document(&Document {
            title: "Systems side by side",
            subtitle: &subtitle,
            headline: &[],
            warnings: &[],
            sections,
        })
        .into_string()
    }

    fn all_columns(&self) -> Vec<Figure> {
        let has = |figure: &Figure| {
            self.groups
                .iter()
                .any(|group| group.spreads.contains_key(figure))
        };
        Figure::ALL.into_iter().filter(has).collect()
    }

    fn table(&self, data: &str) -> Markup {
        let columns = self.columns(data);
        let published = self.has_published(data);
        let table = html! {
            table {
                caption { (data) }
                thead {
                    tr {
                        th scope="col" { "system" }
                        @for figure in &columns {
                            th scope="col" { (heading(*figure)) }
                            @if published && *figure == Figure::Accuracy { th scope="col" { "the paper" } }
                        }
                    }
                }
                tbody {
                    @for group in self.on(data) {
                        tr {
                            th scope="row" { (group.label()) }
                            @for figure in &columns {
                                td { (group.cell(*figure)) }
                                @if published && *figure == Figure::Accuracy { td { (group.published_text()) } }
                            }
                        }
                    }
                }
            }
        };
        html! {
            (scrolling(&format!("Systems on {data}"), table))
            @for note in &self.notes { p .small { (note) } }
        }
    }

    fn run_list(&self) -> Markup {
        html! {
            ul {
                @for group in &self.groups {
                    li {
                        (group.label()) " on " (group.data) ": "
                        @for (index, (run, seed)) in group.runs.iter().zip(&group.seeds).enumerate() {
                            @if index > 0 { ", " }
                            (run) " (seed " (seed) ")"
                        }
                    }
                }
            }
        }
    }
}

/// Class by class, a row a system.
fn prototypes(rows: &[PrototypeRow]) -> Markup {
    let mut classes: Vec<(&str, &str)> = Vec::new();
    for row in rows {
        let class = (row.data.as_str(), row.class.as_str());
        if !classes.contains(&class) {
            classes.push(class);
        }
    }
    html! {
        @for (data, class) in classes {
            h3 { (data) @if !class.is_empty() { ": " (class) } }
            @for row in rows.iter().filter(|row| (row.data.as_str(), row.class.as_str()) == (data, class)) {
                h4 { (row.system) }
                div .row role="group" aria-label={ (row.system) ", " (data) " " (class) } {
                    @for picture in &row.pictures { (picture.figure(PROTOTYPE)) }
                }
            }
        }
    }
}
