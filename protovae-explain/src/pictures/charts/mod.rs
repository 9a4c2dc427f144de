//! Charts as SVG: curves, bars, points and histograms.
//!
//! Each chart is one self-contained `<svg>` that scales to the width it is given and can be put into a page as it is: all text
//! is escaped, there are no ids, scripts, fonts or links, and text, axes and grid take the page's `currentColor`, so that it
//! reads in light and dark. Series differ in colour (six of Okabe and Ito's palette, which colour-blind readers can tell apart,
//! come first) and in dash or marker. Title and description are for screen readers; the title shows when the pointer rests on the chart.
//!
//! Values that are not finite are left out. A chart without values says "no data".
//!
//! ```
//! use protovae_explain::pictures::charts::{ChartLabels, LineChart, Series};
//! let chart = LineChart {
//!     labels: ChartLabels { title: "Loss".into(), x: "epoch".into(), y: "loss".into(), ..Default::default() },
//!     series: vec![Series { name: "train <1>".into(), points: vec![(1.0, 2.5), (2.0, 1.25)] }],
//!     ..Default::default()
//! };
//! let svg = chart.svg()?;
//! assert!(svg.starts_with("<svg ") && svg.contains("train &lt;1&gt;"));
//! # Ok::<(), protovae_explain::Error>(())
//! ```

mod axis;
mod bar;
mod canvas;
mod histogram;
mod line;
mod palette;
mod scatter;
mod svg;

pub use bar::{Bar, BarChart};
pub use histogram::{Histogram, Sample};
pub use line::{LineChart, Series};
pub use scatter::{PointGroup, ScatterChart};
pub use svg::standalone;

/// The texts of a chart; empty ones take no room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChartLabels {
    /// What the chart is about: the accessible name, not drawn.
    pub title: String,
    /// What the chart shows, in a sentence or two, for those who do not see it; if empty, a summary of the values.
    pub description: String,
    /// Below the horizontal axis.
    pub x: String,
    /// Beside the vertical axis.
    pub y: String,
}

/// Whether a value can be drawn: finite, and not so large that a range of such values overflows.
fn drawable(value: f64) -> bool {
    value.abs() < 1e100
}

/// `(x, y)`, one after the other.
type Points = Vec<(f64, f64)>;

/// Those of `points` that can be drawn.
fn drawable_points(points: &[(f64, f64)]) -> Points {
    points
        .iter()
        .copied()
        .filter(|(x, y)| drawable(*x) && drawable(*y))
        .collect()
}

/// At most about `limit` of `items`, evenly spread.
fn thinned<T: Copy>(items: &[T], limit: usize) -> Vec<T> {
    let step = items.len().div_ceil(limit.max(1)).max(1);
    items.iter().copied().step_by(step).collect()
}

/// How many series, bars or groups a description names.
const DESCRIBED: usize = 12;

/// `description`, or if it is empty the first of `parts`.
fn described(description: &str, count: usize, parts: impl Iterator<Item = String>) -> String {
    if !description.is_empty() {
        return description.to_string();
    }
    if count == 0 {
        return "no data".to_string();
    }
    let mut text: Vec<String> = parts.take(DESCRIBED).collect();
    if count > DESCRIBED {
        text.push(format!("and {} more", count - DESCRIBED));
    }
    text.join("; ")
}
