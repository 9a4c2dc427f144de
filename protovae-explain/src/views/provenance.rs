//! Prototypes as the training images that they are, or are part of.

use burn::tensor::Tensor;
use image::{Rgb, RgbImage, imageops};
use protovae_core::model::{BoxModel, Provenance};
use protovae_core::{Error as CoreError, ImageShape};

use super::values;
use crate::error::{Error, Result};
use crate::pictures::{boxed, cut_out, image_pictures};

/// The training images that the prototypes of a model come from.
///
/// For models that take prototypes from images, whole (`Provenance::patch` is none) or in part, whether they have a decoder or
/// not: what such a prototype stands for is what it was taken from.
///
/// ```
/// # use burn::tensor::{Device, Tensor};
/// # use protovae_core::{ImageShape, model::{ModelConfig, ModelSpec}, random::Initializer};
/// # use protovae_backbones as _;
/// # let recipe = r#"{"type": "protopnet", "channels": 4, "encoder": {"type": "conv-pool", "widths": [4]}}"#;
/// # let config: Box<dyn ModelConfig> = serde_json::from_str(recipe)?;
/// # let spec = ModelSpec { image: ImageShape::new(1, 8, 8), classes: 2 };
/// # let model = config.build(&spec, &mut Initializer::new(1, &Device::flex()))?;
/// use protovae_explain::views::PrototypeImages;
/// let images = |rows: &[usize]| Ok(Tensor::zeros([rows.len(), 1, 8, 8], &Device::flex()));
/// let shown = PrototypeImages::of(&model, 100, &images)?;
/// // Before its first push a ProtoPNet's prototypes come from no images.
/// assert_eq!(shown.map(|shown| shown.words(0)), Some("from no training image yet".to_string()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct PrototypeImages {
    shape: ImageShape,
    per_class: usize,
    each: Vec<Option<PrototypeImage>>,
}

/// Where one prototype comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct PrototypeImage {
    /// The place.
    pub provenance: Provenance,
    /// The whole image, `C·H·W` values in `[-1, 1]`.
    pub image: Vec<f32>,
}

/// The grey of places without a picture, as in grids.
const BACKGROUND: Rgb<u8> = Rgb([96; 3]);

/// Pixels between the pictures of a sheet.
const GAP: u32 = 4;

/// Pixels that an image's height has in a sheet, about.
const SHEET: usize = 96;

impl PrototypeImages {
    /// Fetches the images of a model's prototypes from `count` training images; none if its prototypes do not come from images.
    ///
    /// # Errors
    /// Those of `images`; if a prototype comes from an image beyond the last, for then these are other data.
    pub fn of(
        model: &BoxModel,
        count: usize,
        images: &dyn Fn(&[usize]) -> Result<Tensor<4>>,
    ) -> Result<Option<Self>> {
        let (Some(places), Some(bank)) = (model.provenance(), model.prototypes()) else {
            return Ok(None);
        };
        let shape = model.image_shape();
        let mut rows = Vec::new();
        for place in places.iter().flatten() {
            let row = usize::try_from(place.sample).unwrap_or(usize::MAX);
            if row >= count {
                let reason = format!(
                    "a prototype comes from training image {row}, but there are {count}: the model was trained on other data"
                );
                return Err(Error::Core(CoreError::config("data", reason)));
            }
            rows.push(row);
        }
        let pixels = match rows.is_empty() {
            true => Vec::new(),
            false => values(images(&rows)?),
        };
        let mut found = pixels.chunks_exact(shape.values().max(1));
        let each = places.into_iter().map(|place| {
            Some(PrototypeImage {
                provenance: place?,
                image: found.next()?.to_vec(),
            })
        });
        Ok(Some(Self {
            shape,
            per_class: bank.per_class,
            each: each.collect(),
        }))
    }

    /// Where the prototype in this row of the bank comes from; none if it is not known.
    pub fn get(&self, row: usize) -> Option<&PrototypeImage> {
        self.each.get(row)?.as_ref()
    }

    /// Whether the place of a prototype is part of its image only.
    fn is_part(&self, place: &PrototypeImage) -> bool {
        let ImageShape { height, width, .. } = self.shape;
        !place.provenance.region.is_whole(height, width)
    }

    /// The image of a prototype, a pixel `enlargement` times as large, with a box around its region if that is not all of it.
    ///
    /// # Errors
    /// [`Error::Shape`] for images that are neither grey nor coloured.
    pub fn picture(&self, row: usize, enlargement: usize) -> Result<Option<RgbImage>> {
        let Some(place) = self.get(row) else {
            return Ok(None);
        };
        let whole = self.plain(place, enlargement)?;
        Ok(match self.is_part(place) {
            true => Some(boxed(&whole, place.provenance.region, enlargement)),
            false => Some(whole),
        })
    }

