//! What all charts share: axes, grid, key, and a place to draw in the coordinates of the data.

use plotters::coord::{CoordTranslate, Shift};
use plotters::prelude::{
    ChartBuilder, Circle, Color, DrawingArea, IntoDrawingArea, IntoFont, PathElement, Polygon,
    RGBAColor, RGBColor, Rectangle, SVGBackend, ShapeStyle, Text, TextStyle,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::ChartLabels;
use super::axis::Axis;
use super::palette::{DASHED_INK, INK, colour, line_colour, shape};
use super::svg::{finish, plain};
use crate::error::{Error, Result};

/// Width of every chart in its own units; shown at any width.
pub(super) const WIDTH: u32 = 960;
/// Height of most charts without the key.
pub(super) const HEIGHT: u32 = 540;
/// Height of letters; a chart on a phone is 0.4 times as large.
pub(super) const FONT: f64 = 26.0;
/// The plotting crate writes a size divided by this.
const FONT_FACTOR: f64 = 1.24;
/// Estimated width of a character.
const CHARACTER: f64 = 0.56 * FONT;
/// Between things.
const GAP: u32 = 16;
/// Most characters of a name in the key.
const LONGEST_NAME: usize = 30;
/// Most entries of the key.
const MOST_KEYS: usize = 40;
/// A line of the key.
const KEY_LINE: u32 = 40;
/// Room for the sample of an entry in the key.
const KEY_SAMPLE: i32 = 64;
/// The width of lines in charts.
pub(super) const LINE: u32 = 4;

type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// How an entry of the key looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sample {
    /// The line of a series.
    Line(usize),
    /// The marker of a group.
    Marker(usize),
    /// The area of a histogram.
    Area(usize),
    /// A marker that stands out.
    Marked,
    /// A dashed line in the colour of the text.
    Threshold,
}

/// A chart but for its data.
pub(super) struct Frame<'f> {
    pub labels: &'f ChartLabels,
    pub description: String,
    /// Both axes, or none if there are no data.
    pub axes: Option<(Axis, Axis)>,
    pub key: Vec<(Sample, String)>,
    /// Without the key.
    pub height: u32,
    /// Room left of the plot in place of that for tick labels.
    pub left: Option<u32>,
    /// Whether there are grid lines for ticks of the horizontal axis.
    pub vertical_grid: bool,
}

/// Where charts draw their data.
pub(super) struct Canvas<'r, 'a> {
    root: &'r Root<'a>,
    place: &'r dyn Fn((f64, f64)) -> (i32, i32),
    /// Left edge of the plot.
    left: i32,
}

/// The plotting crate cannot fail to write into memory; if it does, this says so.
fn failed(error: impl std::fmt::Display) -> Error {
    protovae_core::Error::config("chart", error.to_string()).into()
}

