//! Bars.

use plotters::prelude::Color;
use plotters::style::text_anchor::HPos;

use super::axis::Axis;
use super::canvas::{Canvas, FONT, Frame, Sample, WIDTH, estimated_width, shortened};
use super::palette::{DASHED_INK, INK, colour};
use super::{ChartLabels, described, drawable};
use crate::error::Result;
use crate::pictures::brief_number;

/// One horizontal bar a name, with its value beside it, from top to bottom.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BarChart {
    /// Texts; the horizontal axis is that of the values.
    pub labels: ChartLabels,
    /// At most 200 are drawn, and how many are not is said.
    pub bars: Vec<Bar>,
    /// The horizontal axis covers at least this; it always covers zero and all values.
    pub range: Option<(f64, f64)>,
    /// A dashed line at a value, with its name in the key, such as a baseline.
    pub threshold: Option<(String, f64)>,
}

/// A named value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bar {
    /// Left of the bar, cut off after 24 characters.
    pub name: String,
    /// A value that is not finite has no bar but is named as such.
    pub value: f64,
    /// Half the length of a line around the bar's end, such as two standard errors.
    pub error: Option<f64>,
}

const MOST_BARS: usize = 200;
const LONGEST_NAME: usize = 24;
/// From one bar to the next.
const PITCH: u32 = 48;

impl Bar {
    fn error(&self) -> Option<f64> {
        self.error
            .filter(|error| drawable(*error) && *error > 0.0 && drawable(self.value))
    }

    /// Where bar and error line end.
    fn ends(&self) -> [f64; 2] {
        let error = self.error().unwrap_or(0.0);
        [self.value - error, self.value + error]
    }

    /// Where the value is written: to the left of this if it is below zero, otherwise to the right.
    fn text_end(&self) -> f64 {
        let [low, high] = self.ends();
        match self.value {
            value if !drawable(value) => 0.0,
            value if value < 0.0 => low,
            _ => high,
        }
    }

    fn text(&self) -> String {
        match self.error() {
            Some(error) => format!("{} ± {}", brief_number(self.value), brief_number(error)),
            None => brief_number(self.value),
        }
    }
}

impl BarChart {
    /// The chart as an `<svg>` element.
    ///
    /// # Errors
    /// None that is known; the plotting crate may have some.
    pub fn svg(&self) -> Result<String> {
        let bars = &self.bars[..self.bars.len().min(MOST_BARS)];
        let hidden = self.bars.len() - bars.len();
        let rows = bars.len() + usize::from(hidden > 0);
        let threshold = self.threshold.as_ref().filter(|(_, at)| drawable(*at));
        let values = || {
            let range = self.range.map(|(low, high)| [low, high]);
            bars.iter()
                .map(Bar::ends)
                .chain(range)
                .chain(threshold.map(|(_, at)| [*at; 2]))
                .flatten()
                .filter(|value| drawable(*value))
                .chain([0.0])
        };
        let names = bars
            .iter()
            .map(|bar| estimated_width(&shortened(&bar.name, LONGEST_NAME)));
        let left = names.max().unwrap_or(0) + 24;
        let x = (!bars.is_empty())
            .then(|| Axis::over(values()))
            .flatten()
            .map(|axis| Self::with_room(bars, &axis, f64::from(WIDTH - left) - 100.0));
        // Row r reaches from −r − 1 to −r, so that the first is on top; this axis has names in place of ticks.
        let y = x.as_ref().map(|_| {
            let mut axis = Axis::new(-(rows as f64), 0.0);
            axis.ticks.clear();
            axis
        });
        let frame = Frame {
            labels: &self.labels,
            description: described(
                &self.labels.description,
                self.bars.len(),
                bars.iter()
                    .map(|bar| format!("{}: {}", bar.name, bar.text())),
            ),
            axes: x.zip(y),
            key: threshold
                .map(|(name, _)| (Sample::Threshold, name.clone()))
                .into_iter()
                .collect(),
            height: rows.max(3) as u32 * PITCH + 2 * PITCH,
            left: Some(left),
            vertical_grid: true,
        };
        frame.draw(|canvas| {
            let zero = |row: usize| (0.0, -(row as f64) - 0.5);
            for (row, bar) in bars.iter().enumerate() {
                draw(canvas, row, bar)?;
            }
            canvas.rule((0.0, 0.0), (0.0, -(rows as f64)))?;
            if let Some((_, at)) = threshold {
                canvas.line(&[(*at, 0.0), (*at, -(rows as f64))], DASHED_INK)?;
            }
            if hidden > 0 {
                let text = format!("{hidden} more are not shown");
                canvas.text(zero(bars.len()), (12, 0), &text, HPos::Left)?;
            }
            Ok(())
        })
    }

    /// The axis with room for the values beside the bars, on a plot `width` units wide.
    fn with_room(bars: &[Bar], axis: &Axis, width: f64) -> Axis {
        let texts: Vec<(f64, f64)> = bars
            .iter()
            .map(|bar| {
                let text = (f64::from(estimated_width(&bar.text())) + FONT).min(0.4 * width);
                (bar.text_end(), text)
            })
            .collect();
        let (mut low, mut high) = (axis.low, axis.high);
        // The wider the range, the more of it a text takes: the steps become smaller and smaller.
        for _ in 0..12 {
            let unit = (high - low) / width;
            for (end, text) in &texts {
                if *end < 0.0 {
                    low = low.min(end - text * unit);
                } else {
                    high = high.max(end + text * unit);
                }
            }
        }
        Axis::new(low, high)
    }
}

fn draw(canvas: &Canvas<'_, '_>, row: usize, bar: &Bar) -> Result<()> {
    let middle = -(row as f64) - 0.5;
    let value = if drawable(bar.value) { bar.value } else { 0.0 };
    canvas.area(
        (0.0, middle - 0.34),
        (value, middle + 0.34),
        colour(0).mix(0.85),
    )?;
    if bar.error().is_some() {
        let [low, high] = bar.ends();
        canvas.line(&[(low, middle), (high, middle)], INK)?;
    }
    let end = bar.text_end();
    let (offset, side) = if end < 0.0 {
        (-12, HPos::Right)
    } else {
        (12, HPos::Left)
    };
    canvas.text((end, middle), (offset, 0), &bar.text(), side)?;
    canvas.left_text(middle, &shortened(&bar.name, LONGEST_NAME))
}
