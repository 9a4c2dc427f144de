//! Colours, dashes and markers of series.

use plotters::style::RGBColor;

/// The hues of Okabe and Ito's palette that stand out on white as well as on black, and a grey.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x8C, 0x8C, 0x8C),
];

/// Lengths of strokes and gaps; empty for a solid line.
const DASHES: [&str; 5] = ["", "16 7", "4 6", "18 6 4 6", "9 5"];

/// Stands for the page's `currentColor` until [`super::svg::finish`].
pub(super) const INK: RGBColor = RGBColor(0x01, 0x02, 0x03);
/// As [`INK`], dashed.
pub(super) const DASHED_INK: RGBColor = RGBColor(0x01, 0x02, 0x04);

/// The colour of the series `index`; with the marker or dash it repeats after 35.
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
    DASHES[index % DASHES.len()]
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
    SHAPES[index % SHAPES.len()]
}
