//! Pictures: images and prototypes in grids, relevance as colours, panels with captions, and charts.
//!
//! * [`Grid`], [`prototype_grid`], [`reconstruction_grid`], [`image_pictures`]: images as they are.
//! * [`relevance_picture`], [`overlay`], [`RelevanceScale`], [`Legend`]: which pixels speak for a target (red) and against it
//!   (blue).
//! * [`boxed`], [`cut_out`]: parts of pictures.
//! * [`Panel`]: pictures in rows and columns with headings, labels and captions.
//! * [`concept_panel`]: the images with most of each concept.
//! * [`charts`]: curves, bars, points and histograms as SVG.
//! * [`save_png`], [`png_bytes`]: any picture as PNG.

pub mod charts;
mod colour;
mod concept_panel;
mod grid;
mod legend;
mod number;
mod panel;
mod png;
mod region;
mod relevance_map;
mod text;

pub use colour::diverging_colour;
pub use concept_panel::concept_panel;
pub use grid::{Grid, image_pictures, prototype_grid, reconstruction_grid};
pub use legend::Legend;
pub use number::brief_number;
pub use panel::{Panel, PanelCell, PanelRow};
pub use png::{png_bytes, save_png};
pub use region::{boxed, cut_out};
pub use relevance_map::{RelevanceMaps, RelevanceScale, overlay, relevance_picture};
pub use text::{TextStyle, draw_text, text_width, truncate_text};