    /// The region of a prototype alone, a pixel `enlargement` times as large; none if it is the whole image.
    ///
    /// # Errors
    /// [`Error::Shape`] for images that are neither grey nor coloured.
    pub fn part(&self, row: usize, enlargement: usize) -> Result<Option<RgbImage>> {
        match self.get(row).filter(|place| self.is_part(place)) {
            Some(place) => {
                let whole = self.plain(place, enlargement)?;
                Ok(Some(cut_out(&whole, place.provenance.region, enlargement)))
            }
            None => Ok(None),
        }
    }

    fn plain(&self, place: &PrototypeImage, enlargement: usize) -> Result<RgbImage> {
        let ImageShape {
            channels,
            height,
            width,
        } = self.shape;
        let shape = [1, channels, height, width];
        let data = burn::tensor::TensorData::new(place.image.clone(), shape);
        let tensor = Tensor::from_data(data, &burn::tensor::Device::flex());
        let mut pictures = image_pictures(tensor, enlargement)?;
        pictures.pop().ok_or(Error::Shape {
            shape,
            reason: "there is nothing to draw",
        })
    }

    /// Where a prototype comes from, in words: `training image 17, rows 3 to 14, columns 0 to 9`.
    pub fn words(&self, row: usize) -> String {
        let Some(place) = self.get(row) else {
            return "from no training image yet".to_string();
        };
        place_in_words(&place.provenance, self.shape)
    }

    /// All prototypes, a row a class: the image of each with its box and, beside it, the boxed part enlarged, unless all
    /// prototypes are whole images.
    ///
    /// # Errors
    /// [`Error::Shape`] for images that are neither grey nor coloured, or none.
    pub fn sheet(&self) -> Result<RgbImage> {
        let ImageShape {
            channels,
            height,
            width,
        } = self.shape;
        let fail = |reason| Error::Shape {
            shape: [self.each.len(), channels, height, width],
            reason,
        };
        if self.each.is_empty() || self.per_class == 0 {
            return Err(fail("there is nothing to draw"));
        }
        let enlargement = (SHEET / height.max(1)).clamp(1, 4);
        let cell = [width * enlargement, height * enlargement].map(|side| side as u32);
        let parts = self.each.iter().flatten().any(|place| self.is_part(place));
        let across = self.per_class * if parts { 2 } else { 1 };
        let down = self.each.len().div_ceil(self.per_class);
        let side = |cells: usize, pixels: u32| {
            let cells = u32::try_from(cells).ok()?;
            let side = cells
                .checked_mul(pixels.checked_add(GAP)?)?
                .checked_add(GAP)?;
            (side <= 1 << 15).then_some(side)
        };
        let (Some(sheet_width), Some(sheet_height)) = (side(across, cell[0]), side(down, cell[1]))
        else {
            return Err(fail(
                "the picture would be larger than 32,768 pixels a side",
            ));
        };
        let mut sheet = RgbImage::from_pixel(sheet_width, sheet_height, BACKGROUND);
        for row in 0..self.each.len() {
            let mut cells = vec![self.picture(row, enlargement)?];
            if parts {
                let part = self.part(row, 1)?;
                cells.push(part.map(|part| fitted(&part, cell)));
            }
            let first = row % self.per_class * cells.len();
            let top = i64::from(GAP) + (row / self.per_class) as i64 * i64::from(cell[1] + GAP);
            for (column, picture) in cells.into_iter().enumerate() {
                let left = i64::from(GAP) + (first + column) as i64 * i64::from(cell[0] + GAP);
                if let Some(picture) = picture {
                    let middle =
                        |space: u32, taken: u32| i64::from(space.saturating_sub(taken) / 2);
                    let [x, y] = [
                        left + middle(cell[0], picture.width()),
                        top + middle(cell[1], picture.height()),
                    ];
                    imageops::replace(&mut sheet, &picture, x, y);
                }
            }
        }
        Ok(sheet)
    }
}

/// A picture as often enlarged as fits, pixel by pixel.
fn fitted(picture: &RgbImage, [width, height]: [u32; 2]) -> RgbImage {
    let times = |space: u32, taken: u32| space / taken.max(1);
    let times = times(width, picture.width())
        .min(times(height, picture.height()))
        .max(1);
    let (width, height) = (picture.width() * times, picture.height() * times);
    imageops::resize(picture, width, height, imageops::FilterType::Nearest)
}

/// A place in words: `training image 17, rows 3 to 14, columns 0 to 9`, all counted from 0; without rows and columns if it is
/// the whole of an image of this shape.
pub fn place_in_words(place: &Provenance, shape: ImageShape) -> String {
    let region = place.region;
    let image = format!("training image {}", place.sample);
    if region.is_whole(shape.height, shape.width) {
        return image;
    }
    format!(
        "{image}, rows {} to {}, columns {} to {}",
        region.top,
        region.top + region.height.max(1) - 1,
        region.left,
        region.left + region.width.max(1) - 1,
    )
}
