//! Grids of images, and images one by one.

use burn::tensor::Tensor;
use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};
use protovae_core::model::BoxModel;

use crate::check::check_images;
use crate::error::{Error, Result};

/// How images are laid out: row by row, `columns` a row, each pixel `scale` times as large, `gap` pixels between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Images a row, at least 1.
    pub columns: usize,
    /// Pixels a side that one pixel becomes, at least 1.
    pub scale: usize,
    /// Pixels between and around images.
    pub gap: usize,
}

/// A picture may have this many pixels a side at most.
pub(super) const LARGEST_SIDE: usize = 1 << 15;

/// The grey between images.
const BACKGROUND: u8 = 96;

impl Grid {
    /// A grid whose small images are enlarged to about 64 pixels.
    pub fn new(columns: usize, image_height: usize) -> Self {
        Self {
            columns,
            scale: (64 / image_height.max(1)).clamp(1, 4),
            gap: 4,
        }
    }

    /// Draws images `[N, C, H, W]` with values in `[-1, 1]` (others are cut off), grey for C = 1 and colour for C = 3.
    ///
    /// # Errors
    /// [`Error::Shape`] for no images, other numbers of channels, or a picture beyond 32,768 pixels a side.
    pub fn draw(&self, images: Tensor<4>) -> Result<DynamicImage> {
        let shape = images.dims();
        let [count, channels, height, width] = shape;
        let fail = |reason| Err(Error::Shape { shape, reason });
        if count == 0 || height == 0 || width == 0 {
            return fail("there is nothing to draw");
        }
        if channels != 1 && channels != 3 {
            return fail("pictures have one or three channels");
        }
        let columns = self.columns.clamp(1, count);
        let rows = count.div_ceil(columns);
        let scale = self.scale.max(1);
        let side = |images: usize, pixels: usize| {
            pixels
                .checked_mul(scale)
                .and_then(|pixels| pixels.checked_add(self.gap))
                .and_then(|cell| cell.checked_mul(images))
                .and_then(|all| all.checked_add(self.gap))
                .filter(|all| *all <= LARGEST_SIDE)
        };
        let (Some(picture_width), Some(picture_height)) =
            (side(columns, width), side(rows, height))
        else {
            return fail("the picture would be larger than 32,768 pixels a side");
        };
        let bytes: Vec<u8> = images.into_data().iter::<f32>().map(to_byte).collect();
        let plane = height * width;
        // Where a pixel of the picture comes from: an image, and an offset within a channel.
        let source = |x: u32, y: u32| {
            let locate = |position: u32, pixels: usize| {
                let cell = pixels * scale + self.gap;
                let position = (position as usize).checked_sub(self.gap)?;
                let within = position % cell;
                (within < pixels * scale).then_some((position / cell, within / scale))
            };
            let (column, x) = locate(x, width)?;
            let (row, y) = locate(y, height)?;
            let index = row * columns + column;
            (index < count).then_some((index * channels * plane, y * width + x))
        };
        let byte = |x, y, channel: usize| match source(x, y) {
            Some((image, offset)) => bytes[image + channel * plane + offset],
            None => BACKGROUND,
        };
        let (picture_width, picture_height) = (picture_width as u32, picture_height as u32);
        Ok(if channels == 1 {
            GrayImage::from_fn(picture_width, picture_height, |x, y| Luma([byte(x, y, 0)])).into()
        } else {
            RgbImage::from_fn(picture_width, picture_height, |x, y| {
                Rgb([byte(x, y, 0), byte(x, y, 1), byte(x, y, 2)])
            })
            .into()
        })
    }
}

/// Each of images `[N, C, H, W]` with values in `[-1, 1]` (others are cut off) as its own picture, a pixel `enlargement` times
/// as large: grey for C = 1, colour for C = 3.
///
/// # Errors
/// [`Error::Shape`] as for [`Grid::draw`].
pub fn image_pictures(images: Tensor<4>, enlargement: usize) -> Result<Vec<RgbImage>> {
    let shape = images.dims();
    let [_, channels, height, width] = shape;
    check(shape, enlargement)?;
    if channels != 1 && channels != 3 {
        return Err(Error::Shape {
            shape,
            reason: "pictures have one or three channels",
        });
    }
    let bytes: Vec<u8> = images.into_data().iter::<f32>().map(to_byte).collect();
    let plane = height * width;
    Ok(bytes
        .chunks_exact(channels * plane)
        .map(|image| {
            enlarged([height, width], enlargement, |offset| {
                let byte = |channel: usize| image[channel.min(channels - 1) * plane + offset];
                Rgb([byte(0), byte(1), byte(2)])
            })
        })
        .collect())
}

/// Whether images `[N, C, H, W]` can be drawn at all, each pixel `enlargement` times as large.
pub(super) fn check(shape: [usize; 4], enlargement: usize) -> Result<()> {
    let [_, _, height, width] = shape;
    let fail = |reason| Err(Error::Shape { shape, reason });
    if shape.contains(&0) {
        return fail("there is nothing to draw");
    }
    let side = height.max(width).saturating_mul(enlargement.max(1));
    if side > LARGEST_SIDE {
        return fail("the picture would be larger than 32,768 pixels a side");
    }
    Ok(())
}

