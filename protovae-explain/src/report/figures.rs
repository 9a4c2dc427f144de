//! Pictures and charts in a page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, RgbImage};
use maud::{Markup, PreEscaped, html};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::pictures::charts::{BarChart, Histogram, LineChart, ScatterChart};
use crate::pictures::png_bytes;

/// A picture in a page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The file.
    pub png: Vec<u8>,
    /// What it shows, for those who do not see it.
    pub alt: String,
    /// A line below it; may be empty.
    pub caption: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

impl Picture {
    /// A picture with its description and caption.
    ///
    /// # Errors
    /// [`Error::Write`] if it cannot be encoded.
    pub fn new(
        picture: &RgbImage,
        alt: impl Into<String>,
        caption: impl Into<String>,
    ) -> Result<Self> {
        Ok(Self {
            png: png_bytes(&DynamicImage::from(picture.clone()))?,
            alt: alt.into(),
            caption: caption.into(),
            width: picture.width(),
            height: picture.height(),
        })
    }

    /// The picture, shown `side` pixels wide.
    pub(crate) fn figure(&self, side: u32) -> Markup {
        let height =
            (u64::from(side) * u64::from(self.height) / u64::from(self.width.max(1))) as u32;
        html! {
            figure {
                img src={ "data:image/png;base64," (STANDARD.encode(&self.png)) } alt=(self.alt)
                    width=(side) height=(height);
                @if !self.caption.is_empty() { figcaption { (self.caption) } }
            }
        }
    }
}

/// A chart in a page: SVG of this crate's charts, which escape the texts they are given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chart {
    svg: String,
    /// A line below it.
    pub caption: String,
}

impl Chart {
    fn new(svg: String, caption: impl Into<String>) -> Self {
        Self {
            svg,
            caption: caption.into(),
        }
    }

    /// Curves.
    ///
    /// # Errors
    /// If the chart cannot be drawn.
    pub fn lines(chart: &LineChart, caption: impl Into<String>) -> Result<Self> {
        Ok(Self::new(chart.svg()?, caption))
    }

    /// Bars.
    ///
    /// # Errors
    /// If the chart cannot be drawn.
    pub fn bars(chart: &BarChart, caption: impl Into<String>) -> Result<Self> {
        Ok(Self::new(chart.svg()?, caption))
    }

    /// Points.
    ///
    /// # Errors
    /// If the chart cannot be drawn.
    pub fn scatter(chart: &ScatterChart, caption: impl Into<String>) -> Result<Self> {
        Ok(Self::new(chart.svg()?, caption))
    }

    /// A histogram.
    ///
    /// # Errors
    /// If the chart cannot be drawn.
    pub fn histogram(chart: &Histogram, caption: impl Into<String>) -> Result<Self> {
        Ok(Self::new(chart.svg()?, caption))
    }

    pub(super) fn figure(&self) -> Markup {
        html! {
            figure .chart {
                // The only text that is not escaped here: `svg` is private and made by the charts alone.
                (PreEscaped(&self.svg))
                @if !self.caption.is_empty() { figcaption { (self.caption) } }
            }
        }
    }
}

/// A share as per cent; a dash for none.
pub(crate) fn percent(share: f64) -> String {
    if share.is_finite() {
        format!("{:.1} %", 100.0 * share)
    } else {
        "–".to_string()
    }
}

/// A number with a few digits; a dash for none.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_string();
    }
    match value.abs() {
        size if size == 0.0 || (0.001..100_000.0).contains(&size) => format!("{value:.4}"),
        _ => format!("{value:.3e}"),
    }
}

/// A name and what it is, a line each.
pub(crate) fn facts(facts: &[(String, String)]) -> Markup {
    html! {
        @if !facts.is_empty() {
            dl .facts {
                @for (name, value) in facts { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

/// A table that scrolls within its own frame on a narrow screen.
pub(crate) fn scrolling(label: &str, table: Markup) -> Markup {
    html! { div .scroll role="region" aria-label=(label) tabindex="0" { (table) } }
}

/// Why a page could not be made.
pub(super) fn too_large(bytes: usize, limit: usize) -> Error {
    Error::Core(protovae_core::Error::config(
        "report",
        format!(
            "the page would have {bytes} bytes even without pictures of prototypes, neighbours and predictions, more than {limit}"
        ),
    ))
}
