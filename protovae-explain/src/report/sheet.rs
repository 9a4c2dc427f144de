//! Tables and pictures on a page, for results that belong to no single run.

use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::document::{Document, Section, document};
use super::figures::scrolling;
use super::{Chart, Picture};

/// A table of words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SheetTable {
    /// What it shows.
    pub caption: String,
    /// A head for each column.
    pub head: Vec<String>,
    /// The first cell of a row is its head.
    pub rows: Vec<Vec<String>>,
}

/// A page of tables and pictures that is complete in itself.
///
/// ```
/// use protovae_explain::report::{Sheet, SheetTable};
/// let sheet = Sheet {
///     title: "Table 5".to_string(),
///     tables: vec![SheetTable {
///         caption: "accuracy".to_string(),
///         head: vec!["".to_string(), "mnist".to_string()],
///         rows: vec![vec!["<full>".to_string(), "99.4".to_string()]],
///     }],
///     ..Sheet::default()
/// };
/// let page = sheet.to_html();
/// assert!(page.contains("&lt;full&gt;") && !page.contains("<full>"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sheet {
    /// The page's name.
    pub title: String,
    /// One sentence below it.
    pub subtitle: String,
    /// What the reader should beware of.
    pub warnings: Vec<String>,
    /// The tables.
    pub tables: Vec<SheetTable>,
    /// The charts.
    pub charts: Vec<Chart>,
    /// The pictures, each as wide as it is.
    pub pictures: Vec<Picture>,
    /// Whatever else is to be said.
    pub notes: Vec<String>,
}

impl Sheet {
    /// The page.
    pub fn to_html(&self) -> String {
        let mut sections = Vec::new();
        let mut add = |id, heading, content: Markup| {
            sections.push(Section {
                id,
                heading,
                content,
            });
        };
        if !self.tables.is_empty() {
            add(
                "tables",
                "Figures",
                html! { @for table in &self.tables { (draw(table)) } },
            );
        }
        if !self.charts.is_empty() {
            let charts = html! { @for chart in &self.charts { (chart.figure()) } };
            add("charts", "Curves", charts);
        }
        if !self.pictures.is_empty() {
            let pictures = html! {
                @for picture in &self.pictures {
                    div .scroll role="region" aria-label=(picture.alt) tabindex="0" { (picture.figure(picture.width)) }
                }
            };
            add("pictures", "Pictures", pictures);
        }
        if !self.notes.is_empty() {
            let notes = html! { @for note in &self.notes { p { (note) } } };
            add("notes", "How they were made", notes);
        }
        document(&Document {
            title: &self.title,
            subtitle: &self.subtitle,
            headline: &[],
            warnings: &self.warnings,
            sections,
        })
        .into_string()
    }
}

fn draw(table: &SheetTable) -> Markup {
    let markup = html! {
        table {
            caption { (table.caption) }
            thead { tr { @for head in &table.head { th scope="col" { (head) } } } }
            tbody {
                @for row in &table.rows {
                    tr {
                        @for (index, cell) in row.iter().enumerate() {
                            @if index == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                        }
                    }
                }
            }
        }
    };
    scrolling(&table.caption, markup)
}