/// `text` with at most `characters` characters, and without those that XML forbids.
pub(super) fn shortened(text: &str, characters: usize) -> String {
    let text = plain(text);
    if text.chars().nth(characters).is_none() {
        return text;
    }
    let mut short: String = text.chars().take(characters.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// About how wide a text is.
pub(super) fn estimated_width(text: &str) -> u32 {
    let characters = text.chars().map(|character| {
        // Ideographs are as wide as high.
        if u32::from(character) < 0x1100 {
            CHARACTER
        } else {
            FONT
        }
    });
    characters.sum::<f64>().ceil() as u32
}

fn text_style<'a>(horizontal: HPos, vertical: VPos) -> TextStyle<'a> {
    ("sans-serif", FONT * FONT_FACTOR)
        .into_font()
        .color(&INK)
        .pos(Pos::new(horizontal, vertical))
}

impl Frame<'_> {
    /// The SVG, with what `data` draws.
    pub fn draw(mut self, data: impl FnOnce(&Canvas<'_, '_>) -> Result<()>) -> Result<String> {
        if self.axes.is_none() {
            self.key.clear();
        }
        if self.key.len() > MOST_KEYS {
            self.key.truncate(MOST_KEYS);
            self.key.push((Sample::Marked, "and more".to_string()));
        }
        let key = key_places(&self.key);
        let key_height = key.last().map_or(0, |(_, y)| *y as u32 + KEY_LINE);
        let size = (WIDTH, self.height + key_height);
        let mut drawing = String::new();
        {
            let root = SVGBackend::with_string(&mut drawing, size).into_drawing_area();
            match self.axes.take() {
                None => {
                    let middle = (WIDTH as i32 / 2, size.1 as i32 / 2);
                    let style = text_style(HPos::Center, VPos::Center);
                    root.draw(&Text::new("no data", middle, style))
                        .map_err(failed)?;
                }
                Some((x, y)) => self.draw_axes(&root, x, y, key_height, data)?,
            }
            for ((sample, name), (x, y)) in self.key.iter().zip(&key) {
                draw_key(&root, *sample, name, (*x, *y + self.height as i32))?;
            }
            root.present().map_err(failed)?;
        }
        Ok(finish(
            &drawing,
            size,
            &self.labels.title,
            &self.description,
        ))
    }

    fn draw_axes(
        &self,
        root: &Root<'_>,
        x: Axis,
        y: Axis,
        key_height: u32,
        data: impl FnOnce(&Canvas<'_, '_>) -> Result<()>,
    ) -> Result<()> {
        let line = FONT as u32;
        let title = |text: &str| if text.is_empty() { 0 } else { line + GAP };
        let ticks = estimated_width(&"0".repeat(y.label_length())) + 2 * GAP;
        let left = self.left.unwrap_or(ticks) + title(&self.labels.y);
        let mut chart = ChartBuilder::on(root)
            .margin_top(GAP)
            .margin_right(2 * GAP)
            .margin_bottom(key_height + GAP / 2)
            .margin_left(GAP / 2)
            .x_label_area_size(line + GAP + GAP / 2 + title(&self.labels.x))
            .y_label_area_size(left)
            .build_cartesian_2d(x, y)
            .map_err(failed)?;
        let style = text_style(HPos::Center, VPos::Center);
        let mut mesh = chart.configure_mesh();
        mesh.bold_line_style(INK.mix(0.15).stroke_width(1))
            .axis_style(INK.mix(0.6).stroke_width(2))
            .label_style(style.clone())
            .axis_desc_style(style)
            .set_all_tick_mark_size(8);
        if !self.vertical_grid {
            mesh.disable_x_mesh();
        }
        // As many characters as there is room for.
        if !self.labels.x.is_empty() {
            mesh.x_desc(shortened(&self.labels.x, 50));
        }
        if !self.labels.y.is_empty() {
            let room = self.height.saturating_sub(4 * GAP);
            mesh.y_desc(shortened(
                &self.labels.y,
                (f64::from(room) / CHARACTER) as usize,
            ));
        }
        mesh.draw().map_err(failed)?;
        let coordinates = chart.as_coord_spec();
        data(&Canvas {
            root,
            left: coordinates.get_x_axis_pixel_range().start,
            place: &|point| coordinates.translate(&point),
        })
    }
}

/// The places of the entries of a key, line by line, relative to the key.
fn key_places(key: &[(Sample, String)]) -> Vec<(i32, i32)> {
    let mut place = (GAP as i32, 0);
    key.iter()
        .map(|(_, name)| {
            let name = shortened(name, LONGEST_NAME);
            let width = KEY_SAMPLE + estimated_width(&name) as i32 + 2 * GAP as i32;
            if place.0 > GAP as i32 && place.0 + width > WIDTH as i32 {
                place = (GAP as i32, place.1 + KEY_LINE as i32);
            }
            let found = place;
            place.0 += width;
            found
        })
        .collect()
}

fn draw_key(root: &Root<'_>, sample: Sample, name: &str, (x, y): (i32, i32)) -> Result<()> {
    let middle = y + KEY_LINE as i32 / 2;
    let here = Canvas {
        root,
        left: x,
        place: &|(dx, dy)| (x + dx as i32, middle + dy as i32),
    };
    let end = f64::from(KEY_SAMPLE - 12);
    match sample {
        Sample::Line(index) => {
            here.line(&[(0.0, 0.0), (end, 0.0)], line_colour(index))?;
            here.marker((end / 2.0, 0.0), index, 7.0, 1.0)?;
        }
        Sample::Marker(index) => here.marker((end / 2.0, 0.0), index, 9.0, 1.0)?,
        Sample::Area(index) => {
            here.area((0.0, -9.0), (end, 9.0), colour(index).mix(0.4))?;
            let outline = [(0.0, 9.0), (0.0, -9.0), (end, -9.0), (end, 9.0), (0.0, 9.0)];
            here.line(&outline, line_colour(index))?;
        }
        Sample::Marked => here.ring((end / 2.0, 0.0), 12.0)?,
        Sample::Threshold => here.line(&[(0.0, 0.0), (end, 0.0)], DASHED_INK)?,
    }
    let name = shortened(name, LONGEST_NAME);
    here.text((f64::from(KEY_SAMPLE), 0.0), (0, 0), &name, HPos::Left)
}

impl Canvas<'_, '_> {
    /// A line through points.
    pub fn line(&self, points: &[(f64, f64)], colour: RGBColor) -> Result<()> {
        let mut points: Vec<(i32, i32)> = points.iter().map(|point| (self.place)(*point)).collect();
        // Several values in one place are one.
        points.dedup();
        self.root
            .draw(&PathElement::new(points, colour.stroke_width(LINE)))
            .map_err(failed)
    }

    /// A thin line in the colour of the axes.
    pub fn rule(&self, from: (f64, f64), to: (f64, f64)) -> Result<()> {
        let ends = [from, to].map(|point| (self.place)(point));
        let style = INK.mix(0.6).stroke_width(2);
        self.root
            .draw(&PathElement::new(ends, style))
            .map_err(failed)
    }

    /// A filled rectangle between two corners.
    pub fn area(&self, from: (f64, f64), to: (f64, f64), colour: RGBAColor) -> Result<()> {
        let corners = [(self.place)(from), (self.place)(to)];
        self.root
            .draw(&Rectangle::new(corners, colour.filled()))
            .map_err(failed)
    }

    /// The marker of series `index`.
    pub fn marker(&self, point: (f64, f64), index: usize, radius: f64, opacity: f64) -> Result<()> {
        self.shape(point, index, radius, colour(index).mix(opacity))
    }

    /// The marker of series `index` with an outline in the colour of the text.
    pub fn outlined_marker(&self, point: (f64, f64), index: usize, radius: f64) -> Result<()> {
        self.shape(point, index, radius + 4.0, INK.to_rgba())?;
        self.shape(point, index, radius, colour(index).to_rgba())
    }

    fn shape(&self, point: (f64, f64), index: usize, radius: f64, colour: RGBAColor) -> Result<()> {
        let (x, y) = (self.place)(point);
        let corners = shape(index);
        if corners.is_empty() {
            let circle = Circle::new((x, y), radius as i32, colour.filled());
            return self.root.draw(&circle).map_err(failed);
        }
        let corners: Vec<(i32, i32)> = corners
            .iter()
            .map(|(dx, dy)| {
                let offset = |part: f64| (part * radius).round() as i32;
                (x + offset(*dx), y + offset(*dy))
            })
            .collect();
        self.root
            .draw(&Polygon::new(corners, colour))
            .map_err(failed)
    }

    /// An empty circle in the colour of the text.
    fn ring(&self, point: (f64, f64), radius: f64) -> Result<()> {
        let style: ShapeStyle = INK.stroke_width(LINE);
        self.root
            .draw(&Circle::new((self.place)(point), radius as i32, style))
            .map_err(failed)
    }

    /// A line of text beside a point, `offset` away from it.
    pub fn text(
        &self,
        point: (f64, f64),
        offset: (i32, i32),
        text: &str,
        horizontal: HPos,
    ) -> Result<()> {
        let (x, y) = (self.place)(point);
        let at = (x + offset.0, y + offset.1);
        let style = text_style(horizontal, VPos::Center);
        self.root
            .draw(&Text::new(plain(text), at, style))
            .map_err(failed)
    }

    /// A line of text left of the plot, at the height of `y`.
    pub fn left_text(&self, y: f64, text: &str) -> Result<()> {
        let at = (self.left - 12, (self.place)((0.0, y)).1);
        let style = text_style(HPos::Right, VPos::Center);
        self.root
            .draw(&Text::new(plain(text), at, style))
            .map_err(failed)
    }
}
