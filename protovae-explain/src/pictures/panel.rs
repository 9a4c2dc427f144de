//! Pictures in rows and columns, with headings, labels and captions.

use image::{DynamicImage, Rgb, RgbImage, imageops};

use super::grid::LARGEST_SIDE;
use super::legend::Legend;
use super::text::{TextStyle, draw_text, text_width, truncate_text};
use crate::error::{Error, Result};

/// Pictures of one size in rows and columns on white.
///
/// Empty texts take no room. Text that is wider than its place is cut off with an ellipsis.
///
/// ```
/// use image::RgbImage;
/// use protovae_explain::pictures::{Legend, Panel, PanelCell, PanelRow};
/// let panel = Panel {
///     headings: vec!["input".into(), "relevance".into()],
///     rows: vec![PanelRow {
///         label: "image 7".into(),
///         cells: vec![
///             PanelCell::new(RgbImage::new(56, 56), ""),
///             PanelCell::new(RgbImage::new(56, 56), "similarity 0.98"),
///         ],
///     }],
///     legend: Some(Legend::default()),
///     ..Panel::default()
/// };
/// assert!(panel.draw()?.width() > 112);
/// # Ok::<(), protovae_explain::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Panel {
    /// A line above everything.
    pub title: String,
    /// One for each column; there may be fewer or more than cells in a row.
    pub headings: Vec<String>,
    /// From top to bottom.
    pub rows: Vec<PanelRow>,
    /// The meaning of the colours, below everything.
    pub legend: Option<Legend>,
}

/// A row of a [`Panel`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PanelRow {
    /// Left of the row.
    pub label: String,
    /// From left to right.
    pub cells: Vec<PanelCell>,
}

/// A place of a [`Panel`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PanelCell {
    /// A picture of the size of all others, or nothing.
    pub picture: Option<RgbImage>,
    /// One short line below the picture.
    pub caption: String,
}

impl PanelCell {
    /// A picture with its caption.
    pub fn new(picture: RgbImage, caption: impl Into<String>) -> Self {
        Self {
            picture: Some(picture),
            caption: caption.into(),
        }
    }

    /// A place that stays white.
    pub fn empty() -> Self {
        Self::default()
    }
}

/// Pixels around everything.
const MARGIN: usize = 12;
/// Pixels between columns and between rows.
const GAP: usize = 10;
/// Pixels between a picture and its caption, and between a line and what it stands above.
const LINE_GAP: usize = 3;
/// Row labels are cut off at this width.
const WIDEST_LABEL: usize = 196;
/// Columns are widened for their texts up to this width, and for their pictures to any.
const WIDEST_FOR_TEXT: usize = 140;
/// The panel is widened for its title up to this width.
const WIDEST_TITLE: usize = 640;
/// Most pixels of a panel: 800 MB.
const LARGEST_AREA: usize = 1 << 28;

const TITLE: TextStyle = TextStyle {
    large: true,
    ..TextStyle::BOLD
};
const HEADING: TextStyle = TextStyle::BOLD;
const PLAIN: TextStyle = TextStyle::PLAIN;

/// Where things stand, in pixels.
struct Layout {
    width: usize,
    height: usize,
    picture: (usize, usize),
    label: usize,
    columns: Vec<usize>,
    /// Upper edge of the headings, of each row, and of the legend.
    headings: usize,
    rows: Vec<usize>,
    legend: usize,
}

