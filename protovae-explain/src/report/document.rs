//! A page that is complete in itself, around whatever sections it has.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// Nothing is loaded and nothing runs: pictures are inside the page, and so is the style.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// A section: its name in the address, its heading, what is in it.
pub(crate) struct Section {
    pub(crate) id: &'static str,
    pub(crate) heading: &'static str,
    pub(crate) content: Markup,
}

/// What a page consists of.
pub(crate) struct Document<'a> {
    pub(crate) title: &'a str,
    /// One sentence below the title; may be empty.
    pub(crate) subtitle: &'a str,
    /// The figures that a reader looks for first, with their names.
    pub(crate) headline: &'a [(String, String)],
    /// What the reader should beware of.
    pub(crate) warnings: &'a [String],
    pub(crate) sections: Vec<Section>,
}

pub(crate) fn document(page: &Document) -> Markup {
    let Document {
        title,
        subtitle,
        headline,
        warnings,
        sections,
    } = page;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "protovae " (env!("CARGO_PKG_VERSION")) };
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a .skip href="#content" { "Skip to the content" }
                header {
                    h1 { (title) }
                    @if !subtitle.is_empty() { p .subtitle { (subtitle) } }
                    @if !headline.is_empty() {
                        dl .headline {
                            @for (name, value) in *headline {
                                div { dt { (name) } dd { (value) } }
                            }
                        }
                    }
                    nav aria-label="Contents" {
                        ul {
                            @for section in sections {
                                li { a href={ "#" (section.id) } { (section.heading) } }
                            }
                        }
                    }
                }
                main #content {
                    @if !warnings.is_empty() {
                        section .warnings aria-labelledby="warnings" {
                            h2 #warnings { "Beware" }
                            ul { @for warning in *warnings { li { (warning) } } }
                        }
                    }
                    @for section in sections {
                        section aria-labelledby=(section.id) {
                            h2 id=(section.id) { (section.heading) }
                            (section.content)
                        }
                    }
                }
                footer { p { "Made by protovae " (env!("CARGO_PKG_VERSION")) ". This page is complete in itself: it loads nothing and runs nothing." } }
            }
        }
    }
}
