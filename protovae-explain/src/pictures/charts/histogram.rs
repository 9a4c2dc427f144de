//! Distributions.

use plotters::prelude::Color;

use super::axis::Axis;
use super::canvas::{Frame, HEIGHT, Sample as KeySample};
use super::palette::{DASHED_INK, colour, line_colour};
use super::{ChartLabels, described, drawable};
use crate::error::Result;
use crate::pictures::brief_number;

/// How values are distributed: bins of equal width, the same for all samples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// Texts.
    pub labels: ChartLabels,
    /// Drawn over one another, see-through.
    pub samples: Vec<Sample>,
    /// Number of bins, at most 200; 0 means 30.
    pub bins: usize,
    /// Heights are the share of the sample, in per cent, and not counts: for samples of different size.
    pub shares: bool,
    /// A dashed line at a value, with its name in the key.
    pub threshold: Option<(String, f64)>,
}

/// Named values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// In the key, if there are several samples or this one has a name.
    pub name: String,
    /// In any order; those that are not finite are left out.
    pub values: Vec<f64>,
}

impl Histogram {
    /// The chart as an `<svg>` element.
    ///
    /// # Errors
    /// None that is known; the plotting crate may have some.
    pub fn svg(&self) -> Result<String> {
        let samples: Vec<(&str, Vec<f64>)> = self
            .samples
            .iter()
            .map(|sample| {
                let values = sample.values.iter().copied();
                let values: Vec<f64> = values.filter(|value| drawable(*value)).collect();
                (sample.name.as_str(), values)
            })
            .collect();
        let bins = if self.bins == 0 {
            30
        } else {
            self.bins.min(200)
        };
        let binned = Axis::over(samples.iter().flat_map(|(_, values)| values).copied());
        let edges = binned.map(|axis| (axis.low, (axis.high - axis.low) / bins as f64));
        let heights: Vec<Vec<f64>> = samples
            .iter()
            .map(|(_, values)| match edges {
                Some(edges) => self.heights(values, edges, bins),
                None => Vec::new(),
            })
            .collect();
        let threshold = self.threshold.as_ref().filter(|(_, at)| drawable(*at));
        let x = edges.and_then(|(low, width)| {
            let ends = [low, low + width * bins as f64];
            Axis::over(ends.into_iter().chain(threshold.map(|(_, at)| *at)))
        });
        let y = Axis::around(heights.iter().flatten().copied().chain([0.0]));
        let y = if self.shares { y } else { y.map(Axis::whole) };
        let top = y.as_ref().map_or(0.0, |axis| axis.high);
        let filled = || samples.iter().filter(|(_, values)| !values.is_empty());
        let named = self.samples.len() > 1 || samples.iter().any(|(name, _)| !name.is_empty());
        let mut key = Vec::new();
        for (index, (name, values)) in samples.iter().enumerate() {
            if named && !values.is_empty() {
                key.push((KeySample::Area(index), name.to_string()));
            }
        }
        if let Some((name, _)) = threshold {
            key.push((KeySample::Threshold, name.clone()));
        }
        let frame = Frame {
            labels: &self.labels,
            description: described(
                &self.labels.description,
                filled().count(),
                filled().map(|(name, values)| describe(name, values)),
            ),
            axes: x.zip(y),
            key,
            height: HEIGHT,
            left: None,
            vertical_grid: false,
        };
        let (low, width) = edges.unwrap_or_default();
        frame.draw(|canvas| {
            let edge = |bin: usize| low + width * bin as f64;
            for (index, heights) in heights.iter().enumerate() {
                if heights.iter().all(|height| *height == 0.0) {
                    continue;
                }
                let mut outline = vec![(edge(0), 0.0)];
                for (bin, height) in heights.iter().enumerate() {
                    let (left, right) = (edge(bin), edge(bin + 1));
                    if *height > 0.0 {
                        canvas.area((left, 0.0), (right, *height), colour(index).mix(0.4))?;
                    }
                    outline.extend([(left, *height), (right, *height)]);
                }
                outline.push((edge(heights.len()), 0.0));
                canvas.line(&outline, line_colour(index))?;
            }
            match threshold {
                Some((_, at)) => canvas.line(&[(*at, 0.0), (*at, top)], DASHED_INK),
                None => Ok(()),
            }
        })
    }

    /// Height of each bin; the last holds its upper edge too.
    fn heights(&self, values: &[f64], (low, width): (f64, f64), bins: usize) -> Vec<f64> {
        let mut heights = vec![0.0; bins];
        let each = if self.shares {
            100.0 / values.len().max(1) as f64
        } else {
            1.0
        };
        for value in values {
            let bin = (((value - low) / width) as usize).min(bins - 1);
            heights[bin] += each;
        }
        heights
    }
}

fn describe(name: &str, values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| brief_number(sorted.get(index).copied().unwrap_or_default());
    format!(
        "{name}: {} values from {} to {}, median {}",
        sorted.len(),
        at(0),
        at(sorted.len().saturating_sub(1)),
        at(sorted.len() / 2)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_counted() {
        let chart = Histogram::default();
        let values = [0.0, 0.24, 0.25, 0.9, 1.0, 1.0];
        assert_eq!(chart.heights(&values, (0.0, 0.25), 4), [2.0, 1.0, 0.0, 3.0]);
        let shares = Histogram {
            shares: true,
            ..chart
        };
        assert_eq!(
            shares.heights(&values[..4], (0.0, 0.25), 4),
            [50.0, 25.0, 0.0, 25.0]
        );
    }
}
