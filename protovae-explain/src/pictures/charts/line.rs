//! Curves.

use super::axis::Axis;
use super::canvas::{Canvas, Frame, HEIGHT, Sample};
use super::palette::line_colour;
use super::{ChartLabels, Points, described, drawable, drawable_points};
use crate::error::Result;
use crate::pictures::brief_number;

/// Values over epochs, steps or shares: one line a series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LineChart {
    /// Texts.
    pub labels: ChartLabels,
    /// Lowest and highest value of the vertical axis; lines are cut off there. Without, all values fit.
    pub y_range: Option<(f64, f64)>,
    /// From first to last; colours and dashes repeat after 50.
    pub series: Vec<Series>,
}

/// A named line.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// In the key, if the chart has several series or this one has a name.
    pub name: String,
    /// `(x, y)` in the order in which the line joins them. Points that are not finite are left out, and the line joins their
    /// neighbours. Of more than 2,000, the lowest and the highest of each stretch are kept.
    pub points: Vec<(f64, f64)>,
}

/// Most points of a line.
const MOST_POINTS: usize = 2_000;
/// Lines with no more points than this have markers.
const MARKED_POINTS: usize = 15;

impl LineChart {
    /// The chart as an `<svg>` element.
    ///
    /// # Errors
    /// None that is known; the plotting crate may have some.
    pub fn svg(&self) -> Result<String> {
        let lines: Vec<(usize, &str, Points)> = self
            .series
            .iter()
            .enumerate()
            .map(|(index, series)| (index, series.name.as_str(), drawable_points(&series.points)))
            .filter(|(_, _, points)| !points.is_empty())
            .collect();
        let all = || lines.iter().flat_map(|(_, _, points)| points);
        let mut x = Axis::over(all().map(|(x, _)| *x));
        if all().all(|(x, _)| x.fract() == 0.0) {
            x = x.map(Axis::whole);
        }
        let fixed = self
            .y_range
            .filter(|(low, high)| drawable(*low) && drawable(*high) && low < high)
            .map(|(low, high)| Axis::new(low, high));
        let range = fixed.as_ref().map(|axis| (axis.low, axis.high));
        let y = fixed.or_else(|| Axis::around(all().map(|(_, y)| *y)));
        let frame = Frame {
            labels: &self.labels,
            description: described(
                &self.labels.description,
                lines.len(),
                lines.iter().map(|(_, name, points)| describe(name, points)),
            ),
            axes: x.zip(y),
            key: if lines.len() == 1 && lines.iter().all(|(_, name, _)| name.is_empty()) {
                Vec::new()
            } else {
                lines
                    .iter()
                    .map(|(index, name, _)| (Sample::Line(*index), name.to_string()))
                    .collect()
            },
            height: HEIGHT,
            left: None,
            vertical_grid: true,
        };
        frame.draw(|canvas| {
            lines
                .iter()
                .try_for_each(|(index, _, points)| draw(canvas, *index, points, range))
        })
    }
}

fn describe(name: &str, points: &[(f64, f64)]) -> String {
    let text = |point: Option<&(f64, f64)>| {
        let (x, y) = point.copied().unwrap_or_default();
        format!("{} at {}", brief_number(y), brief_number(x))
    };
    let (first, last) = (text(points.first()), text(points.last()));
    format!("{name}: from {first} to {last}")
}

fn draw(
    canvas: &Canvas<'_, '_>,
    index: usize,
    points: &[(f64, f64)],
    range: Option<(f64, f64)>,
) -> Result<()> {
    let kept = extremes(points, MOST_POINTS);
    let pieces = match range {
        Some(range) => cut(&kept, range),
        None => vec![kept.clone()],
    };
    for piece in pieces.iter().filter(|piece| piece.len() > 1) {
        canvas.line(piece, line_colour(index))?;
    }
    if kept.len() <= MARKED_POINTS {
        let visible =
            |(_, y): &&(f64, f64)| range.is_none_or(|(low, high)| (low..=high).contains(y));
        for point in kept.iter().filter(visible) {
            canvas.marker(*point, index, 7.0, 1.0)?;
        }
    }
    Ok(())
}

