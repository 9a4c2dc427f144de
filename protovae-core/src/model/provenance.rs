//! Where a prototype comes from, if it comes from a training image.

use serde::{Deserialize, Serialize};

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// The first row.
    pub top: usize,
    /// The first column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// The share of an upsampled map that lies below what a region holds.
const BELOW: f64 = 0.95;

impl Region {
    /// A whole image of so many rows and columns.
    pub fn whole(height: usize, width: usize) -> Self {
        Self {
            top: 0,
            left: 0,
            height,
            width,
        }
    }

    /// Whether it is the whole of an image of so many rows and columns.
    pub fn is_whole(&self, height: usize, width: usize) -> bool {
        *self == Self::whole(height, width)
    }

    /// Where a map is largest: the smallest rectangle of an image of `image` rows and columns that holds everything at or above
    /// the 95th percentile of the map upsampled to it ([`upsampled`]). The whole image for a map without values.
    ///
    /// ```
    /// use protovae_core::model::Region;
    /// let mut map = [0.0; 16];
    /// map[5] = 1.0; // second row, second column
    /// let region = Region::of_largest(&map, [4, 4], [4, 4]);
    /// assert_eq!(region, Region { top: 1, left: 1, height: 1, width: 1 });
    /// ```
    pub fn of_largest(map: &[f32], size: [usize; 2], image: [usize; 2]) -> Self {
        let [height, width] = image;
        let large = upsampled(map, size, image);
        let mut sorted = large.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return Self::whole(height, width);
        };
        // Between two values as NumPy's percentile has it.
        let place = BELOW * last as f64;
        let (below, above) = (
            sorted[place.floor() as usize],
            sorted[place.ceil() as usize],
        );
        let limit = f64::from(below) + (f64::from(above) - f64::from(below)) * place.fract();
        let held = large.iter().enumerate();
        let held = held.filter(|(_, value)| f64::from(**value) >= limit);
        let bounds = held.fold(None, |bounds: Option<[usize; 4]>, (pixel, _)| {
            let (y, x) = (pixel / width, pixel % width);
            let [top, left, bottom, right] = bounds.unwrap_or([y, x, y, x]);
            Some([top.min(y), left.min(x), bottom.max(y), right.max(x)])
        });
        match bounds {
            Some([top, left, bottom, right]) => Self {
                top,
                left,
                height: bottom + 1 - top,
                width: right + 1 - left,
            },
            None => Self::whole(height, width),
        }
    }
}

/// A map of `size` rows and columns, row by row, at the size `image`: bilinear between the middles of its cells, constant beyond
/// the outermost. Empty if there are not as many values as `size` says, or none.
///
/// ```
/// use protovae_core::model::upsampled;
/// assert_eq!(upsampled(&[0.0, 4.0], [1, 2], [1, 4]), [0.0, 1.0, 3.0, 4.0]);
/// ```
pub fn upsampled(map: &[f32], size: [usize; 2], image: [usize; 2]) -> Vec<f32> {
    if map.is_empty() || size[0].checked_mul(size[1]) != Some(map.len()) {
        return Vec::new();
    }
    // For each pixel the cells on either side of it, and how far it is on its way to the second.
    let between = |cells: usize, pixels: usize| -> Vec<(usize, usize, f32)> {
        let scale = cells as f64 / pixels.max(1) as f64;
        let at = |pixel: usize| ((pixel as f64 + 0.5) * scale - 0.5).clamp(0.0, (cells - 1) as f64);
        (0..pixels)
            .map(at)
            .map(|at| {
                let first = at.floor() as usize;
                (first, (first + 1).min(cells - 1), at.fract() as f32)
            })
            .collect()
    };
    let columns = between(size[1], image[1]);
    let mut large = Vec::with_capacity(image[0] * image[1]);
    for (above, below, down) in between(size[0], image[0]) {
        let row = |row: usize| &map[row * size[1]..(row + 1) * size[1]];
        let (above, below) = (row(above), row(below));
        large.extend(columns.iter().map(|(left, right, along)| {
            let mix = |row: &[f32]| row[*left] + (row[*right] - row[*left]) * along;
            let (above, below) = (mix(above), mix(below));
            above + (below - above) * down
        }));
    }
    large
}

/// The part of a training image that a prototype is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The image's index in the training set.
    pub sample: u64,
    /// The place of the patch in the maps that prototypes are compared with, row and column; none if the prototype is the
    /// whole image.
    pub patch: Option<[usize; 2]>,
    /// What of the image the prototype shows.
    pub region: Region,
}