impl Panel {
    /// Draws the panel.
    ///
    /// # Errors
    /// [`Error::Shape`], with `[rows, columns, height, width]` of the pictures, if there is no picture, if pictures differ in
    /// size, or beyond 32,768 pixels a side or 268 million in all.
    pub fn draw(&self) -> Result<DynamicImage> {
        let layout = self.layout()?;
        let size = (layout.width as u32, layout.height as u32);
        let mut panel = RgbImage::from_pixel(size.0, size.1, Rgb([255; 3]));
        let at = |x: usize, y: usize| (x as i64, y as i64);
        let inner = layout.width - 2 * MARGIN;
        let title = truncate_text(&self.title, inner, TITLE);
        draw_text(&mut panel, at(MARGIN, MARGIN), &title, TITLE);

        let mut left = MARGIN + layout.label;
        for (column, width) in layout.columns.iter().enumerate() {
            let centred = |text: &str, style| {
                let text = truncate_text(text, *width, style);
                let indent = (width - text_width(&text, style)) / 2;
                (text, left + indent)
            };
            if let Some(heading) = self.headings.get(column) {
                let (text, x) = centred(heading, HEADING);
                draw_text(&mut panel, at(x, layout.headings), &text, HEADING);
            }
            for (row, top) in self.rows.iter().zip(&layout.rows) {
                let Some(cell) = row.cells.get(column) else {
                    continue;
                };
                if let Some(picture) = &cell.picture {
                    let (x, y) = at(left + (width - layout.picture.0) / 2, *top);
                    imageops::replace(&mut panel, picture, x, y);
                }
                let (text, x) = centred(&cell.caption, PLAIN);
                let below = top + layout.picture.1 + LINE_GAP;
                draw_text(&mut panel, at(x, below), &text, PLAIN);
            }
            left += width + GAP;
        }
        for (row, top) in self.rows.iter().zip(&layout.rows) {
            let label = truncate_text(&row.label, WIDEST_LABEL, PLAIN);
            let y = top + layout.picture.1.saturating_sub(PLAIN.height()) / 2;
            draw_text(&mut panel, at(MARGIN, y), &label, PLAIN);
        }
        if let Some(legend) = &self.legend {
            let legend = legend.draw(inner.min(320) as u32);
            let (x, y) = at((layout.width - legend.width() as usize) / 2, layout.legend);
            imageops::replace(&mut panel, &legend, x, y);
        }
        Ok(panel.into())
    }

    fn layout(&self) -> Result<Layout> {
        let cells = || self.rows.iter().flat_map(|row| &row.cells);
        let pictures = || cells().filter_map(|cell| cell.picture.as_ref());
        let columns = self.rows.iter().map(|row| row.cells.len());
        let columns = columns.chain([self.headings.len()]).max().unwrap_or(0);
        let picture = pictures().next().map_or((0, 0), |picture| {
            (picture.width() as usize, picture.height() as usize)
        });
        let fail = |reason| {
            let shape = [self.rows.len(), columns, picture.1, picture.0];
            Err(Error::Shape { shape, reason })
        };
        if picture.0 == 0 || picture.1 == 0 {
            return fail("there is nothing to draw");
        }
        if pictures().any(|other| (other.width() as usize, other.height() as usize) != picture) {
            return fail("the pictures of a panel differ in size");
        }
        let beyond = "the panel would be larger than 32,768 pixels a side or 268 million in all";
        // What follows multiplies and adds no more than a few numbers up to this one.
        let largest = [picture.0, picture.1, columns, self.rows.len()];
        if largest.into_iter().any(|side| side > LARGEST_SIDE) {
            return fail(beyond);
        }

        let widest = |texts: &mut dyn Iterator<Item = &String>, style| {
            texts.map(|text| text_width(text, style)).max().unwrap_or(0)
        };
        let label = widest(&mut self.rows.iter().map(|row| &row.label), PLAIN).min(WIDEST_LABEL);
        let label = if label > 0 { label + GAP } else { 0 };
        let columns: Vec<usize> = (0..columns)
            .map(|column| {
                let heading = widest(&mut self.headings.get(column).into_iter(), HEADING);
                let mut captions = self
                    .rows
                    .iter()
                    .filter_map(|row| row.cells.get(column))
                    .map(|cell| &cell.caption);
                let text = heading.max(widest(&mut captions, PLAIN));
                text.min(WIDEST_FOR_TEXT).max(picture.0)
            })
            .collect();
        let content = label + columns.iter().map(|width| width + GAP).sum::<usize>() - GAP;
        let title = text_width(&self.title, TITLE).min(WIDEST_TITLE);
        let legend = self.legend.map_or(0, |_| *Legend::WIDTHS.start() as usize);
        let width = content.max(title).max(legend) + 2 * MARGIN;

        let mut top = MARGIN;
        if !self.title.is_empty() {
            top += TITLE.height() + GAP;
        }
        let headings = top;
        if self.headings.iter().any(|heading| !heading.is_empty()) {
            top += HEADING.height() + LINE_GAP;
        }
        let mut rows = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            rows.push(top);
            top += picture.1 + GAP;
            if row.cells.iter().any(|cell| !cell.caption.is_empty()) {
                top += LINE_GAP + PLAIN.height();
            }
        }
        let legend = top;
        if self.legend.is_some() {
            top += Legend::HEIGHT as usize + GAP;
        }
        let height = top - GAP + MARGIN;
        if width.max(height) > LARGEST_SIDE || width * height > LARGEST_AREA {
            return fail(beyond);
        }
        Ok(Layout {
            width,
            height,
            picture,
            label,
            columns,
            headings,
            rows,
            legend,
        })
    }
}
