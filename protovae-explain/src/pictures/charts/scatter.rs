//! Points, such as a map of the latent space.

use super::axis::Axis;
use super::canvas::{Frame, HEIGHT, Sample};
use super::{ChartLabels, Points, described, drawable_points, thinned};
use crate::error::Result;

/// Points in groups, some of which stand out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScatterChart {
    /// Texts.
    pub labels: ChartLabels,
    /// Colours and markers repeat after 50.
    pub groups: Vec<PointGroup>,
    /// What the points that stand out are, for the key; empty for "marked".
    pub marked: String,
}

/// Points of one colour and shape.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PointGroup {
    /// In the key.
    pub name: String,
    /// `(x, y)`. Of more than 2,000 a group or 5,000 in all, evenly spread ones are drawn.
    pub points: Vec<(f64, f64)>,
    /// Points that stand out: large, outlined, above all others. At most 2,000 a group and 5,000 in all, as above.
    pub marked: Vec<(f64, f64)>,
}

const MOST_POINTS: usize = 2_000;
const MOST_IN_ALL: usize = 5_000;

impl ScatterChart {
    /// The chart as an `<svg>` element.
    ///
    /// # Errors
    /// None that is known; the plotting crate may have some.
    pub fn svg(&self) -> Result<String> {
        let limit = MOST_POINTS
            .min(MOST_IN_ALL / self.groups.len().max(1))
            .max(1);
        let groups: Vec<(&str, Points, Points)> = self
            .groups
            .iter()
            .map(|group| {
                let some = |points: &[(f64, f64)]| thinned(&drawable_points(points), limit);
                (
                    group.name.as_str(),
                    some(&group.points),
                    some(&group.marked),
                )
            })
            .collect();
        let all = || {
            groups
                .iter()
                .flat_map(|(_, points, marked)| points.iter().chain(marked))
        };
        let axis = |values: Vec<f64>| {
            let axis = Axis::over(values)?;
            let room = 0.04 * (axis.high - axis.low);
            Some(Axis::new(axis.low - room, axis.high + room))
        };
        let x = axis(all().map(|(x, _)| *x).collect());
        let y = axis(all().map(|(_, y)| *y).collect());
        let mut key: Vec<(Sample, String)> = groups
            .iter()
            .enumerate()
            .filter(|(_, (_, points, marked))| !points.is_empty() || !marked.is_empty())
            .map(|(index, (name, _, _))| (Sample::Marker(index), name.to_string()))
            .collect();
        let filled = key.len();
        if groups.iter().any(|(_, _, marked)| !marked.is_empty()) {
            let name = if self.marked.is_empty() {
                "marked"
            } else {
                &self.marked
            };
            key.insert(0, (Sample::Marked, name.to_string()));
        }
        let frame = Frame {
            labels: &self.labels,
            description: described(
                &self.labels.description,
                filled,
                self.groups.iter().map(|group| {
                    let (points, marked) = (group.points.len(), group.marked.len());
                    format!("{}: {points} points, {marked} marked", group.name)
                }),
            ),
            axes: x.zip(y),
            key,
            height: HEIGHT + HEIGHT / 3,
            left: None,
            vertical_grid: true,
        };
        frame.draw(|canvas| {
            // In turns, so that no group lies above all others.
            let longest = groups.iter().map(|(_, points, _)| points.len()).max();
            for rank in 0..longest.unwrap_or(0) {
                for (index, (_, points, _)) in groups.iter().enumerate() {
                    if let Some(point) = points.get(rank) {
                        canvas.marker(*point, index, 5.0, 0.6)?;
                    }
                }
            }
            for (index, (_, _, marked)) in groups.iter().enumerate() {
                for point in marked {
                    canvas.outlined_marker(*point, index, 11.0)?;
                }
            }
            Ok(())
        })
    }
}
