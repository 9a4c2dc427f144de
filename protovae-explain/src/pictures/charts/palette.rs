//! Colours, dashes and markers of series.

use plotters::style::RGBColor;

/// The hues of Okabe and Ito's palette that stand out on white as well as on black, and four more for sets of ten classes;
/// those that could be taken for one another have different dashes and markers.
const COLOURS: [RGBColor; 10] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x8C, 0x8C, 0x8C),
    RGBColor(0x7B, 0x52, 0xC7),
    RGBColor(0x8F, 0x9A, 0x00),
    RGBColor(0xE0, 0x45, 0x7B),
];

/// Lengths of strokes and gaps; empty for a solid line.
const DASHES: [&str; 5] = ["", "16 7", "4 6", "18 6 4 6", "9 5"];

/// Stands for the page's `currentColor` until [`super::svg::finish`].
pub(super) const INK: RGBColor = RGBColor(0x01, 0x02, 0x03);
/// As [`INK`], dashed.
pub(super) const DASHED_INK: RGBColor = RGBColor(0x01, 0x02, 0x04);

/// The colour of the series `index`; with the marker or dash it repeats after 50.
pub(super) fn colour(index: usize) -> RGBColor {
    COLOURS[index % COLOURS.len()]
}

/// Different lines of a chart; more of them look like the first ones again.
pub(super) const LINES: usize = COLOURS.len() * DASHES.len();

/// Stands for the colour and dash of line `index` until [`super::svg::finish`].
pub(super) fn line_colour(index: usize) -> RGBColor {
    RGBColor(0xFE, 0x01, (index % LINES) as u8)
}

/// The dash of line `index`.
pub(super) fn dash(index: usize) -> &'static str {
    DASHES[(index + index / COLOURS.len()) % DASHES.len()]
}

/// The shapes of markers, as corners around the middle for radius 1; none for a circle.
const SHAPES: [&[(f64, f64)]; 5] = [
    &[],
    &[(0.0, -1.25), (1.15, 0.9), (-1.15, 0.9)],
    &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
    &[(0.0, 1.25), (1.15, -0.9), (-1.15, -0.9)],
];

/// The corners of the marker of series `index` for radius 1, or none if it is a circle.
pub(super) fn shape(index: usize) -> &'static [(f64, f64)] {
    SHAPES[(index + index / COLOURS.len()) % SHAPES.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_series_look_alike_up_to_fifty() {
        for one in 0..LINES {
            for other in 0..one {
                let same_colour = colour(one) == colour(other);
                assert!(!same_colour || dash(one) != dash(other), "{one} {other}");
                assert!(!same_colour || shape(one) != shape(other), "{one} {other}");
            }
            assert_ne!(shape(one), shape(one + 1));
            assert_ne!(dash(one), dash(one + 1));
        }
    }
}