/// At most `limit` points: of each stretch of the line the lowest and the highest, and both ends.
fn extremes(points: &[(f64, f64)], limit: usize) -> Vec<(f64, f64)> {
    if points.len() <= limit {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil((limit / 2).saturating_sub(1).max(1));
    let mut kept = Vec::with_capacity(limit);
    kept.extend(points.first());
    for (number, stretch_points) in points.chunks(stretch).enumerate() {
        let position = |better: fn(f64, f64) -> bool| {
            let mut best = 0;
            for (index, (_, y)) in stretch_points.iter().enumerate() {
                if better(*y, stretch_points[best].1) {
                    best = index;
                }
            }
            number * stretch + best
        };
        let (lowest, highest) = (position(|a, b| a < b), position(|a, b| a > b));
        kept.push(points[lowest.min(highest)]);
        if lowest != highest {
            kept.push(points[lowest.max(highest)]);
        }
    }
    kept.extend(points.last());
    kept
}

/// The pieces of a line whose y lies between `low` and `high`.
fn cut(points: &[(f64, f64)], (low, high): (f64, f64)) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    for pair in points.windows(2) {
        let [a, b] = [pair[0], pair[1]];
        // Where on the way from a to b, between 0 and 1, the line enters and leaves.
        let rise = b.1 - a.1;
        let (enter, leave) = if rise == 0.0 {
            if a.1 < low || a.1 > high {
                (1.0, 0.0)
            } else {
                (0.0, 1.0)
            }
        } else {
            let (at_low, at_high) = ((low - a.1) / rise, (high - a.1) / rise);
            (at_low.min(at_high).max(0.0), at_low.max(at_high).min(1.0))
        };
        if enter > leave {
            continue;
        }
        let at = |share: f64| match share {
            0.0 => a,
            1.0 => b,
            _ => (
                a.0 + share * (b.0 - a.0),
                (a.1 + share * rise).clamp(low, high),
            ),
        };
        let (from, to) = (at(enter), at(leave));
        match pieces.last_mut() {
            Some(piece) if piece.last() == Some(&from) => piece.push(to),
            _ => pieces.push(vec![from, to]),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_cut_off_at_the_range() {
        let line = [(0.0, 0.5), (1.0, 1.5), (2.0, 0.5), (3.0, -0.5), (4.0, -2.0)];
        assert_eq!(
            cut(&line, (0.0, 1.0)),
            [
                vec![(0.0, 0.5), (0.5, 1.0)],
                vec![(1.5, 1.0), (2.0, 0.5), (2.5, 0.0)]
            ]
        );
        assert!(cut(&[(0.0, 3.0), (1.0, 3.0)], (0.0, 1.0)).is_empty());
        assert_eq!(cut(&[(0.0, 1.0), (1.0, 1.0)], (0.0, 1.0)).len(), 1);
    }

    proptest! {
        #[test]
        fn thinning_keeps_ends_and_extremes(values in prop::collection::vec(-1e3_f64..1e3, 1..400), limit in 4..100_usize) {
            let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect();
            let kept = extremes(&points, limit);
            prop_assert!(kept.len() <= limit.max(points.len().min(limit)) + 2);
            prop_assert_eq!(kept.first(), points.first());
            prop_assert_eq!(kept.last(), points.last());
            prop_assert!(kept.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            let highest = |points: &[(f64, f64)]| points.iter().map(|(_, y)| *y).fold(f64::MIN, f64::max);
            let lowest = |points: &[(f64, f64)]| points.iter().map(|(_, y)| *y).fold(f64::MAX, f64::min);
            prop_assert_eq!(highest(&kept), highest(&points));
            prop_assert_eq!(lowest(&kept), lowest(&points));
        }
    }
}