/// A picture whose pixel at offset `y·width + x` becomes a square of `enlargement` pixels a side.
pub(super) fn enlarged(
    [height, width]: [usize; 2],
    enlargement: usize,
    pixel: impl Fn(usize) -> Rgb<u8>,
) -> RgbImage {
    let enlargement = enlargement.max(1);
    let colours: Vec<Rgb<u8>> = (0..height * width).map(pixel).collect();
    RgbImage::from_fn(
        (width * enlargement) as u32,
        (height * enlargement) as u32,
        |x, y| colours[y as usize / enlargement * width + x as usize / enlargement],
    )
}

/// From `[-1, 1]` to `0..=255`; NaN becomes black.
pub(super) fn to_byte(value: f32) -> u8 {
    ((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round() as u8
}

/// The decoded prototypes of a model in evaluation mode, one row a class.
///
/// # Errors
/// If the model has no prototypes or no decoder.
pub fn prototype_grid(model: &BoxModel) -> Result<DynamicImage> {
    let unsupported = |what| protovae_core::Error::Unsupported {
        model: model.kind().to_string(),
        what,
    };
    let bank = model
        .prototypes()
        .ok_or_else(|| unsupported("prototypes"))?;
    let decoded = model
        .decode(bank.vectors)
        .ok_or_else(|| unsupported("decoder"))?;
    Grid::new(bank.per_class, model.image_shape().height).draw(decoded)
}

/// Images `[N, C, H, W]` beside their reconstructions, `pairs` pairs a row.
///
/// # Errors
/// If the model has no decoder or the images do not fit.
pub fn reconstruction_grid(
    model: &BoxModel,
    images: Tensor<4>,
    pairs: usize,
) -> Result<DynamicImage> {
    check_images(model, &images)?;
    let decoded = model
        .predict(images.clone())
        .latents
        .and_then(|latents| model.decode(latents))
        .ok_or_else(|| protovae_core::Error::Unsupported {
            model: model.kind().to_string(),
            what: "decoder",
        })?;
    let [count, channels, height, width] = images.dims();
    // [N, 2, C, H, W] puts each reconstruction right after its image.
    let beside = Tensor::<4>::stack::<5>(vec![images, decoded], 1).reshape([
        2 * count,
        channels,
        height,
        width,
    ]);
    Grid::new(2 * pairs.max(1), height).draw(beside)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn images(shape: [usize; 4], value: impl Fn(usize) -> f32) -> Tensor<4> {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(value).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    #[test]
    fn grey_pixels_land_where_they_should() {
        let grid = Grid {
            columns: 2,
            scale: 2,
            gap: 1,
        };
        // Three 1×2 images: values 0..6 spread over [-1, 1].
        let picture = grid
            .draw(images([3, 1, 1, 2], |i| i as f32 / 2.5 - 1.0))
            .unwrap();
        let picture = picture.as_luma8().unwrap();
        assert_eq!(picture.dimensions(), (11, 7));
        assert_eq!(picture.get_pixel(0, 0).0, [BACKGROUND]);
        assert_eq!(picture.get_pixel(1, 1).0, [0]);
        assert_eq!(picture.get_pixel(4, 2).0, [51]);
        assert_eq!(picture.get_pixel(6, 1).0, [102]);
        assert_eq!(picture.get_pixel(3, 4).0, [255]);
        assert_eq!(
            picture.get_pixel(7, 5).0,
            [BACKGROUND],
            "the fourth cell is empty"
        );
    }

    #[test]
    fn colour_keeps_its_channels() {
        let grid = Grid {
            columns: 1,
            scale: 1,
            gap: 0,
        };
        let picture = grid.draw(images([1, 3, 1, 1], |i| i as f32 - 1.0)).unwrap();
        assert_eq!(picture.as_rgb8().unwrap().get_pixel(0, 0).0, [0, 128, 255]);
    }

    #[test]
    fn what_cannot_be_drawn_is_an_error() {
        let grid = Grid {
            columns: 1,
            scale: 1,
            gap: 0,
        };
        assert!(grid.draw(images([1, 2, 1, 1], |_| 0.0)).is_err());
        let huge = Grid {
            columns: 1,
            scale: usize::MAX,
            gap: 1,
        };
        assert!(huge.draw(images([1, 1, 2, 2], |_| 0.0)).is_err());
    }

    #[test]
    fn images_one_by_one_are_enlarged() {
        let grey = image_pictures(images([2, 1, 1, 2], |i| i as f32 - 1.0), 2).unwrap();
        assert_eq!(grey.len(), 2);
        assert_eq!(grey[0].dimensions(), (4, 2));
        let pixel = |x, y| grey[0].get_pixel(x, y).0;
        assert_eq!(
            [pixel(1, 1), pixel(2, 0), pixel(3, 1)],
            [[0; 3], [128; 3], [128; 3]]
        );
        assert_eq!(grey[1].get_pixel(3, 1).0, [255; 3]);
        let colour = image_pictures(images([1, 3, 1, 1], |i| i as f32 - 1.0), 1).unwrap();
        assert_eq!(colour[0].get_pixel(0, 0).0, [0, 128, 255]);
        assert!(image_pictures(images([1, 2, 1, 1], |_| 0.0), 1).is_err());
        assert!(image_pictures(images([1, 1, 2, 2], |_| 0.0), usize::MAX).is_err());
    }

    #[test]
    fn values_out_of_range_are_cut_off() {
        assert_eq!(
            [to_byte(-9.0), to_byte(9.0), to_byte(f32::NAN)],
            [0, 255, 0]
        );
    }
}
