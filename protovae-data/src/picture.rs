//! Single pictures from files, brought to the shape a network expects.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage, RgbaImage};

use crate::dataset::scale;
use crate::{DataError, ImageShape};

/// Pictures with more pixels are refused.
pub const MAX_PIXELS: u64 = 64_000_000;

/// Pictures wider or higher than this are refused, since resizing holds whole strips of them in floating point.
pub const MAX_SIDE: u32 = 32_768;

/// Decoding may take this much memory.
const MAX_ALLOCATION: u64 = 512 << 20;

/// The formats read, by their content and not by their names.
const FORMATS: [ImageFormat; 4] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::WebP,
    ImageFormat::Bmp,
];

/// Reads a PNG, JPEG, WebP or BMP file as one image of `shape`: values in [-1, 1], channel by channel, row by row.
///
/// - A photograph that its camera marked as turned is turned upright.
/// - Transparent parts become black for 1 channel, where ink is light on black as in MNIST, and white for 3 channels, the
///   paper that viewers show beneath.
/// - For 1 channel colours become luma (Rec. 709); for 3 channels grey is repeated.
/// - A picture of another size is stretched to `shape` by a Catmull-Rom filter, which averages when it shrinks; one of
///   the right size is left as it is, so that an exported image gives back its bytes.
/// - Nothing is inverted: dark ink on white paper is unlike any image of MNIST and will be classified badly.
///
/// # Errors
/// [`DataError::Read`] for a file that cannot be opened; [`DataError::Picture`] for another format, a damaged file, or one
/// beyond [`MAX_PIXELS`], [`MAX_SIDE`] or 512 MiB; [`DataError::Unsupported`] for a shape other than 1 or 3 channels of 1 to
/// 4,096 rows and columns.
///
/// ```no_run
/// use protovae_data::{ImageShape, read_picture};
///
/// let image = read_picture("seven.png".as_ref(), ImageShape::new(1, 28, 28))?;
/// assert_eq!(image.len(), 784);
/// # Ok::<(), protovae_data::DataError>(())
/// ```
pub fn read_picture(path: &Path, shape: ImageShape) -> Result<Vec<f32>, DataError> {
    let side = 1..=4096;
    if !matches!(shape.channels, 1 | 3)
        || !side.contains(&shape.height)
        || !side.contains(&shape.width)
    {
        return Err(DataError::Unsupported {
            what: format!("reading a picture as {shape}"),
            reason: "a picture has 1 or 3 channels and 1 to 4096 rows and columns".to_string(),
        });
    }
    let file = File::open(path).map_err(|source| DataError::read(path, source))?;
    let picture = decode(BufReader::new(file), path)?;
    Ok(fit(&picture, shape))
}

fn decode(stream: impl BufRead + Seek, path: &Path) -> Result<DynamicImage, DataError> {
    let mut reader = ImageReader::new(stream)
        .with_guessed_format()
        .map_err(|source| DataError::read(path, source))?;
    // Another crate of the program may have switched on more decoders; those have not been looked at.
    if !reader
        .format()
        .is_some_and(|format| FORMATS.contains(&format))
    {
        return Err(DataError::picture(
            path,
            "its content is not PNG, JPEG, WebP or BMP; convert it to one of these",
        ));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    let mut decoder = reader
        .into_decoder()
        .map_err(|error| DataError::picture(path, error))?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0
        || pixels > MAX_PIXELS
        || width.max(height) > MAX_SIDE
        || decoder.total_bytes() > MAX_ALLOCATION
    {
        return Err(DataError::picture(
            path,
            format!(
                "it has {width}×{height} pixels; at most {MAX_PIXELS} pixels and {MAX_SIDE} a side are read, shrink it first"
            ),
        ));
    }
    let orientation = decoder
        .orientation()
        .map_err(|error| DataError::picture(path, error))?;
    let mut picture =
        DynamicImage::from_decoder(decoder).map_err(|error| DataError::picture(path, error))?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn fit(picture: &DynamicImage, shape: ImageShape) -> Vec<f32> {
    let paper = if shape.channels == 1 { 0 } else { 255 };
    let flat = flatten(&picture.to_rgba8(), paper);
    // Both were checked to be at most 4096.
    let (width, height) = (shape.width as u32, shape.height as u32);
    let same_size = flat.dimensions() == (width, height);
    if shape.channels == 1 {
        let mut grey = DynamicImage::ImageRgb8(flat).into_luma8();
        if !same_size {
            grey = imageops::resize(&grey, width, height, FilterType::CatmullRom);
        }
        return grey.as_raw().iter().map(|&byte| scale(byte)).collect();
    }
    let mut colour = flat;
    if !same_size {
        colour = imageops::resize(&colour, width, height, FilterType::CatmullRom);
    }
    let mut values = Vec::with_capacity(shape.pixels());
    for channel in 0..3 {
        values.extend(colour.pixels().map(|pixel| scale(pixel.0[channel])));
    }
    values
}

/// Lays the picture on paper of one brightness.
fn flatten(picture: &RgbaImage, paper: u16) -> RgbImage {
    let mut flat = RgbImage::new(picture.width(), picture.height());
    for (to, from) in flat.pixels_mut().zip(picture.pixels()) {
        let [red, green, blue, alpha] = from.0.map(u16::from);
        // At most 255 · 255, rounded to the nearest.
        let mix = |ink: u16| ((ink * alpha + paper * (255 - alpha) + 127) / 255) as u8;
        to.0 = [red, green, blue].map(mix);
    }
    flat
}
