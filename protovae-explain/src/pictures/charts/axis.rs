//! Ranges and ticks of axes.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::pictures::number::{exponent, trim};

/// A range of values with ticks at round numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    pub low: f64,
    pub high: f64,
    pub ticks: Vec<f64>,
    /// Between two ticks.
    step: f64,
}

/// About as many ticks as an axis should have.
const ABOUT: f64 = 6.0;

impl Axis {
    /// An axis from `low` to `high`, widened if that is (nearly) one value.
    pub fn new(low: f64, high: f64) -> Self {
        let (low, high) = (low.min(high), low.max(high));
        let size = low.abs().max(high.abs());
        // Closer values could not be told apart by their tick labels.
        let (low, high) = if high - low > 1e-7 * size {
            (low, high)
        } else if size > 0.0 {
            (low - 0.1 * size, high + 0.1 * size)
        } else {
            (-1.0, 1.0)
        };
        let rough = (high - low) / ABOUT;
        let power = 10_f64.powi(exponent(rough));
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= rough * 0.999)
            .unwrap_or(rough);
        let mut axis = Self {
            low,
            high,
            ticks: Vec::new(),
            step,
        };
        axis.place_ticks(step);
        axis
    }

    /// An axis that holds all `values`, of which each can be drawn; `None` without any.
    pub fn over(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let (low, high) = extent(values)?;
        Some(Self::new(low, high))
    }

    /// As [`Self::over`], with some room at the ends, and from zero if the values come near it.
    pub fn around(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let (low, high) = extent(values)?;
        let room = 0.05 * (high - low);
        let reaches_zero = |near: f64, far: f64| near >= 0.0 && near <= 0.5 * far;
        let from = if reaches_zero(low, high) {
            0.0
        } else {
            low - room
        };
        let to = if reaches_zero(-high, -low) {
            0.0
        } else {
            high + room
        };
        Some(Self::new(from, to))
    }

    /// No ticks between whole numbers, for counts and epochs.
    pub fn whole(mut self) -> Self {
        if self.step < 1.0 {
            self.place_ticks(1.0);
        }
        self
    }

    fn place_ticks(&mut self, step: f64) {
        self.step = step;
        let first = (self.low / step - 1e-6).ceil();
        let last = (self.high / step + 1e-6).floor();
        self.ticks = (0..=4 * ABOUT as usize)
            .map(|number| first + number as f64)
            .take_while(|number| *number <= last)
            .map(|number| number * step)
            .collect();
    }

    /// The text of a tick, with as many digits as its neighbours differ in.
    pub fn label(&self, value: f64) -> String {
        let size = exponent(self.low.abs().max(self.high.abs()));
        let step = exponent(self.step);
        if value.abs() < 1e-6 * self.step {
            "0".to_string()
        } else if (-4..6).contains(&size) {
            trim(format!("{:.*}", (-step).max(0) as usize, value))
        } else {
            let digits = (exponent(value) - step).max(0) as usize;
            trim(format!("{value:.digits$e}"))
        }
    }

    /// Characters of the longest tick label.
    pub fn label_length(&self) -> usize {
        let lengths = self.ticks.iter().map(|tick| self.label(*tick).len());
        lengths.max().unwrap_or(0)
    }
}

/// The plotting crate's own ticks do not end for some ranges, so these are ours.
impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        // Values far outside still have a place that can be written.
        let share = ((value - self.low) / (self.high - self.low)).clamp(-9.0, 9.0);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            Vec::new()
        } else {
            self.ticks.clone()
        }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.label(*value)
    }
}

fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|tick| axis.label(*tick)).collect()
    }

    #[test]
    fn ticks_are_round_and_brief() {
        let expect = |low, high, expected: &[&str]| {
            assert_eq!(labels(&Axis::new(low, high)), expected, "{low}..{high}");
        };
        expect(0.0, 1.0, &["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        expect(-1.0, 1.0, &["-1", "-0.5", "0", "0.5", "1"]);
        expect(
            0.0,
            2.5e-7,
            &["0", "5e-8", "1e-7", "1.5e-7", "2e-7", "2.5e-7"],
        );
        expect(
            1e7,
            1.05e7,
            &["1e7", "1.01e7", "1.02e7", "1.03e7", "1.04e7", "1.05e7"],
        );
        expect(
            99.2,
            99.5,
            &["99.2", "99.25", "99.3", "99.35", "99.4", "99.45", "99.5"],
        );
        assert_eq!(labels(&Axis::new(1.0, 3.0).whole()), ["1", "2", "3"]);
        assert_eq!(
            labels(&Axis::new(0.0, 0.0)),
            ["-1", "-0.5", "0", "0.5", "1"]
        );
    }

    #[test]
    fn axes_start_at_zero_where_values_come_near() {
        assert_eq!(Axis::around([0.1, 4.0]).unwrap().low, 0.0);
        assert_eq!(Axis::around([-0.1, -4.0]).unwrap().high, 0.0);
        let far = Axis::around([0.9, 1.0]).unwrap();
        assert!(far.low > 0.8 && far.low < 0.9 && far.high > 1.0);
        assert_eq!(Axis::around([]), None);
    }

    proptest! {
        #[test]
        fn any_range_has_a_few_ticks_inside(a in -1e99_f64..1e99, b in -1e99_f64..1e99, small in -300_i32..0) {
            let shrink = 10_f64.powi(small);
            for (low, high) in [(a, b), (a * shrink, b * shrink), (a, a), (a, a + a * shrink)] {
                let axis = Axis::new(low, high);
                prop_assert!(axis.low < axis.high);
                prop_assert!((2..=14).contains(&axis.ticks.len()), "{axis:?}");
                let room = 1e-5 * (axis.high - axis.low);
                for tick in &axis.ticks {
                    prop_assert!(*tick >= axis.low - room && *tick <= axis.high + room);
                }
                let mut labels = labels(&axis);
                prop_assert!(labels.iter().all(|label| label.len() <= 16), "{labels:?}");
                labels.dedup();
                prop_assert_eq!(labels.len(), axis.ticks.len());
            }
        }
    }
}
